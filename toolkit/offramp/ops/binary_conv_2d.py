"""Binary convolution: signs of an int8 input times weights of 1 and -1. This reference is the specification.

A tap of the input is 1 where its value is at least the zero point, else -1; a tap beside the input counts 0. The sum of
products with the weights and the bias is an int32, which is requantized as a convolution's: its scale is the input's
times the channel's weights'. So on an input of 1 and -1 with zero point 0 the operator is a convolution.
"""

from __future__ import annotations

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops import conv_2d
from offramp.ops.conv_2d import geometry_of, macs, padding_of
from offramp.ops.conv_2d_tile import PARAMS, taps_of
from offramp.ops.gemm import Window, bias_of, im2col, requantization
from offramp.ops.op import (
    Array,
    Kernel,
    OpType,
    Shape,
    ShapeError,
    Step,
    block,
    constant,
    present,
)
from offramp.ops.work import Numbers, up

TAPS_A_WORD = 32


def work(n: Numbers) -> dict[str, int]:
    """One pixel at a time: its taps become bits, and every channel's words are counted."""
    pixels, taps = n["out_rows"] * n["out_cols"] * n["groups"], taps_of(n)
    outputs = n["elements"]
    return {
        "pixels": pixels,
        "windows": pixels * n["kernel_h"] * n["kernel_w"],
        "taps": pixels * taps,
        "outputs": outputs,
        "words": outputs * up(taps, TAPS_A_WORD),
        "counts": outputs * up(up(taps, TAPS_A_WORD), 31),
    }


KERNEL = Kernel(
    "generic",
    "binary_conv_2d",
    0x0125,
    1,
    PARAMS,
    tables=(
        "s32 bias[out_c], s32 multiplier and s32 shift [m], m = out_c if per_channel, else 1; "
        "u32 signs[out_c][ceil(taps / 32)], the first tap lowest, 1 for weights of 1; entries and form are 0"
    ),
    work=work,
    group="binary",
    stores="bits",
)


def shapes(a: Window, inputs: list[Tensor | None]) -> list[Shape]:
    weights = present(inputs[1])
    if weights.dtype != "f32" and weights.data is not None and not np.isin(weights.data, (-1, 1)).all():
        raise ShapeError(f"tensor {weights.name} holds other values than 1 and -1")
    return conv_2d.shapes(a, inputs)


def reference(
    a: Window, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    out_c, kh, kw, group_c = weights.shape
    groups = x.shape[3] // group_c
    assert values[0] is not None
    signs = np.where(values[0] >= x.quant.zero_point, 1, -1)
    columns = im2col(signs, (kh, kw), (out.shape[1], out.shape[2]), padding_of(a, x, weights, out), a, 0)
    by_group = columns.reshape(*columns.shape[:4], groups, group_c)
    w = constant(weights).astype(np.int64).reshape(groups, out_c // groups, kh * kw, group_c)
    acc = np.einsum("nhwtgc,gotc->nhwgo", by_group, w).reshape(*columns.shape[:3], out_c)
    acc = acc + bias_of(inputs[2] if len(inputs) > 2 else None, out_c)
    return [requantization(x, weights, out, a.activation)(acc)]


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    if x.dtype != "s8" or out.dtype != "s8":
        return None
    geometry, r = (
        geometry_of(op.attributes, x, weights, out),
        requantization(x, weights, out, op.attributes.activation),
    )
    out_c = weights.shape[0]
    positive = constant(weights).reshape(out_c, -1) > 0
    words = up(positive.shape[1], TAPS_A_WORD)
    bits = np.packbits(
        np.pad(positive, ((0, 0), (0, -positive.shape[1] % TAPS_A_WORD))), axis=1, bitorder="little"
    )
    head = PARAMS.pack(
        **geometry,
        per_channel=int(len(r.multiplier) > 1),
        input_zero_point=x.quant.zero_point,
        output_zero_point=r.zero_point,
        act_min=r.act_min,
        act_max=r.act_max,
        entries=0,
        form=0,
    )
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, out_c).astype(np.int32)
    scale = np.stack([r.multiplier, r.shift], axis=1).astype(np.int32)
    data = block(head, bias, scale, bits)
    return [Step(KERNEL, (op.inputs[0],), op.outputs, data, 8 * words, macs(op.attributes, inputs, outputs))]


OP = OpType("binary_conv_2d", Window, shapes, reference, steps, macs)
