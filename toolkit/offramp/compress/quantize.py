"""Post-training quantization: a float graph and ranges of its activations to an integer graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.compress.calibrate import Ranges, calibrate, checked_rows
from offramp.compress.correction import corrected
from offramp.compress.exits.scores import with_shared_scores
from offramp.compress.options import BINARY, LAYERS, QuantizeOptions, layer_bits, with_dynamic
from offramp.compress.rounding import nearest
from offramp.compress.scales import (
    SAME,
    activation_scales,
    constant_span,
    converted,
    input_dtype,
    of_range,
    op_dtypes,
)
from offramp.compress.weights import (
    channel_axis,
    fits,
    from_rows,
    integer_bias,
    quantize_binary,
    quantize_rows,
    remembered,
    rows_of,
)
from offramp.errors import UserError
from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops.op import NoAttributes
from offramp.ops.verify import verify
from offramp.passes.rewrite import without_unused

Array = NDArray[Any]
LARGEST_BIAS = 1 << 27  # in units of a product: beyond, a channel's weights are no part of its result


def quantize(
    graph: Graph,
    rows: Array | Sequence[Array] | None = None,
    options: QuantizeOptions = QuantizeOptions(),  # noqa: B008
    ranges: Ranges | None = None,
) -> Graph:
    """The integer graph of a canonical float graph, by TensorFlow Lite's int8 (or 16x8) specification.

    `rows` are calibration rows [n, ...] in real numbers (one array, or one an input): they give the ranges of the
    activations where `ranges` does not, and correct the biases. Without rows and ranges the tensors must remember
    their scales (`dequantize`). UserError as `calibrate`, and where options name no layer.
    """
    if not graph.is_float:
        raise UserError(
            f"{graph.name} is quantized already", "dequantize it first (offramp.compress.dequantize)"
        )
    given = None if rows is None else checked_rows(graph, as_tuple(rows))
    if given is not None and ranges is None:
        ranges = calibrate(graph, *given, method=options.method, percentile=options.percentile)
    if ranges is not None and graph.exits:
        ranges = with_shared_scores(graph, ranges)
    graph = with_dynamic(graph, options)
    making = Draft(graph, ranges, options)
    draft = making.quantized()
    int4 = making.rounded_at_4 if options.compensation else ()
    if given is not None and (options.bias_correction or int4):
        draft = corrected(graph, draft, given, options.bias_correction, int4)
    found = without_unused(draft)
    verify(found, f"quantization of {graph.name}")
    return found


def as_tuple(rows: Array | Sequence[Array]) -> tuple[Array, ...]:
    """One array an input."""
    return (rows,) if isinstance(rows, np.ndarray) else tuple(rows)


class Draft:
    """An integer graph in the making: activations keep their float tensors' indices, other tensors are added."""

    def __init__(self, graph: Graph, ranges: Ranges | None, options: QuantizeOptions) -> None:
        self.graph, self.options = graph, options
        self.dtypes, self.bits = op_dtypes(graph, options), layer_bits(graph, options)
        self.tensors, self.ops = list(graph.tensors), list[Op]()
        self.rounded_at_4: list[str] = []  # layers whose int4 weights are not those remembered
        self.made: dict[tuple[int, str, Quantization], int] = {}  # conversions of a tensor
        for t, q in activation_scales(graph, ranges, self.dtypes, options).items():
            maker = graph.producers().get(t)
            dtype = input_dtype(options) if maker is None else self.dtypes[maker]
            self.tensors[t] = replace(graph.tensors[t], dtype=dtype, quantization=q)

    def quantized(self) -> Graph:
        for i, op in enumerate(self.graph.ops):
            self.ops.append(self.layer(i, op) if op.kind in LAYERS else self.other(i, op))
        dtype = input_dtype(self.options)
        outputs = [self.as_type(t, dtype) for t in self.graph.outputs]
        variables = tuple(replace(v, initial=self.initial(v.name, v.initial)) for v in self.graph.variables)
        return replace(
            self.graph,
            tensors=tuple(self.tensors),
            ops=tuple(self.ops),
            outputs=tuple(outputs),
            variables=variables,
            members=(),
        )

    def add(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def as_type(self, tensor: int, dtype: str) -> int:
        t = self.tensors[tensor]
        return self.as_scale(tensor, dtype, converted(t.quant, t.dtype, dtype))

    def as_scale(self, tensor: int, dtype: str, q: Quantization) -> int:
        """The tensor in a type and quantization, converted by a QUANTIZE where it has others."""
        t = self.tensors[tensor]
        if (t.dtype, t.quantization) == (dtype, q):
            return tensor
        key = (tensor, dtype, q)
        if key not in self.made:
            self.made[key] = self.add(
                replace(t, name=f"{t.name}/{dtype}_{len(self.made)}", dtype=dtype, quantization=q)
            )
            name = self.tensors[self.made[key]].name
            self.ops.append(Op("quantize", name, (tensor,), (self.made[key],), NoAttributes()))
        return self.made[key]

    def other(self, i: int, op: Op) -> Op:
        """An op without weights. What it reads is brought to its type, and where the specification asks, its scale."""
        out = self.tensors[op.outputs[0]] if op.outputs else None
        same = op.kind in (*SAME, "relu6", "concatenation")
        inputs = []
        for t in op.inputs:
            if t >= 0 and self.tensors[t].data is not None:
                q = out.quant if same and out else None
                inputs.append(self.add(constant_operand(self.tensors[t], self.dtypes[i], q)))
            elif out is None:
                inputs.append(t)
            else:
                q = out.quant if same else converted(self.tensors[t].quant, self.tensors[t].dtype, out.dtype)
                inputs.append(self.as_scale(t, out.dtype, q))
        attributes = op.attributes
        if op.kind == "pad":
            assert out is not None
            attributes = replace(attributes, value=int(nearest(attributes.value, out.quant, out.dtype)))
        return replace(op, inputs=tuple(inputs), attributes=attributes)

    def layer(self, i: int, op: Op) -> Op:
        """An op with weights: integers of them and of the bias."""
        x = self.as_type(op.inputs[0], self.dtypes[i])
        weights = self.graph.tensors[op.inputs[1]]
        has_bias = len(op.inputs) > 2 and op.inputs[2] >= 0
        bias = self.graph.tensors[op.inputs[2]] if has_bias else None
        unit = self.tensors[x].quant.scale
        q, scales = self.integers(i, op, weights, bias, unit)
        axis = channel_axis(op.kind) if len(scales) > 1 else None
        quantization = Quantization(tuple(map(float, scales)), (0,) * len(scales), axis)
        w = replace(weights, dtype="s8", quantization=quantization, data=q)
        inputs = [x, self.add(w)]
        if bias is not None:
            inputs.append(self.add(integer_bias(bias, self.tensors[x], scales)))
        return replace(op, inputs=tuple(inputs))

    def integers(
        self, i: int, op: Op, weights: Tensor, bias: Tensor | None, unit: float
    ) -> tuple[Array, Array]:
        """int8 weights in the layer's layout, and their scales [channels or 1]."""
        axis = channel_axis(op.kind)
        assert weights.data is not None
        known = None if op.kind == BINARY else remembered(weights, axis)
        if known is not None and fits(known[0], self.bits[i], self.options.per_group):
            q, scales = known
            one = weights.quantization is not None and len(weights.quantization.scales) == 1
            return from_rows(q, weights.shape, axis), scales[:1] if one else scales
        if self.bits[i] == 4 and axis == 0:
            self.rounded_at_4.append(op.name)
        rows = rows_of(weights.data, axis)
        least = np.zeros(len(rows))
        if bias is not None and bias.data is not None:
            least = np.abs(bias.data.reshape(-1).astype(np.float64)) / (unit * LARGEST_BIAS)
        if op.kind == BINARY:
            q, scales = quantize_binary(rows, unit, least)
        elif op.kind == "fully_connected" and not self.options.per_channel_dense:
            q, scales = quantize_rows(rows.reshape(1, -1), self.bits[i], least.max(keepdims=True))
        else:
            q, scales = quantize_rows(rows, self.bits[i], least, self.options.per_group)
        return from_rows(q.reshape(rows.shape), weights.shape, axis), scales

    def initial(self, name: str, tensor: int) -> int:
        """A variable's first value in the quantization that it is read with."""
        for op in self.ops:
            if op.kind == "read_variable" and op.attributes.variable == name:
                read = self.tensors[op.outputs[0]]
                return self.add(constant_operand(self.graph.tensors[tensor], read.dtype, read.quant))
        return tensor


def constant_operand(tensor: Tensor, dtype: str, q: Quantization | None) -> Tensor:
    """A constant that an op without weights reads, over the range of its values where no scale is given."""
    assert tensor.data is not None
    low, high = constant_span(tensor.data)
    kept = tensor.quantization
    if kept is not None and dtype == "s16" and any(kept.zero_points):
        kept = None  # it was an int8 tensor's
    q = q or kept or of_range(low, high if high > low else 1.0, dtype)
    return replace(tensor, dtype=dtype, quantization=q, data=nearest(tensor.data, q, dtype))
