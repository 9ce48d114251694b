"""Tells another build (PlatformIO's) what `offramp build` would compile and link: `python -m offramp.build.listing`.

Prints JSON: files with all their flags in the order of the link, include folders, compiler, link flags. Errors go to
stderr, message and hint a line each, with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from offramp import boards
from offramp.blob import read
from offramp.boards import Board
from offramp.build.blob_image import check_board, contents, front_ends_of
from offramp.build.compilers import Compiler, compiler_for, link_flags, target_flags
from offramp.build.firmware import MOST_PLANS, kernels_on, parts, takes_exits, universal_kernels
from offramp.build.image import blob_source, flags, write_scripts
from offramp.build.mlperf import defines as defines_of
from offramp.build.source import source_sources
from offramp.build.sources import Source, Sources, framework_sources, port_sources, with_framework
from offramp.errors import UserError
from offramp.ops import Kernel

Part = Literal["firmware", "board", "port", "library"]
"""The whole; all but the application; start-up code and serial port; runtime, kernels and model."""
KernelChoice = Literal["model", "universal", "all"]


def listing(
    board: Board,
    part: Part,
    folder: Path,
    *,
    model: Path | None = None,
    data: Path | None = None,
    kernels: KernelChoice = "universal",
    mlperf: bool = False,
    source: str | None = None,
    compiler: Compiler | None = None,
) -> dict[str, Any]:
    """`folder` gets the linker's scripts. `model` is a blob; `data` is linked in its place whatever it holds (tests).

    `mlperf` and `source` are what `offramp build` takes under these names, for the whole firmware.
    `compiler` is another build's own; by default it is the one that `offramp build` takes.
    """
    foreign = compiler is not None
    compiler = compiler or compiler_for(board.core)
    total = sources(board, part, model, kernels)
    if part == "firmware":
        total += further(board, model, mlperf, source)
    if part != "port" and (linked := data or model) is not None:
        total += blob_source(linked)
    host = board.core.toolchain == "host"
    if not host:
        write_scripts(board, folder)
    return {
        "board": board.name,
        "part": part,
        "compiler": compiler.path,
        "target_flags": target_flags(board.core) if keeps_target(board, foreign) else [],
        "include_dirs": [str(path) for path in total.include_dirs],
        "files": [
            {"path": str(file.path), "flags": file_flags(board, compiler, total, file, foreign)}
            for file in total.files
        ],
        "link_flags": link_flags(board, None if host else folder, folder / "firmware.map", sanitize=False),
    }


def file_flags(board: Board, compiler: Compiler, total: Sources, file: Source, foreign: bool) -> list[str]:
    """A foreign compiler warns of other things, so its warnings are no errors; C++ is all the framework's."""
    found = flags(board, compiler, total, file)
    if foreign:
        dropped = {"-Werror", *([] if keeps_target(board, foreign) else target_flags(board.core))}
        found = [flag for flag in found if flag not in dropped]
    if file.path.suffix == ".cpp":
        found = [flag for flag in found if flag.startswith(("-D", "-I"))]
    return found


def keeps_target(board: Board, foreign: bool) -> bool:
    """Espressif's platforms tell their compilers the core; what Debian's want would be wrong there."""
    return not foreign or board.core.toolchain == "arm"


def sources(board: Board, part: Part, model: Path | None, kernels: KernelChoice) -> Sources:
    started_by_framework = board.platformio is not None
    if part == "port":
        return framework_sources(board) if started_by_framework else port_sources(board)
    others: list[Kernel] = {
        "model": [],
        "universal": universal_kernels(board),
        "all": kernels_on(board),
    }[kernels]
    linked, plans, exits = tuple(others), MOST_PLANS, takes_exits(others)
    front_ends: tuple[str, ...] = ()
    if model is not None:
        blob = read(_bytes(model), model)
        check_board(blob, board, str(model))
        linked, plans, exits = contents(blob, others)
        front_ends = front_ends_of(blob)
    app: list[Path] | None = None if part == "firmware" else []
    total = parts(board, linked, plans, exits, app=app, front_ends=front_ends)
    if started_by_framework:
        total = with_framework(total, board)
    if part == "library":
        own = framework_sources(board) if started_by_framework else port_sources(board)
        port = {file.path for file in own.files}
        total = Sources(
            tuple(file for file in total.files if file.path not in port), total.include_dirs, total.defines
        )
    return total


def further(board: Board, model: Path | None, mlperf: bool, source: str | None) -> Sources:
    """MLPerf Tiny's protocol for the model, and the board's sensor."""
    found = Sources()
    framework = board.platformio is not None
    if mlperf:
        if model is None:
            raise UserError("MLPerf Tiny's protocol is for a model, and none is linked in", "name one")
        found += Sources(defines=defines_of(read(_bytes(model), model), board, framework))
    if source:
        found += source_sources(board, source, framework=framework)
    return found


def check_cpu(board: Board, cpu: str) -> None:
    """UserError where PlatformIO's manifest gives its board another core: `cortex-m4`, `cortex-m0plus`; "": unsaid."""
    wanted = next((flag.removeprefix("-mcpu=") for flag in board.core.flags if flag.startswith("-mcpu=")), "")
    if cpu and wanted and cpu.removesuffix("plus") != wanted and board.platformio is not None:
        raise UserError(
            f"{board.name}.toml: key platformio.board: found {board.platformio.board!r}, which PlatformIO knows with "
            f"a {cpu}, allowed is a board with a {wanted}",
            "`pio boards` lists names and chips.",
        )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", "pack a model with `offramp pack` first") from error


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="offramp.build.listing")
    parser.add_argument("board")
    parser.add_argument("part", choices=("firmware", "board", "port", "library"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--kernels", choices=("model", "universal", "all"), default="universal")
    parser.add_argument("--mlperf", action="store_true")
    parser.add_argument("--source")
    parser.add_argument("--cpu", default="", help="the core, as PlatformIO's manifest of the board says it")
    parser.add_argument("--compiler", nargs=2, metavar=("PATH", "VERSION"))
    given = parser.parse_args(arguments)
    try:
        compiler = (
            Compiler(given.compiler[0], Path(given.compiler[0]).name, given.compiler[1])
            if given.compiler
            else None
        )
        board = boards.load(given.board)
        check_cpu(board, given.cpu)
        found = listing(
            board,
            given.part,
            given.folder,
            model=given.model,
            data=given.data,
            kernels=given.kernels,
            mlperf=given.mlperf,
            source=given.source,
            compiler=compiler,
        )
    except UserError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
