"""offramp.baseline.json: what each test gave on each board when it was last accepted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from offramp.cli.output import write_output
from offramp.errors import UserError
from offramp_host.comparison import RunFigures, StepFigures

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """A test's run on one board. `outputs_crc32` is of the rows' outputs, all bytes."""

    run: RunFigures
    rows: int
    outputs_crc32: str
    accuracy: float | None = None


@dataclass(frozen=True)
class Baseline:
    """Records by test, then board."""

    path: Path
    tests: Mapping[str, Mapping[str, Record]]

    def record(self, test: str, board: str) -> Record:
        """UserError, with how to write it, where there is none."""
        found = self.tests.get(test, {})
        if board in found:
            return found[board]
        hint = f"`offramp test {test} --update` writes it; commit it beside offramp.toml"
        if not self.path.exists():
            raise UserError(f"there is no baseline: {self.path} does not exist", hint)
        if found:
            raise UserError(
                f"{self.path} holds test {test} for {', '.join(found)}, the board is {board}", hint
            )
        raise UserError(f"{self.path} has no test {test}; it holds {', '.join(self.tests) or 'none'}", hint)

    def with_records(self, records: Sequence[tuple[str, Record]], kept: Sequence[str]) -> Baseline:
        """These records in place of older ones; of the others the tests of these names stay."""
        tests = {name: dict(found) for name, found in self.tests.items() if name in kept}
        for name, record in records:
            tests.setdefault(name, {})[record.run.board] = record
        return replace(self, tests=tests)

    def write(self) -> None:
        tests = {
            name: {board: asdict(found[board]) for board in sorted(found)}
            for name, found in sorted(self.tests.items())
        }
        text = json.dumps({"format": FORMAT, "tests": tests}, indent=1, ensure_ascii=False) + "\n"
        write_output(self.path, text.encode())


def baseline_path(config: Path) -> Path:
    return config.with_suffix(".baseline.json")


def load_baseline(path: Path) -> Baseline:
    """One without records where the file does not exist."""
    if not path.exists():
        return Baseline(path, {})
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise UserError(
                f"{path} has format {data['format']}, this version reads {FORMAT}",
                "delete it and run `offramp test --update`",
            )
        tests = {
            name: {board: record_of(entry) for board, entry in found.items()}
            for name, found in data["tests"].items()
        }
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", "check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is no baseline: {type(error).__name__}: {error}",
            "take it from version control, or delete it and run `offramp test --update`",
        ) from error
    return Baseline(path, tests)


def record_of(entry: Mapping[str, Any]) -> Record:
    run = entry["run"]
    steps = [StepFigures(**step) for step in run["steps"]]
    return Record(**{**entry, "run": RunFigures(**{**run, "steps": steps})})
