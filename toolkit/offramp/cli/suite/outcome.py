"""What came of one test on one board."""

from __future__ import annotations

import time
from dataclasses import dataclass

from offramp import boards
from offramp.cli.suite.baseline import Baseline, Record
from offramp.cli.suite.checks import Check, checks_of
from offramp.cli.suite.running import run_case
from offramp.cli.suite.settings import Case
from offramp.errors import UserError


@dataclass(frozen=True)
class Outcome:
    """`error`: it could not be run, or there is nothing to hold it against."""

    case: str
    board: str
    seconds: float
    checks: tuple[Check, ...] = ()
    record: Record | None = None
    before: Record | None = None
    error: UserError | None = None

    @property
    def passed(self) -> bool:
        return self.error is None and not any(check.failure for check in self.checks)


def outcome_of(case: Case, board: str, baseline: Baseline, update: bool) -> Outcome:
    """With `update` the baseline is not held against."""
    began = time.monotonic()
    before = baseline.tests.get(case.name, {}).get(board)
    try:
        boards.must_run_here(boards.load(board))
        if not update:
            before = baseline.record(case.name, board)  # refused before any work
        ran = run_case(case, board)
        checks = tuple(checks_of(case, ran, None if update else before))
    except UserError as error:
        return Outcome(case.name, board, time.monotonic() - began, error=error)
    return Outcome(case.name, board, time.monotonic() - began, checks, ran.record, before)
