"""`offramp test`: models of offramp.toml on emulated boards, held against budgets and a stored baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from offramp.cli.changes import changed, show_changes, with_growth
from offramp.cli.options import Json
from offramp.cli.output import check_output, note, print_json, print_table, say_error, write_output
from offramp.cli.suite.baseline import Baseline, baseline_path, load_baseline
from offramp.cli.suite.junit import junit
from offramp.cli.suite.outcome import Outcome, outcome_of
from offramp.cli.suite.settings import FILE, Case, chosen, load_cases
from offramp_host.comparison import StepChange, step_changes


def test(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Tests to run; without names all are run.")
    ] = None,
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The tests.")] = FILE,
    update: Annotated[
        bool, typer.Option("--update", help="Take what is found as the baseline, and write it.")
    ] = False,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write results as JUnit XML too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the tests of offramp.toml on emulated boards; exit code 1 if one fails."""
    if junit_file is not None:
        check_output(junit_file, config, option="--junit")
    cases = chosen(load_cases(config), names or [], config)
    baseline = load_baseline(baseline_path(config))
    outcomes = []
    for case in cases:
        for board in case.board:
            outcomes.append(outcome_of(case, board, baseline, update))
            if not as_json:
                show(outcomes[-1])
    if update:
        write_baseline(baseline, outcomes, cases, kept=list(baseline.tests) if names else [])
    if junit_file is not None:
        write_output(junit_file, junit(outcomes))
    if as_json:
        print_json([as_data(outcome) for outcome in outcomes])
    say_failures(outcomes)
    if not all(outcome.passed for outcome in outcomes):
        raise typer.Exit(1)


def write_baseline(
    baseline: Baseline, outcomes: Sequence[Outcome], cases: Sequence[Case], kept: Sequence[str]
) -> None:
    """A test that could not be run keeps its older record; where none could, the file stays as it is."""
    if all(outcome.record is None for outcome in outcomes):
        return
    records = [(o.case, o.record or baseline.tests.get(o.case, {}).get(o.board)) for o in outcomes]
    found = [(name, record) for name, record in records if record is not None]
    others = [name for name in kept if name not in {case.name for case in cases}]
    baseline.with_records(found, others).write()
    note(f"wrote {baseline.path}")


def show(outcome: Outcome) -> None:
    if outcome.record is None:
        return
    before = outcome.before.run.figures if outcome.before else {}
    rows = []
    for check in outcome.checks:
        was = check.before if check.before is not None else before.get(check.name)
        result = "FAILED" if check.failure else "ok"
        rows.append((check.name, was, check.found, changed(was, check.found), check.allowed, result))
    title = f"{outcome.case} on {outcome.board}"
    print_table(title, ("check", "baseline", "found", "change", "allowed", ""), rows)
    if changes := changes_of(outcome):
        show_changes(f"\nsteps that changed, {title}", changes)
    print()


def changes_of(outcome: Outcome) -> list[StepChange]:
    """Steps whose instructions differ from the baseline's."""
    if outcome.record is None or outcome.before is None:
        return []
    found = step_changes(outcome.before.run.steps, outcome.record.run.steps)
    return [change for change in found if change.growth]


def say_failures(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        where = f"test {outcome.case} on {outcome.board}"
        if outcome.error is not None:
            say_error(f"{where}: {outcome.error.message}", outcome.error.hint)
        failed = [check for check in outcome.checks if check.failure]
        for check in failed:
            say_error(f"{where}: {check.failure}", hint(outcome) if check is failed[-1] else "")


def hint(outcome: Outcome) -> str:
    """The way out, and which tools changed since the baseline."""
    assert outcome.record is not None
    was, now = outcome.before.run.tools if outcome.before else {}, outcome.record.run.tools
    other = [f"{name} was {was[name]}, is {now.get(name)}" for name in was if was[name] != now.get(name)]
    way = f"`offramp test {outcome.case} --update` accepts what changed; budgets stand in offramp.toml"
    return "; ".join([way, *other])


def as_data(outcome: Outcome) -> dict[str, Any]:
    error = outcome.error and {"message": outcome.error.message, "hint": outcome.error.hint}
    return {
        "test": outcome.case,
        "board": outcome.board,
        "passed": outcome.passed,
        "seconds": round(outcome.seconds, 3),
        "checks": [asdict(check) for check in outcome.checks],
        "found": outcome.record and asdict(outcome.record),
        "baseline": outcome.before and asdict(outcome.before),
        "grown": [with_growth(change) for change in changes_of(outcome)],
        "error": error,
    }
