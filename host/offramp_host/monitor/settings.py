"""What a monitor is told before it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from offramp.boards import Board
from offramp_host.device import Device
from offramp_host.monitor.model import Model
from offramp_host.monitor.pace import Pace
from offramp_host.monitor.source import Source


@dataclass(frozen=True)
class Way:
    """What decides which plan runs and how deep; `to_the_end` takes no exit."""

    name: str
    set_on: Callable[[Device], object]
    to_the_end: bool = False


@dataclass(frozen=True)
class Settings:
    models: tuple[Model, ...]
    """To switch between, the first at first; none: what runs on the board."""
    source_for: Callable[[Model], Source]
    ways_for: Callable[[Model], Sequence[Way]]
    pace: Pace
    loop: bool = True
    count: int | None = None
    """Rows after which it ends."""
    emulated: Board | None = None
    """The board, where its ticks are instructions."""
    recording: Path | None = None
    """Where the command "record" begins a file; None: a file named for the time, in the current folder."""
    record_at_once: bool = False
    statistics_s: float | None = 1.0
    """How often the board is asked; None: not at all."""
    reconnect_s: float = 60.0
    """How long a lost board is waited for."""
