"""From a graph to a plan: order of steps, kernels, packed constants, places in memory."""

from offramp.plan.certificate import Bound, Certificate
from offramp.plan.plan import Options, Plan, PlannedStep, PlannedTensor, StateInit, make_plan

__all__ = [
    "Bound",
    "Certificate",
    "Options",
    "Plan",
    "PlannedStep",
    "PlannedTensor",
    "StateInit",
    "make_plan",
]
