"""Interrupt handlers of sensors' drivers in a process, their registers being plain words: what each flag makes of the
samples. Addresses and bits are those of the reference manuals."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from offramp import boards
from offramp.boards import Board
from offramp.build import Source, Sources
from offramp.build.compilers import compiler_for, target_flags
from offramp.build.source import SENSOR, source_sources
from tests.fuzz import programs

MAIN = Path(__file__).with_name("source_handler.c")
L4 = replace(boards.load("nucleo_f446re"), clock_hz=4_000_000, port_defines=(("PORT_STM32_L4", 1),))
NOTHING, OVERRUN_F4, OVERRUN_H7 = "0", f"{1 << 5 | 1 << 1:x}", f"{1 << 4 | 1 << 2:x}"
EVENT = "1"


def fifo(level: int, overflow: bool) -> str:
    return f"{level << 16 | overflow << 11:x}"


CASES = [
    # The flag's register, then what it holds at each interrupt with the samples in the block and those lost.
    ("microbit", "40007100", [(NOTHING, "0 0"), (EVENT, "1 0"), (EVENT, "2 0")]),
    ("nano33ble", "4001d108", [(NOTHING, "0 0"), (EVENT, "64 0"), (NOTHING, "64 0")]),
    (
        "pico",
        "4004c008",
        [(fifo(0, False), "0 0"), (fifo(3, False), "3 0"), (fifo(4, True), "0 8"), (fifo(1, False), "1 8")],
    ),
    ("nucleo_f446re", "40012000", [(NOTHING, "0 0"), ("2", "1 0"), (OVERRUN_F4, "0 3"), ("2", "1 3")]),
    ("disco_f746ng", "40012000", [(NOTHING, "0 0"), ("2", "1 0"), (OVERRUN_F4, "0 3")]),
    ("nucleo_h743zi", "40022000", [(NOTHING, "0 0"), ("4", "1 0"), (OVERRUN_H7, "1 2")]),
    ("L4", "50040000", [(NOTHING, "0 0"), ("4", "1 0"), (OVERRUN_H7, "1 2")]),
]


def board_of(name: str) -> Board:
    return L4 if name == "L4" else boards.load(name)


def defines_of(board: Board, rate_hz: int | None = None) -> tuple[tuple[str, str | int], ...]:
    sources = source_sources(board, SENSOR) if rate_hz is None else source_sources(board, SENSOR, rate_hz)
    return (*sources.defines, *((name, f"{value}u") for name, value in board.port_defines))


def driver_of(board: Board) -> Path:
    return source_sources(board, SENSOR).files[0].path


@pytest.fixture(scope="module")
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    board = board_of(request.param)
    waits = ("START_ONLY", 1)  # its init waits for what plain words never say
    defines = (*defines_of(board), ("DRIVER", f'"{driver_of(board)}"'))
    if driver_of(board).name in ("stm32h7_adc.c", "rp2040_adc.c"):
        defines = (*defines, waits)
    include = programs.runtime_sources([]).include_dirs
    sources = programs.runtime_sources([]) + Sources((Source(MAIN, "application"),), include, defines)
    return programs.linked(sources, tmp_path_factory.mktemp("handler") / "program")


def said(program: Path, lines: list[str]) -> list[str]:
    text = "\n".join(lines) + "\n"
    done = subprocess.run([program], input=text, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("program", "register", "steps"), CASES, indirect=["program"], ids=[case[0] for case in CASES]
)
def test_a_handler_serves_flags_that_are_set(
    program: Path, register: str, steps: list[tuple[str, str]]
) -> None:
    lines = ["start"]
    for value, _ in steps:
        lines += [f"set {register} {value}", "interrupt"]
    assert said(program, lines) == [counts for _, counts in steps]


@pytest.mark.parametrize("program", ["nucleo_f446re"], indirect=True)
def test_stm32f4_detects_overruns(program: Path) -> None:
    [control] = said(program, ["start", "get 40012008"])
    assert int(control, 16) & 1 << 10, "EOCS: without it, or DMA, OVR is never set"


@pytest.mark.parametrize(
    ("name", "rate_hz", "why"),
    [
        ("microbit", 100, "the timer has 16 bits"),
        ("microbit", 30_000, "36 us"),
        ("nano33ble", 8_000, "1.28 MHz"),
        ("pico", 100, "the divider has 16 bits"),
        ("nucleo_f446re", 100_000, "84 + 12 cycles"),
        ("nucleo_h743zi", 200_000, "ends before the next begins"),
    ],
)
def test_a_rate_that_the_hardware_does_not_keep_is_no_image(name: str, rate_hz: int, why: str) -> None:
    board = boards.load(name)
    include = [driver_of(board).parent, driver_of(board).parents[1] / "include"]
    command = [compiler_for(board.core).path, *target_flags(board.core), "-std=gnu11", "-fsyntax-only"]
    command += [f"-I{folder}" for folder in include]
    command += [f"-D{key}={value}" for key, value in defines_of(board, rate_hz)]
    done = subprocess.run([*command, str(driver_of(board))], capture_output=True, text=True)
    assert done.returncode != 0 and why in done.stderr
