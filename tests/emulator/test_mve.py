"""Kernel set mve: bits on random shapes, layers that its kernels cannot serve, hostile parameter blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp import ops as offramp_ops
from offramp.blob import write
from offramp.boards import Board
from offramp.frontends import tflite
from offramp.kernels import mve
from offramp.kernels.mve import compressed
from offramp.plan import Options, make_plan
from tests.emulator.grid import GridCase, failures, from_oracle, run_grid
from tests.oracle.case import NONE, RELU, RELU6, SAME, VALID, Case, Cases, Grid
from tests.oracle.cases import OPS
from tests.oracle.pooling import pool_case
from tests.oracle.weighted import conv_case, layer, place, window

pytestmark = pytest.mark.emulator

BOARD = "mps3_an547"
DENSE = [k for k in mve.KERNELS if k not in compressed.KERNELS]  # the others: test_mve_compressed.py
# Numbers of cases whose activation and regime (tests/oracle/weighted.py) the set takes.
TAKEN = [i for i in range(84) if i % 4 != 3 and i % 7 != 2]


def pointwise_cases(seed: int, count: int) -> Cases:
    grid = Grid("CONV_2D", seed)
    rng = grid.rng
    for n in range(count):
        size = (int(rng.integers(1, 9)), int(rng.integers(4, 12)))
        in_c, out_c = int(rng.integers(1, 70)), int(rng.integers(1, 24))
        if n % 8 == 0:
            size, in_c = (1, int(rng.integers(4, 9))), int(rng.integers(130, 400))
        yield conv_case(grid, TAKEN[n % len(TAKEN)], size, in_c, 1, size, out_c, (1, 1), (1, 1), (1, 1), SAME)


def conv_cases(seed: int, count: int) -> Cases:
    grid = Grid("CONV_2D", seed + 1000)
    rng = grid.rng
    for n in range(count):
        kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        if n % 3 == 0:
            kernel = (3, 3)
        stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        if n % 2 == 0:
            stride = (1, 1)
        dilation = (int(rng.integers(1, 3)), 1)
        padding = (SAME, VALID)[int(rng.integers(2))]
        size = [int(rng.integers(1, 13)) for _ in range(2)]
        in_c = int(grid.pick((1, 2, 3, 5, 8, 9, 13, 16, 16, 17, 32)))
        yield grown_conv(grid, n, size, in_c, kernel, stride, dilation, padding)


def row_cases(seed: int, count: int) -> Cases:
    """3 columns at stride 1, channels a multiple of 16."""
    grid = Grid("CONV_2D", seed + 2000)
    rng = grid.rng
    for n in range(count):
        kernel = (int(rng.integers(1, 6)) if n % 2 else 3, 3)
        stride, dilation = (int(rng.integers(1, 3)), 1), (int(rng.integers(1, 3)), 1)
        padding = (SAME, VALID)[int(rng.integers(2))]
        size = [int(rng.integers(1, 12)) for _ in range(2)]
        yield grown_conv(grid, n, size, 16 * int(rng.integers(1, 5)), kernel, stride, dilation, padding)


def grown_conv(
    grid: Grid,
    n: int,
    size: list[int],
    in_c: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: int,
) -> Case:
    """An input that a VALID kernel fits."""
    if padding == VALID:
        size = [max(s, (k - 1) * d + 1) for s, k, d in zip(size, kernel, dilation, strict=True)]
    out = tuple(
        window(s, k, t, d, padding) for s, k, t, d in zip(size, kernel, stride, dilation, strict=True)
    )
    out_c = int(grid.rng.integers(1, 12))
    i = TAKEN[n % len(TAKEN)]
    return conv_case(
        grid, i, (size[0], size[1]), in_c, 1, (out[0], out[1]), out_c, kernel, stride, dilation, padding
    )


def dense_cases(seed: int, count: int) -> Cases:
    grid = Grid("FULLY_CONNECTED", seed)
    rng = grid.rng
    for n in range(count):
        rows, depth, out_c = int(rng.integers(1, 4)), int(rng.integers(1, 200)), int(rng.integers(1, 40))
        source = grid.tensor("input", (rows, depth))
        regime = ("usual", "usual", "tiny")[n % 3]
        drawn = layer(
            grid, source, (out_c, depth), 0, (rows, out_c), regime, per_channel=n % 3 == 2, bias=n % 4 != 3
        )
        yield grid.case(
            f"{rows}x{depth}_to{out_c}_{regime}",
            [source, drawn.weights, drawn.bias],
            [drawn.output],
            "FullyConnectedOptions",
            KeepNumDims=False,
            FusedActivationFunction=(NONE, RELU, RELU6)[n % 3],
        )


def depthwise_cases(seed: int, count: int) -> Cases:
    grid = Grid("DEPTHWISE_CONV_2D", seed)
    rng = grid.rng
    for n in range(count):
        stride = 1 + n % 2
        padding = (SAME, VALID)[int(rng.integers(2))]
        size = [int(rng.integers(1 if padding == SAME else 3, 14)) for _ in range(2)]
        if n % 10 == 0:
            size = [int(rng.integers(18, 40)), int(rng.integers(18, 40))]
        channels = int(rng.integers(1, 9 if n % 10 == 0 else 30))
        out = [window(s, 3, stride, 1, padding) for s in size]
        source = grid.tensor("input", (1, *size, channels))
        regime = ("usual", "usual", "usual", "tiny")[n % 4]
        drawn = layer(
            grid, source, (1, 3, 3, channels), 3, (1, *out, channels), regime, n % 5 != 0, n % 7 != 0
        )
        yield grid.case(
            f"{size}x{channels}_s{stride}_p{padding}_{regime}",
            [source, drawn.weights] + ([drawn.bias] if drawn.bias else []),
            [drawn.output],
            "DepthwiseConv2DOptions",
            Padding=padding,
            StrideH=stride,
            StrideW=stride,
            DepthMultiplier=1,
            FusedActivationFunction=(NONE, RELU, RELU6)[n // 2 % 3],
        )


def any_depthwise_cases(seed: int, count: int) -> Cases:
    """Other windows, strides, dilations, multipliers than the kernels for 3x3 take."""
    grid = Grid("DEPTHWISE_CONV_2D", seed + 1000)
    rng = grid.rng
    for n in range(count):
        kernel = [int(rng.integers(1, 8)) for _ in range(2)]
        stride, dilation = (
            [int(rng.integers(1, 4)) for _ in range(2)],
            [int(rng.integers(1, 3)) for _ in range(2)],
        )
        padding = (SAME, VALID)[int(rng.integers(2))]
        size = [int(rng.integers(1, 14)) for _ in range(2)]
        if padding == VALID:
            size = [max(s, (k - 1) * d + 1) for s, k, d in zip(size, kernel, dilation, strict=True)]
        in_c, multiplier = int(rng.integers(1, 20)), int(grid.pick((1, 1, 2, 3, 8)))
        pairs = zip(size, kernel, stride, dilation, strict=True)
        out = [window(s, k, t, d, padding) for s, k, t, d in pairs]
        source, out_c = grid.tensor("input", (1, *size, in_c)), in_c * multiplier
        regime = ("usual", "usual", "usual", "tiny")[n % 4]
        drawn = layer(grid, source, (1, *kernel, out_c), 3, (1, *out, out_c), regime, n % 5 != 0, n % 7 != 0)
        yield grid.case(
            f"{size}x{in_c}_k{kernel}_s{stride}_d{dilation}_m{multiplier}_p{padding}_{regime}",
            [source, drawn.weights] + ([drawn.bias] if drawn.bias else []),
            [drawn.output],
            "DepthwiseConv2DOptions",
            Padding=padding,
            StrideH=stride[0],
            StrideW=stride[1],
            DilationHFactor=dilation[0],
            DilationWFactor=dilation[1],
            DepthMultiplier=multiplier,
            FusedActivationFunction=(NONE, RELU, RELU6)[n // 2 % 3],
        )


def arithmetic_cases(op: str) -> Callable[[int, int], Cases]:
    """ADD, SUB and MUL of two tensors of one shape."""

    def cases(seed: int, count: int) -> Cases:
        grid = Grid(op, seed)
        rng = grid.rng
        for n in range(count):
            shape = (1, *(int(rng.integers(1, 12)) for _ in range(3)))
            a = grid.tensor("a", shape)
            b = grid.tensor("b", shape, scale=float(np.float32(a.scale * 2.0 ** rng.uniform(-8, 8))))
            reach = a.scale * b.scale * 2.0**6 if op == "MUL" else max(a.scale, b.scale)
            scale = float(np.float32(reach * 2.0 ** rng.uniform(0, 2)))
            yield grid.case(
                f"{shape}",
                [a, b],
                [grid.tensor("output", shape, scale=scale)],
                f"{op.capitalize()}Options",
                FusedActivationFunction=(NONE, RELU, RELU6)[n % 3],
            )

    return cases


def table_cases(seed: int, count: int) -> Cases:
    grid = Grid("QUANTIZE", seed)
    rng = grid.rng
    for _ in range(count):
        shape = (1, *(int(rng.integers(1, 12)) for _ in range(3)))
        source = grid.tensor("input", shape, scale=grid.scale(0.01, 0.3))
        scale = float(np.float32(source.scale * 2.0 ** rng.uniform(-3, 3)))
        yield grid.case(f"{shape}", [source], [grid.tensor("output", shape, scale=scale)], "QuantizeOptions")


def pool_cases(op: str) -> Callable[[int, int], Cases]:
    def cases(seed: int, count: int) -> Cases:
        grid = Grid(op, seed)
        rng = grid.rng
        for n in range(count):
            kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
            stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
            size, out = place(grid, kernel, stride, (1, 1), (SAME, VALID)[n % 2])
            yield pool_case(
                grid, n, size, int(rng.integers(1, 40)), out, kernel, stride, (SAME, VALID)[n % 2]
            )

    return cases


GRIDS: dict[str, Callable[[int, int], Cases]] = {
    "pointwise_conv_2d": pointwise_cases,
    "conv_2d": conv_cases,
    "row_conv_2d": row_cases,
    "fully_connected": dense_cases,
    "depthwise_3x3": depthwise_cases,
    "depthwise_conv_2d": any_depthwise_cases,
    "add": arithmetic_cases("ADD"),
    "sub": arithmetic_cases("SUB"),
    "mul": arithmetic_cases("MUL"),
    "table": table_cases,
    "average_pool_2d": pool_cases("AVERAGE_POOL_2D"),
    "max_pool_2d": pool_cases("MAX_POOL_2D"),
}


def check(grids: list[str], seed: int, count: int, folder: Path) -> dict[str, int]:
    """Runs the grids; how many cases each kernel of the set served."""
    board = boards.load(BOARD)
    cases = [from_oracle(case, board, "mve") for grid in grids for case in GRIDS[grid](seed, count)]
    assert failures(run_grid(board, cases, folder)) == []
    used = [kernel.split("/")[1] for case in cases for kernel in case.kernels if kernel.startswith("mve/")]
    return {name: used.count(name) for name in used}


def test_a_share_of_random_shapes_equals_the_oracle(tmp_path: Path) -> None:
    used = check(list(GRIDS), 1, 60, tmp_path)
    assert set(used) == {kernel.name for kernel in DENSE}
    assert min(used.values()) >= 5, used


def test_outputs_lie_over_inputs_in_a_share_of_the_shapes() -> None:
    """The grids run each kernel in place too, strips and ends included."""
    board = boards.load(BOARD)
    over: dict[str, int] = {}
    for case in (case for grid in GRIDS for case in GRIDS[grid](1, 60)):
        plan = make_plan(tflite.load(case.model, case.name), board, Options(kernels="mve"))
        for step in plan.steps:
            source, target = plan.tensors[step.inputs[0]], plan.tensors[step.outputs[0]]
            if step.kernel.set == "mve" and source.offset == target.offset:
                name = step.kernel.name.removesuffix("_signed")
                over[name] = over.get(name, 0) + 1
    assert set(over) == {k.name.removesuffix("_signed") for k in DENSE if k.in_place}
    assert min(over.values()) >= 5, over


@pytest.mark.soak
@pytest.mark.parametrize("grid", GRIDS)
def test_random_shapes_equal_the_oracle(grid: str, tmp_path: Path) -> None:
    used = check([grid], 2, 1800, tmp_path)
    kernel = {"sub": "add"}.get(grid, grid)
    own = [count for name, count in used.items() if name.removesuffix("_signed").startswith(kernel)]
    assert min(own) >= 200, used


@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL"])
def test_layers_that_break_a_precondition_go_to_another_set(op: str, tmp_path: Path) -> None:
    """Multipliers above 1, clamps inside the range, groups, dilation, broadcasts are in the oracle's grid."""
    board = boards.load(BOARD)
    cases = [from_oracle(case, board) for case in OPS[op](0)]
    sets = {kernel.split("/")[0] for case in cases for kernel in case.kernels}
    assert sets & {"cmsis_nn", "generic"}
    assert failures(run_grid(board, cases, tmp_path)) == []


