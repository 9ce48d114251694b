"""Kernel set dsp on a core that has it: bits over grids of shapes, which kernel takes which weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.frontends import tflite
from offramp.kernels import dsp
from offramp.kernels.dsp import slices
from offramp.plan import make_plan
from tests.emulator.grid import GridCase, failures, from_oracle, run_grid
from tests.oracle.case import ACTIVATIONS, RELU, SAME, VALID, Case, Cases, Grid
from tests.oracle.cases import OPS
from tests.oracle.tflite_writer import Tensor
from tests.oracle.weighted import conv_case, layer, window
from tests.ways import DSP_WAYS, preferring

pytestmark = pytest.mark.emulator

BOARD = "mps2_an386"
SHAPES = 220  # drawn at random for each of convolution and depthwise; a share of them by default


def depthwise_cases(seed: int, n: int) -> Cases:
    """3x3 windows at strides 1 and 2: odd sizes and channel counts, every activation."""
    grid = Grid("DEPTHWISE_CONV_2D", seed)
    for i in range(n):
        padding, stride = grid.pick((SAME, VALID)), (grid.pick((1, 2)), grid.pick((1, 2)))
        size = tuple(int(grid.rng.integers(3 if padding == VALID else 1, 20)) for _ in range(2))
        if i % 9 == 0:
            size = (size[0], 40)
        channels = int(grid.pick((1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 33)))
        out = tuple(window(k, 3, s, 1, padding) for k, s in zip(size, stride, strict=True))
        source = grid.tensor("input", (1, *size, channels))
        drawn = layer(grid, source, (1, 3, 3, channels), 3, (1, *out, channels), "usual", i % 5 != 4, True)
        yield grid.case(
            f"{size}_c{channels}_s{stride}_p{padding}",
            [source, drawn.weights, drawn.bias],
            [drawn.output],
            "DepthwiseConv2DOptions",
            Padding=padding,
            StrideH=stride[0],
            StrideW=stride[1],
            DepthMultiplier=1,
            FusedActivationFunction=ACTIVATIONS[i % 4],
        )


def conv_cases(seed: int, n: int) -> Cases:
    """Every kernel of the set: 1x1, channels in fours, any channels and groups."""
    grid = Grid("CONV_2D", seed)
    for i in range(n):
        kernel = grid.pick(((1, 1), (3, 3), (3, 3), (5, 2), (1, 7), (2, 2), (10, 4)))
        stride, dilation = (grid.pick((1, 2, 3)), grid.pick((1, 2))), grid.pick(((1, 1), (1, 1), (2, 3)))
        padding, groups = grid.pick((SAME, VALID)), grid.pick((1, 1, 1, 2, 3))
        in_c, out_c = (groups * int(grid.pick((1, 2, 3, 4, 5, 8, 12, 16, 20))) for _ in range(2))
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        size = tuple(int(grid.rng.integers(r if padding == VALID else 1, r + 9)) for r in reach)
        out = tuple(
            window(k, t, s, d, padding) for k, t, s, d in zip(size, kernel, stride, dilation, strict=True)
        )
        yield conv_case(grid, 7 * i, size, in_c, groups, out, out_c, kernel, stride, dilation, padding)


def winograd_cases(seed: int, n: int) -> Cases:
    """3x3 windows at stride 1: odd sizes, any input channels, some blocks of them, an even number of outputs."""
    grid = Grid("CONV_2D", seed)
    for i in range(n):
        padding, many = grid.pick((SAME, VALID)), grid.pick((65, 72, 130)) if i % 11 == 0 else 0
        in_c, out_c = (
            int(grid.pick((1, 2, 3, 4, 5, 7, 8, 12, 16, 20, 33, 64))),
            int(grid.pick((2, 4, 6, 16, 34, 64))),
        )
        size = tuple(int(grid.rng.integers(3 if padding == VALID else 1, 12)) for _ in range(2))
        out = tuple(window(k, 3, 1, 1, padding) for k in size)
        yield conv_case(grid, i, size, many or in_c, 1, out, out_c, (3, 3), (1, 1), (1, 1), padding)


def fully_connected_cases(seed: int, n: int) -> Cases:
    """One row, one multiplier, any depth and number of outputs."""
    grid = Grid("FULLY_CONNECTED", seed)
    for i in range(n):
        depth, out_c = int(grid.rng.integers(30, 300)), int(grid.rng.integers(36, 80))
        source = grid.tensor("input", (1, depth))
        drawn = layer(grid, source, (out_c, depth), 0, (1, out_c), "usual", False, i % 4 != 3)
        yield grid.case(
            f"{depth}_to{out_c}",
            [source, drawn.weights, drawn.bias],
            [drawn.output],
            "FullyConnectedOptions",
            FusedActivationFunction=ACTIVATIONS[i % 4],
        )


def share(config: pytest.Config) -> int:
    """All shapes where soak tests are asked for, else a quarter."""
    return SHAPES if "soak" in str(config.getoption("-m")) else SHAPES // 4


def packed(case: Case, way: int = 0) -> GridCase:
    with preferring(way):
        return from_oracle(case, boards.load(BOARD))


@pytest.mark.parametrize(
    ("draw", "way", "kernels"),
    [
        (conv_cases, 0, {"pointwise_conv_2d", "conv_2d", "gather_conv_2d"}),
        (conv_cases, 1, {"pointwise_conv_2d_16", "conv_2d_16", "gather_conv_2d_16"}),
        (winograd_cases, 2, {"winograd_conv_2d"}),
        (depthwise_cases, 0, {"depthwise_conv_2d_3x3", "depthwise_conv_2d_3x3_linear"}),
        (fully_connected_cases, 0, {"fully_connected"}),
        (fully_connected_cases, 1, {"fully_connected_16"}),
    ],
)
def test_random_shapes_equal_the_oracle(
    draw: Callable[[int, int], Cases],
    way: int,
    kernels: set[str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    cases = [packed(case, way) for case in draw(11, share(request.config))]
    wanted = {f"dsp/{name}" for name in kernels}
    assert sum(not wanted.isdisjoint(case.kernels) for case in cases) > 0.8 * len(cases)
    assert failures(run_grid(boards.load(BOARD), cases, tmp_path)) == []


def test_every_kernel_is_used_and_equals_the_oracle(tmp_path: Path) -> None:
    board = boards.load(BOARD)
    pooled = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN")
    ops = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", *pooled)
    drawn = [case for op in ops for case in OPS[op](3)] + list(depthwise_cases(5, 20))
    cases = [packed(case, way) for case in drawn for way in range(DSP_WAYS)]
    used = {kernel for case in cases for kernel in case.kernels if kernel.startswith("dsp/")}
    elsewhere = {
        f"dsp/{k.name}" for k in (*dsp.COMPRESSED_KERNELS, *slices.KERNELS)
    }  # test_widths.py has slices
    assert used - elsewhere == {f"dsp/{k.name}" for k in dsp.KERNELS} - elsewhere
    assert failures(run_grid(board, cases, tmp_path)) == []


# ---- weights that break a precondition ----


def built(
    name: str,
    weights: np.ndarray,
    bias: list[int],
    multiplier: float,
    depthwise: bool = False,
    activation: int = 0,
) -> Case:
    """A layer over 3x3 or 1x1 windows whose accumulators are scaled by `multiplier`."""
    grid = Grid("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", 1)
    axis = 3 if depthwise else 0
    out_c, in_c = weights.shape[axis], weights.shape[3]
    ones = np.ones(out_c, np.float32)
    source = Tensor("input", (1, 5, 4, in_c), "int8", 1.0, -7)
    output = Tensor("output", (1, 5, 4, out_c), "int8", 1 / multiplier, 3)
    constants = [
        Tensor("weights", weights.shape, "int8", ones, 0, axis, weights.astype(np.int8)),
        Tensor("bias", (out_c,), "int32", ones, 0, 0, np.array(bias, np.int32)),
    ]
    strides = {"Padding": SAME, "StrideH": 1, "StrideW": 1, "FusedActivationFunction": activation}
    if depthwise:
        strides["DepthMultiplier"] = 1
    return grid.case(
        name, [source, *constants], [output], f"{'Depthwise' if depthwise else ''}Conv2DOptions", **strides
    )


def weights_of(shape: tuple[int, ...], low: int = -127, high: int = 128) -> np.ndarray:
    return np.random.default_rng(4).integers(low, high, shape)


ANY, WIDE = {"int8 size", "int16", "Winograd"}, {"int16", "Winograd"}
PACKING = {"pointwise_conv_2d_16": "int16", "conv_2d_16": "int16", "winograd_conv_2d": "Winograd"}


def preconditions() -> Iterator[tuple[Case, set[str]]]:
    """Cases and the packings that are offered; Winograd's only for 3x3 windows."""
    plain, square, planes = weights_of((4, 1, 1, 8)), weights_of((4, 3, 3, 8)), weights_of((1, 3, 3, 4))
    none = [0, 0, 0, 0]
    # Biases that put half a step between the accumulator's bounds, so that the channel is not constant.
    yield built("fits", square, none, 1 / 3000), ANY
    yield built("sum beyond 2^23", weights_of((2, 1, 1, 700), 100), [0, 0], 2**-17), {"int16"}
    yield built("bias beyond 2^23", square, [0, 1 << 23, 0, 0], 2**-16.5), WIDE
    yield built("bias beyond 2^29", square, [0, 1 << 29, 0, 0], 2**-22.5), {"int16"}
    yield built("bias beyond 2^30", square, [0, 1 << 30, 0, 0], 2**-23.5), set()
    odd = square.copy()
    odd[0, 0, 0, :2] = -1, -128
    yield built("two weights beyond a half word", odd, none, 1 / 3000), WIDE
    yield built("multiplier above a half", square % 2, none, 0.8), set()
    yield built("exponent 23", square, [round(2**22.5)] * 4, 2**-23.5), {"int8 size", "int16"}
    yield built("exponent beyond 23", plain, [1 << 22] * 4, 2**-24.3), ANY - {"Winograd"}  # all constant
    yield built("a constant channel", square, [0, 1 << 28, 0, -(1 << 28)], 1 / 3000), ANY
    yield built("depthwise fits", planes, none, 1 / 3000, True), {"int8 size"}
    yield built("depthwise bias beyond 2^30", planes, [0, (1 << 30) + (1 << 23), 0, 0], 2**-24, True), set()
    yield built("depthwise exponent beyond 23", planes, [7 << 25] * 4, 2**-26, True), set()
    yield built("depthwise multiplier above a half", planes % 2, none, 0.9, True), set()


