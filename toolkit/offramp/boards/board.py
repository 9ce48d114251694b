"""What is known of a board: each field with what its key in the board file means, its unit and range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offramp.boards.cores import Core


@dataclass(frozen=True)
class Region:
    """A range of addresses that a board has: a row of `[memory]`. On posix addresses are 0: the process allocates.

    What is None is not known or does not apply, as in an emulator.
    """

    name: str
    kind: Literal["flash", "ram"]
    address: int
    size: int
    read_cycles_per_byte: float = 0.0
    """What reading data in place costs on average beyond the core's own timings: wait states, cache misses."""
    wait_states: int | None = None
    """Further cycles of a read that no cache or prefetch serves, at `clock_hz`."""
    xip: bool | None = None
    """True: a serial flash that is read in place through a cache."""
    cached: bool | None = None
    """Whether the port leaves a cache on in front of it."""
    dma: bool | None = None
    """Whether the chip's general DMA controllers reach it."""
    sectors: tuple[tuple[int, int], ...] = ()
    """Flash: (bytes, how many) of what is erased at once, from the region's start on; together its whole size."""
    program_bytes: int | None = None
    """Flash: what is programmed at once, at a multiple of as much."""

    def sector_starts(self) -> list[int]:
        """Addresses at which sectors begin, and the region's end; only these two where none are stated."""
        starts = [self.address]
        for size, count in self.sectors or ((self.size, 1),):
            starts += [starts[-1] + size * (i + 1) for i in range(count)]
        return starts


@dataclass(frozen=True)
class ModelSlot:
    """Where a model is loaded by the emulator or, in RAM, received over the link; in flash, whole sectors."""

    region: Region
    address: int
    size: int

    @property
    def writable(self) -> bool:
        return self.region.kind == "ram"


@dataclass(frozen=True)
class Emulation:
    """How QEMU runs a board; `numerator / denominator` instructions are one tick of port_ticks()."""

    binary: str
    machine: str
    args: tuple[str, ...]
    icount_shift: int
    numerator: int
    denominator: int

    def instructions(self, ticks: int) -> int:
        """Instructions that took `ticks` ticks, to the nearest one."""
        return (2 * ticks * self.numerator + self.denominator) // (2 * self.denominator)


@dataclass(frozen=True)
class PlatformIO:
    """What PlatformIO builds a board with: table `[platformio]`, lists are optional."""

    platform: str
    """The development platform and its version: `ststm32@~19.6.0`."""
    board: str
    """The board's name there."""
    framework: str
    """Who starts the chip: a key of FRAMEWORKS in ports.py."""
    packages: tuple[str, ...] = ()
    """`platform_packages`: a compiler other than the platform's own."""
    flags: tuple[str, ...] = ()
    """`build_flags`, beside the core's own and the port's macros."""
    lib_deps: tuple[str, ...] = ()
    """Libraries for kernel sets that stand on one."""


@dataclass(frozen=True)
class Power:
    """What the chip alone draws: table `[power]`."""

    supply_v: float
    run_ma: float
    """While it computes from flash at `clock_hz`, peripherals off."""
    sleep_ua: float
    """In the deepest sleep that keeps the RAM, a timer running."""
    source: str
    """The document and its table."""


@dataclass(frozen=True)
class Board:
    """One board. `code`, `data` (with the stack) and `arena` are among `memory`."""

    name: str
    description: str
    core: Core
    """A key of CORES, with `fpu` (gcc's -mfpu) where the chip's is another than the core's flags say."""
    clock_hz: int
    """Of the core, as the port leaves it."""
    kernels: tuple[str, ...]
    """Kernel sets, generic among them, of those that SETS_NEED in cores.py allows the core."""
    stack_bytes: int
    memory: tuple[Region, ...]
    code: Region
    constants: Region
    """Where the model and tables lie: `code`, but where data are read at addresses of their own."""
    data: Region
    arena: Region
    model_slot: ModelSlot
    port_family: str
    """A key of PORTS in ports.py, which lists the macros that `[port.defines]` gives it."""
    port_defines: tuple[tuple[str, int], ...]
    platformio: PlatformIO | None
    """None where Offramp's own development platform serves: emulated boards and the host."""
    emulator: Emulation | None
    power: Power | None = None
    """None: not known, and energy is not estimated."""

    @property
    def runs_here(self) -> bool:
        """Whether this machine runs it: in an emulator, or as a process of its own."""
        return self.emulator is not None or self.core.toolchain == "host"

    @property
    def tick(self) -> str:
        """What port_ticks() counts, for a person."""
        if self.emulator is not None:
            rate = self.emulator.denominator / self.emulator.numerator
            return f"{rate:g} tick{'' if rate == 1 else 's'} an instruction on {self.name}"
        if self.runs_here:
            return f"{self.name} has no counter"
        return f"a tick is a cycle of the core's clock of {self.clock_hz / 1e6:g} MHz, or 1 µs where it counts none"
