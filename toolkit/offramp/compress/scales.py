"""Scale and zero point of every activation, by TensorFlow Lite's int8 and 16x8 specification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from offramp.compress.calibrate import Array, Range, Ranges
from offramp.compress.options import BINARY, LAYERS, QuantizeOptions, layer_bits
from offramp.errors import UserError
from offramp.ir import Graph, Op, Quantization

# Operators whose output has its input's quantization.
SAME = (
    *("reshape", "transpose", "pad", "strided_slice", "split", "max_pool_2d", "average_pool_2d"),
    *("resize_nearest_neighbor", "resize_bilinear"),
)
RECTIFIERS = ("relu", "relu6")
# Operators that the 16x8 specification leaves out; they stay at 8 bits.
ONLY_S8 = (BINARY, "hard_swish", "resize_nearest_neighbor", "resize_bilinear")
FIXED = {
    ("softmax", "s8"): Quantization((1 / 256,), (-128,)),
    ("logistic", "s8"): Quantization((1 / 256,), (-128,)),
    ("tanh", "s8"): Quantization((1 / 128,), (0,)),
    ("softmax", "s16"): Quantization((1 / 32768,), (0,)),
    ("logistic", "s16"): Quantization((1 / 32768,), (0,)),
    ("tanh", "s16"): Quantization((1 / 32768,), (0,)),
}


def of_range(low: float, high: float, dtype: str) -> Quantization:
    """The quantization whose integers reach over a range that holds 0."""
    if dtype == "s16":
        return Quantization((float(np.float32(max(-low, high) / 32767)),), (0,))
    scale = float(np.float32((high - low) / 255))
    return Quantization((scale,), (int(np.clip(round(-128 - low / scale), -128, 127)),))


def range_of(q: Quantization, dtype: str) -> Range:
    """Real numbers that a type's integers reach over."""
    ends = (-32767, 32767) if dtype == "s16" else (-128, 127)
    low, high = ((e - q.zero_point) * q.scale for e in ends)
    return min(low, 0.0), max(high, 0.0)


def converted(q: Quantization, dtype: str, wanted: str) -> Quantization:
    """The quantization of the same values in another type."""
    return q if dtype == wanted else of_range(*range_of(q, dtype), wanted)


def op_dtypes(graph: Graph, options: QuantizeOptions) -> list[str]:
    """s8 or s16 for each op: layers as their bits say, other ops as what they read."""
    bits, made = layer_bits(graph, options), dict.fromkeys(graph.inputs, input_dtype(options))
    found = []
    for i, op in enumerate(graph.ops):
        if op.kind in LAYERS:
            dtype = "s16" if bits[i] == 16 else "s8"
        else:
            dtype = "s16" if "s16" in [made.get(t) for t in op.inputs] else "s8"
        found.append("s8" if op.kind in ONLY_S8 else dtype)
        made |= dict.fromkeys(op.outputs, found[-1])
    return found


def input_dtype(options: QuantizeOptions) -> str:
    """Of the graph's inputs and outputs, whatever single layers have."""
    return "s16" if options.bits == 16 else "s8"


class Classes:
    """Sets of tensors that share one quantization, each named by one of them."""

    def __init__(self, tensors: Sequence[int]) -> None:
        self.up = {t: t for t in tensors}

    def of(self, tensor: int) -> int:
        while self.up[tensor] != tensor:
            tensor = self.up[tensor]
        return tensor

    def join(self, tensor: int, other: int) -> None:
        self.up[self.of(other)] = self.of(tensor)


def activation_scales(
    graph: Graph, ranges: Ranges | None, dtypes: Sequence[str], options: QuantizeOptions
) -> dict[int, Quantization]:
    """Of every activation by its index. Without `ranges`, the quantizations that the tensors remember."""
    dtype_of = dict.fromkeys(graph.inputs, input_dtype(options))
    dtype_of |= {t: dtypes[i] for i, op in enumerate(graph.ops) for t in op.outputs}
    if ranges is None:
        return remembered_scales(graph, dtype_of)
    fixed = given_inputs(graph, options)
    for op, dtype in zip(graph.ops, dtypes, strict=True):
        if (op.kind, dtype) in FIXED:
            fixed[op.outputs[0]] = FIXED[op.kind, dtype]
    spans = {t: (ranges.whole if dtype_of.get(t) == "s16" else ranges.of)[t] for t in ranges.of}
    classes = shared_classes(graph, dtype_of, fixed, spans)
    found = class_ranges(classes, spans)
    widen(graph, classes, found)
    of_class = {t: of_range(*span, dtype_of[t]) for t, span in found.items()}
    of_class |= {classes.of(t): q for t, q in fixed.items()}
    return {t: of_class[classes.of(t)] for t in dtype_of}


def given_inputs(graph: Graph, options: QuantizeOptions) -> dict[int, Quantization]:
    names = {graph.tensors[i].name: i for i in graph.inputs}
    for name, q in options.inputs.items():
        if name not in names:
            raise UserError(f"{graph.name} has no input {name}", f"inputs: {', '.join(names)}")
        if not (np.isfinite(q.scale) and q.scale > 0):
            raise UserError(f"input {name} is given the scale {q.scale}", "a scale above 0 is needed")
    found = {
        names[name]: Quantization((float(np.float32(q.scale)),), q.zero_points)
        for name, q in options.inputs.items()
    }
    return {i: converted(q, "s8", input_dtype(options)) for i, q in found.items()}


