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
from offramp.ops.op import Array, Kernel, Params, Step, Work, block, constant, elements, present
from offramp.ops.work import Numbers, Product, Windows, image, up

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


WINDOWS = Windows(4)


def kernel(name: str, number: int, params: Params, tables: str = "", work: Work = WINDOWS) -> Kernel:
    return Kernel("cmsis_nn", name, 0x0200 + number, PACKING, params, tables=tables, work=work)


def product_work(n: Numbers) -> dict[str, int]:
    """arm_nn_mat_mult_nt_t_s8: two pixels by two channels, on Helium four pixels by one; it sums weights each time."""
    g = image(n)
    pixels, out_c = g["out_rows"] * g["out_cols"], g["out_c"]
    k = g["kernel_h"] * g["kernel_w"] * g["in_c"]
    at_once = n["scratch_bytes"] // k or pixels
    products = up(pixels, at_once)
    odd = pixels // at_once * (at_once % 2) + pixels % at_once % 2
    pairs, fours = (pixels - odd) // 2 * (out_c // 2), pixels // 4 * out_c
    gathering = Product(1, 1, 1)(n)
    return {
        "rounds": products,
        "sums": products * out_c,
        "summed": products * out_c * k,
        "pairs": pairs,
        "pair_sixteens": pairs * (k // 16),
        "pair_fours": pairs * (k % 16 // 4),
        "pair_ones": pairs * (k % 4),
        "odd": odd * (out_c // 2),
        "odd_taps": odd * (out_c // 2) * k,
        "last_channel": pixels * (out_c % 2),
        "last_channel_taps": pixels * (out_c % 2) * k,
        "fours": fours,
        "four_vectors": fours * up(k, 16),
        "ones": pixels % 4 * out_c,
        "one_vectors": pixels % 4 * out_c * up(k, 16),
        **{name: gathering[name] for name in ("rows", "runs", "gathered", "beside")},
    }


def row_work(n: Numbers) -> dict[str, int]:
    """arm_nn_vec_mat_mult_t_s8: one row by two channels, on Helium by four."""
    helium = Product(1, 4, 16)(n)
    return Product(1, 2, 4)(n) | {
        "fours": helium["blocks"],
        "four_vectors": helium["products"] + helium["partial"],
    }


CONV = kernel("conv_2d", 1, conv_2d.PARAMS, LAYER, product_work)
POINTWISE = kernel("pointwise_conv_2d", 2, conv_2d.PARAMS, LAYER, product_work)
ROW = kernel("row_conv_2d", 3, conv_2d.PARAMS, LAYER, product_work)
DEPTHWISE = kernel("depthwise_conv_2d", 4, conv_2d.PARAMS, LAYER)
DEPTHWISE_3X3 = kernel("depthwise_conv_2d_3x3", 5, conv_2d.PARAMS, LAYER)
DEPTHWISE_OPT = kernel("depthwise_conv_2d_opt", 6, conv_2d.PARAMS, LAYER)
FULLY_CONNECTED = kernel(
    "fully_connected", 7, FULLY_CONNECTED_PARAMS, "s32 bias[out_c], s8 weights[out_c][depth]", row_work
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
    """The ways of serving the op; none where the library does not."""
    lower = LOWER.get(op.kind)
    if lower is None or any(t is not None and t.dtype != "s8" for t in (inputs[0], *outputs)):
        return []
    step = lower(op, inputs, outputs, isa_of(core))
    return [] if step is None else [[step]]


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
    if found is None or kh * kw >= 1 << 16 or not layer_fits(g):
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
        if not layer_fits(g):
            return None
        data = layer_block(g, r, x.quant.zero_point, bias, constant(weights), isa)
        return Step(POINTWISE, (op.inputs[0],), op.outputs, data, macs=macs)
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
    return replace(found[0], scratch_bytes=scratch) if found else None


LOWER: dict[str, Callable[[Op, list[Tensor | None], list[Tensor], Isa], Step | None]] = {
    "conv_2d": lower_conv_2d,
    "depthwise_conv_2d": lower_depthwise_conv_2d,
    "fully_connected": lower_fully_connected,
    "average_pool_2d": lower_pool,
    "max_pool_2d": lower_pool,
}
