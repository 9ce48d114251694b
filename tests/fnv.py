"""The hash by which the test applications of tests/emulator/apps say what they saw."""

from __future__ import annotations

from collections.abc import Iterable


def fnv(units: Iterable[int]) -> int:
    """FNV-1a of 32 bits, a step a unit: a byte, or a sample as uint16."""
    found = 2166136261
    for unit in units:
        found = (found ^ unit) * 16777619 & 0xFFFFFFFF
    return found
