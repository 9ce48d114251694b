"""Which files some symbols need: found in the sources' text, so that no compiler for the core has to be installed.

A file is taken too often rather than too seldom: the linker drops what is not called.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)", re.DOTALL)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
_NAME = re.compile(r"[A-Za-z_]\w*")
# Declarations and definitions begin in the first column, here and in the libraries; what is static has no other users.
_HEAD = r"^(?!static\b|typedef\b|#)[A-Za-z_][\w \t*()]*?\b(\w+)\s*"
_PROTOTYPE = re.compile(_HEAD + r"\([^;{}]*\)[^;{}]*;", re.MULTILINE)
_EXTERN = re.compile(r"^extern\b[^;{]*;", re.MULTILINE)
_FUNCTION = re.compile(_HEAD + r"\([^;{}]*\)[^;{}]*\{", re.MULTILINE)
_OBJECT = re.compile(_HEAD + r"(?:\[[^\]]*\]\s*)*=", re.MULTILINE)
_IN_ASSEMBLER = re.compile(r"\bofr_\w+")  # macros define some, so whatever is named counts


@dataclass(frozen=True)
class Include:
    """One line of a file; `found` is None where it names a header of the system."""

    name: str
    quoted: bool
    """Looked for beside the file too."""
    found: Path | None


def includes(path: Path, folders: Sequence[Path]) -> list[Include]:
    """What a file includes, looked for beside it (quotes) and in the folders."""
    found = []
    for bracket, name in _INCLUDE.findall(_text(path)):
        quoted = bracket == '"'
        places = [*([path.parent] if quoted else []), *folders]
        there = next((place / name for place in places if (place / name).is_file()), None)
        found.append(Include(name, quoted, there and there.resolve()))
    return found


def headers(paths: Iterable[Path], folders: Sequence[Path]) -> list[Path]:
    """All that the files include, directly or not, in whatever branch of their conditions."""
    found: dict[Path, None] = {}
    waiting = list(paths)
    while waiting:
        for include in includes(waiting.pop(), folders):
            if include.found is not None and include.found not in found:
                found[include.found] = None
                waiting.append(include.found)
    return sorted(found)


def needed(symbols: Iterable[str], sources: Sequence[Path], folders: Sequence[Path]) -> list[Path]:
    """The sources that define these symbols, what those refer to, and so on; KeyError: nothing defines a symbol."""
    defined_in: dict[str, list[Path]] = {}
    for path in sources:
        for name in _defined(path):
            defined_in.setdefault(name, []).append(path)
    found: dict[Path, None] = {}
    waiting = [path for symbol in symbols for path in defined_in[symbol]]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = None
            names = set().union(*(_mentioned(file) for file in (path, *headers([path], folders))))
            waiting += [other for name in names for other in defined_in.get(name, ())]
    return [path for path in sources if path in found]


@functools.cache
def _text(path: Path) -> str:
    return _COMMENT.sub(" ", path.read_text(encoding="utf-8", errors="replace"))


@functools.cache
def _defined(path: Path) -> frozenset[str]:
    text = _text(path)
    if path.suffix == ".S":
        return frozenset(_IN_ASSEMBLER.findall(text))
    return frozenset(_FUNCTION.findall(text)) | frozenset(_OBJECT.findall(text))


@functools.cache
def _mentioned(path: Path) -> frozenset[str]:
    return frozenset(_NAME.findall(_EXTERN.sub("", _PROTOTYPE.sub("", _text(path)))))
