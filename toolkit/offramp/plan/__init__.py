"""From a graph to a plan: order of steps, kernels, packed constants, places in memory."""

from offramp.plan.plan import Options, Plan, PlannedStep, PlannedTensor, StateInit, make_plan

__all__ = ["Options", "Plan", "PlannedStep", "PlannedTensor", "StateInit", "make_plan"]
