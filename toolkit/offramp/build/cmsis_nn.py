"""Finds Arm's CMSIS-NN on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from offramp.build.library import Library, Wanted, find_root, in_wheel
from offramp.errors import UserError

SUPPORTED = ("4.0.0",)
_WANTED = Wanted(
    name="CMSIS-NN",
    kernels="cmsis_nn",
    variable="OFFRAMP_CMSIS_NN",
    header="Include/arm_nnfunctions.h",
    wheel_folder="cmsis_nn/vendor/cmsis_nn",
    supported=SUPPORTED,
    hint="pip install bakenn==1.0.0, or set OFFRAMP_CMSIS_NN to a checkout of CMSIS-NN v4.0.0.",
    versions=(
        ("ARM.CMSIS-NN.pdsc", r'<release version="([\d.]+)"'),
        ("BAKENN_PROVENANCE.md", r"Release version: ([\d.]+)"),
    ),
)


def find() -> Library:
    """The library, its headers and CMSIS-Core's; UserError if one is missing or has no adapter."""
    root, version = find_root(_WANTED)
    sources = [
        path
        for path in sorted((root / "Source").rglob("*.c"))
        if not path.stem.endswith(("_f16", "_f32")) and "Bindings" not in path.parts
    ]
    return Library(root, version, tuple(sources), (root / "Include", _core_headers(root)))


def _core_headers(root: Path) -> Path:
    """CMSIS-Core, which CMSIS-NN's headers include: beside it, or in the wheel."""
    places = [root.parent / "CMSIS" / "Core" / "Include", root.parent / "cmsis_core" / "Include"]
    if named := os.environ.get("OFFRAMP_CMSIS_CORE"):
        places.insert(0, Path(named))
    if (vendored := in_wheel("cmsis_nn/vendor/cmsis_core/Include")) is not None:
        places.append(vendored)
    for place in places:
        if (place / "cmsis_compiler.h").is_file():
            return place
    raise UserError(
        "cmsis_compiler.h of CMSIS-Core was not found beside CMSIS-NN",
        "Set OFFRAMP_CMSIS_CORE to CMSIS_5/CMSIS/Core/Include.",
    )
