"""Drivers of sensors: each board's compiles into its image and serves the interrupt that it names; those that call a
vendor's framework compile against stand-ins for its headers. None of them has been run."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from offramp import boards
from offramp.boards import Board
from offramp.build.compilers import compiler_for, target_flags
from offramp.build.firmware import firmware
from offramp.build.listing import further
from offramp.build.source import SENSOR, drivers_of, source_sources
from offramp.errors import UserError

BARE = [name for name in boards.names() if SENSOR in drivers_of(boards.load(name))]
UNDER_A_FRAMEWORK = [name for name in boards.names() if SENSOR in drivers_of(boards.load(name), True)]


def test_every_family_with_hardware_has_one() -> None:
    families = {boards.load(name).port_family for name in BARE + UNDER_A_FRAMEWORK}
    assert families == {"nrf51", "nrf52", "rp2040", "stm32", "esp32"}
    cores = {boards.load(name).core.name for name in UNDER_A_FRAMEWORK}
    assert cores == {"xtensa-lx6", "xtensa-lx7", "rv32imc"}


@pytest.mark.parametrize("name", BARE)
def test_an_image_serves_its_sensors_interrupt(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    number = drivers_of(board)[SENSOR].interrupt
    assert number is not None
    handler, vector = vector_of(firmware(board, tmp_path / "s.elf", kernels=(), source=SENSOR).elf, number)
    assert handler is not None and vector == handler
    assert vector_of(firmware(board, tmp_path / "n.elf", kernels=()).elf, number)[0] is None


def vector_of(elf: Path, number: int) -> tuple[int | None, int]:
    """Where the driver's handler is, and what the vector table has for an interrupt."""
    with elf.open("rb") as file:
        found = ELFFile(file)
        symbols = {s.name: s["st_value"] for s in found.get_section_by_name(".symtab").iter_symbols()}
        at = symbols["vectors"] + 4 * (16 + number)
        for section in found.iter_sections():
            start = section["sh_addr"]
            if section["sh_type"] == "SHT_PROGBITS" and start <= at < start + section["sh_size"]:
                word = int.from_bytes(section.data()[at - start : at - start + 4], "little")
                return symbols.get("port_source_interrupt"), word
    raise AssertionError("no vector table")


def series(name: str) -> Board:
    """A board of a series of STM32 that has no file in boards/."""
    board = boards.load("nucleo_f446re")
    defines = tuple(pair for pair in board.port_defines if not pair[0].startswith("PORT_STM32_"))
    return replace(board, port_defines=(*defines, (f"PORT_STM32_{name}", 1)))


def test_the_driver_for_stm32l4_compiles() -> None:
    compile_driver(series("L4"), framework=False, folder=None)


