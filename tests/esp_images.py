"""Application images for the three ESP32s, as far as the compilers here go, and the genuine esptool."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from offramp import boards, resources
from offramp.blob import write
from offramp.blob.read import read
from offramp.boards import Board
from offramp.build import Source, Sources
from offramp.build.blob_image import blob_image
from offramp.ops import Kernel
from offramp.plan import Options
from tests import xtensa
from tests.fuzz import programs, seeds

BOARDS = {"esp32": "esp32dev", "esp32s3": "esp32-s3-devkitc-1", "esp32c3": "esp32-c3-devkitm-1"}
APP_DESCRIPTION = resources.root() / "firmware" / "port" / "esp32" / "app_desc.c"
SCRIPT = """MEMORY
{{
    irom : ORIGIN = {code.address}, LENGTH = {code.size}
    drom : ORIGIN = {constants.address}, LENGTH = {constants.size}
    dram : ORIGIN = {data.address}, LENGTH = {data.size}
}}
ENTRY(reset)
SECTIONS
{{
    .text : {{ KEEP(*(.reset.literal .reset)) *(.literal .literal.* .text .text.*) }} > irom
    .rodata : {{ KEEP(*(.esp_app_desc)) *(.rodata .rodata.*) KEEP(*(.ofr_blob)) . = ALIGN(4); }} > drom
    .data : {{ *(.data .data.*) }} > dram
    .bss (NOLOAD) : ALIGN(16) {{ *(.bss .bss.* COMMON) . = ALIGN(16); . += 16K; stack_end = .; }} > dram
}}
"""


def esptool(chip: str, *arguments: str | Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """What it said stands in stdout, errors included."""
    return subprocess.run(
        [sys.executable, "-m", "esptool", "--chip", chip, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
    )


def application(chip: str, folder: Path) -> tuple[Path, bytes]:
    """An image by `esptool elf2image` with a small model linked in, and the model's blob.

    esp32c3: that board's firmware. esp32 and esp32s3: runtime, kernels and model by gcc for another Xtensa core at the
    board's addresses; an image in form, that no ESP32 could run.
    """
    board = boards.load(BOARDS[chip])
    data = write(plan := seeds.plan(seeds.keyword_net(), board, folder, Options("generic")))
    (folder / "model.ofr").write_bytes(data)
    if board.core.toolchain == "xtensa":
        elf = xtensa_elf(board, seeds.kernels_of({"m": plan}), folder)
    else:
        elf = blob_image(read(data, "m"), board, folder / "image.elf", linked=folder / "model.ofr").elf
    app = folder / "app.bin"
    options = ["--flash-mode", "dio", "--flash-size", "4MB", "--elf-sha256-offset", "0xb0"]
    done = esptool(chip, "elf2image", *options, "-o", app, elf)
    assert done.returncode == 0, done.stdout
    return app, data


def xtensa_elf(board: Board, kernels: Sequence[Kernel], folder: Path) -> Path:
    use = {"code": board.code, "constants": board.constants, "data": board.data}
    (folder / "esp.ld").write_text(SCRIPT.format(**use))
    (folder / "inputs.bin").write_bytes(bytes(130))
    sources = programs.runtime_sources(kernels, board) + Sources((Source(APP_DESCRIPTION, "application"),))
    return xtensa.link(folder, sources, folder / "esp.ld")
