"""What calibration rows correct, layer after layer: int4 weights by their outputs' error, biases by its mean."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.compress import rounding
from offramp.compress.compensation import compensated, moments
from offramp.compress.options import DYNAMIC, WEIGHTED
from offramp.compress.rounding import nearest
from offramp.compress.weights import MOST_BIAS, channel_axis, from_rows, integer_bias, rows_of
from offramp.ir import DTYPES, Graph, Op, Tensor
from offramp.ops.op import constant
from offramp.ops.real import REAL
from offramp.reference import batched, computed, run_rows

Array = NDArray[Any]
MOST_ROWS = 128  # means need no more
MOST_VALUES = 1 << 26  # all that both graphs compute are held at once


def corrected(
    graph: Graph, draft: Graph, rows: Sequence[Array], biases: bool = True, int4: Collection[str] = ()
) -> Graph:
    """`draft`, the integer graph of `graph` with the same tensor indices, with corrected biases.

    `graph` is float, or of integers where only its weights differ from the draft's. `rows` are real numbers.

    The weights of layers named in `int4` are rounded anew (`compensation`). What a layer reads is computed with the
    layers before it corrected. Graphs with state, or whose first axis is no batch, stay as they are.
    """
    if graph.variables or batched(draft, 2) is None:
        return draft
    total = sum(int(np.prod(graph.tensors[t].shape)) for op in graph.ops for t in op.outputs)
    rows = [x[: max(1, min(MOST_ROWS, MOST_VALUES // total))] for x in rows]
    if not graph.is_float:
        inputs = [graph.tensors[i] for i in graph.inputs]
        rows = [nearest(x, t.quant, t.dtype) for x, t in zip(rows, inputs, strict=True)]
    parts = list(run_rows(graph, *rows, every=True))
    integer = [inputs_of(draft, part) for part in parts]
    makers = graph.producers()
    for i, op in enumerate(draft.ops):
        if op.kind in (*WEIGHTED, DYNAMIC):
            of_real = graph.ops[makers[op.outputs[0]]]
            values = [real_values(draft, op, part) for part in integer]
            if op.name in int4:
                draft = with_weights(draft, i, constant(graph.tensors[of_real.inputs[1]]), values)
                op = draft.ops[i]
            if biases:
                real = parts if graph.is_float else [real_values(graph, of_real, part) for part in parts]
                wanted = mean_sum(of_real, real_operands(graph, of_real), real)
                draft = with_bias(draft, i, wanted - mean_sum(op, real_operands(draft, op), values))
                op = draft.ops[i]
        for part in integer:
            compute(draft, i, op, part)
    return draft


def inputs_of(draft: Graph, real: dict[int, Array]) -> dict[int, Array]:
    """Integers of the graph's inputs, and its constants, by tensor."""
    found: dict[int, Array] = {}
    for t in draft.inputs:
        tensor = draft.tensors[t]
        found[t] = nearest(real[t], tensor.quant, tensor.dtype) if real[t].dtype.kind == "f" else real[t]
    return found


def compute(draft: Graph, i: int, op: Op, part: dict[int, Array]) -> None:
    """Adds the outputs of op `i` to the values of some rows."""
    n = len(part[draft.inputs[0]])
    wide = (batched(draft, n) if n > 1 else None) or draft
    constants = {t: data for t in op.inputs if t >= 0 and (data := draft.tensors[t].data) is not None}
    part |= zip(op.outputs, computed(wide, wide.ops[i], part | constants), strict=True)


def real_operands(graph: Graph, op: Op) -> tuple[Tensor, Array, Array | None]:
    """A layer's output tensor, weights and bias in real numbers."""
    weights, out = graph.tensors[op.inputs[1]], graph.tensors[op.outputs[0]]
    bias = graph.tensors[op.inputs[2]] if len(op.inputs) > 2 and op.inputs[2] >= 0 else None
    w, b = constant(weights), None if bias is None else constant(bias)
    if weights.dtype == "f32":
        return out, w, b
    shape = [1] * w.ndim
    shape[channel_axis(op.kind)] = -1
    w = w * np.array(weights.quant.scales, np.float32).reshape(shape)
    if b is not None and bias is not None:
        b = (b * np.array(bias.quant.scales)).astype(np.float32)
    return out, w, b


def real_values(draft: Graph, op: Op, part: dict[int, Array]) -> dict[int, Array]:
    """What a layer of integers reads, in real numbers."""
    return {op.inputs[0]: rounding.real(part[op.inputs[0]], draft.tensors[op.inputs[0]].quant)}


def mean_sum(op: Op, operands: tuple[Tensor, Array, Array | None], parts: list[dict[int, Array]]) -> Array:
    """Mean of each channel before the activation, over all rows and positions."""
    out, w, b = operands
    linear = replace(op.attributes, activation="none")
    total, n = np.zeros(out.shape[-1]), 0
    for part in parts:
        (found,) = REAL[op.kind](linear, [out], [part[op.inputs[0]], w, b])
        total += found.reshape(-1, out.shape[-1]).sum(axis=0, dtype=np.float64)
        n += found.size // out.shape[-1]
    return total / n


def with_weights(draft: Graph, i: int, w: Array, values: Sequence[dict[int, Array]]) -> Graph:
    """The graph with a layer's int4 weights for the real ones `w` chosen by the error of its outputs."""
    op = draft.ops[i]
    moment = moments(draft, op, [part[op.inputs[0]] for part in values])
    if moment is None:
        return draft
    old = draft.tensors[op.inputs[1]]
    scale = np.broadcast_to(np.array(old.quant.scales, np.float64), len(w))
    q = compensated(rows_of(w, 0), rows_of(constant(old), 0), scale, moment)
    tensors = (*draft.tensors, replace(old, data=from_rows(q, old.shape, 0)))
    changed = replace(op, inputs=(op.inputs[0], len(tensors) - 1, *op.inputs[2:]))
    return replace(draft, tensors=tensors, ops=(*draft.ops[:i], changed, *draft.ops[i + 1 :]))


def with_bias(draft: Graph, i: int, error: Array) -> Graph:
    """The graph with a layer's bias moved by `error`, in real numbers; layers without one get it."""
    op = draft.ops[i]
    x, weights = draft.tensors[op.inputs[0]], draft.tensors[op.inputs[1]]
    scales = weights.quant.scales
    moved = integer_bias(Tensor(f"{op.name}/bias", error.shape, "f32", data=error), x, scales)
    if len(op.inputs) > 2 and op.inputs[2] >= 0:
        old = draft.tensors[op.inputs[2]]
        total = constant(old).astype(np.int64) + constant(moved).reshape(old.shape)
        moved = replace(old, data=np.clip(total, -MOST_BIAS, MOST_BIAS).astype(DTYPES[old.dtype]))
    tensors = (*draft.tensors, moved)
    changed = replace(op, inputs=(*op.inputs[:2], len(tensors) - 1))
    return replace(draft, tensors=tensors, ops=(*draft.ops[:i], changed, *draft.ops[i + 1 :]))
