"""MEAN, int8 or int16, over any axes: a sum, then one requantization whose multiplier holds the division."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from offramp.ir import DTYPES, Op, Tensor
from offramp.ops.fixed_point import (
    activation_range,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    wrap32,
)
from offramp.ops.op import (
    Array,
    Kernel,
    OpType,
    Params,
    Shape,
    ShapeError,
    Step,
    elements,
    integers_only,
    present,
)
from offramp.ops.strided_copy import contiguous

AXES = 2
PARAMS = Params(
    "mean",
    [
        ("kept", f"u32[{AXES}]"),
        ("kept_strides", f"u32[{AXES}]"),
        ("reduced", f"u32[{AXES}]"),
        ("reduced_strides", f"u32[{AXES}]"),
        ("bias", "s32"),  # added to the sum of a window: -count * zero point
        ("multiplier", "s32"),
        ("shift", "s32"),
        ("out_zero_point", "s32"),
    ],
)


def work(n: Mapping[str, Any]) -> dict[str, int]:
    runs = n["elements"] * n["reduced"][0]
    taps = "taps" if n["reduced_strides"][1] == 1 else "taps_apart"
    return {"elements": n["elements"], "runs": runs, taps: runs * n["reduced"][1]}


KERNEL = Kernel("generic", "mean", 0x0108, 1, PARAMS, work=work)
S16 = Kernel("generic", "mean_s16", 0x0146, 1, PARAMS, work=work, group="int16")


@dataclass(frozen=True)
class Mean:
    axes: tuple[int, ...]
    keep_dims: bool = False


def shapes(a: Mean, inputs: list[Tensor | None]) -> list[Shape]:
    x = present(inputs[0])
    integers_only(x)
    if any(not 0 <= i < len(x.shape) for i in a.axes):
        raise ShapeError(f"axes {a.axes} of {x.shape}")
    kept = [1 if i in a.axes else n for i, n in enumerate(x.shape) if a.keep_dims or i not in a.axes]
    return [tuple(kept)]


def multiplier_of(x: Tensor, out: Tensor, count: int) -> tuple[int, int]:
    """scale ratio / count, with as many of the multiplier's bits as the specification keeps."""
    multiplier, shift = quantize_multiplier(float(x.quant.scale) / float(out.quant.scale))
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << bits) // count, shift - bits


def reference(
    a: Mean, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    x, out = present(inputs[0]), outputs[0]
    assert values[0] is not None
    count = elements(tuple(x.shape[i] for i in a.axes))
    total = values[0].sum(axis=a.axes, dtype=np.int64, keepdims=a.keep_dims) - count * x.quant.zero_point
    q = multiply_by_quantized_multiplier(wrap32(total), *multiplier_of(x, out, count)) + out.quant.zero_point
    return [np.clip(q, *activation_range("none", 1.0, 0, out.dtype)).astype(DTYPES[out.dtype])]


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    a: Mean = op.attributes
    x, out = present(inputs[0]), outputs[0]
    axes: list[tuple[bool, int, int]] = []  # (reduced, length, stride), outermost first
    for i, (n, stride) in enumerate(zip(x.shape, contiguous(x.shape), strict=True)):
        if n == 1:
            continue
        if axes and axes[-1][0] == (i in a.axes):
            axes[-1] = (axes[-1][0], axes[-1][1] * n, stride)
        else:
            axes.append((i in a.axes, n, stride))
    kept = [axis[1:] for axis in axes if not axis[0]]
    reduced = [axis[1:] for axis in axes if axis[0]]
    if len(kept) > AXES or len(reduced) > AXES:
        return None
    kept = [(1, 0)] * (AXES - len(kept)) + kept
    reduced = [(1, 0)] * (AXES - len(reduced)) + reduced
    count = elements(tuple(n for n, _ in reduced))
    multiplier, shift = multiplier_of(x, out, count)
    params = PARAMS.pack(
        kept=[n for n, _ in kept],
        kept_strides=[s for _, s in kept],
        reduced=[n for n, _ in reduced],
        reduced_strides=[s for _, s in reduced],
        bias=-count * x.quant.zero_point,
        multiplier=multiplier,
        shift=shift,
        out_zero_point=out.quant.zero_point,
    )
    return [Step(S16 if x.dtype == "s16" else KERNEL, (op.inputs[0],), op.outputs, params)]


OP = OpType("mean", Mean, shapes, reference, steps)
