"""Kernel set dsp on a core that has it: bits over grids of shapes, which kernel takes which weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.frontends import tflite
from offramp.kernels import dsp
from offramp.plan import make_plan
from tests.emulator.grid import failures, from_oracle, run_grid
from tests.oracle.case import ACTIVATIONS, RELU, SAME, VALID, Case, Cases, Grid
from tests.oracle.cases import OPS
from tests.oracle.tflite_writer import Tensor
from tests.oracle.weighted import conv_case, layer, window

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


def share(config: pytest.Config) -> int:
    """All shapes where soak tests are asked for, else a quarter."""
    return SHAPES if "soak" in str(config.getoption("-m")) else SHAPES // 4


@pytest.mark.parametrize("draw", [conv_cases, depthwise_cases])
def test_random_shapes_equal_the_oracle(
    draw: Callable[[int, int], Cases], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    board = boards.load(BOARD)
    cases = [from_oracle(case, board) for case in draw(11, share(request.config))]
    fast = [case for case in cases if any(kernel.startswith("dsp/") for kernel in case.kernels)]
    assert len(fast) > 0.8 * len(cases)
    assert failures(run_grid(board, cases, tmp_path)) == []


def test_every_kernel_is_used_and_equals_the_oracle(tmp_path: Path) -> None:
    board = boards.load(BOARD)
    pooled = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN")
    ops = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", *pooled)
    drawn = [case for op in ops for case in OPS[op](3)] + list(depthwise_cases(5, 20))
    cases = [from_oracle(case, board) for case in drawn]
    used = {kernel for case in cases for kernel in case.kernels if kernel.startswith("dsp/")}
    assert used == {f"dsp/{k.name}" for k in dsp.KERNELS}
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


def preconditions() -> Iterator[tuple[Case, str]]:
    """Cases and the set that must take them."""
    plain, planes = weights_of((4, 1, 1, 8)), weights_of((1, 3, 3, 4))
    none = [0, 0, 0, 0]
    # Biases that put half a step between the accumulator's bounds, so that the channel is not constant.
    yield built("fits", plain, none, 1 / 3000), "dsp"
    yield built("sum beyond 2^23", weights_of((2, 1, 1, 700), 100), [0, 0], 2**-17), "cmsis_nn"
    yield built("bias beyond 2^23", plain, [0, 1 << 23, 0, 0], 2**-16.5), "cmsis_nn"
    odd = plain.copy()
    odd[0, 0, 0, :2] = -1, -128
    yield built("two weights beyond a half word", odd, none, 1 / 3000), "cmsis_nn"
    yield built("multiplier above a half", plain % 2, none, 0.8), "cmsis_nn"
    yield built("exponent beyond 23", plain, [1 << 22] * 4, 2**-24.3), "dsp"  # constant in every channel
    yield built("a constant channel", plain, [0, 1 << 29, 0, -(1 << 29)], 1 / 3000), "dsp"
    yield built("depthwise fits", planes, none, 1 / 3000, True), "dsp"
    yield (
        built("depthwise bias beyond 2^30", planes, [0, (1 << 30) + (1 << 23), 0, 0], 2**-24, True),
        "cmsis_nn",
    )
    yield built("depthwise exponent beyond 23", planes, [7 << 25] * 4, 2**-26, True), "cmsis_nn"
    yield built("depthwise multiplier above a half", planes % 2, none, 0.9, True), "cmsis_nn"


def test_weights_that_break_a_precondition_take_another_kernel(tmp_path: Path) -> None:
    board = boards.load(BOARD)
    expected = list(preconditions())
    cases = [from_oracle(case, board) for case, _ in expected]
    chosen = {case.name: case.kernels[0].split("/")[0] for case in cases}
    assert chosen == {case.name: wanted for case, wanted in expected}
    assert failures(run_grid(board, cases, tmp_path)) == []


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


def test_layers_work_over_their_input(tmp_path: Path) -> None:
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
        plan = make_plan(tflite.load(case.model, case.name), board)
        [step] = plan.steps
        source, out = plan.tensors[step.inputs[0]], plan.tensors[step.outputs[0]]
        if step.kernel.set == "dsp" and "depthwise" not in step.kernel.name:
            assert source.offset == out.offset, case.name
    packed = [from_oracle(case, board) for case in cases]
    assert failures(run_grid(board, packed, tmp_path)) == []
