"""Float graphs layer by layer, with random weights, for tests of what trains and compresses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from offramp.ir import Graph, Op, Tensor
from offramp.ops import OPS
from offramp.ops.add import Add
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.gemm import Window
from offramp.ops.mean import Mean
from offramp.ops.op import elements
from offramp.ops.reshape import Reshape
from offramp.ops.softmax import Softmax
from offramp.ops.verify import verify


class FloatNet:
    """A canonical float graph in the making; every layer returns the index of its result."""

    def __init__(self, *shape: int, seed: int = 0) -> None:
        """`shape` of the input, without batch."""
        self.rng = np.random.default_rng(seed)
        self.tensors = [Tensor("input", (1, *shape), "f32")]
        self.ops: list[Op] = []

    def channels(self, x: int) -> int:
        return self.tensors[x].shape[-1]

    def constant(self, *shape: int, deviation: float = 0.1) -> int:
        data = self.rng.normal(0, deviation, shape).astype(np.float32)
        self.tensors.append(Tensor(f"t{len(self.tensors)}", shape, "f32", data=data))
        return len(self.tensors) - 1

    def op(self, kind: str, inputs: Sequence[int], attributes: Any) -> int:
        [shape] = OPS[kind].shapes(attributes, [self.tensors[i] for i in inputs])
        self.tensors.append(Tensor(f"t{len(self.tensors)}", shape, "f32"))
        self.ops.append(
            Op(kind, f"{kind}{len(self.ops)}", tuple(inputs), (len(self.tensors) - 1,), attributes)
        )
        return len(self.tensors) - 1

    def weighted(self, kind: str, x: int, shape: tuple[int, ...], attributes: Any) -> int:
        out_c = shape[3] if kind == "depthwise_conv_2d" else shape[0]
        weights = self.constant(*shape, deviation=(2 * out_c / elements(shape)) ** 0.5)
        return self.op(kind, (x, weights, self.constant(out_c)), attributes)

    def conv(self, x: int, out_c: int, kernel: int = 3, activation: str = "relu", **window: Any) -> int:
        a = Window(**{"padding": "same", "activation": activation} | window)
        return self.weighted("conv_2d", x, (out_c, kernel, kernel, self.channels(x)), a)

    def depthwise(self, x: int, kernel: int = 3, activation: str = "relu", **window: Any) -> int:
        a = Window(**{"padding": "same", "activation": activation} | window)
        return self.weighted("depthwise_conv_2d", x, (1, kernel, kernel, self.channels(x)), a)

    def dense(self, x: int, out_c: int, activation: str = "none") -> int:
        k = elements(self.tensors[x].shape)
        return self.weighted("fully_connected", x, (out_c, k), FullyConnected(activation))

    def add(self, x: int, y: int, activation: str = "relu") -> int:
        return self.op("add", (x, y), Add(activation))

    def mean(self, x: int) -> int:
        return self.op("mean", (x,), Mean((1, 2)))

    def flat(self, x: int) -> int:
        return self.op("reshape", (x,), Reshape((1, elements(self.tensors[x].shape))))

    def softmax(self, x: int) -> int:
        return self.op("softmax", (x,), Softmax())

    def graph(self, *outputs: int) -> Graph:
        found = Graph("net", tuple(self.tensors), tuple(self.ops), (0,), outputs)
        verify(found, "net")
        return found


def digits_net(width: int = 8, seed: int = 0, flat: bool = False) -> Graph:
    """A classifier for 8x8 digits: a residual block, a depthwise one, and a dense layer over a map or its mean."""
    net = FloatNet(8, 8, 1, seed=seed)
    a = net.conv(0, width)
    b = net.add(a, net.conv(net.conv(a, width), width, activation="none"))
    c = net.conv(net.depthwise(b, stride_h=2, stride_w=2), 2 * width, 1)
    d = net.conv(c, 2 * width)
    scores = net.dense(net.flat(d) if flat else net.mean(d), 10)
    return net.graph(net.softmax(scores))


@lru_cache
def trained_digits(width: int, flat: bool = False) -> Graph:
    """`digits_net` after ten epochs in floating point, the same in every test of a process; needs PyTorch."""
    from offramp.compress.train.fit import fit
    from offramp.compress.train.module import initialize, to_graph, to_module
    from offramp.compress.training import Training

    x, y, _, _ = digits()
    module = to_module(initialize(digits_net(width, flat=flat), 1), with_batch_norm=True)
    fit(module, x, y, Training(epochs=10, batch=32, threads=1, weight_decay=2e-4, seed=0))
    return to_graph(module)


@lru_cache
def digits() -> tuple[Any, Any, Any, Any]:
    """scikit-learn's digits, 1347 rows to train on and 450 to test: x [n, 8, 8, 1] in 0..1, y; x, y."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order[450:]], y[order[450:]], x[order[:450]], y[order[:450]]
