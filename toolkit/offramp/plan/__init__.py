"""From a graph to a plan: order of steps, kernels, packed constants, places in memory."""

from offramp.plan.certificate import Bound, Certificate
from offramp.plan.family import make_plan
from offramp.plan.options import OPTIMIZE, Options
from offramp.plan.plan import Plan, PlannedStep, PlannedTensor, StateInit

__all__ = [
    "OPTIMIZE",
    "Bound",
    "Certificate",
    "Options",
    "Plan",
    "PlannedStep",
    "PlannedTensor",
    "StateInit",
    "make_plan",
]
