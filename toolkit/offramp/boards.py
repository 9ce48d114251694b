"""What is known of a board, read from its one TOML file in boards/, and of the cores that boards have.

docs/new-board.md shows a file from top to bottom; what each key means stands here, beside the field it fills.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from offramp import resources
from offramp.errors import UserError

Toolchain = Literal["arm", "riscv", "xtensa", "host"]


@dataclass(frozen=True)
class Core:
    """An instruction set as the compiler and the kernels see it."""

    name: str
    toolchain: Toolchain
    flags: tuple[str, ...]
    features: frozenset[str]
    """Of fpu, dsp (Armv7E-M SIMD), mve (Helium), unaligned (word loads at any address)."""


def _core(name: str, toolchain: Toolchain, flags: str, features: str) -> tuple[str, Core]:
    return name, Core(name, toolchain, tuple(flags.split()), frozenset(features.split()))


CORES: Mapping[str, Core] = MappingProxyType(
    dict(
        [
            _core("cortex-m0", "arm", "-mthumb -mcpu=cortex-m0 -masm-syntax-unified", ""),
            _core("cortex-m3", "arm", "-mthumb -mcpu=cortex-m3", "unaligned"),
            _core(
                "cortex-m4f",
                "arm",
                "-mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard",
                "unaligned dsp fpu",
            ),
            _core(
                "cortex-m7",
                "arm",
                "-mthumb -mcpu=cortex-m7 -mfpu=fpv5-d16 -mfloat-abi=hard",
                "unaligned dsp fpu",
            ),
            _core(
                "cortex-m33",
                "arm",
                "-mthumb -mcpu=cortex-m33 -mfpu=fpv5-sp-d16 -mfloat-abi=hard",
                "unaligned dsp fpu",
            ),
            _core("cortex-m55", "arm", "-mthumb -mcpu=cortex-m55 -mfloat-abi=hard", "unaligned dsp fpu mve"),
            _core("rv32imc", "riscv", "-march=rv32imc -misa-spec=2.2 -mabi=ilp32 -mcmodel=medany", ""),
            _core("xtensa-lx6", "xtensa", "-mlongcalls", "fpu"),
            _core("xtensa-lx7", "xtensa", "-mlongcalls", "fpu"),
            _core("native", "host", "", "unaligned fpu"),
        ]
    )
)


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
    """Who starts the chip: a key of `FRAMEWORKS` in offramp/build/sources.py."""
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
    """Kernel sets that run on it, generic first."""
    stack_bytes: int
    memory: tuple[Region, ...]
    code: Region
    constants: Region
    """Where the model and tables lie: `code`, but where data are read at addresses of their own."""
    data: Region
    arena: Region
    model_slot: ModelSlot
    port_family: str
    """A folder of firmware/port/; its first comment lists the macros that `[port.defines]` gives it."""
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


def names() -> list[str]:
    """Boards that have a file, in alphabetical order."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def runnable() -> list[str]:
    """Names of those that run without hardware."""
    return [name for name in names() if load(name).runs_here]


def must_run_here(board: Board) -> Board:
    """The board itself; UserError if only hardware can run it."""
    if not board.runs_here:
        raise UserError(
            f"{board.name} is not emulated, so nothing runs or is measured on it here",
            f"`offramp build --board {board.name}` makes its firmware; `offramp run --port PORT` talks to a board "
            f"that has it. Emulated are {', '.join(runnable())}.",
        )
    return board


def load(name: str) -> Board:
    """The board called `name`, or that of the file if the name ends in .toml; UserError with the nearest names."""
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise UserError(f"{name}: no such board file", "docs/new-board.md shows how to write one.")
        return parse(Path(name))
    path = _folder() / f"{name}.toml"
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else "`offramp boards` lists all."
        raise UserError(f"no board is called {name!r}; there are {', '.join(names())}", hint)
    return parse(path)


