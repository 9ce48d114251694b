"""Float references: what every operator computes on real numbers, in numpy, any batch on axis 0.

They are the mathematical function that an integer reference approximates; a model's float graph is run, calibrated
and compared with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from offramp.ir import Tensor
from offramp.ops import (
    concatenation,
    pad,
    pool_2d,
    reshape,
    resize,
    split,
    strided_slice,
    transpose,
)
from offramp.ops.conv_2d import padding_of
from offramp.ops.gemm import Window, im2col
from offramp.ops.op import Array

# (attributes, outputs, input values; weights among them) -> output values, float32
Real = Callable[[Any, Sequence[Tensor], Sequence[Array | None]], list[Array]]
Values = Sequence[Array | None]


def activated(activation: str, x: Array) -> Array:
    """A fused activation."""
    low = {"none": -np.inf, "relu_n1_to_1": -1.0}.get(activation, 0.0)
    high = {"relu6": 6.0, "relu_n1_to_1": 1.0}.get(activation, np.inf)
    return np.clip(x, low, high).astype(np.float32)


def given(values: Values, i: int) -> Array:
    found = values[i]
    assert found is not None
    return found


def bias_of(values: Values) -> Array | float:
    bias = values[2] if len(values) > 2 else None
    return 0.0 if bias is None else bias.reshape(-1)


def conv_2d(a: Window, outputs: Sequence[Tensor], values: Values) -> list[Array]:
    x, w, out = given(values, 0), given(values, 1), outputs[0]
    out_c, kh, kw, group_c = w.shape
    groups = x.shape[3] // group_c
    pads = padding_of(a, like(x), like(w), out)
    columns = im2col(x, (kh, kw), (out.shape[1], out.shape[2]), pads, a, 0)
    by_group = columns.reshape(*columns.shape[:4], groups, group_c)
    parts = [
        np.tensordot(by_group[..., g, :], part, axes=([3, 4], [1, 2]))
        for g, part in enumerate(w.reshape(groups, out_c // groups, kh * kw, group_c))
    ]
    return [activated(a.activation, np.concatenate(parts, axis=-1) + bias_of(values))]


def depthwise_conv_2d(a: Window, outputs: Sequence[Tensor], values: Values) -> list[Array]:
    x, w, out = given(values, 0), given(values, 1), outputs[0]
    _, kh, kw, out_c = w.shape
    pads = padding_of(a, like(x), like(w), out)
    columns = im2col(x, (kh, kw), (out.shape[1], out.shape[2]), pads, a, 0)
    repeated = np.repeat(columns, out_c // x.shape[3], axis=-1)
    total = np.einsum("nhwtc,tc->nhwc", repeated, w.reshape(kh * kw, out_c))
    return [activated(a.activation, total + bias_of(values))]


def binary_conv_2d(a: Window, outputs: Sequence[Tensor], values: Values) -> list[Array]:
    """Signs of the input, weights as they are: an integer graph's scale of weights is divided by the input's."""
    signs = np.where(given(values, 0) >= 0, 1, -1).astype(np.float32)
    return conv_2d(a, outputs, [signs, *values[1:]])


def like(x: Array) -> Tensor:
    """A tensor that has an array's shape."""
    return Tensor("", x.shape, "f32")


def fully_connected(a: Any, outputs: Sequence[Tensor], values: Values) -> list[Array]:
    w = given(values, 1)
    total = given(values, 0).reshape(-1, w.shape[1]) @ w.T + bias_of(values)
    return [activated(a.activation, total).reshape(-1, *outputs[0].shape[1:])]


def average_pool_2d(a: Any, outputs: Sequence[Tensor], values: Values) -> list[Array]:
    x = given(values, 0)
    total = windows(a, outputs[0], x, 0).sum(axis=3)
    count = windows(a, outputs[0], np.ones_like(x[:1]), 0).sum(axis=3)  # padding does not count
    return [activated(a.activation, total / count)]


