"""A report before it has a form: sections, each a picture with its numbers as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

LONGEST_WORDS = 32


@dataclass(frozen=True)
class Table:
    """Cells are numbers, texts or None; `marked` rows have the colour of the picture's part of the same number."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    marked: bool = False

    def is_prose(self, column: int) -> bool:
        """Whether it has texts that are to be folded."""
        return any(len(str(row[column])) > LONGEST_WORDS for row in self.rows)

    def is_number(self, column: int) -> bool:
        """Whether it stands to the right."""
        return all(isinstance(row[column], int | float | None) for row in self.rows)


@dataclass(frozen=True)
class Section:
    """`picture` is inline SVG, or empty; `notes` stand below all, as a list."""

    title: str
    text: Sequence[str] = ()
    picture: str = ""
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    title: str
    facts: Sequence[tuple[str, Any]]
    sections: Sequence[Section] = field(default_factory=list)


def cell(value: Any, column: str = "") -> str:
    """Whole numbers whole, shares to a tenth, accuracies to a hundredth, others to four digits; None is a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if column.startswith(("accuracy", "±", "lost")):
        return f"{value:.2f}"
    if column.endswith("%"):
        return f"{value:.1f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
