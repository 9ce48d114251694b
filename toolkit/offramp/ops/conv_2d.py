"""CONV_2D, int8 or int16, with groups; fully connected runs on the same kernels as a 1x1 convolution."""

from __future__ import annotations

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops import conv_2d_s16
from offramp.ops.conv_2d_pair import declare, pair_step
from offramp.ops.gemm import (
    MOST_TAPS,
    Requantization,
    Window,
    bias_of,
    im2col,
    pad_before,
    requantization,
    weighted_types,
    window_outputs,
)
from offramp.ops.op import (
    Array,
    Kernel,
    OpType,
    Params,
    Shape,
    ShapeError,
    Step,
    block,
    constant,
    present,
)
from offramp.ops.work import Product

PARAMS = Params(
    "conv_2d",
    [
        ("rows", "u16"),  # input height; all lengths are in elements
        ("cols", "u16"),
        ("in_c", "u16"),
        ("out_rows", "u16"),
        ("out_cols", "u16"),
        ("out_c", "u16"),
        ("kernel_h", "u16"),
        ("kernel_w", "u16"),
        ("stride_h", "u16"),
        ("stride_w", "u16"),
        ("dilation_h", "u16"),
        ("dilation_w", "u16"),
        ("pad_top", "u16"),
        ("pad_left", "u16"),
        ("groups", "u16"),
        ("per_channel", "u16"),  # 1: a multiplier and shift for each output channel; 0: one for all
        ("input_zero_point", "s16"),
        ("output_zero_point", "s16"),
        ("act_min", "s16"),
        ("act_max", "s16"),
    ],
)
TABLES = (
    "s32 bias[out_c] with the input zero point folded in, s32 multiplier[m], s32 shift[m], "
    "s8 weights[out_c][kernel_h][kernel_w][in_c / groups]; m = out_c if per_channel, else 1"
)
KERNEL = Kernel(
    "generic", "conv_2d", 0x0101, 1, PARAMS, tables=TABLES, work=Product(2, 2, 4, direct=True)
)  # whatever the weights
PAIR = declare(list(PARAMS.fields))
GEOMETRY = [f for f in PARAMS.fields if f[1] == "u16" and f[0] != "per_channel"]
S16 = conv_2d_s16.declare(GEOMETRY)


