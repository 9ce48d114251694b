"""Which front end a user means: `pack --front-end KIND[:key=value,...]`, fitted to the model's input."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from offramp.errors import UserError
from offramp.features.front_end import FrontEnd, Quantizer, Stream
from offramp.features.image import PIXELS, Image
from offramp.features.imu import Imu, axis
from offramp.features.mfcc import Mfcc
from offramp.features.micro import MICRO_SPEECH, UNIT, Micro
from offramp.ir import Tensor


@dataclass
class Wanted:
    """What was asked for; every key must be taken by someone."""

    text: str
    values: dict[str, str]
    tensor: Tensor

    def number(self, key: str, default: int, low: int, high: int) -> int:
        text = self.values.pop(key, str(default))
        if not text.isdecimal() or not low <= int(text) <= high:
            unit = {"ms": " ms", "hz": " Hz"}.get(key.rpartition("_")[2], "")
            raise UserError(f"--front-end {self.text}: {key} is {text}", f"{low} to {high}{unit} is allowed")
        return int(text)

    def windows(self, step_ms: int) -> tuple[int, int]:
        """Window and step of sound in samples; a step is no longer than the window."""
        window = self.number("window_ms", 30, 4, 128)
        return 16 * window, 16 * self.number("step_ms", min(step_ms, window), 1, window)

    def band(self) -> tuple[int, int]:
        """The least and the greatest frequency of the filters in Hz."""
        upper = self.number("upper_hz", 4000, 1000, 8000)
        return self.number("lower_hz", 20, 0, min(4000, upper - 1)), upper

    def reals(self, key: str, default: float, count: int) -> list[float]:
        """One number for all, or one for each of `count`, parted by slashes."""
        text = self.values.pop(key, str(default))
        try:
            found = [float(part) for part in text.split("/")]
        except ValueError:
            found = []
        if len(found) not in (1, count) or not all(math.isfinite(x) for x in found):
            raise UserError(
                f"--front-end {self.text}: {key} is {text}",
                f"one number, or {count} parted by slashes" if count > 1 else "a number is needed",
            )
        return found * (count // len(found))

    def quantizer(self, unit: float) -> Quantizer:
        """From integers that are worth `unit` to the input's."""
        quantization = self.tensor.quantization
        if quantization is None or len(quantization.scales) != 1:
            raise UserError(f"input {self.tensor.name} states no scale", "a front end needs an int8 input")
        return Quantizer(unit / quantization.scale, quantization.zero_point)


def micro(w: Wanted) -> FrontEnd:
    """Log-mel features in the units of wake-word models."""
    window, step = w.windows(step_ms=10)
    return Micro(
        quantizer=w.quantizer(UNIT),
        window=window,
        step=step,
        channels=w.number("channels", channels_of(w.tensor, 40), 2, 200),
    )


def micro_speech(w: Wanted) -> FrontEnd:
    """As the audio preprocessor makes them for the model micro_speech."""
    return replace(MICRO_SPEECH, channels=w.number("channels", channels_of(w.tensor, 40), 2, 200))


def mfcc(w: Wanted) -> FrontEnd:
    """Cepstral coefficients as MLPerf Tiny's keyword spotting has them."""
    window, step = w.windows(step_ms=20)
    lower_hz, upper_hz = w.band()
    return Mfcc(
        quantizer=w.quantizer(Mfcc().quantizer.scale),
        window=window,
        step=step,
        mels=w.number("mels", 40, 2, 128),
        coefficients=w.number("coefficients", channels_of(w.tensor, 10), 1, 128),
        lower_hz=lower_hz,
        upper_hz=upper_hz,
        peak=w.number("peak", 32768, 1, 32768),
    )


