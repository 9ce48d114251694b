"""DEPTHWISE_CONV_2D, int8, any channel multiplier."""

from __future__ import annotations

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops.conv_2d import PARAMS as CONV_PARAMS
from offramp.ops.conv_2d import padding_of
from offramp.ops.gemm import Window, bias_of, im2col, requantization, window_outputs
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
    int8_only,
    present,
)

# As a convolution's, but for groups: in_c groups; channel multiplier = out_c / in_c.
PARAMS = Params("depthwise_conv_2d", [f for f in CONV_PARAMS.fields if f[0] != "groups"])
TABLES = (
    "s32 bias[out_c] with the input zero point folded in, s32 multiplier[m], s32 shift[m], "
    "s8 weights[kernel_h][kernel_w][out_c]; m = out_c if per_channel, else 1"
)
KERNEL = Kernel("generic", "depthwise_conv_2d", 0x0102, 1, PARAMS, tables=TABLES)


def shapes(a: Window, inputs: list[Tensor | None]) -> list[Shape]:
    int8_only(inputs[0], inputs[1])
    n, h, w, c = present(inputs[0]).shape
    one, kh, kw, out_c = present(inputs[1]).shape
    if one != 1 or out_c % c:
        raise ShapeError(f"{c} input channels, weights 1HWC {present(inputs[1]).shape}")
    return [(n, *window_outputs(a, (h, w), (kh, kw)), out_c)]


def reference(
    a: Window, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    _, kh, kw, out_c = weights.shape
    zero = x.quant.zero_point
    assert values[0] is not None
    pad = padding_of(a, x, weights, out)
    columns = im2col(values[0], (kh, kw), (out.shape[1], out.shape[2]), pad, a, zero).astype(np.int64) - zero
    repeated = np.repeat(columns, out_c // x.shape[3], axis=-1)
    w = constant(weights).astype(np.int64).reshape(kh * kw, out_c)
    acc = (repeated * w).sum(axis=3) + bias_of(inputs[2] if len(inputs) > 2 else None, out_c)
    return [requantization(x, weights, out, a.activation)(acc)]


def macs(a: Window, inputs: list[Tensor | None], outputs: list[Tensor]) -> int:
    _, kh, kw, _ = present(inputs[1]).shape
    return int(np.prod(outputs[0].shape)) * kh * kw


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    a: Window = op.attributes
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    _, kh, kw, out_c = weights.shape
    r = requantization(x, weights, out, a.activation)
    pad_top, pad_left = padding_of(a, x, weights, out)
    params = PARAMS.pack(
        rows=x.shape[1],
        cols=x.shape[2],
        in_c=x.shape[3],
        out_rows=out.shape[1],
        out_cols=out.shape[2],
        out_c=out_c,
        kernel_h=kh,
        kernel_w=kw,
        stride_h=a.stride_h,
        stride_w=a.stride_w,
        dilation_h=a.dilation_h,
        dilation_w=a.dilation_w,
        pad_top=pad_top,
        pad_left=pad_left,
        per_channel=int(len(r.multiplier) > 1),
        input_zero_point=x.quant.zero_point,
        output_zero_point=r.zero_point,
        act_min=r.act_min,
        act_max=r.act_max,
    )
    w = constant(weights).astype(np.int64).reshape(kh * kw, out_c)
    folded = bias_of(inputs[2] if len(inputs) > 2 else None, out_c) - x.quant.zero_point * w.sum(axis=0)
    data = block(
        params,
        folded.astype(np.int32),  # wraps, as the accumulator does
        r.multiplier.astype(np.int32),
        r.shift.astype(np.int32),
        constant(weights).astype(np.int8),
    )
    scratch = kh * kw * x.shape[3]
    return [Step(KERNEL, (op.inputs[0],), op.outputs, data, scratch, macs(a, inputs, outputs))]


OP = OpType("depthwise_conv_2d", Window, shapes, reference, steps, macs)
