"""offramp.toml: which models are tested on which boards, with what inputs, and what they may cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from offramp.cli.choice import Choice
from offramp.cli.options import MOST, plan_options
from offramp.cli.options import nearest as nearest_aim
from offramp.errors import UserError
from offramp.plan import OPTIMIZE, Options
from offramp.toml_table import fill, nearest, read_toml

FILE = Path("offramp.toml")
MAX_GROWTH = 0.01


@dataclass(frozen=True)
class Budget:
    """The most that a figure may be. Without a budget it is held against the baseline."""

    instructions: int | None = None  # of one inference of the first plan, or plan:NAME, to its end
    mean_instructions: int | None = None  # of the rows, of a model with exits or under a policy
    flash_bytes: int | None = None  # of the image: model, kernels, runtime, application
    ram_bytes: int | None = None  # arena, state and static data; the stack is apart
    stack_bytes: int | None = None  # the most that was used
    latency_ms_estimate: float | None = None  # estimated, with the errors of docs/estimates.md

    @property
    def limits(self) -> dict[str, float]:
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Case:
    """A model on one board or several."""

    name: str
    folder: Path  # relative paths count from here
    model: str  # a model file or a .ofr
    board: tuple[str, ...]  # one name or a list; each runs in the emulator
    inputs: str = ""  # .npy or .npz, as `offramp run` takes them; none: 20 rows of seeded random values
    outputs: str = ""  # expected: .npz or .npy, as `offramp run -o` writes them
    tolerance: int = 0  # most that an integer of `outputs` may differ; above 0 `bits` are not asked for
    bits: bool = True  # outputs equal the baseline's bit for bit
    labels: str = ""  # class numbers: .npy, or .npz with y; none: y of `inputs`
    accuracy: float | None = None  # least share of rows whose largest output is the label's
    max_growth: float | None = None  # over the baseline: 0.01 where no budget is given, else none
    budget: Budget = field(default_factory=Budget)
    policy: str = ""  # which plan of a family runs, as `offramp run --policy`
    kernels: str = "auto"  # kernel set, as `offramp pack --kernels`
    optimize: str = "balanced"  # balanced, speed, flash or ram
    flash_limit: int | None = None  # most bytes of the blob: smaller kernels are chosen for it
    ram_limit: int | None = None  # most bytes of arena and state: layers are banded for it
    time_limit: float = 120.0  # seconds that one inference may take

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def options(self) -> Options:
        return plan_options(
            self.kernels, optimize=self.optimize, flash_limit=self.flash_limit, ram_limit=self.ram_limit
        )

    def growth(self, figure: str) -> float | None:
        """What a figure may grow over the baseline, as a share; None: by any amount."""
        if self.max_growth is None:
            return None if figure in self.budget.limits else MAX_GROWTH
        return self.max_growth


def load_cases(path: Path) -> list[Case]:
    """UserError names a key that is unknown, missing or of a wrong type, and the nearest known one."""
    if not path.exists():
        raise UserError(f"{path} does not exist", "`offramp init MODEL --board B` writes it")
    table = read_toml(path)
    for key in table:
        if key != "test":
            raise UserError(f"{path}: unknown key {key}", "did you mean [test.NAME]?")
    found = table.get("test")
    if not isinstance(found, dict) or not found:
        raise UserError(f"{path}: no test", 'add [test.NAME] with model = "…" and board = "…"')
    return [case_of(path, name, entry) for name, entry in tables(found).items()]


def tables(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those of [test.NAME] by name; [test] alone is called test."""
    return found if all(isinstance(entry, dict) for entry in found.values()) else {"test": found}


def case_of(path: Path, name: str, entry: Mapping[str, Any]) -> Case:
    where = f"{path}: test {name}"
    for key in ("name", "folder"):
        if key in entry:
            raise UserError(f"{where}: unknown key {key}", "the name stands in [test.NAME]")
    for f in fields(Budget):
        if f.name in entry:
            raise UserError(f"{where}: {f.name} is a budget", f"write it below [test.{name}.budget]")
    case: Case = fill(Case, {**entry, "name": name, "folder": path.parent}, where)
    if not case.board:
        raise UserError(f"{where}: no board", 'board = "mps2_an386"; `offramp boards` lists them')
    check_ranges(case, where)
    check_policy(case, where)
    if case.optimize not in OPTIMIZE:
        raise UserError(
            f"{where}: optimize is {case.optimize}, one of {', '.join(OPTIMIZE)} is needed",
            nearest_aim(case.optimize),
        )
    if case.tolerance and not case.outputs:
        raise UserError(f"{where}: tolerance without outputs", 'add outputs = "y.npz", or leave it out')
    if case.accuracy is not None and not (case.labels or case.inputs):
        raise UserError(f"{where}: accuracy without inputs", 'add inputs = "x.npz" with arrays x and y')
    if case.labels and case.accuracy is None:
        raise UserError(f"{where}: labels without accuracy", "add accuracy = 0.9, or leave labels out")
    return case


def check_policy(case: Case, where: str) -> None:
    """UserError where the text is no policy; the plans are known when the model is read."""
    try:
        Choice.of(case.policy or None)
    except UserError as error:
        raise UserError(f"{where}: {error.message.removeprefix('--')}", error.hint) from error


def check_ranges(case: Case, where: str) -> None:
    """UserError where a number allows everything, or nothing at all."""
    least = {"tolerance": 0.0, "max_growth": 0.0, "time_limit": 1.0, "flash_limit": 1.0, "ram_limit": 1.0}
    values = [(where, name, getattr(case, name), least[name], MOST) for name in least]
    values += [(f"{where}: budget", name, value, 0.0, MOST) for name, value in case.budget.limits.items()]
    values.append((where, "accuracy", case.accuracy, 0.0, 1.0))
    for place, name, value, lowest, highest in values:
        if value is not None and not lowest <= value <= highest:
            allowed = f"from {lowest:g} to {highest:g} is needed"
            raise UserError(f"{place}: {name} is {value:g}, a number {allowed}", "correct the file")


def chosen(cases: list[Case], names: list[str], path: Path) -> list[Case]:
    """Those of these names, or all."""
    known = {case.name: case for case in cases}
    for name in names:
        if name not in known:
            raise UserError(
                f"{path}: no test {name}; there are {', '.join(known)}", f"try {nearest(name, known)}"
            )
    return [known[name] for name in dict.fromkeys(names)] or cases
