"""DEPTHWISE_CONV_2D, int8 or int16, any channel multiplier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops.conv_2d import GEOMETRY, gemm_step, geometry_of, padding_of
from offramp.ops.conv_2d import PARAMS as CONV_PARAMS
from offramp.ops.conv_2d import S16 as S16_CONV
from offramp.ops.conv_2d_s16 import ORDER, channels, product_step, sums_of
from offramp.ops.doubled import doubled
from offramp.ops.gemm import (
    Requantization,
    Window,
    bias_of,
    im2col,
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
from offramp.ops.work import Numbers, Windows, on_input

# As a convolution's, but for groups: in_c groups; channel multiplier = out_c / in_c.
PARAMS = Params("depthwise_conv_2d", [f for f in CONV_PARAMS.fields if f[0] != "groups"])
TABLES = (
    "s32 bias[out_c] with the input zero point folded in, s32 multiplier[m], s32 shift[m], "
    "s8 weights[kernel_h][kernel_w][out_c]; m = out_c if per_channel, else 1"
)
KERNEL = Kernel(
    "generic", "depthwise_conv_2d", 0x0102, 1, PARAMS, tables=TABLES, work=Windows(4, clipped=False)
)  # whatever the weights
LEFT_OUT = ("groups", "in_c", "out_c", "kernel_h", "kernel_w", "per_channel")
PARAMS_3X3 = Params(
    "depthwise_conv_2d_3x3", [("channels", "u16"), *(f for f in CONV_PARAMS.fields if f[0] not in LEFT_OUT)]
)


PARAMS_S16 = Params(
    "depthwise_conv_2d_s16",
    [*(f for f in GEOMETRY if f[0] != "groups"), ("sums", "u16"), ("act_min", "s16"), ("act_max", "s16")],
)
S16 = Kernel(
    "generic",
    "depthwise_conv_2d_s16",
    0x0141,
    1,
    PARAMS_S16,
    tables=(
        "for each channel s32 bias[2] (64 bits), s32 multiplier, s32 shift as conv_2d_s16; "
        "s8 weights[kernel_h][kernel_w][out_c], each whole four channels in the order 0, 2, 1, 3 where out_c = in_c"
    ),
    work=Windows(4, clipped=False),
    group="int16",
)
MOST_TAPS_S16 = 508  # of one output value: their products fit an int32 sum


def work_3x3(n: Numbers) -> dict[str, int]:
    """Positions in pairs; taps of those with one beside the input are gathered."""
    g = {**n, "kernel_h": 3, "kernel_w": 3}
    whole = np.outer(on_input(g, True).all(axis=1), on_input(g, False).all(axis=1)).ravel()
    pairs = np.concatenate([whole, np.ones(len(whole) % 2, bool)]).reshape(-1, 2).all(axis=1)
    apart = min(2 * int((~pairs).sum()), len(whole))
    return {
        "positions": len(pairs),
        "channels": len(pairs) * n["channels"],
        "gathered": apart,
        "gathered_channels": apart * n["channels"],
        "clamped": 0 if (n["act_min"], n["act_max"]) == (-128, 127) else n["elements"],
    }


KERNEL_3X3 = Kernel(
    "generic",
    "depthwise_conv_2d_3x3",
    0x0113,
    1,
    PARAMS_3X3,
    tables=(
        "for each channel 24 bytes: s8 weights[3][3], 3 zero bytes, s32 bias, doubled, with the input zero point "
        "folded in, s32 multiplier, s32 right shift"
    ),
    work=work_3x3,
)


def shapes(a: Window, inputs: list[Tensor | None]) -> list[Shape]:
    weighted_types(inputs, ("s64",))
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
    bias = inputs[2] if len(inputs) > 2 else None
    acc = (repeated * w).sum(axis=3) + bias_of(bias, out_c)
    return [requantization(x, weights, out, a.activation, bias)(acc)]


def macs(a: Window, inputs: list[Tensor | None], outputs: list[Tensor]) -> int:
    _, kh, kw, _ = present(inputs[1]).shape
    return int(np.prod(outputs[0].shape)) * kh * kw


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    a: Window = op.attributes
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    _, kh, kw, out_c = weights.shape
    r = requantization(x, weights, out, a.activation, inputs[2] if len(inputs) > 2 else None)
    zero, count = x.quant.zero_point, macs(a, inputs, outputs)
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, out_c)
    w = constant(weights).reshape(kh * kw, out_c)
    geometry = geometry_of(a, x, as_conv(weights), out)
    if x.dtype == "s16":
        return [step_s16(op, geometry, r, w, bias, count)]
    if x.shape[3] == 1:  # each output channel sees all inputs: a convolution
        return [gemm_step(op, geometry, r, w.T, bias, zero, count)]
    geometry.pop("groups")
    folded = bias - zero * w.astype(np.int64).sum(axis=0)
    if (kh, kw, out_c) == (3, 3, x.shape[3]):
        fast = step_3x3(op, geometry, r, w.T, folded, zero, count)
        if fast is not None:
            return [fast]
    params = PARAMS.pack(
        **geometry,
        per_channel=int(len(r.multiplier) > 1),
        input_zero_point=zero,
        output_zero_point=r.zero_point,
        act_min=r.act_min,
        act_max=r.act_max,
    )
    data = block(
        params,
        folded.astype(np.int32),  # wraps, as the accumulator does
        r.multiplier.astype(np.int32),
        r.shift.astype(np.int32),
        w,
    )
    return [Step(KERNEL, (op.inputs[0],), op.outputs, data, kh * kw * x.shape[3], count)]


def step_s16(op: Op, g: dict[str, int], r: Requantization, w: Array, bias: Array, macs: int) -> Step:
    """A step on int16 activations, weights [taps, out_c]: of the convolution where each output sees all inputs."""
    if g["in_c"] == 1 or len(w) > MOST_TAPS_S16:
        return product_step(S16_CONV, op, g, r, w.T, bias, macs)
    by_fours = g["in_c"] == g["out_c"]  # channels that lie in the kernel's order; the rest as they are
    n = g["out_c"] // 4 * 4 if by_fours else 0
    laid = np.concatenate(
        [w[:, :n].reshape(len(w), -1, 4)[:, :, ORDER].reshape(len(w), -1), w[:, n:]], axis=1
    )
    geometry = {name: g[name] for name, _ in GEOMETRY if name != "groups"}
    sums = sums_of(r, w.T, bias)
    params = PARAMS_S16.pack(**geometry, sums=sums, act_min=r.act_min, act_max=r.act_max)
    scratch = 2 * len(w) * g["in_c"]
    return Step(S16, (op.inputs[0],), op.outputs, block(params, channels(r, bias, sums), laid), scratch, macs)


def as_conv(weights: Tensor) -> Tensor:
    """Weights 1HWC as a convolution's C, H, W, 1 with as many groups."""
    return replace(weights, shape=(weights.shape[3], *weights.shape[1:3], 1), data=None)


def step_3x3(
    op: Op, geometry: dict[str, int], r: Requantization, weights: Array, folded: Array, zero: int, macs: int
) -> Step | None:
    """A step of the 3x3 kernel, weights [out_c, 9]; None where its preconditions fail."""
    layer = doubled(weights, folded, r)
    if layer is None:
        return None
    channels = geometry["out_c"]
    names = {name for name, _ in PARAMS_3X3.fields}
    params = PARAMS_3X3.pack(
        **{name: value for name, value in geometry.items() if name in names},
        channels=channels,
        input_zero_point=zero,
        output_zero_point=r.zero_point,
        act_min=r.act_min,
        act_max=r.act_max,
    )
    laid = np.zeros(
        channels, np.dtype([("weights", "i1", 9), ("zero", "i1", 3), ("bias", "<i4"), ("scale", "<i4", 2)])
    )
    laid["weights"], laid["bias"], laid["scale"] = layer.weights, layer.bias, layer.scale
    return Step(KERNEL_3X3, (op.inputs[0],), op.outputs, block(params, laid), 2 * 9 * channels, macs)


OP = OpType("depthwise_conv_2d", Window, shapes, reference, steps, macs)
