"""The files of the runtime, the kernels and the port that a blob needs, and where each lies in an exported tree.

One include folder, `src`, serves every build system, Arduino's too, which knows no other: headers that files name by
another folder get a file there that includes them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from offramp import resources
from offramp.boards import Board
from offramp.build.firmware import kernel_table, kernels_named, sets_of
from offramp.build.library import Library
from offramp.build.sources import LIBRARIES, Source, Sources, feature_sources, feature_table, firmware_sources
from offramp.errors import UserError
from offramp.export.closure import headers, includes, needed

# Offramp's folders of files and where they lie in a tree; the first that holds a file counts.
_FOLDERS = (
    ("include", "include"),
    ("src", "src"),
    ("kernels", "src"),
    ("features", "src/features"),
    ("port", "port"),
)


@dataclass(frozen=True)
class Part:
    """Whose files they are: a package of the bill of materials."""

    name: str
    version: str
    license: str
    copyright: str


@dataclass(frozen=True)
class FirmwareFiles:
    """Contents by place in the tree; the lists of what is compiled name the same places."""

    files: dict[str, bytes]
    runtime: list[str]
    kernels: list[str]
    third_party: list[str]
    port: list[str]
    port_defines: tuple[tuple[str, str | int], ...]
    owners: dict[str, Part]
    """Of third-party files; all others are Offramp's."""


def firmware_files(
    board: Board, kernel_names: Sequence[str], front_ends: Sequence[str] = ()
) -> FirmwareFiles:
    """`kernel_names`: those of a blob's steps, `set/name`; `front_ends`: kinds. A port comes along where the
    board is an emulated one."""
    kernels = kernels_named(kernel_names)
    sets = sets_of(board, kernels)
    sources = firmware_sources(board, kernel_sets=sets, app=())
    libraries = {name: LIBRARIES[name]() for name in sets if name in LIBRARIES}
    symbols = [kernel.symbol for kernel in kernels]
    if front_ends:
        sources += feature_sources()
        symbols += ["ofr_features_feed", *(f"ofr_feature_{kind}" for kind in front_ends)]
    taken = _taken(sources, symbols, with_port=board.emulator is not None)
    public = sorted((resources.root() / "firmware" / "include").resolve().glob("*.h"))
    places = _places([*(file.path for file in taken), *public], sources.include_dirs, libraries)
    files = {place: path.read_bytes() for path, place in places.items()}
    files |= _forwarders(places, sources.include_dirs)
    files |= {f"src/{path.name}": forwarder(f"../include/{path.name}") for path in public}
    tables = {"src/kernel_table.c": kernel_table(board, kernels).encode()}
    if front_ends:
        tables["src/features/feature_table.c"] = feature_table(front_ends).encode()
    files |= tables
    owners = {place: part for path, place in places.items() if (part := _owner(path, libraries)) is not None}
    for name, library in libraries.items():
        for path in _licences(library):
            place = f"src/third_party/{name}/{path.name}"
            files[place], owners[place] = path.read_bytes(), _library_part(name, library)

    def compiled(category: str, third_party: bool = False) -> list[str]:
        return [places[f.path] for f in taken if (f.category, f.third_party) == (category, third_party)]

    return FirmwareFiles(
        files,
        [*compiled("runtime"), *tables],
        compiled("kernels"),
        compiled("kernels", third_party=True),
        compiled("application"),
        sources.defines,
        owners,
    )


def _taken(sources: Sources, symbols: Sequence[str], with_port: bool) -> list[Source]:
    """Of the sources for a board those that belong into a tree, by their real paths."""
    files = [replace(file, path=file.path.resolve()) for file in sources.files]
    of_kernels = [file.path for file in files if file.category == "kernels"]
    chosen = set(needed(symbols, of_kernels, sources.include_dirs))
    wanted = {"kernels": lambda path: path in chosen, "application": lambda path: with_port}
    return [file for file in files if wanted.get(file.category, lambda path: True)(file.path)]


def _places(paths: Sequence[Path], folders: Sequence[Path], libraries: dict[str, Library]) -> dict[Path, str]:
    """Of these files and all that they include."""
    firmware = (resources.root() / "firmware").resolve()
    found = {path: _place(path, firmware, libraries) for path in (*paths, *headers(paths, folders))}
    if len(set(found.values())) != len(found):
        raise AssertionError("two files have one place in the tree")
    return found


def _place(path: Path, firmware: Path, libraries: dict[str, Library]) -> str:
    for folder, place in _FOLDERS:
        if path.is_relative_to(firmware / folder):
            return f"{place}/{path.relative_to(firmware / folder).as_posix()}"
    name = _library_of(path, libraries)
    return f"src/third_party/{name if name in libraries else 'cmsis_core'}/{path.name}"


def _library_of(path: Path, libraries: dict[str, Library]) -> str | None:
    """None: of another package that a library includes, CMSIS-Core."""
    return next((name for name, lib in libraries.items() if path.is_relative_to(lib.root.resolve())), None)


def _owner(path: Path, libraries: dict[str, Library]) -> Part | None:
    if path.is_relative_to(resources.root().resolve() / "firmware"):
        return None
    name = _library_of(path, libraries)
    return _core_part(path.parent) if name is None else _library_part(name, libraries[name])


def _library_part(name: str, library: Library) -> Part:
    title, holder = {
        "cmsis_nn": ("CMSIS-NN", "Arm Limited"),
        "esp_nn": ("ESP-NN", "Espressif Systems (Shanghai) CO LTD"),
    }[name]
    return Part(title, library.version, "Apache-2.0", f"Copyright {holder}")


def _core_part(folder: Path) -> Part:
    """CMSIS-Core states no version of the whole; that of its compiler header stands for it."""
    text = (folder / "cmsis_compiler.h").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"@version\s+V?([\d.]+)", text)
    return Part("CMSIS-Core", found[1] if found else "unknown", "Apache-2.0", "Copyright Arm Limited")


def _licences(library: Library) -> list[Path]:
    """The library's licence, and where the copy comes from if it says so."""
    found = sorted(library.root.glob("LICENSE*"))
    if not found:
        raise UserError(
            f"{library.root} has no LICENSE file, which has to go along with its sources",
            "take a whole checkout of the library",
        )
    return [*found, *sorted(library.root.glob("*PROVENANCE*"))]


def _forwarders(places: dict[Path, str], folders: Sequence[Path]) -> dict[str, bytes]:
    """For what a file includes by a name that leads nowhere from its new place, nor from `src`."""
    found: dict[str, bytes] = {}
    for path, place in places.items():
        for include in includes(path, folders):
            target = places.get(include.found) if include.found else None
            reached = {f"src/{include.name}"}
            if include.quoted:
                reached.add(_normal(PurePosixPath(place).parent, include.name))
            if target and target not in reached:
                found[f"src/{include.name}"] = forwarder(os.path.relpath(target, "src"))
    return found


def _normal(folder: PurePosixPath, name: str) -> str:
    return os.path.normpath(folder / name).replace(os.sep, "/")


def forwarder(target: str) -> bytes:
    """A header in `src` for one that lies elsewhere."""
    target = target.replace(os.sep, "/")
    return f'/* So that `src` is the only include folder. */\n#include "{target}"\n'.encode()
