"""Kernel set `cmsis_nn`, on Arm's CMSIS-NN: the ops and shapes it takes, scratch and parameter blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal

import numpy as np

from offramp.boards import Core
from offramp.ir import Op, Tensor
from offramp.ops import conv_2d, depthwise_conv_2d, fully_connected, pool_2d
from offramp.ops.gemm import Requantization, Window, bias_of, requantization
from offramp.ops.op import Array, Kernel, Params, Step, block, constant, elements, present

# The library whose API these adapters call. Its major and minor number are the kernels' packing version, so
# that a blob and a firmware for different versions refuse each other.
VERSION = "4.0.0"
PACKING = int(VERSION.split(".")[0]) << 8 | int(VERSION.split(".")[1])

FULLY_CONNECTED_PARAMS = Params(
    "fully_connected",
    [
        ("depth", "u32"),  # inputs of one row
        ("rows", "u16"),
        ("out_c", "u16"),
        ("multiplier", "s32"),
        ("shift", "s32"),
        ("input_zero_point", "s16"),
        ("output_zero_point", "s16"),
        ("act_min", "s16"),
        ("act_max", "s16"),
    ],
)


LAYER = (
    "s32 bias[out_c], s32 multiplier[out_c], s32 shift[out_c], s8 weights in the library's order, "
    "on Helium 16 bytes that its loads may touch"
)


def kernel(name: str, number: int, params: Params, tables: str = "") -> Kernel:
    return Kernel("cmsis_nn", name, 0x0200 + number, PACKING, params, tables=tables)


CONV = kernel("conv_2d", 1, conv_2d.PARAMS, LAYER)
POINTWISE = kernel("pointwise_conv_2d", 2, conv_2d.PARAMS, LAYER)
ROW = kernel("row_conv_2d", 3, conv_2d.PARAMS, LAYER)
DEPTHWISE = kernel("depthwise_conv_2d", 4, conv_2d.PARAMS, LAYER)
DEPTHWISE_3X3 = kernel("depthwise_conv_2d_3x3", 5, conv_2d.PARAMS, LAYER)
DEPTHWISE_OPT = kernel("depthwise_conv_2d_opt", 6, conv_2d.PARAMS, LAYER)
FULLY_CONNECTED = kernel(
    "fully_connected", 7, FULLY_CONNECTED_PARAMS, "s32 bias[out_c], s8 weights[out_c][depth]"
)
AVERAGE = kernel("average_pool_2d", 8, pool_2d.AVERAGE.params)
MAX = kernel("max_pool_2d", 9, pool_2d.MAX.params)
KERNELS = (CONV, POINTWISE, ROW, DEPTHWISE, DEPTHWISE_3X3, DEPTHWISE_OPT, FULLY_CONNECTED, AVERAGE, MAX)

Isa = Literal["plain", "dsp", "mve"]


def isa_of(core: Core) -> Isa:
    """Which of its three sets of loops the library compiles to on a core."""
    return "mve" if "mve" in core.features else "dsp" if "dsp" in core.features else "plain"


def metadata(kernels: Iterable[Kernel]) -> dict[str, str]:
    """What a blob that uses these kernels records of the library."""
    return {"cmsis_nn_version": VERSION} if any(k.set == "cmsis_nn" for k in kernels) else {}


def candidates(op: Op, inputs: list[Tensor | None], outputs: list[Tensor], core: Core) -> list[list[Step]]:
    """The ways of serving the op; none where another set serves it better or alone."""
    lower = LOWER.get(op.kind)
    if lower is None or any(t is not None and t.dtype != "s8" for t in (inputs[0], *outputs)):
        return []
    step = lower(op, inputs, outputs, isa_of(core))
    return [] if step is None else [[step]]


# ---- which shapes are worth it ----


def is_faster(kernel: Kernel, isa: Isa, *, channels: int) -> bool:
    """Whether the library takes fewer instructions than the generic kernel.

    `channels` are the output's.

    Measured as instructions over the generic kernel's, gcc 12.2 -O3, images of 8x8 and rows of 64, 1 to 128
    channels; k: weights of one output channel. "-": generic serves it on that core.

    | kernel, shape                        | M3 (plain)      | M4 (DSP)        | M55 (Helium)    |
    |--------------------------------------|-----------------|-----------------|-----------------|
    | conv_2d, k <= 100                    | 1.4-1.6 -       | 0.63-0.79       | 0.08-0.55       |
    | conv_2d, k > 100                     | slower -        | 0.66-0.88       | 0.04-0.22       |
    | conv_2d, one output channel          | -               | 0.68-1.19 -     | 0.09-0.57       |
    | pointwise_conv_2d                    | 1.31-1.50 -     | 0.56-1.06       | 0.05-0.31       |
    | row_conv_2d                          | -               | -               | 0.05-0.11       |
    | depthwise_conv_2d, multiplier 4, 8   | 0.39-0.62       | 0.39-0.63       | 0.35-0.49       |
    | the same, other multipliers, dilated | 0.87-2.54 -     | 0.88-2.67 -     | 0.92-2.74 -     |
    | depthwise_conv_2d_3x3                | 1.3-1.9 -       | 0.52-0.80       | -               |
    | depthwise_conv_2d_opt                | 0.51-3.17 -     | 0.94-1.29 -     | 0.21-0.86       |
    | fully_connected (50 small shapes)    | 0.8-1.5 -       | 0.58 in all     | 0.24 in all     |
    | average_pool_2d, channels 1-3        | 1.25-1.80 -     | 0.94-2.58 -     | 1.12-2.87 -     |
    | average_pool_2d, channels 4-7        | 1.33-1.57 -     | 0.74-1.27 -     | 0.60-0.92       |
    | average_pool_2d, channels >= 8       | 1.38-1.60 -     | 0.53-1.06       | 0.22-0.50       |
    | max_pool_2d, channels 1-3            | 0.92-2.29 -     | 0.93-2.37 -     | 0.75-3.47 -     |
    | max_pool_2d, channels 4-7            | 0.78-1.33 -     | 0.78-1.35 -     | 0.42-1.11       |
    | max_pool_2d, channels >= 8           | 0.49-1.08       | 0.49-1.09       | 0.10-0.60       |

    Convolutions with groups have no kernel in the library's 4.0.0. Columns M4 and M55 are from before generic
    multiplied two pixels at once; in column M3 the rows without a kernel of their own are the MLPerf Tiny models'.
    """
    if isa == "plain" and kernel in (CONV, POINTWISE, DEPTHWISE_3X3, FULLY_CONNECTED):
        return False
    if kernel is CONV:
        return isa == "mve" or channels > 1
    if kernel is AVERAGE:
        return isa != "plain" and channels >= (4 if isa == "mve" else 8)
    if kernel is MAX:
        return channels >= (4 if isa == "mve" else 8)
    return True


# ---- scratch ----


def conv_2d_scratch(isa: Isa, k: int, pixels: int) -> int:
    """Taps of the pixels that are multiplied at once, `k` each.

    Each product sums the weights anew, at 2 instructions a weight; on Helium once every 4 pixels anyway.
    """
    most = 4 if isa == "mve" else max(4, min(16, 8192 // k))
    return k * min(pixels, most)


def depthwise_opt_scratch(isa: Isa, in_c: int, taps: int) -> int:
    """arm_depthwise_conv_s8_opt_get_buffer_size; on Helium four columns of blocks of 124 channels."""
    return {"plain": 0, "dsp": 2 * in_c * taps, "mve": 4 * 124 * taps}[isa]


def average_pool_scratch(isa: Isa, channels: int) -> int:
    """arm_avgpool_s8_get_buffer_size."""
    return 4 * channels if isa == "dsp" else 0


# ---- what the adapters' checks allow ----


def fits(length: int, out: int, taps: int, stride: int, dilation: int, pad: int) -> bool:
    """As ofr_cmsis_nn_fits: every window touches the input, positions fit the library's int16."""
    reach = (taps - 1) * dilation + 1
    return max(length, reach) < 1 << 15 and pad < reach and (out - 1) * stride < length + pad


