"""Sources that lie in files: arrays, images, sound, tables."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from offramp.blob.read import Port
from offramp.errors import UserError
from offramp.ir import without_batch
from offramp.ir.saturation import check_saturation
from offramp_host.monitor.maker import Options, Pairs
from offramp_host.monitor.model import Array, integers, quantized, real
from offramp_host.monitor.recording import holds_sound, recorded_sound
from offramp_host.rows import by_row, in_rows, read_arrays
from offramp_host.wav import read_wav

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm")


def arrays(path: Path, inputs: Sequence[Port]) -> tuple[list[tuple[Array, ...]], str]:
    """Rows of a .npy or .npz; real numbers are quantized as the inputs say. And a warning if many are clipped."""
    found = read_arrays(path, inputs)
    shaped, warnings = [], []
    for (name, array), port in zip(found, inputs, strict=True):
        if array.dtype.kind == "f":
            clipped = check_saturation(
                array[np.isfinite(array)], port.scale, port.zero_point, port.dtype, f"{path}: {name}"
            )
            warnings += [f"{path}: {name}: {clipped}"] if clipped is not None else []
        whole = quantized(array, port) if array.dtype.kind == "f" else array
        shaped.append(in_rows(whole, port, f"{path}: {name}"))
    return by_row(path, shaped, inputs), "; ".join(warnings)


def images(name: str, port: Port, options: Options) -> Pairs:
    """A folder's images in the order of their names, cut to the input's proportions in the middle and resized."""
    files = [path for path in sorted(Path(name).rglob("*")) if path.suffix.lower() in IMAGES]
    if not files:
        raise UserError(f"--source {name}: no images in this folder", f"files {', '.join(IMAGES)}")
    opened = opener()
    height, width, channels = image_shape(port, name)

    def rows() -> Iterator[tuple[str, Array]]:
        for path in files:
            try:
                image = opened.open(path).convert("L" if channels == 1 else "RGB")
            except (OSError, ValueError, SyntaxError) as error:
                raise UserError(f"{path}: not an image that can be read", "remove or mend it") from error
            yield path.name, pixels_to_row(np.asarray(resized(image, width, height)), port, options.divide)

    return rows


def opener() -> Any:
    """Pillow's module Image; UserError where it is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise UserError(
            "reading images needs Pillow, which is not installed", "pip install pillow"
        ) from error
    return Image


def resized(image: Any, width: int, height: int) -> Any:
    """The image's middle in these proportions, of width x height pixels."""
    side = min(image.width / width, image.height / height)
    left, top = (image.width - side * width) / 2, (image.height - side * height) / 2
    box = (left, top, left + side * width, top + side * height)
    return image.resize((width, height), box=box)


def image_shape(port: Port, name: str) -> tuple[int, int, int]:
    """Height, width, channels (1 or 3) that the input takes."""
    shape = list(without_batch(port.shape))
    if len(shape) == 2:
        shape.append(1)
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise UserError(
            f"--source {name}: images, but input {port.name} has shape {list(port.shape)}",
            "an input for images is [1, height, width, 1 or 3]",
        )
    return shape[0], shape[1], shape[2]


def pixels_to_row(pixels: Array, port: Port, divide: float | None) -> Array:
    """Pixels 0 to 255 as they are where the input's range reaches 127, else divided by 255."""
    if divide is None:
        range_ = integers(port) or (0, 1)
        if range_[0] < 0 and (port.scale, port.zero_point) == (1.0, 0):
            # What the input stands for is unknown: by place in its range.
            pixels = pixels.astype(np.int16) - 128
        most = float(real(np.array([range_[1]]), port)[0])
        divide = 1.0 if most >= 127 else 255.0
    return quantized(pixels / divide, port).reshape(port.shape)


def sound(name: str, port: Port, options: Options) -> Pairs:
    """Windows of a WAV file's first channel or of recorded sound, full scale being 1, as long as the input."""
    path = Path(name)
    found = recorded_sound(path) if holds_sound(path) else read_wav(name, f"--source {name}", (8, 16))
    rate, wanted = found.rate_hz, options.rate_hz
    if wanted is not None and rate != wanted:
        raise UserError(f"--source {name}: {rate} Hz, {wanted} Hz are needed", f"resample it to {wanted} Hz")
    samples = found.samples / 32768.0 if found.bits == 16 else found.samples / 128.0 - 1.0
    return windows(name, samples[:, None], port, options, lambda i: f"{i / rate:.3f} s")


def table(name: str, port: Port, options: Options) -> Pairs:
    """Windows of lines of numbers, their last columns, as many as the input takes; a heading is skipped."""
    try:
        text = Path(name).read_text()
        lines = [line for line in csv.reader(text.splitlines()) if line]
        if lines and not all(map(_is_number, lines[0])):
            lines = lines[1:]
        values = np.array([[float(cell) for cell in line] for line in lines], np.float64)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "a line holds no numbers, or fewer than others"
        raise UserError(f"--source {name}: {why}", "one line a moment, one column an axis") from error
    axes = _axes(port)
    if values.ndim != 2 or values.shape[1] < axes or not np.isfinite(values).all():
        found = f"{values.shape[1]} columns" if values.ndim == 2 else "no lines of numbers"
        raise UserError(
            f"--source {name}: {found}, input {port.name} {list(port.shape)} takes {axes}",
            "one line a moment, one column an axis, no gaps",
        )
    return windows(name, values[:, values.shape[1] - axes :], port, options, lambda i: f"line {i}")


def windows(name: str, values: Array, port: Port, options: Options, called: Callable[[int], str]) -> Pairs:
    """`values` is [moments, axes]; a row is as many moments as the input holds."""
    n = int(np.prod(port.shape)) // values.shape[1]
    if len(values) < n:
        raise UserError(
            f"--source {name}: {len(values)} samples, input {port.name} takes {n} samples",
            "give a longer recording",
        )
    real_values = values / (options.divide or 1.0)
    check_saturation(real_values, port.scale, port.zero_point, port.dtype, f"--source {name}")

    def rows() -> Iterator[tuple[str, Array]]:
        for start in range(0, len(values) - n + 1, options.hop or n):
            yield called(start), quantized(real_values[start : start + n], port).reshape(port.shape)

    return rows


def _axes(port: Port) -> int:
    """The last dimension that is no 1, where it is short beside another: columns of a table."""
    dims = [n for n in port.shape if n > 1]
    return dims[-1] if len(dims) > 1 else 1


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
