"""Board files that contradict themselves or another board's are refused as they are read: key, numbers, way out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from offramp import boards, resources
from offramp.boards.cores import CORES, SETS_NEED, sets_of
from offramp.boards.ports import PORTS
from offramp.build import listing
from offramp.build.sources import port_defines
from offramp.errors import UserError
from offramp.kernels import SETS

FOLDER = resources.root() / "boards"
PORT = resources.root() / "firmware" / "port"
SOURCE = resources.root() / "firmware" / "source"


def changed(folder: Path, board: str, *changes: tuple[str, str], name: str = "") -> Path:
    """A board's file with other text in places, as another board's if a name is given."""
    text = (FOLDER / f"{board}.toml").read_text()
    for right, wrong in (*changes, *([(f'name = "{board}"', f'name = "{name}"')] if name else [])):
        assert right in text
        text = text.replace(right, wrong, 1)
    path = folder / f"{name or board}.toml"
    path.write_text(text)
    return path


RAM = "address = 0x2000_0000"
MISTAKES = [
    # Regions: into each other, past what an address can be, of no size.
    ("mps2_an386", RAM, "address = 0x003F_FFF0", "memory.flash.size: found 4194304 bytes", "4194288 bytes"),
    ("mps2_an386", RAM, "address = 0x0000_0000", "memory.flash.size: found 4194304 bytes", "0 bytes"),
    ("mps2_an386", "0x2100_0000", "0x203F_0000", "memory.ram.size: found 4194304 bytes", "4128768 bytes"),
    ("mps2_an386", "0x2100_0000", "0xFFFF_0000", "memory.psram.size: found 16777216 bytes", "65536 bytes"),
    ("mps2_an386", "size = 0x40_0000", "size = 0", "memory.flash.size: found 0", "1 or more"),
    ("mps2_an386", "size = 0x40_0000", "size = -4", "memory.flash.size: found -4", "0 or more"),
    ("mps2_an386", "offset = 0, size = 0x100_0000", "offset = 0, size = 0", "model_slot.size: found 0", "1"),
    ("mps2_an386", "clock_hz = 25_000_000", "clock_hz = 0", "clock_hz: found 0", "1 or more"),
    ("microbit", "supply_v = 3.0", "supply_v = 0.0", "power.supply_v: found 0.0", "above 0.0"),
    # Sections that do not fit where they are put.
    ("mps2_an386", "stack_bytes = 4096", "stack_bytes = 0", "stack_bytes: found 0 bytes", "1 to 4194303"),
    (
        "microbit",
        "stack_bytes = 2048",
        "stack_bytes = 0x4000",
        "stack_bytes: found 16384",
        "1 to 16383 bytes",
    ),
    (
        "microbit",
        "offset = 0x2_0000",
        "offset = 0",
        "use.model_slot.offset: found 0, which leaves",
        "above 0",
    ),
    ("mps2_an386", 'data = "ram"', 'data = "flash"', "use.data: found 'flash'", "one of ram"),
    ("mps2_an386", 'code = "flash"', 'code = "ram"', "use.code: found 'ram'", "one of flash"),
    ("nucleo_f446re", "_BYTES=98304", "_BYTES=131088", "platformio.flags: found", "at most 131072 bytes"),
    ("esp32dev", "_BYTES=65536", "_BYTES=90000", "platformio.flags: found", "at most 81920 bytes"),
    ("pico", ", sectors = [[0x1000, 512]]", "", "memory: found sectors of no region", "the sectors of"),
    # Kernel sets.
    ("mps2_an386", '"dsp"]', '"mve"]', "kernels: found 'mve', which a cortex-m4f cannot", "cmsis_nn, dsp"),
    (
        "mps2_an385",
        '"cmsis_nn"]',
        '"dsp"]',
        "kernels: found 'dsp', which a cortex-m3",
        "of generic, cmsis_nn",
    ),
    ("microbit", '"cmsis_nn"]', '"dsp"]', "kernels: found 'dsp', which a cortex-m0", "of generic, cmsis_nn"),
    ("rv32_virt", '"esp_nn"]', '"cmsis_nn"]', "kernels: found 'cmsis_nn', which a rv32imc", "esp_nn"),
    ("mps2_an386", '"cmsis_nn",', '"cmsis-nn",', "kernels: found 'cmsis-nn'", "Did you mean cmsis_nn?"),
    ("mps2_an386", '"generic", ', "", "kernels: found ['cmsis_nn', 'dsp']", "generic and others"),
    # Keys of a port, and keys that stand for others.
    ("mps2_an386", "PORT_TIMER =", "PORT_TIMR =", "PORT_TIMR: found an unknown key", "PORT_TIMER?"),
    ("mps2_an386", "PORT_UART_RX_IRQ", "PORT_UART_IRQ_RX", "PORT_UART_IRQ_RX: found", "PORT_UART_RX_IRQ?"),
    ("mps2_an386", "PORT_TIMER =", "PORT_PLIC =", "PORT_PLIC: found an unknown key", "PORT_TIMER"),
    ("pico", "PORT_UART_RX_IRQ = 20", "", "port.defines.PORT_UART_RX_IRQ: found nothing", "a whole number"),
    (
        "esp32dev",
        "[port.defines]",
        "[port.defines]\nPORT_UART = 1",
        "PORT_UART: found an",
        "one of PORT_I2S_CLOCK_PIN",
    ),
    (
        "mps2_an386",
        "PORT_TIMER = 0x4000_0000",
        "",
        "port.defines: found none of",
        "PORT_TIMER, PORT_SSE_COUNTER",
    ),
    (
        "nucleo_f446re",
        "PORT_STM32_F4 = 1",
        "PORT_STM32_F4 = 0",
        "port.defines: found none of",
        "PORT_STM32_L4",
    ),
    ("nucleo_f446re", "PORT_STM32_F4 = 1", "PORT_STM32_F4 = 2", "PORT_STM32_F4: found 2", "1"),
    ("nucleo_f446re", 'family = "stm32"', 'family = "smt32"', "port.family: found 'smt32'", "mean stm32?"),
    ("mps2_an386", "kernels =", "kernel =", "key kernels: found nothing", "kernels where it says kernel?"),
    ("mps2_an386", "[port.defines]", "[port.define]", "port.defines: found nothing", "it says port.define?"),
    ("nucleo_f446re", "[platformio]", "[platfromio]", "platfromio: found an unknown key", "platformio?"),
    # A core or a chip that is another's.
    ("nucleo_f446re", '"cortex-m4f"', '"cortex-m7"', "key core: found 'cortex-m7'", "cortex-m4f, what chips"),
    ("mps2_an386", 'family = "cmsdk"', 'family = "rv32_virt"', "port.defines", ""),
    ("nano33ble", '"nordicnrf52@', '"ststm32@', "platformio.platform: found 'ststm32'", "nordicnrf52"),
    ("pico", '"arduino"', '"arduno"', "platformio.framework: found 'arduno'", "mean arduino?"),
    ("nucleo_f446re", 'board = "nucleo_f', 'board = "nucleo_l', "'nucleo_l446re', an STM32L4", "STM32F4"),
    ("esp32dev", 'board = "esp32dev"', 'board = "esp32-c3-x"', "'esp32-c3-x', a rv32imc", "xtensa-lx6"),
]


@pytest.mark.parametrize(("board", "right", "wrong", "found", "way"), MISTAKES, ids=[m[3] for m in MISTAKES])
def test_a_mistake_is_refused(
    board: str, right: str, wrong: str, found: str, way: str, tmp_path: Path
) -> None:
    path = changed(tmp_path, board, (right, wrong))
    with pytest.raises(UserError) as caught:
        boards.parse(path)
    error = caught.value
    assert found in error.message and str(path) in error.message and "\n" not in error.message
    assert way in f"{error.message} {error.hint}" and error.hint


@pytest.mark.parametrize(
    ("board", "changes", "found"),
    [
        (
            "nucleo_f446re",
            [("size = 0x2_0000, wait", "size = 0x1_8000, wait")],
            "ram in bytes 131072 there, 98304",
        ),
        ("esp32dev", [('"esp32dev"\nframework', '"esp32-c3-devkitm-1"\nframework')], "a rv32imc"),
        ("disco_f746ng", [('"disco_f746ng"\nframework', '"nucleo_f446re"\nframework')], "an STM32F4"),
        (
            "esp32-s3-devkitc-1",
            [('"esp32-s3-devkitc-1"\nf', '"esp32dev"\nf')],
            "core xtensa-lx6 there, xtensa-lx7",
        ),
    ],
)
def test_the_copied_files_board_is_not_ours(
    board: str, changes: list[tuple[str, str]], found: str, tmp_path: Path
) -> None:
    path = changed(tmp_path, board, *changes, name="mine")
    with pytest.raises(UserError) as caught:
        boards.parse(path)
    assert "key platformio.board: found" in caught.value.message and found in caught.value.message
    assert "pio boards" in caught.value.hint


def test_two_files_may_describe_one_board(tmp_path: Path) -> None:
    slot = ("offset = 0x6_0000, size = 0x2_0000", "offset = 0x4_0000, size = 0x4_0000")
    assert boards.parse(changed(tmp_path, "nucleo_f446re", slot, name="mine")).model_slot.size == 0x4_0000
    (tmp_path / "own").mkdir()
    less = ("size = 0x2_0000, wait", "size = 0x1_8000, wait")  # of the same name: what ours says is replaced
    assert boards.parse(changed(tmp_path / "own", "nucleo_f446re", less)).data.size == 0x1_8000


def test_platformio_may_know_the_board_with_another_core(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = str(changed(tmp_path, "nucleo_f446re"))
    assert listing.main([board, "port", str(tmp_path), "--cpu", "cortex-m7"]) == 1
    assert "found 'nucleo_f446re', which PlatformIO knows with a cortex-m7" in capsys.readouterr().err
    for name, cpu in (("nucleo_f446re", "cortex-m4"), ("pico", "cortex-m0plus"), ("esp32dev", "")):
        listing.check_cpu(boards.load(name), cpu)


# What every port is told, what `[platformio]` flags say, and what port.h and a driver's row define.
GIVEN = {
    *(name for name, _ in port_defines(replace(boards.load("pico"), port_defines=()))),
    *("PORT_HARDWARE", "PORT_FRAMEWORK", "PORT_RAM_CODE", "PORT_UART_HANDLER", "PORT_STATIC_ARENA_BYTES"),
    *("PORT_FAULT_EXIT", "PORT_LINK_BUFFER", "PORT_SOURCE_IRQ", "PORT_SOURCE_HZ", "PORT_CLOCK_HZ"),
}


@pytest.mark.parametrize("family", PORTS)
def test_a_ports_keys_are_the_macros_that_its_files_use(family: str) -> None:
    files = [path for folder in PORTS[family].folders for path in (PORT / folder).glob("*.[chS]")]
    files += [path for path in SOURCE.glob("*.c") if path.stem.startswith(family)]
    used = {name for path in files for name in re.findall(r"\bPORT_[A-Z0-9_]+\b", path.read_text())}
    assert used - GIVEN == set(PORTS[family].keys())


def test_every_set_says_which_cores_run_it() -> None:
    assert set(SETS_NEED) == set(SETS)
    found = {name: sets_of(core) for name, core in CORES.items()}
    assert found["cortex-m0"] == found["cortex-m3"] == ("generic", "cmsis_nn")
    assert found["cortex-m4f"] == found["cortex-m33"] == ("generic", "cmsis_nn", "dsp")
    assert found["cortex-m55"] == ("generic", "cmsis_nn", "dsp", "mve")
    assert found["rv32imc"] == found["xtensa-lx7"] == ("generic", "esp_nn") and found["native"] == (
        "generic",
    )
