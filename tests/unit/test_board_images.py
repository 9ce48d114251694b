"""Boards that only hardware runs: their ports on bare registers linked, and what the image says of itself.

What a framework starts is compiled as far as it can be: against stand-ins for the framework's headers.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from offramp import boards
from offramp.blob import write
from offramp.blob.read import read
from offramp.boards import Board
from offramp.boards.ports import FRAMEWORKS
from offramp.build import Image, Source, Sources, compiler_for
from offramp.build.blob_image import blob_image
from offramp.build.firmware import kernel_table, with_identity
from offramp.build.image import build, macros
from offramp.build.sources import (
    firmware_sources,
    framework_sources,
    port_sources,
    with_framework,
)
from offramp.plan import Options
from tests import esp_images
from tests.fuzz import seeds

pytestmark = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
HARDWARE = [name for name in boards.names() if not boards.load(name).runs_here]
BARE = [name for name in HARDWARE if boards.load(name).core.toolchain != "xtensa"]
ARM = [name for name in BARE if boards.load(name).core.toolchain == "arm"]
C3 = "esp32-c3-devkitm-1"

# Tags of the Arm ELF attributes (IHI 0045): architecture, FPU, hardware floats in registers, DSP.
V6S_M, V7E_M = 12, 13
EXPECTED = {
    "nucleo_f446re": (V7E_M, "fpv4-sp"),
    "nucleo_h743zi": (V7E_M, "fpv5-dp"),
    "disco_f746ng": (V7E_M, "fpv5-sp"),
    "nano33ble": (V7E_M, "fpv4-sp"),
    "pico": (V6S_M, None),
}
# Tag_FP_arch: 6 is VFPv4-D16, 8 FPv5-D16. Tag_ABI_HardFP_use: 1 single precision only.
FPU = {"fpv4-sp": (6, 1), "fpv5-sp": (8, 1), "fpv5-dp": (8, None), None: (None, None)}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Board, Image, bytes]]:
    """The firmware of each board with a small model linked in, by the board's name."""
    found = {}
    for name in BARE:
        folder, board = tmp_path_factory.mktemp(name), boards.load(name)
        data = write(seeds.plan(seeds.keyword_net(), board, folder, Options()))
        (folder / "model.ofr").write_bytes(data)
        image = blob_image(read(data, "m"), board, folder / "image.elf", linked=folder / "model.ofr")
        found[name] = board, image, data
    return found


def sections(elf: Path) -> list[Any]:
    with elf.open("rb") as file:
        return [
            (s.name, s["sh_addr"], s["sh_size"], s["sh_type"] != "SHT_NOBITS")
            for s in ELFFile(file).iter_sections()
            if s["sh_flags"] & 2 and s["sh_size"] > 0
        ]


def word_at(elf: Path, address: int) -> int:
    with elf.open("rb") as file:
        for s in ELFFile(file).iter_sections():
            at = address - s["sh_addr"]
            if s["sh_flags"] & 2 and 0 <= at < s["sh_size"]:
                return int.from_bytes(s.data()[at : at + 4], "little")
    raise AssertionError(f"{address:#x} is in no section")


def symbol(elf: Path, name: str) -> int:
    with elf.open("rb") as file:
        (found,) = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name(name)
        return int(found["st_value"])


@pytest.mark.parametrize("name", BARE)
def test_every_section_lies_in_a_region_that_holds_it(
    name: str, images: dict[str, tuple[Board, Image, bytes]]
) -> None:
    board, image, _ = images[name]
    slot = board.model_slot
    for section, start, size, loaded in sections(image.elf):
        if section == ".pages":
            continue
        (region,) = [r for r in board.memory if r.address <= start and start + size <= r.address + r.size]
        assert region in (board.code, board.constants) if section in (".text", ".ofr_blob") else True
        assert not loaded or region.kind == "flash" or section in (".data", ".ramcode"), section
        assert start + size <= slot.address or start >= slot.address + slot.size, section
    flash = sum(r.size for r in {board.code, board.constants})
    assert image.footprint.image_bytes < flash
    print(f"{name}: {image.footprint.image_bytes} bytes")


@pytest.mark.parametrize("name", ARM)
def test_architecture_and_fpu_of_the_image(name: str, images: dict[str, tuple[Board, Image, bytes]]) -> None:
    _, image, _ = images[name]
    with image.elf.open("rb") as file:
        elf = ELFFile(file)
        (scope,) = elf.get_section_by_name(".ARM.attributes").subsections[0].subsubsections
        tags = {a.tag.removeprefix("TAG_"): a.value for a in scope.iter_attributes()}
        assert elf["e_machine"] == "EM_ARM" and elf["e_type"] == "ET_EXEC"
    architecture, fpu = EXPECTED[name]
    assert tags["CPU_ARCH"] == architecture
    assert (tags.get("FP_ARCH"), tags.get("ABI_HARDFP_USE")) == FPU[fpu]
    assert tags.get("ABI_VFP_ARGS") == (1 if fpu else None)


