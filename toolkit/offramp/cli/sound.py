"""Reads the samples that `run` feeds to a model's front end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from offramp.blob.read import Blob
from offramp.errors import UserError
from offramp.features import header_of
from offramp_host.monitor.recording import holds_sound, recorded_sound
from offramp_host.wav import read_wav

Array = NDArray[Any]


def is_sound(path: Path) -> bool:
    """A WAV file, or a recording that `offramp monitor` made of sound."""
    return path.suffix.lower() == ".wav" or holds_sound(path)


def read_sound(path: Path, blob: Blob) -> Array:
    """int16 of the first channel, checked against what the blob's front end takes."""
    if not blob.front_end:
        raise UserError(
            f"{path}: {blob.name} names no front end that takes samples", "pack it with --front-end"
        )
    head = header_of(blob.front_end)
    if head["element_bytes"] != 2:
        raise UserError(
            f"{path}: sound, 2 bytes a sample; the model's front end takes elements of {head['element_bytes']} bytes",
            "give rows of inputs in an .npz",
        )
    found = recorded_sound(path) if holds_sound(path) else read_wav(str(path), str(path), (16,))
    if head["rate_hz"] not in (0, found.rate_hz):  # 0: any
        raise UserError(
            f"{path}: {found.rate_hz} Hz, {head['rate_hz']} Hz are needed",
            f"resample it to {head['rate_hz']} Hz",
        )
    samples: Array = found.samples
    if runs_of(samples, blob) < 1:
        raise UserError(
            f"{path}: {len(samples)} samples, the first answer takes {head['first_run']} samples",
            "give a longer one",
        )
    return samples


def runs_of(samples: Array, blob: Blob) -> int:
    """How many answers so many samples give."""
    head = header_of(blob.front_end)
    rest = len(samples) - int(head["first_run"])
    return 0 if rest < 0 else 1 + rest // int(head["next_run"])