def test_every_operator_is_served_or_left_with_a_reason() -> None:
    views_and_state = {
        kind for kind, row in offramp_ops.OPS.items() if row.is_view or kind.endswith("_variable")
    }
    assert set(mve.LOWER) | set(mve.LEFT_TO) == set(offramp_ops.OPS) - views_and_state
    assert not set(mve.LOWER) & set(mve.LEFT_TO)
    for served_by, reason in mve.LEFT_TO.values():
        assert served_by in ("generic", "cmsis_nn")
        assert any(c.isdigit() for c in reason)


def test_hostile_blocks_stay_inside(tmp_path: Path) -> None:
    """Random words of a block replaced: refused, or wrong outputs, but an answer and nothing outside."""
    board = boards.load(BOARD)
    rng = np.random.default_rng(0)
    drawn = [case for grid in GRIDS for case in GRIDS[grid](4, 12)]
    cases = [mutant(case, board, n, rng) for case in drawn for n in range(8)]
    for result in run_grid(board, cases, tmp_path):
        assert not result.failure.startswith("no answer") and "behind the arena" not in result.failure, result


def mutant(case: Case, board: Board, n: int, rng: np.random.Generator) -> GridCase:
    """Other values in the first words of the block, a kernel's sizes, or in its tables and weights too."""
    plan = make_plan(tflite.load(case.model, case.name), board, Options(kernels="mve"))
    [step] = plan.steps
    data = bytearray(plan.constants)
    room = min(step.params_bytes, 40) if n % 2 else step.params_bytes
    for _ in range(1 + n % 3):
        at = step.params + 2 * int(rng.integers(room // 2))
        data[at : at + 2] = int(rng.choice((0, 1, 2, 255, 256, 0x7FFF, 0x8000, 0xFFFF))).to_bytes(2, "little")
    blob = write(replace(plan, constants=bytes(data)))
    rows = [([x.tobytes() for x in case.inputs], [])]
    return GridCase(f"{case.name} mutant {n}", blob, rows, (step.kernel.name,))
