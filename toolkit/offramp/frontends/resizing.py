"""Resizing of images: finds the form whose sample positions are those that a file asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offramp.frontends.channels_first import Builder, two
from offramp.ops.op import Array
from offramp.ops.resize import Resize, nearest

LARGEST = 4096  # rows or columns of a resized image


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
    form = next((f for f in FORMS if fits(f, lengths, size, positions, linear)), None)
    if form is None:
        raise b.refuse(
            f"samples {list(lengths)} at positions that no resize of TensorFlow Lite takes",
            "supported: align_corners, half_pixel, asymmetric; linear, or nearest rounded down",
        )
    a = Resize(*two(size), *form)
    kind = "resize_bilinear" if linear else "resize_nearest_neighbor"
    return b.over_image(x, lambda image: b.emit(kind, a, image))


def fits(
    form: tuple[bool, bool],
    lengths: Sequence[int],
    size: Sequence[int],
    positions: Sequence[Array],
    linear: bool,
) -> bool:
    """Whether a form (align corners, half pixel) samples where it is asked to."""
    for length, out, wanted in zip(lengths, size, positions, strict=True):
        ours = FORMS[form](length, out) if linear else nearest(length, out, Resize(out, out, *form))
        if not np.allclose(ours.clip(0, length - 1), wanted.clip(0, length - 1), atol=1e-5):
            return False
    return True


def rounded(positions: Array, mode: str) -> Array:
    """Source indices of ONNX's nearest modes."""
    if mode == "round_prefer_floor":
        return np.asarray(np.ceil(positions - 0.5))
    if mode == "round_prefer_ceil":
        return np.asarray(np.floor(positions + 0.5))
    return np.asarray(np.ceil(positions) if mode == "ceil" else np.floor(positions))
