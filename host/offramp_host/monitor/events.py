"""What a monitor tells: results, statistics, messages, and a line that is lost and comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from offramp_host import device
from offramp_host.monitor.model import Array, Score
from offramp_host.rows import crc_of

MOST_SCORES = 8


@dataclass(frozen=True)
class Reading:
    """The answer to one row. Rows count from 0 and come in order, each once, whatever the line does."""

    row: int
    item: str
    """What the source calls the row: a file's name, a time."""
    model: str
    plan: str
    exit: str | None
    """None: the run went to the end."""
    scores: tuple[Score, ...]
    is_class: bool
    ticks: int | None
    instructions: int | None
    """Exact, from the emulator; None elsewhere."""
    latency_ms: float
    """From the moment that the row was handed to the link; waits behind earlier rows are part of it."""
    line_errors: int
    """Since the start: damaged frames received, and requests sent again."""
    reconnects: int
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]

    def as_json(self) -> dict[str, Any]:
        best = self.scores[0] if self.is_class else None
        return {
            "row": self.row,
            "item": self.item,
            "model": self.model,
            "plan": self.plan,
            "exit": self.exit,
            "class": best.index if best else None,
            "label": best.label if best else None,
            "confidence": round(best.value, 4) if best else None,
            "scores": [[score.label, round(score.value, 4)] for score in self.scores],
            "instructions": self.instructions,
            "ticks": self.ticks,
            "latency_ms": round(self.latency_ms, 3),
            "outputs_crc32": crc_of(self.outputs),
            "line_errors": self.line_errors,
            "reconnects": self.reconnects,
        }


@dataclass(frozen=True)
class Message:
    """`who`: "board" for lines of its log, "monitor" for what this program did."""

    who: str
    text: str


@dataclass(frozen=True)
class Wrote(Message):
    """A recording is on the disk."""


@dataclass(frozen=True)
class Lost:
    """The line is silent or closed; rows without an answer are sent again once it is back."""

    why: str


@dataclass(frozen=True)
class Back:
    """The line is there again, so many seconds after it was lost."""

    after_s: float
    restarted: bool
    """The board had started anew; else it ran on."""


@dataclass(frozen=True)
class Statistics:
    """What the board says of itself: memory, stack, damaged frames."""

    of_board: device.Statistics


@dataclass(frozen=True)
class State:
    """What holds from now on."""

    board: str
    model: str
    source: str
    way: str
    """What decides which plan runs and how deep."""
    thresholds: tuple[tuple[str, int], ...]
    is_paused: bool
    recording: str | None


Event = Reading | Message | Lost | Back | Statistics | State


def told(event: Event) -> str:
    """One line for a person; empty for what is no news."""
    if isinstance(event, Message):
        return f"{event.who}: {event.text}"
    if isinstance(event, Lost):
        return f"lost: {event.why}"
    if isinstance(event, Back):
        how = "it had started again" if event.restarted else "it had run on"
        return f"reconnected after {event.after_s:.1f} s; {how}"
    return ""
