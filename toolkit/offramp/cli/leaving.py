"""How `run` and `bench` are told how deep runs go, and show by which exits they left."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from offramp.blob.read import PlanRecord
from offramp.cli.output import print_table
from offramp.errors import UserError
from offramp_host.device import Device, ExitPolicy
from offramp_host.exits import Spread

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
        help="Leave with the best answer so far where a run would take more, in instructions or ticks of the counter.",
    ),
]
ExitPolicyText = Annotated[
    str | None,
    typer.Option(
        "--exit-policy",
        metavar="PART,...",
        help="energy:AMOUNT:WINDOW[:LIMIT], patience:STEP:FLOOR[:DOUBT[:RUNS]], confirm:N, predict:LOOK, confidence.",
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


@dataclass(frozen=True)
class Leaving:
    """What the options say. `thresholds`: (exit's place or name, value)."""

    thresholds: tuple[tuple[int | str, int], ...]
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
        return Leaving(tuple(thresholds_of(thresholds)), found)

    @property
    def is_plain(self) -> bool:
        return not self.thresholds and self.policy == ExitPolicy()

    def set_on(self, device: Device, plan: PlanRecord, index: int, file: Path, rows: list[list[Any]]) -> int:
        """The most instructions that a run takes, 0 if unknown; UserError where the plan has no exits to leave by."""
        if not plan.exits:
            if self.is_plain:
                return 0
            raise UserError(
                f"{file}: {plan.name} has no exits for --thresholds, --budget and --exit-policy to decide on",
                "`offramp compress --exits auto` adds some; `offramp inspect` lists them",
            )
        for exit_, value in self.thresholds:
            device.set_threshold(exit_, value, plan=index)
        if self.policy.unit == "ticks":
            device.run(rows[0], measure=True, plan=index, to_the_end=True)  # times the stages
        most = device.set_exit_policy(self.policy, plan=index).most
        return most if self.policy.unit == "instructions" else 0


def thresholds_of(text: str | None) -> list[tuple[int | str, int]]:
    found: list[tuple[int | str, int]] = []
    for i, part in enumerate(text.split(",") if text is not None else ()):
        name, _, value = part.rpartition("=")
        if not value.isdecimal() or int(value) > 0xFFFF:
            raise UserError(
                f"--thresholds {text}: {value or 'nothing'} is no number from 0 to 65535",
                "one for each exit, in their order, or NAME=VALUE; 0 leaves always, 65535 hardly ever",
            )
        found.append((name or i, int(value)))
    return found


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
    return ExitPolicy(**numbers)


def of_spread(found: Spread | None) -> dict[str, Any] | None:
    """For --json."""
    return None if found is None else asdict(found)


def show_spread(found: dict[str, Any] | None, title: str = "\nexits") -> None:
    """Of what `of_spread` gives."""
    if found is None:
        return
    ways = zip(found["names"], found["answers"], found["shares"], strict=True)
    print_table(title, ("left by", "rows", "%"), [(name, n, f"{100 * share:.1f}") for name, n, share in ways])
    kind = "measured" if found["is_measured"] else "proved"
    figures = [
        ("mean", found["mean_instructions"], kind),
        ("95 % of the rows within", found["p95_instructions"], kind),
        ("worst of the rows", found["worst_instructions"], kind),
        ("worst of any row", found["worst_proved"], "proved"),
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
