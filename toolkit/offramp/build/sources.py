"""Which files make up a firmware, and to whose account their bytes go."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from offramp import resources
from offramp.boards import Board
from offramp.build import cmsis_nn, esp_nn
from offramp.build.cache import cache_folder, write_atomically
from offramp.errors import UserError

Category = Literal["model", "runtime", "kernels", "application"]

# The folders of firmware/port/ that make up a family; "." holds what bare-metal families share.
PORT_FOLDERS: dict[str, tuple[str, ...]] = {
    "cmsdk": (".", "cortex_m", "cmsdk"),
    "nrf51": (".", "cortex_m", "nrf51"),
    "nrf52": (".", "cortex_m", "nrf51", "nrf52"),
    "rp2040": (".", "cortex_m", "rp2040"),
    "stm32": (".", "cortex_m", "stm32"),
    "esp32": (".", "esp32"),
    "rv32_virt": (".", "rv32_virt"),
    "posix": ("posix",),
}

# By framework: the files of a port that remain where it starts the chip. {} is the family.
FRAMEWORKS: dict[str, tuple[str, ...]] = {
    "stm32cube": ("framework/*.c", "cortex_m/*.c", "{}/*.c"),
    "arduino": ("framework/memory.c", "arduino/*.cpp", "{}/flash.c"),
}

# Kernel sets that stand on a vendor's library.
LIBRARIES = {"cmsis_nn": cmsis_nn.find, "esp_nn": esp_nn.find}


@dataclass(frozen=True)
class Source:
    """One C or assembler file. Third-party files are compiled without our warnings."""

    path: Path
    category: Category
    third_party: bool = False


@dataclass(frozen=True)
class Sources:
    """Files to compile, all with the same include folders and macros; sums are taken with +."""

    files: tuple[Source, ...] = ()
    include_dirs: tuple[Path, ...] = ()
    defines: tuple[tuple[str, str | int], ...] = ()
    cmsis_nn_version: str | None = None

    def __add__(self, other: Sources) -> Sources:
        return Sources(
            self.files + other.files,
            tuple(dict.fromkeys(self.include_dirs + other.include_dirs)),
            tuple(dict.fromkeys(self.defines + other.defines)),
            self.cmsis_nn_version or other.cmsis_nn_version,
        )

    @staticmethod
    def from_text(name: str, text: str, category: Category) -> Sources:
        """A generated file, kept in the cache under its content, so that equal text compiles once."""
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        path = cache_folder() / "generated" / digest / name
        if not path.exists():
            write_atomically(path, text.encode())
        return Sources((Source(path, category),))


def firmware_sources(
    board: Board, *, kernel_sets: Sequence[str] | None = None, app: Sequence[Path] | None = None
) -> Sources:
    """Runtime, kernels, port and application for a board.

    `kernel_sets` defaults to all that the board allows; the linker drops kernels that no table names.
    `app` replaces the files of firmware/app/.
    """
    firmware = resources.root() / "firmware"
    sets = board.kernels if kernel_sets is None else tuple(kernel_sets)
    refused = [name for name in sets if name not in board.kernels]
    if refused:
        raise UserError(
            f"{board.name} has no kernel set {refused[0]!r}; it has {', '.join(board.kernels)}",
            "Choose one of these with --kernels.",
        )
    runtime = Sources(_in_folder(firmware / "src", "runtime"), (firmware / "include", firmware / "src"))
    total = runtime + port_sources(board)
    for name in sets:
        total += kernel_sources(name)
    if app is None:
        return total + Sources(_in_folder(firmware / "app", "application"), (firmware / "app",))
    return total + Sources(tuple(Source(path, "application") for path in app))


def kernel_sources(name: str) -> Sources:
    """A kernel set, with the vendor's library that it stands on; UserError if that is not here."""
    kernels = resources.root() / "firmware" / "kernels"
    total = Sources(_in_folder(kernels / name, "kernels"), (kernels,))
    if name not in LIBRARIES:
        return total
    library = LIBRARIES[name]()
    return total + Sources(
        tuple(Source(path, "kernels", third_party=True) for path in library.sources),
        library.include_dirs,
        cmsis_nn_version=library.version if name == "cmsis_nn" else None,
    )


def port_sources(board: Board) -> Sources:
    """The port of a board with its addresses as macros."""
    port = resources.root() / "firmware" / "port"
    if board.port_family not in PORT_FOLDERS:
        raise UserError(
            f"{board.name}.toml: key port.family: found {board.port_family!r}, "
            f"allowed is {' or '.join(PORT_FOLDERS)}",
            "A new family is a folder in firmware/port/ and a row in PORT_FOLDERS.",
        )
    folders = PORT_FOLDERS[board.port_family]
    files = tuple(file for folder in folders for file in _in_folder(port / folder, "application"))
    return Sources(files, (port,), port_defines(board))


def framework_sources(board: Board) -> Sources:
    """The port of a board whose PlatformIO framework starts the chip: C++ among it, for PlatformIO to compile."""
    if board.platformio is None or board.platformio.framework not in FRAMEWORKS:
        found = board.platformio.framework if board.platformio else "nothing"
        raise UserError(
            f"{board.name}.toml: key platformio.framework: found {found!r}, allowed is {' or '.join(FRAMEWORKS)}",
            "A new framework is a row in FRAMEWORKS and the files it names.",
        )
    port = resources.root() / "firmware" / "port"
    patterns = (p.format(board.port_family) for p in FRAMEWORKS[board.platformio.framework])
    files = tuple(Source(path, "application") for p in patterns for path in sorted(port.glob(p)))
    return Sources(files, (port,), (*port_defines(board), ("PORT_FRAMEWORK", 1)))


def with_framework(total: Sources, board: Board) -> Sources:
    """The sources of a bare image, with what is left of the port where the framework starts the chip."""
    bare = set(port_sources(board).files)
    return replace(total, files=tuple(f for f in total.files if f not in bare)) + framework_sources(board)


def port_defines(board: Board) -> tuple[tuple[str, str | int], ...]:
    """What a port is told of its board, as macros."""
    slot = board.model_slot
    defines: tuple[tuple[str, str | int], ...] = (
        *((name, f"{value:#x}u") for name, value in board.port_defines),
        ("PORT_MODEL_SLOT", f"{slot.address:#x}u"),
        ("PORT_MODEL_SLOT_BYTES", f"{slot.size:#x}u"),
        ("PORT_MODEL_SLOT_WRITABLE", int(slot.writable)),
        ("PORT_ARENA_BYTES", f"{board.arena.size:#x}u"),
    )
    if board.runs_here:
        return defines
    flash = next((region for region in board.memory if region.sectors), None)
    if flash is None:
        raise UserError(
            f"{board.name}.toml: no region of [memory] has sectors",
            "Say them for the flash that holds models.",
        )
    sectors = ",".join(f"{{{size}u,{count}u}}" for size, count in flash.sectors)
    return (
        *defines,
        ("PORT_HARDWARE", 1),
        ("PORT_FLASH", f"{flash.address:#x}u"),
        ("PORT_FLASH_SECTORS", sectors),
        ("PORT_FLASH_UNIT", f"{flash.program_bytes or 1}u"),
    )


def _in_folder(folder: Path, category: Category) -> tuple[Source, ...]:
    return tuple(Source(path, category) for path in sorted(folder.glob("*.[cS]")))
