"""Ways out of a model on a board: what the board says of them, policies, and how a run left."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from offramp.errors import UserError
from offramp.ir import CONFIDENCES
from offramp_host.dtype import DTYPE_OF

MOST_THRESHOLD = 0xFFFF
NO_BUDGET = 0xFFFFFFFF
Unit = Literal["instructions", "ticks"]

_NONE, _NO_CLASS = 0xFF, 0xFFFF
_CUT_SHORT, _BUDGET_MET, _HEADS_SKIPPED = 1, 2, 4
_STAGE = struct.Struct("<hHBBHHHHBBIII")
_OUTCOME = struct.Struct("<HBBIHH")
_POLICY = struct.Struct("<BBBxIIIHHHHBBBx")
_POLICY_REPLY = struct.Struct("<hHIII")
_THRESHOLD = struct.Struct("<BBBxI")
_UNITS: tuple[Unit, ...] = ("instructions", "ticks")


@dataclass(frozen=True)
class ExitInfo:
    """A way out. `confidence`: margin, maximum, entropy or error; a run leaves where it is at least `threshold`."""

    name: str
    confidence: str
    threshold: int
    shape: tuple[int, ...]
    """Of the answer, which stands for output 0."""
    dtype: np.dtype[np.generic]
    n_bytes: int


@dataclass(frozen=True)
class StageInfo:
    """Steps up to an exit, its head last, or up to the end. Instructions are proved upper bounds; 0: unknown."""

    first_step: int
    n_steps: int
    head_steps: int
    instructions: int
    head_instructions: int
    exit: ExitInfo | None
    """None: the stage ends the model."""


@dataclass(frozen=True)
class ExitPolicy:
    """How deep runs go; without arguments by confidence alone. What each does: firmware/include/offramp_policy.h."""

    budget: int = 0
    """Most that one run may take; 0: no budget."""
    unit: Unit = "instructions"
    """Of budget, energy and prediction. Ticks: of the board's own counter, after `Device.run(to_the_end=True)`."""
    energy: int = 0
    """What `window` runs may take together; 0: no limit."""
    energy_limit: int = 0
    """Most that unused energy adds up to, at least `energy`; 0: `energy`."""
    window: int = 0
    patience_step: int = 0
    """By how much a repeated class lowers thresholds a run; 0: no patience."""
    patience_floor: int = 0
    doubt: int = 0
    """By how much thresholds rise for another class, and for `doubt_runs` runs after a change."""
    doubt_runs: int = 0
    confirm: int = 0
    """Times in a row that a new class must come before it is reported."""
    look: int = 0
    """Heads that do not pay are skipped but for every `look`-th run; 0: no prediction."""

    def request(self, plan: int) -> bytes:
        """UserError where a number is outside its range."""
        for field in fields(self):
            self._check(field.name)
        limit = self.energy_limit or self.energy
        if self.energy and (self.window == 0 or limit < self.energy):
            raise UserError(
                f"exit policy: energy of {self.energy} {self.unit} for a window of {self.window} runs, carried to "
                f"{limit} {self.unit}",
                "Energy needs a window of at least 1 run, and a limit that is not below it.",
            )
        return _POLICY.pack(
            *(0, plan, _UNITS.index(self.unit), self.budget, self.energy, limit, self.window),
            *(self.patience_step, self.patience_floor, self.doubt, self.doubt_runs, self.confirm, self.look),
        )

    def _check(self, name: str) -> None:
        value = getattr(self, name)
        if name == "unit":
            if value not in _UNITS:
                raise UserError(f"exit policy: unit {value!r}", f"It is {' or '.join(_UNITS)}.")
            return
        most = 0xFF if name in ("doubt_runs", "confirm", "look") else 0xFFFF
        most = 0xFFFFFFFF if name in ("budget", "energy", "energy_limit") else most
        if not isinstance(value, int) or not 0 <= value <= most:
            raise UserError(
                f"exit policy: {name} {value!r} is no number from 0 to {most}", "0 leaves this part out."
            )


@dataclass(frozen=True)
class ExitPolicySet:
    """`least`: the least budget of a run; `expected`: the mean cost of one, as counted so far; `most`: what a run takes
    at most without a budget. In the policy's unit; 0: unknown."""

    least: int
    expected: int
    most: int

    @staticmethod
    def of(reply: bytes) -> ExitPolicySet:
        return ExitPolicySet(*_POLICY_REPLY.unpack_from(reply)[2:])


