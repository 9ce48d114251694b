"""READ_VARIABLE and ASSIGN_VARIABLE: state kept between runs. A read is a view of the state memory or a copy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VariableName:
    variable: str
