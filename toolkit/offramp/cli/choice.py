"""How `run` and `monitor` are told which plan of a family runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from offramp.blob.read import Blob
from offramp.errors import UserError
from offramp_host.device import Device, PolicyKind, RefusedError

PolicyText = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="POLICY",
        help="Which plan runs. budget:N is the dearest within N instructions; cascade[:MARGIN[:NAME]] the cheapest "
        "and, where its answer is unsure, NAME, or the next dearer and so on; gate the one that the blob's gate names; "
        "plan:NAME that one.",
    ),
]


@dataclass(frozen=True)
class Choice:
    """Which plan is to run: a policy's kind and value, as the command line gives them."""

    kind: PolicyKind
    value: str
    to: str = ""  # of a cascade: the plan that unsure inputs go to

    @property
    def text(self) -> str:
        return ":".join([self.kind, self.value, self.to]).rstrip(":")

    @staticmethod
    def of(given: str | None) -> Choice | None:
        """UserError where the text is no policy."""
        if given is None:
            return None
        kind, _, value = given.partition(":")
        number = value.isdecimal() and int(value) < 1 << 32
        if kind == "plan" and value:
            return Choice("plan", value)
        if kind == "budget" and number:
            return Choice("budget", value)
        if given == "gate":
            return Choice("gate", "")
        if kind == "cascade" and (number or ":" not in given):
            return Choice("cascade", value)
        margin, _, to = value.partition(":")
        if kind == "cascade" and to and ((margin.isdecimal() and int(margin) < 1 << 32) or not margin):
            return Choice("cascade", margin, to)
        raise UserError(
            f"--policy {given}: it is budget:N, cascade[:MARGIN[:NAME]], gate or plan:NAME, numbers below 2^32",
            "budget:500000 runs the dearest plan within 500,000 instructions; cascade:20 the cheapest and, where "
            "the two largest values differ by less than 20, the next; cascade alone goes by the blob's own margin",
        )

    def plan_index(self, blob: Blob, file: Path) -> int:
        """The plan whose exits options speak of: the one that is named, else the first."""
        return answering(blob, self.value, file) if self.kind == "plan" else 0

    def set_on(self, device: Device, blob: Blob, file: Path) -> None:
        if self.kind == "plan":
            value: int | None = answering(blob, self.value, file)
        else:
            value = int(self.value) if self.value else None
        if len(blob.plans) > 1:
            try:
                device.set_policy(self.kind, value, answering(blob, self.to, file) if self.to else None)
            except RefusedError as error:
                why = error.counted_in("instructions").why
                raise UserError(f"--policy {self.text}: {why}", error.hint) from error
        elif self.kind != "plan":
            raise UserError(
                f"{file} holds one plan, there is nothing for --policy {self.kind} to choose from",
                "`offramp inspect` lists the plans of a blob; a family is packed from a graph with members",
            )


def answering(blob: Blob, wanted: str, file: Path) -> int:
    """A plan by number or name; UserError where there is none, or it is the gate, whose output is no answer."""
    index = blob.plan_index(wanted, file)
    if index == blob.gate - 1:
        raise UserError(
            f"{file}: plan {wanted} is the gate: it scores the other plans and gives no answer of its own",
            f"--policy gate runs it and the plan that it names; {blob.choices}",
        )
    return index