def parse(path: Path) -> Board:
    """The board that a file describes; UserError names the file and the key that is wrong."""
    try:
        top = _Table(path, "", tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: {error}", "Mend the TOML at that line.") from error
    memory_table = top.table("memory")
    memory = {name: _region(name, memory_table.table(name)) for name in memory_table.rest()}
    use, port = top.table("use"), top.table("port")
    defines = port.table("defines")
    code = memory[use.choice("code", memory)]
    board = Board(
        name=top.choice("name", (path.stem,)),
        description=top.string("description"),
        core=_core_of(top),
        clock_hz=top.integer("clock_hz"),
        kernels=top.strings("kernels"),
        stack_bytes=top.integer("stack_bytes"),
        memory=tuple(memory.values()),
        code=code,
        constants=memory[use.choice("constants", memory)] if use.has("constants") else code,
        data=memory[use.choice("data", memory)],
        arena=memory[use.choice("arena", memory)],
        model_slot=_model_slot(use.table("model_slot"), memory),
        port_family=port.string("family"),
        port_defines=tuple((name, defines.integer(name)) for name in defines.rest()),
        platformio=_platformio(top.table("platformio")) if top.has("platformio") else None,
        emulator=_emulation(top.table("emulator")) if top.has("emulator") else None,
        power=_power(top.table("power")) if top.has("power") else None,
    )
    for table in (top, memory_table, use, port, defines):
        table.refuse_the_rest()
    return board


def _core_of(top: _Table) -> Core:
    core = CORES[top.choice("core", CORES)]
    if not top.has("fpu"):
        return core
    fpu = f"-mfpu={top.string('fpu')}"
    if not any(flag.startswith("-mfpu=") for flag in core.flags):
        raise top.error("fpu", repr(top.string("fpu")), f"no such key: {core.name} has no choice of FPU")
    return replace(core, flags=tuple(fpu if flag.startswith("-mfpu=") else flag for flag in core.flags))


def _folder() -> Path:
    return resources.root() / "boards"


def _region(name: str, table: _Table) -> Region:
    kind: Literal["flash", "ram"] = "flash" if table.choice("kind", ("flash", "ram")) == "flash" else "ram"
    region = Region(
        name,
        kind,
        table.integer("address"),
        table.integer("size"),
        table.number("read_cycles_per_byte") if table.has("read_cycles_per_byte") else 0.0,
        table.integer("wait_states") if table.has("wait_states") else None,
        table.boolean("xip") if kind == "flash" and table.has("xip") else None,
        table.boolean("cached") if table.has("cached") else None,
        table.boolean("dma") if table.has("dma") else None,
        table.pairs("sectors") if kind == "flash" and table.has("sectors") else (),
        table.integer("program_bytes") if kind == "flash" and table.has("program_bytes") else None,
    )
    table.refuse_the_rest()
    _check_flash(region, table)
    return region


def _check_flash(region: Region, table: _Table) -> None:
    total, unit = sum(size * count for size, count in region.sectors), region.program_bytes
    if region.sectors and total != region.size:
        raise table.error("sectors", f"{total} bytes in all", f"{region.size}, the region's size")
    if unit is not None and (unit == 0 or unit & (unit - 1)):
        raise table.error("program_bytes", str(unit), "a power of two")


def _model_slot(table: _Table, memory: Mapping[str, Region]) -> ModelSlot:
    region = memory[table.choice("region", memory)]
    offset, size = table.integer("offset"), table.integer("size")
    table.refuse_the_rest()
    if offset + size > region.size:
        raise table.error("size", f"ends {offset + size - region.size} bytes past {region.name}", "less")
    if offset % 16:
        raise table.error("offset", str(offset), "a multiple of 16")
    starts = region.sector_starts()
    if region.sectors and not {region.address + offset, region.address + offset + size} <= set(starts):
        raise table.error("offset", f"{offset} and size {size}", "whole sectors")
    return ModelSlot(region, region.address + offset, size)


def _emulation(table: _Table) -> Emulation:
    ratio = table.values.get("instructions_per_tick")
    table.seen.add("instructions_per_tick")
    if not (isinstance(ratio, list) and len(ratio) == 2 and all(type(n) is int and n > 0 for n in ratio)):
        raise table.error("instructions_per_tick", repr(ratio), "[numerator, denominator], both above 0")
    emulation = Emulation(
        binary=table.string("binary"),
        machine=table.string("machine"),
        args=table.strings("args"),
        icount_shift=table.integer("icount_shift"),
        numerator=ratio[0],
        denominator=ratio[1],
    )
    table.refuse_the_rest()
    return emulation


def _power(table: _Table) -> Power:
    volts, run, sleep = (table.number(key) for key in ("supply_v", "run_ma", "sleep_ua"))
    found = Power(volts, run, sleep, table.string("source"))
    table.refuse_the_rest()
    return found


def _platformio(table: _Table) -> PlatformIO:
    found = PlatformIO(
        table.string("platform"),
        table.string("board"),
        table.string("framework"),
        *(table.strings(key) if table.has(key) else () for key in ("packages", "flags", "lib_deps")),
    )
    table.refuse_the_rest()
    return found


class _Table:
    """A table of a board file that knows where it stands, so that errors can say so."""

    def __init__(self, path: Path, prefix: str, values: dict[str, Any]) -> None:
        self.path, self.prefix, self.values = path, prefix, values
        self.seen: set[str] = set()

    def error(self, key: str, found: str, allowed: str, hint: str = "") -> UserError:
        return UserError(
            f"{self.path}: key {self.prefix}{key}: found {found}, allowed is {allowed}",
            hint or "docs/new-board.md and the files in boards/ show every key.",
        )

    def has(self, key: str) -> bool:
        self.seen.add(key)
        return key in self.values

    def _value(self, key: str, kind: type, what: str) -> Any:
        self.seen.add(key)
        value = self.values.get(key)
        if type(value) is not kind:
            raise self.error(key, "nothing" if value is None else repr(value), what)
        return value

    def string(self, key: str) -> str:
        return str(self._value(key, str, "a string"))

    def integer(self, key: str) -> int:
        value = int(self._value(key, int, "a whole number"))
        if value < 0:
            raise self.error(key, str(value), "0 or more")
        return value

    def number(self, key: str) -> float:
        value = float(self._value(key, float, "a number with a point"))
        if not 0.0 <= value < float("inf"):
            raise self.error(key, str(value), "0.0 or more")
        return value

    def boolean(self, key: str) -> bool:
        return bool(self._value(key, bool, "true or false"))

    def pairs(self, key: str) -> tuple[tuple[int, int], ...]:
        values = self._value(key, list, "a list of [bytes, how many]")
        if not all(
            isinstance(v, list) and len(v) == 2 and all(type(n) is int and n > 0 for n in v) for v in values
        ):
            raise self.error(key, repr(values), "a list of [bytes, how many], all above 0")
        return tuple((size, count) for size, count in values)

    def choice(self, key: str, allowed: Mapping[str, object] | tuple[str, ...]) -> str:
        value = self.string(key)
        if value not in allowed:
            raise self.error(key, repr(value), " or ".join(allowed))
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        values = self._value(key, list, "a list of strings")
        if not all(isinstance(value, str) for value in values):
            raise self.error(key, repr(values), "a list of strings")
        return tuple(values)

    def table(self, key: str) -> _Table:
        return _Table(self.path, f"{self.prefix}{key}.", self._value(key, dict, "a table"))

    def rest(self) -> list[str]:
        """All keys, for tables whose keys are names."""
        return list(self.values)

    def refuse_the_rest(self) -> None:
        for key in self.values:
            if key not in self.seen:
                near = difflib.get_close_matches(key, self.seen, n=1, cutoff=0.5)
                hint = f"Did you mean {self.prefix}{near[0]}?" if near else ""
                raise self.error(key, "a key", f"one of {', '.join(sorted(self.seen))}", hint)
