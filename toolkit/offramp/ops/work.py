"""The work in steps that slide windows over an image or multiply matrices; kernels give the sizes of their tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = Mapping[str, Any]
Array = NDArray[np.bool_]

_ONES = "out_rows out_cols kernel_h kernel_w stride_h stride_w dilation_h dilation_w groups"
_DEFAULTS = dict.fromkeys(_ONES.split(), 1) | {"pad_top": 0, "pad_left": 0}


def image(n: Numbers) -> dict[str, Any]:
    """A layer's numbers under a convolution's names."""
    g = _DEFAULTS | dict(n)
    if "depth" in g:  # fully connected
        g |= {"in_c": g["depth"], "out_cols": g.get("rows", 1), "rows": 1, "cols": g.get("rows", 1)}
    if "pixels" in g:
        g |= {"out_cols": g["pixels"], "rows": 1, "cols": g["pixels"]}
    if "channels" in g:
        g |= {"in_c": g["channels"], "out_c": g["channels"]}
    if "filter_h" in g:
        g |= {"kernel_h": g["filter_h"], "kernel_w": g["filter_w"]}
    return g


def up(n: int, by: int) -> int:
    return -(-n // by)


@dataclass(frozen=True)
class Axis:
    """The windows along one axis: taps that lie on the input, and windows of which all do."""

    taps: int
    whole: int


def on_input(g: Numbers, rows: bool) -> Array:
    """Which taps lie on the input, [windows along an axis, taps]."""
    names = (
        ("out_rows", "stride_h", "pad_top", "kernel_h", "dilation_h", "rows")
        if rows
        else ("out_cols", "stride_w", "pad_left", "kernel_w", "dilation_w", "cols")
    )
    out, stride, pad, taps, dilation, length = (int(g[name]) for name in names)
    at = np.arange(out)[:, None] * stride - pad + np.arange(taps)[None] * dilation
    inside: Array = (at >= 0) & (at < length)
    return inside


def axis(g: Numbers, rows: bool) -> Axis:
    inside = on_input(g, rows)
    return Axis(int(inside.sum()), int(inside.all(axis=1).sum()))


@dataclass(frozen=True)
class Product:
    """A convolution: so many pixels by so many channels at a time, taps in rounds of so many."""

    pixels: int
    channels: int
    taps: int
    by_row: bool = False  # tiles end with an output row
    direct: bool = False  # 1x1 windows at stride 1 are read where they lie

    def __call__(self, n: Numbers) -> dict[str, int]:
        g = image(n)
        groups, kernel_w = g["groups"], g["kernel_w"]
        pixels = g["out_rows"] * g["out_cols"]
        k = g["kernel_h"] * kernel_w * g["in_c"] // groups
        tiles = g["out_rows"] * up(g["out_cols"], self.pixels) if self.by_row else up(pixels, self.pixels)
        blocks = tiles * groups * up(g["out_c"] // groups, self.channels)
        beside = pixels - axis(g, True).whole * axis(g, False).whole
        one = (g["kernel_h"], kernel_w, g["stride_h"], g["stride_w"], groups) == (1, 1, 1, 1, 1)
        gathered = 0 if self.direct and one else pixels
        apart = groups > 1 or g["dilation_w"] > 1
        return {
            "rows": g["out_rows"],
            "tiles": tiles * groups,
            "blocks": blocks,
            "products": blocks * (k // self.taps),
            "partial": blocks * (k % self.taps > 0),
            "rest": blocks * (k % self.taps),
            "outputs": pixels * g["out_c"],
            "gathered": gathered * k * groups,
            "runs": gathered * g["kernel_h"] * groups * (kernel_w if apart else 1),
            "beside": beside * g["kernel_h"] * kernel_w * groups,
            "input": g["rows"] * g["cols"] * g["in_c"],
        }


@dataclass(frozen=True)
class Windows:
    """Pooling or depthwise convolution: so many positions by so many channels at a time."""

    channels: int = 1
    positions: int = 1
    clipped: bool = True  # taps beside the input are left out

    def __call__(self, n: Numbers) -> dict[str, int]:
        g = image(n)
        rows, cols = axis(g, True), axis(g, False)
        pixels, taps = g["out_rows"] * g["out_cols"], g["kernel_h"] * g["kernel_w"]
        blocks = g["out_c"] // self.channels if g["in_c"] == g["out_c"] else 0
        rest = g["out_c"] - blocks * self.channels
        spots = up(pixels, self.positions)
        visited = rows.taps * cols.taps if self.clipped else spots * taps
        beside = (pixels - rows.whole * cols.whole) * taps
        return {
            "rows": g["out_rows"],
            "positions": spots,
            "blocks": spots * blocks,
            "block_rows": blocks * (rows.taps * g["out_cols"] if self.clipped else spots * g["kernel_h"]),
            "block_taps": blocks * visited,
            "rest": spots * rest,
            "rest_taps": rest * visited,
            "vectors": pixels * up(g["out_c"], 16),
            "vector_taps": rows.taps * cols.taps * up(g["out_c"], 16),
            "outputs": pixels * g["out_c"],
            "runs": pixels * g["kernel_h"],
            "gathered": pixels * taps * g["in_c"],
            "beside": beside,
            "beside_bytes": beside * g["in_c"],
        }