def shapes(a: Window, inputs: list[Tensor | None]) -> list[Shape]:
    weighted_types(inputs)
    n, h, w, c = present(inputs[0]).shape
    out_c, kh, kw, group_c = present(inputs[1]).shape
    if kh * kw * group_c > MOST_TAPS:
        raise ShapeError(f"{kh * kw * group_c} weights for one output channel, at most {MOST_TAPS}")
    if group_c == 0 or c % group_c or out_c % (c // group_c):
        raise ShapeError(f"{c} input channels, weights for {group_c} and {out_c} output channels")
    return [(n, *window_outputs(a, (h, w), (kh, kw)), out_c)]


def reference(
    a: Window, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    bias = inputs[2] if len(inputs) > 2 else None
    out_c, kh, kw, group_c = weights.shape
    groups = x.shape[3] // group_c
    pad = padding_of(a, x, weights, out)
    zero = x.quant.zero_point
    assert values[0] is not None
    columns = (
        im2col(values[0], (kh, kw), (out.shape[1], out.shape[2]), pad, a, zero).astype(np.float64) - zero
    )
    w = constant(weights).astype(np.float64).reshape(groups, out_c // groups, kh * kw, group_c)
    parts = [
        np.tensordot(columns[..., g * group_c : (g + 1) * group_c], w[g], axes=([3, 4], [1, 2]))
        for g in range(groups)
    ]  # float64 is exact: |acc| < 2^53
    acc = np.concatenate(parts, axis=-1).astype(np.int64) + bias_of(bias, out_c)
    return [requantization(x, weights, out, a.activation, bias)(acc)]


def padding_of(a: Window, x: Tensor, weights: Tensor, out: Tensor) -> tuple[int, int]:
    if a.padding == "explicit":
        return a.pads[0], a.pads[1]
    _, kh, kw, _ = weights.shape
    return (
        pad_before(x.shape[1], out.shape[1], kh, a.stride_h, a.dilation_h, a.padding),
        pad_before(x.shape[2], out.shape[2], kw, a.stride_w, a.dilation_w, a.padding),
    )


def macs(a: Window, inputs: list[Tensor | None], outputs: list[Tensor]) -> int:
    """Padding taps included, as the peers count."""
    out_c, kh, kw, group_c = present(inputs[1]).shape
    n, h, w, _ = outputs[0].shape
    return n * h * w * out_c * kh * kw * group_c


def gemm_step(
    op: Op, geometry: dict[str, int], r: Requantization, weights: Array, bias: Array, zero: int, macs: int
) -> Step:
    """A step of a generic kernel; `weights` [out_c, ...] int8, the taps in the order of a window's."""
    w, folded = folded_bias(weights, bias, zero)
    fast = pair_step(PAIR, op, geometry, r, w, folded, zero, macs)
    return fast or general_gemm_step(op, geometry, r, weights, bias, zero, macs)


def folded_bias(weights: Array, bias: Array, zero: int) -> tuple[Array, Array]:
    """Weights as [out_c, k], and the bias with the input zero point folded in."""
    w = weights.reshape(len(weights), -1)
    return w, bias - zero * w.astype(np.int64).sum(axis=1)


def general_gemm_step(
    op: Op, geometry: dict[str, int], r: Requantization, weights: Array, bias: Array, zero: int, macs: int
) -> Step:
    """A step of the kernel that takes all numbers."""
    w, folded = folded_bias(weights, bias, zero)
    params = PARAMS.pack(
        **geometry,
        per_channel=int(len(r.multiplier) > 1),
        input_zero_point=zero,
        output_zero_point=r.zero_point,
        act_min=r.act_min,
        act_max=r.act_max,
    )
    k = geometry["kernel_h"] * geometry["kernel_w"] * geometry["in_c"] // geometry["groups"]
    pointwise = all(geometry[n] == 1 for n in ("kernel_h", "kernel_w", "stride_h", "stride_w", "groups"))
    return Step(
        KERNEL,
        (op.inputs[0],),
        op.outputs,
        block(
            params,
            folded.astype(np.int32),  # wraps, as the accumulator does
            r.multiplier.astype(np.int32),
            r.shift.astype(np.int32),
            w.astype(np.int8),
        ),
        scratch_bytes=0 if pointwise else 2 * k,
        macs=macs,
    )


def geometry_of(a: Window, x: Tensor, weights: Tensor, out: Tensor) -> dict[str, int]:
    out_c, kh, kw, group_c = weights.shape
    pad_top, pad_left = padding_of(a, x, weights, out)
    return {
        "rows": x.shape[1],
        "cols": x.shape[2],
        "in_c": x.shape[3],
        "out_rows": out.shape[1],
        "out_cols": out.shape[2],
        "out_c": out_c,
        "kernel_h": kh,
        "kernel_w": kw,
        "stride_h": a.stride_h,
        "stride_w": a.stride_w,
        "dilation_h": a.dilation_h,
        "dilation_w": a.dilation_w,
        "pad_top": pad_top,
        "pad_left": pad_left,
        "groups": x.shape[3] // group_c,
    }


Gemm = tuple[dict[str, int], Requantization, Array, Array, int, int]
"""Geometry, requantization, weights [out_c, ...], bias, input zero point, MACs."""


def gemm(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Gemm:
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    bias = inputs[2] if len(inputs) > 2 else None
    return (
        geometry_of(op.attributes, x, weights, out),
        requantization(x, weights, out, op.attributes.activation, bias),
        constant(weights),
        bias_of(bias, weights.shape[0]),
        x.quant.zero_point,
        macs(op.attributes, inputs, outputs),
    )


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    geometry, r, weights, bias, zero, count = gemm(op, inputs, outputs)
    if present(inputs[0]).dtype == "s16":
        return [conv_2d_s16.product_step(S16, op, geometry, r, weights, bias, count)]
    return [gemm_step(op, geometry, r, weights, bias, zero, count)]


OP = OpType("conv_2d", Window, shapes, reference, steps, macs)
