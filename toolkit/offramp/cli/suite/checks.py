"""Judges a run: expected outputs, accuracy, the baseline's bits, and each figure against budget and baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from offramp.cli.output import cell
from offramp.cli.suite.baseline import Record
from offramp.cli.suite.running import Ran
from offramp.cli.suite.settings import Case
from offramp.errors import UserError
from offramp_host.comparison import StepChange, share, step_changes
from offramp_host.rows import Array, load_arrays

STEPS_NAMED = 3
UNITS = {
    "instructions": "instructions",
    "mean_instructions": "instructions of a row, mean",
    "flash_bytes": "bytes of flash",
    "ram_bytes": "bytes of RAM",
    "stack_bytes": "bytes of stack",
    "latency_ms_estimate": "ms (estimate)",
}
"""Of the figures that are judged."""

Value = float | str | None


@dataclass(frozen=True)
class Check:
    """`failure` says what is wrong, with the numbers; empty: passed."""

    name: str
    before: Value
    found: Value
    allowed: Value
    failure: str = ""


def checks_of(case: Case, ran: Ran, before: Record | None) -> list[Check]:
    """`before` is the baseline's record; None: there is none to hold against."""
    return [*output_checks(case, ran, before), *figure_checks(case, ran, before)]


def output_checks(case: Case, ran: Ran, before: Record | None) -> Iterator[Check]:
    if case.outputs:
        yield expected_outputs(case, ran.outputs)
    if case.accuracy is not None:
        yield accuracy_check(case.accuracy, ran.record, before)
    if before is not None and case.bits and not case.tolerance:
        yield bits_check(ran.record, before)


def expected_outputs(case: Case, found: Sequence[tuple[str, Array]]) -> Check:
    path = case.path(case.outputs)
    arrays = load_arrays(path)
    if list(arrays) == [""]:
        arrays = {found[0][0]: arrays[""]}
    worst, rows_wrong = 0, np.zeros(len(found[0][1]), bool)
    for name, array in found:
        if name not in arrays:
            raise UserError(
                f"{path}: no array for output {name}; the file has {', '.join(arrays) or 'none'}",
                "write it with `offramp run … -o FILE.npz`",
            )
        difference = differences(array, arrays[name], f"{path}: {name}")
        worst = max(worst, int(difference.max(initial=0)))
        rows_wrong |= (difference > case.tolerance).reshape(len(array), -1).any(axis=1)
    failure = ""
    if rows_wrong.any():
        failure = (
            f"{int(rows_wrong.sum())} of {len(rows_wrong)} rows differ from {case.outputs} by up to {worst}, "
            f"{case.tolerance} is allowed; the first is row {int(rows_wrong.argmax())}"
        )
    return Check("outputs", None, worst, case.tolerance, failure)


def differences(found: Array, wanted: Array, what: str) -> Array:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise UserError(
            f"{what} is {wanted.dtype} {list(wanted.shape)}, the run gives {found.dtype} {list(found.shape)}",
            "write it again from the same inputs with `offramp run … -o FILE.npz`",
        )
    wide = np.float64 if found.dtype.kind == "f" else np.int64
    difference: Array = np.abs(found.astype(wide) - wanted.astype(wide))
    return difference


def accuracy_check(least: float, record: Record, before: Record | None) -> Check:
    found = record.accuracy or 0.0
    failure = ""
    if found < least:
        failure = f"accuracy is {found:.4f} on {record.rows} rows, {least:g} is needed"
    was = f"{before.accuracy:.4f}" if before is not None and before.accuracy is not None else None
    return Check("accuracy", was, f"{found:.4f}", f"{least:g}", failure)


def bits_check(record: Record, before: Record) -> Check:
    failure = ""
    if record.rows != before.rows:
        failure = f"{record.rows} rows ran, the baseline is of {before.rows}"
    elif record.outputs_crc32 != before.outputs_crc32:
        failure = (
            f"outputs of the {record.rows} rows are not the baseline's: "
            f"CRC-32 {record.outputs_crc32}, was {before.outputs_crc32}"
        )
    return Check("bits", before.outputs_crc32, record.outputs_crc32, "equal", failure)


def figure_checks(case: Case, ran: Ran, before: Record | None) -> Iterator[Check]:
    record = ran.record
    for name in UNITS:
        found = record.run.figures.get(name)
        if found is None:
            continue
        was = before.run.figures.get(name) if before is not None else None
        check = figure_check(case, name, found, was, grown_steps(record, before) if before else [])
        if check.failure and name == "latency_ms_estimate" and ran.latency_error:
            check = replace(check, failure=f"{check.failure}; such estimates erred by {ran.latency_error}")
        yield check


def figure_check(case: Case, name: str, found: float, was: float | None, grown: list[StepChange]) -> Check:
    """Over budget comes first; else grown over the baseline."""
    budget, growth = case.budget.limits.get(name), case.growth(name)
    most = None if was is None or growth is None else was * (1 + growth)
    allowed = min((limit for limit in (budget, most) if limit is not None), default=None)
    failure = ""
    if budget is not None and found > budget:
        failure = (
            f"{cell(found)} {UNITS[name]}, the budget is {cell(budget)}: {cell(found - budget)} too many"
        )
    elif was is not None and growth is not None and most is not None and found > most:
        failure = (
            f"{UNITS[name]} grew by {percent(was, found)}, from {cell(was)} to {cell(found)}; "
            f"{100 * growth:g} % is allowed"
        )
    if failure and "instructions" in name and grown:
        failure += "; grown: " + ", ".join(told(change) for change in grown[:STEPS_NAMED])
    return Check(name, was, found, int(allowed) if isinstance(found, int) and allowed else allowed, failure)


def grown_steps(record: Record, before: Record) -> list[StepChange]:
    return [change for change in step_changes(before.run.steps, record.run.steps) if change.growth > 0]


def told(change: StepChange) -> str:
    """Which step, and by how much it grew."""
    where = f"step {change.number} {change.step}"
    if change.before is None:
        return f"{where} is new, {cell(change.growth)}"
    was = change.before.instructions or 0
    other = f", was {change.before.kernel}" if change.before.kernel != change.step.kernel else ""
    return f"{where} by {cell(change.growth)} ({percent(was, was + change.growth)}{other})"


def percent(was: float, now: float) -> str:
    grown = share(was, now)
    return "from 0" if grown is None else f"{100 * grown:.1f} %"
