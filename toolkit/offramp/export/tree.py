"""All files of an exported tree, in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from offramp import __version__, resources
from offramp.blob.read import Blob
from offramp.boards import Board
from offramp.build import memory_map
from offramp.build.blob_image import front_ends_of
from offramp.build.compilers import OPTIMIZE, THIRD_PARTY
from offramp.build.image import sections_ld
from offramp.export import bill, cmake
from offramp.export.blob_code import blob_header, blob_source, core_of, features_bytes, plain
from offramp.export.firmware_files import FirmwareFiles, Part, firmware_files, forwarder

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_PLACES = {
    "CMakeLists.txt": "CMakeLists.txt",
    "main.c": "main.c",
    "run_once.ino": "examples/run_once/run_once.ino",
    "module.yml": "zephyr/module.yml",
    "zephyr.cmake": "zephyr/CMakeLists.txt",
    "Kconfig": "zephyr/Kconfig",
    "idf_component.yml": "idf_component.yml",
    "library.properties": "library.properties",
    "library.json": "library.json",
    "README.md": "README.md",
}
_SWITCH = re.compile(r"#if (\w+)$")


@dataclass(frozen=True)
class Tree:
    """Contents by place, with slashes. The bill of materials is one of them and lists all others."""

    files: Mapping[str, bytes]

    @property
    def bytes(self) -> int:
        return sum(map(len, self.files.values()))


def tree(blob: Blob, data: bytes, board: Board) -> Tree:
    """What `offramp export` writes. The blob is for the board; UserError: a library that it needs is not installed."""
    found = firmware_files(board, blob.kernels, front_ends_of(blob))
    files = dict(found.files)
    files |= {
        "include/offramp_blob.h": blob_header(blob).encode(),
        "src/offramp_blob.h": forwarder("../include/offramp_blob.h"),
        "src/offramp_blob.c": blob_source(data).encode(),
        "model.ofr": data,
        "cmake/sources.cmake": cmake.sources(found).encode(),
        "LICENSE": (resources.root() / "LICENSE").read_bytes(),
        "NOTICE": notice(found).encode(),
    }
    if board.core.toolchain != "host":
        files["cmake/toolchain.cmake"] = cmake.toolchain(board.core).encode()
    if found.port:
        files["port/app_main.c"] = (_TEMPLATES / "app_main.c").read_bytes()
        files["port/CMakeLists.txt"] = cmake.port(found, board).encode()
        files["port/sections.ld"] = sections_ld(board)
        files["port/memory.ld"] = memory_map.memory_ld(board).encode()
    words = _words(blob, board, found)
    switches = _sizes(blob) | {
        "HAS_PORT": len(found.port),
        "HAS_TOOLCHAIN": board.core.toolchain != "host",
        "IS_FAMILY": len(blob.plans) > 1,
    }
    for name, place in _PLACES.items():
        files[place] = _filled((_TEMPLATES / name).read_text(encoding="utf-8"), words, switches).encode()
    model = Part("the model", f"{blob.crc:08x}", "NOASSERTION", "NOASSERTION")
    runtime = Part("Offramp", __version__, "Apache-2.0", "Copyright 2026 The Offramp authors")
    owners = dict.fromkeys(files, runtime) | found.owners
    owners |= dict.fromkeys(("model.ofr", "src/offramp_blob.c", "include/offramp_blob.h"), model)
    files[bill.NAME] = bill.bill(files, owners, __version__)
    return Tree(dict(sorted(files.items())))


def notice(found: FirmwareFiles) -> str:
    """Whose code is in the tree; the repository's own says what is true of the repository."""
    own = (resources.root() / "NOTICE").read_text(encoding="utf-8").split("\n\n")[:2]
    parts = dict.fromkeys(found.owners.values())
    rows = [f"{p.name} {p.version}, {p.copyright}, {p.license}: src/third_party/" for p in parts]
    model = "The model's licence is its author's affair: it is not stated in the file."
    return "\n\n".join([*(text.strip() for text in own), *(["\n".join(rows)] if rows else []), model]) + "\n"


def identifier(name: str) -> str:
    """The model's name as a word that every build system takes."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:40] or "model"


def _words(blob: Blob, board: Board, found: FirmwareFiles) -> dict[str, str]:
    flags = [*OPTIMIZE["kernels"], *(f for f in THIRD_PARTY if found.third_party and f == "-fwrapv")]
    emulated = board.emulator if found.port else None
    qemu = f"{emulated.binary} -M {emulated.machine}" if emulated else ""
    libraries = ", ".join(f"{p.name} {p.version}" for p in dict.fromkeys(found.owners.values()))
    return {
        "NAME": identifier(blob.name),
        "TITLE": plain(blob.name),
        "VERSION": __version__,
        "CORE": core_of(blob),
        "BOARD": board.name,
        "KERNEL_FLAGS": json.dumps(flags),
        "FLAGS": " ".join(board.core.flags) or "none",
        "QEMU": " ".join([qemu, *(emulated.args if emulated else ())]),
        "CROSS": "" if board.core.toolchain == "host" else " --toolchain cmake/toolchain.cmake",
        "BLOB_BYTES": f"{blob.bytes:,}",
        "ARENA_BYTES": f"{blob.arena_bytes:,}",
        "STATE_BYTES": f"{blob.state_bytes:,}",
        "FRONT_END": ", ".join(front_ends_of(blob)),
        "FEATURES_BYTES": f"{features_bytes(blob):,}",
        "KERNELS": ", ".join(blob.kernels),
        "LIBRARIES": libraries or "none",
    }


def _sizes(blob: Blob) -> dict[str, int]:
    """What templates ask for by #if."""
    found = re.findall(r"#define (OFR_BLOB_\w+) (\d+)u", blob_header(blob))
    return {name: int(value) for name, value in found}


def _filled(text: str, words: Mapping[str, str], switches: Mapping[str, int]) -> str:
    """Puts words for @WORD@, and decides each `#if SWITCH` of the text, so that readers see one way."""
    lines = []
    taken: list[bool] = []
    for line in text.splitlines():
        if switch := _SWITCH.match(line):
            taken.append(switches[switch[1]] > 0)
        elif line == "#else":
            taken[-1] = not taken[-1]
        elif line == "#endif":
            taken.pop()
        elif all(taken):
            lines.append(line)
    return re.sub(r"@([A-Z_]+)@", lambda m: words[m[1]], "\n".join(lines) + "\n")
