"""Finds Arm's CMSIS-NN on this machine and says which version it is."""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from offramp.errors import UserError

SUPPORTED = ("4.0.0",)
_HINT = "pip install bakenn==1.0.0, or set OFFRAMP_CMSIS_NN to a checkout of CMSIS-NN v4.0.0."


@dataclass(frozen=True)
class CmsisNn:
    """A copy of the library. `include_dirs` hold its headers and CMSIS-Core's."""

    root: Path
    version: str
    sources: tuple[Path, ...]
    include_dirs: tuple[Path, ...]


def find() -> CmsisNn:
    """The first of OFFRAMP_CMSIS_NN, PlatformIO's library folders, and the wheel of bakenn.

    UserError if there is none, or if its version has no adapter.
    """
    root = next((place for place in _places() if (place / "Include" / "arm_nnfunctions.h").is_file()), None)
    if root is None:
        raise UserError("CMSIS-NN is not installed; the kernel set cmsis_nn needs it", _HINT)
    version = _version(root)
    if version not in SUPPORTED:
        raise UserError(
            f"CMSIS-NN in {root} is version {version}; supported is {' or '.join(SUPPORTED)}",
            "Check out that tag, or use --kernels generic.",
        )
    sources = [
        path
        for path in sorted((root / "Source").rglob("*.c"))
        if not path.stem.endswith(("_f16", "_f32")) and "Bindings" not in path.parts
    ]
    return CmsisNn(root, version, tuple(sources), (root / "Include", _core_headers(root)))


def _places() -> list[Path]:
    places = []
    if named := os.environ.get("OFFRAMP_CMSIS_NN"):
        places.append(Path(named))
        if not (places[0] / "Include" / "arm_nnfunctions.h").is_file():
            raise UserError(f"OFFRAMP_CMSIS_NN={named} has no Include/arm_nnfunctions.h", _HINT)
    places += sorted(Path.cwd().glob(".pio/libdeps/*/CMSIS-NN*"))
    if (vendored := _vendored()) is not None:
        places.append(vendored / "cmsis_nn")
    return places


def _vendored() -> Path | None:
    """The folder of the bakenn wheel that holds cmsis_nn and cmsis_core, without importing the package."""
    spec = importlib.util.find_spec("bakenn")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "backend" / "cmsis_nn" / "vendor"


def _core_headers(root: Path) -> Path:
    """CMSIS-Core, which CMSIS-NN's headers include: beside it, or in the wheel."""
    vendored = _vendored()
    places = [root.parent / "CMSIS" / "Core" / "Include", root.parent / "cmsis_core" / "Include"]
    if named := os.environ.get("OFFRAMP_CMSIS_CORE"):
        places.insert(0, Path(named))
    if vendored is not None:
        places.append(vendored / "cmsis_core" / "Include")
    for place in places:
        if (place / "cmsis_compiler.h").is_file():
            return place
    raise UserError(
        "cmsis_compiler.h of CMSIS-Core was not found beside CMSIS-NN",
        "Set OFFRAMP_CMSIS_CORE to CMSIS_5/CMSIS/Core/Include.",
    )


def _version(root: Path) -> str:
    """The newest release that the copy's own description lists."""
    for name, pattern in (
        ("ARM.CMSIS-NN.pdsc", r'<release version="([\d.]+)"'),
        ("BAKENN_PROVENANCE.md", r"Release version: ([\d.]+)"),
    ):
        path = root / name
        if path.is_file() and (found := re.search(pattern, path.read_text(encoding="utf-8"))):
            return found[1]
    return "unknown"
