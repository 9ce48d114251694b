"""AVERAGE_POOL_2D and MAX_POOL_2D, int8 or int16."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import DTYPES, Op, Tensor
from offramp.ops.fixed_point import activation_range
from offramp.ops.gemm import Window, im2col, pad_before, window_outputs
from offramp.ops.op import Array, Kernel, OpType, Params, Shape, ShapeError, Step, integers_only, present
from offramp.ops.work import Windows

FIELDS = [
    ("rows", "u16"),
    ("cols", "u16"),
    ("channels", "u16"),
    ("out_rows", "u16"),
    ("out_cols", "u16"),
    ("filter_h", "u16"),
    ("filter_w", "u16"),
    ("stride_h", "u16"),
    ("stride_w", "u16"),
    ("pad_top", "u16"),
    ("pad_left", "u16"),
    ("act_min", "s16"),
    ("act_max", "s16"),
]
AVERAGE = Kernel("generic", "average_pool_2d", 0x0103, 1, Params("average_pool_2d", FIELDS), work=Windows())
MAX = Kernel("generic", "max_pool_2d", 0x0104, 1, Params("max_pool_2d", FIELDS), work=Windows())
AVERAGE_S16 = Kernel(
    "generic", "average_pool_2d_s16", 0x0142, 1, AVERAGE.params, work=Windows(), group="int16"
)
MAX_S16 = Kernel("generic", "max_pool_2d_s16", 0x0143, 1, MAX.params, work=Windows(), group="int16")
OF_S16 = {AVERAGE.id: AVERAGE_S16, MAX.id: MAX_S16}


@dataclass(frozen=True)
class Pool:
    filter_h: int
    filter_w: int
    stride_h: int
    stride_w: int
    padding: str = "valid"  # same | valid | explicit
    activation: str = "none"
    pads: tuple[int, ...] = ()  # of explicit padding: top, left, bottom, right; never part of a result


def shapes(a: Pool, inputs: list[Tensor | None]) -> list[Shape]:
    integers_only(inputs[0])
    n, h, w, c = present(inputs[0]).shape
    window = Window(a.stride_h, a.stride_w, padding=a.padding, pads=a.pads)
    if a.padding == "explicit" and any(
        p >= f for p, f in zip(a.pads, (a.filter_h, a.filter_w) * 2, strict=False)
    ):
        raise ShapeError(f"padding {a.pads}, a window of {a.filter_h}x{a.filter_w} must reach the image")
    return [(n, *window_outputs(window, (h, w), (a.filter_h, a.filter_w)), c)]


def padding_of(a: Pool, x: Tensor, out: Tensor) -> tuple[int, int]:
    if a.padding == "explicit":
        return a.pads[0], a.pads[1]
    return (
        pad_before(x.shape[1], out.shape[1], a.filter_h, a.stride_h, 1, a.padding),
        pad_before(x.shape[2], out.shape[2], a.filter_w, a.stride_w, 1, a.padding),
    )


def windows(a: Pool, x: Tensor, out: Tensor, value: Array, fill: int) -> Array:
    w = Window(a.stride_h, a.stride_w)
    size, spots = (a.filter_h, a.filter_w), (out.shape[1], out.shape[2])
    return im2col(value.astype(np.int64), size, spots, padding_of(a, x, out), w, fill)


def average_reference(
    a: Pool, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    x, out = present(inputs[0]), outputs[0]
    assert values[0] is not None
    total = windows(a, x, out, values[0], 0).sum(axis=3)
    count = windows(a, x, out, np.ones_like(values[0]), 0).sum(axis=3)  # padding does not count
    half = count // 2
    mean = np.where(total > 0, (total + half) // count, -((-total + half) // count))
    low, high = activation_range(a.activation, out.quant.scale, out.quant.zero_point, out.dtype)
    return [np.clip(mean, low, high).astype(DTYPES[out.dtype])]


def max_reference(
    a: Pool, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    x, out = present(inputs[0]), outputs[0]
    assert values[0] is not None
    low, high = activation_range(a.activation, out.quant.scale, out.quant.zero_point, out.dtype)
    largest = windows(a, x, out, values[0], -32768).max(axis=3)
    return [np.clip(largest, low, high).astype(DTYPES[out.dtype])]


def steps_of(kernel: Kernel, op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    a: Pool = op.attributes
    x, out = present(inputs[0]), outputs[0]
    kernel = OF_S16[kernel.id] if x.dtype == "s16" else kernel
    pad_top, pad_left = padding_of(a, x, out)
    low, high = activation_range(a.activation, out.quant.scale, out.quant.zero_point, out.dtype)
    params = kernel.params.pack(
        rows=x.shape[1],
        cols=x.shape[2],
        channels=x.shape[3],
        out_rows=out.shape[1],
        out_cols=out.shape[2],
        filter_h=a.filter_h,
        filter_w=a.filter_w,
        stride_h=a.stride_h,
        stride_w=a.stride_w,
        pad_top=pad_top,
        pad_left=pad_left,
        act_min=low,
        act_max=high,
    )
    return [Step(kernel, op.inputs, op.outputs, params)]


AVERAGE_OP = OpType(
    "average_pool_2d", Pool, shapes, average_reference, lambda o, i, t: steps_of(AVERAGE, o, i, t)
)
MAX_OP = OpType("max_pool_2d", Pool, shapes, max_reference, lambda o, i, t: steps_of(MAX, o, i, t))
