"""Float graphs of random weights for tests of compression: every op with a float reference, and chains of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.ir import Graph, Op, Tensor
from offramp.ops import OPS
from offramp.ops.activation import LeakyRelu
from offramp.ops.add import Add
from offramp.ops.concatenation import Concatenation
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.gemm import Window
from offramp.ops.mean import Mean
from offramp.ops.mul import Mul
from offramp.ops.op import NoAttributes
from offramp.ops.pad import Pad
from offramp.ops.pool_2d import Pool
from offramp.ops.reshape import Reshape
from offramp.ops.resize import Resize
from offramp.ops.softmax import Softmax
from offramp.ops.split import Split
from offramp.ops.strided_slice import StridedSlice
from offramp.ops.transpose import Transpose
from offramp.ops.verify import verify


class FloatNet:
    """A float graph in the making; every layer returns the index of its result."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []

    def tensor(self, shape: Sequence[int], data: NDArray[Any] | None = None) -> int:
        data = None if data is None else data.astype(np.float32)
        self.tensors.append(Tensor(f"t{len(self.tensors)}", tuple(shape), "f32", None, data))
        return len(self.tensors) - 1

    def shape(self, x: int) -> tuple[int, ...]:
        return self.tensors[x].shape

    def op(self, kind: str, inputs: Sequence[int], attributes: Any = None) -> int:
        """An op; of several results the first is returned, the others follow it."""
        attributes = NoAttributes() if attributes is None else attributes
        shapes = OPS[kind].shapes(attributes, [self.tensors[i] if i >= 0 else None for i in inputs])
        outputs = tuple(self.tensor(shape) for shape in shapes)
        self.ops.append(Op(kind, f"{kind}{len(self.ops)}", tuple(inputs), outputs, attributes))
        return outputs[0]

    def weighted(self, kind: str, x: int, shape: Sequence[int], out_c: int, attributes: Any) -> int:
        taps = int(np.prod(shape)) // out_c
        weights = (
            self.rng.normal(size=shape)
            / np.sqrt(taps)
            * self.rng.uniform(0.5, 2, out_c).reshape(
                [-1 if i == (3 if kind == "depthwise_conv_2d" else 0) else 1 for i in range(len(shape))]
            )
        )
        bias = self.tensor((out_c,), self.rng.normal(size=out_c) * 0.2)
        return self.op(kind, (x, self.tensor(shape, weights), bias), attributes)

    def conv(self, x: int, out_c: int, kernel: int = 1, **window: Any) -> int:
        shape = (out_c, kernel, kernel, self.shape(x)[3])
        return self.weighted("conv_2d", x, shape, out_c, Window(**window))

    def depthwise(self, x: int, multiplier: int = 1, kernel: int = 3, **window: Any) -> int:
        out_c = self.shape(x)[3] * multiplier
        return self.weighted("depthwise_conv_2d", x, (1, kernel, kernel, out_c), out_c, Window(**window))

    def dense(self, x: int, out_c: int, **attributes: Any) -> int:
        k = self.shape(x)[-1] if attributes.get("keep_num_dims") else int(np.prod(self.shape(x)))
        return self.weighted("fully_connected", x, (out_c, k), out_c, FullyConnected(**attributes))

    def graph(self, inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
        found = Graph("net", tuple(self.tensors), tuple(self.ops), tuple(inputs), tuple(outputs))
        verify(found, "net")
        return found


Layer = Callable[[FloatNet, int], int]


def of(kind: str, attributes: Any = None) -> Layer:
    return lambda net, x: net.op(kind, (x,), attributes)


def with_constant(kind: str, attributes: Any) -> Layer:
    def layer(net: FloatNet, x: int) -> int:
        c = net.shape(x)[-1]
        return net.op(kind, (x, net.tensor((c,), net.rng.normal(size=c))), attributes)

    return layer


def residual(net: FloatNet, x: int) -> int:
    y = net.conv(net.conv(x, 6, 1, activation="relu"), net.shape(x)[3], 3, padding="same")
    return net.op(str(net.rng.choice(["add", "sub"])), (x, y), Add("relu"))


def joined(net: FloatNet, x: int) -> int:
    """Branches of different ranges, one of them fixed, and one read twice."""
    gate = net.op("logistic", (net.conv(x, 3),))
    y = net.conv(x, 4, 3, padding="same")
    return net.op("concatenation", (gate, y, net.op("max_pool_2d", (y,), Pool(1, 1, 1, 1))), Concatenation(3))


def parted(net: FloatNet, x: int) -> int:
    c = net.shape(x)[3]
    first = net.op("split", (x,), Split(3, (c // 2, c - c // 2)))
    return net.op("concatenation", (first + 1, net.conv(first, 4)), Concatenation(3))


def gated(net: FloatNet, x: int) -> int:
    """Squeeze and excite."""
    pooled = net.op("mean", (x,), Mean((1, 2), keep_dims=True))
    return net.op("mul", (x, net.op("logistic", (net.conv(pooled, net.shape(x)[3]),))), Mul())


def sliced(net: FloatNet, x: int) -> int:
    _, h, w, c = net.shape(x)
    length = (1, h, max(w - 1, 1), c)
    return net.op("strided_slice", (x,), StridedSlice((0, 0, 0, 0), length, (1, 1, 1, 1), length))


def merged(shape: tuple[int, ...]) -> tuple[int, int]:
    h, w, c = shape
    return h * w, c


LAYERS: dict[str, Layer] = {
    "conv_2d": lambda net, x: net.conv(x, 7, 3, padding="same", activation="relu"),
    "conv_2d_pointwise": lambda net, x: net.conv(x, 9, activation="relu6"),
    "depthwise_conv_2d": lambda net, x: net.depthwise(x, 2, padding="same", activation="relu"),
    "fully_connected": lambda net, x: net.dense(x, 5, keep_num_dims=True),
    "average_pool_2d": of("average_pool_2d", Pool(2, 2, 1, 1, "same")),
    "max_pool_2d": of("max_pool_2d", Pool(2, 2, 1, 1)),
    "residual": residual,
    "joined": joined,
    "parted": parted,
    "gated": gated,
    "sliced": sliced,
    "add_constant": with_constant("add", Add()),
    "mul_constant": with_constant("mul", Mul("relu")),
    "mean": lambda net, x: net.op("mean", (x,), Mean((1,), keep_dims=True)),
    "relu": of("relu"),
    "relu6": of("relu6"),
    "leaky_relu": of("leaky_relu", LeakyRelu(0.1)),
    "hard_swish": of("hard_swish"),
    "logistic": of("logistic"),
    "tanh": of("tanh"),
    "softmax": of("softmax", Softmax()),
    "transpose": of("transpose", Transpose((0, 2, 1, 3))),
    "pad": of("pad", Pad((0, 1, 2, 0), (0, 2, 0, 0), 0)),
    "reshape": lambda net, x: net.op("reshape", (x,), Reshape((1, 1, *merged(net.shape(x)[1:])))),
    "resize_nearest_neighbor": of("resize_nearest_neighbor", Resize(9, 7)),
    "resize_bilinear": of("resize_bilinear", Resize(7, 9, half_pixel_centers=True)),
}


def one_layer(name: str, seed: int = 0) -> Graph:
    """A convolution and the layer."""
    net = FloatNet(seed)
    source = net.tensor((1, 6, 5, 3))
    return net.graph([source], [LAYERS[name](net, net.conv(source, 6, activation="none"))])


def random_float_net(seed: int) -> Graph:
    """Some six layers and a dense end."""
    net = FloatNet(seed)
    source = net.tensor((1, 6, 7, 3))
    x = net.conv(source, 8, 3, padding="same", activation="relu")
    names = [n for n in LAYERS if n not in ("softmax", "mean")]
    for _ in range(6):
        x = LAYERS[str(net.rng.choice(names))](net, x)
    x = net.dense(net.op("mean", (x,), Mean((1, 2))), 5)
    return net.graph([source], [net.op("softmax", (x,), Softmax())])


def rows_of(graph: Graph, n: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, *graph.tensors[graph.inputs[0]].shape[1:])).astype(np.float32)
