"""What the page is sent: every result as `--json` prints it, and what else there is to see."""

from __future__ import annotations

import base64
import threading
from collections import deque
from typing import Any

import numpy as np

from offramp_host.monitor import draw
from offramp_host.monitor.events import Event, Reading
from offramp_host.monitor.model import Array
from offramp_host.monitor.view import HISTORY, Snapshot, View

_KEPT = 2000
_MOST_SIDE, _MOST_VALUES, _LOG_LINES = 96, 256, 12


class Feed:
    """Results are numbered from 0 as they come; those that a slow reader has not fetched in time are dropped for it."""

    def __init__(self) -> None:
        self.view = View()
        self.is_closed = False
        self._kept: deque[Reading] = deque(maxlen=_KEPT)
        self._count = 0
        self._changed = threading.Condition()

    def take(self, event: Event) -> None:
        self.view.take(event)
        with self._changed:
            if isinstance(event, Reading):
                self._kept.append(event)
                self._count += 1
            self._changed.notify_all()

    def close(self, why: str) -> None:
        """Readers get what is left, and then no more."""
        with self._changed:
            if not self.is_closed:
                self.view.end(why)
            self.is_closed = True
            self._changed.notify_all()

    def start(self) -> int:
        """Where a new reader begins: so far back that it has a history to show."""
        with self._changed:
            return max(self._count - HISTORY, 0)

    def message(self, at: int, wait_s: float) -> tuple[int, dict[str, Any]]:
        """Results from number `at` on, waited for up to `wait_s`, and the number after them."""
        with self._changed:
            if self._count <= at and not self.is_closed:
                self._changed.wait(wait_s)
            readings = list(self._kept)
            found = readings[max(len(readings) - (self._count - at), 0) :] if self._count > at else []
            end = self._count
        seen = as_json(self.view.snapshot())
        return end, {
            "results": [reading.as_json() for reading in found],
            "dropped": end - at - len(found),
            "seen": seen,
            "input": picture(found[-1]) if found else None,
        }


def as_json(seen: Snapshot) -> dict[str, Any]:
    state, statistics = seen.state, seen.statistics
    return {
        "status": seen.status,
        "board": state.board if state else "",
        "model": state.model if state else "",
        "source": state.source if state else "",
        "way": state.way if state else "",
        "thresholds": [list(pair) for pair in state.thresholds] if state else [],
        "recording": state.recording if state else None,
        "rows": seen.rows,
        "exits": seen.exits,
        "per_second": round(seen.per_second, 1),
        "memory_bytes": statistics.memory_bytes if statistics else None,
        "stack_bytes": statistics.stack_bytes if statistics else None,
        "bad_frames": statistics.bad_frames if statistics else None,
        "line_errors": seen.line_errors,
        "reconnects": seen.reconnects,
        "log": list(seen.log[-_LOG_LINES:]),
    }


def picture(reading: Reading) -> dict[str, Any]:
    """The largest input: pixels of an image, 0 to 255; or of each wave the least and largest value a column."""
    array = max(reading.inputs, key=lambda one: one.size)
    found: dict[str, Any] = {
        "name": reading.item,
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "kind": draw.kind_of(array.shape),
    }
    if found["kind"] == "image":
        image = draw.brightness(draw.as_image(array))
        image = draw.fitted(image, *(min(side, _MOST_SIDE) for side in image.shape[1::-1]))
        pixels = np.clip(image * 255, 0, 255).astype(np.uint8)
        found |= {"size": list(pixels.shape[1::-1]), "channels": pixels.shape[2] if pixels.ndim == 3 else 1}
        return found | {"pixels": base64.b64encode(pixels.tobytes()).decode()}
    return found | {"waves": [_edges(wave) for wave in draw.as_waves(array)]}


def _edges(values: Array) -> list[list[float]]:
    return [
        [round(float(value), 4) for value in edge]
        for edge in draw.edges(values.astype(np.float64), _MOST_VALUES)
    ]
