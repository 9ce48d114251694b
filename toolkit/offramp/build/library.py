"""Finds vendors' kernel libraries on this machine and says which version they are."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from offramp.errors import UserError


@dataclass(frozen=True)
class Library:
    """A copy of a library."""

    root: Path
    version: str
    sources: tuple[Path, ...]
    include_dirs: tuple[Path, ...]


@dataclass(frozen=True)
class Wanted:
    """A library as its users know it; `header` marks its folder, `versions` are (file, pattern of the version)."""

    name: str
    kernels: str
    variable: str
    header: str
    wheel_folder: str
    supported: tuple[str, ...]
    hint: str
    versions: Sequence[tuple[str, str]]


def find_root(wanted: Wanted) -> tuple[Path, str]:
    """Folder and version: the first of the variable, PlatformIO's library folders, and the wheel of bakenn.

    UserError if there is none, or if its version has no adapter.
    """
    root = next((place for place in _places(wanted) if (place / wanted.header).is_file()), None)
    if root is None:
        raise UserError(
            f"{wanted.name} is not installed; the kernel set {wanted.kernels} needs it", wanted.hint
        )
    version = _version(wanted, root)
    if version not in wanted.supported:
        raise UserError(
            f"{wanted.name} in {root} is version {version}; supported is {' or '.join(wanted.supported)}",
            "Check out that tag, or use --kernels generic.",
        )
    return root, version


def in_wheel(folder: str) -> Path | None:
    """A folder of the bakenn wheel, without importing the package; None if it is not installed."""
    spec = importlib.util.find_spec("bakenn")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "backend" / folder


def _places(wanted: Wanted) -> list[Path]:
    places = []
    if named := os.environ.get(wanted.variable):
        places.append(Path(named))
        if not (places[0] / wanted.header).is_file():
            raise UserError(f"{wanted.variable}={named} has no {wanted.header}", wanted.hint)
    for spelling in dict.fromkeys((wanted.name, wanted.name.lower())):
        places += sorted(Path.cwd().glob(f".pio/libdeps/*/{spelling}*"))
    if (vendored := in_wheel(wanted.wheel_folder)) is not None:
        places.append(vendored)
    return places


def _version(wanted: Wanted, root: Path) -> str:
    """The newest release that the copy's own description lists."""
    for name, pattern in wanted.versions:
        path = root / name
        if path.is_file() and (found := re.search(pattern, path.read_text(encoding="utf-8"))):
            return found[1]
    return "unknown"
