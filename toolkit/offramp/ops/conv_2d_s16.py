"""CONV_2D and FULLY_CONNECTED on int16 activations: weights int8, accumulators of 64 bits or, with a bias of int32, 32.

Activations have zero point 0. The specification is TensorFlow Lite's 16x8: a bias of int64 asks for int64 sums and
multipliers of 16 bits, a bias of int32 (or none) for int32 sums, which wrap, and whole multipliers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from offramp.ir import Op
from offramp.ops.conv_2d_pair import padded
from offramp.ops.fixed_point import reduced
from offramp.ops.gemm import Requantization
from offramp.ops.op import Array, Kernel, Params, Step, block
from offramp.ops.work import Product, up

ROUND = 4  # taps multiplied in one round
# By fours: two half words that one instruction takes out of a word of weights.
ORDER = (0, 2, 1, 3)
# What sums are taken as: int32 that wrap; int64; int64 that are shown to fit int32.
INT32, INT64, FITTING = range(3)


def declare(fields: list[tuple[str, str]]) -> Kernel:
    """The kernel, whose fixed struct begins with the fields of a convolution's geometry."""
    return Kernel(
        "generic",
        "conv_2d_s16",
        0x0140,
        1,
        Params(
            "conv_2d_s16",
            [
                *fields,
                ("sums", "u16"),  # INT32, INT64 or FITTING
                ("act_min", "s16"),
                ("act_max", "s16"),
            ],
        ),
        tables=(
            "for each channel s32 bias[2] (64 bits), s32 multiplier, s32 shift; with sums 0, of int32 that wrap, as "
            "everywhere; 1, of int64: a multiplier of 16 bits, a right shift of 8 to 46; 2, of int64 that fit "
            "int32: that multiplier times 2^16, that shift less 16, 1 to 30; s8 weights[out_c][k], "
            "k = kernel_h * kernel_w * in_c / groups rounded up to 4 with zeros, each four in the order 0, 2, 1, 3"
        ),
        work=work,
        group="int16",
    )


def work(n: Any) -> dict[str, int]:
    """Pixels in pairs by channels in pairs; a last pixel alone is another loop."""
    found = Product(2, 2, ROUND, direct=n["in_c"] % ROUND == 0)(n)
    pairs, alone = divmod(n["out_rows"] * n["out_cols"], 2)
    rounds = up(n["kernel_h"] * n["kernel_w"] * n["in_c"] // n["groups"], ROUND)
    blocks = n["groups"] * up(n["out_c"] // n["groups"], 2)
    return {name: found[name] for name in ("tiles", "outputs", "gathered", "runs", "beside")} | {
        "blocks": pairs * blocks,
        "products": pairs * blocks * rounds,
        "blocks_alone": alone * blocks,
        "products_alone": alone * blocks * rounds,
        "wide": found["outputs"] * (n["sums"] != FITTING),
    }


def sums_of(r: Requantization, weights: Array, bias: Array) -> int:
    """How a layer's sums are taken; weights [out_c, k]."""
    if not r.wide:
        return INT32
    largest = np.abs(weights.astype(np.int64)).sum(axis=1) * (1 << 15) + np.abs(bias)
    return FITTING if largest.max() < 1 << 31 and r.shift.max() <= -2 else INT64


def channels(r: Requantization, bias: Array, sums: int) -> Array:
    """The table of a layer's channels: int32 [out_c, 4]."""
    multiplier, shift = (np.broadcast_to(x, bias.shape).astype(np.int64) for x in (r.multiplier, r.shift))
    if r.wide:
        multiplier, shift = reduced(multiplier), 15 - shift
    if sums == FITTING:
        multiplier, shift = multiplier << 16, shift - 16
    parts = [bias & 0xFFFFFFFF, bias >> 32, multiplier, shift]
    table: Array = np.stack(parts, axis=1).astype(np.uint32).view(np.int32)
    return table


def ordered(weights: Array) -> Array:
    """Weights [out_c, k] padded to fours, in the kernels' order."""
    w = padded(weights, 1, ROUND)
    laid: Array = w.reshape(len(w), -1, ROUND)[:, :, ORDER].reshape(len(w), -1)
    return laid


def product_step(
    kernel: Kernel, op: Op, g: dict[str, int], r: Requantization, weights: Array, bias: Array, macs: int
) -> Step:
    """A step of the kernel, weights [out_c, k]."""
    rows = weights.reshape(len(weights), -1)
    w, sums = ordered(rows), sums_of(r, rows, bias)
    params = kernel.params.pack(**g, sums=sums, act_min=r.act_min, act_max=r.act_max)
    ones = all(g[n] == 1 for n in ("kernel_h", "kernel_w", "stride_h", "stride_w", "groups"))
    direct = ones and g["in_c"] % ROUND == 0
    scratch = 0 if direct else 2 * 2 * w.shape[1]
    return Step(kernel, (op.inputs[0],), op.outputs, block(params, channels(r, bias, sums), w), scratch, macs)
