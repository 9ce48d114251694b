"""The generic kernels whose weights are stored compressed: nibbles, streams without zeros, planes.

They serve convolutions of every geometry, and fully connected layers as 1x1 windows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from offramp.ir import IN_PLANES, Op, Tensor
from offramp.ops import conv_2d, fully_connected
from offramp.ops.compressed import (
    BLOCK,
    MOST_IN_PLANES,
    RUN,
    encode_blocks,
    encode_nibbles,
    fits_nibbles,
    grouped,
    padded_taps,
    planes,
)
from offramp.ops.doubled import Doubled, doubled
from offramp.ops.gemm import Requantization
from offramp.ops.op import Array, Kernel, Params, ShapeError, Step, Work, block, present
from offramp.ops.work import Numbers, axis, image, up

TILE = 4  # pixels at a time, as in the C files
TAPS_A_WORD = 4  # of two channels
BEHIND_BIAS = 3  # where an op's inputs have its weights' planes


PARAMS = Params("conv_2d_tile", [*conv_2d.PARAMS.fields, ("entries", "u32"), ("form", "u16")])
HEAD = (
    "s32 bias[out_c], with the input zero point folded in, times 32, plus the right shift; s32 multiplier[m], "
    "m = out_c if per_channel, else 1; "
)


@dataclass(frozen=True)
class Layer:
    """What a kernel is to serve, before its numbers are packed."""

    op: Op
    geometry: dict[str, int]
    requantization: Requantization
    weights: Array  # int8 [out_c, taps]
    bias: Array  # int64 [out_c], the input zero point folded in
    zero: int
    macs: int

    @property
    def taps(self) -> int:
        return int(self.weights.shape[1])

    @property
    def pointwise(self) -> bool:
        """Whether the input's pixels are their own taps."""
        return all(self.geometry[n] == 1 for n in ("kernel_h", "kernel_w", "stride_h", "stride_w", "groups"))

    def scratch(self, reach: int) -> int:
        """Bytes for a tile of a kernel that reads so far behind a pixel's first tap."""
        if self.pointwise and reach == self.taps:
            return 0
        pixels = self.geometry["out_rows"] * self.geometry["out_cols"]
        return (TILE if pixels >= TILE else 1) * reach


Scales = tuple[Array, Array]
"""As a kernel reads them: int32 [out_c], and [m] or [m, 2]; m is out_c, or 1 where all channels' are equal."""
MOST_BIAS = 1 << 26


def short(numbers: Doubled) -> Scales | None:
    """Biases with the right shifts in their lowest five bits, multipliers; None where a bias has no room for that."""
    bias = numbers.bias.astype(np.int64) // 2
    if (np.abs(bias) >= MOST_BIAS).any():
        return None
    return (32 * bias + numbers.scale[:, 1]).astype(np.int32), numbers.scale[:, 0]


def tile_step(
    kernel: Kernel, layer: Layer, scales: Scales, reach: int, stored: bytes, entries: int = 0, form: int = 0
) -> Step:
    r = layer.requantization
    head = kernel.params.pack(
        **layer.geometry,
        per_channel=int(len(scales[1]) > 1),
        input_zero_point=layer.zero,
        output_zero_point=r.zero_point,
        act_min=r.act_min,
        act_max=r.act_max,
        entries=entries,
        form=form,
    )
    return Step(
        kernel,
        (layer.op.inputs[0],),
        layer.op.outputs,
        block(head, *scales, stored),
        scratch_bytes=layer.scratch(reach),
        macs=layer.macs,
    )


# ---- nibbles ----


