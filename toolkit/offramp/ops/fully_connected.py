"""FULLY_CONNECTED, int8 or int16: a 1x1 convolution over the rows of its input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops.conv_2d import S16, Gemm, gemm_step, general_gemm_step
from offramp.ops.conv_2d_pair import padded
from offramp.ops.conv_2d_s16 import product_step
from offramp.ops.doubled import doubled
from offramp.ops.gemm import MOST_TAPS, Requantization, bias_of, requantization, weighted_types
from offramp.ops.op import (
    Array,
    Kernel,
    OpType,
    Params,
    Shape,
    ShapeError,
    Step,
    block,
    constant,
    elements,
    present,
)
from offramp.ops.work import Product

CHANNELS = 8  # multiplied at a time, as in the C file
LEAST_WEIGHTS = 1024
MAX_PAIR_DEPTH = 1024  # one row alone is not worth more scratch, 5 bytes an input, than this
MAX_DEPTH = 65536
PARAMS = Params(
    "fully_connected_row",
    [
        ("depth", "u32"),
        ("out_c", "u16"),
        ("per_channel", "u16"),
        ("output_zero_point", "s16"),
        ("act_min", "s16"),
        ("act_max", "s16"),
    ],
)
KERNEL = Kernel(
    "generic",
    "fully_connected_row",
    0x0114,
    1,
    PARAMS,
    tables=(
        "with n = out_c rounded up to 8: s32 bias[n], doubled, with the input zero point folded in; s32 multiplier "
        "and s32 right shift [m], m = n if per_channel, else 1; s8 weights[n / 8][depth][8]"
    ),
    work=Product(1, CHANNELS, 8),
)


@dataclass(frozen=True)
class FullyConnected:
    activation: str = "none"
    keep_num_dims: bool = False


def shapes(a: FullyConnected, inputs: list[Tensor | None]) -> list[Shape]:
    weighted_types(inputs)
    x, (out_c, k) = present(inputs[0]), present(inputs[1]).shape
    if k > MOST_TAPS:
        raise ShapeError(f"{k} weights for one output, at most {MOST_TAPS}")
    if elements(x.shape) % k or (a.keep_num_dims and x.shape[-1] != k):
        raise ShapeError(f"input {x.shape}, weights take {k}")
    return [(*x.shape[:-1], out_c) if a.keep_num_dims else (elements(x.shape) // k, out_c)]


def reference(
    a: FullyConnected, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    out_c, k = weights.shape
    assert values[0] is not None
    centred = values[0].reshape(-1, k).astype(np.float64) - x.quant.zero_point
    acc = (centred @ constant(weights).astype(np.float64).T).astype(np.int64)  # exact below 2^53
    bias = inputs[2] if len(inputs) > 2 else None
    acc += bias_of(bias, out_c)
    return [requantization(x, weights, out, a.activation, bias)(acc).reshape(out.shape)]


def macs(a: FullyConnected, inputs: list[Tensor | None], outputs: list[Tensor]) -> int:
    out_c, _ = present(inputs[1]).shape
    return elements(present(inputs[0]).shape) * out_c


def gemm(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Gemm:
    x, weights = present(inputs[0]), present(inputs[1])
    out_c, k = weights.shape
    rows = elements(x.shape) // k
    bias = inputs[2] if len(inputs) > 2 else None
    ones = "cols out_cols kernel_h kernel_w stride_h stride_w dilation_h dilation_w groups"
    sizes = {"rows": rows, "out_rows": rows, "in_c": k, "out_c": out_c, "pad_top": 0, "pad_left": 0}
    return (
        dict.fromkeys(ones.split(), 1) | sizes,
        requantization(x, weights, outputs[0], op.attributes.activation, bias),
        constant(weights),
        bias_of(bias, out_c),
        x.quant.zero_point,
        macs(op.attributes, inputs, outputs),
    )


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    geometry, r, weights, bias, zero, count = gemm(op, inputs, outputs)
    (out_c, k), rows = weights.shape, geometry["rows"]
    if present(inputs[0]).dtype == "s16":
        return [product_step(S16, op, geometry, r, weights, bias, count)]
    if rows == 1 and is_worth_it(out_c, k):
        row = row_step(op, r, weights, bias, zero, count)
        if row is not None:
            return [row]
    chosen = general_gemm_step if rows == 1 and k > MAX_PAIR_DEPTH else gemm_step
    return [chosen(op, geometry, r, weights, bias, zero, count)]


def is_worth_it(out_c: int, k: int) -> bool:
    """Whether the kernel for one row saves enough instructions for its flash.

    On a Cortex-M3 it takes 2.4 instructions a weight, the convolution 4.1, and rounds channels up to 8.
    """
    return out_c * k >= LEAST_WEIGHTS and -out_c % CHANNELS * 8 <= out_c


def row_step(op: Op, r: Requantization, weights: Array, bias: Array, zero: int, macs: int) -> Step | None:
    """A step of the kernel for one row, weights [out_c, k]; None where its preconditions fail."""
    out_c, k = weights.shape
    layer = doubled(weights, bias - zero * weights.astype(np.int64).sum(axis=1), r)
    if layer is None or k > MAX_DEPTH:
        return None
    params = PARAMS.pack(
        depth=k,
        out_c=out_c,
        per_channel=int(len(layer.scale) > 1),
        output_zero_point=r.zero_point,
        act_min=r.act_min,
        act_max=r.act_max,
    )
    scale = padded(layer.scale, 0, CHANNELS) if len(layer.scale) > 1 else layer.scale
    laid = padded(layer.weights, 0, CHANNELS).reshape(-1, CHANNELS, k).transpose(0, 2, 1)
    data = block(params, padded(layer.bias, 0, CHANNELS), scale, laid)
    return Step(KERNEL, (op.inputs[0],), op.outputs, data, macs=macs)


OP = OpType("fully_connected", FullyConnected, shapes, reference, steps, macs)
