"""Kernel set cmsis_nn, run on a core for each of its loops: bits, scratch, hostile parameter blocks."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import serial

from offramp import boards
from offramp.blob import write
from offramp.boards import Board
from offramp.build.firmware import firmware
from offramp.frontends import tflite
from offramp.kernels import cmsis_nn
from offramp.ops import Params
from offramp.plan import Options, Plan, make_plan
from offramp_host.emulator import Emulator
from tests.emulator.grid import GridCase, failures, from_oracle, run_grid
from tests.oracle.case import RELU, SAME, VALID, Case, Cases, Grid
from tests.oracle.cases import OPS
from tests.oracle.pooling import pool_case
from tests.oracle.weighted import conv_case, layer, window

pytestmark = pytest.mark.emulator

# One board for each of the library's three sets of loops, plain, DSP and Helium.
BOARDS = ("mps2_an385", "mps2_an386", "mps3_an547")
GRIDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "MAX_POOL_2D")
USED = {
    "mps2_an385": set(cmsis_nn.KERNELS) - {cmsis_nn.ROW, cmsis_nn.DEPTHWISE_OPT},
    "mps2_an386": set(cmsis_nn.KERNELS) - {cmsis_nn.ROW, cmsis_nn.DEPTHWISE_OPT},
    "mps3_an547": set(cmsis_nn.KERNELS) - {cmsis_nn.DEPTHWISE_3X3},
}


def depthwise_cases(seed: int) -> Cases:
    """Shapes of real nets: channel counts about the library's blocks of 4 and, on Helium, 124."""
    grid = Grid("DEPTHWISE_CONV_2D", seed)
    kernels, strides = ((3, 3), (5, 5), (1, 3), (2, 2)), ((1, 1), (2, 2), (2, 1))
    for in_c, kernel, stride, padding in itertools.product(
        (1, 3, 4, 6, 8, 123, 126), kernels, strides, (SAME, VALID)
    ):
        yield depthwise_case(grid, in_c, 1, kernel, stride, padding)
    for in_c, multiplier, padding in itertools.product((1, 3, 5), (4, 8), (SAME, VALID)):
        yield depthwise_case(grid, in_c, multiplier, (3, 2), (1, 1), padding)


def depthwise_case(
    grid: Grid, in_c: int, multiplier: int, kernel: tuple[int, int], stride: tuple[int, int], padding: int
) -> Case:
    size = (5, 6) if in_c > 100 else (8, 7)
    out = [window(n, k, s, 1, padding) for n, k, s in zip(size, kernel, stride, strict=True)]
    out_c = in_c * multiplier
    source = grid.tensor("input", (1, *size, in_c))
    drawn = layer(grid, source, (1, *kernel, out_c), 3, (1, *out, out_c), "usual", True, True)
    return grid.case(
        f"c{in_c}_m{multiplier}_k{kernel}_s{stride}_p{padding}",
        [source, drawn.weights, drawn.bias],
        [drawn.output],
        "DepthwiseConv2DOptions",
        Padding=padding,
        StrideH=stride[0],
        StrideW=stride[1],
        DepthMultiplier=multiplier,
        FusedActivationFunction=RELU,
    )


def row_cases(seed: int) -> Cases:
    """One-dimensional signals."""
    grid = Grid("CONV_2D", seed)
    for i, (in_c, out_c, taps, padding) in enumerate(
        itertools.product((1, 5, 16), (3, 8), (2, 5), (SAME, VALID))
    ):
        out = (1, window(15 + taps, taps, 1, 1, padding))
        yield conv_case(grid, i, (1, 15 + taps), in_c, 1, out, out_c, (1, taps), (1, 1), (1, 1), padding)


EXTRA = {"DEPTHWISE_CONV_2D": depthwise_cases, "CONV_2D": row_cases}


