"""Layers at the edges of what the short requantization and the half words hold: the same bits, by whichever kernel."""

from __future__ import annotations

import numpy as np
import pytest

from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops import OPS, Kernel, add, conv_2d, depthwise_conv_2d, fully_connected
from offramp.ops.gemm import Window
from offramp.reference import Reference
from tests.kernel_call import KernelRunner

SHAPES = 200
KINDS = {  # attributes, input shape, weight shape, channel axis, the fast kernel, the general one
    "conv_2d": (
        Window(padding="same"),
        (1, 4, 5, 6),
        (9, 3, 3, 6),
        0,
        conv_2d.PAIR,
        conv_2d.KERNEL,
    ),
    "depthwise_conv_2d": (
        Window(padding="same"),
        (1, 4, 5, 9),
        (1, 3, 3, 9),
        3,
        depthwise_conv_2d.KERNEL_3X3,
        depthwise_conv_2d.KERNEL,
    ),
    "fully_connected": (
        fully_connected.FullyConnected(),
        (1, 75),
        (16, 75),
        0,
        fully_connected.KERNEL,
        conv_2d.KERNEL,
    ),
}


def quantization(scales: np.ndarray | float, zero_point: int = 0, axis: int | None = None) -> Quantization:
    found = tuple(float(np.float32(s)) for s in np.atleast_1d(scales))
    return Quantization(found, (zero_point,) * len(found), axis)


def layer(
    kind: str, weights: np.ndarray, bias: np.ndarray, ratio: np.ndarray, zero_points: tuple[int, int]
) -> Graph:
    """A layer of KINDS, whose channel c requantizes by ratio[c]."""
    attributes, in_shape, _, axis, _, _ = KINDS[kind]
    return layer_of(kind, attributes, in_shape, weights, axis, bias, ratio, zero_points)


def layer_of(
    kind: str,
    attributes: object,
    in_shape: tuple[int, ...],
    weights: np.ndarray,
    axis: int,
    bias: np.ndarray,
    ratio: np.ndarray,
    zero_points: tuple[int, int],
) -> Graph:
    source = Tensor("in", in_shape, "s8", quantization(1.0, zero_points[0]))
    constants = (
        Tensor("weights", weights.shape, "s8", quantization(ratio, 0, axis), weights.astype(np.int8)),
        Tensor("bias", bias.shape, "s32", quantization(ratio, 0, 0), bias.astype(np.int32)),
    )
    [shape] = OPS[kind].shapes(attributes, [source, *constants])
    out = Tensor("out", shape, "s8", quantization(1.0, zero_points[1]))
    return Graph(kind, (source, *constants, out), (Op(kind, kind, (0, 1, 2), (3,), attributes),), (0,), (3,))


def used(graph: Graph) -> Kernel:
    op = graph.ops[0]
    tensors = [graph.tensors[i] for i in op.inputs]
    steps = OPS[op.kind].steps(op, tensors, [graph.tensors[i] for i in op.outputs])
    assert steps is not None
    return steps[0].kernel


def check(graph: Graph, rng: np.random.Generator, rows: int = 20) -> None:
    reference, kernels = Reference(graph), KernelRunner(graph)
    shapes = [graph.tensors[i].shape for i in graph.inputs]
    for row in range(rows):
        inputs = [rng.integers(-128, 128, shape).astype(np.int8) for shape in shapes]
        if row < 4:
            inputs = [np.full(shape, (-128, 127, -1, 0)[row], np.int8) for shape in shapes]
        np.testing.assert_array_equal(kernels.run(inputs)[0], reference.run(inputs)[0])


