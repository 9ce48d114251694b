"""Layers built to break what a fast kernel demands of numbers: they take another kernel, and every bit stays."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from tests.emulator.grid import GridCase, failures, from_oracle, run_grid
from tests.oracle.case import NONE, RELU, RELU_N1_TO_1, SAME, Case, Grid
from tests.oracle.compressed import THINNED
from tests.oracle.tflite_writer import Tensor
from tests.ways import taking

IN_SCALE, OUT_SCALE = 0.05, 0.03
ZERO_POINTS = {NONE: (-7, 3), RELU: (127, -128), RELU_N1_TO_1: (-128, 11)}


@dataclass(frozen=True)
class Kind:
    """A layer that a fast kernel serves while its numbers allow."""

    op: str
    source: tuple[int, ...]
    weights: tuple[int, ...]
    stride: int = 1
    per_channel: bool = True
    thin: str = ""  # how the weights are made compressible: a key of THINNED

    @property
    def axis(self) -> int:
        return 3 if self.op == "DEPTHWISE_CONV_2D" else 0


POINTWISE = Kind("CONV_2D", (1, 5, 4, 8), (6, 1, 1, 8))
DENSE = Kind("FULLY_CONNECTED", (1, 96), (16, 96), per_channel=False)
DENSE_ROWS = Kind("FULLY_CONNECTED", (1, 96), (16, 96))
CONV = Kind("CONV_2D", (1, 5, 4, 8), (6, 3, 3, 8))
CONV_16 = Kind("CONV_2D", (1, 5, 6, 16), (6, 3, 3, 16))
ODD = Kind("CONV_2D", (1, 6, 5, 3), (7, 3, 3, 3))
NARROW = Kind("CONV_2D", (1, 6, 9, 1), (6, 3, 8, 1))
PLANES = Kind("DEPTHWISE_CONV_2D", (1, 6, 5, 6), (1, 3, 3, 6))
PLANES_2 = Kind("DEPTHWISE_CONV_2D", (1, 6, 5, 6), (1, 3, 3, 6), stride=2)
NIBBLES = Kind("CONV_2D", (1, 5, 4, 8), (6, 3, 3, 8), thin="nibbles")
SPARSE = Kind("CONV_2D", (1, 5, 4, 24), (6, 3, 3, 24), thin="zeros 90 %")
SPARSE_ROWS = Kind("FULLY_CONNECTED", (1, 296), (16, 296), thin="zeros 90 %")
WIDE_PLANES = Kind("DEPTHWISE_CONV_2D", (1, 6, 5, 6), (1, 5, 2, 12))
INT4_KINDS = {
    "pointwise_conv_2d_4": replace(POINTWISE, thin="nibbles"),
    "conv_2d_4": NIBBLES,
    "gather_conv_2d_4": replace(ODD, thin="nibbles"),
    "fully_connected_4": replace(DENSE, thin="nibbles"),
}
SPARSE_KINDS = {
    f"{op}_{name}": replace(kind, thin=thin)
    for op, kind in (("conv_2d", CONV), ("fully_connected", DENSE))
    for name, thin in (
        ("sparse", "zeros 70 %"),
        ("packed", "zeros 70 %"),
        ("blocks", "blocks 80 %"),
        ("packed_blocks", "blocks 80 %"),
    )
}
WIDE = Kind("CONV_2D", (1, 5, 4, 64), (6, 1, 1, 64))
MVE_THIN = {"sparse": "zeros 70 %", "lanes": "zeros 70 %", "blocks": "blocks 80 %"}


@dataclass(frozen=True)
class Breach:
    """What one output channel (all, where they share a scale) is made of."""

    multiplier: float
    bias: int = 0
    small: bool = False  # two weights of 1 and -1, so that a large multiplier does not saturate everything
    beside: bool = False  # two weights of -128 side by side
    activation: int | None = None


# Biases put half a step of the output between the accumulator's bounds, so that the channel is not constant.
BREACHES = {
    "none": Breach(0.0),
    "multiplier above a half": Breach(0.7, small=True),
    "multiplier above one": Breach(1.7, small=True),
    "sum above 2^23": Breach(2**-16.5, 1 << 23),
    "sum above 2^30": Breach(2**-24, (1 << 30) + (1 << 23)),
    "right shift above 23": Breach(2**-26, 7 << 25),
    "weights of -128 side by side": Breach(0.0, beside=True),
    "clamp inside int8": Breach(0.0, activation=RELU_N1_TO_1),
}
HALF, ONE, SUM_23, SUM_30, SHIFT, BESIDE, CLAMP = list(BREACHES)[1:]

# Board, kernel, layer, activation, and the breaches that the kernel takes all the same.
RADIX, PLANAR = {CLAMP}, {SUM_23, BESIDE, CLAMP}
HELIUM, HELIUM_RELU = {SUM_23, SUM_30, SHIFT, BESIDE}, {SUM_23, SUM_30, SHIFT, BESIDE, HALF}
MVE_KINDS = [
    *((name, kind, {BESIDE}) for name, kind in INT4_KINDS.items() if not name.startswith("gather")),
    *((f"pointwise_conv_2d_{way}", replace(WIDE, thin=thin), set[str]()) for way, thin in MVE_THIN.items()),
    *((f"conv_2d_{way}", replace(CONV, thin=thin), set[str]()) for way, thin in MVE_THIN.items()),
    ("fully_connected_sparse", replace(DENSE, thin="zeros 70 %"), set[str]()),
    ("fully_connected_blocks", replace(DENSE, thin="blocks 80 %"), set[str]()),
]
FAST: list[tuple[str, str, Kind, int, set[str]]] = [
    ("mps2_an386", "dsp/pointwise_conv_2d", POINTWISE, NONE, RADIX),
    ("mps2_an386", "dsp/fully_connected", DENSE, RELU, RADIX),
    ("mps2_an386", "dsp/conv_2d", CONV, NONE, RADIX),
    ("mps2_an386", "dsp/gather_conv_2d", ODD, RELU, RADIX),
    ("mps2_an386", "dsp/narrow_conv_2d", NARROW, NONE, RADIX),
    ("mps2_an386", "dsp/depthwise_conv_2d_3x3", PLANES, NONE, PLANAR),
    ("mps2_an386", "dsp/depthwise_conv_2d_3x3_linear", PLANES_2, RELU, PLANAR - {CLAMP}),
    ("mps2_an386", "dsp/depthwise_conv_2d", WIDE_PLANES, NONE, PLANAR),
    *(("mps2_an386", f"dsp/{name}", kind, NONE, {SUM_23, CLAMP}) for name, kind in INT4_KINDS.items()),
    *(("mps2_an386", f"dsp/{name}", kind, NONE, PLANAR) for name, kind in SPARSE_KINDS.items()),
    ("mps3_an547", "mve/pointwise_conv_2d", POINTWISE, RELU, HELIUM_RELU),
    ("mps3_an547", "mve/pointwise_conv_2d_signed", POINTWISE, NONE, HELIUM),
    ("mps3_an547", "mve/fully_connected", DENSE, RELU, HELIUM_RELU),
    ("mps3_an547", "mve/conv_2d", CONV, RELU, HELIUM_RELU),
    ("mps3_an547", "mve/conv_2d_signed", CONV, NONE, HELIUM),
    ("mps3_an547", "mve/row_conv_2d", CONV_16, RELU, HELIUM_RELU),
    ("mps3_an547", "mve/row_conv_2d_signed", CONV_16, NONE, HELIUM),
    ("mps3_an547", "mve/depthwise_3x3", PLANES, RELU, HELIUM_RELU),
    ("mps3_an547", "mve/depthwise_3x3_signed", PLANES, NONE, HELIUM),
    ("mps3_an547", "mve/depthwise_3x3_stride_2", PLANES_2, RELU, HELIUM_RELU),
    ("mps3_an547", "mve/depthwise_3x3_stride_2_signed", PLANES_2, NONE, HELIUM),
    *(("mps3_an547", f"mve/{name}", kind, RELU, HELIUM_RELU - lost) for name, kind, lost in MVE_KINDS),
    *(("mps3_an547", f"mve/{name}_signed", kind, NONE, HELIUM - lost) for name, kind, lost in MVE_KINDS),
    ("posix", "generic/conv_2d_pair", CONV, NONE, {SUM_23, CLAMP}),
    ("posix", "generic/depthwise_conv_2d_3x3", PLANES, NONE, PLANAR),
    ("posix", "generic/fully_connected_row", DENSE_ROWS, NONE, PLANAR),
    ("posix", "generic/conv_2d_4", NIBBLES, NONE, {SUM_23, CLAMP}),
    ("posix", "generic/conv_2d_sparse", SPARSE, NONE, PLANAR),
    ("posix", "generic/conv_2d_packed", SPARSE, NONE, PLANAR),
    ("posix", "generic/conv_2d_sparse", SPARSE_ROWS, NONE, PLANAR),
    ("posix", "generic/conv_2d_packed", SPARSE_ROWS, NONE, PLANAR),
]


def case_of(kind: Kind, breach: Breach, activation: int) -> Case:
    grid = Grid(kind.op, 1)
    weights = grid.rng.integers(-127, 128, kind.weights)
    if kind.thin:
        weights = THINNED[kind.thin](grid.rng, weights)
    by_channel = np.moveaxis(weights, kind.axis, 0)
    out_c, taps = len(by_channel), by_channel[0].size
    broken = slice(None) if not kind.per_channel else slice(1, 2)
    usual = 60 / (5400 * taps**0.5)
    multiplier, bias = np.full(out_c, usual), np.zeros(out_c, np.int64)
    multiplier[broken], bias[broken] = breach.multiplier or usual, breach.bias
    if breach.small:
        by_channel[broken] = 0
    for tap, value in enumerate((1, -1) if breach.small else (-128, -128) if breach.beside else ()):
        by_channel[(broken, *np.unravel_index(tap, by_channel[0].shape))] = value
    activation = activation if breach.activation is None else breach.activation
    zero_in, zero_out = ZERO_POINTS[activation]
    scales = (multiplier * OUT_SCALE / IN_SCALE).astype(np.float32)
    scales = scales if kind.per_channel else scales[:1]
    size = [-(-n // kind.stride) for n in kind.source[1:3]]
    out_shape = (1, *size, out_c) if len(kind.source) == 4 else (1, out_c)
    tensors = [
        Tensor("input", kind.source, "int8", IN_SCALE, zero_in),
        Tensor("weights", kind.weights, "int8", scales, 0, kind.axis, weights.astype(np.int8)),
        Tensor("bias", (out_c,), "int32", scales * np.float32(IN_SCALE), 0, 0, bias.astype(np.int32)),
    ]
    attributes = {"FusedActivationFunction": activation}
    if len(kind.source) == 4:
        attributes |= {"Padding": SAME, "StrideH": kind.stride, "StrideW": kind.stride}
    if kind.axis == 3:
        attributes["DepthMultiplier"] = out_c // kind.source[3]
    options = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D"}.get(kind.op, "FullyConnected")
    output = Tensor("output", out_shape, "int8", OUT_SCALE, zero_out)
    return grid.case(kind.op, tensors, [output], f"{options}Options", **attributes)


def pair_case(op: str, out_scale: float, activation: int) -> Case:
    """An element-wise layer of inputs with scales 0.05 and 0.03."""
    grid = Grid(op, 1)
    zero_in, zero_out = ZERO_POINTS[activation]
    tensors = [Tensor(n, (1, 5, 7, 3), "int8", s, zero_in) for n, s in (("a", IN_SCALE), ("b", OUT_SCALE))]
    output = Tensor("output", (1, 5, 7, 3), "int8", out_scale, zero_out)
    options = f"{op.capitalize()}Options"
    return grid.case(f"{out_scale:.3g}", tensors, [output], options, FusedActivationFunction=activation)


LEAST_SUM = 2 * IN_SCALE / 2**20  # the output's smallest scale, where the last multiplier reaches 1
PRODUCT = IN_SCALE * OUT_SCALE
# Board, kernel, operator, activation, output scales that it takes, and those that it does not.
PAIRS: list[tuple[str, str, str, int, tuple[float, ...], tuple[float, ...]]] = [
    ("mps2_an386", "dsp/add", "ADD", NONE, (0.06, 3 * LEAST_SUM), (1.5 * LEAST_SUM, 40.0)),
    ("mps2_an386", "dsp/add_table", "SUB", NONE, (0.06, 3 * LEAST_SUM), (1.5 * LEAST_SUM, 40.0)),
    (
        "mps2_an386",
        "dsp/mul",
        "MUL",
        NONE,
        (100 * PRODUCT, 3 * PRODUCT),
        (1.5 * PRODUCT, PRODUCT / 2, 2**26 * PRODUCT),
    ),
    ("mps3_an547", "mve/add", "ADD", RELU, (0.06, 1.5 * LEAST_SUM, 40.0), ()),
    ("mps3_an547", "mve/add_signed", "ADD", NONE, (0.06, 40.0), (1.5 * LEAST_SUM,)),
    ("posix", "generic/add_table", "SUB", NONE, (0.06, 3 * LEAST_SUM), (1.5 * LEAST_SUM, 40.0)),
]


def cases_on(board: str) -> list[tuple[GridCase, str, bool]]:
    """Case, kernel, whether that must serve it."""
    found, made = [], boards.load(board)
    for name, kernel, kind, activation, taken in FAST:
        for breach, numbers in BREACHES.items() if name == board else ():
            with taking(kernel):
                case = from_oracle(case_of(kind, numbers, activation), made)
            found.append((case, kernel, breach in taken or breach == "none"))
    for name, kernel, op, activation, taken_scales, others in PAIRS:
        for scale in (*taken_scales, *others) if name == board else ():
            case = from_oracle(pair_case(op, scale, activation), made)
            found.append((case, kernel, scale in taken_scales))
    return found


needs_qemu = [
    pytest.mark.emulator,
    pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="needs qemu"),
]


@pytest.mark.parametrize(
    "board", ["posix", *(pytest.param(name, marks=needs_qemu) for name in ("mps2_an386", "mps3_an547"))]
)
def test_broken_preconditions_take_another_kernel(board: str, tmp_path: Path) -> None:
    cases = cases_on(board)
    wrong = [
        (case.name, kernel, case.kernels, taken)
        for case, kernel, taken in cases
        if (case.kernels == (kernel,)) != taken
    ]
    assert wrong == []
    drawn = [case for case, _, _ in cases]
    assert failures(run_grid(boards.load(board), drawn, tmp_path, sanitize=board == "posix")) == []
