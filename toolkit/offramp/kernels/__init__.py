"""Kernel sets: which serve an op on a core, and the order in which the planner asks them."""

from __future__ import annotations

from offramp.boards import Core
from offramp.errors import UserError
from offramp.ir import Graph, Op
from offramp.kernels import cmsis_nn
from offramp.ops import GENERIC, OPS, Kernel, Step

ALL_KERNELS: tuple[Kernel, ...] = (*GENERIC, *cmsis_nn.KERNELS)
SETS = ("cmsis_nn", "generic")  # the best first


def choose_sets(wanted: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The sets to ask, in order, for `--kernels auto|SET` on a board that allows `allowed`."""
    if wanted == "auto":
        return tuple(s for s in SETS if s in allowed)
    if wanted not in allowed:
        raise UserError(
            f"kernel set {wanted} does not run on this board",
            f"sets for this board: auto, {', '.join(allowed)}",
        )
    return tuple(dict.fromkeys((wanted, "generic")))


def steps_for(graph: Graph, op: Op, core: Core, sets: tuple[str, ...]) -> list[Step]:
    """The op's kernel calls from the first set that takes it."""
    inputs = [graph.tensors[i] if i >= 0 else None for i in op.inputs]
    outputs = [graph.tensors[i] for i in op.outputs]
    steps = cmsis_nn.steps(op, inputs, outputs, core) if "cmsis_nn" in sets else None
    if steps is None:
        steps = OPS[op.kind].steps(op, inputs, outputs)
    if steps is None:
        types = [t.dtype for t in (*inputs, *outputs) if t]
        raise UserError(
            f"{op.kind} ({op.name}) has no kernel for types {', '.join(types)}", "quantize the model to int8"
        )
    return steps
