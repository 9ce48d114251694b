"""Draws what a monitor sees with characters: images, waves, bars, strips."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
from rich.style import Style
from rich.text import Text

from offramp_host.monitor.events import Reading
from offramp_host.monitor.model import Array

Kind = Literal["image", "wave", "bars"]

_SHADES = " ░▒▓█"
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LEFT_EIGHTHS = " ▏▎▍▌▋▊▉█"
_MARKS = "0123456789abcdefghijklmnopqrstuvwxyz"
_COLORS = ("red", "green", "yellow", "blue", "magenta", "cyan", "bright_red", "bright_green")
_MOST_BARS, _MOST_WAVES, _LEAST_SIDE = 32, 8, 4


def kind_of(shape: Sequence[int]) -> Kind:
    """How an input is best looked at."""
    dims = [n for n in shape if n != 1]
    if dims and dims[-1] == 3 and len(dims) == 3:
        return "image"
    if len(dims) >= 2 and dims[-1] > _MOST_WAVES and min(dims[-2:]) >= _LEAST_SIDE:
        return "image"
    if len(dims) == 2 and min(dims) >= _LEAST_SIDE and dims[0] <= _MOST_WAVES:
        return "image"
    return "bars" if int(np.prod(dims, dtype=np.int64)) <= _MOST_BARS else "wave"


def preview(array: Array, columns: int, lines: int, color: bool = True) -> Text:
    """An input in at most so many columns and lines."""
    kind = kind_of(array.shape)
    if kind == "image":
        return (_half_blocks if color else _shades)(brightness(as_image(array)), columns, lines)
    if kind == "bars":
        return columns_of(array.reshape(-1).astype(np.float64), columns, lines)
    waves = as_waves(array)
    each = max(lines // len(waves), 1)
    return Text("\n").join(_wave(one.astype(np.float64), columns, each) for one in waves[: max(lines, 1)])


def as_image(array: Array) -> Array:
    """[height, width] or [height, width, 3]; of several maps the first."""
    dims = [n for n in array.shape if n != 1]
    if len(dims) == 3 and dims[-1] != 3:
        return array.reshape(dims)[..., 0]
    return array.reshape(dims if len(dims) < 4 else dims[-2:] if dims[-1] != 3 else dims[-3:])


def as_waves(array: Array) -> Array:
    """[waves, moments]."""
    dims = [n for n in array.shape if n != 1]
    return array.reshape(dims[0], -1).T if len(dims) == 2 else array.reshape(1, -1)


def brightness(image: Array) -> Array:
    """0 to 1: of bytes by their range, else from the least to the largest value."""
    values = image.astype(np.float64)
    if image.dtype.kind in "iu" and image.dtype.itemsize == 1:
        return np.asarray((values - np.iinfo(image.dtype).min) / 255)
    span = float(np.ptp(values)) or 1.0
    return np.asarray((values - values.min()) / span)


def fitted(image: Array, width: int, height: int) -> Array:
    """As large as width x height hold, its proportions kept: each pixel the mean of what it stands for, or one anew."""
    factor = min(width / image.shape[1], height / image.shape[0])
    for axis, n in ((0, max(round(image.shape[0] * factor), 1)), (1, max(round(image.shape[1] * factor), 1))):
        starts = np.arange(n) * image.shape[axis] // n
        counts = np.maximum(np.diff(np.append(starts, image.shape[axis])), 1)
        sums = np.add.reduceat(image, starts, axis=axis)
        image = sums / counts.reshape([-1 if i == axis else 1 for i in range(image.ndim)])
    return image


def _half_blocks(image: Array, columns: int, lines: int) -> Text:
    """Two pixels a character, the upper in the colour of the letter, the lower in that behind it."""
    small = fitted(image, columns, 2 * lines)
    if small.ndim == 2 or small.shape[2] != 3:
        grey = small if small.ndim == 2 else small.mean(axis=2)
        small = np.repeat(grey[:, :, None], 3, axis=2)
    pixels = np.clip(small * 255, 0, 255).astype(int)
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, pixels[-1:] * 0])
    rows = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        row = Text()
        pairs = [(_rgb(a), _rgb(b)) for a, b in zip(upper, lower, strict=True)]
        for (a, b), equal in itertools.groupby(pairs):
            row.append("▀" * len(list(equal)), Style(color=a, bgcolor=b))
        rows.append(row)
    return Text("\n").join(rows)


def _rgb(pixel: Array) -> str:
    return f"#{pixel[0]:02x}{pixel[1]:02x}{pixel[2]:02x}"


def _shades(image: Array, columns: int, lines: int) -> Text:
    """Two characters a pixel, in five steps."""
    grey = image if image.ndim == 2 else image.mean(axis=2)
    small = fitted(grey, columns // 2, lines)
    steps = np.clip(np.rint(small * (len(_SHADES) - 1)), 0, len(_SHADES) - 1).astype(int)
    return Text("\n".join("".join(2 * _SHADES[i] for i in row) for row in steps))


def _wave(values: Array, columns: int, lines: int) -> Text:
    """From the least to the largest of the samples that a column stands for."""
    low, span = float(values.min()), float(np.ptp(values)) or 1.0
    bottom, top = (((edge - low) / span * (lines - 1)).round().astype(int) for edge in edges(values, columns))
    rows = [
        "".join("█" if b <= line <= t else " " for b, t in zip(bottom, top, strict=True))
        for line in reversed(range(lines))
    ]
    return Text("\n".join(rows), "cyan")


def edges(values: Array, most: int) -> tuple[Array, Array]:
    """The least and the largest of the samples that each of at most so many columns stands for."""
    n = min(most, len(values))
    starts = np.arange(n) * len(values) // n
    return np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)


def columns_of(values: Array, columns: int, lines: int) -> Text:
    """Columns from the least value to the largest, in eighths of a line."""
    shown = values[:columns]
    low, span = float(min(shown.min(), 0)), float(np.ptp(np.append(shown, 0))) or 1.0
    eighths = np.rint((shown - low) / span * 8 * lines).astype(int)
    wide = max(min(columns // len(shown), 3), 1)
    rows = [
        "".join(_EIGHTHS[min(max(e - 8 * line, 0), 8)] * wide for e in eighths)
        for line in reversed(range(lines))
    ]
    return Text("\n".join(rows), "cyan")


def bar(part: float, columns: int) -> str:
    """0 to 1 of so many columns."""
    eighths = round(min(max(part, 0.0), 1.0) * 8 * columns)
    return (_LEFT_EIGHTHS[8] * (eighths // 8) + _LEFT_EIGHTHS[eighths % 8]).rstrip().ljust(columns)


def scores(reading: Reading, columns: int, lines: int) -> Text:
    """Classes with their confidence, or values, a line each."""
    shown = reading.scores[:lines]
    names = [plain(score.label)[:14] for score in shown]
    width = max(map(len, names), default=0)
    most = 1.0 if reading.is_class else max((abs(score.value) for score in shown), default=1.0) or 1.0
    room = max(columns - width - 10, 1)
    rows = []
    for i, (name, score) in enumerate(zip(names, shown, strict=True)):
        row = Text.assemble((f"{name:>{width}} ", "bold" if i == 0 and reading.is_class else ""))
        row.append(bar(abs(score.value) / most, room), color_of(score.index))
        row.append(f" {score.value:8.4g}" if not reading.is_class else f" {100 * score.value:6.1f} %")
        rows.append(row)
    return Text("\n").join(rows)


def history(found: Sequence[tuple[int | None, str | None]], columns: int, exits: Sequence[str]) -> Text:
    """Two lines: a mark for each class, and below it that of the exit, a dot for the end; the newest on the right."""
    shown = list(found)[-columns:]
    answers = Text()
    for answer, equal in itertools.groupby(answer for answer, _ in shown):
        answers.append(mark(answer) * len(list(equal)), color_of(answer or 0))
    ways = (
        "·" if exit_ is None else mark(exits.index(exit_) if exit_ in exits else None) for _, exit_ in shown
    )
    return Text("\n").join([answers, Text("".join(ways), "dim")])


def mark(number: int | None) -> str:
    """A class's or an exit's letter in a strip; ? where there is none."""
    return "?" if number is None or number < 0 else _MARKS[number % len(_MARKS)]


def histogram(values: Sequence[float], bins: int) -> str:
    """A character a bin, from the least value to the largest; one that holds anything is never blank."""
    if not values:
        return ""
    counts, _ = np.histogram(values, bins=bins)
    steps = np.ceil(counts / counts.max() * 8).astype(int)
    return "".join(_EIGHTHS[step] for step in steps)


def color_of(index: int) -> str:
    return _COLORS[index % len(_COLORS)]


def plain(text: str) -> str:
    """Without what could steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)
