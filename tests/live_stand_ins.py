"""Modules that stand in for OpenCV and sounddevice, with as much of their ways as `offramp monitor` uses."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace, TracebackType
from typing import Any

import numpy as np


def cv2(frames: Sequence[np.ndarray], number: int = 0) -> Any:
    """A camera `number` that gives these frames, uint8 [height, width, blue green red], and then no more."""

    class VideoCapture:
        opened = 0

        def __init__(self, which: int) -> None:
            self._left = list(frames) if which == number else []
            VideoCapture.opened += 1

        def read(self) -> tuple[bool, np.ndarray | None]:
            return (True, self._left.pop(0)) if self._left else (False, None)

        def release(self) -> None:
            VideoCapture.opened -= 1

    return SimpleNamespace(VideoCapture=VideoCapture)


class PortAudioError(Exception):
    pass


def sounddevice(samples: np.ndarray | None, rate_hz: int = 16_000, lost_at: int = -1) -> Any:
    """A microphone of one rate that hears int16 samples and is unplugged behind them; None: there is none.

    A read that begins at sample `lost_at` or later says once that some were lost before it.
    """

    class InputStream:
        def __init__(self, *, samplerate: int, channels: int, dtype: str) -> None:
            assert (channels, dtype) == (1, "float32")
            if samples is None:
                raise PortAudioError("Error querying device -1")
            if samplerate != rate_hz:
                raise PortAudioError("Error opening InputStream: Invalid sample rate [PaErrorCode -9997]")
            self._at, self._lost_at = 0, lost_at

        def __enter__(self) -> InputStream:
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...

        def read(self, n: int) -> tuple[np.ndarray, bool]:
            assert samples is not None
            start, self._at = self._at, self._at + n
            if self._at > len(samples):
                raise PortAudioError("Unanticipated host error [PaErrorCode -9999]")
            is_late = 0 <= self._lost_at <= start
            self._lost_at = -1 if is_late else self._lost_at
            return (samples[start : self._at, None] / 32768).astype(np.float32), is_late

    return SimpleNamespace(InputStream=InputStream, PortAudioError=PortAudioError)
