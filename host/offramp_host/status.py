"""Statuses that a board answers with, read from the C headers that define them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from offramp import resources

_HEADERS = ("firmware/include/offramp.h", "firmware/app/link.h")
_STRINGS = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
_ROW = re.compile(rf"X\((\w+),\s*(-?\d+),\s*{_STRINGS},\s*{_STRINGS}\)")


@dataclass(frozen=True)
class Status:
    """`text` says what is wrong, `remedy` what to try."""

    name: str
    value: int
    text: str
    remedy: str


@functools.cache
def statuses() -> Mapping[int, Status]:
    """All statuses of the runtime and of the link, by value."""
    found = {}
    for header in _HEADERS:
        source = (resources.root() / header).read_text(encoding="utf-8").replace("\\\n", "\n")
        for name, value, text, remedy in _ROW.findall(source):
            found[int(value)] = Status(name, int(value), _unquote(text), _unquote(remedy))
    return MappingProxyType(found)


def status(value: int) -> Status:
    """The status with this value; a newer firmware may know some that are not known here."""
    return statuses().get(value) or Status(
        f"status {value}", value, "unknown status", "Update the host tools."
    )


def _unquote(literals: str) -> str:
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals)).replace('\\"', '"')
