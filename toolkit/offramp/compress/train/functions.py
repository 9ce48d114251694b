"""What every operator without weights computes on PyTorch tensors, differentiable.

Values of rank 4 stand as NCHW tensors in channels_last memory, which is the graph's NHWC in every byte; all others
stand as in the graph. The first axis is the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from offramp.compress.train.arrays import tensor_of
from offramp.ops import resize
from offramp.ops.gemm import Window, pad_before, window_outputs
from offramp.ops.pool_2d import Pool
from offramp.ops.real import neighbours

Value = Any  # torch.Tensor; torch is not typed here
Size = tuple[int, int]
Pads = tuple[int, int, int, int]  # left, right, top, bottom


def channels_first(x: Value) -> Value:
    """From the graph's order of axes to the module's; no copy."""
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


def channels_last(x: Value) -> Value:
    """From the module's order of axes to the graph's; no copy."""
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def axis_of(axis: int, rank: int) -> int:
    """Where an axis of the graph stands in the module."""
    return (0, 2, 3, 1)[axis] if rank == 4 else axis


def activated(activation: str, x: Value) -> Value:
    """A fused activation."""
    if activation == "relu":
        return F.relu(x)
    if activation == "relu6":
        return x.clamp(0, 6)
    return x.clamp(-1, 1) if activation == "relu_n1_to_1" else x


def pads_of(a: Window, size: Size, kernel: Size) -> Pads:
    """Padding of a window over an input of `size` (height, width)."""
    if a.padding == "explicit":
        top, left, bottom, right = a.pads
        return left, right, top, bottom
    out = window_outputs(a, size, kernel)

    def both(axis: int, stride: int, dilation: int) -> Size:
        before = pad_before(size[axis], out[axis], kernel[axis], stride, dilation, a.padding)
        reach = (kernel[axis] - 1) * dilation + 1
        return before, max(0, (out[axis] - 1) * stride + reach - size[axis] - before)

    return *both(1, a.stride_w, a.dilation_w), *both(0, a.stride_h, a.dilation_h)


def pool_pads(a: Pool, x: Value) -> Pads:
    window = Window(a.stride_h, a.stride_w, padding=a.padding, pads=a.pads)
    return pads_of(window, tuple(x.shape[2:]), (a.filter_h, a.filter_w))


def average_pool_2d(a: Pool, x: Value) -> Value:
    size, stride, pads = (a.filter_h, a.filter_w), (a.stride_h, a.stride_w), pool_pads(a, x)
    if not any(pads):
        return activated(a.activation, F.avg_pool2d(x, size, stride))
    ones = torch.ones_like(x[:1, :1])
    total, count = (F.avg_pool2d(F.pad(v, pads), size, stride, divisor_override=1) for v in (x, ones))
    return activated(a.activation, total / count)  # padding does not count


def max_pool_2d(a: Pool, x: Value) -> Value:
    pads = pool_pads(a, x)
    padded = F.pad(x, pads, value=-torch.inf) if any(pads) else x
    found = F.max_pool2d(padded, (a.filter_h, a.filter_w), (a.stride_h, a.stride_w))
    return activated(a.activation, found)


def mean(a: Any, x: Value) -> Value:
    if x.dim() == 4 and (a.keep_dims or sorted(a.axes) == [1, 2]):
        return x.mean([axis_of(i, 4) for i in a.axes], keepdim=a.keep_dims)
    return channels_first(channels_last(x).mean(a.axes, keepdim=a.keep_dims))


def two_inputs(function: Callable[[Value, Value], Value]) -> Callable[..., list[Value]]:
    return lambda a, x, y: [activated(a.activation, function(*of_one_rank(x, y)))]


def of_one_rank(x: Value, y: Value) -> tuple[Value, Value]:
    """Broadcasts as the graph does: a value of rank 2 beside one of rank 4 has its channels last."""
    if x.dim() == y.dim():
        return x, y
    if x.dim() < y.dim():
        y, x = of_one_rank(y, x)
        return x, y
    y = y.reshape(y.shape[:1] + (1,) * (x.dim() - y.dim()) + y.shape[1:])
    return x, channels_first(y)


def softmax(a: Any, x: Value) -> Value:
    return torch.softmax(x * a.beta, axis_of(x.dim() - 1, x.dim()))


def reshape(a: Any, x: Value) -> Value:
    return channels_first(channels_last(x).reshape(x.shape[0], *a.shape[1:]))


def transpose(a: Any, x: Value) -> Value:
    return channels_first(channels_last(x).permute(a.order))


def pad(a: Any, x: Value) -> Value:
    by_axis = {axis_of(i, x.dim()): (a.before[i], a.after[i]) for i in range(x.dim())}
    amounts = [n for i in reversed(range(x.dim())) for n in by_axis[i]]
    return F.pad(x, amounts, value=a.value)


def split(a: Any, x: Value) -> list[Value]:
    return list(torch.split(x, a.sizes, axis_of(a.axis, x.dim())))


def strided_slice(a: Any, x: Value) -> Value:
    """The batch is kept whole."""
    value = channels_last(x)
    for axis, (begin, length, stride) in enumerate(zip(a.begin, a.length, a.stride, strict=True)):
        if axis and (begin, length, stride) != (0, value.shape[axis], 1):
            value = value.index_select(axis, begin + stride * torch.arange(length))
    return channels_first(value.reshape(x.shape[0], *a.shape[1:]))


def resize_nearest(a: Any, x: Value) -> Value:
    rows = tensor_of(resize.nearest(x.shape[2], a.height, a))
    cols = tensor_of(resize.nearest(x.shape[3], a.width, a))
    return x.index_select(2, rows).index_select(3, cols)


def resize_bilinear(a: Any, x: Value) -> Value:
    for axis, out in ((2, a.height), (3, a.width)):
        *sides, weight = (tensor_of(v) for v in neighbours(x.shape[axis], out, a))
        lower, upper = (x.index_select(axis, side) for side in sides)
        weight = weight.reshape(-1, *[1] * (3 - axis))
        x = lower * (1 - weight) + upper * weight
    return x


def one(function: Callable[[Any, Value], Value]) -> Callable[..., list[Value]]:
    return lambda a, x: [function(a, x)]


# Kind -> function of (attributes, values of the inputs) -> values of the outputs.
FUNCTIONS: dict[str, Callable[..., list[Value]]] = {
    "average_pool_2d": one(average_pool_2d),
    "max_pool_2d": one(max_pool_2d),
    "add": two_inputs(torch.add),
    "sub": two_inputs(torch.sub),
    "mul": two_inputs(torch.mul),
    "mean": one(mean),
    "relu": one(lambda a, x: F.relu(x)),
    "relu6": one(lambda a, x: x.clamp(0, 6)),
    "leaky_relu": one(lambda a, x: F.leaky_relu(x, a.alpha)),
    "hard_swish": one(lambda a, x: F.hardswish(x)),
    "logistic": one(lambda a, x: torch.sigmoid(x)),
    "tanh": one(lambda a, x: torch.tanh(x)),
    "softmax": one(softmax),
    "reshape": one(reshape),
    "transpose": one(transpose),
    "pad": one(pad),
    "concatenation": lambda a, *x: [torch.cat(x, axis_of(a.axis, x[0].dim()))],
    "split": split,
    "strided_slice": one(strided_slice),
    "resize_nearest_neighbor": one(resize_nearest),
    "resize_bilinear": one(resize_bilinear),
}
