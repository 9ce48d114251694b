"""Resizing of images: finds the form whose sample positions are those that a file asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from offramp.frontends.channels_first import Builder
from offramp.ops.op import Array
from offramp.ops.resize import Resize, nearest

LARGEST = 4096  # rows or columns of a resized image
# (length, new length) -> where in the old axis each new index is sampled
Positions = Callable[[int, int], Array]


def half_pixel(length: int, out: int, scale: float | None = None) -> Array:
    return (np.arange(out) + 0.5) / (scale or out / length) - 0.5


def asymmetric(length: int, out: int, scale: float | None = None) -> Array:
    return np.arange(out) / (scale or out / length)


def align_corners(length: int, out: int, scale: float | None = None) -> Array:
    return np.arange(out) * ((length - 1) / (out - 1) if out > 1 else 0.0)


FORMS = {(True, False): align_corners, (False, True): half_pixel, (False, False): asymmetric}


def resized(b: Builder, x: int, size: Sequence[int], positions: Sequence[Array], linear: bool) -> int:
    """x (NCHW or NCL) with new lengths; `positions` of each axis: exact, or for nearest the index taken."""
    lengths = b.shape(x)[2:]
    if max(size) > LARGEST or min(size) < 1:
        raise b.refuse(f"makes an image of {list(size)}", f"1 to {LARGEST} rows and columns are supported")
    for (corners, half), form in FORMS.items():
        matches = []
        for length, out, wanted in zip(lengths, size, positions, strict=True):
            a = Resize(out, out, corners, half)
            ours = form(length, out).clip(0, length - 1) if linear else nearest(length, out, a)
            matches.append(np.allclose(ours, wanted.clip(0, length - 1), atol=1e-5))
        if all(matches):
            height, width = (1, size[0]) if len(size) == 1 else (size[0], size[1])
            a = Resize(height, width, corners, half)
            kind = "resize_bilinear" if linear else "resize_nearest_neighbor"
            return b.over_image(x, lambda image: b.emit(kind, a, image))
    raise b.refuse(
        f"samples {list(lengths)} at positions that no resize of TensorFlow Lite takes",
        "supported: align_corners, half_pixel, asymmetric; linear, or nearest rounded down",
    )


def rounded(positions: Array, mode: str) -> Array:
    """Source indices of ONNX's nearest modes."""
    functions = {
        "round_prefer_floor": lambda p: np.ceil(p - 0.5),
        "round_prefer_ceil": lambda p: np.floor(p + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    found: Array = functions[mode](positions)
    return found


