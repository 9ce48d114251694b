"""Builds graphs layer by layer: random weights, and channels that are constant or that nobody reads planted in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops import OPS
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
from offramp.ops.split import Split
from offramp.ops.strided_slice import StridedSlice
from offramp.ops.transpose import Transpose
from offramp.ops.verify import verify

Q = Quantization((0.05,), (-11,))


class Net:
    """A graph in the making; every layer returns the index of its result."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []

    def add_tensor(
        self, shape: Sequence[int], q: Quantization | None, data: Any = None, dtype: str = "s8"
    ) -> int:
        self.tensors.append(Tensor(f"t{len(self.tensors)}", tuple(shape), dtype, q, data))
        return len(self.tensors) - 1

    def input(self, *shape: int, q: Quantization = Q) -> int:
        return self.add_tensor(shape, q)

    def op(self, kind: str, inputs: Sequence[int], attributes: Any, q: Quantization | None = None) -> int:
        """An op with one result, by default of the quantization of its first input."""
        given = [self.tensors[i] if i >= 0 else None for i in inputs]
        [shape] = OPS[kind].shapes(attributes, given)
        out = self.add_tensor(shape, q or self.tensors[inputs[0]].quantization)
        self.ops.append(Op(kind, f"{kind}{len(self.ops)}", tuple(inputs), (out,), attributes))
        return out

    def draw(self, x: int, shape: tuple[int, ...], out_c: int, q: Quantization) -> tuple[int, int]:
        """Weights and bias whose results fill the output's range; a scale for each channel."""
        taps = int(np.prod(shape)) // out_c
        data = self.rng.integers(-127, 128, shape).astype(np.int8)
        spread = 255 * 74 * 74 * np.sqrt(taps) / 127  # of an accumulator, about
        usual = 180 * q.scale / (self.tensors[x].quant.scale * spread)
        scales = np.float32(usual * self.rng.uniform(0.5, 2, out_c))
        axis = 3 if shape[0] == 1 and len(shape) == 4 and out_c != 1 else 0
        w = Quantization(tuple(map(float, scales)), (0,) * out_c, axis)
        bias = self.rng.integers(-int(spread), int(spread), out_c).astype(np.int32)
        return self.add_tensor(shape, w, data), self.add_tensor((out_c,), None, bias, "s32")

    def conv(self, x: int, out_c: int, kernel: int = 1, q: Quantization = Q, **window: Any) -> int:
        weights, bias = self.draw(x, (out_c, kernel, kernel, self.tensors[x].shape[3]), out_c, q)
        return self.op("conv_2d", (x, weights, bias), Window(**window), q)

    def depthwise(
        self, x: int, multiplier: int = 1, kernel: int = 3, q: Quantization = Q, **window: Any
    ) -> int:
        out_c = self.tensors[x].shape[3] * multiplier
        weights, bias = self.draw(x, (1, kernel, kernel, out_c), out_c, q)
        return self.op("depthwise_conv_2d", (x, weights, bias), Window(**window), q)

    def dense(self, x: int, out_c: int, q: Quantization = Q, **attributes: Any) -> int:
        n = self.tensors[x].shape[0]
        weights, bias = self.draw(x, (out_c, int(np.prod(self.tensors[x].shape)) // n), out_c, q)
        return self.op("fully_connected", (x, weights, bias), FullyConnected(**attributes), q)

    def maker(self, x: int) -> Op:
        [op] = [op for op in self.ops if x in op.outputs]
        return op

    def constants(self, x: int) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        """Weights and bias of the layer that makes `x`, to be changed in place."""
        weights, bias = (self.tensors[i].data for i in self.maker(x).inputs[1:])
        assert weights is not None and bias is not None
        return weights, bias

    def make_constant(self, x: int, channels: Sequence[int], how: str, value: int = 20) -> None:
        """Plants constant channels in a layer's result: `zero` weights, a bias that `saturates`, or a `tiny` scale."""
        op = self.maker(x)
        data, bias = self.constants(x)
        weights = self.tensors[op.inputs[1]]
        at = list(channels)
        if how == "zero":
            where = (..., at) if op.kind == "depthwise_conv_2d" else (at,)
            data[where] = 0
            multiplier = self.tensors[op.inputs[0]].quant.scale * np.array(weights.quant.scales)[at]
            bias[at] = np.round(value * self.tensors[x].quant.scale / multiplier)
        elif how == "saturates":
            bias[at] = self.rng.choice([-1, 1], len(at)) * (1 << 30)
        else:
            scales = np.array(weights.quant.scales)
            scales[at] = 1e-12
            q = replace(weights.quant, scales=tuple(map(float, np.float32(scales))))
            self.tensors[op.inputs[1]] = replace(weights, quantization=q)

    def make_dead(self, x: int, channels: Sequence[int]) -> None:
        """Weights of convolutions and dense layers that read these channels of `x` become zero."""
        for op in self.ops:
            if op.inputs[0] == x and op.kind in ("conv_2d", "fully_connected"):
                data = self.tensors[op.inputs[1]].data
                assert data is not None
                data.reshape(data.shape[0], -1, self.tensors[x].shape[-1])[..., list(channels)] = 0

    def graph(self, inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
        found = Graph("net", tuple(self.tensors), tuple(self.ops), tuple(inputs), tuple(outputs))
        verify(found, "net")
        return found


def random_net(seed: int) -> Graph:
    """Some ten layers with planted channels, branches that are added or joined, and a dense end."""
    net = Net(seed)
    rng = net.rng
    source = net.input(1, 8, 9, int(rng.integers(1, 4)))
    x = planted(net, net.conv(source, int(rng.integers(6, 13)), 3, padding="same", activation="relu"))
    layers = list(LAYERS)
    for _ in range(int(rng.integers(3, 8))):
        before = x
        x = planted(net, layers[rng.integers(len(layers))](net, x))
        if rng.random() < 0.5:
            c = net.tensors[before].shape[-1]
            net.make_dead(before, rng.choice(c, c // 3, replace=False).tolist())
    outputs = [x] if rng.random() < 0.3 else []
    if rng.random() < 0.5:
        x = net.op("mean", (x,), Mean((1, 2), keep_dims=bool(rng.integers(2))))
    else:
        x = net.op("reshape", (x,), Reshape((1, int(np.prod(net.tensors[x].shape)))))
    outputs.append(net.dense(x, 5))
    return net.graph([source], outputs)


def planted(net: Net, x: int) -> int:
    op = net.maker(x)
    if op.kind in ("conv_2d", "depthwise_conv_2d"):
        c = net.tensors[x].shape[-1]
        for how in ("zero", "saturates", "tiny"):
            if net.rng.random() < 0.4:
                # 0 and -11 for zero: the real value 0, on which padding does not show, and another
                value = int(net.rng.choice([0, 0, 31, -40]))
                net.make_constant(x, net.rng.choice(c, c // 4, replace=False).tolist(), how, value)
    return x


def residual(net: Net, x: int) -> int:
    c = net.tensors[x].shape[-1]
    a = planted(net, net.conv(x, c, 1, activation="relu"))
    b = planted(net, net.depthwise(x, padding="same"))
    return net.op(str(net.rng.choice(["add", "sub"])), (a, b), Add(), Quantization((0.09,), (3,)))


def joined(net: Net, x: int) -> int:
    a = planted(net, net.conv(x, 5))
    b = planted(net, net.depthwise(x, padding="same", activation="relu6"))
    return net.op("concatenation", (a, b), Concatenation(3))


def parted(net: Net, x: int) -> int:
    h, w, c = net.tensors[x].shape[1:]
    q = net.tensors[x].quantization
    first, second = (net.add_tensor((1, h, w, n), q) for n in (c // 2, c - c // 2))
    net.ops.append(Op("split", f"split{len(net.ops)}", (x,), (first, second), Split(3, (c // 2, c - c // 2))))
    return net.op("concatenation", (second, net.conv(first, 4)), Concatenation(3))


def scaled(net: Net, x: int) -> int:
    c = net.tensors[x].shape[-1]
    factor = net.add_tensor((c,), Quantization((0.01,), (4,)), net.rng.integers(-128, 128, c).astype(np.int8))
    return net.op("mul", (x, factor), Mul(), Quantization((0.05,), (0,)))


def sliced(net: Net, x: int) -> int:
    shape = net.tensors[x].shape
    begin, length = (0, 0, 0, 0), (1, shape[1], max(shape[2] - 1, 1), shape[3])
    return net.op("strided_slice", (x,), StridedSlice(begin, length, (1, 1, 1, 1), length))


def pooled(net: Net, x: int) -> int:
    kind = str(net.rng.choice(["average_pool_2d", "max_pool_2d"]))
    padding = str(net.rng.choice(["same", "valid"]))
    if padding == "same" and x % 2:  # padded above and on the right, to the same size
        return net.op(kind, (x,), Pool(2, 2, 1, 1, "explicit", pads=(1, 0, 0, 1)))
    return net.op(kind, (x,), Pool(2, 2, 1, 1, padding))


def padded(net: Net, x: int) -> int:
    value = int(net.rng.choice([net.tensors[x].quant.zero_point, 5]))
    amounts = [(0, *map(int, net.rng.integers(0, 3, 2)), 0) for _ in range(2)]
    x = net.op("pad", (x,), Pad(amounts[0], amounts[1], value))
    return net.depthwise(x) if net.rng.random() < 0.5 else net.conv(x, 7, 3, stride_h=2)


LAYERS = (
    lambda net, x: net.conv(x, int(net.rng.integers(4, 13)), 1, activation="relu"),
    lambda net, x: net.conv(x, int(net.rng.integers(4, 13)), 3, padding="same"),
    lambda net, x: net.depthwise(x, int(net.rng.integers(1, 3)), padding="same", activation="relu"),
    lambda net, x: net.op(str(net.rng.choice(["relu", "relu6", "hard_swish"])), (x,), NoAttributes()),
    lambda net, x: net.op("transpose", (x,), Transpose((0, 2, 1, 3))),
    residual,
    joined,
    parted,
    scaled,
    sliced,
    pooled,
    padded,
)
