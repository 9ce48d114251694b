"""How `run` and `bench` are told how deep runs go, and show by which exits they left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from offramp.blob.read import PlanRecord
from offramp.cli.output import print_table
from offramp.errors import UserError
from offramp_host.device import Device, ExitPolicy, RefusedError
from offramp_host.exits import MOST_THRESHOLD, Spread

Thresholds = Annotated[
    str | None,
    typer.Option(
        "--thresholds",
        metavar="T,...|NAME=T,...",
        help="From which confidence on, 0 to 65535, runs leave by an exit.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="N|Nticks",
        help="Leave with the best answer so far where a run would take more, in instructions or ticks of the board's "
        "counter (`run` says what one is).",
    ),
]
ExitPolicyText = Annotated[
    str | None,
    typer.Option(
        "--exit-policy",
        metavar="PART,...",
        help="Parts: energy:AMOUNT:WINDOW [:LIMIT], patience:STEP:FLOOR [:DOUBT [:RUNS]], confirm:N, predict:LOOK, "
        "confidence.",
    ),
]
NoExits = Annotated[bool, typer.Option("--no-exits", help="Take no exit: all stages run.")]

# Of each part of --exit-policy: how many numbers it needs, and the fields they are.
PARTS = {
    "confidence": (0, ()),
    "energy": (2, ("energy", "window", "energy_limit")),
    "patience": (2, ("patience_step", "patience_floor", "doubt", "doubt_runs")),
    "confirm": (1, ("confirm",)),
    "predict": (1, ("look",)),
}


# Statuses that speak of what a budget or a policy asks for, not of the line or the model.
ASKED_TOO_MUCH = ("OFR_E_BUDGET", "OFR_E_COST", "OFR_E_CLOCK", "OFR_E_DTYPE")


@dataclass(frozen=True)
class Leaving:
    """What the options say; `budget` and `exit_policy` are their texts."""

    thresholds: str | None
    budget: str | None
    exit_policy: str | None
    policy: ExitPolicy

    @staticmethod
    def of(thresholds: str | None, budget: str | None, policy: str | None, no_exits: bool = False) -> Leaving:
        """UserError where a text cannot be read, or options contradict each other."""
        if no_exits and (thresholds, budget, policy) != (None, None, None):
            raise UserError(
                "--no-exits runs all stages: --thresholds, --budget and --exit-policy would decide nothing",
                "give one or the other",
            )
        amount, unit = budget_of(budget)
        found = replace(policy_of(policy), budget=amount, unit="ticks" if unit else "instructions")
        return Leaving(thresholds, budget, policy, found)

    @property
    def is_plain(self) -> bool:
        return self.thresholds is None and self.policy == ExitPolicy()

    def check(self, plan: PlanRecord, file: Path) -> None:
        """UserError where the plan has no exits to leave by, or other ones."""
        if not plan.exits and not self.is_plain:
            raise UserError(
                f"{file}: {plan.name} has no exits for --thresholds, --budget and --exit-policy to decide on",
                "`offramp compress --exits auto` adds some; `offramp inspect` lists them",
            )
        thresholds_of(self.thresholds, plan)

    def set_on(self, device: Device, plan: PlanRecord, index: int, rows: list[list[Any]]) -> int:
        """The most instructions that a run takes, 0 if unknown, of a plan that is checked."""
        if not plan.exits:
            return 0
        for exit_, value in thresholds_of(self.thresholds, plan):
            device.set_threshold(exit_, value, plan=index)
        with self.named():
            if self.policy.unit == "ticks":
                device.run(rows[0], measure=True, plan=index, to_the_end=True)  # times the stages
            most = device.set_exit_policy(self.policy, plan=index).most
        return self.bounded(most) if self.policy.unit == "instructions" else 0

    @property
    def has_budget(self) -> bool:
        return bool(self.policy.budget or self.policy.energy)

    def bounded(self, most: int) -> int:
        """No run takes more than its budget, or than the energy that can be there."""
        energy = self.policy.energy_limit or self.policy.energy
        return min(n for n in (most, self.policy.budget, energy) if n) if most else 0

    @contextmanager
    def named(self) -> Iterator[None]:
        """What the board refuses is told by the option that asked for it."""
        try:
            yield
        except RefusedError as error:
            if error.status.name not in ASKED_TOO_MUCH or self.policy == ExitPolicy():
                raise
            why = error.counted_in(self.policy.unit).why
            raise UserError(f"{self.option_of(error)}: {why}", error.hint) from error

    def option_of(self, error: RefusedError) -> str:
        """The one with the number that was found; both where that does not tell."""
        budget, policy = f"--budget {self.budget}", f"--exit-policy {self.exit_policy}"
        if self.budget is None or error.status.name == "OFR_E_DTYPE":
            return policy
        if self.exit_policy is None or error.found == self.policy.budget:
            return budget
        return policy if error.status.name == "OFR_E_BUDGET" else f"{budget}, {policy}"


def thresholds_of(text: str | None, plan: PlanRecord) -> list[tuple[int, int]]:
    """(exit, value); UserError says what exits there are."""
    if text is None:
        return []
    names, parts = [exit_.port.name for exit_ in plan.exits], text.split(",")
    found: dict[int, int] = {}
    for i, part in enumerate(parts):
        name, _, value = part.rpartition("=")
        at = names.index(name) if names.count(name) == 1 else i if not name else -1
        if not value.isdecimal() or int(value) > MOST_THRESHOLD:
            wrong = f"{value or 'nothing'} is no number from 0 to {MOST_THRESHOLD}"
        elif not name and len(parts) != len(names):
            wrong = f"that is {len(parts)}"
        elif at < 0:
            wrong = f"there is no exit {name}"
        elif at in found:
            wrong = f"{names[at]} is given twice"
        else:
            found[at] = int(value)
            continue
        raise UserError(
            f"--thresholds {text or repr(text)}: {wrong}; exits of {plan.name}: {len(names)}, {', '.join(names)}",
            f"a number from 0 (leaves always) to {MOST_THRESHOLD} (hardly ever) for each, in their order, or "
            "NAME=VALUE for some",
        )
    return list(found.items())


def budget_of(text: str | None) -> tuple[int, bool]:
    """(amount, whether it is in ticks); 0: no budget."""
    if text is None:
        return 0, False
    match = re.fullmatch(r"(\d+)(ticks)?", text.replace("_", ""))
    if match is None or not 0 < int(match[1]) < 1 << 32:
        raise UserError(
            f"--budget {text}: it is a number of instructions, or of ticks, from 1 to {(1 << 32) - 1}",
            "--budget 400000, or --budget 12000ticks",
        )
    return int(match[1]), match[2] is not None


def policy_of(text: str | None) -> ExitPolicy:
    numbers: dict[str, Any] = {}
    for part in text.split(",") if text is not None else ():
        kind, *values = part.split(":")
        least, fields = PARTS.get(kind, (0, ()))
        if (
            kind not in PARTS
            or not least <= len(values) <= len(fields)
            or not all(map(str.isdecimal, values))
            or (kind in ("energy", "confirm", "predict") and "0" in values[:least])
        ):
            raise UserError(
                f"--exit-policy {text}: {part or 'nothing'} is no part of a policy",
                "energy:2000000:10, patience:10:40, confirm:2, predict:32 or confidence, several with commas between",
            )
        numbers |= dict(zip(fields, map(int, values), strict=False))
    policy = ExitPolicy(**numbers)
    try:
        policy.request(0)
    except UserError as error:
        raise UserError(
            f"--exit-policy {text}: {error.message.removeprefix('exit policy: ')}", error.hint
        ) from error
    return policy


def of_spread(found: Spread | None) -> dict[str, Any] | None:
    """For --json."""
    return None if found is None else asdict(found)


def show_spread(found: dict[str, Any] | None, title: str = "\nexits", has_budget: bool = False) -> None:
    """Of what `of_spread` gives; `has_budget`: no run took, or could have taken, more than a budget."""
    if found is None:
        return
    ways = zip(found["names"], found["answers"], found["shares"], strict=True)
    print_table(title, ("left by", "rows", "%"), [(name, n, f"{100 * share:.1f}") for name, n, share in ways])
    kind = "measured" if found["is_measured"] else "proved"
    figures = [
        ("mean", found["mean_instructions"], kind),
        ("95 % of the rows within", found["p95_instructions"], kind),
        ("worst of the rows", found["worst_instructions"], kind),
        (
            f"worst of any row, {'within the' if has_budget else 'without a'} budget",
            found["worst_proved"],
            "proved",
        ),
    ]
    print_table("\ninstructions of a run", ("", "instructions", ""), [f for f in figures if f[1] is not None])
    counts = (
        ("cut short by the budget", "cut_short"),
        ("over the budget", "over_budget"),
        ("heads skipped", "heads_skipped"),
    )
    rows = [(text, found[key]) for text, key in counts if found[key]]
    if rows:
        print_table("", ("rows", ""), rows)
