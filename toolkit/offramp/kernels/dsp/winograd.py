"""3x3 convolution at stride 1 of the dsp set by Winograd's F(2x2, 3x3) in integers: 3.6 times the weights' bytes."""

from __future__ import annotations

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.dsp.linear import Linear, fractions, linear
from offramp.kernels.dsp.requantize import MAX_EXPONENT, Channels, channels, clamped
from offramp.ops import conv_2d
from offramp.ops.gemm import Window, bias_of, requantization
from offramp.ops.op import SAME_START, Array, Kernel, Params, Step, block, constant, present
from offramp.ops.work import Numbers, up

PARAMS = Params(
    "dsp_winograd",
    [
        ("rows", "u16"),
        ("cols", "u16"),
        ("in_c", "u16"),
        ("out_rows", "u16"),
        ("out_cols", "u16"),
        ("out_c", "u16"),
        ("pad_top", "u16"),
        ("pad_left", "u16"),
        ("input_zero_point", "s16"),
        ("act_min", "s16"),
        ("act_max", "s16"),
        ("linear", "u16"),  # 1: the stream's short form of requantization
    ],
)
FRACTION = 4  # sums are kept times this, in the linear form times up to 256 where the weights are int16 then
MOST_FRACTION = 256
ACCUMULATOR_BOUND = (1 << 31) // FRACTION
MOST_CHANNELS = 4096
MOST_QUADS = 16  # of channels of one plane
RING, COLUMNS, PLANES, TILES, SUMS = 4, 4, 16, 3, 6
# Twice the transform of three weights.
TRANSFORM = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])


def blocks_of(in_c: int) -> tuple[int, int]:
    """Channels in equal blocks: how many, and fours of channels in each."""
    quads = -(-in_c // 4)
    blocks = -(-quads // MOST_QUADS)
    return blocks, -(-quads // blocks)


def work(n: Numbers) -> dict[str, int]:
    blocks, quads = blocks_of(n["in_c"])
    rows = up(n["out_rows"], 2)
    tiles = rows * up(n["out_cols"], 2)
    pairs = up(tiles, TILES) * up(n["out_c"], 2)
    return {
        "rows": rows,
        "tiles": tiles,
        "transformed": tiles * blocks * quads,
        "pairs": pairs,
        "further_blocks": pairs * (blocks - 1),
        "products": pairs * blocks * quads,
        "outputs": n["elements"],
        "rounded": 0 if n["linear"] else pairs,
        "clamped": clamped(n),
        "pixels": n["rows"] * n["cols"],
        "input": n["rows"] * n["cols"] * n["in_c"],
    }


WINOGRAD = Kernel("dsp", "winograd_conv_2d", 0x0315, 1, PARAMS, SAME_START, work=work)
KERNELS = (WINOGRAD,)


def transformed(c: Channels, in_c: int) -> Array:
    """Four times the weights' transform, [in_c, 4, 4, out_c]."""
    u: Array = np.einsum("ik,okln,jl->nijo", TRANSFORM, c.weights.reshape(-1, 3, 3, in_c), TRANSFORM)
    return u


def stream(c: Channels, in_c: int, fraction: Array, short: Linear | None) -> Array:
    """Channel pairs of winograd.h: weights by block, plane and taps, then requantization and bias."""
    blocks, quads = blocks_of(in_c)
    u = transformed(c, in_c) * (fraction // FRACTION)
    tails = [fraction * c.bias, c.multiplier, 2 * c.offset + 1, c.exponent + 1]
    if short is not None:
        tails = [fraction * c.bias + short.offset, short.multiplier]
    filled = np.zeros((4 * quads * blocks, PLANES, len(u[0, 0, 0])), np.int64)
    filled[:in_c] = u.reshape(in_c, PLANES, -1)
    halves = filled.reshape(blocks, quads, 2, 2, PLANES, -1) & 0xFFFF  # channels 4 q + 2 h + e
    words = halves[:, :, 0] | halves[:, :, 1] << 16  # [blocks, quads, e, PLANES, out_c]
    rows = words.transpose(4, 0, 3, 1, 2).reshape(len(c.bias) // 2, 2, -1)
    weights = rows.transpose(0, 2, 1).reshape(len(rows), -1)
    tail = (np.stack(tails, axis=1) & 0xFFFFFFFF).reshape(len(rows), -1)
    pairs: Array = np.concatenate([weights, tail], axis=1).astype("<u4")
    return pairs


def scratch_bytes(g: dict[str, int]) -> int:
    blocks, quads = blocks_of(g["in_c"])
    row = (2 * -(-g["out_cols"] // 2) + 2) * 4 * quads * blocks
    columns = COLUMNS * 32 * quads * blocks
    return RING * row + columns + PLANES * blocks * 4 * (2 * TILES * quads + SUMS)


def tiles_over_input(g: dict[str, int]) -> bool:
    """Whether each two output rows end before the first input row that is not in the ring."""
    y = np.arange(0, g["out_rows"], 2)
    read = y + RING - g["pad_top"]
    written = np.minimum(y + 2, g["out_rows"]) * g["out_cols"] * g["out_c"]
    return bool(((read >= g["rows"]) | (written <= read * g["cols"] * g["in_c"])).all())


def lower(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a: Window = op.attributes
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    g = conv_2d.geometry_of(a, x, weights, out)
    ones = ("stride_h", "stride_w", "dilation_h", "dilation_w", "groups")
    if (g["kernel_h"], g["kernel_w"]) != (3, 3) or any(g[name] != 1 for name in ones):
        return None
    if g["in_c"] > MOST_CHANNELS or g["out_c"] % 2 != 0:
        return None
    r = requantization(x, weights, out, a.activation)
    zero = x.quant.zero_point
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, g["out_c"])
    c = channels(constant(weights).reshape(g["out_c"], -1), bias, zero, r, ACCUMULATOR_BOUND)
    if c is None or c.exponent.max() >= MAX_EXPONENT:
        return None
    room = 32767 // abs(transformed(c, g["in_c"])).max(axis=(0, 1, 2)).clip(1)
    fraction = fractions(c, r.zero_point, FRACTION, np.minimum(FRACTION * room, MOST_FRACTION))
    short = linear(c, r, fraction)
    if short is None:
        fraction = np.full_like(fraction, FRACTION)
    names = ("rows", "cols", "in_c", "out_rows", "out_cols", "out_c", "pad_top", "pad_left")
    params = PARAMS.pack(
        **{name: g[name] for name in names},
        input_zero_point=zero,
        act_min=r.act_min,
        act_max=r.act_max,
        linear=int(short is not None),
    )
    macs = conv_2d.macs(a, inputs, outputs)
    overlaps = SAME_START if tiles_over_input(g) else 0
    data = block(params, stream(c, g["in_c"], fraction, short))
    return Step(WINOGRAD, (op.inputs[0],), op.outputs, data, scratch_bytes(g), macs, overlaps=overlaps)
