"""What `offramp monitor` can switch between: plans, policies and exits of a blob."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from offramp.blob.read import Blob
from offramp.cli.choice import Choice
from offramp.cli.leaving import Leaving
from offramp.errors import UserError
from offramp.ir import DTYPES
from offramp_host.device import Device, ExitPolicy, PolicyKind
from offramp_host.monitor.settings import Way


@dataclass(frozen=True)
class Given:
    """What the options ask for."""

    choice: Choice | None
    leaving: Leaving
    no_exits: bool

    @property
    def is_nothing(self) -> bool:
        return self.choice is None and self.leaving.is_plain and not self.no_exits

    def check(self, blob: Blob, file: Path) -> None:
        """UserError where the blob has not what the options speak of."""
        self.leaving.check(blob.plans[self.plan(blob, file)], file)

    def plan(self, blob: Blob, file: Path) -> int:
        return self.choice.plan_index(blob, file) if self.choice is not None else 0

    def set_on(self, device: Device, blob: Blob, file: Path) -> None:
        as_loaded(device, blob)
        if self.choice is not None:
            self.choice.set_on(device, blob, file)
        index = self.plan(blob, file)
        zeros = [np.zeros(port.shape, DTYPES[port.dtype]) for port in blob.inputs]
        self.leaving.set_on(device, blob.plans[index], index, [zeros])

    @property
    def name(self) -> str:
        parts = [self.choice.text if self.choice else None, self.leaving.exit_policy]
        parts += [f"budget {self.leaving.budget}" if self.leaving.budget else None]
        return ", ".join(part for part in parts if part) or ("no exits" if self.no_exits else "as given")


def ways_of(model: tuple[Blob, Path] | None, given: Given) -> list[Way]:
    """Never empty; what the options ask for comes first. Without a blob: as the board does it."""
    if model is None:
        if not given.is_nothing:
            raise UserError(
                "--policy, --thresholds, --budget, --exit-policy and --no-exits need the model's file",
                "name the .ofr that the board runs",
            )
        return [Way("as the board does it", lambda device: None)]
    blob, file = model
    found = [*_plans(blob), *_exits(blob)]
    if given.is_nothing:
        return found
    asked = Way(given.name, lambda device: given.set_on(device, blob, file), given.no_exits)
    return [asked, *(way for way in found if way.name != asked.name)]


def as_loaded(device: Device, blob: Blob) -> None:
    """Whatever way was on before: plan 0, exits by confidence from the blob's own thresholds on."""
    if len(blob.plans) > 1:
        device.set_policy("plan", 0)
    for i, plan in enumerate(blob.plans):
        for j, exit_ in enumerate(plan.exits):
            device.set_threshold(j, exit_.threshold, plan=i)
        if plan.exits:
            device.set_exit_policy(ExitPolicy(), plan=i)


def _plans(blob: Blob) -> list[Way]:
    if len(blob.plans) < 2:
        return [] if blob.plans[0].exits else [Way("one plan", lambda device: None)]
    named = [
        _policy(blob, f"plan {p.name}", "plan", i) for i, p in enumerate(blob.plans) if i != blob.gate - 1
    ]
    if blob.margin:
        named.append(_policy(blob, "cascade", "cascade"))
    if blob.gate:
        named.append(_policy(blob, "gate", "gate"))
    return named


def _policy(blob: Blob, name: str, kind: PolicyKind, plan: int | None = None) -> Way:
    def set_on(device: Device) -> None:
        as_loaded(device, blob)
        device.set_policy(kind, plan)

    return Way(name, set_on)


def _exits(blob: Blob) -> list[Way]:
    if not any(plan.exits for plan in blob.plans):
        return []
    if len(blob.plans) > 1:
        first = f"plan {blob.plans[0].name}, no exits"
        return [Way(first, lambda device: as_loaded(device, blob), to_the_end=True)]
    by_confidence = Way("exits by confidence", lambda device: as_loaded(device, blob))
    return [by_confidence, replace(by_confidence, name="no exits", to_the_end=True)]
