"""What an inference takes on a board in time, energy and battery: estimates, each with its error against silicon.

    milliseconds = (cycles of the core + bytes read from flash x cycles a byte) / clock
    microjoules  = milliseconds x supply x current at that clock, both from `[power]` of the board file

How far such figures were from published results stands in estimate_points.json, which `python -m tools.estimate_check`
writes and docs/estimates.md shows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from offramp.boards import Board, Region
from offramp.cycles import cycle_model

POINTS = Path(__file__).with_name("estimate_points.json")
BYTES_A_READ = 4
CACHED_READ = 0.53
"""Cycles a byte of data read from flash behind a cache, fills included: fits the nRF5340's four results best."""
TARGET = 0.20
"""What an error should stay within."""
ENOUGH = 4
"""Results that a core must have for an error of its own."""
Unit = Literal["ms", "uJ"]


@dataclass(frozen=True)
class Point:
    """A published result and what was estimated for it, which it had no part in."""

    core: str
    chip: str
    model: str
    system: str
    how: str
    """`same kernels`, `other kernels, from CHIP` or `data sheet`."""
    unit: Unit
    published: float
    estimated: float

    @property
    def error(self) -> float:
        """Relative; below zero where the estimate is too small."""
        return self.estimated / self.published - 1


@dataclass(frozen=True)
class Uncertainty:
    """Least and greatest error of estimates against published results."""

    of: str
    """A core with enough results of its own, or all cores."""
    points: int
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{self.least:+.0%} to {self.greatest:+.0%} on {self.points} published results of {self.of}"

    def interval(self, value: float) -> tuple[float, float]:
        """Where the true figure was, had it been one of those results."""
        return value / (1 + max(self.greatest, 0.0)), value / (1 + min(self.least, 0.0))


@dataclass(frozen=True)
class Estimate:
    """Of one inference; `energy_uj` is None where the board file has no currents."""

    cycles: float
    latency_ms: float
    energy_uj: float | None
    latency_error: Uncertainty
    energy_error: Uncertainty
    lower_bound: str
    """What is missing from the time, where something is known to be: ""."""


@dataclass(frozen=True)
class Duty:
    """What a board does every `period_ms`: wake, sample, infer, sleep. Currents are the chip's alone."""

    period_ms: float
    sample_ms: float = 0.0
    sample_ma: float | None = None
    """While it samples, sensor included; None: the run current."""
    wake_ms: float = 1.0
    """From sleep to the first instruction, at the run current."""

    @property
    def room_ms(self) -> float:
        """What a period leaves for the inference."""
        return self.period_ms - self.wake_ms - self.sample_ms


def estimate(board: Board, cycles: float, flash_bytes: float) -> Estimate | None:
    """`cycles` are the core's own, without waits; None for a core without a cycle model, a host or an Xtensa."""
    if cycle_model(board.core.name) is None:
        return None
    total = cycles + flash_bytes * read_cycles(board.constants)
    latency_ms = total / board.clock_hz * 1e3
    power = board.power
    return Estimate(
        total,
        latency_ms,
        latency_ms * power.supply_v * power.run_ma if power else None,
        uncertainty(board.core.name, "ms"),
        uncertainty(board.core.name, "uJ"),
        lower_bound(board.code),
    )


def read_cycles(region: Region) -> float:
    """A byte of data: as the board file says; else the wait states of a word, or what fills of a cache cost."""
    if region.read_cycles_per_byte:
        return region.read_cycles_per_byte
    return CACHED_READ if region.cached else (region.wait_states or 0) / BYTES_A_READ


def lower_bound(code: Region) -> str:
    """What is known to be missing from a time, where code lies in this region; empty: nothing."""
    if code.wait_states and not code.cached:
        return f"waits of instruction fetches ({code.wait_states} wait states, no cache) are not counted"
    return ""


def average_ma(board: Board, latency_ms: float, duty: Duty) -> float | None:
    """Over a period; None without currents. `latency_ms` is a mean run's. ValueError if a period is too short."""
    power = board.power
    if power is None:
        return None
    asleep = duty.room_ms - latency_ms
    if asleep < 0:
        raise ValueError(f"{-asleep:.3g} ms too many in a period of {duty.period_ms:g} ms")
    sampling = power.run_ma if duty.sample_ma is None else duty.sample_ma
    charge = (
        power.run_ma * (duty.wake_ms + latency_ms) + sampling * duty.sample_ms + power.sleep_ua / 1e3 * asleep
    )
    return charge / duty.period_ms


def battery_days(battery_mah: float, mean_ma: float) -> float:
    """Of the whole charge; a battery's own discharge is not counted."""
    return battery_mah / mean_ma / 24


@cache
def points() -> tuple[Point, ...]:
    return tuple(Point(**row) for row in json.loads(POINTS.read_text()))


def uncertainty(core: str, unit: Unit) -> Uncertainty:
    """A core's own where it has results enough; of energy always of all, for its doubt is the data sheet's current."""
    found = [p for p in points() if p.unit == unit]
    own = [p for p in found if p.core == core]
    return summary(core, own) if unit == "ms" and len(own) >= ENOUGH else summary("all cores", found)


def summary(of: str, found: Sequence[Point]) -> Uncertainty:
    """ValueError for no points."""
    errors = [p.error for p in found]
    return Uncertainty(of, len(errors), min(errors), max(errors))