def remembered_scales(graph: Graph, dtype_of: Mapping[int, str]) -> dict[int, Quantization]:
    missing = [graph.tensors[t].name for t in dtype_of if graph.tensors[t].quantization is None]
    if missing:
        raise UserError(
            f"no calibration rows, and {len(missing)} tensors ({missing[0]}, …) remember no scale",
            "give calibration rows: 100 to 500 like those the board will see",
        )
    found = {t: graph.tensors[t].quant for t in dtype_of}
    for t, q in found.items():
        if dtype_of[t] == "s16" and q.zero_point:  # of int8: int16 has none
            found[t] = converted(q, "s8", "s16")
    for op in graph.ops:
        if op.kind in SAME and op.inputs[0] in found and dtype_of[op.inputs[0]] == dtype_of[op.outputs[0]]:
            found |= dict.fromkeys(op.outputs, found[op.inputs[0]])
    return found


def shared_classes(
    graph: Graph, dtype_of: Mapping[int, str], fixed: dict[int, Quantization], spans: dict[int, Range]
) -> Classes:
    """Joins what shares a quantization; `fixed` and `spans` gain what follows from it."""
    classes, readers = Classes(list(dtype_of)), graph.consumers()

    def alike(a: int, b: int) -> bool:
        return a in dtype_of and dtype_of[a] == dtype_of[b]

    for op in graph.ops:
        if not op.inputs or not op.outputs:
            continue
        x, out = op.inputs[0], op.outputs[0]
        if op.kind in SAME and alike(x, out):
            for t in op.outputs:
                classes.join(x, t)
        elif op.kind in SAME and x in dtype_of:
            spans |= dict.fromkeys(op.outputs, spans[x])
        elif op.kind in RECTIFIERS and alike(x, out) and len(readers[x]) == 1 and x not in graph.outputs:
            spans[x] = spans[out]  # what is cut off needs no integers
            classes.join(x, out)
    join_state(graph, classes)
    by_class = {classes.of(t): q for t, q in fixed.items()}
    for op in graph.ops:
        if op.kind != "concatenation":
            continue
        out, parts = op.outputs[0], [t for t in op.inputs if alike(t, op.outputs[0])]
        free = [t for t in parts if classes.of(t) not in by_class]
        known = {by_class[classes.of(t)] for t in parts if t not in free}
        if not free and len(known) == 1 and len(parts) == len(op.inputs):
            fixed[out] = by_class[classes.of(out)] = known.pop()
        for t in free if classes.of(out) not in by_class else ():
            classes.join(out, t)
    return classes


def join_state(graph: Graph, classes: Classes) -> None:
    """What a variable is given has the quantization it is read with."""
    reads = {op.attributes.variable: op.outputs[0] for op in graph.ops if op.kind == "read_variable"}
    for op in graph.ops:
        if op.kind == "assign_variable":
            classes.join(reads.get(op.attributes.variable, op.inputs[0]), op.inputs[0])


def class_ranges(classes: Classes, spans: Mapping[int, Range]) -> dict[int, Range]:
    """Of each class by its name; 0 to 1 where all its values are 0."""
    found: dict[int, Range] = {}
    for t in classes.up:
        low, high = found.get(classes.of(t), (0.0, 0.0))
        found[classes.of(t)] = min(low, spans[t][0]), max(high, spans[t][1])
    return {t: (low, high) if high - low > 1e-30 else (0.0, 1.0) for t, (low, high) in found.items()}


def widen(graph: Graph, classes: Classes, ranges: dict[int, Range]) -> None:
    """No output is so fine against its inputs that the specification's multipliers leave their range.

    It only concerns layers whose results nearly cancel: finer integers than these would count noise.
    """
    for op in graph.ops:
        if not op.inputs or not op.outputs:
            continue
        name = classes.of(op.outputs[0])
        low, high = ranges[name]
        least = least_width(graph, op, classes, ranges)
        if high - low < least:
            ranges[name] = low * least / (high - low), high * least / (high - low)


def least_width(graph: Graph, op: Op, classes: Classes, ranges: Mapping[int, Range]) -> float:
    """Of an op's output range."""
    spans = [ranges[classes.of(t)] for t in op.inputs if t in classes.up]
    spans += [constant_span(graph.tensors[t].data) for t in op.inputs[:2] if t >= 0 and t not in classes.up]
    widths = [high - low for low, high in spans]  # of an operand that is constant, behind
    if (
        op.kind in LAYERS and op.kind != BINARY
    ):  # an integer of the output is at least one product of integers
        low, high = constant_span(graph.tensors[op.inputs[1]].data)
        return widths[0] * max(-low, high) / 127
    if op.kind == "mul":
        return widths[0] * widths[-1] / 255
    return max(widths) / {"hard_swish": 128}.get(op.kind, 1 << 12)


def constant_span(data: Array | None) -> Range:
    """Of a constant operand, 0 included."""
    return (0.0, 0.0) if data is None else (min(0.0, float(data.min())), max(0.0, float(data.max())))
