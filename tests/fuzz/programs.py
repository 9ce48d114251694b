"""Builds C test programs that run on this machine: the runtime and kernels with a main of their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from offramp import boards, resources
from offramp.boards import Board
from offramp.build import Source, Sources, build
from offramp.build.firmware import kernel_table
from offramp.build.sources import linked_features
from offramp.features import TYPES
from offramp.ops import Kernel

POSIX = boards.load("posix")
FRONT_ENDS = [front_end.kind for front_end in TYPES]
FUZZER_FLAGS = ("-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")


def runtime_sources(kernels: Sequence[Kernel], packed_for: Board = POSIX) -> Sources:
    """Runtime, front ends and portable kernels, with a table that takes blobs for that board."""
    firmware = resources.root() / "firmware"
    runtime = Sources(
        tuple(Source(path, "runtime") for path in sorted((firmware / "src").glob("*.c")))
        + tuple(Source(path, "kernels") for path in sorted((firmware / "kernels" / "generic").glob("*.c"))),
        (firmware / "include", firmware / "src", firmware / "kernels"),
    )
    runtime += linked_features(FRONT_ENDS)
    return runtime + Sources.from_text("kernel_table.c", kernel_table(packed_for, kernels), "runtime")


def host_program(
    main: Path, kernels: Sequence[Kernel], out: Path, blob: Path | None = None, packed_for: Board = POSIX
) -> Path:
    """The executable, with ASan and UBSan."""
    sources = runtime_sources(kernels, packed_for) + Sources((Source(main, "application"),), (main.parent,))
    return linked(sources, out, blob)


def linked(sources: Sources, out: Path, blob: Path | None = None) -> Path:
    return build(POSIX, sources, out, blob=blob, sanitize=True).elf


def fuzzer(main: Path, kernels: Sequence[Kernel], out: Path) -> Path:
    """The libFuzzer executable; skips where there is no clang with its library."""
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("needs clang (apt-get install clang)")
    sources = runtime_sources(kernels)
    files = [str(file.path) for file in sources.files]
    includes = [f"-I{folder}" for folder in (*sources.include_dirs, main.parent)]
    command = [clang, "-std=c11", *FUZZER_FLAGS, *includes, *files, str(main), "-o", str(out)]
    subprocess.run(command, check=True)
    return out