@dataclass(frozen=True)
class Outcome:
    """How a run with exits went. `instructions`: the most that what ran takes; 0: unknown. `stages`: how many ran."""

    confidence: int
    """Of the exit's answer; 0 at the end of the model."""
    instructions: int
    stages: int
    cut_short: bool
    """The budget ended the run at an exit that was not sure."""
    budget_met: bool
    heads_skipped: bool
    answer: int | None
    """The class; None unless the policy watches classes (patience, confirm)."""
    reported: int | None
    """The class that is confirmed."""

    BYTES = _OUTCOME.size

    @staticmethod
    def of(data: bytes) -> Outcome:
        confidence, flags, stages, instructions, *classes = _OUTCOME.unpack_from(data)
        answer, reported = (None if c == _NO_CLASS else c for c in classes)
        return Outcome(
            *(confidence, instructions, stages, bool(flags & _CUT_SHORT), bool(flags & _BUDGET_MET)),
            *(bool(flags & _HEADS_SKIPPED), answer, reported),
        )


def threshold_request(plan: int, exit_: int, value: int) -> bytes:
    if not isinstance(value, int) or not 0 <= value <= MOST_THRESHOLD:
        raise UserError(
            f"exit {exit_}: the threshold {value!r} is no number from 0 to {MOST_THRESHOLD}",
            "0 leaves always, 65535 hardly ever.",
        )
    return _THRESHOLD.pack(0, plan, exit_, value)


def exit_index(stages: Sequence[StageInfo], exit_: int | str, where: str) -> int:
    """UserError lists the exits where there is no such one."""
    names = [s.exit.name for s in stages if s.exit is not None]
    if isinstance(exit_, str) and names.count(exit_) == 1:
        return names.index(exit_)
    if isinstance(exit_, int) and 0 <= exit_ < len(names):
        return exit_
    found = ", ".join(f"{i} {name}" for i, name in enumerate(names)) or "none"
    raise UserError(f"{where}: the plan has no exit {exit_}", f"Its exits: {found}")


def read_stages(describe: Callable[[int], bytes]) -> tuple[StageInfo, ...]:
    """All stages of a plan; `describe` asks the board for one."""
    first = describe(0)
    n_exits = _STAGE.unpack_from(first)[2]
    replies = [first, *(describe(i) for i in range(1, n_exits + 1))]
    return tuple(_stage(reply, i < n_exits) for i, reply in enumerate(replies))


def _stage(reply: bytes, is_exit: bool) -> StageInfo:
    _, at, _, kind, threshold, *counts, dtype, rank, most, most_of_head, n_bytes = _STAGE.unpack_from(reply)
    first_step, n_steps, head_steps = counts
    found = None
    if is_exit:
        shape = struct.unpack_from(f"<{rank}i", reply, at)
        name = reply[at + 4 * rank :].decode("utf-8", "replace")
        found = ExitInfo(name, CONFIDENCES[kind], threshold, shape, DTYPE_OF[dtype], n_bytes)
    return StageInfo(first_step, n_steps, head_steps, most, most_of_head, found)


@dataclass(frozen=True)
class Spread:
    """How rows left, and what they took: `instructions` measured, or proved bounds where the board counts none."""

    names: tuple[str, ...]
    """Of the exits; the last is "end"."""
    answers: tuple[int, ...]
    shares: tuple[float, ...]
    mean_instructions: int | None
    p95_instructions: int | None
    """Of 100 rows at least 95 take no more."""
    worst_instructions: int | None
    """Of these rows."""
    worst_proved: int | None
    """Of any row: all stages, as the blob proves them, and the firmware's policy, or a budget below that; None where it
    does not."""
    is_measured: bool
    cut_short: int
    """Rows that the budget ended at an exit that was not sure."""
    over_budget: int
    heads_skipped: int
    """Rows in which a head was skipped."""


def spread(
    stages: Sequence[StageInfo],
    left: Sequence[tuple[int | None, Outcome | None]],
    measured: Sequence[int],
    most: int,
) -> Spread:
    """Of (exit, outcome) by row; `measured` instructions by row, or none; `most` of any row, 0 if unknown."""
    names = (*(s.exit.name for s in stages if s.exit is not None), "end")
    answers = [0] * len(names)
    for exit_, _ in left:
        answers[len(names) - 1 if exit_ is None else exit_] += 1
    outcomes = [outcome for _, outcome in left if outcome is not None]
    proved = [outcome.instructions for outcome in outcomes]
    counts = sorted(measured or (proved if all(proved) else ()))
    return Spread(
        names,
        tuple(answers),
        tuple(n / max(len(left), 1) for n in answers),
        round(sum(counts) / len(counts)) if counts else None,
        counts[-(-95 * len(counts) // 100) - 1] if counts else None,
        counts[-1] if counts else None,
        most or None,
        bool(measured),
        sum(outcome.cut_short for outcome in outcomes),
        sum(not outcome.budget_met for outcome in outcomes),
        sum(outcome.heads_skipped for outcome in outcomes),
    )