def pair_words(values: Array, groups: int) -> Array:
    """Nibbles of [out_c, taps] as the kernels read them: u32 [pairs of a group's channels, words]."""
    by_group = padded_taps(values, TAPS_A_WORD).astype(np.int64).reshape(groups, len(values) // groups, -1)
    even = np.pad(by_group, ((0, 0), (0, by_group.shape[1] % 2), (0, 0)))
    lanes = even.reshape(-1, 2, even.shape[2] // TAPS_A_WORD, TAPS_A_WORD) + 8
    shifts = 4 * np.arange(TAPS_A_WORD) + 16 * np.arange(2)[:, None, None]
    return np.asarray((lanes << shifts).sum(axis=(1, 3)), np.uint32)


def run_multipliers(multipliers: Array, groups: int) -> Array:
    """u8 [pairs of a group's channels, runs, 2] of [out_c, runs]."""
    by_group = multipliers.reshape(groups, len(multipliers) // groups, -1)
    even = np.pad(by_group, ((0, 0), (0, by_group.shape[1] % 2), (0, 0)))
    return even.reshape(-1, 2, even.shape[2]).transpose(0, 2, 1).astype(np.uint8)


def nibble_step(kernel: Kernel, layer: Layer, scales: Scales, weights: Array) -> Step | None:
    """None where the weights are not nibbles, nor nibbles times a multiplier a run."""
    groups, reach = layer.geometry["groups"], up(layer.taps, TAPS_A_WORD) * TAPS_A_WORD
    if fits_nibbles(weights):
        return tile_step(kernel, layer, scales, reach, block(pair_words(weights, groups)))
    found = grouped(weights)
    if found is None:
        return None
    stored = block(pair_words(found.values, groups), run_multipliers(found.multipliers, groups))
    return tile_step(kernel, layer, scales, reach, stored, form=1)


# ---- streams without zeros ----


def sparse_step(kernel: Kernel, layer: Layer, scales: Scales, weights: Array) -> Step | None:
    """None where the stream is not smaller than the weights, those of constant channels among them."""
    entries = int(np.count_nonzero(weights))
    if 2 * np.count_nonzero(layer.weights) >= layer.weights.size:
        return None
    stored = encode_blocks(weights)
    if stored is None or len(stored) >= weights.size:
        return None
    return tile_step(kernel, layer, scales, max(layer.taps, BLOCK), stored, entries)


def packed_step(kernel: Kernel, layer: Layer, scales: Scales, weights: Array) -> Step | None:
    """None where the stream is not smaller than the weights, those of constant channels among them."""
    entries, bits = int(np.count_nonzero(weights)), 4 if fits_nibbles(weights) else 8
    if (bits + 4) * np.count_nonzero(layer.weights) >= 8 * layer.weights.size:
        return None
    stored = encode_nibbles(weights, bits)
    if len(stored) >= weights.size:
        return None
    return tile_step(kernel, layer, scales, layer.taps, stored, entries, bits)


# ---- planes of nibbles, which are constant inputs of the step ----


def plane_bytes(weights: Array, groups: int) -> list[Array]:
    """The upper plane of weights [out_c, taps] and, where it holds more than zeros, the lower one: u8, as stored.

    ShapeError where a weight is larger than planes hold.
    """
    found = planes(weights)
    if found is None:
        raise ShapeError(f"a weight of {int(weights.max())}, planes of nibbles hold {MOST_IN_PLANES} at most")
    stored = found if found[1].any() else found[:1]
    return [np.frombuffer(pair_words(plane, groups).tobytes(), np.uint8) for plane in stored]


def plane_step(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step:
    """Of an op whose weights' planes follow its other inputs, as plan/planes.py lays them."""
    layer = layer_of(op, inputs, outputs)
    r, stored = layer.requantization, op.inputs[BEHIND_BIAS:]
    scale = np.stack([r.multiplier, r.shift], axis=1).astype(np.int32)
    reach = up(layer.taps, TAPS_A_WORD) * TAPS_A_WORD
    step = tile_step(PLANES[len(stored) - 1], layer, (layer.bias.astype(np.int32), scale), reach, b"")
    return replace(step, inputs=(op.inputs[0], *stored))


Lower = Callable[[Kernel, Layer, Scales, Array], Step | None]
"""From a kernel, its layer, scales, and the weights [out_c, taps] with constant channels zero."""


# ---- work ----


def tiles(n: Numbers) -> dict[str, int]:
    """Tiles and single pixels, the taps that are gathered for them, and outputs."""
    g = image(n)
    pixels, groups = g["out_rows"] * g["out_cols"], g["groups"]
    taps = g["kernel_h"] * g["kernel_w"] * g["in_c"] // groups
    one = (g["kernel_h"], g["kernel_w"], g["stride_h"], g["stride_w"], groups) == (1, 1, 1, 1, 1)
    gathered = (pixels if n["scratch_bytes"] and pixels < TILE else 0) if one else pixels
    beside = pixels - axis(g, True).whole * axis(g, False).whole
    apart = groups > 1 or g["dilation_w"] > 1
    return {
        "tiles": (pixels // TILE + pixels % TILE) * groups,
        "outputs": pixels * g["out_c"],
        "gathered": gathered * taps * groups,
        "runs": gathered * g["kernel_h"] * groups * (g["kernel_w"] if apart else 1),
        "beside": beside * g["kernel_h"] * g["kernel_w"] * groups,
        "clamped": 0 if (n["act_min"], n["act_max"]) == (-128, 127) else n["elements"],
    }


def on_tiles(n: Numbers, of_one: dict[str, int]) -> dict[str, int]:
    """What a tile does, for tiles of four pixels and for single ones: the units' names end with the pixels."""
    pixels = n["out_rows"] * n["out_cols"]
    return {
        f"{unit}_{size}": count * often
        for size, often in ((TILE, pixels // TILE), (1, pixels % TILE))
        for unit, count in of_one.items()
    }


def taps_of(n: Numbers) -> int:
    return int(n["kernel_h"] * n["kernel_w"] * n["in_c"] // n["groups"])


def nibble_work(n: Numbers) -> dict[str, int]:
    pairs, taps = up(n["out_c"] // n["groups"], 2) * n["groups"], taps_of(n)
    runs = pairs * up(taps, RUN)
    of_one = {
        "pairs": pairs,
        "words": pairs * up(taps, TAPS_A_WORD),
        "runs": runs,
        "scaled": runs * n["form"],
    }
    return tiles(n) | on_tiles(n, of_one)


def plane_work(n: Numbers) -> dict[str, int]:
    return nibble_work({**n, "form": 0})


def planes_work(n: Numbers) -> dict[str, int]:
    """Outputs once, products twice."""
    twice = ("words_4", "words_1", "runs_4", "runs_1")
    return {unit: count * (2 if unit in twice else 1) for unit, count in plane_work(n).items()}


def sparse_work(n: Numbers) -> dict[str, int]:
    of_one = {
        "channels": n["out_c"],
        "blocks": n["out_c"] * up(taps_of(n), BLOCK),
        "entries": n["entries"],
    }
    return tiles(n) | on_tiles(n, of_one)


def packed_work(n: Numbers) -> dict[str, int]:
    values = n["entries"] * n["form"] // 4
    of_one = {"channels": n["out_c"], "entries": n["entries"], "values": values}
    return tiles(n) | on_tiles(n, of_one)


def kernel(name: str, number: int, stores: str, work: Work, tables: str) -> Kernel:
    return Kernel(
        "generic",
        f"conv_2d_{name}",
        0x0100 + number,
        2,
        PARAMS,
        tables=HEAD + tables,
        work=work,
        group="compressed",
        stores=stores,
    )


NIBBLES = kernel(
    "4",
    0x20,
    "nibbles",
    nibble_work,
    "for each pair of a group's channels u32 words[ceil(taps / 4)], four taps of the first channel in the lower half "
    "and of the second in the upper, the first tap lowest, each plus 8; if form is 1, u8 multiplier of each pair's "
    "runs of 32 taps and its two channels",
)
SPARSE = kernel(
    "sparse",
    0x21,
    "sparse",
    sparse_work,
    "for each channel and each 256 of its taps (the last 256 begin earlier, to end with the taps) u8 entries, and "
    "that often u8 position, s8 value; form is 0",
)
PACKED = kernel(
    "packed",
    0x22,
    "packed",
    packed_work,
    "u32 words of nibbles, the lowest first: for each of `entries` weights the zeros before it (15: fifteen and more) "
    "and its value of `form` bits, 4 or 8, on from channel to channel; 15 up to the end",
)
KERNELS: dict[Kernel, Lower] = {NIBBLES: nibble_step, SPARSE: sparse_step, PACKED: packed_step}
PLANES_OF = (
    "s32 bias[out_c], with the input zero point folded in; s32 multiplier and s32 shift [m], m = out_c if per_channel, "
    "else 1; the nibbles are inputs of the step, stored as conv_2d_4's: "
)
PLANES = tuple(
    Kernel(
        "generic",
        f"conv_2d_{name}",
        0x0100 + number,
        1,
        PARAMS,
        tables=PLANES_OF + which,
        work=work,
        group="compressed",
        stores=stores,
    )
    for name, number, which, work, stores in (
        ("high", 0x23, "weights / 16", plane_work, "upper plane"),
        ("planes", 0x24, "the upper ones, weights / 16 rounded, and the lower ones", planes_work, "planes"),
    )
)
GEMMS = {"conv_2d": conv_2d.gemm, "fully_connected": fully_connected.gemm}


def layer_of(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Layer:
    geometry, r, weights, bias, zero, macs = GEMMS[op.kind](op, inputs, outputs)
    flat, folded = conv_2d.folded_bias(weights, bias, zero)
    return Layer(op, geometry, r, flat, folded, zero, macs)


def compressed_ways(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step]:
    """The op's ways with weights stored compressed; none where accumulators may not be doubled or a bias is large."""
    if op.kind in GEMMS and present(inputs[1]).storage == IN_PLANES:
        return [plane_step(op, inputs, outputs)]
    if op.kind not in GEMMS or any(t is None or t.dtype != "s8" for t in (*inputs[:2], *outputs)):
        return []
    layer = layer_of(op, inputs, outputs)
    numbers = doubled(layer.weights, layer.bias, layer.requantization)
    scales = short(numbers) if numbers is not None else None
    if numbers is None or scales is None:
        return []
    found = (lower(kernel, layer, scales, numbers.weights) for kernel, lower in KERNELS.items())
    return [step for step in found if step is not None]
