"""The cores that boards have, and what a core must have for a kernel set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

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

# Kernel set -> what a core needs for it: one of these toolchains or features; generic runs on all.
SETS_NEED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "generic": frozenset(("arm", "riscv", "xtensa", "host")),
        "cmsis_nn": frozenset(("arm",)),
        "dsp": frozenset(("dsp",)),
        "mve": frozenset(("mve",)),
        "esp_nn": frozenset(("riscv", "xtensa")),
    }
)


def sets_of(core: Core) -> tuple[str, ...]:
    """Kernel sets that a core can run, generic first."""
    has = core.features | {core.toolchain}
    return tuple(name for name, needs in SETS_NEED.items() if needs & has)
