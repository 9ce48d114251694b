"""Convolution and fully connected of the dsp set: weights at int8 size, two to a half word, or at int16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.dsp.linear import INT4_FORM, USUAL, Form, Linear, fractions, linear
from offramp.kernels.dsp.requantize import Channels, channels, clamped
from offramp.ops import conv_2d, fully_connected
from offramp.ops.compressed import fits_nibbles
from offramp.ops.gemm import Requantization, Window, bias_of, requantization
from offramp.ops.op import (
    SAME_START,
    SCRATCH_ON_INPUT,
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
from offramp.ops.work import Numbers, Product, up

PIXELS, TAP_BYTES = 3, 24  # multiplied at once; scratch of four taps of each
CONV_PARAMS = Params(
    "dsp_conv_2d",
    [
        *(f for f in conv_2d.PARAMS.fields if f[0] not in ("per_channel", "output_zero_point")),
        ("backwards", "u16"),  # 1: pixels from last to first
        ("linear", "u16"),  # 1: the stream's short form of requantization
    ],
)
FULLY_CONNECTED_PARAMS = Params(
    "dsp_fully_connected",
    [
        ("depth", "u32"),  # inputs of one row
        ("rows", "u16"),
        ("out_c", "u16"),
        ("multiplier", "s32"),
        ("offset", "s32"),
        ("exponent", "u32"),
        ("act_min", "s16"),
        ("act_max", "s16"),
    ],
)


def tile_work(n: Numbers) -> dict[str, int]:
    found = Product(PIXELS, 2, 4)(n)
    return {**found, "rounded": 0 if n["linear"] else found["blocks"], "clamped": clamped(n)}


def ring_work(n: Numbers) -> dict[str, int]:
    """Pixels that are no neighbours of the others in their tile are gathered alone."""
    alone = x = 0
    for i in range(0, n["out_rows"] * n["out_cols"], PIXELS):
        together = x + PIXELS <= n["out_cols"]
        alone += 0 if together else min(PIXELS, n["out_rows"] * n["out_cols"] - i)
        x = (x + PIXELS) % n["out_cols"]
    return {
        **tile_work(n),
        "alone_runs": alone * n["kernel_h"],
        "alone": alone * n["kernel_h"] * n["kernel_w"] * n["in_c"],
    }


def narrow_work(n: Numbers) -> dict[str, int]:
    """Input rows are widened once for each column of outputs."""
    window = (n["kernel_h"] - 1) * n["dilation_h"] + 1
    lines = window + (n["out_rows"] - 1) * min(window, n["stride_h"])
    return {
        **ring_work(n),
        "lines": lines,
        "line_bytes": lines
        * min(n["cols"], span(n["out_cols"], n["stride_w"], n["kernel_w"], 1))
        * n["in_c"],
        "widened_runs": lines * n["out_cols"],
        "widened": lines * n["out_cols"] * n["kernel_w"] * n["in_c"],
    }


def gather_work(n: Numbers) -> dict[str, int]:
    """Runs of three pixels at a time, from a band of rows that moves down."""
    runs, run = runs_of(n)
    windows = up(n["out_rows"] * n["out_cols"], PIXELS) * n["groups"]
    slides = len({i // n["out_cols"] for i in range(0, n["out_rows"] * n["out_cols"], PIXELS)})
    rows = slides * band_rows(n)
    row = span(n["out_cols"], n["stride_w"], n["kernel_w"], n["dilation_w"]) * n["in_c"]
    return {
        **tile_work(n),
        "windows": windows,
        "window_rows": windows * (1 if runs == n["kernel_h"] else n["kernel_h"]),
        "window_runs": windows * runs,
        "run_fours": windows * runs * (run // 4),
        "run_rests": windows * runs * (run % 4 > 0),
        "run_rest_bytes": windows * runs * (run % 4),
        "band_rows": rows,
        "band_bytes": rows * row,
    }


def conv_kernel(name: str, number: int, packing: int, work: Work, stores: str = "") -> Kernel:
    return Kernel(
        *("dsp", name, 0x0300 + number, packing, CONV_PARAMS, SAME_START),
        work=work,
        group=group_of(stores),
        stores=stores,
    )


def row_kernel(name: str, number: int, taps: int = 8, stores: str = "") -> Kernel:
    return Kernel(
        *("dsp", name, 0x0300 + number, 1, FULLY_CONNECTED_PARAMS, SCRATCH_ON_INPUT),
        work=Product(1, 4, taps),
        group=group_of(stores),
        stores=stores,
    )


def group_of(stores: str) -> str:
    return "compressed" if stores else "dense"


POINTWISE = conv_kernel("pointwise_conv_2d", 0x01, 2, tile_work)
CONV = conv_kernel("conv_2d", 0x02, 2, ring_work)
GATHER = conv_kernel("gather_conv_2d", 0x03, 2, gather_work)
NARROW = conv_kernel("narrow_conv_2d", 0x21, 1, narrow_work)
FULLY_CONNECTED = row_kernel("fully_connected", 0x04)
POINTWISE_16 = conv_kernel("pointwise_conv_2d_16", 0x11, 1, tile_work)
CONV_16 = conv_kernel("conv_2d_16", 0x12, 1, ring_work)
GATHER_16 = conv_kernel("gather_conv_2d_16", 0x13, 1, gather_work)
FULLY_CONNECTED_16 = row_kernel("fully_connected_16", 0x14)
POINTWISE_4 = conv_kernel("pointwise_conv_2d_4", 0x31, 1, tile_work, "nibbles")
CONV_4 = conv_kernel("conv_2d_4", 0x32, 1, ring_work, "nibbles")
GATHER_4 = conv_kernel("gather_conv_2d_4", 0x33, 1, gather_work, "nibbles")
FULLY_CONNECTED_4 = row_kernel("fully_connected_4", 0x34, 16, "nibbles")
KERNELS = (
    *(POINTWISE, CONV, GATHER, FULLY_CONNECTED, NARROW),
    *(POINTWISE_16, CONV_16, GATHER_16, FULLY_CONNECTED_16),
)
INT4_KERNELS = (POINTWISE_4, CONV_4, GATHER_4, FULLY_CONNECTED_4)

ROW_MACS = 1024  # a product this small is not worth the code of a kernel of its own
MAX_TAPS = 65536
MOST_FRACTION = 256  # times an int8 weight is an int16
INT4_FRACTION = 16
NARROW_RUN, NARROW_BYTES = 8, 5120  # bytes of a kernel row that pay for a ring of windows, and its scratch


@dataclass(frozen=True)
class Packing:
    """One way of packing weights, and the kernels that read it."""

    pointwise: Kernel
    conv: Kernel
    gather: Kernel
    narrow: Kernel | None
    fully_connected: Kernel
    fraction: int  # sums are kept times this; in the linear form times up to most_fraction where it fits
    most_fraction: int
    # (bias, words [out_c, n]) of multiply.h, with a fraction of each channel; None where the weights cannot be packed
    words: Callable[[Channels, Array], tuple[Array, Array] | None]
    row_words: Callable[[Channels, Array], tuple[Array, Array] | None]  # of the fully connected kernel
    row_taps: int = 8  # multiplied at once by that
    row_head: int = 0  # bytes in front of a row's scratch
    form: Form = USUAL  # of the linear requantization
    halves: bool = False  # where the fours are odd, the first of two channels share a word

    @property
    def bound(self) -> int:
        """Of accumulators."""
        return (1 << 31) // self.fraction

    def fractions(self, c: Channels) -> Array:
        return np.full(len(c.bias), self.fraction)


def at_int8_size(c: Channels, fraction: Array) -> tuple[Array, Array] | None:
    """None where two weights do not fit a half word."""
    w = fill_up(c.weights.T, 4).T
    halves = 256 * w[:, 1::2] + w[:, ::2]
    if abs(halves).max(initial=0) > 32767:
        return None
    bias = fraction * (c.bias + 127 * w[:, 1::2].sum(axis=1))
    words = (halves[:, ::2] & 0xFFFF) | (halves[:, 1::2] & 0xFFFF) << 16
    return bias, words


def at_int16(c: Channels, fraction: Array) -> tuple[Array, Array]:
    """Taps 0 and 2, then 1 and 3 of each four."""
    w = fill_up(fraction * c.weights.T, 4).T.reshape(len(c.bias), -1, 2, 2) & 0xFFFF
    words = w[:, :, 0] | w[:, :, 1] << 16
    return fraction * c.bias, words.reshape(len(c.bias), -1)


def nibbles(w: Array, greater: tuple[int, ...]) -> Array:
    """Weights [out_c, 8 n] to words as multiply.h has them; `greater` taps of each eight are stored 8 greater."""
    offset = np.isin(np.arange(8), greater) * 8
    bits = np.array([0, 4, 16, 20, 8, 12, 24, 28])
    words: Array = (((w.reshape(len(w), -1, 8) + offset) & 15) << bits).sum(axis=2)
    return words


def at_int4(c: Channels, fraction: Array) -> tuple[Array, Array] | None:
    """Eight taps a word; where the fours are odd the first alone in low bytes. None where a weight has more bits."""
    if not fits_nibbles(c.weights):
        return None
    w = fill_up(c.weights.T, 4)
    alone = len(w) % 8 > 0
    words = nibbles((np.concatenate([w[:4], np.zeros_like(w[:4]), w[4:]]) if alone else w).T, (0, 2, 4, 6))
    words[:, : int(alone)] &= 0x00FF00FF
    return fraction * (c.bias - 128 * w.sum(axis=0)), words


def row_at_int4(c: Channels, fraction: Array) -> tuple[Array, Array] | None:
    """The same for ofr_dsp_row_4, whose factors are taps 128 greater, as they are, 128 greater, 128 less."""
    if not fits_nibbles(c.weights):
        return None
    eights = c.weights.reshape(len(c.weights), -1, 8).sum(axis=1)
    beside = eights @ np.array([1, 0, 1, 0, 1, -1, 1, -1]) * 128
    offsets = 8 * 128 * c.weights.shape[1] // 4  # of the weights that meet taps as they are
    return fraction * (c.bias - beside + offsets), nibbles(c.weights, (0, 1, 2, 3, 4, 6))


def fill_up(rows: Array, n: int) -> Array:
    """Rows of zeros behind until their number is a multiple of n."""
    return np.concatenate([rows, np.zeros((-len(rows) % n, *rows.shape[1:]), rows.dtype)])


def pair_stream(
    c: Channels, fraction: Array, short: Linear | None, groups: int, packing: Packing
) -> bytes | None:
    """Channels in pairs, filled up in each group of the convolution; with `short` in the linear form."""
    found = packing.words(c, fraction)
    if found is None:
        return None
    sums, words = found
    behind = [c.multiplier, c.offset, c.exponent]
    if short is not None:
        sums, behind = sums + short.offset, [short.multiplier]
        behind += [short.more] if len(packing.form.more) > 1 else []
    parts = []
    for rows in np.split(np.arange(len(c.bias)), groups):
        bias, weights, tail = (fill_up(t[rows], 2) for t in (sums, words, np.stack(behind, axis=1)))
        pairs = len(bias) // 2
        weights = weights.reshape(pairs, 2, -1).transpose(0, 2, 1).reshape(pairs, -1)
        if packing.halves and up(c.weights.shape[1], 4) % 2:
            weights = np.concatenate([weights[:, :1] | weights[:, 1:2] << 8, weights[:, 2:]], axis=1)
        words_of = [bias.reshape(pairs, 2), weights, tail.reshape(pairs, -1)]
        parts.append((np.concatenate(words_of, axis=1) & 0xFFFFFFFF).astype("<u4").tobytes())
    return b"".join(parts)


def quad_stream(c: Channels, packing: Packing) -> bytes | None:
    """Channels in fours, taps filled up."""
    c = replace(c, weights=fill_up(c.weights.T, packing.row_taps).T)
    found = packing.row_words(c, packing.fractions(c))
    if found is None:
        return None
    bias, words = (fill_up(t, 4) for t in found)
    quads = len(bias) // 4
    weights = words.reshape(quads, 4, -1).transpose(0, 2, 1).reshape(quads, -1)
    stream: Array = (np.concatenate([bias.reshape(quads, 4), weights], axis=1) & 0xFFFFFFFF).astype("<u4")
    return stream.tobytes()


def span(out: int, stride: int, taps: int, dilation: int) -> int:
    return (out - 1) * stride + (taps - 1) * dilation + 1


def choose(g: dict[str, int], packing: Packing) -> tuple[Kernel, int]:
    """The kernel for a geometry and its scratch."""
    k = g["kernel_h"] * g["kernel_w"] * g["in_c"] // g["groups"]
    taps = -(-k // 4) * TAP_BYTES
    if (g["kernel_h"], g["kernel_w"], g["pad_top"], g["pad_left"], g["groups"]) == (1, 1, 0, 0, 1):
        return packing.pointwise, taps
    rows = (g["kernel_h"] - 1) * g["dilation_h"] + 1
    row = span(g["out_cols"], g["stride_w"], g["kernel_w"], g["dilation_w"]) * g["in_c"]
    if g["in_c"] % 4 == 0 and g["groups"] == 1:
        return packing.conv, rows * row * 2 + taps
    narrow = narrow_scratch(g, taps)
    if packing.narrow is not None and narrow is not None:
        return packing.narrow, narrow
    runs, run = runs_of(g)
    return packing.gather, with_rest(band_rows(g) * row) + PIXELS * with_rest(runs * (run % 4)) + taps


def band_rows(g: Numbers) -> int:
    """Input rows under three neighbouring outputs."""
    out_rows = 3 if g["out_cols"] == 1 else 1 if g["out_cols"] % PIXELS == 0 else 2
    return int((g["kernel_h"] - 1) * g["dilation_h"] + 1 + (out_rows - 1) * g["stride_h"])


def runs_of(g: Numbers) -> tuple[int, int]:
    """How many runs of taps lie together in a row of the input, and the taps of each."""
    if (g["dilation_w"], g["groups"]) == (1, 1):
        return g["kernel_h"], g["kernel_w"] * g["in_c"]
    return g["kernel_h"] * g["kernel_w"], g["in_c"] // g["groups"]


def gathered(weights: Array, runs: int, run: int) -> Array:
    """Taps as the gathering kernels widen them: the fours of all runs, then what each leaves."""
    out_c, fours = len(weights), run // 4 * 4
    by_run = weights.reshape(out_c, runs, run)
    parts = [by_run[..., :fours].reshape(out_c, -1), by_run[..., fours:].reshape(out_c, -1)]
    return np.concatenate(parts, axis=1)


def narrow_scratch(g: dict[str, int], taps: int) -> int | None:
    """Scratch of the kernel for kernel rows that are whole fours of bytes; None where another serves better."""
    run = g["kernel_w"] * g["in_c"]
    if run % 4 != 0 or run < NARROW_RUN or g["dilation_w"] != 1 or g["groups"] != 1:
        return None
    rows = (g["kernel_h"] - 1) * g["dilation_h"] + 1
    line = span(g["out_cols"], g["stride_w"], g["kernel_w"], 1) * g["in_c"]
    scratch = rows * g["out_cols"] * run * 2 + -(-line // 4) * 4 + taps
    return scratch if scratch <= NARROW_BYTES else None


def with_rest(n: int) -> int:
    """Room for bytes that are read or written by words."""
    return (n + 6) & ~3


def conv_step(
    op: Op, g: dict[str, int], c: Channels, zero: int, r: Requantization, macs: int, packing: Packing
) -> Step | None:
    kernel, scratch = choose(g, packing)
    if kernel is packing.gather:
        c = replace(c, weights=gathered(c.weights, *runs_of(g)))
    fraction = fractions(c, r.zero_point, packing.fraction, packing.most_fraction)
    short = linear(c, r, fraction, packing.form)
    if short is None:
        fraction = packing.fractions(c)
    stream = pair_stream(c, fraction, short, g["groups"], packing)
    if stream is None or c.weights.shape[1] > MAX_TAPS:
        return None
    over, backwards = pixels_over_input(g) if kernel is packing.pointwise else (rows_over_input(g), False)
    params = CONV_PARAMS.pack(
        **g,
        input_zero_point=zero,
        act_min=r.act_min,
        act_max=r.act_max,
        backwards=int(backwards),
        linear=int(short is not None),
    )
    overlaps = SAME_START if over else 0
    return Step(kernel, (op.inputs[0],), op.outputs, block(params, stream), scratch, macs, overlaps=overlaps)


def pixels_over_input(g: dict[str, int]) -> tuple[bool, bool]:
    """(output may begin where the input begins, backwards): no pixel is overwritten before it is read."""
    y, x = np.divmod(np.arange(g["out_rows"] * g["out_cols"]), g["out_cols"])
    start = (y * g["stride_h"] * g["cols"] + x * g["stride_w"]) * g["in_c"]
    out = np.arange(len(start)) * g["out_c"]
    if (out[1:] <= start[1:]).all():  # what is written before pixel j ends where pixel j begins
        return True, False
    backwards = bool((start[:-1] + g["in_c"] <= out[1:]).all())
    return backwards, backwards


def rows_over_input(g: dict[str, int]) -> bool:
    """Whether each output row ends before the first input row that is not in the ring."""
    y = np.arange(g["out_rows"])
    read = y * g["stride_h"] - g["pad_top"] + (g["kernel_h"] - 1) * g["dilation_h"] + 1
    written = (y + 1) * g["out_cols"] * g["out_c"]
    return bool(((read >= g["rows"]) | (written <= read * g["cols"] * g["in_c"])).all())


def lower_conv_2d(
    packing: Packing, op: Op, inputs: list[Tensor | None], outputs: list[Tensor]
) -> Step | None:
    a: Window = op.attributes
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, weights.shape[0])
    r = requantization(x, weights, out, a.activation)
    zero = x.quant.zero_point
    c = channels(constant(weights).reshape(weights.shape[0], -1), bias, zero, r, packing.bound)
    if c is None:
        return None
    g = conv_2d.geometry_of(a, x, weights, out)
    return conv_step(op, g, c, zero, r, conv_2d.macs(a, inputs, outputs), packing)


def row_geometry(rows: int, depth: int, out_c: int) -> dict[str, int]:
    """A fully connected layer as a convolution."""
    ones = "rows out_rows kernel_h kernel_w stride_h stride_w dilation_h dilation_w groups"
    sizes = {"cols": rows, "out_cols": rows, "in_c": depth, "out_c": out_c, "pad_top": 0, "pad_left": 0}
    return dict.fromkeys(ones.split(), 1) | sizes


def lower_fully_connected(
    packing: Packing, op: Op, inputs: list[Tensor | None], outputs: list[Tensor]
) -> Step | None:
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    out_c, depth = weights.shape
    rows = elements(x.shape) // depth
    r = requantization(x, weights, out, op.attributes.activation)
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, out_c)
    zero = x.quant.zero_point
    c = channels(constant(weights), bias, zero, r, packing.bound)
    macs = fully_connected.macs(op.attributes, inputs, outputs)
    if c is None:
        return None
    if (
        macs < ROW_MACS
        or rows > 1
        or any(len(np.unique(t)) > 1 for t in (c.multiplier, c.offset, c.exponent))
    ):
        return conv_step(op, row_geometry(rows, depth, out_c), c, zero, r, macs, packing)
    stream = quad_stream(c, packing)
    if stream is None or depth > MAX_TAPS:
        return None
    params = FULLY_CONNECTED_PARAMS.pack(
        depth=depth,
        rows=rows,
        out_c=out_c,
        multiplier=c.multiplier[0],
        offset=c.offset[0],
        exponent=c.exponent[0],
        act_min=r.act_min,
        act_max=r.act_max,
    )
    data = block(params, stream)
    scratch = packing.row_head + 2 * up(depth, packing.row_taps) * packing.row_taps
    return Step(packing.fully_connected, (op.inputs[0],), op.outputs, data, scratch, macs)


INT8_SIZE = Packing(
    *(POINTWISE, CONV, GATHER, NARROW, FULLY_CONNECTED),
    *(256, MOST_FRACTION, at_int8_size, at_int8_size),
)
INT16 = Packing(
    *(POINTWISE_16, CONV_16, GATHER_16, None, FULLY_CONNECTED_16),
    *(2, MOST_FRACTION, at_int16, at_int16),
)
INT4 = Packing(
    *(POINTWISE_4, CONV_4, GATHER_4, None, FULLY_CONNECTED_4),
    *(INT4_FRACTION, INT4_FRACTION, at_int4, row_at_int4),
    row_taps=16,
    row_head=16,
    form=INT4_FORM,
    halves=True,
)
