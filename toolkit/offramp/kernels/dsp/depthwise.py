"""Depthwise convolution of the dsp set: 3x3 windows, channels in fours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.dsp.linear import Linear, fractions, linear
from offramp.kernels.dsp.requantize import Channels, channels, clamped
from offramp.ops import conv_2d, depthwise_conv_2d
from offramp.ops.gemm import Window, bias_of, requantization
from offramp.ops.op import SAME_START, Array, Kernel, Params, Step, block, constant, present
from offramp.ops.work import Numbers, up

PARAMS = Params(
    "dsp_depthwise",
    [
        ("rows", "u16"),
        ("cols", "u16"),
        ("channels", "u16"),
        ("out_rows", "u16"),
        ("out_cols", "u16"),
        ("stride_h", "u16"),
        ("stride_w", "u16"),
        ("pad_top", "u16"),
        ("pad_left", "u16"),
        ("transposed", "u16"),  # 1: lines are columns
        ("band", "u16"),  # output lines whose input stands in scratch at once
        ("buffered", "u16"),  # 1: output lines leave together, for strides over the input
        ("input_zero_point", "s16"),
        ("act_min", "s16"),
        ("act_max", "s16"),
    ],
)


def work(n: Numbers) -> dict[str, int]:
    """Planes of four channels, filled band by band, then lines of outputs in pairs."""
    lines, length = ("out_cols", "out_rows") if n["transposed"] else ("out_rows", "out_cols")
    across, in_length = ("stride_w", "rows") if n["transposed"] else ("stride_h", "cols")
    bands = up(n[lines], n["band"])
    shared = 0 if n["buffered"] else 3 - n[across]
    filled = up(n["channels"], 4) * (bands * 3 + (n[lines] - bands) * n[across] - shared * (bands - 1))
    out_lines = n["channels"] * n[lines]
    return {
        "bands": up(n["channels"], 4) * bands,
        "filled": filled,
        "filled_pixels": filled * n[in_length],
        "moved": shared * (bands - 1) * up(n["channels"], 4) * n[length],
        "lines": out_lines,
        "pairs": out_lines * (n[length] // 2),
        "odd": out_lines * (n[length] % 2),
        "wide_pairs": out_lines * (n[length] // 2) * (n[across] - 1),
        "outputs": n["elements"],
        "rest": n["channels"] % 4 * n[lines] * n[length],
        "clamped": clamped(n),
    }


ANY = Kernel("dsp", "depthwise_conv_2d_3x3", 0x0305, 1, PARAMS, 1 | SAME_START, work=work)
LINEAR = Kernel("dsp", "depthwise_conv_2d_3x3_linear", 0x0306, 2, PARAMS, 1 | SAME_START, work=work)
KERNELS = (ANY, LINEAR)

FRACTION = 2  # sums are kept times this
MOST_FRACTION = 256  # in the linear form
ACCUMULATOR_BOUND = (1 << 31) // FRACTION
BAND_BYTES = 2816  # scratch that longer bands may take
LINE, PAIR = 25, 31  # instructions of a line, and of two outputs


@dataclass(frozen=True)
class Bands:
    transposed: bool
    band: int
    scratch_bytes: int


def bands(g: dict[str, int], buffered: bool) -> Bands:
    """Lines along rows or columns, whichever leaves fewer odd outputs, and as many at once as scratch allows."""
    rows = direction(g, False, buffered)
    columns = direction(g, True, False)
    whole = columns.band == g["out_cols"] and columns.scratch_bytes <= BAND_BYTES and not buffered
    costs = [
        lines * (PAIR * -(-length // 2) + LINE)
        for lines, length in ((g["out_rows"], g["out_cols"]), (g["out_cols"], g["out_rows"]))
    ]
    return columns if whole and costs[1] < costs[0] else rows


def direction(g: dict[str, int], transposed: bool, buffered: bool) -> Bands:
    length, lines = ("out_rows", "out_cols") if transposed else ("out_cols", "out_rows")
    along, across = ("stride_h", "stride_w") if transposed else ("stride_w", "stride_h")
    line = ((g[length] + 1) // 2 * g[along] + 1) * 16
    out = g["out_cols"] * g["in_c"] if buffered else 0

    def scratch(band: int) -> int:
        return ((band - 1) * g[across] + 3) * line + band * out

    fits = [n for n in range(1, g[lines] + 1) if scratch(n) <= BAND_BYTES]
    band = max(fits, default=1)
    return Bands(transposed, band, scratch(band))


def blocks(c: Channels, short: Linear | None, fraction: Array, transposed: bool) -> Array:
    """The channel blocks of depthwise.h; with `short` in the linear form."""
    scale = fraction if short is not None else np.full_like(fraction, FRACTION)
    w = scale[:, None, None] * c.weights.reshape(-1, 3, 3)
    w = w.transpose(0, 2, 1) if transposed else w
    low, high = w[:, :, :2] & 0xFFFF, w[:, :, 1:] & 0xFFFF
    pairs = np.stack([low[..., 0] | low[..., 1] << 16, high[..., 0] | high[..., 1] << 16], axis=2).reshape(
        -1, 6
    )
    rest = [scale * c.bias, c.multiplier, c.offset, c.exponent]
    if short is not None:
        rest = [scale * c.bias + short.offset, short.multiplier]
    words: Array = (np.concatenate([pairs, np.stack(rest, axis=1)], axis=1) & 0xFFFFFFFF).astype("<u4")
    return words


def lower(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a: Window = op.attributes
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    _, kh, kw, out_c = weights.shape
    if (kh, kw, a.dilation_h, a.dilation_w, out_c) != (3, 3, 1, 1, x.shape[3]):
        return None
    if not {a.stride_h, a.stride_w} <= {1, 2}:
        return None
    r = requantization(x, weights, out, a.activation)
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, out_c)
    zero = x.quant.zero_point
    c = channels(constant(weights).reshape(9, out_c).T, bias, zero, r, ACCUMULATOR_BOUND)
    if c is None:
        return None
    g = conv_2d.geometry_of(a, x, weights, out)
    buffered = (a.stride_h, a.stride_w) != (1, 1)
    b = bands(g, buffered)
    names = ("rows", "cols", "out_rows", "out_cols", "stride_h", "stride_w", "pad_top", "pad_left")
    params = PARAMS.pack(
        **{name: g[name] for name in names},
        channels=out_c,
        transposed=int(b.transposed),
        band=b.band,
        buffered=int(buffered),
        input_zero_point=zero,
        act_min=r.act_min,
        act_max=r.act_max,
    )
    macs = depthwise_conv_2d.macs(a, inputs, outputs)
    fraction = fractions(c, r.zero_point, FRACTION, MOST_FRACTION)
    short = linear(c, r, fraction)
    data = block(params, blocks(c, short, fraction, b.transposed))
    kernel = ANY if short is None else LINEAR
    overlaps = 1 if not buffered else SAME_START if bands_over_input(g, b.band) else 0
    return Step(kernel, (op.inputs[0],), op.outputs, data, b.scratch_bytes, macs, overlaps=overlaps)


def bands_over_input(g: dict[str, int], band: int) -> bool:
    """Whether each buffered band of output lines ends before the first input row that the next one needs."""
    y = np.arange(band, g["out_rows"], band)
    needed = np.maximum(y * g["stride_h"] - g["pad_top"], 0) * g["cols"]
    return bool((y * g["out_cols"] <= needed).all())
