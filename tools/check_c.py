"""Builds the universal firmware of every board, warnings being errors, and each header on its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from offramp import boards
from offramp.build.firmware import firmware, kernels_on
from offramp.build.source import drivers_of
from offramp.features import TYPES

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """The build's own flags have -Werror for our files."""
    failed = 0
    for name in boards.names():
        board = boards.load(name)
        if board.core.toolchain == "xtensa":
            print(f"{name}: not built, PlatformIO brings its compiler")
            continue
        elf = ROOT / "build" / "check" / f"{name}.elf"
        image = firmware(board, elf, kernels=kernels_on(board), front_ends=[t.kind for t in TYPES])
        print(f"{name}: {image.footprint.image_bytes} bytes, {image.compiler}")
        for source in drivers_of(board):
            firmware(board, image.elf, kernels=(), source=source)
            print(f"{name}: with source {source}")
    firmware_folder = ROOT / "firmware"
    folders = [firmware_folder / name for name in ("include", "src", "app", "features", "port")]
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    for path in sorted(header for folder in folders[:4] for header in folder.glob("*.h")):
        command = ["gcc", "-std=c11", "-fsyntax-only", *warnings, *(f"-I{folder}" for folder in folders)]
        failed |= subprocess.run([*command, "-x", "c", str(path)], check=False).returncode
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