@pytest.mark.parametrize("name", BOARDS)
def test_every_kernel_equals_the_oracle(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    drawn = [case for op in GRIDS for case in OPS[op](0)]
    drawn += [case for extra in EXTRA.values() for case in extra(0)]
    cases = [from_oracle(case, board, "cmsis_nn") for case in drawn]
    used = {kernel for case in cases for kernel in case.kernels if kernel.startswith("cmsis_nn/")}
    assert used == {f"cmsis_nn/{k.name}" for k in USED[name]}
    assert failures(run_grid(board, cases, tmp_path)) == []


def test_a_wrong_bit_is_seen(tmp_path: Path) -> None:
    board = boards.load("mps2_an386")
    case = from_oracle(next(OPS["CONV_2D"](0)), board, "cmsis_nn")
    [(inputs, [expected])] = case.rows
    wrong = bytes([expected[0] ^ 1]) + expected[1:]
    [line] = failures(run_grid(board, [case, replace(case, rows=[(inputs, [wrong])])], tmp_path))
    assert "byte 0 is" in line and "1 differ" in line


@pytest.mark.parametrize("name", BOARDS)
def test_scratch_is_what_the_library_asks_for(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    isa = cmsis_nn.isa_of(board.core)
    app = Path(__file__).parent / "apps" / "cmsis_nn_scratch.c"
    image = firmware(board, tmp_path / "scratch.elf", kernels=cmsis_nn.KERNELS, app=[app])
    with (
        Emulator(board, image.elf, timeout_s=60) as emulator,
        serial.serial_for_url(emulator.url, timeout=10) as port,
    ):
        assert port.readline() == b"ready\n"
        for in_c, kernel_h, kernel_w in itertools.product((1, 3, 8, 124, 125, 500), (1, 2, 3, 10), (1, 3, 4)):
            port.write(struct.pack("<3H", in_c, kernel_h, kernel_w))
            pointwise, row, opt, dense, average = struct.unpack("<5i", port.read(20))
            assert pointwise == dense == 0
            assert row == 0 or isa != "mve"
            assert opt == cmsis_nn.depthwise_opt_scratch(isa, in_c, kernel_h * kernel_w)
            assert average == cmsis_nn.average_pool_scratch(isa, in_c)
        port.write(struct.pack("<H", 0))


# ---- hostile parameter blocks ----


def base_cases() -> dict[str, Case]:
    conv, depthwise = Grid("CONV_2D", 0), Grid("DEPTHWISE_CONV_2D", 0)
    image, one = (8, 7), (1, 1)
    return {
        "conv": conv_case(conv, 0, image, 5, 1, image, 6, (3, 3), one, one, SAME),
        "pointwise": conv_case(conv, 0, image, 5, 1, image, 6, one, one, one, SAME),
        "row": conv_case(conv, 0, (1, 16), 5, 1, (1, 16), 6, (1, 3), one, one, SAME),
        "depthwise": depthwise_case(depthwise, 4, 1, (3, 3), one, SAME),
        "multiplied": depthwise_case(depthwise, 3, 4, (3, 2), one, SAME),
        "dense": next(case for case in OPS["FULLY_CONNECTED"](0) if "1x64_k64_to4" in case.name),
        "average": pool_case(Grid("AVERAGE_POOL_2D", 0), 0, image, 9, (4, 4), (3, 3), (2, 2), SAME),
        "max": pool_case(Grid("MAX_POOL_2D", 0), 0, image, 9, (4, 4), (3, 3), (2, 2), SAME),
    }


LAYERS = ("conv", "pointwise", "row", "depthwise", "multiplied")
# Case, field, value, status.
HOSTILE = (
    *((name, "per_channel", 0, "OFR_E_VALUE") for name in LAYERS),
    *((name, "in_c", 0, "OFR_E_VALUE") for name in LAYERS),
    *((name, "out_c", 0, "OFR_E_VALUE") for name in LAYERS),
    *((name, "out_c", 40000, "OFR_E_VALUE") for name in ("depthwise", "multiplied")),
    *((name, "groups", 7, "OFR_E_VALUE") for name in LAYERS),
    *((name, "rows", 65535, "OFR_E_VALUE") for name in ("conv", "row", "depthwise", "multiplied")),
    *((name, "out_rows", 0, "OFR_E_VALUE") for name in ("conv", "row", "depthwise", "multiplied")),
    *((name, "out_cols", 65532, "OFR_E_VALUE") for name in ("conv", "row", "depthwise", "multiplied")),
    *((name, "kernel_w", 0, "OFR_E_VALUE") for name in LAYERS),
    *((name, "stride_w", 40000, "OFR_E_VALUE") for name in ("conv", "row", "depthwise", "multiplied")),
    *((name, "dilation_w", 0, "OFR_E_VALUE") for name in LAYERS),
    *((name, "pad_left", 3, "OFR_E_VALUE") for name in LAYERS),
    *((name, "pad_top", 3, "OFR_E_VALUE") for name in LAYERS),
    *((name, "input_zero_point", -129, "OFR_E_VALUE") for name in (*LAYERS, "dense")),
    ("conv", "kernel_w", 4, "OFR_E_PARAMS"),
    ("conv", "kernel_h", 20000, "OFR_E_VALUE"),
    ("conv", "dilation_h", 65535, "OFR_E_VALUE"),
    ("pointwise", "out_cols", 6, "OFR_E_SHAPE"),
    ("pointwise", "stride_w", 2, "OFR_E_VALUE"),
    ("depthwise", "dilation_h", 2, "OFR_E_VALUE"),
    ("multiplied", "dilation_h", 2, "OFR_E_VALUE"),
    ("dense", "depth", 65, "OFR_E_SHAPE"),
    ("dense", "out_c", 5, "OFR_E_SHAPE"),
    ("dense", "rows", 0, "OFR_E_SHAPE"),
    ("dense", "shift", 31, "OFR_E_VALUE"),
    *((name, "pad_top", 3, "OFR_E_VALUE") for name in ("average", "max")),
    *((name, "stride_h", 4000, "OFR_E_VALUE") for name in ("average", "max")),
    *((name, "filter_w", 0, "OFR_E_VALUE") for name in ("average", "max")),
    *((name, "channels", 8, "OFR_E_SHAPE") for name in ("average", "max")),
)


@pytest.mark.parametrize("name", BOARDS)
def test_hostile_blocks_are_refused(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    cases = list(hostile_cases(board))
    for case, result in zip(cases, run_grid(board, cases, tmp_path), strict=True):
        assert result.failure.startswith("refused: " + case.name.split()[-1]), result


def hostile_cases(board: Board) -> Iterator[GridCase]:
    """Blobs that are refused with the status that ends their name."""
    plans = {name: plan_of(case, board) for name, case in base_cases().items()}
    for name, field, value, status in HOSTILE:
        params = plans[name].steps[0].kernel.params
        kind = dict(params.fields)[field]
        offset, changed = offset_of(params, field), struct.pack("<" + Params.FORMATS[kind], value)
        yield GridCase(f"{name} {field} {value} {status}", write(patched(plans[name], offset, changed)), [])
    for name, plan in plans.items():
        [step] = plan.steps
        older = replace(plan, steps=(replace(step, packing=0x0300),))
        yield GridCase(f"{name} packing OFR_E_PACKING", write(older), [])
        shorter = replace(plan, steps=(replace(step, params_bytes=step.params_bytes - 4),))
        yield GridCase(f"{name} shorter OFR_E_PARAMS", write(shorter), [])
        if step.scratch_bytes:
            without = replace(plan, steps=(replace(step, scratch_bytes=3),))
            yield GridCase(f"{name} without scratch OFR_E_SCRATCH", write(without), [])
        if name in LAYERS:
            out_c = plan.tensors[step.outputs[0]].tensor.shape[3]
            last_shift = step.kernel.params.size + 12 * out_c - 4
            yield GridCase(
                f"{name} shift OFR_E_VALUE", write(patched(plan, last_shift, struct.pack("<i", -32))), []
            )


def plan_of(case: Case, board: Board) -> Plan:
    plan = make_plan(tflite.load(case.model, case.name), board, Options(kernels="cmsis_nn"))
    assert [step.kernel.set for step in plan.steps] == ["cmsis_nn"]
    return plan


def patched(plan: Plan, offset: int, changed: bytes) -> Plan:
    """The plan with other bytes in the parameter block of its one step."""
    at = plan.steps[0].params + offset
    return replace(plan, constants=plan.constants[:at] + changed + plan.constants[at + len(changed) :])


def offset_of(params: Params, field: str) -> int:
    offset = 0
    for name, kind in params.fields:
        if name == field:
            return offset
        offset += struct.calcsize(Params.FORMATS[kind])
    raise AssertionError(field)
