"""A table of a board file whose errors say file, key, what was found and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from offramp.errors import UserError


class Table:
    """A table of a board file that knows where it stands, so that errors can say so."""

    def __init__(self, path: Path, prefix: str, values: dict[str, Any]) -> None:
        self.path, self.prefix, self.values = path, prefix, values
        self.seen: set[str] = set()

    def error(self, key: str, found: str, allowed: str, hint: str = "") -> UserError:
        return UserError(
            f"{self.path}: key {self.prefix}{key}: found {found}, allowed is {allowed}",
            hint or "docs/new-board.md and the files in boards/ show every key.",
        )

    def has(self, key: str) -> bool:
        self.seen.add(key)
        return key in self.values

    def _value(self, key: str, kind: type, what: str) -> Any:
        self.seen.add(key)
        value = self.values.get(key)
        if value is None:
            raise self.error(key, "nothing", what, self._misspelled(key))
        if type(value) is not kind:
            raise self.error(key, repr(value), what)
        return value

    def _misspelled(self, key: str) -> str:
        """A hint at the key that may stand for one that is missing."""
        near = difflib.get_close_matches(key, [k for k in self.values if k not in self.seen], n=1, cutoff=0.7)
        return f"Did you mean {key} where it says {self.prefix}{near[0]}?" if near else ""

    def string(self, key: str) -> str:
        return str(self._value(key, str, "a string"))

    def integer(self, key: str) -> int:
        value = int(self._value(key, int, "a whole number"))
        if value < 0:
            raise self.error(key, str(value), "0 or more")
        return value

    def positive(self, key: str) -> int:
        value = self.integer(key)
        if value == 0:
            raise self.error(key, "0", "1 or more")
        return value

    def number(self, key: str) -> float:
        value = float(self._value(key, float, "a number with a point"))
        if not 0.0 <= value < float("inf"):
            raise self.error(key, str(value), "0.0 or more")
        return value

    def boolean(self, key: str) -> bool:
        return bool(self._value(key, bool, "true or false"))

    def pairs(self, key: str) -> tuple[tuple[int, int], ...]:
        values = self._value(key, list, "a list of [bytes, how many]")
        if not all(
            isinstance(v, list) and len(v) == 2 and all(type(n) is int and n > 0 for n in v) for v in values
        ):
            raise self.error(key, repr(values), "a list of [bytes, how many], all above 0")
        return tuple((size, count) for size, count in values)

    def choice(self, key: str, allowed: Mapping[str, object] | tuple[str, ...]) -> str:
        value = self.string(key)
        if value not in allowed:
            near = difflib.get_close_matches(value, list(allowed), n=1)
            raise self.error(
                key, repr(value), " or ".join(allowed), f"Did you mean {near[0]}?" if near else ""
            )
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        values = self._value(key, list, "a list of strings")
        if not all(isinstance(value, str) for value in values):
            raise self.error(key, repr(values), "a list of strings")
        return tuple(values)

    def table(self, key: str) -> Table:
        return Table(self.path, f"{self.prefix}{key}.", self._value(key, dict, "a table"))

    def rest(self) -> list[str]:
        """All keys, for tables whose keys are names."""
        return list(self.values)

    def refuse_the_rest(self, also: Collection[str] = ()) -> None:
        """UserError at the first key that was not asked for and is not among `also`."""
        known = sorted(self.seen.union(also))
        for key in self.values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                hint = f"Did you mean {self.prefix}{near[0]}?" if near else ""
                allowed = f"one of {', '.join(known)}" if known else "none in this table"
                raise self.error(key, "an unknown key", allowed, hint)