def max_pool_2d(a: Any, outputs: Sequence[Tensor], values: Values) -> list[Array]:
    found = windows(a, outputs[0], given(values, 0), -np.inf).max(axis=3)
    return [activated(a.activation, found)]


def windows(a: Any, out: Tensor, x: Array, fill: float) -> Array:
    window = Window(a.stride_h, a.stride_w)
    pads = pool_2d.padding_of(a, like(x), out)
    return im2col(x, (a.filter_h, a.filter_w), (out.shape[1], out.shape[2]), pads, window, fill)


def two_inputs(function: Callable[[Array, Array], Array]) -> Real:
    return lambda a, outputs, values: [activated(a.activation, function(given(values, 0), given(values, 1)))]


def one_input(function: Callable[[Any, Array], Array]) -> Real:
    return lambda a, outputs, values: [function(a, given(values, 0)).astype(np.float32)]


def moved(reference: Callable[..., list[Array]]) -> Real:
    """An operator that only moves values: its integer reference does it."""
    return lambda a, outputs, values: reference(a, [], list(outputs), list(values))


def softmax(a: Any, x: Array) -> Array:
    e = np.exp(a.beta * (x - x.max(axis=-1, keepdims=True)))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def logistic(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def resize_bilinear(a: Any, outputs: Sequence[Tensor], values: Values) -> list[Array]:
    x = given(values, 0)
    above, below, down = neighbours(x.shape[1], a.height, a)
    left, beside, right = neighbours(x.shape[2], a.width, a)
    down, right = down[:, None, None], right[None, :, None]

    def between(rows: Array) -> Array:
        return np.asarray(x[:, rows][:, :, left] * (1 - right) + x[:, rows][:, :, beside] * right)

    return [(between(above) * (1 - down) + between(below) * down).astype(np.float32)]


def neighbours(length: int, out: int, a: resize.Resize) -> tuple[Array, Array, Array]:
    """Of each output index the source indices on both sides, and the second's weight."""
    scale = (length - 1) / (out - 1) if a.align_corners and out > 1 else length / out
    half = 0.5 if a.half_pixel_centers else 0.0
    position = ((np.arange(out) + half) * scale - half).clip(0, length - 1)
    lower = np.floor(position).astype(int)
    return lower, np.minimum(lower + 1, length - 1), (position - lower).astype(np.float32)


REAL: dict[str, Real] = {
    "conv_2d": conv_2d,
    "depthwise_conv_2d": depthwise_conv_2d,
    "binary_conv_2d": binary_conv_2d,
    "fully_connected": fully_connected,
    "dynamic_fully_connected": fully_connected,
    "average_pool_2d": average_pool_2d,
    "max_pool_2d": max_pool_2d,
    "add": two_inputs(np.add),
    "sub": two_inputs(np.subtract),
    "mul": two_inputs(np.multiply),
    "mean": lambda a, outputs, values: [given(values, 0).mean(axis=a.axes, keepdims=a.keep_dims)],
    "relu": one_input(lambda a, x: np.maximum(x, 0)),
    "relu6": one_input(lambda a, x: np.clip(x, 0, 6)),
    "leaky_relu": one_input(lambda a, x: np.where(x > 0, x, a.alpha * x)),
    "hard_swish": one_input(lambda a, x: x * np.clip(x + 3, 0, 6) / 6),
    "logistic": one_input(lambda a, x: logistic(x)),
    "tanh": one_input(lambda a, x: np.tanh(x)),
    "softmax": one_input(softmax),
    "reshape": moved(reshape.reference),
    "transpose": moved(transpose.reference),
    "pad": moved(pad.reference),
    "concatenation": moved(concatenation.reference),
    "split": moved(split.reference),
    "strided_slice": moved(strided_slice.reference),
    "resize_nearest_neighbor": moved(resize.nearest_reference),
    "resize_bilinear": resize_bilinear,
}
