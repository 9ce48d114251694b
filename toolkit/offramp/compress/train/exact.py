"""The integer reference's arithmetic on PyTorch tensors: integers held in floats, gradients straight through."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from offramp.compress.train.arrays import tensor_of
from offramp.compress.train.functions import Value, channels_first, channels_last
from offramp.ir import DTYPES, Op, Tensor
from offramp.ops import OPS
from offramp.ops.gemm import Requantization
from offramp.ops.verify import RANGES
from offramp.reference import batched_op

CHUNK = 1 << 16  # accumulators requantized at a time: their 64-bit copies stay in the cache
FLOAT32_EXACT, INT32_LIMIT = 1 << 24, 1 << 31
LARGEST_INPUT = 255  # of |q - zero point|


class Through(torch.autograd.Function):  # type: ignore[misc]
    """The integers `exact` forward; backward to `real`, the same before rounding, where that is inside [low, high]."""

    @staticmethod
    def forward(ctx: Any, real: Value, exact: Value, low: float, high: float) -> Value:
        ctx.save_for_backward((real >= low - 0.5) & (real <= high + 0.5))
        return exact

    @staticmethod
    def backward(ctx: Any, gradient: Value) -> tuple[Value, None, None, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None, None


def through(real: Value, exact: Value, low: float, high: float) -> Value:
    found: Value = Through.apply(real, exact, low, high)
    return found


def along_channels(values: Any, rank: int) -> Value:
    """A value a channel, or one for all, as it is broadcast to tensors of the module: axis 1 of 4, else the last."""
    found = tensor_of(values) if isinstance(values, np.ndarray) else torch.as_tensor(values)
    return found.reshape((1, -1, 1, 1) if rank == 4 else (1,) * (rank - 1) + (-1,))


def requantized(acc: Value, bias: Value, r: Requantization, limit: int) -> Value:
    """int8 values as float32 of accumulators (integers in floats) and an int64 bias; gemmlowp's double rounding.

    `limit` bounds |acc + bias|.
    """
    multiplier, shift = (along_channels(v, acc.dim()) for v in (r.multiplier, r.shift))
    bias = along_channels(bias, acc.dim())
    left, right = shift.clamp(min=0), (-shift).clamp(min=0)
    half, negative = (1 << right) >> 1, -(right > 0).long()
    wraps = limit << int(left.max()) >= INT32_LIMIT
    out = torch.empty_like(acc, dtype=torch.float32)
    rows = max(1, CHUNK * len(acc) // max(acc.numel(), 1))
    for part, into in zip(acc.split(rows), out.split(rows), strict=True):
        x = part.to(torch.int64).add_(bias)
        x = wrapped(wrapped(x).bitwise_left_shift_(left)) if wraps else x.bitwise_left_shift_(left)
        x.mul_(multiplier).add_(1 << 30).bitwise_right_shift_(31)
        x.add_((x >> 63).bitwise_and_(negative)).add_(half).bitwise_right_shift_(
            right
        )  # halves away from zero
        into.copy_(x.add_(r.zero_point).clamp_(r.act_min, r.act_max))
    return out


def wrapped(x: Value) -> Value:
    """What an int32 register would hold."""
    return x.to(torch.int32).to(torch.int64)


def rounded_average(total: Value, count: Value) -> Value:
    """total / count, halves away from zero; integers in floats, exact while below 2^24."""
    half = torch.div(count, 2, rounding_mode="floor")
    return torch.trunc((total + torch.where(total > 0, half, -half)) / count)


def by_table(op: Op, x: Tensor, out: Tensor, values: Value) -> Value:
    """An operator on each int8 value alone, from its reference on all 256."""
    every = np.arange(-128, 128, dtype=np.int8)
    q = [replace(t, shape=(256,)) for t in (x, out)]
    (table,) = OPS[op.kind].reference(op.attributes, [q[0]], [q[1]], [every])
    return tensor_of(table.astype(np.float32))[(values + 128).long()]


def by_reference(
    op: Op, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Value]
) -> list[Value]:
    """Any operator, by the reference in numpy; `values` of inputs that are no constants, the others None."""
    n = max(len(v) for v in values if v is not None)
    wide = batched_op(op, n)
    assert wide is not None  # the module has been checked
    shaped = [of_rows(t, n) for t in outputs]
    given = [in_numpy(t, v) for t, v in zip(inputs, values, strict=True)]
    tensors = [t if v is None or t is None else of_rows(t, n) for t, v in zip(inputs, values, strict=True)]
    found = OPS[op.kind].reference(wide.attributes, tensors, shaped, given)
    return [channels_first(tensor_of(value.astype(np.float32))) for value in found]


def of_rows(t: Tensor, n: int) -> Tensor:
    return replace(t, shape=(n, *t.shape[1:]))


def in_numpy(t: Tensor | None, value: Value) -> Any:
    if t is None or value is None:
        return None if t is None else t.data
    return channels_last(value.detach()).contiguous().numpy().astype(DTYPES[t.dtype])


def real_of(t: Tensor, q: Value) -> Value:
    """Real numbers that integers in floats stand for."""
    return (q - t.quant.zero_point) * t.quant.scale


def steps_of(t: Tensor, real: Value) -> Value:
    """Real numbers in steps of a tensor's quantization, not yet rounded or clamped."""
    return real / t.quant.scale + t.quant.zero_point


def quantized(t: Tensor, real: Value) -> Value:
    """Integers nearest to real numbers, as offramp.compress.rounding.nearest gives them."""
    steps, (low, high) = steps_of(t, real.double()), RANGES[t.dtype]
    exact = torch.round(real.double() / t.quant.scale) + t.quant.zero_point
    return through(steps, exact.clamp(low, high), low, high).float()
