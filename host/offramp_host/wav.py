"""Reads WAV files of PCM samples, one channel of them."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.errors import UserError


@dataclass(frozen=True)
class Wav:
    """`samples` [n] of the first channel, as the file holds them: uint8 around 128, or int16."""

    bits: int
    rate_hz: int
    samples: NDArray[Any]


def read_wav(name: str, told: str, widths: tuple[int, ...]) -> Wav:
    """A file whose samples have one of these widths in bits (8, 16); a frame that the end cuts off is left out.

    UserError begins with `told`.
    """
    read = " or ".join(map(str, widths))
    try:
        with wave.open(name) as file:
            width, channels, rate_hz = file.getsampwidth(), file.getnchannels(), file.getframerate()
            raw = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        why = getattr(error, "strerror", None) or str(error) or "it ends too early"
        raise UserError(f"{told}: no WAV file that can be read: {why}", f"PCM, {read} bits") from error
    if 8 * width not in widths:
        raise UserError(f"{told}: samples of {8 * width} bits, {read} are read", f"convert it to {read} bits")
    whole = np.frombuffer(raw[: len(raw) - len(raw) % (width * channels)], "<i2" if width == 2 else "u1")
    return Wav(8 * width, rate_hz, whole[::channels].copy())
