"""PyTorch's aten operators: one function each, onto the channels-first builder.

Arguments are as in the aten schemas: tensor indices for tensors, numbers and lists as they are.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from offramp.frontends import resizing
from offramp.frontends.channels_first import Builder

Convert = Callable[..., Any]


class Reference(int):
    """A tensor's index, where a plain number could stand too."""


def spatial(b: Builder, x: int) -> int:
    """Axes behind the channels."""
    return len(b.shape(x)) - 2


def each(value: Any, n: int) -> list[int]:
    """One number for all axes, or one for each."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return [int(v) for v in (values * n if len(values) == 1 else values)]


def both(pads: Sequence[int]) -> list[int]:
    """Equal padding before and behind each axis: all begins, then all ends."""
    return [*pads, *pads]


def conv(
    b: Builder,
    x: int,
    w: int,
    bias: int | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> int:
    n = spatial(b, x)
    strides, dilations, kernel = each(stride, n), each(dilation, n), b.shape(w)[2:]
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        pads = [t // 2 for t in total] + [t - t // 2 for t in total]
    else:
        pads = both(each(0 if padding == "valid" else padding, n))
    return b.conv(x, w, bias, strides, pads, dilations, groups)


def convolution(
    b: Builder, x: int, w: int, bias: int | None, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int,
) -> int:  # fmt: skip
    if transposed:
        raise b.refuse("is transposed", "resize and convolve instead")
    return conv(b, x, w, bias, stride, padding, dilation, groups)


def batch_norm(
    b: Builder, x: int, weight: int | None, bias: int | None, mean: int | None, var: int | None, training: bool,
    momentum: float, eps: float, *_: Any,
) -> int:  # fmt: skip
    channels = b.shape(x)[1]
    if training or mean is None or var is None:
        raise b.refuse("is in training mode", "call module.eval() before the export")
    gamma = b.constant(np.ones(channels), "gamma") if weight is None else weight
    beta = b.constant(np.zeros(channels), "beta") if bias is None else bias
    return b.batch_norm(x, gamma, beta, mean, var, eps)


def batch_norm_no_training(
    b: Builder, x: int, weight: int | None, bias: int | None, mean: int, var: int, momentum: float, eps: float
) -> list[int]:
    return [batch_norm(b, x, weight, bias, mean, var, False, momentum, eps)]


def linear(b: Builder, x: int, w: int, bias: int | None = None) -> int:
    return b.dense(x, w, bias)


def add_mm(b: Builder, bias: int, x: int, w: int, beta: float = 1, alpha: float = 1) -> int:
    y = mat_mul(b, x, w)
    y = y if alpha == 1 else b.elementwise("mul", y, b.scalar(alpha))
    return b.elementwise("add", y, bias if beta == 1 else b.elementwise("mul", bias, b.scalar(beta)))


def mat_mul(b: Builder, x: int, w: int) -> int:
    data = b.real(w, "factors")
    if data.ndim != 2:
        raise b.refuse(f"multiplies by weights {list(data.shape)}", "weights of two axes are supported")
    return b.dense(x, b.constant(np.ascontiguousarray(data.T), b.tensors[w].name), None)


def operand(b: Builder, value: Any) -> int:
    """A tensor, or a number of Python."""
    return value if isinstance(value, Reference) else b.scalar(float(value))


def elementwise(kind: str) -> Convert:
    def convert(b: Builder, x: Any, y: Any, alpha: float = 1) -> int:
        right = operand(b, y)
        right = right if alpha == 1 else b.elementwise("mul", right, b.scalar(alpha))
        return b.elementwise(kind, operand(b, x), right)

    return convert


def reversed_sub(b: Builder, x: Any, y: Any, alpha: float = 1) -> int:
    right = operand(b, x)
    right = right if alpha == 1 else b.elementwise("mul", right, b.scalar(alpha))
    return b.elementwise("sub", operand(b, y), right)


def divide(b: Builder, x: int, y: Any, rounding_mode: str | None = None) -> int:
    by = b.real(operand(b, y), "divisors")
    if rounding_mode or not np.all(by):
        raise b.refuse("rounds or divides by 0", "divide by constants that are not 0")
    return b.elementwise("mul", x, b.constant(1 / by, "factor"))


def power(b: Builder, x: int, exponent: Any) -> int:
    if exponent != 2.0:
        raise b.refuse(f"is the power {exponent}", "only squares are supported")
    return b.elementwise("mul", x, x)


def max_pool(
    b: Builder,
    x: int,
    size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> int:
    n = spatial(b, x)
    return b.max_pool(
        x, each(size, n), each(stride or size, n), both(each(padding, n)), each(dilation, n), ceil_mode
    )


def average_pool(
    b: Builder, x: int, size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> int:  # fmt: skip
    if divisor_override:
        raise b.refuse(f"divides by {divisor_override}", "leave divisor_override out")
    n = spatial(b, x)
    return b.average_pool(
        x, each(size, n), each(stride or size, n), both(each(padding, n)), ceil_mode, count_include_pad
    )


def adaptive_average(b: Builder, x: int, size: Any) -> int:
    n = spatial(b, x)
    if each(size, n) == [1] * n:
        return b.global_mean(x)
    window = adaptive_window(b, x, each(size, n))
    return b.average_pool(x, window, window, [0] * 2 * n, False, False)


def adaptive_max(b: Builder, x: int, size: Any) -> list[int]:
    n = spatial(b, x)
    window = adaptive_window(b, x, each(size, n))
    return [b.max_pool(x, window, window, [0] * 2 * n, [1] * n, False)]


def adaptive_window(b: Builder, x: int, size: Sequence[int]) -> list[int]:
    shape = b.shape(x)[2:]
    if min(size) < 1 or any(length % out for length, out in zip(shape, size, strict=True)):
        raise b.refuse(f"makes {list(size)} of {list(shape)}", "choose a size that divides height and width")
    return [length // out for length, out in zip(shape, size, strict=True)]


def mean(b: Builder, x: int, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> int:
    axes = range(len(b.shape(x))) if dim is None or dim == [] else each(dim, 1)
    return b.mean(x, list(axes), keepdim)


def cat(b: Builder, parts: list[int], dim: int = 0) -> int:
    return b.concatenate(parts, dim)


def flatten(b: Builder, x: int, start: int = 0, end: int = -1) -> int:
    shape = b.shape(x)
    first, last = b.axis(start, len(shape)), b.axis(end, len(shape))
    return b.reshape(x, [*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]])


def unflatten(b: Builder, x: int, dim: int, sizes: list[int]) -> int:
    shape = b.shape(x)
    axis = b.axis(dim, len(shape))
    known = math.prod(n for n in sizes if n != -1)
    return b.reshape(
        x, [*shape[:axis], *[shape[axis] // known if n == -1 else n for n in sizes], *shape[axis + 1 :]]
    )


def squeeze(b: Builder, x: int, dim: Any = None) -> int:
    shape = b.shape(x)
    axes = range(len(shape)) if dim is None else [b.axis(a, len(shape)) for a in each(dim, 1)]
    return b.reshape(x, [n for i, n in enumerate(shape) if i not in axes or n != 1])


def unsqueeze(b: Builder, x: int, dim: int) -> int:
    shape = list(b.shape(x))
    shape.insert(b.axis(dim, len(shape) + 1), 1)
    return b.reshape(x, shape)


def permute(b: Builder, x: int, order: list[int]) -> int:
    rank = len(b.shape(x))
    laid = [b.axis(a, rank) for a in order]
    data = b.data(x)
    return (
        b.transpose(x, laid)
        if data is None
        else b.constant(np.ascontiguousarray(data.transpose(laid)), b.tensors[x].name)
    )


def transpose(b: Builder, x: int, first: int = 0, second: int = 1) -> int:
    order = list(range(len(b.shape(x))))
    first, second = b.axis(first, len(order)), b.axis(second, len(order))
    order[first], order[second] = order[second], order[first]
    return permute(b, x, order)


def pad(b: Builder, x: int, amounts: list[int], mode: Any = "constant", value: float | None = None) -> int:
    if mode != "constant" and isinstance(mode, str):
        raise b.refuse(f"pads by {mode}", "pad with a constant, best with 0")
    fill = mode if not isinstance(mode, str) else value
    rank = len(b.shape(x))
    before, after = [0] * rank, [0] * rank
    for i in range(len(amounts) // 2):  # from the last axis on
        before[rank - 1 - i], after[rank - 1 - i] = amounts[2 * i], amounts[2 * i + 1]
    return b.pad(x, before, after, float(fill or 0))


def slices(
    b: Builder, x: int, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> int:
    axis = b.axis(dim, len(b.shape(x)))
    return b.slice(x, [slice(None)] * axis + [slice(start, end, step)])


def narrow(b: Builder, x: int, dim: int, start: int, length: int) -> int:
    start = start % b.shape(x)[dim]
    return slices(b, x, dim, start, start + length)


def split(b: Builder, x: int, size: Any, dim: int = 0) -> list[int]:
    length = b.shape(x)[b.axis(dim, len(b.shape(x)))]
    if isinstance(size, list):
        return b.split(x, size, dim)
    return b.split(x, [min(size, length - at) for at in range(0, length, size)], dim)


def chunk(b: Builder, x: int, chunks: int, dim: int = 0) -> list[int]:
    length = b.shape(x)[b.axis(dim, len(b.shape(x)))]
    return split(b, x, -(-length // chunks), dim)


def unary(kind: str) -> Convert:
    return lambda b, x, *_: b.unary(kind, x)


def clamp(b: Builder, x: int, low: float | None = None, high: float | None = None) -> int:
    return b.clip(x, -math.inf if low is None else float(low), math.inf if high is None else float(high))


def leaky_relu(b: Builder, x: int, slope: float = 0.01) -> int:
    return b.leaky_relu(x, slope)


def p_relu(b: Builder, x: int, slopes: int) -> int:
    values = b.real(slopes, "slopes")
    if values.min() != values.max():
        raise b.refuse("has several slopes", "LeakyReLU, one slope for all channels, is supported")
    return b.leaky_relu(x, float(values.reshape(-1)[0]))


def silu(b: Builder, x: int) -> int:
    return b.elementwise("mul", x, b.unary("logistic", x))


def softmax(b: Builder, x: int, dim: int, *_: Any) -> int:
    return b.softmax(x, dim)


def upsample(linear: bool) -> Convert:
    """(x, size, align_corners, scales) of linear ones, (x, size, scales) of nearest ones; scales a list or one each."""

    def convert(b: Builder, x: int, size: list[int] | None, *rest: Any) -> int:
        corners, scales = (bool(rest[0]), rest[1:]) if linear else (False, rest)
        flat = (
            scales[0]
            if len(scales) == 1 and isinstance(scales[0], list)
            else [s for s in scales if s is not None]
        )
        lengths = b.shape(x)[2:]
        if size is None:
            size = [math.floor(n * s) for n, s in zip(lengths, flat or [], strict=True)]
        form = resizing.align_corners if corners else resizing.half_pixel if linear else resizing.asymmetric
        if max(size) > resizing.LARGEST:
            raise b.refuse(
                f"makes an image of {size}", f"at most {resizing.LARGEST} rows and columns are supported"
            )
        positions = [form(n, out) for n, out in zip(lengths, size, strict=True)]
        return resizing.resized(
            b, x, size, positions if linear else [np.floor(p + 1e-6) for p in positions], linear
        )

    return convert


def same(b: Builder, x: int, *_: Any, **__: Any) -> int:
    return x


def dropout(b: Builder, x: int, p: float = 0.5, train: bool = False) -> int:
    if train and p:
        raise b.refuse("is in training mode", "call module.eval() before the export")
    return x


def reshape(b: Builder, x: int, shape: list[int]) -> int:
    return b.reshape(x, shape)


CONVERTERS: dict[str, Convert] = {
    "_adaptive_avg_pool2d": adaptive_average,
    "_native_batch_norm_legit_no_training": batch_norm_no_training,
    "_softmax": softmax,
    "_to_copy": same,
    "_unsafe_view": reshape,
    "adaptive_avg_pool1d": adaptive_average,
    "adaptive_avg_pool2d": adaptive_average,
    "adaptive_max_pool2d": adaptive_max,
    "add": elementwise("add"),
    "addmm": add_mm,
    "alias": same,
    "avg_pool1d": average_pool,
    "avg_pool2d": average_pool,
    "batch_norm": batch_norm,
    "cat": cat,
    "chunk": chunk,
    "clamp": clamp,
    "clone": same,
    "concat": cat,
    "constant_pad_nd": pad,
    "contiguous": same,
    "conv1d": conv,
    "conv2d": conv,
    "convolution": convolution,
    "detach": same,
    "div": divide,
    "dropout": dropout,
    "feature_dropout": dropout,
    "flatten": flatten,
    "hardsigmoid": lambda b, x: b.hard_sigmoid(x, 1 / 6, 0.5),
    "hardswish": unary("hard_swish"),
    "hardtanh": lambda b, x, low=-1.0, high=1.0: b.clip(x, float(low), float(high)),
    "leaky_relu": leaky_relu,
    "lift_fresh_copy": same,
    "linear": linear,
    "matmul": mat_mul,
    "max_pool1d": max_pool,
    "max_pool2d": max_pool,
    "max_pool2d_with_indices": lambda b, *a: [max_pool(b, *a)],
    "mean": mean,
    "mm": mat_mul,
    "mul": elementwise("mul"),
    "narrow": narrow,
    "neg": lambda b, x: b.elementwise("mul", x, b.scalar(-1)),
    "pad": pad,
    "permute": permute,
    "pow": power,
    "prelu": p_relu,
    "relu": unary("relu"),
    "relu6": unary("relu6"),
    "reshape": reshape,
    "rsub": reversed_sub,
    "select": lambda b, x, dim, index: b.select(x, dim, index),
    "sigmoid": unary("logistic"),
    "silu": silu,
    "slice": slices,
    "softmax": softmax,
    "split": split,
    "split_with_sizes": split,
    "squeeze": squeeze,
    "sub": elementwise("sub"),
    "t": transpose,
    "tanh": unary("tanh"),
    "to": same,
    "transpose": transpose,
    "unflatten": unflatten,
    "unsqueeze": unsqueeze,
    "upsample_bilinear2d": upsample(True),
    "upsample_linear1d": upsample(True),
    "upsample_nearest1d": upsample(False),
    "upsample_nearest2d": upsample(False),
    "view": reshape,
}

# Arithmetic on sizes.
PYTHON: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "mul": operator.mul,
    "neg": operator.neg,
    "sub": operator.sub,
    "sym_float": float,
    "sym_int": int,
    "sym_max": max,
    "sym_min": min,
    "truediv": operator.truediv,
}