@pytest.mark.parametrize("name", ARM)
def test_vectors(name: str, images: dict[str, tuple[Board, Image, bytes]]) -> None:
    """Stack pointer, entry and the serial port's handler, where the core looks for them."""
    board, image, _ = images[name]
    at = board.code.address + (256 if name == "pico" else 0)
    irq = dict(board.port_defines)["PORT_UART_RX_IRQ"]
    assert at % 256 == 0 and 4 * (16 + irq + 1) <= 256  # as VTOR wants it
    assert word_at(image.elf, at) == symbol(image.elf, "image_stack_end")
    assert word_at(image.elf, at + 4) & 1
    assert word_at(image.elf, at + 4 * (16 + irq)) == symbol(image.elf, "cortex_m_receive") | 1


def crc32_mpeg2(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def test_the_boot_rom_of_an_rp2040_accepts_the_first_256_bytes(
    images: dict[str, tuple[Board, Image, bytes]],
) -> None:
    _, image, _ = images["pico"]
    assert image.bin is not None
    boot2 = image.bin.read_bytes()[:256]
    assert crc32_mpeg2(b"123456789") == 0x0376E6E7  # the polynomial's published check value
    assert crc32_mpeg2(boot2[:252]) == int.from_bytes(boot2[252:], "little")


FLASH_APP = """#include "port.h"
int app_main(void) {
    static uint32_t bytes[64];
    return port_flash_erase(PORT_MODEL_SLOT) + port_flash_program(PORT_MODEL_SLOT, (const uint8_t *)bytes, 256);
}
"""


@pytest.mark.parametrize("name", BARE)
def test_flash_operations_link_and_leave_flash_where_they_must(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    (tmp_path / "app.c").write_text(FLASH_APP)
    sources = port_sources(board) + Sources((Source(tmp_path / "app.c", "application"),))
    image = build(board, sources, tmp_path / "app.elf")
    names = {section for section, *_ in sections(image.elf)}
    code = symbol(image.elf, "port_flash_erase") & ~1
    assert board.code.address <= code < board.code.address + board.code.size
    if board.code.xip:  # what changes a flash that is read in place runs from RAM
        assert ".ramcode" in names or image.footprint.static_ram_bytes > 100


SECTORS = """#include <stdio.h>
#include <stdlib.h>
#include "sectors.h"
int main(void) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) printf("%d\\n", sector_at((uint32_t)strtoul(line, NULL, 0)));
    _Alignas(4) static uint8_t bytes[8];
    const uint32_t end = PORT_FLASH + PORT_FLASH_SIZE;
    printf("%d%d%d%d%d\\n", units_at(end - PORT_FLASH_UNIT, bytes, PORT_FLASH_UNIT),
           units_at(end, bytes, PORT_FLASH_UNIT), units_at(PORT_FLASH + 1, bytes, PORT_FLASH_UNIT),
           units_at(PORT_FLASH, bytes + 1, PORT_FLASH_UNIT),
           units_at(PORT_FLASH, bytes, 0xFFFFFFFCu));
}
"""


@pytest.mark.parametrize("name", HARDWARE)
def test_sectors_are_found_where_they_begin(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    (flash,) = [region for region in board.memory if region.sectors]
    (tmp_path / "sectors.c").write_text(SECTORS)
    port = port_sources(board)
    defines = [f"-D{key}={value}" for key, value in (*port.defines, ("PORT_FLASH_SIZE", flash.size))]
    command = ["gcc", "-std=c11", "-Wno-overflow", *defines, f"-I{port.include_dirs[0]}"]
    subprocess.run([*command, str(tmp_path / "sectors.c"), "-o", str(tmp_path / "sectors")], check=True)
    starts = flash.sector_starts()
    asked = [*starts, *(start + 4 for start in starts), flash.address - 4]
    expected = [*range(len(starts) - 1), *(-1 for _ in asked[len(starts) - 1 :])]
    text = "".join(f"{address & 0xFFFFFFFF:#x}\n" for address in asked)
    done = subprocess.run([tmp_path / "sectors"], input=text, capture_output=True, text=True, check=True)
    *found, units = done.stdout.split()
    assert [int(n) for n in found] == expected
    assert units == "10000"


ARDUINO = """#pragma once
#include <stddef.h>
#include <stdint.h>
struct StandIn {
    void begin(unsigned long);
    int available();
    int read();
    size_t write(const uint8_t *, size_t);
    uint32_t getCycleCount();
};
extern StandIn Serial, ESP;
unsigned long micros();
void yield();
void setup();
void loop();
"""
STAND_INS = {
    "Arduino.h": ARDUINO,
    "esp_system.h": 'extern "C" void esp_restart(void);\n',
    "esp_flash.h": "#include <stdint.h>\nint esp_flash_erase_region(void *, uint32_t, uint32_t);\n"
    "int esp_flash_write(void *, const void *, uint32_t, uint32_t);\n",
}


@pytest.mark.parametrize("name", HARDWARE)
def test_the_port_under_a_framework_compiles_against_stand_ins(name: str, tmp_path: Path) -> None:
    """Syntax and types, for the board's own core where its compiler is here, else for the host."""
    board = boards.load(name)
    assert board.platformio is not None
    for header, text in STAND_INS.items():
        (tmp_path / header).write_text(text)
    sources = framework_sources(board)
    assert {path.suffix for path in (f.path for f in sources.files)} <= {".c", ".cpp"}
    foreign = board.core.toolchain in ("xtensa", "riscv")
    compiler = "gcc" if foreign else compiler_for(board.core).path
    target = ["-Wno-int-to-pointer-cast"] if foreign else list(board.core.flags)
    espressif = ["-DARDUINO_ARCH_ESP32"] if board.port_family == "esp32" else []
    for file in sources.files:
        language = ["g++", "-std=gnu++17"] if file.path.suffix == ".cpp" else ["gcc", "-std=gnu11"]
        command = [
            compiler.removesuffix("gcc") + language[0],
            language[1],
            *("-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{tmp_path}"),
            *target,
            *espressif,
            *(f"-I{folder}" for folder in sources.include_dirs),
            *macros(sources, file),
            *board.platformio.flags,
        ]
        command = [part.replace('\\"', '"') for part in command]
        done = subprocess.run([*command, str(file.path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


STARTUP = """/* Stands in for a vendor's start-up code. */
#include <stdint.h>
extern uint32_t image_stack_end[];
int main(void);
void HANDLER(void);
static void reset(void) { main(); for (;;) {} }
__attribute__((section(".image_entry"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))image_stack_end, reset, [16 + PORT_UART_RX_IRQ] = HANDLER};
"""


@pytest.mark.parametrize(
    "name", [n for n in HARDWARE if (p := boards.load(n).platformio) and p.framework == "stm32cube"]
)
def test_the_firmware_links_to_start_up_code_that_calls_main(name: str, tmp_path: Path) -> None:
    """As stm32cube does; its own start-up code is not here."""
    board = boards.load(name)
    assert board.platformio is not None
    flags = dict(flag.removeprefix("-D").split("=") for flag in board.platformio.flags)
    (tmp_path / "startup.c").write_text(STARTUP.replace("HANDLER", flags["PORT_UART_HANDLER"]))
    kernels = seeds.kernels_of({"m": seeds.plan(seeds.keyword_net(), board, tmp_path, Options("generic"))})
    sources = with_framework(firmware_sources(board, kernel_sets=["generic"]), board)
    sources += Sources(defines=tuple(flags.items()))
    sources += Sources.from_text("kernel_table.c", kernel_table(board, kernels), "runtime")
    sources += Sources((Source(tmp_path / "startup.c", "application", True),), defines=(("APP_PLANS", 1),))
    image = build(board, with_identity(sources, board), tmp_path / "image.elf")
    assert symbol(image.elf, "main") and symbol(image.elf, flags["PORT_UART_HANDLER"])
    used = image.footprint.static_ram_bytes
    assert int(flags["PORT_STATIC_ARENA_BYTES"]) < used < board.arena.size


def test_frameworks_name_files_that_are_there() -> None:
    for name in HARDWARE:
        assert len(framework_sources(boards.load(name)).files) >= 3
    assert set(FRAMEWORKS) == {"stm32cube", "arduino"}


def esptool(*arguments: str | Path) -> str:
    done = esp_images.esptool("esp32c3", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_esptool_takes_the_image_of_an_esp32_c3(
    images: dict[str, tuple[Board, Image, bytes]], tmp_path: Path
) -> None:
    pytest.importorskip("esptool")
    _, image, data = images[C3]
    assert image.bin is None
    app, flash = tmp_path / "app.bin", tmp_path / "flash.bin"
    esptool(
        *("elf2image", "--flash-mode", "dio", "--flash-size", "4MB", "--elf-sha256-offset", "0xb0"),
        *("-o", app, image.elf),
    )
    told = esptool("image-info", app)
    assert f"Entry point: {symbol(image.elf, 'image_entry'):#x}" in told
    assert told.count("(valid)") == 2 and "Project name: offramp" in told
    segments = [
        line.split() for line in told.splitlines() if line.rstrip().endswith(("DROM", "IROM", "IRAM", "DRAM"))
    ]
    assert [s[-1] for s in segments] == ["DROM", "IROM"]
    for _, _, address, offset, _ in segments:  # the boot loader maps whole pages of 64 KB
        assert (int(offset, 16) + 8 - int(address, 16)) % 0x10000 == 0
    pages = [(int(a, 16) & 0xFFFFFF) >> 16 for _, _, a, _, _ in segments]
    assert pages[0] > pages[1]
    written = app.read_bytes()
    assert data in written and written[32:36] == (0xABCD5432).to_bytes(4, "little")
    esptool("merge-bin", "--pad-to-size", "4MB", "-o", flash, "0x10000", app)
    merged = flash.read_bytes()
    assert len(merged) == 4 << 20 and merged[0x10000 : 0x10000 + len(written)] == written
    assert set(merged[:0x10000]) == {0xFF}
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(written[:200] + bytes([written[200] ^ 1]) + written[201:])
    assert "invalid" in esptool("image-info", damaged)
