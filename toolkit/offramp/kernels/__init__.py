"""Kernel sets: which serve an op on a core, and the order in which the planner asks them."""

from __future__ import annotations

import difflib

from offramp.boards import Core
from offramp.errors import UserError
from offramp.ir import Graph, Op
from offramp.kernels import cmsis_nn, dsp, mve
from offramp.ops import GENERIC, OPS, Kernel, Step

# The best first. A set is a module with KERNELS and steps(op, inputs, outputs, core); generic serves what they leave.
MODULES = {"mve": mve, "dsp": dsp, "cmsis_nn": cmsis_nn}
SETS = (*MODULES, "generic")
ALL_KERNELS: tuple[Kernel, ...] = (*GENERIC, *(k for module in MODULES.values() for k in module.KERNELS))


def choose_sets(wanted: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The sets to ask, in order, for `--kernels auto|SET` on a board that allows `allowed`."""
    if wanted == "auto":
        return tuple(s for s in SETS if s in allowed)
    if wanted not in SETS:
        near = difflib.get_close_matches(wanted, SETS, n=1)
        raise UserError(f"no kernel set is called {wanted}", f"try {near[0] if near else ', '.join(SETS)}")
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
    steps: list[Step] | None
    for name in sets:
        steps = MODULES[name].steps(op, inputs, outputs, core) if name in MODULES else None
        if steps is not None:
            return steps
    steps = OPS[op.kind].steps(op, inputs, outputs)
    if steps is None:
        types = [t.dtype for t in (*inputs, *outputs) if t]
        raise UserError(
            f"{op.kind} ({op.name}) has no kernel for types {', '.join(types)}", "quantize the model to int8"
        )
    return steps