def test_weights_that_break_a_precondition_take_another_kernel(tmp_path: Path) -> None:
    cases = [(packed(case, way), wanted) for case, wanted in preconditions() for way in range(DSP_WAYS)]
    found: dict[str, set[str]] = {}
    for case, _ in cases:
        set_, kernel = case.kernels[0].split("/")
        found.setdefault(case.name, set()).update({PACKING.get(kernel, "int8 size")} if set_ == "dsp" else ())
    assert found == {case.name: wanted for case, wanted in cases}
    assert failures(run_grid(boards.load(BOARD), [case for case, _ in cases], tmp_path)) == []


def test_the_linear_form_is_used_where_it_gives_the_same_bits(tmp_path: Path) -> None:
    """After a ReLU, unless a scale is too large: the long form then."""
    board, planes = boards.load(BOARD), weights_of((1, 3, 3, 4))
    expected = [
        (built("relu", planes, [0] * 4, 1 / 3000, True, RELU), "linear"),
        (built("no relu", planes, [0] * 4, 1 / 3000, True), "3x3"),
        (built("large scale", planes // 32, [0] * 4, 1 / 6, True, RELU), "3x3"),
        (built("large bias", planes, [3 << 25] * 4, 2**-20.2, True, RELU), "linear"),
    ]
    cases = [from_oracle(case, board) for case, _ in expected]
    assert [case.kernels[0].split("_")[-1] for case in cases] == [form for _, form in expected]
    assert failures(run_grid(board, cases, tmp_path)) == []


# ---- working over the input ----


@pytest.mark.parametrize("way", range(DSP_WAYS))
def test_layers_work_over_their_input(way: int, tmp_path: Path) -> None:
    """An input that dies with its layer lies where the output begins, whichever is longer."""
    board = boards.load(BOARD)
    grid, one, three = Grid("CONV_2D", 2), (1, 1), (3, 3)
    cases = [
        conv_case(grid, 0, (6, 5), 8, 1, (6, 5), 8, one, one, one, SAME),
        conv_case(grid, 0, (6, 5), 12, 1, (6, 5), 5, one, one, one, SAME),
        conv_case(grid, 0, (6, 5), 5, 1, (6, 5), 12, one, one, one, SAME),  # from the last pixel
        conv_case(grid, 0, (7, 6), 8, 1, (7, 6), 8, three, one, one, SAME),
        conv_case(grid, 0, (9, 8), 3, 1, (5, 4), 8, three, (2, 2), one, SAME),
        *depthwise_cases(8, 24),
    ]
    for case in cases:
        with preferring(way):
            plan = make_plan(tflite.load(case.model, case.name), board)
        [step] = plan.steps
        source, out = plan.tensors[step.inputs[0]], plan.tensors[step.outputs[0]]
        if step.kernel.set == "dsp" and "depthwise" not in step.kernel.name:
            assert source.offset == out.offset, case.name
    assert failures(run_grid(board, [packed(case, way) for case in cases], tmp_path)) == []
