"""MFCC as keyword models take them: an integer specification of our own beside TensorFlow's floats.

A frame under a Hann window, magnitudes of its transform, triangles over mel frequencies, ln(x + 1e-6), a cosine
transform, quantized to the model's input. Intermediate values have 32 bits; the table of logarithms has 128 segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from offramp.features.fft import cosines_s32, real_fft_s32
from offramp.features.filter_bank import frames_of, triangle_sums
from offramp.features.front_end import HEADER, Quantizer
from offramp.features.micro import log_table
from offramp.ops.op import Params

Array = NDArray[Any]

WINDOW_BITS, WEIGHT_BITS, LOG_BITS, COEFFICIENT_BITS = 15, 15, 16, 16
EPSILON = 1e-6
PLAIN = Quantizer(float(np.log(2)) / (1 << LOG_BITS), 0)

PARAMS = Params(
    "mfcc",
    [
        *HEADER,
        ("window", "u16"),
        ("step", "u16"),
        ("points", "u16"),
        ("mels", "u16"),
        ("coefficients", "u16"),
        ("bins", "u16"),
        ("epsilon", "u32"),
        ("offset", "s32"),
        *Quantizer.FIELDS,
    ],
)


@dataclass(frozen=True)
class Mfcc:
    """Settings; the defaults are those of MLPerf Tiny's keyword spotting. Window and step in samples.

    `peak`: the sample that counts as 1.0. MLPerf Tiny divides each clip by its largest sample, which a stream cannot.
    """

    kind: ClassVar[str] = "mfcc"
    params: ClassVar[Params] = PARAMS
    element: ClassVar[np.dtype[Any]] = np.dtype("<i2")

    quantizer: Quantizer = PLAIN
    """From log2 times 2^16 to the input."""
    rate_hz: int = 16000
    window: int = 480
    step: int = 320
    mels: int = 40
    coefficients: int = 10
    lower_hz: float = 20.0
    upper_hz: float = 4000.0
    peak: int = 32768

    @property
    def fft(self) -> int:
        """The least power of two that holds the window."""
        return max(8, 1 << (self.window - 1).bit_length())

    @property
    def scale_bits(self) -> int:
        """2 to this is one in a sum of weighted magnitudes."""
        return 15 + WINDOW_BITS - (self.fft.bit_length() - 1) + WEIGHT_BITS

    @property
    def row_bytes(self) -> int:
        return self.coefficients

    @property
    def memory_bytes(self) -> int:
        return 4 + 2 * self.window + 4 * self.fft + 4 * self.mels

    def elements(self, rows: int) -> int:
        return self.window + self.step * (rows - 1)

    @property
    def epsilon(self) -> int:
        return round(EPSILON * self.peak / 32768 * 2.0**self.scale_bits)

    @property
    def offset(self) -> int:
        """What is taken from each log2."""
        return round((self.scale_bits + float(np.log2(self.peak / 32768))) * (1 << LOG_BITS))

    def rows(self, raw: Array) -> Array:
        return self.quantizer(coefficients(self, raw))

    def fields(self) -> dict[str, int | Sequence[int]]:
        _, falling = bank(self)
        return {
            "window": self.window,
            "step": self.step,
            "points": self.fft // 2,
            "mels": self.mels,
            "coefficients": self.coefficients,
            "bins": len(falling),
            "epsilon": self.epsilon,
            "offset": self.offset,
            **self.quantizer.fields(),
        }

    def tables(self) -> Sequence[Array]:
        """The window, cosines, the first bin of each band, falling weights, logarithms, the cosine transform."""
        starts, falling = bank(self)
        tables = [
            window_s16(self),
            cosines_s32(self.fft),
            starts.astype(np.uint16),
            falling.astype(np.uint16),
        ]
        return [*tables, log_table(), dct_s16(self)]


def window_s16(s: Mfcc) -> Array:
    """int16[window]: a periodic Hann window, 32767 at most."""
    real: Array = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(s.window) / s.window)) * (1 << WINDOW_BITS)
    found: Array = np.minimum(np.floor(real + 0.5), 32767)
    return found.astype(np.int16)


def mel(hz: Array) -> Array:
    """1127 ln(1 + hz / 700)."""
    found: Array = 1127.0 * np.log1p(hz / 700.0)
    return found


def bank(s: Mfcc) -> tuple[Array, Array]:
    """Band i holds the bins starts[i] to starts[i + 1], whose weight falls for mel i - 1 and rises, as what is missing
    to one, for mel i; falling weights of all of them, 32768 is one."""
    low, high = mel(np.array([s.lower_hz, s.upper_hz]))
    edges = np.linspace(low, high, s.mels + 2)
    bins = mel(np.arange(1, s.fft // 2) * s.rate_hz / s.fft)
    starts: Array = 1 + np.searchsorted(bins, edges, side="left")
    band = np.repeat(np.arange(s.mels + 1), np.diff(starts))
    here = bins[starts[0] - 1 : starts[-1] - 1]
    falling = (edges[band + 1] - here) / (edges[band + 1] - edges[band])
    weights: Array = np.floor(falling * (1 << WEIGHT_BITS) + 0.5)
    return starts, weights.astype(np.int64)


def dct_s16(s: Mfcc) -> Array:
    """int16[coefficients, mels]: DCT-II over sqrt(mels / 2), 65536 is one."""
    k, n = np.arange(s.coefficients)[:, None], np.arange(s.mels)
    real: Array = np.sqrt(2.0 / s.mels) * np.cos(np.pi / s.mels * (n + 0.5) * k) * (1 << COEFFICIENT_BITS)
    found: Array = np.floor(real + 0.5)
    return found.astype(np.int16)


def square_roots(x: Array) -> Array:
    """Of the leading 31 or 32 bits, cut off; the rest of the root is zeros."""
    found = np.zeros(x.shape, np.int64)
    for at, value in np.ndenumerate(x):
        shift = max(0, (int(value).bit_length() - 31) // 2)
        found[at] = int(np.sqrt(float(int(value) >> (2 * shift)))) << shift  # exact below 2^52
    return found


def log2_s32(x: Array) -> Array:
    """log2 of positive numbers times 2^16, from the 16 bits behind the first: a line between a segment's ends."""
    table = log_table().astype(np.int64)
    found = np.zeros(x.shape, np.int64)
    for at, value in np.ndenumerate(x):
        whole = int(value).bit_length() - 1
        fraction = ((int(value) - (1 << whole)) << 16) >> whole
        here, there = table[fraction >> 9], table[(fraction >> 9) + 1]
        found[at] = (whole << 16) + fraction + here + (((there - here) * (fraction & 511)) >> 9)
    return found


def coefficients(s: Mfcc, samples: Array) -> Array:
    """int64[frames, coefficients] of int16 samples: in units of log2, times 2^16."""
    shaped = frames_of(samples, s.window, s.step) * window_s16(s)
    frames = np.pad(shaped, ((0, 0), (0, s.fft - s.window)))
    starts, falling = bank(s)
    z = real_fft_s32(frames)[:, starts[0] : starts[-1]]
    magnitudes = square_roots((z**2).sum(axis=-1))
    sums = triangle_sums(magnitudes, starts, falling, (1 << WEIGHT_BITS) - falling)
    logs = log2_s32(sums + s.epsilon) - s.offset
    found: Array = (logs @ dct_s16(s).astype(np.int64).T + (1 << (COEFFICIENT_BITS - 1))) >> COEFFICIENT_BITS
    return found
