"""The micro frontend: log-mel features with noise reduction and gain control, for wake-word models and micro_speech.

The algorithm is that of TensorFlow Lite Micro's audio frontend; equal to PyPI `pymicro-features` bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from offramp.features.fft import cosines, real_fft_s16
from offramp.features.filter_bank import frames_of, triangle_sums
from offramp.features.front_end import HEADER, Quantizer
from offramp.ops.op import Params

Array = NDArray[Any]

WINDOW_BITS = 12
WEIGHT_BITS = 12
SMOOTHING_BITS = 10  # fraction bits of the noise estimate
PART_BITS = 14  # of smoothing factors
SNR_BITS, GAINED_BITS = 12, 6
LOG_SEGMENTS = 128
UNIT = 10 / 256
"""What an integer of the features means to wake-word models."""
PLAIN = Quantizer(UNIT, 0)

PARAMS = Params(
    "micro",
    [
        *HEADER,
        ("window", "u16"),
        ("step", "u16"),
        ("points", "u16"),
        ("channels", "u16"),
        ("smoothing", "u16[2]"),
        ("least_left", "u16"),
        ("bins", "u16"),
        ("least_magnitude", "u16"),
        ("correction_bits", "u8"),
        ("snr_shift", "u8"),
        ("log_shift", "u8"),
        ("reserved_too", "u8[3]"),
        *Quantizer.FIELDS,
    ],
)


@dataclass(frozen=True)
class Micro:
    """Settings; the defaults are those of pymicro-features. Window and step in samples."""

    kind: ClassVar[str] = "micro"
    params: ClassVar[Params] = PARAMS
    element: ClassVar[np.dtype[Any]] = np.dtype("<i2")

    quantizer: Quantizer = PLAIN
    rate_hz: int = 16000
    window: int = 480
    step: int = 160
    channels: int = 40
    lower_hz: float = 125.0
    upper_hz: float = 7500.0
    even_smoothing: float = 0.025
    odd_smoothing: float = 0.06
    least_left: float = 0.05
    strength: float = 0.95
    offset: float = 80.0
    gain_bits: int = 21
    log_shift: int = 6
    tables_of: Literal["frontend", "preprocessor"] = "frontend"
    """Whose window and weights: the C frontend's (window in single precision, weights rounded), which pymicro-features
    has, or those of the audio preprocessor made for micro_speech (double precision, weights cut off)."""

    @property
    def fft(self) -> int:
        """The least length that is twice a power of 4, holds the window and leaves correction bits."""
        n = 128
        while n < self.window:
            n *= 4
        return n

    @property
    def row_bytes(self) -> int:
        return self.channels

    @property
    def memory_bytes(self) -> int:
        return 4 + 2 * self.window + 4 * self.channels + 2 * self.fft

    def elements(self, rows: int) -> int:
        return self.window + self.step * (rows - 1)

    def rows(self, raw: Array) -> Array:
        return self.quantizer(features(self, raw))

    def fields(self) -> dict[str, int | Sequence[int]]:
        b = bank(self)
        return {
            "window": self.window,
            "step": self.step,
            "points": self.fft // 2,
            "channels": self.channels,
            "smoothing": [part(self.even_smoothing), part(self.odd_smoothing)],
            "least_left": part(self.least_left),
            "bins": len(b.falling),
            "least_magnitude": self.least_magnitude,
            "correction_bits": self.correction_bits,
            "snr_shift": self.gain_bits - self.correction_bits - SNR_BITS,
            "log_shift": self.log_shift,
            "reserved_too": [0, 0, 0],
            **self.quantizer.fields(),
        }

    def tables(self) -> Sequence[Array]:
        """The window, cosines, the first bin of each band, weights, gains, logarithms."""
        b = bank(self)
        weights = [b.starts.astype(np.uint16), b.falling, b.rising]
        return [window_s16(self), cosines(self.fft), *weights, gain_table(self), log_table()]

    @property
    def least_magnitude(self) -> int:
        """What -32768 counts where a frame's largest magnitude is sought."""
        return 0 if self.tables_of == "frontend" else 32767

    @property
    def correction_bits(self) -> int:
        """What the transform's scale leaves to be shifted back."""
        return self.fft.bit_length() - 1 - WEIGHT_BITS // 2


