"""What a step is estimated to execute, and a kernel's code to take: costs.json, which `make costs` writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from offramp.ops import Kernel, Step

TABLE = Path(__file__).with_name("costs.json")


@dataclass(frozen=True)
class Cost:
    """Estimates. The cycles are the core's own; `flash_bytes` are read from the region of code and model."""

    instructions: float = 0.0
    cycles: float = 0.0
    flash_bytes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, name) + getattr(other, name) for name in FIGURES))


FIGURES = tuple(field.name for field in fields(Cost))


@dataclass(frozen=True)
class CostTable:
    """Of one core, measured in the emulator."""

    kernels: Mapping[str, Mapping[str, Any]]
    """By set/name: `prices`, a Cost's figures for each unit of work (Kernel.work), and `code`: its pieces and their
    bytes, those that are its own under the empty name."""

    def cost(self, step: Step, elements: int) -> Cost | None:
        """Of a step whose output has so many elements; None: the kernel has no row."""
        row = self.kernels.get(name_of(step.kernel))
        if row is None:
            return None
        work, prices = step.work(elements), row["prices"]
        return Cost(
            *(sum(n * prices[unit][i] for unit, n in work.items() if unit in prices) for i in range(3))
        )

    def code_bytes(self, kernels: Iterable[Kernel]) -> int:
        """What kernels add to an image; what they share counts once."""
        return sum({piece: n for kernel in kernels for piece, n in self.code(kernel).items()}.values())

    def code(self, kernel: Kernel) -> dict[str, int]:
        """Bytes of a kernel's pieces by names that mean one piece on this core."""
        name = name_of(kernel)
        return {piece or name: n for piece, n in self.kernels.get(name, {"code": {}})["code"].items()}


def name_of(kernel: Kernel) -> str:
    return f"{kernel.set}/{kernel.name}"


@cache
def cost_table(core: str) -> CostTable:
    """Empty for a core that has not been measured."""
    return CostTable(json.loads(TABLE.read_text()).get(core, {}))
