"""Builds a graph from channels-first operators, as ONNX and PyTorch have them.

Windows slide over NHWC between two transposes; the canonical passes take those away again. Sizes are lists of one
number (height or length alone) or two, as the formats give them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from offramp.errors import UserError
from offramp.ir import DTYPES, Graph, Op, Quantization, Tensor
from offramp.ops import OPS, ShapeError
from offramp.ops.activation import LeakyRelu
from offramp.ops.add import Add
from offramp.ops.concatenation import Concatenation
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.gemm import LONGEST_WINDOW, Window
from offramp.ops.mean import Mean
from offramp.ops.mul import Mul
from offramp.ops.op import Array, NoAttributes
from offramp.ops.pad import Pad
from offramp.ops.pool_2d import Pool
from offramp.ops.reshape import Reshape
from offramp.ops.softmax import Softmax
from offramp.ops.split import Split
from offramp.ops.strided_slice import StridedSlice
from offramp.ops.transpose import Transpose

DTYPE_OF = {np.dtype(numpy): name for name, numpy in DTYPES.items()}
Sizes = Sequence[int]


@dataclass
class Builder:
    """A growing graph; values are indices into `tensors`, constants among them."""

    path: str  # for messages
    tensors: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    where: str = ""  # the node at hand, for messages

    # ---- values ----

    def refuse(self, what: str, hint: str) -> UserError:
        return UserError(f"{self.path}: {self.where} {what}", hint)

    def input(self, name: str, shape: Sizes) -> int:
        self.tensors.append(Tensor(name, tuple(shape), "f32"))
        return len(self.tensors) - 1

    def constant(self, data: Array, name: str = "", quantization: Quantization | None = None) -> int:
        """A constant; float64 is real numbers not yet rounded to f32."""
        dtype = "f32" if data.dtype == np.float64 else DTYPE_OF.get(data.dtype)
        if dtype is None:
            raise self.refuse(f"constant {name} is {data.dtype}", f"supported: {', '.join(DTYPES)}")
        self.tensors.append(Tensor(name, data.shape, dtype, quantization, data))
        return len(self.tensors) - 1

    def shape(self, i: int) -> tuple[int, ...]:
        return self.tensors[i].shape

    def data(self, i: int) -> Array | None:
        return self.tensors[i].data

    def real(self, i: int, what: str) -> Array:
        """The numbers of a constant, float64."""
        data = self.data(i)
        if data is None:
            raise self.refuse(
                f"takes {what} that are computed, constants are needed", "export with constant weights"
            )
        with np.errstate(invalid="ignore"):  # NaN is refused with the whole graph
            return data.astype(np.float64)

    def axis(self, value: int, rank: int) -> int:
        if not -rank <= value < rank:
            raise self.refuse(f"has axis {value} of a tensor of {rank} axes", "export the model again")
        return value % rank

    def emit(self, kind: str, attributes: Any, *inputs: int) -> int:
        return self.emit_all(kind, attributes, *inputs)[0]

    def emit_all(self, kind: str, attributes: Any, *inputs: int) -> list[int]:
        """Appends an op, its outputs shaped by the op's own rule."""
        try:
            shapes = OPS[kind].shapes(attributes, [self.tensors[i] if i >= 0 else None for i in inputs])
        except ShapeError as error:
            raise self.refuse(f"cannot be expressed: {error}", "change the layer and export again") from error
        first = len(self.tensors)
        name = self.where
        self.tensors += [Tensor(name, shape, "f32") for shape in shapes]
        outputs = tuple(range(first, len(self.tensors)))
        self.ops.append(Op(kind, name, inputs, outputs, attributes))
        return list(outputs)

    # ---- moves ----

    def transpose(self, x: int, order: Sizes) -> int:
        return self.emit("transpose", Transpose(tuple(order)), x)

    def reshape(self, x: int, shape: Sizes) -> int:
        """One size may be -1; data of a constant is reshaped at once."""
        wanted = [int(n) for n in shape]
        known = math.prod(n for n in wanted if n != -1)
        total = math.prod(self.shape(x))
        if -1 in wanted and known:
            wanted[wanted.index(-1)] = total // known
        if math.prod(wanted) != total or min(wanted, default=1) < 0:
            raise self.refuse(
                f"makes {list(shape)} of {list(self.shape(x))}", "export the model for a batch of 1"
            )
        return self.emit("reshape", Reshape(tuple(wanted)), x)

    def flatten(self, x: int, axis: int) -> int:
        shape = self.shape(x)
        return self.reshape(x, [math.prod(shape[:axis]), math.prod(shape[axis:])])

    def concatenate(self, parts: Sequence[int], axis: int) -> int:
        return self.emit("concatenation", Concatenation(self.axis(axis, len(self.shape(parts[0])))), *parts)

    def split(self, x: int, sizes: Sizes, axis: int) -> list[int]:
        return self.emit_all("split", Split(self.axis(axis, len(self.shape(x))), tuple(sizes)), x)

    def slice(self, x: int, bounds: Sequence[slice]) -> int:
        """One slice for each of the first axes."""
        shape = self.shape(x)
        every = [*bounds, *[slice(None)] * (len(shape) - len(bounds))]
        taken = [range(*s.indices(n)) for s, n in zip(every, shape, strict=True)]
        length = tuple(len(t) for t in taken)
        begin, step = tuple(t.start for t in taken), tuple(t.step for t in taken)
        return self.emit("strided_slice", StridedSlice(begin, length, step, length), x)

    def select(self, x: int, axis: int, index: int) -> int:
        """One index of an axis, which goes."""
        shape = self.shape(x)
        axis = self.axis(axis, len(shape))
        at = self.axis(index, shape[axis])
        part = self.slice(x, [slice(None)] * axis + [slice(at, at + 1)])
        return self.reshape(part, [*shape[:axis], *shape[axis + 1 :]])

    def pad(self, x: int, before: Sizes, after: Sizes, value: float) -> int:
        if min((*before, *after), default=0) < 0:
            bounds = [
                slice(-min(b, 0), n + min(a, 0)) for b, a, n in zip(before, after, self.shape(x), strict=True)
            ]
            x = self.slice(x, bounds)
        if value != int(value):
            raise self.refuse(f"pads with {value}", "pad with a whole number, best with 0")
        amounts = [tuple(max(int(n), 0) for n in side) for side in (before, after)]
        return self.emit("pad", Pad(amounts[0], amounts[1], int(value)), x)

    # ---- windows ----

    def over_image(self, x: int, function: Callable[[int], int]) -> int:
        """`function` of an NHWC image, for x as NCHW, or NCL taken as an image of one row."""
        shape = self.shape(x)
        if len(shape) == 3:
            image = self.transpose(x, (0, 2, 1))
            y = function(self.reshape(image, (shape[0], 1, *self.shape(image)[1:])))
            n, _, length, c = self.shape(y)
            return self.transpose(self.reshape(y, (n, length, c)), (0, 2, 1))
        if len(shape) != 4:
            raise self.refuse(f"slides over {list(shape)}", "supported: [1, C, L] and [1, C, H, W]")
        return self.transpose(function(self.transpose(x, (0, 2, 3, 1))), (0, 3, 1, 2))

    def conv(
        self,
        x: int,
        weights: int,
        bias: int | None,
        strides: Sizes,
        pads: Sizes,
        dilations: Sizes,
        groups: int,
    ) -> int:
        """weights O(I/groups)HW; pads top, left, bottom, right, or left and right of one axis."""
        w = self.tensors[weights]
        rank = len(self.shape(x))
        self.real(weights, "weights")
        assert w.data is not None
        data = w.data if rank == 4 else w.data[:, :, None]
        if rank not in (3, 4) or data.ndim != 4 or data.shape[1] * groups != self.shape(x)[1]:
            raise self.refuse(
                f"has weights {list(w.shape)} in {groups} groups for {list(self.shape(x))}", "export it again"
            )
        laid = self.constant(np.ascontiguousarray(data.transpose(0, 2, 3, 1)), w.name, w.quantization)
        (sh, sw), (dh, dw), sides = two(strides), two(dilations), four(pads)
        self.sane(*data.shape[2:], sh, sw, dh, dw)
        operands = [laid] if bias is None else [laid, bias]

        def convolve(image: int) -> int:
            image, rest = self.padded(
                image, sides, ((data.shape[2] - 1) * dh + 1, (data.shape[3] - 1) * dw + 1)
            )
            return self.emit("conv_2d", Window(sh, sw, dh, dw, "explicit", pads=rest), image, *operands)

        return self.over_image(x, convolve)

    def sane(self, *sizes: int) -> None:
        if min(sizes) < 1 or max(sizes) > LONGEST_WINDOW:
            raise self.refuse(
                f"has a filter, stride or dilation of {min(sizes)} to {max(sizes)}",
                f"1 to {LONGEST_WINDOW} are supported",
            )

    def padded(self, image: int, pads: tuple[int, ...], reach: Sizes) -> tuple[int, tuple[int, ...]]:
        """Padding that no window may hold, as an op of its own; what the window takes."""
        if min(pads) >= 0 and all(p < reach[i % 2] for i, p in enumerate(pads)):
            return image, pads
        return self.pad(image, (0, *pads[:2], 0), (0, *pads[2:], 0), 0), (0, 0, 0, 0)

    def max_pool(self, x: int, size: Sizes, strides: Sizes, pads: Sizes, dilations: Sizes, ceil: bool) -> int:
        if max(dilations, default=1) > 1:
            raise self.refuse(f"has the dilations {list(dilations)}", "pool without dilation")
        return self.pool("max_pool_2d", x, size, strides, pads, ceil)

    def average_pool(
        self, x: int, size: Sizes, strides: Sizes, pads: Sizes, ceil: bool, count_padding: bool
    ) -> int:
        sides = four(pads)
        if not count_padding or not any(sides):
            return self.pool("average_pool_2d", x, size, strides, pads, ceil)
        if ceil:
            raise self.refuse(
                "counts padding and rounds sizes up", "set count_include_pad=False or ceil_mode=False"
            )
        image = self.over_image(x, lambda i: self.pad(i, (0, *sides[:2], 0), (0, *sides[2:], 0), 0))
        return self.pool("average_pool_2d", image, size, strides, (0, 0), False)

    def pool(self, kind: str, x: int, size: Sizes, strides: Sizes, pads: Sizes, ceil: bool) -> int:
        (kh, kw), (sh, sw), (top, left, bottom, right) = two(size), two(strides), four(pads)
        self.sane(kh, kw, sh, sw)

        def slide(image: int) -> int:
            _, h, w, _ = self.shape(image)
            below = bottom + (beyond(h + top + bottom, kh, sh, h + top) if ceil else 0)
            beside = right + (beyond(w + left + right, kw, sw, w + left) if ceil else 0)
            return self.emit(kind, Pool(kh, kw, sh, sw, "explicit", pads=(top, left, below, beside)), image)

        return self.over_image(x, slide)

    def global_mean(self, x: int) -> int:
        """Mean over all axes behind the channels, which stay with length 1."""
        return self.mean(x, range(2, len(self.shape(x))), True)

    def mean(self, x: int, axes: Sizes, keep_dims: bool) -> int:
        rank = len(self.shape(x))
        return self.emit("mean", Mean(tuple(sorted({self.axis(a, rank) for a in axes})), keep_dims), x)

    # ---- numbers ----

    def elementwise(self, kind: str, a: int, b: int, activation: str = "none") -> int:
        attributes = Mul(activation) if kind == "mul" else Add(activation)
        return self.emit(kind, attributes, a, b)

    def scalar(self, value: float) -> int:
        return self.constant(np.array([value], np.float64), "scalar")

    def unary(self, kind: str, x: int) -> int:
        return self.emit(kind, NoAttributes(), x)

    def leaky_relu(self, x: int, alpha: float) -> int:
        return self.emit("leaky_relu", LeakyRelu(float(np.float32(alpha))), x)

    def clip(self, x: int, low: float, high: float) -> int:
        known = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6"}
        if (low, high) == (-math.inf, math.inf):
            return x
        if (low, high) == (-1.0, 1.0):
            return self.elementwise("add", x, self.scalar(0.0), "relu_n1_to_1")
        if (low, high) not in known:
            raise self.refuse(
                f"clips to {low:g} .. {high:g}", "supported: 0 .. infinity (ReLU), 0 .. 6 (ReLU6), -1 .. 1"
            )
        return self.unary(known[low, high], x)

    def hard_sigmoid(self, x: int, alpha: float, beta: float) -> int:
        """max(0, min(1, alpha * x + beta)), by way of relu6."""
        scaled = x if abs(6 * alpha - 1) < 1e-6 else self.elementwise("mul", x, self.scalar(6 * alpha))
        clipped = self.elementwise("add", scaled, self.scalar(6 * beta), "relu6")
        return self.elementwise("mul", clipped, self.scalar(1 / 6))

    def batch_norm(self, x: int, scale: int, bias: int, mean: int, variance: int, epsilon: float) -> int:
        """Statistics per channel, as a product and a sum in float64."""
        gamma, beta, mu, var = (self.real(i, "statistics") for i in (scale, bias, mean, variance))
        if not np.all(var + epsilon > 0):
            raise self.refuse("has a negative variance", "train or export the model again")
        factor = gamma / np.sqrt(var + epsilon)
        behind = (1,) * (len(self.shape(x)) - 2)
        scaled = self.elementwise("mul", x, self.constant(factor.reshape(-1, *behind), "scale"))
        return self.elementwise(
            "add", scaled, self.constant((beta - mu * factor).reshape(-1, *behind), "shift")
        )

    def dense(self, x: int, weights: int, bias: int | None) -> int:
        """x [..., in] times weights [out, in]; a constant."""
        self.real(weights, "weights")
        operands = (weights,) if bias is None else (weights, bias)
        return self.emit("fully_connected", FullyConnected("none", len(self.shape(x)) != 2), x, *operands)

    def softmax(self, x: int, axis: int) -> int:
        rank = len(self.shape(x))
        axis = self.axis(axis, rank)
        if axis == rank - 1:
            return self.emit("softmax", Softmax(1.0), x)
        order = [i for i in range(rank) if i != axis] + [axis]
        y = self.emit("softmax", Softmax(1.0), self.transpose(x, order))
        return self.transpose(y, [order.index(i) for i in range(rank)])

    def graph(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], metadata: dict[str, str]
    ) -> Graph:
        return Graph(
            name, tuple(self.tensors), tuple(self.ops), tuple(inputs), tuple(outputs), metadata=metadata
        )


def two(sizes: Sizes) -> tuple[int, int]:
    """Height and width; one number alone is the width's."""
    values = [int(n) for n in sizes]
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])


def four(pads: Sizes) -> tuple[int, int, int, int]:
    """top, left, bottom, right of two numbers (left, right) or four (all begins, then all ends)."""
    values = [int(n) for n in pads]
    return (0, values[0], 0, values[1]) if len(values) == 2 else (values[0], values[1], values[2], values[3])


def beyond(padded: int, size: int, stride: int, end: int) -> int:
    """Padding more for a size rounded up; no window starts behind the image (`end`) and its front padding."""
    out = -(-(padded - size) // stride) + 1
    if (out - 1) * stride >= end:
        out -= 1
    return max((out - 1) * stride + size - padded, 0)
