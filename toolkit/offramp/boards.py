"""What is known of a board, read from its one TOML file in boards/, and of the cores that boards have."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from offramp import resources
from offramp.errors import UserError


@dataclass(frozen=True)
class Core:
    """An instruction set as the compiler and the kernels see it."""

    name: str
    toolchain: Literal["arm", "riscv", "host"]
    flags: tuple[str, ...]
    features: frozenset[str]
    """Of fpu, dsp (Armv7E-M SIMD), mve (Helium), unaligned (word loads at any address)."""


def _core(
    name: str, toolchain: Literal["arm", "riscv", "host"], flags: str, features: str
) -> tuple[str, Core]:
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
            _core("native", "host", "", "unaligned fpu"),
        ]
    )
)


@dataclass(frozen=True)
class Region:
    """A range of addresses that a board has. On posix addresses are 0: the process allocates."""

    name: str
    kind: Literal["flash", "ram"]
    address: int
    size: int
    read_cycles_per_byte: float = 0.0
    """What reading data in place costs on average beyond the core's own timings: wait states, cache misses."""


@dataclass(frozen=True)
class ModelSlot:
    """Where a model is loaded by the emulator or, in RAM, received over the link."""

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
    """How PlatformIO knows a real board: what `platform`, `board` and `framework` say in a platformio.ini.

    `packages` become platform_packages, `flags` build_flags; `lib_deps` stand beside the kernel sets' libraries.
    """

    platform: str
    board: str
    framework: str
    packages: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    lib_deps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Board:
    """One board. `code`, `data` (with the stack) and `arena` are among `memory`."""

    name: str
    description: str
    core: Core
    clock_hz: int
    kernels: tuple[str, ...]
    stack_bytes: int
    memory: tuple[Region, ...]
    code: Region
    data: Region
    arena: Region
    model_slot: ModelSlot
    port_family: str
    port_defines: tuple[tuple[str, int], ...]
    emulator: Emulation | None
    """None where the image is a process of the host itself, and on real boards."""
    platformio: PlatformIO | None
    """None where Offramp's own development platform serves: emulated boards and the host."""


def names() -> list[str]:
    """Boards that have a file, in alphabetical order."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def load(name: str) -> Board:
    """The board called `name`; UserError with the nearest names if there is none."""
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
    emulator = top.table("emulator") if "emulator" in top.values else None
    board = Board(
        name=top.choice("name", (path.stem,)),
        description=top.string("description"),
        core=CORES[top.choice("core", CORES)],
        clock_hz=top.integer("clock_hz"),
        kernels=top.strings("kernels"),
        stack_bytes=top.integer("stack_bytes"),
        memory=tuple(memory.values()),
        code=memory[use.choice("code", memory)],
        data=memory[use.choice("data", memory)],
        arena=memory[use.choice("arena", memory)],
        model_slot=_model_slot(use.table("model_slot"), memory),
        port_family=port.string("family"),
        port_defines=tuple((name, defines.integer(name)) for name in defines.rest()),
        emulator=_emulation(emulator) if emulator is not None else None,
        platformio=_platformio(top.table("platformio")) if "platformio" in top.values else None,
    )
    for table in (top, memory_table, use, port, defines):
        table.refuse_the_rest()
    return board


def _folder() -> Path:
    return resources.root() / "boards"


def _region(name: str, table: _Table) -> Region:
    kind: Literal["flash", "ram"] = "flash" if table.choice("kind", ("flash", "ram")) == "flash" else "ram"
    region = Region(
        name,
        kind,
        table.integer("address"),
        table.integer("size"),
        table.number("read_cycles_per_byte") if "read_cycles_per_byte" in table.values else 0.0,
    )
    table.refuse_the_rest()
    return region


def _model_slot(table: _Table, memory: Mapping[str, Region]) -> ModelSlot:
    region = memory[table.choice("region", memory)]
    offset, size = table.integer("offset"), table.integer("size")
    table.refuse_the_rest()
    if offset + size > region.size:
        raise table.error("size", f"ends {offset + size - region.size} bytes past {region.name}", "less")
    if offset % 16:
        raise table.error("offset", str(offset), "a multiple of 16")
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


def _platformio(table: _Table) -> PlatformIO:
    lists = {
        key: table.strings(key) if key in table.values else () for key in ("packages", "flags", "lib_deps")
    }
    found = PlatformIO(table.string("platform"), table.string("board"), table.string("framework"), **lists)
    table.refuse_the_rest()
    return found


class _Table:
    """A table of a board file that knows where it stands, so that errors can say so."""

    def __init__(self, path: Path, prefix: str, values: dict[str, Any]) -> None:
        self.path, self.prefix, self.values = path, prefix, values
        self.seen: set[str] = set()

    def error(self, key: str, found: str, allowed: str) -> UserError:
        return UserError(
            f"{self.path}: key {self.prefix}{key}: found {found}, allowed is {allowed}",
            "The other files in that folder show every key.",
        )

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
                raise self.error(key, "a key", f"one of {', '.join(sorted(self.seen))}")