I2S = """
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <freertos/FreeRTOS.h>
typedef int esp_err_t;
#define ESP_OK 0
#define I2S_PIN_NO_CHANGE (-1)
typedef enum { I2S_NUM_0 } i2s_port_t;
typedef enum { I2S_MODE_MASTER = 1, I2S_MODE_RX = 8 } i2s_mode_t;
typedef enum { I2S_BITS_PER_SAMPLE_32BIT = 32 } i2s_bits_per_sample_t;
typedef enum { I2S_CHANNEL_FMT_ONLY_LEFT = 4 } i2s_channel_fmt_t;
typedef enum { I2S_COMM_FORMAT_STAND_I2S = 1 } i2s_comm_format_t;
typedef enum { I2S_EVENT_RX_DONE = 2, I2S_EVENT_RX_Q_OVF = 4 } i2s_event_type_t;
typedef struct { i2s_event_type_t type; size_t size; } i2s_event_t;
typedef struct { int mck_io_num, bck_io_num, ws_io_num, data_out_num, data_in_num; } i2s_pin_config_t;
typedef struct {
    i2s_mode_t mode;
    uint32_t sample_rate;
    i2s_bits_per_sample_t bits_per_sample;
    i2s_channel_fmt_t channel_format;
    i2s_comm_format_t communication_format;
    int intr_alloc_flags, dma_buf_count, dma_buf_len;
    bool use_apll, tx_desc_auto_clear;
    int fixed_mclk;
} i2s_config_t;
esp_err_t i2s_driver_install(i2s_port_t, const i2s_config_t *, int, void *);
esp_err_t i2s_set_pin(i2s_port_t, const i2s_pin_config_t *);
esp_err_t i2s_read(i2s_port_t, void *, size_t, size_t *, TickType_t);
"""
FREERTOS = """#pragma once
#include <stdint.h>
typedef int BaseType_t;
typedef unsigned UBaseType_t;
typedef uint32_t TickType_t;
#define pdTRUE 1
#define pdPASS 1
#define portMAX_DELAY 0xFFFFFFFFu
BaseType_t xPortGetCoreID(void);
"""
QUEUE = """typedef struct QueueDefinition *QueueHandle_t;
BaseType_t xQueueReceive(QueueHandle_t, void *, TickType_t);
"""
TASK = """typedef void *TaskHandle_t;
typedef void (*TaskFunction_t)(void *);
UBaseType_t uxTaskPriorityGet(TaskHandle_t);
BaseType_t xTaskCreatePinnedToCore(TaskFunction_t, const char *, uint32_t, void *, UBaseType_t, TaskHandle_t *,
                                   BaseType_t);
"""
STAND_INS = {
    "driver/i2s.h": I2S,
    "freertos/FreeRTOS.h": FREERTOS,
    "freertos/queue.h": QUEUE,
    "freertos/task.h": TASK,
}
"""What the driver uses of ESP-IDF 4.4, names and types as its headers have them."""


def compile_driver(board: Board, *, framework: bool, folder: Path | None) -> None:
    """Warnings are errors; for another core of the family, or the host, where the board's own compiler is not here."""
    sources = source_sources(board, SENSOR, framework=framework)
    if board.core.toolchain == "xtensa":
        command = [shutil.which("xtensa-lx106-elf-gcc") or "gcc"]
    else:
        command = [compiler_for(board.core).path, *target_flags(board.core)]
    command += ["-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    command += [f"-I{folder}"] if folder else []
    include = sources.files[0].path.parents[1] / "include"
    command += [f"-I{path}" for path in (*sources.include_dirs, include)]
    defines = (*sources.defines, *((name, f"{value:#x}u") for name, value in board.port_defines))
    command += [f"-D{name}={value}" for name, value in defines]
    done = subprocess.run([*command, str(sources.files[0].path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", UNDER_A_FRAMEWORK)
def test_a_driver_under_a_framework_compiles_against_stand_ins(name: str, tmp_path: Path) -> None:
    for header, text in STAND_INS.items():
        (tmp_path / header).parent.mkdir(exist_ok=True)
        (tmp_path / header).write_text(text)
    compile_driver(boards.load(name), framework=True, folder=tmp_path)


@pytest.mark.parametrize("name", UNDER_A_FRAMEWORK)
def test_which_command_builds_it_is_said(name: str) -> None:
    board = boards.load(name)
    assert [f.path.name for f in further(board, None, False, SENSOR).files] == ["esp32_i2s.c"]
    with pytest.raises(UserError, match="not for images of `offramp build`") as caught:
        source_sources(board, SENSOR)
    assert caught.value.hint == "`offramp flash` --source sensor"


@pytest.mark.parametrize("name", ["nano33ble", "pico"])
def test_drivers_with_an_interrupt_of_their_own_are_not_for_frameworks(name: str) -> None:
    with pytest.raises(UserError, match="not for images of `offramp flash`"):
        further(boards.load(name), None, False, SENSOR)


def test_drivers_say_that_nobody_has_run_them() -> None:
    folder = source_sources(boards.load("pico"), SENSOR).files[0].path.parent
    for path in folder.glob("*.c"):
        first = re.sub(r"\s*\*?\s+", " ", path.read_text().split("*/")[0])
        assert ("Not run: nobody has tried it on a board." in first) == (path.name != "synthetic.c"), path
