"""The cycle model: what instructions of each class cost on each core. Every figure made with it is an estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

INSTRUCTIONS = (
    "alu",
    "multiply",
    "multiply_add",
    "long_multiply",
    "dsp_mac",
    "divide",
    "load",
    "load_multiple",
    "store",
    "store_multiple",
    "branch_taken",
    "branch_not_taken",
    "loop_end",
    "float",
    "float_divide",
    "vector_alu",
    "vector_mac",
    "vector_load",
    "vector_store",
    "vector_gather",
    "other",
)
"""Every executed instruction is of one class. Multiples move several words, pairs and stacks included."""

EVENTS = (
    "loaded_words",
    "stored_words",
    "gathered_lanes",
    "pipelined_load",
    "address_stall",
    "load_use",
    "vector_overlap",
    "refill",
)
"""What adds to (or takes from) an instruction's own cycles: words of multiples, lanes of gathers and scatters,
a load right after a load, an address computed by the instruction before, a loaded value used by the next
instruction, a vector instruction right after one for the other unit, a jump by loading the program counter."""

Counts = Mapping[str, int]


@dataclass(frozen=True)
class CycleModel:
    """Cycles by class and event, code and data in memory without wait states; what is absent costs nothing."""

    source: str
    """Where the timings are published, or that they are not."""
    cycles: Mapping[str, float]

    def __call__(self, counts: Counts) -> float:
        return sum(self.cycles.get(name, 0.0) * n for name, n in counts.items())


def cycle_model(core: str) -> CycleModel | None:
    """None for a core that has no model: a host."""
    return _MODELS.get(core)


def instructions(counts: Counts) -> int:
    return sum(counts.get(name, 0) for name in INSTRUCTIONS)


def _model(source: str, base: Mapping[str, float] | None = None, **cycles: float) -> CycleModel:
    unknown = cycles.keys() - {*INSTRUCTIONS, *EVENTS}
    assert not unknown, unknown
    return CycleModel(source, MappingProxyType({**(base or dict.fromkeys(INSTRUCTIONS, 1.0)), **cycles}))


# Ranges in the manuals (a division takes 2 to 12 cycles by its operands, a taken branch 2 to 4 by the alignment
# of its target) stand as one figure near their middle.
_M0 = _model(
    "Cortex-M0 Technical Reference Manual (Arm DDI 0432), instruction set summary; the multiplier of one cycle",
    load=2,
    store=2,
    loaded_words=1,
    stored_words=1,
    branch_taken=3,
    refill=3,
    other=4,
)
_M3 = _model(
    "Cortex-M3 Technical Reference Manual (Arm DDI 0337), instruction timing and load-store timings",
    multiply_add=2,
    long_multiply=4,
    divide=7,
    load=2,
    loaded_words=1,
    stored_words=1,
    pipelined_load=-1,
    address_stall=1,
    branch_taken=3,
    refill=3,
)
_M4 = _model(
    "Cortex-M4 Technical Reference Manual (Arm DDI 0439), instruction set summary and load-store timings",
    _M3.cycles,
    multiply_add=1,
    long_multiply=1,
    float_divide=14,
)
_M7 = _model(
    "approximation: no timings are published; two issues a cycle of which one multiplies, a 64-bit data bus, "
    "predicted branches",
    alu=0.6,
    load=0.75,
    store=0.75,
    loaded_words=0.5,
    stored_words=0.5,
    load_use=0.5,
    divide=7,
    branch_not_taken=0.6,
    refill=3,
    float_divide=14,
)
_M33 = _model(
    "approximation: no timings are published; as Cortex-M4, with loads of one cycle and a stall where the next "
    "instruction uses the value",
    load=1,
    load_use=1,
    loaded_words=1,
    stored_words=1,
    divide=7,
    branch_taken=3,
    refill=3,
    float_divide=14,
)
_M55 = _model(
    "approximation from the Armv8.1-M beat model: two beats a cycle, so a 128-bit instruction takes two and "
    "overlaps one with a neighbour for the other unit; one lane of a gather a cycle; loops closed by LE are free "
    "but for their first pass; scalar part as Cortex-M33",
    _M33.cycles,
    loaded_words=0.5,
    stored_words=0.5,
    loop_end=0,
    vector_alu=2,
    vector_mac=2,
    vector_load=2,
    vector_store=2,
    vector_gather=0,
    gathered_lanes=1,
    vector_overlap=-1,
)
_RV32IMC = _model(
    "OpenHW CV32E40P User Manual, pipeline details, an open four-stage core that stands in for the ESP32-C3's, "
    "whose timings are not published",
    long_multiply=5,
    divide=19,
    load_use=1,
    branch_taken=3,
    other=4,
)

_MODELS = MappingProxyType(
    {
        "cortex-m0": _M0,
        "cortex-m3": _M3,
        "cortex-m4f": _M4,
        "cortex-m7": _M7,
        "cortex-m33": _M33,
        "cortex-m55": _M55,
        "rv32imc": _RV32IMC,
    }
)
