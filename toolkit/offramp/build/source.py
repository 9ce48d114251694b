"""Which sensors an image can be built with: the drivers of firmware/source/ and the boards that they are for."""

from __future__ import annotations

from dataclasses import dataclass

from offramp import resources
from offramp.boards import Board
from offramp.build.sources import Source, Sources
from offramp.errors import UserError

RATE_HZ = 16_000
SYNTHETIC = "synthetic"
SENSOR = "sensor"


@dataclass(frozen=True)
class Driver:
    """A file of firmware/source/. `interrupt` is None where it needs none of its own; `defines` are those of a board's
    `[port.defines]` that it asks for."""

    file: str
    families: tuple[str, ...]
    interrupt: int | None = None
    defines: tuple[str, ...] = ()


# Any core whose SysTick the port leaves alone.
_SYNTHETIC = Driver("synthetic.c", ("cmsdk", "nrf51", "nrf52", "stm32"))

# The boards' own. None of them has been run.
_SENSORS = (
    Driver("nrf52_pdm.c", ("nrf52",), 29, ("PORT_PDM_CLOCK_PIN", "PORT_PDM_DATA_PIN", "PORT_PDM_POWER_PIN")),
    Driver("rp2040_adc.c", ("rp2040",), 22),
    Driver("stm32f4_adc.c", ("stm32",), 18, ("PORT_STM32_F4",)),
)


def drivers_of(board: Board) -> dict[str, Driver]:
    """What `--source` takes for a board."""
    known = {name for name, _ in board.port_defines}
    drivers = [(SYNTHETIC, _SYNTHETIC), *((SENSOR, driver) for driver in _SENSORS)]
    return {
        name: driver
        for name, driver in drivers
        if board.port_family in driver.families and known.issuperset(driver.defines)
    }


def source_sources(board: Board, name: str, rate_hz: int = RATE_HZ) -> Sources:
    """The driver `name` and what tells the application of it; UserError where the board has no such driver."""
    found = drivers_of(board)
    if name not in found:
        has = f"it has {' and '.join(found)}" if found else "it has none"
        raise UserError(
            f"{board.name} has no source {name!r}; {has}",
            "docs/source.md lists boards with a source, and how to write a driver",
        )
    if not 1 <= rate_hz <= board.clock_hz // 100:
        raise UserError(
            f"a source of {rate_hz} samples a second; {board.name} takes 1 to {board.clock_hz // 100}",
            f"{RATE_HZ} is usual for sound, 50 to 400 for motion",
        )
    driver, folder = found[name], resources.root() / "firmware" / "source"
    defines: list[tuple[str, str | int]] = [
        ("APP_SOURCE", 1),
        ("PORT_SOURCE_HZ", f"{rate_hz}u"),
        ("PORT_CLOCK_HZ", f"{board.clock_hz}u"),
    ]
    if driver.interrupt is not None:
        defines.append(("PORT_SOURCE_IRQ", f"{driver.interrupt}u"))
    return Sources((Source(folder / driver.file, "application"),), (folder,), tuple(defines))


__all__ = ["RATE_HZ", "SENSOR", "SYNTHETIC", "Driver", "drivers_of", "source_sources"]
