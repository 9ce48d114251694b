"""FULLY_CONNECTED, int8: a 1x1 convolution over the rows of its input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops.conv_2d import gemm_step
from offramp.ops.gemm import MOST_TAPS, bias_of, requantization
from offramp.ops.op import Array, OpType, Shape, ShapeError, Step, constant, elements, int8_only, present


@dataclass(frozen=True)
class FullyConnected:
    activation: str = "none"
    keep_num_dims: bool = False


def shapes(a: FullyConnected, inputs: list[Tensor | None]) -> list[Shape]:
    int8_only(inputs[0], inputs[1])
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
    acc += bias_of(inputs[2] if len(inputs) > 2 else None, out_c)
    return [requantization(x, weights, out, a.activation)(acc).reshape(out.shape)]


def macs(a: FullyConnected, inputs: list[Tensor | None], outputs: list[Tensor]) -> int:
    out_c, _ = present(inputs[1]).shape
    return elements(present(inputs[0]).shape) * out_c


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    x, weights = present(inputs[0]), present(inputs[1])
    out_c, k = weights.shape
    rows = elements(x.shape) // k
    one = dict.fromkeys(
        (
            "cols",
            "out_cols",
            "kernel_h",
            "kernel_w",
            "stride_h",
            "stride_w",
            "dilation_h",
            "dilation_w",
            "groups",
        ),
        1,
    )
    geometry = {**one, "rows": rows, "out_rows": rows, "in_c": k, "out_c": out_c, "pad_top": 0, "pad_left": 0}
    return [
        gemm_step(
            op,
            geometry,
            requantization(x, weights, outputs[0], op.attributes.activation),
            constant(weights),
            bias_of(inputs[2] if len(inputs) > 2 else None, out_c),
            x.quant.zero_point,
            macs(op.attributes, inputs, outputs),
        )
    ]


OP = OpType("fully_connected", FullyConnected, shapes, reference, steps, macs)
