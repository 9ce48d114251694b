"""ONNX operators on real numbers: one function each, onto the channels-first builder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from offramp.frontends import resizing
from offramp.frontends.onnx_node import Node, Results
from offramp.ops.gemm import pad_before


def window_pads(
    n: Node, x: int, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """All begins, then all ends."""
    auto, spatial = n.get("auto_pad", "NOTSET"), n.b.shape(x)[2:]
    if auto in ("NOTSET", "VALID"):
        return (
            [int(p) for p in n.get("pads", [0] * 2 * len(kernel))]
            if auto == "NOTSET"
            else [0] * 2 * len(kernel)
        )
    begins, ends = [], []
    for length, k, s, d in zip(spatial, kernel, strides, dilations, strict=True):
        out = -(-length // s)
        total = max(0, (out - 1) * s + (k - 1) * d + 1 - length)
        small = pad_before(length, out, k, s, d, "same")
        begins.append(small if auto == "SAME_UPPER" else total - small)
        ends.append(total - begins[-1])
    return begins + ends


def conv(n: Node) -> int:
    x, w = n.x(0), n.x(1)
    kernel = n.b.shape(w)[2:]
    strides = n.get("strides", [1] * len(kernel))
    dilations = n.get("dilations", [1] * len(kernel))
    n.b.sane(*strides, *dilations)
    pads = window_pads(n, x, kernel, strides, dilations)
    return int(n.b.conv(x, w, n.x(2) if n.has(2) else None, strides, pads, dilations, n.get("group", 1)))


def max_pool(n: Node) -> int:
    x, kernel = n.x(0), n.get("kernel_shape", [])
    strides, dilations = n.get("strides", [1] * len(kernel)), n.get("dilations", [1] * len(kernel))
    n.b.sane(*strides, *kernel)
    pads = window_pads(n, x, kernel, strides, dilations)
    if n.get("storage_order", 0):
        raise n.b.refuse("stores columns first", "export with storage_order=0")
    return int(n.b.max_pool(x, kernel, strides, pads, dilations, bool(n.get("ceil_mode", 0))))


def average_pool(n: Node) -> int:
    return average_pool_of(n, n.x(0))


def average_pool_of(n: Node, x: int) -> int:
    kernel = n.get("kernel_shape", [])
    strides = n.get("strides", [1] * len(kernel))
    n.b.sane(*strides, *kernel)
    if max(n.get("dilations", [1])) > 1:
        raise n.b.refuse("has dilations", "pool without dilation")
    pads = window_pads(n, x, kernel, strides, [1] * len(kernel))
    counts = bool(n.get("count_include_pad", 0))
    return int(n.b.average_pool(x, kernel, strides, pads, bool(n.get("ceil_mode", 0)), counts))


def global_max(n: Node) -> int:
    x = n.x(0)
    spatial = n.b.shape(x)[2:]
    return int(n.b.max_pool(x, spatial, [1] * len(spatial), [0] * 2 * len(spatial), [1], False))


def batch_norm(n: Node) -> int:
    if n.get("training_mode", 0):
        raise n.b.refuse("is in training mode", "call model.eval() before the export")
    epsilon = float(str(np.float32(n.get("epsilon", 1e-5))))  # the decimal number that was meant
    return int(n.b.batch_norm(*(n.x(i) for i in range(5)), epsilon))


def gemm(n: Node) -> int:
    if n.get("transA", 0):
        raise n.b.refuse("transposes its input", "set transA=0")
    return gemm_of(n, n.x(0), n.x(1), n.x(2) if n.has(2) else None)


def gemm_of(n: Node, x: int, weights: int, bias: int | None) -> int:
    b = n.b
    alpha, beta = float(n.get("alpha", 1.0)), float(n.get("beta", 1.0))
    w = weights if n.get("transB", 0) else swapped(n, weights)
    y = b.dense(x, w, None)
    if alpha != 1:
        y = b.elementwise("mul", y, b.scalar(alpha))
    if bias is None or beta == 0:
        return int(y)
    if beta != 1:
        bias = b.elementwise("mul", bias, b.scalar(beta))
    return int(b.elementwise("add", y, bias))


def swapped(n: Node, weights: int) -> int:
    """Weights [in, out] as [out, in]."""
    w = n.b.tensors[weights]
    n.b.real(weights, "weights")
    if len(w.shape) != 2:
        raise n.b.refuse(f"multiplies by weights {list(w.shape)}", "weights of two axes are supported")
    q = w.quantization
    q = q if q is None or q.axis is None else replace(q, axis=1 - q.axis)
    return int(n.b.constant(np.ascontiguousarray(w.data.T), w.name, q))


def mat_mul(n: Node) -> int:
    return mat_mul_of(n, n.x(0), n.x(1))


def mat_mul_of(n: Node, x: int, weights: int) -> int:
    if n.b.data(weights) is None:
        raise n.b.refuse("multiplies two computed tensors", "one of them must be constant weights")
    return int(n.b.dense(x, swapped(n, weights), None))


def clip(n: Node) -> int:
    low = n.number(1, -math.inf) if n.opset >= 11 else float(n.get("min", -math.inf))
    high = n.number(2, math.inf) if n.opset >= 11 else float(n.get("max", math.inf))
    largest = float(np.finfo(np.float32).max)
    return int(n.b.clip(n.x(0), -math.inf if low <= -largest else low, math.inf if high >= largest else high))


def elementwise(kind: str) -> Callable[[Node], int]:
    return lambda n: int(n.b.elementwise(kind, n.x(0), n.x(1)))


def divide(n: Node) -> int:
    by = n.b.data(n.x(1))
    if by is None:
        raise n.b.refuse("divides by a computed tensor", "divide by constants")
    if not np.all(by):
        raise n.b.refuse("divides by 0", "export the model again")
    return int(n.b.elementwise("mul", n.x(0), n.b.constant(1 / by.astype(np.float64), "factor")))


def power(n: Node) -> int:
    if n.number(1, 0) != 2 or n.constant(1).size != 1:
        raise n.b.refuse("is another power than 2", "only squares are supported")
    return int(n.b.elementwise("mul", n.x(0), n.x(0)))


def sum_of_all(n: Node) -> int:
    total = n.x(0)
    for i in range(1, len(n.proto.input)):
        total = n.b.elementwise("add", total, n.x(i))
    return total


def unary(kind: str) -> Callable[[Node], int]:
    return lambda n: int(n.b.unary(kind, n.x(0)))


def p_relu(n: Node) -> int:
    slopes = n.constant(1)
    if slopes.min() != slopes.max():
        raise n.b.refuse("has several slopes", "LeakyRelu, one slope for all channels, is supported")
    return int(n.b.leaky_relu(n.x(0), float(slopes.reshape(-1)[0])))


def swish(n: Node) -> int:
    if n.get("alpha", 1.0) != 1:
        raise n.b.refuse(f"has the alpha {n.get('alpha', 1.0)}", "1 is supported")
    return int(n.b.elementwise("mul", n.x(0), n.b.unary("logistic", n.x(0))))


def softmax(n: Node) -> int:
    return softmax_of(n, n.x(0))


def softmax_of(n: Node, x: int) -> int:
    b = n.b
    shape = b.shape(x)
    if n.get("opset", n.opset) >= 13:
        return int(b.softmax(x, n.get("axis", -1)))
    axis = b.axis(n.get("axis", 1), len(shape))
    if axis == len(shape) - 1:
        return int(b.softmax(x, axis))
    return int(b.reshape(b.softmax(b.flatten(x, axis), -1), shape))  # all axes from this one on, together


def concat(n: Node) -> int:
    return int(n.b.concatenate([n.x(i) for i in range(len(n.proto.input))], n.get("axis", 0)))


def reshape(n: Node) -> int:
    shape, wanted = n.b.shape(n.x(0)), n.numbers(1)
    if not n.get("allowzero", 0):
        wanted = [shape[i] if v == 0 else v for i, v in enumerate(wanted)]
    return int(n.b.reshape(n.x(0), wanted))


def flatten(n: Node) -> int:
    shape = n.b.shape(n.x(0))
    axis = n.get("axis", 1)
    return int(n.b.flatten(n.x(0), axis + len(shape) if axis < 0 else axis))


def squeeze(n: Node) -> int:
    shape = n.b.shape(n.x(0))
    axes = {n.b.axis(a, len(shape)) for a in n.axes(1, [i for i, v in enumerate(shape) if v == 1])}
    return int(n.b.reshape(n.x(0), [v for i, v in enumerate(shape) if i not in axes]))


def unsqueeze(n: Node) -> int:
    shape, given = list(n.b.shape(n.x(0))), n.axes(1, [])
    rank = len(shape) + len(given)
    for axis in sorted(n.b.axis(a, rank) for a in given):
        shape.insert(axis, 1)
    return int(n.b.reshape(n.x(0), shape))


def transpose(n: Node) -> int:
    rank = len(n.b.shape(n.x(0)))
    return int(n.b.transpose(n.x(0), n.get("perm", list(range(rank))[::-1])))


def pad(n: Node) -> int:
    if n.get("mode", "constant") != "constant":
        raise n.b.refuse(f"pads by {n.get('mode', '')}", "pad with a constant, best with 0")
    x = n.x(0)
    rank, amounts = len(n.b.shape(x)), n.numbers(1)
    axes = [n.b.axis(a, rank) for a in n.numbers(3)] if n.has(3) else list(range(rank))
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = amounts[i], amounts[i + len(axes)]
    return int(n.b.pad(x, before, after, n.number(2, 0.0)))


def slices(n: Node) -> int:
    x = n.x(0)
    rank, starts, ends = len(n.b.shape(x)), n.numbers(1), n.numbers(2)
    axes = n.numbers(3) if n.has(3) else list(range(len(starts)))
    steps = n.numbers(4) if n.has(4) else [1] * len(starts)
    bounds = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        length = n.b.shape(x)[n.b.axis(axis, rank)]
        if step < 0 and end < -length:
            bounds[axis] = slice(start, None, step)
        else:
            bounds[axis] = slice(start, end, step)
    return int(n.b.slice(x, bounds))


def split(n: Node) -> Results:
    x, axis = n.x(0), n.get("axis", 0)
    length = n.b.shape(x)[n.b.axis(axis, len(n.b.shape(x)))]
    sizes = n.get("split", None) or (n.numbers(1) if n.has(1) else None)
    if sizes is None:
        parts = n.get("num_outputs", len(n.proto.output))
        part = -(-length // parts)
        sizes = [part] * (parts - 1) + [length - part * (parts - 1)]
    found: list[int] = n.b.split(x, sizes, axis)
    return found


def gather(n: Node) -> int:
    """Of a computed tensor: one index, or indices in equal steps."""
    x, where = n.x(0), n.constant(1)
    axis = n.b.axis(n.get("axis", 0), len(n.b.shape(x)))
    if where.ndim == 0:
        return int(n.b.select(x, axis, int(where)))
    length = n.b.shape(x)[axis]
    indices = [int(i) % length for i in where.reshape(-1)]
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    if where.ndim != 1 or step == 0 or indices != [indices[0] + i * step for i in range(len(indices))]:
        raise n.b.refuse("picks indices that are not in equal steps", "slices are supported")
    end = indices[-1] + (1 if step > 0 else -1)
    return int(n.b.slice(x, [slice(None)] * axis + [slice(indices[0], end if end >= 0 else None, step)]))


def reduce_mean(n: Node) -> int:
    x = n.x(0)
    axes = n.axes(1, [])
    if not axes:
        if n.get("noop_with_empty_axes", 0):
            return x
        axes = list(range(len(n.b.shape(x))))
    return int(n.b.mean(x, axes, bool(n.get("keepdims", 1))))


def resize(n: Node) -> int:
    b, x = n.b, n.x(0)
    shape, mode = b.shape(x), n.get("mode", "nearest")
    rank = len(shape)
    if mode not in ("nearest", "linear") or n.get("antialias", 0) or n.get("exclude_outside", 0):
        raise b.refuse(f"resizes by {mode}", "nearest and linear without antialias are supported")
    axes = [b.axis(int(a), rank) for a in n.get("axes", range(rank))]
    scales = {a: float(s) for a, s in zip(axes, n.constant(2).reshape(-1), strict=False)} if n.has(2) else {}
    if n.has(3) and n.constant(3).size:
        sizes = dict(zip(axes, n.numbers(3), strict=True))
        scales = {a: sizes[a] / shape[a] for a in axes}
    else:
        sizes = {a: math.floor(shape[a] * s) for a, s in scales.items()}
    if (
        not sizes
        or any(sizes.get(a, shape[a]) != shape[a] for a in (0, 1))
        or n.get("keep_aspect_ratio_policy", "stretch") != "stretch"
    ):
        raise b.refuse(
            f"makes {sizes} of {list(shape)}", "height and width may change, by fixed sizes or scales"
        )
    size = [sizes.get(a, shape[a]) for a in range(2, rank)]
    if max(size) > resizing.LARGEST:
        raise b.refuse(
            f"makes an image of {size}", f"at most {resizing.LARGEST} rows and columns are supported"
        )
    how = n.get("coordinate_transformation_mode", "half_pixel")
    forms = {"half_pixel": resizing.half_pixel, "pytorch_half_pixel": resizing.half_pixel}
    forms |= {"asymmetric": resizing.asymmetric, "align_corners": resizing.align_corners}
    if how not in forms:
        raise b.refuse(f"samples by {how}", f"supported: {', '.join(forms)}")
    positions = []
    for a, out in enumerate(size, 2):
        at = forms[how](shape[a], out, scales.get(a))
        at = np.zeros(1) if how == "pytorch_half_pixel" and out == 1 else at
        positions.append(
            at if mode == "linear" else resizing.rounded(at, n.get("nearest_mode", "round_prefer_floor"))
        )
    return int(resizing.resized(b, x, size, positions, mode == "linear"))


def same(n: Node) -> int:
    return n.x(0)


def dropout(n: Node) -> int:
    if n.number(2, 0):
        raise n.b.refuse("is in training mode", "call model.eval() before the export")
    return n.x(0)


def cast(n: Node) -> int:
    if n.get("to", 1) != 1:
        raise n.b.refuse("casts a computed tensor from float32", "compute in float32 throughout")
    return n.x(0)


CONVERTERS: dict[str, Callable[[Node], Results]] = {
    "Add": elementwise("add"),
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Cast": cast,
    "Clip": clip,
    "Concat": concat,
    "Conv": conv,
    "Div": divide,
    "Dropout": dropout,
    "Flatten": flatten,
    "Gather": gather,
    "Gemm": gemm,
    "GlobalAveragePool": lambda n: int(n.b.global_mean(n.x(0))),
    "GlobalMaxPool": global_max,
    "HardSigmoid": lambda n: int(n.b.hard_sigmoid(n.x(0), n.get("alpha", 0.2), n.get("beta", 0.5))),
    "HardSwish": unary("hard_swish"),
    "Identity": same,
    "LeakyRelu": lambda n: int(n.b.leaky_relu(n.x(0), n.get("alpha", 0.01))),
    "MatMul": mat_mul,
    "MaxPool": max_pool,
    "Mul": elementwise("mul"),
    "Neg": lambda n: int(n.b.elementwise("mul", n.x(0), n.b.scalar(-1))),
    "PRelu": p_relu,
    "Pad": pad,
    "Pow": power,
    "ReduceMean": reduce_mean,
    "Relu": unary("relu"),
    "Reshape": reshape,
    "Resize": resize,
    "Sigmoid": unary("logistic"),
    "Slice": slices,
    "Softmax": softmax,
    "Split": split,
    "Squeeze": squeeze,
    "Sub": elementwise("sub"),
    "Sum": sum_of_all,
    "Swish": swish,
    "Tanh": unary("tanh"),
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
