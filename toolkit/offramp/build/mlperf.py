"""MLPerf Tiny's benchmarks as they concern an image: which one a model is for, and what the firmware is told of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from offramp.blob.read import Blob, Port
from offramp.boards import Board
from offramp.errors import UserError
from offramp.ir import DTYPES

Wire = Literal["int8", "uint8", "float32"]
"""How an input element is sent: the model's int8, a pixel (the model takes it less 128), or a number to quantize."""

_WIRES: tuple[Wire, ...] = ("int8", "uint8", "float32")  # numbered as in firmware/app/mlperf.c


@dataclass(frozen=True)
class Benchmark:
    """`elements` of input; `outputs` of the model, which a runner sees as they are or, of ad01, as one mean square."""

    name: str
    wire: Wire
    elements: int
    outputs: int

    @property
    def input_bytes(self) -> int:
        return self.elements * (4 if self.wire == "float32" else 1)

    @property
    def results(self) -> int:
        return 1 if self.wire == "float32" else self.outputs

    @property
    def classes(self) -> int:
        """Of labels; a single result tells two apart."""
        return max(self.results, 2)


BENCHMARKS = (
    Benchmark("kws01", "int8", 49 * 10, 12),
    Benchmark("ic01", "uint8", 32 * 32 * 3, 10),
    Benchmark("vww01", "uint8", 96 * 96 * 3, 2),
    Benchmark("ad01", "float32", 5 * 128, 640),
)


def benchmark_of(blob: Blob) -> Benchmark:
    """The benchmark whose inputs and outputs the model has; UserError where it is none."""
    plan = blob.plans[0]
    if len(plan.inputs) == len(plan.outputs) == 1 and plan.inputs[0].dtype == plan.outputs[0].dtype == "s8":
        sizes = math.prod(plan.inputs[0].shape), math.prod(plan.outputs[0].shape)
        for benchmark in BENCHMARKS:
            if sizes == (benchmark.elements, benchmark.outputs):
                return benchmark
    known = "; ".join(f"{b.name} {b.elements} to {b.outputs}" for b in BENCHMARKS)
    raise UserError(
        f"{blob.name} is for none of MLPerf Tiny's benchmarks: {_sizes(plan.inputs)} to {_sizes(plan.outputs)}",
        f"one int8 input and one int8 output are needed, of so many elements: {known}",
    )


def _sizes(ports: tuple[Port, ...]) -> str:
    return " and ".join(f"{math.prod(port.shape)} {DTYPES[port.dtype].__name__}" for port in ports)


def defines(blob: Blob, board: Board, framework: bool = False) -> tuple[tuple[str, str | int], ...]:
    """The macros that put the protocol into an image (firmware/app/mlperf.c), be it one that a framework starts."""
    benchmark, plan = benchmark_of(blob), blob.plans[0]
    us = us_per_tick(board, framework)
    return (
        ("APP_MLPERF_MODEL", f'"{benchmark.name}"'),
        ("APP_MLPERF_WIRE", _WIRES.index(benchmark.wire)),
        ("APP_MLPERF_ELEMENTS", f"{benchmark.elements}u"),
        ("APP_MLPERF_OUTPUTS", f"{benchmark.outputs}u"),
        ("APP_MLPERF_INPUT_SCALE", scale_text(plan.inputs[0])),
        ("APP_MLPERF_OUTPUT_SCALE", scale_text(plan.outputs[0])),
        ("APP_MLPERF_US_MULTIPLIER", f"{us.numerator}u"),
        ("APP_MLPERF_US_DIVISOR", f"{us.denominator}u"),
    )


def scale_text(port: Port) -> str:
    """A scale and zero point as `struct mlperf_scale` of firmware/app/mlperf_numbers.h holds them."""
    mantissa, shift = scale_parts(port)
    return f"{mantissa}u,{shift}u,{port.zero_point}"


def scale_parts(port: Port) -> tuple[int, int]:
    """(mantissa, shift): the scale is exactly mantissa / 2^shift, mantissa in [2^23, 2^24); UserError out of range."""
    fraction, exponent = math.frexp(port.scale)
    if not 2.0**-39 <= port.scale < 2.0**13 or fraction * 2**24 != int(fraction * 2**24):
        raise UserError(
            f"{port.name}: scale {port.scale!r}, MLPerf Tiny's results take a float32 from 2^-39 to 8192",
            "quantize the model again",
        )
    return int(fraction * 2**24), 24 - exponent


def us_per_tick(board: Board, framework: bool = False) -> Fraction:
    """Microseconds that a tick stands for; 0 where the board has no counter.

    On an emulated board an estimate: an instruction is taken for one cycle of the board's clock. Where Arduino starts a
    core without a counter of cycles, ticks are microseconds (port/arduino/arduino.cpp).
    """
    known = board.platformio if framework else None
    if known is not None and known.framework == "arduino" and board.core.name == "cortex-m0":
        return Fraction(1)
    if board.emulator is not None:
        cycles = Fraction(board.emulator.numerator, board.emulator.denominator)
    else:
        cycles = Fraction(0 if board.runs_here else 1)
    return cycles * 1_000_000 / board.clock_hz


__all__ = ["BENCHMARKS", "Benchmark", "benchmark_of", "defines", "scale_parts", "scale_text", "us_per_tick"]