def layer_fits(g: dict[str, int]) -> bool:
    return fits(
        g["rows"], g["out_rows"], g["kernel_h"], g["stride_h"], g["dilation_h"], g["pad_top"]
    ) and fits(g["cols"], g["out_cols"], g["kernel_w"], g["stride_w"], g["dilation_w"], g["pad_left"])


# ---- steps ----


def layer_block(
    g: dict[str, int], r: Requantization, zero: int, bias: Array, weights: Array, isa: Isa
) -> bytes:
    """The parameter block of firmware/kernels/cmsis_nn/layer.h."""
    params = conv_2d.PARAMS.pack(
        **g,
        per_channel=1,
        input_zero_point=zero,
        output_zero_point=r.zero_point,
        act_min=r.act_min,
        act_max=r.act_max,
    )
    tables = [np.broadcast_to(t, g["out_c"]).astype(np.int32) for t in (bias, r.multiplier, r.shift)]
    overread = bytes(16 if isa == "mve" else 0)
    return block(params, *tables, weights.astype(np.int8), overread)


def lower_conv_2d(op: Op, inputs: list[Tensor | None], outputs: list[Tensor], isa: Isa) -> Step | None:
    a: Window = op.attributes
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    g = conv_2d.geometry_of(a, x, weights, out)
    k, pixels = math.prod(weights.shape[1:]), g["out_rows"] * g["out_cols"]
    chosen, scratch = CONV, conv_2d_scratch(isa, k, pixels)
    if (g["kernel_h"], g["kernel_w"], g["stride_h"], g["stride_w"]) == (1, 1, 1, 1):
        chosen, scratch = POINTWISE, 0
    elif isa == "mve" and (g["rows"], g["kernel_h"], g["dilation_w"], g["out_cols"] % 4) == (1, 1, 1, 0):
        chosen, scratch = ROW, 0
    if g["groups"] != 1 or not layer_fits(g):
        return None
    if not is_faster(chosen, isa, channels=g["out_c"]):
        return None
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, weights.shape[0])
    r = requantization(x, weights, out, a.activation)
    data = layer_block(g, r, x.quant.zero_point, bias, constant(weights), isa)
    return Step(chosen, (op.inputs[0],), op.outputs, data, scratch, conv_2d.macs(a, inputs, outputs))


