"""Kernel sets: which serve an op on a core, and the order in which the planner asks them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator

from offramp.boards import Core
from offramp.errors import UserError
from offramp.ir import IN_PLANES, Graph, Op, Tensor
from offramp.kernels import cmsis_nn, dsp, esp_nn, mve
from offramp.kernels.dsp import slices as dsp_slices
from offramp.ops import GENERIC, OPS, Kernel, Step, slices
from offramp.ops.conv_2d_tile import BEHIND_BIAS, compressed_ways
from offramp.ops.op import present

# The ways in which a set serves an op on a core, each a list of kernel calls; none: another set serves it.
Candidates = Callable[[Op, list[Tensor | None], list[Tensor], Core], list[list[Step]]]
CANDIDATES: dict[str, Candidates] = {
    "mve": mve.candidates,
    "dsp": dsp.candidates,
    "cmsis_nn": cmsis_nn.candidates,
    "esp_nn": esp_nn.candidates,
}
SETS = (*CANDIDATES, "generic")  # generic serves what the others leave
ALL_KERNELS: tuple[Kernel, ...] = (*GENERIC, *cmsis_nn.KERNELS, *dsp.KERNELS, *mve.KERNELS, *esp_nn.KERNELS)

# Set -> op -> (who serves it on the set's cores, why): what a set does not take at all.
LEFT_TO: dict[str, dict[str, tuple[str, str]]] = {"mve": mve.LEFT_TO, "dsp": dsp.LEFT_TO}


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


def refuse_float(graph: Graph) -> None:
    """UserError where a model is not quantized."""
    for op in graph.ops:
        for i in (*op.inputs, *op.outputs):
            if i >= 0 and graph.tensors[i].dtype == "f32":
                raise UserError(
                    f"{graph.name}: {op.kind} ({op.name}): tensor {graph.tensors[i].name} is float32, kernels compute "
                    "with integers",
                    "quantize the model: `offramp compress MODEL --data DATA -o OUT.ofg`",
                )


def candidates(
    graph: Graph, op: Op, core: Core, sets: tuple[str, ...], named: bool = False
) -> Iterator[list[Step]]:
    """The ways of serving the op, each a list of kernel calls: set by set, generic last. UserError: there is none.

    `named`: a set was asked for by its name and serves all that it can; generic serves the rest.
    """
    inputs = [graph.tensors[i] if i >= 0 else None for i in op.inputs]
    outputs = [graph.tensors[i] for i in op.outputs]
    if any(t is not None and t.storage == IN_PLANES for t in inputs[1:2]):
        yield from ([step] for step in compressed_ways(op, inputs, outputs))
        return
    if slices.is_slice(op, inputs[1] if len(inputs) > 1 else None):
        step = slice_way(op, inputs, outputs)
        if step is not None and step.kernel.set in (
            *sets,
            "generic",
        ):  # else plan/widest.py has chosen another
            yield [step]
        return
    for name in sets:
        if name in CANDIDATES:
            found = CANDIDATES[name](op, inputs, outputs, core)
            yield from found
            if found and named:
                return
    steps = OPS[op.kind].steps(op, inputs, outputs)
    if steps is None:
        types = [t.dtype for t in (*inputs, *outputs) if t]
        raise UserError(
            f"{op.kind} ({op.name}) has no kernel for types {', '.join(types)}", "quantize the model to int8"
        )
    yield steps
    yield from ([step] for step in compressed_ways(op, inputs, outputs))


def compact_ways(graph: Graph, op: Op) -> Iterator[list[Step]]:
    """Generic ways that the planner takes only where bytes of the blob count most."""
    inputs = [graph.tensors[i] if i >= 0 else None for i in op.inputs]
    step = OPS[op.kind].compact(op, inputs, [graph.tensors[i] for i in op.outputs])
    if step is not None:
        yield [step]


def wide_tensors(
    op: Op, inputs: list[Tensor | None], outputs: list[Tensor], depths: set[int], sets: tuple[str, ...]
) -> Iterator[Tensor]:
    """How the sets store the weights of the widest layer, whose parts have so many input channels."""
    if "dsp" in sets:
        found = dsp_slices.wide_tensor(op, inputs, outputs, depths)
        if found is not None:
            yield found
    yield slices.wide_tensor(present(inputs[1]))


def slice_way(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    """The kernel call of a layer whose wide weights are among its inputs; None: their kernel does not take it."""
    wide = present(inputs[BEHIND_BIAS])
    lower = dsp_slices.slice_step if wide.dtype == "u8" else slices.slice_step
    return lower(op, inputs, outputs)
