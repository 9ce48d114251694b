"""Layers of the dsp set whose weights are part of a wider layer's, which the plans of several widths share."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.dsp import gemm
from offramp.kernels.dsp.linear import linear
from offramp.kernels.dsp.requantize import Channels
from offramp.ops import conv_2d
from offramp.ops.conv_2d_tile import BEHIND_BIAS, GEMMS
from offramp.ops.gemm import Requantization
from offramp.ops.op import SAME_START, Array, Kernel, Params, Step, Work, block, elements, present
from offramp.ops.work import Numbers, up

PARAMS = Params(
    "dsp_slice",
    [
        *gemm.CONV_PARAMS.fields,
        ("chunk", "u16"),  # input channels of a block of the wide weights
        ("fours", "u16"),  # taps of an output of the wide layer, by fours
    ],
)


def kernel(name: str, number: int, work: Work) -> Kernel:
    return Kernel(
        *("dsp", name, number, 1, PARAMS, SAME_START),
        tables="of each pair of channels bias0, bias1, then what follows the weights in a stream of multiply.h; "
        "input 1 is the wide layer's weights, see slice.h",
        work=work,
        group="compressed",
        stores="part of the widest",
    )


def chunk_work(n: Numbers) -> dict[str, int]:
    """Runs of taps beyond a ring's are those of further blocks, or of single columns."""
    found, tiles = gemm.ring_work(n), up(n["out_rows"] * n["out_cols"], gemm.PIXELS)
    runs = (
        tiles * n["kernel_h"] * (n["in_c"] // n["chunk"]) * (n["kernel_w"] if n["chunk"] < n["in_c"] else 1)
    )
    return {**found, "chunk_runs": runs}


POINTWISE = kernel("pointwise_conv_2d_slice", 0x0340, gemm.tile_work)
CONV = kernel("conv_2d_slice", 0x0341, chunk_work)
GATHER = kernel("gather_conv_2d_slice", 0x0342, gemm.gather_work)
OF = {gemm.POINTWISE: POINTWISE, gemm.CONV: CONV, gemm.GATHER: GATHER}
KERNELS = tuple(OF.values())
WITHOUT_NARROW = replace(gemm.INT8_SIZE, narrow=None)


def geometry_of(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> dict[str, int]:
    if op.kind == "conv_2d":
        return conv_2d.geometry_of(op.attributes, present(inputs[0]), present(inputs[1]), outputs[0])
    out_c, depth = present(inputs[1]).shape
    return gemm.row_geometry(elements(present(inputs[0]).shape) // depth, depth, out_c)


def in_order(weights: Array, g: dict[str, int], chunk: int) -> Array:
    """Taps [out_c, k] as the kernel of the geometry meets them."""
    out_c, in_c = len(weights), weights.shape[-1]
    if gemm.choose(g, WITHOUT_NARROW)[0] is gemm.GATHER:
        return gemm.gathered(weights.reshape(out_c, -1), *gemm.runs_of(g))
    blocks = weights.reshape(out_c, -1, in_c // chunk, chunk)
    return blocks.transpose(0, 2, 1, 3).reshape(out_c, -1)


def wide_tensor(
    op: Op, inputs: list[Tensor | None], outputs: list[Tensor], depths: set[int]
) -> Tensor | None:
    """Of the widest layer, whose slices have so many input channels: u8 [pairs, blocks, bytes].

    None: no kernel reads it.
    """
    weights = present(inputs[1])
    assert weights.data is not None
    chunk = gcd(*depths)
    g = geometry_of(op, inputs, outputs)
    if g["groups"] != 1 or (len(depths) > 1 and chunk % 4 != 0):
        return None
    taps = gemm.fill_up(in_order(weights.data.astype(np.int64), g, chunk), 2)
    zeros = np.zeros(len(taps), np.int64)
    found = gemm.at_int8_size(Channels(taps, *(zeros,) * 6), zeros)
    if found is None:
        return None
    words = found[1].reshape(len(taps) // 2, 2, -1).transpose(0, 2, 1)
    data = np.frombuffer((words & 0xFFFFFFFF).astype("<u4").tobytes(), np.uint8)
    blocks = weights.shape[-1] // chunk
    data = data.reshape(len(taps) // 2, blocks, -1)
    return Tensor(f"{weights.name}/wide", data.shape, "u8", None, data)


def slice_step(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    """None where a precondition of the kernels does not hold."""
    weights, wide = present(inputs[1]), present(inputs[BEHIND_BIAS])
    assert weights.data is not None
    _, r, _, bias, zero, macs = GEMMS[op.kind](op, inputs, outputs)
    g = geometry_of(op, inputs, outputs)
    kernel, scratch = gemm.choose(g, WITHOUT_NARROW)
    chunk = chunk_of(weights, wide, g)
    if chunk is None or (kernel is gemm.GATHER and chunk != g["in_c"]):
        return None
    c = all_channels(in_order(weights.data.astype(np.int64), g, chunk), bias, zero, r)
    if c is None or c.weights.shape[1] > gemm.MAX_TAPS:
        return None
    fraction = np.full(len(c.bias), gemm.INT8_SIZE.fraction)
    short = linear(c, r, fraction)
    over, backwards = (
        gemm.pixels_over_input(g) if kernel is gemm.POINTWISE else (gemm.rows_over_input(g), False)
    )
    params = PARAMS.pack(
        **g,
        input_zero_point=zero,
        act_min=r.act_min,
        act_max=r.act_max,
        backwards=int(backwards),
        linear=int(short is not None),
        chunk=chunk,
        fours=wide.bytes // (8 * wide.shape[0]),
    )
    packing = replace(gemm.INT8_SIZE, words=numbers_alone)
    stream = gemm.pair_stream(c, fraction, short, 1, packing)
    assert stream is not None
    return Step(
        OF[kernel],
        (op.inputs[0], op.inputs[BEHIND_BIAS]),
        op.outputs,
        block(params, stream),
        scratch,
        macs,
        overlaps=SAME_START if over else 0,
    )


def chunk_of(weights: Tensor, wide: Tensor, g: dict[str, int]) -> int | None:
    """Input channels of a block; None: the wide tensor's blocks do not go into this layer."""
    if wide.shape[1] == 1:
        return g["in_c"]
    window = g["kernel_h"] * g["kernel_w"]
    chunk, rest = divmod(wide.shape[2] // 2, window)
    return chunk if rest == 0 and g["in_c"] % chunk == 0 else None


def numbers_alone(c: Channels, fraction: Array) -> tuple[Array, Array] | None:
    """As `at_int8_size`, the words left out."""
    found = gemm.at_int8_size(c, fraction)
    return None if found is None else (found[0], found[1][:, :0])


def all_channels(weights: Array, bias: Array, zero: int, r: Requantization) -> Channels | None:
    """As `channels`, but those that give one value whatever their input keep their weights, which others read too."""
    out_c = len(weights)
    folded = bias - zero * weights.sum(axis=1)
    highest = folded + np.maximum(weights * 127, weights * -128).sum(axis=1)
    lowest = folded + np.minimum(weights * 127, weights * -128).sum(axis=1)
    multiplier, shift = (np.broadcast_to(t, out_c).astype(np.int64) for t in (r.multiplier, r.shift))
    e = -shift
    if np.maximum(abs(highest), abs(lowest)).max(initial=0) >= gemm.INT8_SIZE.bound:
        return None
    if (multiplier < 0).any() or (e < 1).any() or (e > 23).any():
        return None
    offset = (1 << e >> 1) + (r.zero_point << e)
    return Channels(weights, folded, lowest, highest, multiplier, offset, e)
