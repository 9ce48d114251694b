"""Kernel set esp_nn on rv32_virt: bits on grids of shapes, hostile parameter blocks."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from offramp import boards
from offramp.blob import write
from offramp.frontends import tflite
from offramp.kernels import esp_nn
from offramp.ops import Params
from offramp.plan import Options, make_plan
from tests.emulator.grid import GridCase, failures, from_oracle, run_grid
from tests.emulator.test_cmsis_nn import depthwise_case, offset_of, patched
from tests.oracle.case import SAME, VALID, Case, Cases, Grid
from tests.oracle.cases import OPS
from tests.oracle.pooling import pool_case
from tests.oracle.weighted import conv_case, window

pytestmark = pytest.mark.emulator
BOARD = boards.load("rv32_virt")
SEEDS = 6  # of a full run


def conv_cases(seed: int) -> Cases:
    """Undilated shapes without groups, which the operator's own grid has few of."""
    grid = Grid("CONV_2D", 100 + seed)
    kernels, strides = ((1, 1), (3, 3), (2, 3), (5, 1)), ((1, 1), (2, 1))
    for i, (in_c, out_c, kernel, stride, padding) in enumerate(
        itertools.product((1, 3, 9), (2, 5), kernels, strides, (SAME, VALID))
    ):
        if kernel == (1, 1) and padding == SAME and i % 2:
            continue
        out = [window(n, k, s, 1, padding) for n, k, s in zip((6, 7), kernel, stride, strict=True)]
        yield conv_case(grid, i, (6, 7), in_c, 1, (out[0], out[1]), out_c, kernel, stride, (1, 1), padding)


def pool_cases(op: str, seed: int) -> Cases:
    grid = Grid(op, 100 + seed)
    for i, (channels, size, stride, padding) in enumerate(
        itertools.product((1, 4, 9), ((1, 1), (2, 3), (4, 4)), ((1, 1), (2, 3)), (SAME, VALID))
    ):
        out = [window(n, k, s, 1, padding) for n, k, s in zip((7, 9), size, stride, strict=True)]
        yield pool_case(grid, i, (7, 9), channels, (out[0], out[1]), size, stride, padding)


def cases_of(op: str, seed: int) -> Iterator[Case]:
    yield from OPS[op](seed)
    if op == "CONV_2D":
        yield from conv_cases(seed)
    elif op.endswith("POOL_2D"):
        yield from pool_cases(op, seed)


KERNELS = {
    "CONV_2D": esp_nn.CONV,
    "DEPTHWISE_CONV_2D": esp_nn.DEPTHWISE,
    "FULLY_CONNECTED": esp_nn.FULLY_CONNECTED,
    "AVERAGE_POOL_2D": esp_nn.AVERAGE,
    "MAX_POOL_2D": esp_nn.MAX,
}


def served(op: str, seed: int) -> list[GridCase]:
    """The cases that the set takes."""
    cases = [from_oracle(case, BOARD, "esp_nn") for case in cases_of(op, seed)]
    return [case for case in cases if f"esp_nn/{KERNELS[op].name}" in case.kernels]


@pytest.mark.parametrize("op", KERNELS)
def test_every_kernel_equals_the_oracle(op: str, tmp_path: Path) -> None:
    cases = served(op, 0)[:50]
    assert len(cases) >= 12
    assert failures(run_grid(BOARD, cases, tmp_path, kernels=esp_nn.KERNELS)) == []


@pytest.mark.soak
@pytest.mark.parametrize("op", KERNELS)
def test_200_shapes_a_kernel(op: str, tmp_path: Path) -> None:
    cases = [case for seed in range(SEEDS) for case in served(op, seed)]
    assert len(cases) >= 200
    assert failures(run_grid(BOARD, cases, tmp_path, kernels=esp_nn.KERNELS)) == []


def base_cases() -> dict[str, Case]:
    image, one = (8, 7), (1, 1)
    return {
        "conv": conv_case(Grid("CONV_2D", 0), 0, image, 5, 1, image, 6, (3, 3), one, one, SAME),
        "depthwise": depthwise_case(Grid("DEPTHWISE_CONV_2D", 0), 4, 1, (3, 3), one, SAME),
        "dense": next(case for case in OPS["FULLY_CONNECTED"](0) if "1x64_k64_to4" in case.name),
        "average": pool_case(Grid("AVERAGE_POOL_2D", 0), 0, image, 9, (4, 4), (3, 3), (2, 2), SAME),
        "max": pool_case(Grid("MAX_POOL_2D", 0), 0, image, 9, (4, 4), (3, 3), (2, 2), SAME),
    }


HOSTILE = [
    ("conv", "dilation_w", 2, "VALUE"),
    ("conv", "groups", 5, "VALUE"),
    ("conv", "kernel_h", 9, "PARAMS"),
    ("conv", "rows", 9, "SHAPE"),
    ("conv", "stride_h", 200, "VALUE"),
    ("conv", "pad_left", 7, "VALUE"),
    ("conv", "out_cols", 8, "SHAPE"),
    ("conv", "input_zero_point", 128, "VALUE"),
    ("depthwise", "dilation_h", 2, "VALUE"),
    ("depthwise", "groups", 2, "VALUE"),
    ("depthwise", "out_c", 5, "VALUE"),
    ("depthwise", "stride_w", 4096, "VALUE"),
    ("dense", "rows", 2, "VALUE"),
    ("dense", "pad_left", 1, "VALUE"),
    ("dense", "in_c", 65, "SHAPE"),
    ("average", "filter_h", 0, "VALUE"),
    ("average", "stride_h", 4096, "VALUE"),
    ("max", "pad_top", 3, "VALUE"),
    ("max", "channels", 0, "VALUE"),
]


def test_hostile_blocks_are_refused(tmp_path: Path) -> None:
    plans = {
        name: make_plan(tflite.load(case.model, case.name), BOARD, Options(kernels="esp_nn"))
        for name, case in base_cases().items()
    }
    assert all(plan.steps[0].kernel.set == "esp_nn" for plan in plans.values())
    cases = []
    for name, field, value, status in HOSTILE:
        params: Params = plans[name].steps[0].kernel.params
        changed = struct.pack("<" + Params.FORMATS[dict(params.fields)[field]], value)
        blob = write(patched(plans[name], offset_of(params, field), changed))
        cases.append(GridCase(f"{name} {field} {value} OFR_E_{status}", blob, []))
    for name, plan in plans.items():
        older = replace(plan, steps=(replace(plan.steps[0], packing=0x0101),))
        cases.append(GridCase(f"{name} packing OFR_E_PACKING", write(older), []))
    for result in run_grid(BOARD, cases, tmp_path, kernels=esp_nn.KERNELS):
        assert result.name.split()[-1] in result.failure, (result.name, result.failure)
