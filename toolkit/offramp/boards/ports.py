"""Families of chips that firmware/port/ serves: their folders, the macros they take, and how PlatformIO names them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Port:
    """One family; a chip of it has one of `cores`."""

    folders: tuple[str, ...]
    """Of firmware/port/; "." holds what bare-metal families share."""
    cores: tuple[str, ...]
    needs: tuple[str, ...] = ()
    """Keys of `[port.defines]`, as the family's first comment explains them."""
    knows: tuple[str, ...] = ()
    """Further ones that may be left out."""
    one_of: tuple[str, ...] = ()
    """Of these it needs exactly one."""
    series: Mapping[str, str] = field(default_factory=dict)
    """Exactly one of these is 1; each with the core that its chips have."""
    platform: str = ""
    """PlatformIO's development platform, where it has one for the family."""

    def keys(self) -> tuple[str, ...]:
        return (*self.series, *self.needs, *self.one_of, *self.knows)


UART = ("PORT_UART", "PORT_UART_RX_IRQ")
PINS = ("PORT_UART_TX_PIN", "PORT_UART_RX_PIN")
PDM = ("PORT_PDM_CLOCK_PIN", "PORT_PDM_DATA_PIN", "PORT_PDM_POWER_PIN")
I2S = ("PORT_I2S_CLOCK_PIN", "PORT_I2S_SELECT_PIN", "PORT_I2S_DATA_PIN")
CORTEX_M = ("cortex-m0", "cortex-m3", "cortex-m4f", "cortex-m7", "cortex-m33", "cortex-m55")
STM32 = {
    "PORT_STM32_F4": "cortex-m4f",
    "PORT_STM32_F7": "cortex-m7",
    "PORT_STM32_H7": "cortex-m7",
    "PORT_STM32_L4": "cortex-m4f",
}
ESP32 = {"s3": "xtensa-lx7", "c3": "rv32imc"}

PORTS: Mapping[str, Port] = MappingProxyType(
    {
        "cmsdk": Port((".", "cortex_m", "cmsdk"), CORTEX_M, UART, one_of=("PORT_TIMER", "PORT_SSE_COUNTER")),
        "nrf51": Port((".", "cortex_m", "nrf51"), ("cortex-m0",), (*UART, *PINS, "PORT_TIMER")),
        "nrf52": Port(
            (".", "cortex_m", "nrf51", "nrf52"),
            ("cortex-m4f",),
            (*UART, *PINS),
            ("PORT_TIMER", *PDM),
            platform="nordicnrf52",
        ),
        "rp2040": Port(
            (".", "cortex_m", "rp2040"), ("cortex-m0",), ("PORT_UART_RX_IRQ",), platform="raspberrypi"
        ),
        "stm32": Port(
            (".", "cortex_m", "stm32"),
            tuple(dict.fromkeys(STM32.values())),
            (*UART, "PORT_UART_APB", "PORT_UART_ENABLE_BIT", *PINS, "PORT_UART_FUNCTION"),
            series=STM32,
            platform="ststm32",
        ),
        "esp32": Port((".", "esp32"), ("xtensa-lx6", *ESP32.values()), knows=I2S, platform="espressif32"),
        "rv32_virt": Port((".", "rv32_virt"), ("rv32imc",), (*UART, "PORT_PLIC", "PORT_FINISHER")),
        "posix": Port(("posix",), ("native",)),
    }
)

# By framework: the files of a port that remain where it starts the chip. {} is the family.
FRAMEWORKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "stm32cube": ("framework/*.c", "cortex_m/*.c", "{}/*.c"),
        "arduino": ("framework/memory.c", "arduino/*.cpp", "{}/flash.c"),
    }
)


def stm32_series(board: str) -> str | None:
    """The series that ST's part number in a PlatformIO board's name says: "F4" of `nucleo_f446re`."""
    found = re.search(r"(?:stm32|_)([a-z]\d)\d\d", board.lower())
    return found[1].upper() if found else None


def esp32_core(board: str) -> str | None:
    """The core that a PlatformIO board's name says; None: it names no chip, as `esp32dev` and `arduino_nano_esp32`."""
    found = re.search(r"esp32[-_]?([a-z]\d)", board.lower())
    return ESP32.get(found[1]) if found else None