def lower_depthwise_conv_2d(
    op: Op, inputs: list[Tensor | None], outputs: list[Tensor], isa: Isa
) -> Step | None:
    a: Window = op.attributes
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    _, kh, kw, out_c = weights.shape
    g = conv_2d.geometry_of(a, x, weights, out) | {"out_c": out_c, "groups": x.shape[3]}
    found = depthwise_variant(g, isa)
    if (
        found is None
        or kh * kw >= 1 << 16
        or not layer_fits(g)
        or not is_faster(found[0], isa, channels=out_c)
    ):
        return None
    chosen, scratch = found
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, out_c)
    r = requantization(x, weights, out, a.activation)
    data = layer_block(g, r, x.quant.zero_point, bias, constant(weights), isa)
    return Step(
        chosen, (op.inputs[0],), op.outputs, data, scratch, depthwise_conv_2d.macs(a, inputs, outputs)
    )


def depthwise_variant(g: dict[str, int], isa: Isa) -> tuple[Kernel, int] | None:
    """Kernel and scratch, or None: the other loops lose on every core."""
    multiplier, taps = g["out_c"] // g["in_c"], g["kernel_h"] * g["kernel_w"]
    if (g["dilation_h"], g["dilation_w"]) != (1, 1) or (isa == "plain" and g["in_c"] == 1):
        return None  # with one input channel generic sees a convolution
    if multiplier % 4 == 0:
        return DEPTHWISE, 0
    if multiplier != 1:
        return None
    centre_inside = (g["out_cols"] - 1) * g["stride_w"] + 1 < g["cols"] + g["pad_left"]
    if isa != "mve" and (g["kernel_h"], g["kernel_w"]) == (3, 3) and g["pad_left"] <= 1 and centre_inside:
        return DEPTHWISE_3X3, 0
    return (DEPTHWISE_OPT, depthwise_opt_scratch(isa, g["in_c"], taps)) if isa == "mve" else None


