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
    `[port.defines]` that it asks for. `framework`: it calls the vendor's, so that PlatformIO builds it and we do not;
    all others bring their own interrupt, which only our start-up code knows."""

    file: str
    families: tuple[str, ...]
    interrupt: int | None = None
    defines: tuple[str, ...] = ()
    framework: bool = False


# Any core whose SysTick the port leaves alone.
_SYNTHETIC = Driver("synthetic.c", ("cmsdk", "nrf51", "nrf52", "stm32"))

# The boards' own. None of them has been run.
_SENSORS = (
    Driver("nrf51_adc.c", ("nrf51",), 7),
    Driver("nrf52_pdm.c", ("nrf52",), 29, ("PORT_PDM_CLOCK_PIN", "PORT_PDM_DATA_PIN", "PORT_PDM_POWER_PIN")),
    Driver("rp2040_adc.c", ("rp2040",), 22),
    *(Driver("stm32f4_adc.c", ("stm32",), 18, (f"PORT_STM32_{series}",)) for series in ("F4", "F7")),
    *(Driver("stm32h7_adc.c", ("stm32",), 18, (f"PORT_STM32_{series}",)) for series in ("H7", "L4")),
    Driver(
        *("esp32_i2s.c", ("esp32",)),
        defines=("PORT_I2S_CLOCK_PIN", "PORT_I2S_SELECT_PIN", "PORT_I2S_DATA_PIN"),
        framework=True,
    ),
)


def drivers_of(board: Board, framework: bool = False) -> dict[str, Driver]:
    """What `--source` takes for a board, started by its vendor's framework or by our code."""
    known = {name for name, _ in board.port_defines}
    drivers = [(SYNTHETIC, _SYNTHETIC), *((SENSOR, driver) for driver in _SENSORS)]
    return {
        name: driver
        for name, driver in drivers
        if board.port_family in driver.families
        and known.issuperset(driver.defines)
        and driver.framework == framework
    }


def source_sources(board: Board, name: str, rate_hz: int = RATE_HZ, *, framework: bool = False) -> Sources:
    """The driver `name` and what tells the application of it; UserError where the board has no such driver."""
    found = drivers_of(board, framework)
    if name not in found:
        raise _no_driver(board, name, found, framework)
    if not 1 <= rate_hz <= board.clock_hz // 100:
        raise UserError(
            f"a source of {rate_hz} samples a second; {board.name} takes 1 to {board.clock_hz // 100} samples a second",
            f"{RATE_HZ} Hz is usual for sound, 50 to 400 Hz for motion",
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


def _no_driver(board: Board, name: str, found: dict[str, Driver], framework: bool) -> UserError:
    by, other = (
        ("`offramp flash`", "`offramp build`") if framework else ("`offramp build`", "`offramp flash`")
    )
    if name in drivers_of(board, not framework):
        return UserError(
            f"the source {name} of {board.name} is not for images of {by}", f"{other} --source {name}"
        )
    has = f"it has {' and '.join(found)}" if found else "it has none"
    return UserError(
        f"{board.name} has no source {name!r}; {has}",
        "docs/source.md lists boards with a source, and how to write a driver",
    )


__all__ = ["RATE_HZ", "SENSOR", "SYNTHETIC", "Driver", "drivers_of", "source_sources"]
