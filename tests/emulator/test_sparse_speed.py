"""Compressed weights against our own dense kernels on the same weights: exact instructions of whole layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from offramp import boards
from offramp.ir import Quantization, Tensor
from offramp.ops import OPS
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.gemm import Window
from tests.oracle.compressed_layers import INT4, Values
from tests.ways_cost import Figure, figures
from tools.cost_grid import INPUT, Layer

pytestmark = pytest.mark.emulator

BOARD = "mps2_an386"
DENSE = ("pointwise_conv_2d", "conv_2d", "fully_connected")  # int8 size, what `balanced` takes of dense ways
UNSTRUCTURED, BLOCKS_80, BLOCKS_90 = Values(127, 127, 0.9), Values(127, 127, 0.8, 4), Values(127, 127, 0.9, 4)


@dataclass(frozen=True)
class Bar:
    """A layer by its input's shape and its weights', and how many times fewer instructions a kernel must take."""

    input: tuple[int, ...]
    weights: tuple[int, ...]
    values: Values
    kernel: str
    least: float

    def layer(self, relu: bool) -> Layer:
        """With an output that uses int8; from a ReLU, or with outputs below the zero point too."""
        rng = np.random.default_rng(3)
        out_c = self.weights[0]
        data = self.values.draw(rng, self.weights)
        rms = float((data.reshape(out_c, -1).astype(np.float64) ** 2).sum(axis=1).mean()) ** 0.5
        scales = rng.uniform(0.5, 1.5, out_c if len(self.weights) == 4 else 1) * 0.01
        quantization = Quantization(tuple(map(float, scales)), (0,) * len(scales), 0)
        bias = Tensor("b", (out_c,), "s32", None, rng.integers(-999, 999, out_c).astype(np.int32))
        inputs = (
            Tensor("x", self.input, "s8", INPUT),
            Tensor("w", self.weights, "s8", quantization, data),
            bias,
        )
        kind, attributes = (
            ("conv_2d", Window(padding="same"))
            if len(self.weights) == 4
            else ("fully_connected", FullyConnected())
        )
        attributes = replace(attributes, activation="relu" if relu else "none")
        [shape] = OPS[kind].shapes(attributes, list(inputs))
        out = Quantization((0.05 * 0.01 * 1.2 * rms,), (-128 if relu else -7,))
        return Layer(kind, attributes, inputs, Tensor("y", shape, "s8", out))


POINTWISE = ((1, 10, 10, 64), (64, 1, 1, 64))
LONG = ((1, 25, 5, 64), (64, 1, 1, 64))
WIDE = ((1, 6, 6, 128), (128, 1, 1, 128))
SQUARE = ((1, 8, 8, 32), (32, 3, 3, 32))
SQUARE_64 = ((1, 8, 8, 64), (64, 3, 3, 64))
DENSE_256, DENSE_128 = ((1, 256), (128, 256)), ((1, 128), (128, 128))
INT4_SHARE = 1 / 1.15

BARS = {
    "int4": [
        Bar(*POINTWISE, INT4, "pointwise_conv_2d_4", INT4_SHARE),
        Bar(*SQUARE, INT4, "conv_2d_4", INT4_SHARE),
        Bar(*DENSE_128, INT4, "fully_connected_4", INT4_SHARE),
        Bar((1, 256), (64, 256), INT4, "fully_connected_4", INT4_SHARE),
    ],
    "1x1 at 90 %, any zeros": [
        Bar(*shape, UNSTRUCTURED, "conv_2d_sparse", 2.5) for shape in (POINTWISE, LONG, WIDE)
    ],
    "1x1 at 80 %, blocks": [
        Bar(*shape, BLOCKS_80, "conv_2d_blocks", 2.5) for shape in (POINTWISE, LONG, WIDE)
    ],
    "3x3 at 90 %": [
        Bar(*shape, values, kernel, 2.0)
        for shape in (SQUARE, SQUARE_64)
        for values, kernel in ((UNSTRUCTURED, "conv_2d_sparse"), (BLOCKS_90, "conv_2d_blocks"))
    ],
    "fully connected at 90 %": [
        Bar(*DENSE_256, UNSTRUCTURED, "fully_connected_sparse", 2.0),
        Bar(*DENSE_256, BLOCKS_90, "fully_connected_blocks", 3.0),
    ],
    # The smallest streams; how many times slower they may be is no promise but keeps what they are.
    "packed, int4 at 90 %": [
        Bar(*POINTWISE, Values(8, 7, 0.9), "conv_2d_packed", 0.9),
        Bar(*SQUARE_64, Values(8, 7, 0.9), "conv_2d_packed", 1.4),
        Bar(*SQUARE_64, Values(8, 7, 0.9, 4), "conv_2d_packed_blocks", 1.8),
        Bar(*DENSE_256, Values(8, 7, 0.9), "fully_connected_packed", 0.55),
    ],
}


def row(bar: Bar, relu: bool, found: dict[str, Figure]) -> tuple[str, float]:
    """A line for people, and the dense kernel's instructions over the bar's kernel's."""
    dense, own = next(found[f"dsp/{n}"] for n in DENSE if f"dsp/{n}" in found), found[f"dsp/{bar.kernel}"]
    ratio = dense.instructions / own.instructions
    weights = int(np.prod(bar.weights))
    winograd = found.get("dsp/winograd_conv_2d")
    beside = f", Winograd {winograd.instructions}" if winograd else ""
    return (
        f"{bar.kernel} {bar.input} {bar.weights}{' relu' if relu else ''}: {own.instructions} instructions, "
        f"dense {dense.instructions}{beside}: {ratio:.2f} times (bar {bar.least:.2f}); block {own.block_bytes} bytes, "
        f"{own.block_bytes / weights:.1%} of the int8 weights, dense {dense.block_bytes}; scratch {own.scratch_bytes}",
        ratio,
    )


@pytest.mark.parametrize("name", BARS)
def test_bars(name: str) -> None:
    bars = [(bar, relu) for bar in BARS[name] for relu in (False, True)]
    found = figures(boards.load(BOARD), [bar.layer(relu) for bar, relu in bars], ("dsp",))
    rows = [row(bar, relu, of) for (bar, relu), of in zip(bars, found, strict=True)]
    print(*(line for line, _ in rows), sep="\n")
    missed = [line for (line, ratio), (bar, _) in zip(rows, bars, strict=True) if ratio < bar.least]
    assert missed == []
    if name == "int4":
        for (bar, _), of in zip(bars, found, strict=True):
            dense = next(of[f"dsp/{n}"] for n in DENSE if f"dsp/{n}" in of)
            large = int(np.prod(bar.weights[1:])) >= 128
            assert of[f"dsp/{bar.kernel}"].block_bytes <= (0.53 if large else 0.62) * dense.block_bytes
