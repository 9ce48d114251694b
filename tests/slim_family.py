"""Families of several widths over one set of random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from offramp.ir import GATE, OF_WIDEST, Graph, Op, Quantization, Tensor
from offramp.ops import OPS
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.gemm import Window
from offramp.ops.mean import Mean
from offramp.ops.op import Array, elements
from offramp.ops.pool_2d import Pool
from offramp.ops.reshape import Reshape
from offramp.passes.rewrite import without_unused

# Kernel, stride, dilation, padding, activation and outputs at full width of each convolution.
Layers = Sequence[tuple[tuple[int, int], int, int, str, str, int]]
USUAL: Layers = (
    ((3, 3), 2, 1, "same", "relu", 16),  # by gathering
    ((3, 3), 1, 1, "same", "relu", 32),  # by a ring
    ((1, 1), 1, 1, "valid", "none", 16),  # pixels as they lie
    ((3, 2), 1, 2, "valid", "relu", 24),
)
SMALL: Layers = (
    ((3, 3), 3, 1, "same", "relu", 8),
    ((3, 3), 1, 1, "same", "relu", 16),
    ((1, 1), 1, 1, "valid", "none", 8),
)
SIZE, CLASSES = 12, 7


def slim_family(
    widths: Sequence[float] = (1.0, 0.75, 0.5, 0.25), layers: Layers = USUAL, seed: int = 1, step: int = 4
) -> Graph:
    """int8 graphs, the widest with the others as members; channels are multiples of `step`."""
    rng = np.random.default_rng(seed)
    shapes = [(kernel, out_c) for kernel, *_, out_c in layers]
    wide, in_c = [], 1
    for kernel, out_c in shapes:
        wide.append(rng.integers(-127, 128, (out_c, *kernel, in_c)).astype(np.int8))
        in_c = out_c
    wide.append(rng.integers(-127, 128, (CLASSES, in_c)).astype(np.int8))
    graphs = [network(w, layers, wide, rng, step) for w in widths]
    return replace(graphs[0], members=tuple(graphs[1:]))


def network(
    width: float, layers: Layers, wide: Sequence[Array], rng: np.random.Generator, step: int
) -> Graph:
    """The first channels of each layer; scales and biases are the width's own."""
    tensors = [activation("x", (1, SIZE, SIZE, 1), 1 / 255, -128)]
    ops: list[Op] = []

    def add(op_kind: str, attributes: object, inputs: tuple[int, ...], scale: float, zero: int) -> None:
        shape = OPS[op_kind].shapes(attributes, [tensors[i] for i in inputs])[0]
        name = f"{op_kind}_{len(ops)}"
        tensors.append(activation(name, shape, scale, zero))
        ops.append(Op(op_kind, name, inputs, (len(tensors) - 1,), attributes))

    def weights(index: int, out_c: int, in_c: int) -> tuple[int, int]:
        x = tensors[-1]
        data = np.ascontiguousarray(wide[index][:out_c, ..., :in_c])
        scales = rng.uniform(1, 4, out_c) / (60 * np.sqrt(data[0].size))
        bias = rng.integers(-500, 500, out_c).astype(np.int32)
        units = [float(np.float32(x.quant.scale) * np.float32(s)) for s in scales]
        tensors.append(Tensor(f"w{index}", data.shape, "s8", per_channel(scales), data, storage=OF_WIDEST))
        tensors.append(Tensor(f"b{index}", bias.shape, "s32", per_channel(units), bias))
        return len(tensors) - 2, len(tensors) - 1

    in_c = 1
    for i, (_, stride, dilation, padding, act, full) in enumerate(layers):
        out_c, x = min(full, max(step, round(full * width / step) * step)), len(tensors) - 1
        window = Window(stride, stride, dilation, dilation, padding, act)
        zero = -128 if act == "relu" else 5
        add("conv_2d", window, (x, *weights(i, out_c, in_c)), 0.05, zero)
        in_c = out_c
    x = len(tensors) - 1
    add("mean", Mean((1, 2), False), (x,), 0.05, tensors[x].quant.zero_point)
    x = len(tensors) - 1
    add("fully_connected", FullyConnected("none", False), (x, *weights(len(layers), CLASSES, in_c)), 0.05, 3)
    return Graph(f"width_{100 * width:.0f}", tuple(tensors), tuple(ops), (0,), (len(tensors) - 1,))


def gated_family(seed: int = 1) -> Graph:
    """Four widths and a gate: the narrowest's first layer, a mean over cells, and scores of the widths."""
    family = slim_family(seed=seed)
    rng, narrow = np.random.default_rng(seed), family.members[-1]
    tensors, ops = list(narrow.tensors), [narrow.ops[0]]

    def add(kind: str, attributes: object, constants: Sequence[Tensor], scale: float, zero: int) -> None:
        inputs = (ops[-1].outputs[0], *range(len(tensors), len(tensors) + len(constants)))
        tensors.extend(constants)
        shape = OPS[kind].shapes(attributes, [tensors[i] for i in inputs])[0]
        tensors.append(activation(f"gate_{kind}", shape, scale, zero))
        ops.append(Op(kind, f"gate_{kind}", inputs, (len(tensors) - 1,), attributes))

    add("average_pool_2d", Pool(2, 2, 2, 2), (), 0.05, -128)
    n = elements(tensors[-1].shape)
    add("reshape", Reshape((1, n)), (), 0.05, -128)
    w = rng.integers(-127, 128, (4, n)).astype(np.int8)
    bias = np.zeros(4, np.int32)
    scale = Quantization((0.002,), (0,))
    unit = Quantization((float(np.float32(0.05) * np.float32(0.002)),), (0,))
    constants = (Tensor("gw", w.shape, "s8", scale, w), Tensor("gb", bias.shape, "s32", unit, bias))
    add("fully_connected", FullyConnected(), constants, 0.05, 0)
    gate = Graph("gate", tuple(tensors), tuple(ops), (0,), (len(tensors) - 1,))
    gate = without_unused(gate)
    return replace(family, members=(*family.members, gate), metadata={GATE: "gate"})


def activation(name: str, shape: tuple[int, ...], scale: float, zero: int) -> Tensor:
    return Tensor(name, shape, "s8", Quantization((float(np.float32(scale)),), (zero,)))


def per_channel(scales: Sequence[float] | Array) -> Quantization:
    return Quantization(tuple(float(np.float32(s)) for s in scales), (0,) * len(scales), 0)