def drawn(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, bias and ratios of a layer like trained ones."""
    _, _, shape, axis, _, _ = KINDS[kind]
    out_c = shape[axis]
    return (
        rng.integers(-127, 128, shape),
        rng.integers(-20000, 20000, out_c),
        2.0 ** -rng.uniform(1.01, 13, out_c),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_usual_layers_take_the_fast_kernel(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, bias, ratio = drawn(kind, rng)
    if seed % 4 == 1:
        ratio = 2.0 ** -np.arange(2.0, 2 + len(ratio))  # multipliers of 2^30: halves everywhere
    if seed % 4 == 2:
        weights = 127 * rng.choice((-1, 1), weights.shape)  # the half words' edges
    graph = layer(kind, weights, bias, ratio, (int(rng.integers(-128, 128)), int(rng.integers(-128, 128))))
    assert used(graph) == KINDS[kind][4]
    check(graph, rng)


@pytest.mark.parametrize("kind", KINDS)
def test_random_shapes(kind: str) -> None:
    for seed in range(SHAPES):
        rng = np.random.default_rng(1000 + seed)
        height, width, channels = (int(n) for n in rng.integers((3, 3, 1), (9, 9, 11)))
        stride_h, stride_w, dilation_h, dilation_w = (int(n) for n in rng.integers(1, 4, 4))
        activation = str(rng.choice(("none", "relu", "relu6", "relu_n1_to_1")))
        attributes: object = Window(stride_h, stride_w, dilation_h, dilation_w, "same", activation)
        if seed % 2:
            attributes = Window(stride_h, stride_w, 1, 1, "valid", activation)
        in_shape: tuple[int, ...] = (1, height, width, channels)
        axis = 0
        if kind == "conv_2d":
            groups = int(rng.choice([g for g in (1, 2, 3) if channels % g == 0]))
            kernel = tuple(int(n) for n in rng.integers(1, 4, 2))
            shape: tuple[int, ...] = (groups * int(rng.integers(1, 6)), *kernel, channels // groups)
        elif kind == "depthwise_conv_2d":
            shape, axis = (1, 3, 3, channels), 3
        else:
            depth = int(rng.integers(130, 150))
            in_shape, shape = (1, depth), (8 * int(rng.integers(1, 5)) - int(seed % 5 == 0), depth)
            attributes = fully_connected.FullyConnected(activation)
        out_c = shape[axis]
        weights, bias = rng.integers(-127, 128, shape), rng.integers(-9000, 9000, out_c)
        ratio = 2.0 ** -rng.uniform(5, 11, out_c if seed % 4 else 1)
        zero_points = (int(rng.integers(-128, 128)), int(rng.integers(-128, 128)))
        graph = layer_of(kind, attributes, in_shape, weights, axis, bias, ratio, zero_points)
        assert used(graph) in (KINDS[kind][4], conv_2d.PAIR)
        check(graph, rng, 6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("broken", ["ratio above one half", "large accumulator", "large shift"])
def test_broken_preconditions_take_the_general_kernel(kind: str, broken: str) -> None:
    rng = np.random.default_rng(5)
    weights, bias, ratio = drawn(kind, rng)
    if broken == "ratio above one half":
        ratio[1] = 1.7
    elif broken == "large accumulator":
        bias[2], ratio[2] = (1 << 28) + (1 << 21), 2.0**-22  # on a half: not the same output for all inputs
    else:
        bias[0], ratio[0] = 1 << 28, 2.0**-29  # as well
    graph = layer(kind, weights, bias, ratio, (3, -7))
    assert used(graph) == KINDS[kind][5]
    check(graph, rng)


@pytest.mark.parametrize("kind", KINDS)
def test_constant_channels_do_not_break_the_fast_kernel(kind: str) -> None:
    rng = np.random.default_rng(6)
    weights, bias, ratio = drawn(kind, rng)
    bias[0], bias[1], bias[2] = (1 << 30) + 5, -(1 << 30), 123456789
    ratio[0], ratio[1], ratio[2] = 2.0**-29, 2.0**-3, 2.0**-33
    graph = layer(kind, weights, bias, ratio, (3, -7))
    assert used(graph) == KINDS[kind][4]
    check(graph, rng)


def test_weights_of_minus_128_side_by_side_take_the_general_convolution() -> None:
    rng = np.random.default_rng(7)
    weights, bias, ratio = drawn("conv_2d", rng)
    weights[0, 0, 0, :2] = -128
    graph = layer("conv_2d", weights, bias, ratio, (-128, -128))
    assert used(graph) == conv_2d.KERNEL
    check(graph, rng)


@pytest.mark.parametrize("kind", ["add", "sub"])
@pytest.mark.parametrize("scales", [(0.5, 0.013, 0.6), (0.013, 0.5, 0.4), (0.1, 0.1, 0.15), (3.0, 0.1, 3e-5)])
def test_sums(kind: str, scales: tuple[float, float, float]) -> None:
    tensors = tuple(
        Tensor(name, (1, 3, 5, 7), "s8", quantization(scale, zero))
        for name, scale, zero in zip("abc", scales, (-128, 90, -5), strict=True)
    )
    graph = Graph(kind, tensors, (Op(kind, kind, (0, 1), (2,), add.Add()),), (0, 1), (2,))
    assert used(graph) == add.TABLE
    check(graph, np.random.default_rng(8))
    coarse = (*tensors[:2], Tensor("c", (1, 3, 5, 7), "s8", quantization(1000 * max(scales), 1)))
    graph = Graph(kind, coarse, graph.ops, (0, 1), (2,))
    assert used(graph) == add.KERNEL
    check(graph, np.random.default_rng(9))
