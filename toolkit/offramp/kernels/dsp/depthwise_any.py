"""Depthwise convolution of the dsp set for any window, stride, dilation and multiplier, and of one input channel."""

from __future__ import annotations

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.dsp import depthwise, gemm
from offramp.kernels.dsp.requantize import Channels, channels, clamped
from offramp.ops import conv_2d, depthwise_conv_2d
from offramp.ops.gemm import Window, bias_of, requantization
from offramp.ops.op import Array, Kernel, Params, Step, block, constant, present
from offramp.ops.work import Numbers, axis, up

PARAMS = Params(
    "dsp_depthwise_conv_2d",
    [
        *(f for f in depthwise_conv_2d.PARAMS.fields if f[0] not in ("per_channel", "output_zero_point")),
    ],
)
LANES = 4


def work(n: Numbers) -> dict[str, int]:
    """Positions, those at the border with offsets of their own, by four channels and two taps."""
    pixels, taps = n["out_rows"] * n["out_cols"], n["kernel_h"] * n["kernel_w"]
    border = pixels - axis(n, True).whole * axis(n, False).whole
    blocks = pixels * up(n["in_c"], LANES)
    lanes = blocks * (n["out_c"] // n["in_c"])
    return {
        "rows": n["out_rows"],
        "positions": pixels,
        "border": border,
        "border_taps": border * taps,
        "blocks": blocks,
        "lanes": lanes,
        "products": lanes * up(taps, 2),
        "again": pixels * (n["in_c"] % LANES > 0),
        "clamped": clamped(n),
    }


KERNEL = Kernel(
    "dsp",
    "depthwise_conv_2d",
    0x0320,
    1,
    PARAMS,
    tables=(
        "for each four input channels, the last four of them where in_c is no multiple of 4, and each of their "
        "multiplier outputs: s32 bias[4], twice; for each two taps s16 weights[4][2], twice; M, c and e of each "
        "(multiply.h)"
    ),
    work=work,
)
KERNELS = (KERNEL,)

ACCUMULATOR_BOUND = depthwise.ACCUMULATOR_BOUND


def as_convolution(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    """Where all outputs see one input channel."""
    x, weights = present(inputs[0]), present(inputs[1])
    if x.shape[3] != 1:
        return None
    c = layer(op, inputs, outputs, gemm.INT8_SIZE.bound)
    if c is None:
        return None
    a: Window = op.attributes
    r = requantization(x, weights, outputs[0], a.activation)
    g = conv_2d.geometry_of(a, x, depthwise_conv_2d.as_conv(weights), outputs[0]) | {"groups": 1}
    macs = depthwise_conv_2d.macs(a, inputs, outputs)
    return gemm.conv_step(op, g, c, x.quant.zero_point, r, macs, gemm.INT8_SIZE)


def layer(op: Op, inputs: list[Tensor | None], outputs: list[Tensor], bound: int) -> Channels | None:
    x, weights = present(inputs[0]), present(inputs[1])
    out_c = weights.shape[3]
    r = requantization(x, weights, outputs[0], op.attributes.activation)
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, out_c)
    return channels(constant(weights).reshape(-1, out_c).T, bias, x.quant.zero_point, r, bound)


def any_shape(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a: Window = op.attributes
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    c = layer(op, inputs, outputs, ACCUMULATOR_BOUND)
    if c is None:
        return None
    in_c, multiplier, taps = x.shape[3], weights.shape[3] // x.shape[3], weights.shape[1] * weights.shape[2]
    g = conv_2d.geometry_of(a, x, depthwise_conv_2d.as_conv(weights), out)
    g.pop("groups")
    r = requantization(x, weights, out, a.activation)
    params = PARAMS.pack(**g, input_zero_point=x.quant.zero_point, act_min=r.act_min, act_max=r.act_max)
    data = block(params, stream(c, in_c, multiplier))
    scratch = (taps + 1) // 2 * 8 + (in_c + 3) // 4 * 4 + 8 + (LANES * multiplier if in_c < LANES else 0)
    macs = depthwise_conv_2d.macs(a, inputs, outputs)
    return Step(KERNEL, (op.inputs[0],), op.outputs, data, scratch, macs)


def stream(c: Channels, in_c: int, multiplier: int) -> Array:
    """The blocks of KERNEL.tables as uint32."""
    firsts = [*range(0, in_c - LANES + 1, LANES), *([max(in_c - LANES, 0)] if in_c % LANES else [])]
    # [blocks, lanes]; lanes beyond a few channels repeat the last one and are not written
    lanes = np.minimum(np.array(firsts)[:, None] + np.arange(LANES), in_c - 1)
    rows = (lanes[:, None, :] * multiplier + np.arange(multiplier)[None, :, None]).reshape(-1, LANES)
    w = 2 * np.pad(c.weights, ((0, 0), (0, c.weights.shape[1] % 2)))
    words = (w[:, ::2] & 0xFFFF) | (w[:, 1::2] & 0xFFFF) << 16  # [out_c, pairs]
    weights = words[rows].transpose(0, 2, 1).reshape(len(rows), -1)
    tail = np.stack([c.multiplier, c.offset, c.exponent], axis=1)[rows].reshape(len(rows), -1)
    found: Array = (np.concatenate([2 * c.bias[rows], weights, tail], axis=1) & 0xFFFFFFFF).astype("<u4")
    return found