def window_s16(s: Micro) -> Array:
    """int16[window]: a Hann window, 4096 is one, whose samples lie between those of the periodic one."""
    real = np.dtype(np.float32 if s.tables_of == "frontend" else np.float64)
    turn, half, one = np.array([2 * np.pi / s.window, 0.5, 1 << WINDOW_BITS], real)
    if s.tables_of == "frontend":
        turn = np.float32(2 * np.pi) / np.float32(s.window)
    shape: Array = half - half * np.cos(turn * (np.arange(s.window, dtype=real) + half))
    found: Array = np.floor(shape * one + half).astype(np.int16)
    return found


def mel(hz: Array) -> Array:
    """float32, 1127 ln(1 + hz / 700)."""
    found: Array = np.float32(1127.0) * np.log1p(hz.astype(np.float32) / np.float32(700.0))
    return found


@dataclass(frozen=True)
class Bank:
    """Triangles over bins: band i holds the bins `starts[i]` to `starts[i + 1]`, whose weight falls for channel i - 1
    and rises for channel i; channel -1 and what rises in the last band are dropped."""

    starts: Array  # channels + 2
    falling: Array  # one weight a bin from starts[0] on
    rising: Array


def bank(s: Micro) -> Bank:
    """Weights of 12 bits, from mel frequencies in single precision."""
    low, high = mel(np.array([s.lower_hz, s.upper_hz]))
    spacing = (high - low) / np.float32(s.channels + 1)
    edges = np.concatenate([[low], low + spacing * np.arange(1, s.channels + 2, dtype=np.float32)])
    hz_per_bin = np.float32(s.rate_hz / s.fft)
    bins = mel(np.arange(s.fft // 2 + 1, dtype=np.float32) * hz_per_bin)
    first = int(np.float32(1.5) + np.float32(s.lower_hz) / hz_per_bin)
    starts = np.maximum.accumulate([first, *np.searchsorted(bins, edges[1:], side="right")])
    band = np.repeat(np.arange(s.channels + 1), np.diff(starts))
    below, above = edges[band], edges[band + 1]
    w = ((above - bins[starts[0] : starts[-1]]) / (above - below)).astype(np.float64)
    one = 1 << WEIGHT_BITS
    half = 0.5 if s.tables_of == "frontend" else 0.0
    falling, rising = np.floor(w * one + half), np.floor((1 - w) * one + half)
    return Bank(starts, falling.astype(np.int16), rising.astype(np.int16))


def gain(s: Micro, x: int) -> int:
    """Of a noise estimate x, whose scale the transform shares."""
    real = x / float(1 << (SMOOTHING_BITS - s.correction_bits))
    found = float(1 << s.gain_bits) * float(
        np.float32(np.power(np.float32(real + s.offset), np.float32(-s.strength)))
    )
    return min(0x7FFF, int(found + 0.5))


def gain_table(s: Micro) -> Array:
    """int16[2 + 31 * 3]: gains of 0 and 1, then of each octave from 2 on start, slope and curvature."""
    found = [gain(s, 0), gain(s, 1)]
    for octave in range(2, 33):
        x0 = 1 << (octave - 1)
        y0, y1, y2 = (gain(s, x) for x in (x0, x0 + x0 // 2, min(2 * x0, 0xFFFFFFFF)))
        slope = 4 * (y1 - y0) - (y2 - y0)
        found += [y0, slope, y2 - y0 - slope]
    return np.array(found, np.int16)


def log_table() -> Array:
    """uint16[129]: 65536 (log2(1 + x) - x) at x = i / 128."""
    x = np.arange(LOG_SEGMENTS + 1) / LOG_SEGMENTS
    found: Array = np.floor(65536 * (np.log2(1 + x) - x) + 0.5)
    return found.astype(np.uint16)


def shift_of(s: Micro, frames: Array) -> Array:
    """How often the largest magnitude of each frame can be doubled in int16."""
    largest = np.where(frames == -32768, s.least_magnitude, np.abs(frames)).max(axis=1)
    return np.array([15 - int(v).bit_length() for v in largest], np.int64)


def square_root(x: int) -> int:
    """Rounded to the nearest, but 65535 at most for what 32 bits hold."""
    root = math.isqrt(x)
    if x - root * root > root and not (root == 0xFFFF and x >> 32 == 0):
        root += 1
    return root


def magnitudes(s: Micro, samples: Array) -> Array:
    """uint32[frames, channels] of int16 samples."""
    shaped = (frames_of(samples, s.window, s.step) * window_s16(s)) >> WINDOW_BITS
    shifts = shift_of(s, shaped)
    scaled = (shaped << shifts[:, None]).astype(np.int16)
    z = real_fft_s16(np.pad(scaled, ((0, 0), (0, s.fft - s.window))))
    b = bank(s)
    energies = (z**2).sum(axis=-1)[:, b.starts[0] : b.starts[-1]]
    sums = triangle_sums(energies, b.starts, b.falling, b.rising)
    roots = np.array([square_root(int(v)) for v in sums.flat], np.int64).reshape(sums.shape)
    found: Array = roots >> shifts[:, None]
    return found


def part(x: float) -> int:
    """A share of one in units of 2^-14, cut off."""
    return int(x * (1 << PART_BITS))


def without_noise(s: Micro, signal: Array, estimate: Array) -> Array:
    """One frame less its noise; moves the estimate (uint32[channels]) on."""
    smoothing = np.where(np.arange(len(signal)) % 2, part(s.odd_smoothing), part(s.even_smoothing))
    up = (signal << SMOOTHING_BITS) & 0xFFFFFFFF
    estimate[:] = (up * smoothing + estimate * ((1 << PART_BITS) - smoothing)) >> PART_BITS
    least = (signal * part(s.least_left)) >> PART_BITS
    return np.maximum((up - np.minimum(estimate, up)) >> SMOOTHING_BITS, least)


def looked_up(table: Array, x: int) -> int:
    """The gain of a noise estimate by the parabola of its octave."""
    if x <= 2:
        return int(table[x])
    octave = x.bit_length()
    start, slope, curvature = (int(v) for v in table[3 * octave - 4 : 3 * octave - 1])
    fraction = ((x << 11 >> octave) if octave < 11 else x >> (octave - 11)) & 0x3FF
    value = ((curvature * fraction) >> 5) + (slope << 5)
    return ((value * fraction + (1 << 14)) >> 15) + start


def compressed(snr: int) -> int:
    """Squares what is small, and takes two from what is large."""
    if snr < 2 << SNR_BITS:
        return (snr * snr) >> (2 + 2 * SNR_BITS - GAINED_BITS)
    return (snr >> (SNR_BITS - GAINED_BITS)) - (1 << GAINED_BITS)


def gained(s: Micro, table: Array, signal: int, noise: int) -> int:
    """A channel's signal by the gain of its noise estimate, compressed."""
    snr_shift = s.gain_bits - s.correction_bits - SNR_BITS
    return compressed(((signal * looked_up(table, noise)) >> snr_shift) & 0xFFFFFFFF)


def logarithm(s: Micro, table: Array, x: int) -> int:
    """ln(x) times 2^log_shift, from x > 1."""
    whole = x.bit_length() - 1
    fraction = ((x - (1 << whole)) << 16) >> whole
    segment = fraction >> 9
    here, there = int(table[segment]), int(table[segment + 1])
    log2 = (whole << 16) + fraction + here + (((there - here) * (fraction & 511)) >> 16)
    natural = (45426 * log2 + (1 << 15)) >> 16
    return ((natural << s.log_shift) + (1 << 15)) >> 16


def features(s: Micro, samples: Array) -> Array:
    """uint16[frames, channels] of int16 samples: whole frames from silence on, ln times 64 by default."""
    gains, logs = gain_table(s), log_table()
    estimate = np.zeros(s.channels, np.int64)
    rows = []
    for signal in magnitudes(s, samples):
        kept = without_noise(s, signal, estimate)
        values = [gained(s, gains, int(v), int(n)) for v, n in zip(kept, estimate, strict=True)]
        shifted = [(v << s.correction_bits) & 0xFFFFFFFF for v in values]
        rows.append([min(0xFFFF, logarithm(s, logs, v)) if v > 1 else 0 for v in shifted])
    return np.array(rows, np.uint16).reshape(-1, s.channels)


MICRO_SPEECH = Micro(step=320, quantizer=Quantizer(256 / 666, -128), tables_of="preprocessor")
"""As TensorFlow Lite Micro's model micro_speech takes them, whatever the scale that its input states."""