def imu(w: Wanted) -> FrontEnd:
    """Samples of all axes, each worth raw * unit + add to the model."""
    average = w.number("average", 1, 1, 4096)
    n = channels_of(w.tensor, 1)
    q = w.quantizer(1.0)
    units, adds = w.reals("unit", 1.0, n), w.reals("add", 0.0, n)
    if 0.0 in units:
        raise UserError(
            f"--front-end {w.text}: a unit is 0", "say what one raw integer is worth to the model"
        )
    axes = [axis(u, a, average, 1 / q.scale, q.zero_point) for u, a in zip(units, adds, strict=True)]
    return Imu(tuple(axes), average, w.number("rate_hz", 0, 0, 65535))


def image(w: Wanted) -> FrontEnd:
    """The middle of a source in the input's proportions, or the crop that is named."""
    height, width, channels = w.tensor.shape[-3:]
    source = w.values.pop("from", "gray8")
    if source not in PIXELS or channels not in (1, 3):
        raise UserError(
            f"--front-end {w.text}: {source} to {channels} channels",
            f"{', '.join(PIXELS)} to 1 or 3 are known",
        )
    full_width = w.number("width", width, 1, 65535)
    full_height = w.number("height", height, 1, 65535)
    crop_width = min(full_width, max(1, full_height * width // height))
    crop_height = min(full_height, max(1, full_width * height // width))
    crop_width = w.number("crop_width", crop_width, 1, full_width)
    crop_height = w.number("crop_height", crop_height, 1, full_height)
    x = w.number("crop_x", (full_width - crop_width) // 2, 0, full_width - crop_width)
    y = w.number("crop_y", (full_height - crop_height) // 2, 0, full_height - crop_height)
    crop = (x, y, crop_width, crop_height)
    return Image(source, full_width, full_height, crop, width, height, channels, brightnesses(w))


def brightnesses(w: Wanted) -> tuple[int, ...]:
    """The integer of each brightness: black and white are the ends of the input's range unless said otherwise."""
    q = w.quantizer(1.0)
    [black] = w.reals("black", (-128 - q.zero_point) / q.scale, 1)
    [white] = w.reals("white", (127 - q.zero_point) / q.scale, 1)
    real = black + np.arange(256) * (white - black) / 255
    values = np.clip(np.floor(real * q.scale + 0.5) + q.zero_point, -128, 127)
    return tuple(int(v) for v in values)


def channels_of(tensor: Tensor, usual: int) -> int:
    """The last axis where there is a time axis before it, else what is usual."""
    inner = [n for n in tensor.shape if n != 1]
    return inner[-1] if len(inner) > 1 else usual


CHOICES: dict[str, Callable[[Wanted], FrontEnd]] = {
    "micro": micro,
    "micro_speech": micro_speech,
    "mfcc": mfcc,
    "image": image,
    "imu": imu,
}


def stream_for(text: str, tensor: Tensor, has_state: bool) -> Stream:
    """The front end for a model's input; without `hop` a model with state takes a row once, another runs at each."""
    name, _, rest = text.partition(":")
    if name not in CHOICES:
        raise UserError(f"--front-end {text}: there is no {name!r}", f"it is one of {', '.join(CHOICES)}")
    if tensor.dtype != "s8":
        raise UserError(
            f"--front-end {text}: input {tensor.name} is {tensor.dtype}", "a front end makes an int8 input"
        )
    pairs = [part.partition("=") for part in rest.split(",") if part]
    wanted = Wanted(text, {key: value for key, _, value in pairs}, tensor)
    front_end = CHOICES[name](wanted)
    size = math.prod(tensor.shape)
    if size % front_end.row_bytes:
        raise UserError(
            f"--front-end {text}: its rows have {front_end.row_bytes} values, input {tensor.name} has {size} values",
            "the input must be whole rows",
        )
    rows = size // front_end.row_bytes
    is_image = isinstance(front_end, Image)
    hop = wanted.number("hop", rows if has_state or is_image else 1, rows if is_image else 1, rows)
    if wanted.values:
        raise UserError(
            f"--front-end {text}: no key {next(iter(wanted.values))!r} here", "docs/features.md lists them"
        )
    return Stream(front_end, rows, hop)
