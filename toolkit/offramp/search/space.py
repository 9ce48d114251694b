"""What a search may vary, and the steps that a choice means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from offramp.compress.recipe import Prune, Quantize, Search, Sparsify, Student
from offramp.errors import UserError
from offramp.toml_table import nearest


@dataclass(frozen=True)
class Range:
    low: float
    high: float


@dataclass(frozen=True)
class Choices:
    values: tuple[Any, ...]


# Key of [search.space] -> what it means.
KEYS = {
    "width": "share of the channels of a new student",
    "parameters": "share of the parameters that pruning leaves",
    "macs": "share of the MACs that pruning leaves",
    "zeros": "share of the weights that are zero",
    "pattern": "of the zeros: unstructured, 1x4 or N:M",
    "bits": "8, 4 (weights) or 16 (activations)",
    "per_group": "a factor for each 32 weights of 4 bits",
}
OBJECTIVES = {
    "accuracy": "maximize",
    "blob_bytes": "minimize",
    "instructions": "minimize",
    "arena_bytes": "minimize",
}


def space_of(search: Search) -> dict[str, Range | Choices]:
    """UserError where a key is unknown, a range is empty, or an objective does not exist."""
    for name in search.objectives:
        if name not in OBJECTIVES:
            raise UserError(
                f"search: objective {name} is unknown", f"did you mean {nearest(name, OBJECTIVES)}?"
            )
    if "accuracy" not in search.objectives or len(search.objectives) < 2:
        raise UserError(
            f"search: objectives {', '.join(search.objectives)}",
            "accuracy and a cost are needed, such as blob_bytes",
        )
    if not search.space:
        raise UserError("search: the space is empty", "add [search.space] with " + ", ".join(KEYS))
    return {key: entry_of(key, value) for key, value in sorted(search.space.items())}


def entry_of(key: str, value: Any) -> Range | Choices:
    if key not in KEYS:
        raise UserError(f"search.space: unknown key {key}", f"did you mean {nearest(key, KEYS)}?")
    if not isinstance(value, list) or not value:
        raise UserError(f"search.space: {key} is {value!r}", "two numbers [low, high] or a list of choices")
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    if len(value) == 2 and numbers and any(isinstance(v, float) for v in value):
        if not value[0] < value[1]:
            raise UserError(f"search.space: {key} goes from {value[0]} to {value[1]}", "the lower end first")
        return Range(value[0], value[1])
    return Choices(tuple(value))


def steps_of(params: Mapping[str, Any], search: Search) -> tuple[Any, ...]:
    """The steps of one trial; each step that trains does so as the search says."""
    how: dict[str, Any] = {"epochs": search.epochs, "augment": search.augment, "teachers": search.teachers}
    steps: list[Any] = []
    if "width" in params:
        steps.append(Student(width=params["width"], **how))
    if "parameters" in params or "macs" in params:
        shares: dict[str, Any] = {"parameters": params.get("parameters"), "macs": params.get("macs")}
        steps.append(Prune(rounds=1, **shares, **how))
    if params.get("zeros", 0) > 0:
        pattern = params.get("pattern", "unstructured")
        steps.append(Sparsify(zeros=params["zeros"], pattern=pattern, **how))
    bits = params.get("bits", 8)
    trained: dict[str, Any] = how if bits == 4 else {}
    return (*steps, Quantize(bits=bits, per_group=params.get("per_group", Quantize.per_group), **trained))
