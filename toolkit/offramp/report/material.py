"""What a report is made of: the JSON of other commands, each told apart by its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from offramp.errors import UserError

Data = Mapping[str, Any]


@dataclass
class Material:
    """Keys are those that the commands print; what is None or empty has no section."""

    pack: Data | None = None
    inspect: Data | None = None
    bench: list[Data] = field(default_factory=list)
    profile: Data | None = None
    card: list[Data] = field(default_factory=list)
    exits: dict[str, Data] = field(default_factory=dict)
    """By variant."""
    advise: Data | None = None

    def place(self, measured: Data) -> str:
        """The board of a row of bench, and its model where several were measured."""
        models = {other["model"] for other in self.bench}
        board = str(measured["board"])
        return board if len(models) < 2 else f"{PurePath(measured['model']).stem} on {board}"

    def titled(self, what: str, measured: Data) -> str:
        """Flash on mps2_an386; Flash of small on mps2_an386."""
        place = self.place(measured)
        return f"{what} {'on' if place == measured['board'] else 'of'} {place}"

    def add(self, data: Any, source: str) -> None:
        """UserError where `data` is none of these commands'."""
        for is_of, put in _KINDS:
            if is_of(data):
                try:
                    put(self, data)
                except UserError as error:
                    raise UserError(f"{source} is {error.message}", error.hint) from error
                return
        raise UserError(
            f"{source} is not the JSON of a command that a report knows",
            "give what `pack`, `inspect`, `bench`, `profile`, `compress`, `advise` print with --json, or a card.json",
        )


def _rows_with(*keys: str) -> Callable[[Any], bool]:
    def found(data: Any) -> bool:
        return isinstance(data, list) and bool(data) and all(_has(row, keys) for row in data)

    return found


def _dict_with(*keys: str) -> Callable[[Any], bool]:
    return lambda data: _has(data, keys)


def _has(data: Any, keys: Sequence[str]) -> bool:
    return isinstance(data, dict) and all(key in data for key in keys)


def _add_compress(material: Material, data: Data) -> None:
    material.card += data["card"]
    material.exits |= {row["variant"]: row["exits"] for row in data["variants"] if "exits" in row}


def _set(name: str) -> Callable[[Material, Any], None]:
    def put(material: Material, data: Any) -> None:
        if getattr(material, name) is not None:
            raise UserError(f"a second {name}; a report has one", "write a report for each")
        setattr(material, name, data)

    return put


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Material, Any], None]], ...] = (
    (_rows_with("board", "flash_bytes", "steps"), lambda material, data: material.bench.extend(data)),
    (_rows_with("variant", "accuracy"), lambda material, data: material.card.extend(data)),
    (_dict_with("answers", "assumptions"), _set("advise")),
    (_dict_with("cycle_model", "steps", "cost"), _set("profile")),
    (_dict_with("variants", "card"), _add_compress),
    (_dict_with("blob_bytes", "kernels", "stages", "board"), _set("pack")),
    (_dict_with("arena", "steps", "constants_bytes"), _set("inspect")),
)
