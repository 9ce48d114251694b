"""Images row by row: crop, bilinear resize between pixels' centres, grey, quantized by a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from offramp.features.front_end import HEADER
from offramp.ops.op import Params

Array = NDArray[Any]

PIXELS = {"gray8": 1, "rgb565": 2, "rgb888": 3}
"""Formats of a source by the bytes of a pixel."""
FRACTION_BITS = 8
GREY = (77, 150, 29)

PARAMS = Params(
    "image",
    [
        *HEADER,
        *((name, "u16") for name in ("width", "height", "crop_x", "crop_y", "crop_width", "crop_height")),
        ("out_width", "u16"),
        ("out_height", "u16"),
        ("channels", "u16"),
        ("reserved", "u16"),
    ],
)


@dataclass(frozen=True)
class Image:
    """Pixels from the top left, line by line, one image after the other. `crop`: x, y, width, height."""

    kind: ClassVar[str] = "image"
    params: ClassVar[Params] = PARAMS

    source: str
    width: int
    height: int
    crop: tuple[int, int, int, int]
    out_width: int
    out_height: int
    channels: int
    values: tuple[int, ...]
    """int8 of each of 256 brightnesses."""
    rate_hz: int = 0

    @property
    def element(self) -> np.dtype[Any]:
        return np.dtype(("u1", (PIXELS[self.source],)))

    @property
    def row_bytes(self) -> int:
        return self.out_width * self.channels

    @property
    def memory_bytes(self) -> int:
        line = self.crop[2] * self.channels
        return 16 + 2 * (line + -line % 4)

    def elements(self, rows: int) -> int:
        """Up to the last pixel of the crop in the line that the last of the rows waits for."""
        images, row = divmod(rows - 1, self.out_height)
        lines, fractions = places(self.crop[3], self.out_height)
        line = int(lines[row]) + int(fractions[row] > 0)
        x, y, width, _ = self.crop
        return images * self.width * self.height + (y + line) * self.width + x + width

    def rows(self, raw: Array) -> Array:
        pixels = raw.reshape(-1, PIXELS[self.source])
        size = self.width * self.height
        n = -(-len(pixels) // size)
        whole = np.zeros((n * size, pixels.shape[1]), np.uint8)
        whole[: len(pixels)] = pixels
        x, y, width, height = self.crop
        images = in_channels(whole, self.channels).reshape(n, self.height, self.width, self.channels)
        found = self.resized(images[:, y : y + height, x : x + width].astype(np.int64))
        table = np.array(self.values, np.int8)
        rows: Array = table[found].reshape(-1, self.row_bytes)
        return rows[: sum(self.elements(i + 1) <= len(pixels) for i in range(len(rows)))]

    def resized(self, images: Array) -> Array:
        """0 to 255, halves upwards after both directions."""
        (ys, fy), (xs, fx) = places(images.shape[1], self.out_height), places(images.shape[2], self.out_width)
        below, right = (
            np.minimum(ys + 1, images.shape[1] - 1),
            np.minimum(xs + 1, images.shape[2] - 1),
        )
        fx, fy = fx[:, None], fy[:, None, None]
        one = 1 << FRACTION_BITS
        upper = images[:, ys][:, :, xs] * (one - fx) + images[:, ys][:, :, right] * fx
        lower = images[:, below][:, :, xs] * (one - fx) + images[:, below][:, :, right] * fx
        found: Array = (upper * (one - fy) + lower * fy + (1 << (2 * FRACTION_BITS - 1))) >> (
            2 * FRACTION_BITS
        )
        return found

    def fields(self) -> dict[str, int | Sequence[int]]:
        names = ("crop_x", "crop_y", "crop_width", "crop_height")
        return {
            "width": self.width,
            "height": self.height,
            **dict(zip(names, self.crop, strict=True)),
            "out_width": self.out_width,
            "out_height": self.out_height,
            "channels": self.channels,
            "reserved": 0,
        }

    def tables(self) -> Sequence[Array]:
        """Columns and their fractions, lines and theirs, values."""
        (ys, fy), (xs, fx) = places(self.crop[3], self.out_height), places(self.crop[2], self.out_width)
        byte = [fx.astype(np.uint8), fy.astype(np.uint8), np.array(self.values, np.int8)]
        return [xs.astype(np.uint16), byte[0], ys.astype(np.uint16), byte[1], byte[2]]


def places(size: int, out_size: int) -> tuple[Array, Array]:
    """Of each output its source, and how far it is to the next in 1/256; centres on centres, ends clamped."""
    real = np.clip((np.arange(out_size) + 0.5) * size / out_size - 0.5, 0, size - 1)
    fixed = np.floor(real * (1 << FRACTION_BITS) + 0.5).astype(np.int64)
    return fixed >> FRACTION_BITS, fixed & ((1 << FRACTION_BITS) - 1)


def in_channels(pixels: Array, channels: int) -> Array:
    """uint8[n, channels] of a source's pixels."""
    if pixels.shape[1] == 2:
        value = pixels[:, 0].astype(np.int64) + 256 * pixels[:, 1].astype(np.int64)
        red, green, blue = value >> 11, value >> 5 & 63, value & 31
        pixels = np.stack([red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2], axis=1)
    if pixels.shape[1] == channels:
        return pixels.astype(np.uint8)
    if channels == 3:
        return np.repeat(pixels, 3, axis=1)
    grey: Array = (pixels.astype(np.int64) @ np.array(GREY) + 128) >> 8
    return grey[:, None].astype(np.uint8)
