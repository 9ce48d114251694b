"""Layers of the dsp set whose weights are mostly zeros: what is left of them, one by one or in blocks of four taps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.dsp import gemm
from offramp.kernels.dsp.linear import Linear, fractions, linear
from offramp.kernels.dsp.requantize import Channels, channels, clamped
from offramp.ops import conv_2d, fully_connected
from offramp.ops.compressed import blocks_of, padded_taps
from offramp.ops.gemm import Requantization, bias_of, requantization
from offramp.ops.op import (
    SAME_START,
    Array,
    Kernel,
    Params,
    Step,
    Work,
    block,
    constant,
    elements,
    present,
)
from offramp.ops.work import Numbers, up

TILE, TAP_BYTES, BEHIND = 6, 12, 48  # pixels at once, what a tap of them takes, what is read behind the last
BLOCK = 4
FRACTION, MOST_FRACTION, BOUND = 2, 256, 1 << 30
MOST_PLACES, MOST_DEPTH = 65536, 32768
LEAST_ZEROS = 0.5  # of a layer's weights, or blocks, so that skipping them can pay

PARAMS = Params(
    "dsp_sparse",
    [
        *gemm.CONV_PARAMS.fields,
        ("entries", "u32"),  # of all channels; these two for the cost table
        ("nibbles", "u32"),
        ("output_zero_point", "s16"),  # these of packed streams
        ("value_bits", "u16"),  # 4 or 8
        ("scales", "u16"),  # multipliers and exponents: one, or out_c
    ],
)


def place_mask(n: int) -> int:
    """The places of n bytes."""
    return (1 << ((n - 1) | 4).bit_length()) - 1


def is_direct(g: Numbers) -> bool:
    inside = all(
        (g[f"out_{axis}"] - 1) * g[stride] < g[axis]
        for axis, stride in (("rows", "stride_h"), ("cols", "stride_w"))
    )
    return (g["kernel_h"], g["kernel_w"], g["pad_top"], g["pad_left"]) == (1, 1, 0, 0) and inside


def taps_of(g: Numbers) -> int:
    return int(g["kernel_h"] * g["kernel_w"] * g["in_c"])


def band(g: Numbers) -> tuple[int, int]:
    """Rows and bytes of one under the windows of six neighbouring outputs."""
    more = 0 if g["out_cols"] % TILE == 0 else (TILE + g["out_cols"] - 2) // g["out_cols"]
    rows = (g["kernel_h"] - 1) * g["dilation_h"] + 1 + more * g["stride_h"]
    return rows, gemm.span(g["out_cols"], g["stride_w"], g["kernel_w"], g["dilation_w"]) * g["in_c"]


def conv_scratch(g: Numbers) -> int:
    rows, row = (0, 0) if is_direct(g) else band(g)
    return place_mask(taps_of(g) * TAP_BYTES) + 1 + BEHIND + up(rows * row, 4) * 4


def conv_work(n: Numbers) -> dict[str, int]:
    tiles = up(n["out_rows"] * n["out_cols"], TILE)
    runs, run = gemm.runs_of(n)
    slides = len({i // n["out_cols"] for i in range(0, n["out_rows"] * n["out_cols"], TILE)})
    rows, row = (0, 0) if is_direct(n) else band(n)
    return {
        "tiles": tiles,
        "runs": tiles * runs,
        "run_fours": tiles * runs * (run // 4),
        "run_rests": tiles * runs * (run % 4 > 0),
        "run_rest_bytes": tiles * runs * (run % 4),
        "band_rows": slides * rows,
        "band_bytes": slides * rows * row,
        "channels": tiles * n["out_c"],
        "rounded": 0 if n["linear"] else tiles * n["out_c"],
        "entries": tiles * n["entries"],
        "clamped": clamped(n),
    }


def row_work(n: Numbers) -> dict[str, int]:
    return {"channels": n["out_c"], "entries": n["entries"], "depth": n["in_c"], "clamped": clamped(n)}


def kernel(name: str, number: int, work: Work, in_place: int = 0, stores: str = "sparse") -> Kernel:
    return Kernel("dsp", name, number, 1, PARAMS, in_place, work=work, group="compressed", stores=stores)


CONV = kernel("conv_2d_sparse", 0x0335, conv_work, SAME_START)
CONV_BLOCKS = kernel("conv_2d_blocks", 0x0336, conv_work, SAME_START)
ROW = kernel("fully_connected_sparse", 0x0337, row_work)
ROW_BLOCKS = kernel("fully_connected_blocks", 0x0338, row_work)
KERNELS = (CONV, CONV_BLOCKS, ROW, ROW_BLOCKS)


@dataclass(frozen=True)
class Layer:
    """What a fully connected layer and a convolution share."""

    op: Op
    geometry: dict[str, int]
    channels: Channels
    requantization: Requantization
    zero_point: int
    macs: int


# A layer with blocks of so many taps to a step; None where its kernel does not take it.
Pack = Callable[[Layer, int], Step | None]


def lower(pack: Pack, taps: int, op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    """None where too few weights are zero in blocks of so many taps."""
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    w = constant(weights).reshape(weights.shape[0], -1)
    if 1 - blocks_of(w, taps).mean() < LEAST_ZEROS:
        return None
    r = requantization(x, weights, out, op.attributes.activation)
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, len(w))
    c = channels(w, bias, x.quant.zero_point, r, BOUND)
    if op.kind == "conv_2d":
        g, macs = (
            conv_2d.geometry_of(op.attributes, x, weights, out),
            conv_2d.macs(op.attributes, inputs, outputs),
        )
    else:
        g = gemm.row_geometry(elements(x.shape) // w.shape[1], w.shape[1], len(w))
        macs = fully_connected.macs(op.attributes, inputs, outputs)
    if c is None or g["groups"] != 1:
        return None
    return pack(Layer(op, g, c, r, x.quant.zero_point, macs), taps)


def is_row(g: Numbers) -> bool:
    """One output pixel that reads one input pixel."""
    return bool(
        taps_of(g) == g["rows"] * g["cols"] * g["in_c"] == g["in_c"] and g["out_rows"] * g["out_cols"] == 1
    )


def fast(layer: Layer, taps: int) -> Step | None:
    g, c = layer.geometry, layer.channels
    if is_row(g):
        return row_step(layer, taps) if g["in_c"] <= MOST_DEPTH else None
    runs, run = gemm.runs_of(g)
    if taps_of(g) * TAP_BYTES > MOST_PLACES or (run % taps != 0 and runs != 1):
        return None
    fraction = fractions(c, layer.requantization.zero_point, FRACTION, MOST_FRACTION)
    short = linear(c, layer.requantization, fraction)
    if short is None:
        fraction = np.full(len(c.bias), FRACTION)
    words = entries(c.weights * fraction[:, None], taps, taps * TAP_BYTES)
    words = [found or [[0] * len(blank(taps))] for found in words]
    data = streams(words, c, fraction, short, -1)
    return step(layer, CONV if taps == 1 else CONV_BLOCKS, data, conv_scratch(g), sum(map(len, words)), short)


def row_step(layer: Layer, taps: int) -> Step:
    """Entries by fours, blocks by twos."""
    c, at_once = layer.channels, 4 if taps == 1 else 2
    words = entries(c.weights * FRACTION, taps, 1 if taps == 1 else 8)
    full = [found + [blank(taps)] * (-len(found) % at_once) for found in words]
    data = streams(full, c, np.full(len(c.bias), FRACTION), None, 0, at_once)
    n = sum(map(len, full)) // at_once
    return step(layer, ROW if taps == 1 else ROW_BLOCKS, data, row_scratch(layer, taps), n, None)


def row_scratch(layer: Layer, taps: int) -> int:
    depth = layer.geometry["in_c"]
    return place_mask(depth if taps == 1 else up(depth, BLOCK) * 8) + 1 + 8


def blank(taps: int) -> list[int]:
    return [0] if taps == 1 else [0, 0, 0]


def entries(w: Array, taps: int, place: int) -> list[list[list[int]]]:
    """By channel the words of each entry, with blocks so many bytes apart."""
    blocks = padded_taps(w, taps).reshape(len(w), -1, taps) & 0xFFFF
    found: list[list[list[int]]] = []
    for channel in blocks:
        at = np.flatnonzero(channel.any(axis=1))
        if taps == 1:
            words = (channel[at, 0] << 16 | at * place)[:, None]
        else:
            b = channel[at]
            words = np.stack([at * place, b[:, 0] | b[:, 2] << 16, b[:, 1] | b[:, 3] << 16], axis=1)
        found.append(words.tolist())
    return found


def streams(
    words: list[list[list[int]]],
    c: Channels,
    fraction: Array,
    short: Linear | None,
    uncounted: int,
    at_once: int = 1,
) -> bytes:
    """Of sparse.h."""
    bias = c.bias * fraction
    tails = np.stack([c.multiplier, c.offset, c.exponent], axis=1)
    if short is not None:
        bias, tails = bias + short.offset, short.multiplier[:, None]
    flat: list[int] = []
    for of_channel, b, tail in zip(words, bias, tails, strict=True):
        flat += [len(of_channel) // at_once + uncounted, int(b)]
        flat += [word for entry in of_channel for word in entry]
        flat += tail.tolist()
    return (np.array(flat, np.int64) & 0xFFFFFFFF).astype("<u4").tobytes()


def step(
    layer: Layer, kernel: Kernel, data: bytes, scratch: int, n: int, short: Linear | None, **packed: int
) -> Step:
    g, r = layer.geometry, layer.requantization
    over, backwards = False, False
    if kernel.in_place:
        over, backwards = gemm.pixels_over_input(g) if is_direct(g) else (gemm.rows_over_input(g), False)
    params = PARAMS.pack(
        **g,
        input_zero_point=layer.zero_point,
        act_min=r.act_min,
        act_max=r.act_max,
        backwards=int(backwards),
        linear=int(short is not None),
        entries=n,
        **(dict.fromkeys(("nibbles", "output_zero_point", "value_bits", "scales"), 0) | packed),
    )
    overlaps = SAME_START if over else 0
    op = layer.op
    return Step(
        kernel, (op.inputs[0],), op.outputs, block(params, data), scratch, layer.macs, overlaps=overlaps
    )
