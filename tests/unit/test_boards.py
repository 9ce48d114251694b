"""Board files: all of them parse, unknown names are met with near ones, and errors name file and key."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from offramp import boards, resources
from offramp.boards.ports import FRAMEWORKS, PORTS
from offramp.build.memory_map import memory_ld, usable
from offramp.errors import UserError
from tools import fit

FOLDER = resources.root() / "boards"


def test_names() -> None:
    assert set(boards.names()) >= {
        *("microbit", "mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505", "mps3_an547"),
        *("posix", "rv32_virt", "nucleo_f446re", "nucleo_h743zi", "disco_f746ng", "nano33ble", "pico"),
        *("esp32dev", "esp32-s3-devkitc-1", "esp32-c3-devkitm-1"),
    }


@pytest.mark.parametrize("name", boards.names())
def test_a_file_says_what_it_is_and_agrees_with_itself(name: str) -> None:
    board = boards.load(name)
    assert board.name == name
    assert (FOLDER / f"{name}.toml").read_text().startswith("# ")
    assert {board.code, board.data, board.arena, board.model_slot.region} <= set(board.memory)
    assert board.port_family in PORTS
    assert hash(board) == hash(boards.load(name))
    for a in board.memory:
        for b in board.memory:
            apart = a.address + a.size <= b.address or b.address + b.size <= a.address
            assert a is b or apart or board.core.toolchain == "host"
    if board.emulator is not None:
        # One tick lasts denominator / numerator instructions of 2^shift ns each.
        tick_ns = 2**board.emulator.icount_shift * board.emulator.numerator / board.emulator.denominator
        counter_hz = {"mps2_an505": 20e6, "mps3_an547": 32e6, "microbit": 16e6, "rv32_virt": 1e9}.get(
            name, 25e6
        )
        assert tick_ns == 1e9 / counter_hz


def test_instructions_of_ticks() -> None:
    emulation = boards.load("mps2_an386").emulator
    assert emulation is not None
    assert [emulation.instructions(t) for t in (0, 32, 38, 64_000)] == [0, 5, 6, 10_000]


@pytest.mark.parametrize(
    ("name", "near"), [("an386", "mps2_an386"), ("mps2_an386 ", "mps2_an386"), ("rv32", "rv32_virt")]
)
def test_an_unknown_name_gets_near_ones(name: str, near: str) -> None:
    with pytest.raises(UserError, match="no board is called") as caught:
        boards.load(name)
    assert near in caught.value.hint


def test_a_real_board_says_how_platformio_knows_it(tmp_path: Path) -> None:
    table = '[platformio]\nplatform = "ststm32@~1"\nboard = "b"\nframework = "stm32cube"\nflags = ["-DX"]\n'
    path = tmp_path / "nucleo_f446re.toml"
    path.write_text((FOLDER / path.name).read_text().partition("[platformio]")[0] + table)
    found = boards.PlatformIO("ststm32@~1", "b", "stm32cube", flags=("-DX",))
    assert boards.parse(path).platformio == found


@pytest.mark.parametrize("name", ["../boards/posix", "", "/etc/passwd"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(UserError, match="no board is called"):
        boards.load(name)


MISTAKES = [
    ('core = "cortex-m4f"', 'core = "cortex-m9"', "key core: found 'cortex-m9'"),
    ('name = "mps2_an386"', 'name = "other"', "key name: found 'other'"),
    ("clock_hz = 25_000_000", "", "key clock_hz: found nothing"),
    ("clock_hz = 25_000_000", "clock_hz = true", "key clock_hz: found True"),
    ("stack_bytes = 4096", "stack_bytes = -1", "key stack_bytes: found -1"),
    ("stack_bytes = 4096", "stack_bytes = 4096\nspeed = 1", "key speed: found an unknown key"),
    ('code = "flash"', 'code = "rom"', "key use.code: found 'rom'"),
    ('kind = "flash"', 'kind = "disk"', "key memory.flash.kind: found 'disk'"),
    (
        "offset = 0,",
        "offset = 16,",
        "key use.model_slot.size: found 16777216 bytes, which ends 16 bytes past psram",
    ),
    ("offset = 0, size = 0x100_0000", "offset = 8, size = 16", "key use.model_slot.offset: found 8"),
    ("PORT_UART_RX_IRQ = 0", 'PORT_UART_RX_IRQ = "0"', "key port.defines.PORT_UART_RX_IRQ: found '0'"),
    ("[5, 32]", "[5]", "key emulator.instructions_per_tick: found"),
    ('kernels = ["generic", "cmsis_nn", "dsp"]', "kernels = [1]", "key kernels: found"),
    ("[emulator]", '[platformio]\nboard = "b"\n\n[emulator]', "key platformio.platform: found nothing"),
    ("clock_hz = 25", "clock_mhz = 25\nclock_hz = 25", "key clock_mhz: found an unknown key"),
    ("size = 0x40_0000 }", "size = 0x40_0000, dma = 1 }", "key memory.flash.dma: found 1"),
    ("size = 0x40_0000 }", "size = 0x40_0000, wait_states = -1 }", "key memory.flash.wait_states: found -1"),
    (
        "size = 0x40_0000 }",
        "size = 0x40_0000, program_bytes = 3 }",
        "key memory.flash.program_bytes: found 3",
    ),
    (
        "size = 0x40_0000 }",
        "size = 0x40_0000, sectors = [[16, 2]] }",
        "key memory.flash.sectors: found 32 bytes",
    ),
    ("size = 0x40_0000 }", "size = 0x40_0000, sectors = [16] }", "key memory.flash.sectors: found [16]"),
    ('core = "cortex-m4f"', 'core = "cortex-m3"\nfpu = "fpv4-sp-d16"', "key fpu: found 'fpv4-sp-d16'"),
    ("[emulator]", "[platformio]\nplatform = 1\n[emulator]", "key platformio.platform: found 1"),
    ("[memory]", "[memory", "mps2_an386.toml: "),
]


@pytest.mark.parametrize(("right", "wrong", "message"), MISTAKES, ids=[m[2] for m in MISTAKES])
def test_a_mistake_is_named_with_file_and_key(right: str, wrong: str, message: str, tmp_path: Path) -> None:
    text = (FOLDER / "mps2_an386.toml").read_text()
    assert right in text
    path = tmp_path / "mps2_an386.toml"
    path.write_text(text.replace(right, wrong, 1))
    with pytest.raises(UserError) as caught:
        boards.parse(path)
    assert message in caught.value.message and str(path) in caught.value.message


def test_an_unknown_key_gets_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "nucleo_f446re.toml"
    text = (FOLDER / path.name).read_text()
    for right, wrong in (
        ("dma = ", "dmaa = "),
        ("program_bytes", "program_byte"),
        ("framework", "frame_work"),
    ):
        path.write_text(text.replace(right, wrong, 1))
        with pytest.raises(UserError, match=f"{wrong.strip(' =')}|framework") as caught:
            boards.parse(path)
        assert right.strip(" =") in caught.value.message + caught.value.hint


def test_a_model_slot_in_flash_is_whole_sectors(tmp_path: Path) -> None:
    path = tmp_path / "nucleo_f446re.toml"
    text = (FOLDER / path.name).read_text()
    path.write_text(text.replace("offset = 0x6_0000, size = 0x2_0000", "offset = 0x5_0000, size = 0x2_0000"))
    with pytest.raises(UserError, match="allowed is whole sectors"):
        boards.parse(path)


def test_every_board_has_a_way_to_run_and_hardware_says_all_of_its_memory() -> None:
    for board in map(boards.load, boards.names()):
        assert board.runs_here != (board.platformio is not None)
        if board.runs_here:
            continue
        assert board.platformio is not None and board.platformio.framework in FRAMEWORKS
        for region in board.memory:
            assert region.name == "boot" or None not in (region.cached, region.dma)
        (flash,) = [region for region in board.memory if region.sectors]
        assert flash.program_bytes is not None and flash.xip is not None
        with pytest.raises(UserError, match=f"{board.name} is not emulated"):
            boards.must_run_here(board)


def test_the_image_stops_where_the_model_slot_begins() -> None:
    board = boards.load("microbit")
    assert usable(board, board.code) == 0x20000
    assert "flash : ORIGIN = 0x0, LENGTH = 0x20000" in memory_ld(board)


@pytest.mark.parametrize("name", boards.names())
def test_every_key_stands_in_the_same_order(name: str) -> None:
    tables = list(tomllib.loads((FOLDER / f"{name}.toml").read_text()))
    order = [
        "name",
        "description",
        "core",
        "fpu",
        "clock_hz",
        "kernels",
        "stack_bytes",
        "memory",
        "use",
        "power",
        "port",
        "emulator",
        "platformio",
    ]
    assert tables == [key for key in order if key in tables]


def test_what_fits_was_measured_for_every_board_and_model() -> None:
    recorded = json.loads(fit.RECORDED.read_text())
    assert set(recorded) == {name for name in boards.names() if boards.load(name).core.toolchain != "host"}
    assert {tuple(sorted(row)) for row in recorded.values()} == {tuple(sorted(fit.MODELS))}
