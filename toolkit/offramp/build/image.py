"""Links a firmware image; the one entry to the build."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from offramp import resources
from offramp.boards import Board
from offramp.build import compilers, memory_map, objects
from offramp.build.cache import write_atomically
from offramp.build.footprint import Footprint, footprint
from offramp.build.sources import Source, Sources
from offramp.errors import UserError


@dataclass(frozen=True)
class Image:
    """A linked firmware. `bin` is what is written to flash from the code region's start; None on the host
    and where a chip's boot loader wants a format of its own (docs/new-board.md)."""

    elf: Path
    bin: Path | None
    map: Path
    compiler: str
    cmsis_nn_version: str | None
    footprint: Footprint
    sources: Mapping[str, Path]
    """Of each object, named as in the map, the file that it was compiled from."""


def build(
    board: Board, sources: Sources, out_elf: Path, *, blob: Path | None = None, sanitize: bool = False
) -> Image:
    """Compiles and links; writes out_elf and, beside it, .map and (not on the host) .bin.

    `blob` is linked in between the symbols ofr_blob and ofr_blob_end. Nothing is written if compiling or linking fails.
    """
    compiler = compilers.compiler_for(board.core)
    if blob is not None:
        sources += blob_source(blob)
    commands = [
        ([compiler.path, *flags(board, compiler, sources, file, sanitize)], file.path)
        for file in sources.files
    ]
    compiled = objects.compile_all(commands, str(compiler))
    accounts = {str(path): file.category for path, file in zip(compiled, sources.files, strict=True)}
    out_elf.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_elf.parent, prefix=f".{out_elf.name}.") as folder:
        elf, map_file = Path(folder) / "elf", Path(folder) / "map"
        _link(board, compiler, list(accounts), elf, map_file, Path(folder), sanitize)
        sizes = footprint(elf, map_file, accounts)
        flat = flat_binary(elf) if board.constants == board.code and board.core.toolchain != "host" else None
        if flat is not None:
            write_atomically(out_elf.with_suffix(".bin"), flat)
        os.replace(map_file, out_elf.with_suffix(".map"))
        os.replace(elf, out_elf)
    return Image(
        elf=out_elf,
        bin=None if flat is None else out_elf.with_suffix(".bin"),
        map=out_elf.with_suffix(".map"),
        compiler=str(compiler),
        cmsis_nn_version=sources.cmsis_nn_version,
        footprint=sizes,
        sources={str(path): file.path for path, file in zip(compiled, sources.files, strict=True)},
    )


def flags(
    board: Board, compiler: compilers.Compiler, sources: Sources, file: Source, sanitize: bool = False
) -> list[str]:
    """All that the compiler is given for one of the files but the file itself."""
    includes = [f"-I{folder}" for folder in sources.include_dirs]
    return [
        *compilers.compile_flags(board, compiler, file, sanitize),
        *includes,
        *macros(sources, file),
    ]


def write_scripts(board: Board, folder: Path) -> None:
    """The linker's scripts of a board, as link_flags() expects them in a folder."""
    write_atomically(folder / "memory.ld", memory_map.memory_ld(board).encode())
    write_atomically(folder / "sections.ld", sections_ld(board))


def sections_ld(board: Board) -> bytes:
    """Where sections go on a board: its family's own script, or the one for all."""
    port = resources.root() / "firmware" / "port"
    own = port / board.port_family / "sections.ld"
    return (own if own.exists() else port / "sections.ld").read_bytes()


def macros(sources: Sources, file: Source) -> list[str]:
    """What describes application and board is for the application's files, what describes the runtime not for kernels,
    so that the others compile once."""
    return [
        f"-D{name}={value}"
        for name, value in sources.defines
        if file.category == "application" or not name.startswith(("APP_", "PORT_"))
        if file.category != "kernels" or not name.startswith("OFR_")
    ]


def flat_binary(elf: Path) -> bytes:
    """The bytes of all loadable segments by load address, gaps filled with zeros."""
    with elf.open("rb") as file:
        segments = [s for s in ELFFile(file).iter_segments("PT_LOAD") if s["p_filesz"] > 0]
        start = min(s["p_paddr"] for s in segments)
        flat = bytearray(max(s["p_paddr"] + s["p_filesz"] for s in segments) - start)
        for s in segments:
            at = s["p_paddr"] - start
            flat[at : at + s["p_filesz"]] = s.data()
    return bytes(flat)


def blob_source(blob: Path) -> Sources:
    """Assembler that holds a file's bytes between the symbols ofr_blob and ofr_blob_end."""
    digest = hashlib.sha256(blob.read_bytes()).hexdigest()
    text = (
        f"/* Links a model in as data: SHA-256 {digest}. */\n"
        '.section .ofr_blob, "a"\n.balign 16\n'
        ".global ofr_blob\n.global ofr_blob_end\n"
        f'ofr_blob:\n.incbin "{blob.resolve()}"\nofr_blob_end:\n'
    )
    return Sources.from_text("blob.S", text, "model")


def _link(
    board: Board,
    compiler: compilers.Compiler,
    inputs: list[str],
    elf: Path,
    map_file: Path,
    folder: Path,
    sanitize: bool,
) -> None:
    script = None
    if board.core.toolchain != "host":
        script = folder
        write_scripts(board, folder)
    options = compilers.link_flags(board, script, map_file, sanitize)
    done = subprocess.run([compiler.path, *inputs, *options, "-o", str(elf)], capture_output=True, text=True)
    if done.returncode != 0:
        raise _too_big(board, done.stderr) or UserError(
            f"the image for {board.name} does not link:\n{done.stderr.strip()}",
            "A symbol that is missing belongs into the application or a kernel table.",
        )


def _too_big(board: Board, stderr: str) -> UserError | None:
    found = re.search(r"region `(\w+)' overflowed by (\d+) bytes", stderr)
    if found is None:
        return None
    region = next(r for r in board.memory if r.name == found[1])
    there = memory_map.usable(board, region)
    return UserError(
        f"the image does not fit {board.name}: region {region.name} ({region.kind}) wants "
        f"{there + int(found[2])} bytes, {there} bytes are there",
        "Choose a smaller model, compress it further, or a board with more memory.",
    )
