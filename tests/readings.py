"""Readings of a made-up model with an exit, for what draws them."""

from __future__ import annotations

from typing import Any

import numpy as np

from offramp_host import device
from offramp_host.monitor.events import Reading, State, Statistics
from offramp_host.monitor.model import Score

LABELS = ("cat", "dog", "bird")


def state(**changes: Any) -> State:
    given = {
        "board": "mps2_an386",
        "model": "pets",
        "source": "x.npy",
        "way": "exits by confidence",
        "thresholds": (("early", 60),),
        "is_paused": False,
        "recording": None,
    }
    return State(**{**given, **changes})


def reading(row: int, **changes: Any) -> Reading:
    """Class `row` modulo 3, every second by the exit."""
    best = row % 3
    scores = [Score(best, LABELS[best], 0.75), Score((best + 1) % 3, LABELS[(best + 1) % 3], 0.25)]
    given = {
        "row": row,
        "item": f"row {row}",
        "model": "pets",
        "plan": "pets",
        "exit": "early" if row % 2 else None,
        "scores": tuple(scores),
        "is_class": True,
        "ticks": 100 + row,
        "instructions": 1000 + row,
        "latency_ms": 2.0 + row % 5,
        "line_errors": 0,
        "reconnects": 0,
        "inputs": (np.full((1, 8, 8, 1), 127, np.int8),),
        "outputs": (np.array([[row % 128, 0, 0]], np.int8),),
    }
    return Reading(**{**given, **changes})


def statistics() -> Statistics:
    return Statistics(device.Statistics(1, 2, 3, 4, 0, 0, 692, 17_344))
