"""DYNAMIC_FULLY_CONNECTED: int16 rows brought to int8 by their own range at run time. This is its specification.

x is s16 with scale s (a row has k values), weights s8 [out_c, k] with scales s_w, bias s64 or s32 in units of
s * s_w, out s16. For each row, in integers,

    m   = max |x|, or 1 where that is 0                  1 to 32768
    r   = (127 * 2^22 + m // 2) // m                     127 / m with 22 bits behind the point
    q   = (x * r + 2^21) >> 22                           int8, -127 to 127
    sum = m * (weights @ q) + 127 * bias                 int64, in units of s * s_w / 127
    out = clamp(multiply_wide(sum, s * s_w / (127 * s_out)))

with the 16x8 specification's multiplication of int64 sums. What this loses: |r * m / 2^22 - 127| <= m / 2^23, so
|x - q * m / 127| <= m / 254 * (1 + 2^-7), and for every output

    |out * s_out - y| <= s * s_w * m / 254 * (1 + 2^-7) * sum |weights| + |y| * 2^-15 + s_out / 2

where it does not saturate. The range is the row's own: a quiet row keeps seven bits as a loud one does, which a fixed
scale of int8 would take from it. An input of s8 has no more bits than q and nothing to gain: it is refused, and
fully_connected serves it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops import fully_connected
from offramp.ops.conv_2d_s16 import INT64, ROUND, channels, ordered
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.gemm import Requantization, bias_of, requantization
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
from offramp.ops.work import Numbers, up

PARAMS = Params(
    "dynamic_fully_connected",
    [("depth", "u32"), ("rows", "u32"), ("out_c", "u16"), ("act_min", "s16"), ("act_max", "s16")],
)


def work(n: Numbers) -> dict[str, int]:
    pairs = n["rows"] * up(n["out_c"], 2)
    return {
        "rows": n["rows"],
        "inputs": n["rows"] * n["depth"],
        "blocks": pairs,
        "products": pairs * up(n["depth"], ROUND),
        "outputs": n["elements"],
    }


KERNEL = Kernel(
    "generic",
    "dynamic_fully_connected",
    0x014A,
    1,
    PARAMS,
    tables=(
        "for each channel s32 bias[2] (64 bits, times 127), s32 multiplier, 16 bits, s32 right shift, 8 to 46; "
        "s8 weights as conv_2d_s16"
    ),
    work=work,
    group="int16",
)
MOST = 127  # of q
FRACTION = 22  # bits of a reciprocal
LARGEST_BIAS = 1 << 39  # so that 127 times it leaves sums below 2^47


def shapes(a: FullyConnected, inputs: list[Tensor | None]) -> list[Shape]:
    x = present(inputs[0])
    if x.dtype not in ("s16", "f32"):
        raise ShapeError(f"tensor {x.name} is {x.dtype}, s16 is needed: fully_connected serves s8")
    return fully_connected.shapes(a, inputs)


def quantized_rows(rows: Array) -> tuple[Array, Array]:
    """int64 rows [n, k] -> (q, m [n, 1])."""
    m = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1)
    r = ((MOST << FRACTION) + m // 2) // m
    return (rows * r + (1 << (FRACTION - 1))) >> FRACTION, m


def layer_of(a: FullyConnected, inputs: list[Tensor | None], out: Tensor) -> tuple[Requantization, Array]:
    """The output's side, and the bias times 127."""
    x, weights = present(inputs[0]), present(inputs[1])
    scale = x.quant.scale / MOST
    divided = replace(x, quantization=replace(x.quant, scales=(scale,)))
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, weights.shape[0])
    if np.abs(bias).max(initial=0) > LARGEST_BIAS:
        raise ShapeError(f"a bias of {np.abs(bias).max()}, at most 2^39")
    return requantization(divided, weights, out, a.activation), MOST * bias


def reference(
    a: FullyConnected, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    weights, out = constant(inputs[1]), outputs[0]
    r, bias = layer_of(a, inputs, out)
    assert values[0] is not None
    q, m = quantized_rows(values[0].reshape(-1, weights.shape[1]).astype(np.int64))
    total = m * (q @ weights.astype(np.int64).T) + bias
    return [r(total).reshape(out.shape)]


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    x, weights, out = present(inputs[0]), constant(inputs[1]), outputs[0]
    if out.dtype != "s16":
        return None
    out_c, k = weights.shape
    r, bias = layer_of(op.attributes, inputs, out)
    rows = elements(x.shape) // k
    params = PARAMS.pack(depth=k, rows=rows, out_c=out_c, act_min=r.act_min, act_max=r.act_max)
    w = ordered(weights)
    macs = fully_connected.macs(op.attributes, inputs, outputs)
    data = block(params, channels(r, bias, INT64), w)
    return [Step(KERNEL, (op.inputs[0],), op.outputs, data, 2 * w.shape[1], macs)]


OP = OpType("dynamic_fully_connected", FullyConnected, shapes, reference, steps, fully_connected.macs)