def lower_fully_connected(
    op: Op, inputs: list[Tensor | None], outputs: list[Tensor], isa: Isa
) -> Step | None:
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    out_c, depth = weights.shape
    rows = elements(x.shape) // depth
    r = requantization(x, weights, out, op.attributes.activation)
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, out_c)
    macs = fully_connected.macs(op.attributes, inputs, outputs)
    if len(r.multiplier) > 1:  # a 1x1 convolution: arm_fully_connected_s8 takes one multiplier
        g = fully_connected_geometry(rows, depth, out_c)
        if not layer_fits(g) or not is_faster(POINTWISE, isa, channels=out_c):
            return None
        data = layer_block(g, r, x.quant.zero_point, bias, constant(weights), isa)
        return Step(POINTWISE, (op.inputs[0],), op.outputs, data, macs=macs)
    if not is_faster(FULLY_CONNECTED, isa, channels=out_c):
        return None
    params = FULLY_CONNECTED_PARAMS.pack(
        depth=depth,
        rows=rows,
        out_c=out_c,
        multiplier=r.multiplier[0],
        shift=r.shift[0],
        input_zero_point=x.quant.zero_point,
        output_zero_point=r.zero_point,
        act_min=r.act_min,
        act_max=r.act_max,
    )
    data = block(params, bias.astype(np.int32), constant(weights).astype(np.int8))
    return Step(FULLY_CONNECTED, (op.inputs[0],), op.outputs, data, macs=macs)


def fully_connected_geometry(rows: int, depth: int, out_c: int) -> dict[str, int]:
    ones = "rows out_rows kernel_h kernel_w stride_h stride_w dilation_h dilation_w groups"
    sizes = {"cols": rows, "out_cols": rows, "in_c": depth, "out_c": out_c, "pad_top": 0, "pad_left": 0}
    return dict.fromkeys(ones.split(), 1) | sizes


def lower_pool(op: Op, inputs: list[Tensor | None], outputs: list[Tensor], isa: Isa) -> Step | None:
    x, out = present(inputs[0]), outputs[0]
    a: pool_2d.Pool = op.attributes
    _, rows, cols, channels = x.shape
    _, out_rows, out_cols, _ = out.shape
    pad_top, pad_left = pool_2d.padding_of(a, x, out)
    if not fits(rows, out_rows, a.filter_h, a.stride_h, 1, pad_top) or not fits(
        cols, out_cols, a.filter_w, a.stride_w, 1, pad_left
    ):
        return None
    chosen, scratch = (MAX, 0) if op.kind == "max_pool_2d" else (AVERAGE, average_pool_scratch(isa, channels))
    found = pool_2d.steps_of(chosen, op, inputs, outputs)
    if not found or not is_faster(chosen, isa, channels=channels):
        return None
    return replace(found[0], scratch_bytes=scratch)


LOWER: dict[str, Callable[[Op, list[Tensor | None], list[Tensor], Isa], Step | None]] = {
    "conv_2d": lower_conv_2d,
    "depthwise_conv_2d": lower_depthwise_conv_2d,
    "fully_connected": lower_fully_connected,
    "average_pool_2d": lower_pool,
    "max_pool_2d": lower_pool,
}
