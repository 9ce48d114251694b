"""The bare-metal example: short, uses the public header alone, runs on emulated boards and on the host."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import serial

from offramp import boards
from offramp.blob import write
from offramp.boards import Board
from offramp.build.firmware import firmware
from offramp.plan import Options, Plan
from offramp_host.emulator import Emulator
from tests.fuzz import programs, seeds

MAIN = Path(__file__).resolve().parents[2] / "examples" / "bare_metal" / "main.c"
# The ports' start-up code calls app_main; other start-up code calls main itself.
CALLS_MAIN = """/* Start-up code's way to the example. */
int main(void);
int app_main(void);
int app_main(void) { return main(); }
"""


def packed(board: Board, folder: Path) -> tuple[Path, Plan]:
    plan = seeds.plan(seeds.keyword_net(), board, folder, Options())
    blob = folder / "model.ofr"
    blob.write_bytes(write(plan))
    return blob, plan


def test_it_is_short_and_uses_the_header_alone() -> None:
    lines = MAIN.read_text().splitlines()
    assert len(lines) <= 40
    assert [line for line in lines if line.startswith("#include")] == ['#include "offramp.h"']


@pytest.mark.emulator
@pytest.mark.parametrize("name", ["mps2_an386", "rv32_virt"])
def test_on_a_board(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    blob, plan = packed(board, tmp_path)
    start = tmp_path / "start.c"
    start.write_text(CALLS_MAIN)
    kernels = seeds.kernels_of({"model": plan})
    image = firmware(board, tmp_path / "example.elf", kernels=kernels, blob=blob, app=[MAIN, start])
    assert exit_code(board, image.elf) == 0


def exit_code(board: Board, elf: Path) -> int:
    with (
        Emulator(board, elf, timeout_s=30) as emulator,
        serial.serial_for_url(emulator.url),  # the board starts when something connects
    ):
        return emulator.wait(30)


def test_on_this_machine(tmp_path: Path) -> None:
    blob, plan = packed(programs.POSIX, tmp_path)
    program = programs.host_program(MAIN, seeds.kernels_of({"model": plan}), tmp_path / "example", blob)
    assert subprocess.run([program], timeout=30).returncode == 0


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    """So that the exit code is known to mean something."""
    blob, plan = packed(programs.POSIX, tmp_path)
    blob.write_bytes(blob.read_bytes()[:-400])
    program = programs.host_program(MAIN, seeds.kernels_of({"model": plan}), tmp_path / "example", blob)
    assert subprocess.run([program], timeout=30).returncode == 1
