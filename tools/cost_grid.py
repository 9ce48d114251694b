"""The one-op layers on which costs are measured: seeded draws of shapes, none of them taken from a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from offramp.ir import OF_WIDEST, Op, Quantization, Tensor
from offramp.kernels import wide_tensors
from offramp.ops import OPS
from offramp.ops.activation import LeakyRelu
from offramp.ops.add import Add
from offramp.ops.compressed import RUN
from offramp.ops.conv_2d_tile import plane_bytes
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.gemm import Window
from offramp.ops.mean import Mean
from offramp.ops.mul import Mul
from offramp.ops.op import NoAttributes
from offramp.ops.pad import Pad
from offramp.ops.pool_2d import Pool
from offramp.ops.resize import Resize
from offramp.ops.softmax import Softmax
from offramp.ops.table import Table
from offramp.ops.transpose import Transpose

DRAWS = 16  # of each kind of layer
MOST_MACS = 150_000
INPUT = Quantization((0.05,), (-3,))


@dataclass(frozen=True)
class Layer:
    """An op, its inputs with constants among them, and its output."""

    kind: str
    attributes: Any
    inputs: tuple[Tensor, ...]
    output: Tensor

    @property
    def op(self) -> Op:
        n = len(self.inputs)
        return Op(self.kind, self.kind, tuple(range(n)), (n,), self.attributes)


Random = np.random.Generator


def layers() -> Iterator[Layer]:
    for number, draw in enumerate(DRAWN):
        random = np.random.default_rng((7, number))
        for _ in range(DRAWS):
            yield draw(random)


def activation(shape: tuple[int, ...], quantization: Quantization = INPUT) -> Tensor:
    return Tensor("x", shape, "s8", quantization)


def finished(kind: str, attributes: Any, inputs: tuple[Tensor, ...], out: Quantization = INPUT) -> Layer:
    [shape] = OPS[kind].shapes(attributes, list(inputs))
    return Layer(kind, attributes, inputs, Tensor("y", shape, "s8", out))


def weighted(
    random: Random,
    kind: str,
    attributes: Any,
    x: tuple[int, ...],
    w: tuple[int, ...],
    general: bool,
    relu: bool = False,
) -> Layer:
    """`general`: a layer whose numbers only the kernels for all layers take, by multipliers above 1; `relu`: one as
    trained networks have it before a ReLU."""
    axis = 3 if kind == "depthwise_conv_2d" else 0
    channels = w[axis]
    taps = int(np.prod(w)) // channels
    activation_, zero = (("none", -7), ("relu", -128), ("relu", -7))[1 if relu else int(random.integers(3))]
    if kind != "fully_connected":
        attributes = replace(attributes, activation=activation_)
    data = random.integers(-90, 91, w).astype(np.int8)
    scales = random.uniform(0.5, 1.5, 1 if kind == "fully_connected" else channels) * 0.01
    weights = Tensor("w", w, "s8", Quantization(tuple(map(float, scales)), (0,) * len(scales), axis), data)
    bias = Tensor("b", (channels,), "s32", None, random.integers(-3000, 3000, channels).astype(np.int32))
    spread = (1.2, 12, 60)[
        1 if relu else int(random.integers(3))
    ]  # the largest uses int8 as a trained layer does
    scale = 1e-4 if general else 0.05 * 0.01 * spread * max(1.0, taps**0.5)
    return finished(kind, attributes, (activation(x), weights, bias), Quantization((scale,), (zero,)))


def conv(
    channels: Callable[[Random], tuple[int, int]],
    kernel: Callable[[Random], tuple[int, int]],
    general: bool = False,
    groups: bool = False,
    dilation: bool = False,
    flat: bool = False,
) -> Callable[[Random], Layer]:
    def draw(random: Random) -> Layer:
        while True:
            in_c, out_c = channels(random)
            kh, kw = kernel(random)
            stride = 1 + int(random.integers(3) == 0)
            dilated = 2 if dilation else 1
            rows, cols = (int(n) for n in random.integers(5, 26, 2))
            group = 4 if groups else 1
            out_c = out_c // group * group or group
            if flat:
                rows, cols, stride = 1, cols * 4, 1
            elif stride == 2 and (kh, kw) != (1, 1):
                rows, cols = 2 * rows, 2 * cols
            padding = "same" if flat else str(random.choice(["same", "valid"]))
            a = Window(stride, stride, dilated, dilated, padding)
            macs = rows * cols * kh * kw * in_c * out_c // stride**2 // group
            if rows > dilated * (kh - 1) and cols > dilated * (kw - 1) and macs <= MOST_MACS:
                w = (out_c, kh, kw, in_c // group)
                return weighted(random, "conv_2d", a, (1, rows, cols, in_c), w, general)

    return draw


def depthwise(
    multiplier: Callable[[Random], int], kernel: Callable[[Random], tuple[int, int]], relu: bool = False
) -> Callable[[Random], Layer]:
    def draw(random: Random) -> Layer:
        kh, kw = kernel(random)
        stride = 1 + int(random.integers(2))
        rows, cols = (int(n) for n in random.integers(max(kh, kw), 24, 2))
        c, m = int(random.integers(2, 49)), multiplier(random)
        a = Window(stride, stride, 1, 1, str(random.choice(["same", "valid"])))
        general = not relu and kh * kw == 9 and m == 1 and bool(random.integers(4) == 0)
        return weighted(random, "depthwise_conv_2d", a, (1, rows, cols, c), (1, kh, kw, c * m), general, relu)

    return draw


def fully_connected(rows: int, general: bool = False, most: int = 260) -> Callable[[Random], Layer]:
    def draw(random: Random) -> Layer:
        depth, out_c = int(random.integers(8, 700)), int(random.integers(2, most))
        n = int(random.integers(2, 9)) if rows > 1 else 1
        return weighted(random, "fully_connected", FullyConnected(), (n, depth), (out_c, depth), general)

    return draw


def fully_connected_of(low: int, high: int, multiple: int) -> Callable[[Random], Layer]:
    """One row, the inputs a multiple."""

    def draw(random: Random) -> Layer:
        depth, out_c = int(random.integers(low, high + 1)) * multiple, int(random.integers(2, 200))
        return weighted(random, "fully_connected", FullyConnected(), (1, depth), (out_c, depth), False)

    return draw


def pool(kind: str) -> Callable[[Random], Layer]:
    def draw(random: Random) -> Layer:
        rows, cols, c = (int(n) for n in random.integers((4, 4, 1), (17, 17, 70)))
        size = int(random.integers(2, 5))
        whole = bool(random.integers(3) == 0)
        fh, fw = (rows, cols) if whole else (size, size)
        a = Pool(fh, fw, max(1, fh - 1), max(1, fw - 1), str(random.choice(["same", "valid"])))
        return finished(kind, a, (activation((1, rows, cols, c)),))

    return draw


def add(table: bool, alike: bool) -> Callable[[Random], Layer]:
    """Without `table` a layer whose output's scale is too large for the kernels with a table."""

    def draw(random: Random) -> Layer:
        shape = tuple(int(n) for n in (1, *random.integers((3, 3, 3), (16, 16, 33))))
        relu = bool(random.integers(2))
        other = Quantization((0.04,), (5,))
        left = activation(shape, INPUT if table else Quantization((0.05,), (1,)))
        right = activation(shape if alike else (1, 1, 1, shape[-1]), other)
        out = Quantization((0.08 if table else 2.0,), (-128 if relu else 3,))
        return finished("add", Add("relu" if relu else "none"), (left, right), out)

    return draw


def mul(random: Random) -> Layer:
    shape = tuple(int(n) for n in (1, *random.integers((3, 3, 3), (16, 16, 33))))
    right = shape if random.integers(3) else (1, 1, 1, shape[-1])
    out = Quantization((0.09,), (-128 if random.integers(2) else 2,))
    return finished("mul", Mul(), (activation(shape), activation(right)), out)


def mean(random: Random) -> Layer:
    shape = tuple(int(n) for n in (1, *random.integers((2, 2, 3), (13, 13, 50))))
    return finished("mean", Mean(((1, 2), (3,), (1,))[int(random.integers(3))]), (activation(shape),))


def softmax(random: Random) -> Layer:
    x = activation((int(random.integers(1, 9)), int(random.integers(2, 60))), Quantization((0.1,), (0,)))
    return finished("softmax", Softmax(), (x,), Quantization((1 / 256,), (-128,)))


def table(random: Random) -> Layer:
    return finished(
        "table", Table(tuple(range(-128, 128))), (activation((1, int(random.integers(4, 2000)))),)
    )


def transpose(random: Random) -> Layer:
    shape = tuple(int(n) for n in random.integers(2, 13, 3))
    axes = ((0, 2, 1), (2, 0, 1), (1, 0, 2), (2, 1, 0))[int(random.integers(4))]
    return finished("transpose", Transpose(axes), (activation(shape),))


def pad(random: Random) -> Layer:
    shape = tuple(int(n) for n in (1, *random.integers((3, 3, 1), (16, 16, 24))))
    n = int(random.integers(1, 4))
    return finished("pad", Pad((0, n, n, 0), (0, n, n, 0), -3), (activation(shape),))


def resize(kind: str) -> Callable[[Random], Layer]:
    def draw(random: Random) -> Layer:
        rows, cols, c, factor = (int(n) for n in random.integers((2, 2, 1, 2), (9, 9, 24, 4)))
        return finished(kind, Resize(rows * factor, cols * factor), (activation((1, rows, cols, c)),))

    return draw


def thinned(
    draw: Callable[[Random], Layer], zeros: float, bits: int = 8, runs: bool = False, block: int = 1
) -> Any:
    """A layer with so many zero weights, in blocks of taps, the others of so many bits, `runs`: times a multiplier for
    each 32 taps."""

    def thin(random: Random) -> Layer:
        layer = draw(random)
        weights = layer.inputs[1]
        assert weights.data is not None
        values, quant = np.array(weights.data, np.int64).reshape(len(weights.data), -1), weights.quant
        if bits == 4:
            values = random.integers(-8, 8, values.shape)
            quant = replace(quant, scales=tuple(11 * scale for scale in quant.scales))
        if runs:
            multipliers = random.integers(1, 16, (len(values), -(-values.shape[1] // RUN)))
            values *= np.repeat(multipliers, RUN, axis=1)[:, : values.shape[1]]
        share = zeros and float(random.uniform(zeros, 1))
        gone = random.random((len(values), -(-values.shape[1] // block))) < share
        data = np.where(np.repeat(gone, block, axis=1)[:, : values.shape[1]], 0, values).astype(np.int8)
        stored = replace(weights, data=data.reshape(weights.shape), quantization=quant)
        return replace(layer, inputs=(layer.inputs[0], stored, *layer.inputs[2:]))

    return thin


def in_planes(draw: Callable[[Random], Layer], upper_alone: bool) -> Callable[[Random], Layer]:
    """A layer whose weights are planes of nibbles, or the upper plane."""

    def stored(random: Random) -> Layer:
        layer = draw(random)
        weights = layer.inputs[1]
        assert weights.data is not None
        data = (weights.data + 8) // 16 * 16 if upper_alone else weights.data
        planes = [Tensor("p", p.shape, "u8", None, p) for p in plane_bytes(data.reshape(len(data), -1), 1)]
        kept = replace(weights, data=data, storage="planes")
        return replace(layer, inputs=(layer.inputs[0], kept, layer.inputs[2], *planes))

    return stored


def of_wider(draw: Callable[[Random], Layer], kernels: str, most_times: int = 2) -> Callable[[Random], Layer]:
    """A layer whose weights are parts of one with up to so many times the inputs, as a kernel set stores them."""

    def stored(random: Random) -> Layer:
        layer, times = draw(random), 1 + int(random.integers(most_times))
        x, weights, bias = layer.inputs
        assert weights.data is not None
        data = np.concatenate([weights.data] * times, axis=-1)
        whole = replace(weights, shape=data.shape, data=data)
        source = replace(x, shape=(*x.shape[:-1], x.shape[-1] * times))
        depths = {weights.shape[-1], data.shape[-1]}
        op, inputs = layer.op, [source, whole, bias]
        wide = next(wide_tensors(op, list(inputs), [layer.output], depths, (kernels,)))
        return replace(layer, inputs=(x, replace(weights, storage=OF_WIDEST), bias, wide))

    return stored


def binary(draw: Callable[[Random], Layer]) -> Callable[[Random], Layer]:
    def signs(random: Random) -> Layer:
        layer = draw(random)
        weights = layer.inputs[1]
        assert weights.data is not None
        data = np.where(weights.data > 0, 1, -1).astype(np.int8)
        inputs = (layer.inputs[0], replace(weights, data=data), layer.inputs[2])
        return replace(layer, kind="binary_conv_2d", inputs=inputs)

    return signs


def on_int16(
    draw: Callable[[Random], Layer], kind: str = "", out_scale: float = 0
) -> Callable[[Random], Layer]:
    """The same layer on int16; `kind`: another op that takes the same operands."""

    def wide(random: Random) -> Layer:
        layer = draw(random)
        inputs = tuple(widened(t) for t in layer.inputs)
        return replace(layer, kind=kind or layer.kind, inputs=inputs, output=widened(layer.output, out_scale))

    return wide


def widened(t: Tensor, scale: float = 0) -> Tensor:
    """An activation of int8 as int16, a bias of int32 as int64."""
    if t.data is not None:
        return replace(t, dtype="s64", data=t.data.astype(np.int64)) if t.dtype == "s32" else t
    return replace(t, dtype="s16", quantization=Quantization((scale or t.quant.scale / 256,), (0,)))


def one_value(kind: str, attributes: Any) -> Callable[[Random], Layer]:
    return lambda random: finished(kind, attributes, (activation((1, int(random.integers(4, 2000)))),))


def of(*choices: Any) -> Callable[[Random], Any]:
    return lambda random: choices[int(random.integers(len(choices)))]


def channels(low: int, high: int, multiple: int = 1) -> Callable[[Random], tuple[int, int]]:
    def draw(random: Random) -> tuple[int, int]:
        return int(random.integers(low, high + 1)) * multiple, int(random.integers(3, 65))

    return draw


POINTWISE, SQUARE, LONG = of((1, 1)), of((3, 3), (3, 3), (5, 5), (2, 2)), of((1, 3), (3, 1), (5, 1), (10, 4))
WEIGHTED_FOURS = (
    conv(channels(1, 16, 4), POINTWISE),
    conv(channels(4, 20, 16), POINTWISE),
    conv(channels(1, 8, 4), SQUARE),
    conv(channels(1, 4, 16), of((3, 3))),
    conv(channels(1, 4, 4), LONG),
    fully_connected_of(8, 180, 4),
    fully_connected_of(8, 180, 4),
    fully_connected_of(40, 80, 4),
)
WEIGHTED = (
    *WEIGHTED_FOURS,
    conv(channels(1, 64), POINTWISE),
    conv(channels(1, 10), SQUARE),
    fully_connected(1),
)
DRAWN: tuple[Callable[[Random], Layer], ...] = (
    conv(channels(1, 64), POINTWISE),
    conv(channels(4, 16, 4), POINTWISE),
    conv(channels(1, 16), POINTWISE, general=True),
    conv(channels(1, 4, 16), of((3, 3))),
    conv(channels(1, 8, 4), SQUARE),
    conv(channels(1, 10), SQUARE),
    conv(of((1, 8), (3, 16), (3, 8), (1, 24), (2, 12)), SQUARE),
    conv(channels(1, 16), LONG),
    conv(of((1, 9), (2, 12), (3, 16), (5, 8), (6, 7)), of((3, 4), (2, 8), (4, 12))),
    conv(channels(1, 8), SQUARE, general=True),
    conv(channels(1, 4, 8), SQUARE, groups=True),
    conv(channels(1, 16), SQUARE, dilation=True),
    conv(channels(1, 32), of((1, 3), (1, 5)), flat=True),
    depthwise(of(1), of((3, 3))),
    depthwise(of(1), of((3, 3))),
    depthwise(of(1), of((3, 3)), relu=True),
    depthwise(of(1), of((3, 3)), relu=True),
    depthwise(of(4, 8), of((3, 3), (5, 2))),
    depthwise(of(1), of((5, 5), (1, 3), (4, 4), (2, 5))),
    depthwise(of(2, 3, 4, 8), of((3, 3), (2, 4))),
    fully_connected(1),
    fully_connected(1, most=20),
    fully_connected(1, general=True, most=60),
    fully_connected(8),
    pool("average_pool_2d"),
    pool("average_pool_2d"),
    pool("max_pool_2d"),
    pool("max_pool_2d"),
    add(True, True),
    add(True, False),
    add(False, True),
    mul,
    mean,
    softmax,
    table,
    transpose,
    pad,
    resize("resize_nearest_neighbor"),
    resize("resize_bilinear"),
    thinned(conv(channels(4, 16, 4), POINTWISE), 0, 4),
    thinned(conv(channels(1, 4, 16), of((3, 3))), 0, 4),
    thinned(conv(channels(1, 16), LONG), 0, 4),
    thinned(conv(channels(2, 8, 8), of((1, 1), (3, 3))), 0, 4, True),
    thinned(fully_connected(1), 0, 4),
    thinned(fully_connected(8), 0, 4, True),
    thinned(conv(channels(4, 16, 4), POINTWISE), 0.7),
    thinned(conv(channels(1, 4, 16), of((3, 3))), 0.7),
    thinned(conv(channels(4, 16), LONG), 0.7),
    thinned(conv(channels(2, 8, 8), of((1, 1), (3, 3))), 0.5, 4),
    thinned(fully_connected(1), 0.7),
    thinned(fully_connected(8), 0.5, 4),
    in_planes(conv(channels(2, 8, 8), of((1, 1), (3, 3))), False),
    in_planes(fully_connected(1), False),
    in_planes(conv(channels(2, 8, 8), of((1, 1), (3, 3))), True),
    in_planes(fully_connected(1), True),
    of_wider(conv(channels(1, 16, 4), of((1, 1), (3, 3))), "generic"),
    of_wider(fully_connected(1, most=60), "generic"),
    of_wider(conv(channels(1, 16, 4), POINTWISE), "dsp"),
    of_wider(conv(channels(1, 8, 4), SQUARE), "dsp"),
    of_wider(conv(channels(1, 10), SQUARE), "dsp", 1),
    binary(conv(channels(1, 64), POINTWISE)),
    binary(conv(channels(1, 4, 16), SQUARE)),
    binary(conv(channels(1, 16), LONG)),
    on_int16(conv(channels(1, 64), POINTWISE)),
    on_int16(conv(channels(1, 16, 4), SQUARE)),
    on_int16(conv(channels(1, 10), LONG)),
    on_int16(conv(channels(1, 4, 8), SQUARE, groups=True)),
    on_int16(depthwise(of(1), of((3, 3), (5, 2)))),
    on_int16(depthwise(of(2, 4), of((3, 3)))),
    on_int16(fully_connected(1)),
    on_int16(fully_connected(8)),
    on_int16(fully_connected(1), "dynamic_fully_connected"),
    on_int16(fully_connected(8), "dynamic_fully_connected"),
    on_int16(pool("average_pool_2d")),
    on_int16(pool("max_pool_2d")),
    on_int16(add(False, True)),
    on_int16(add(False, False)),
    on_int16(mul),
    on_int16(mean),
    on_int16(softmax, out_scale=1 / 32768),
    on_int16(one_value("logistic", NoAttributes()), out_scale=1 / 32768),
    on_int16(one_value("leaky_relu", LeakyRelu(0.1))),
    *(thinned(draw, 0, 4) for draw in WEIGHTED),
    *(thinned(draw, 0.6) for draw in WEIGHTED),
    *(thinned(draw, 0.6, block=4) for draw in WEIGHTED_FOURS),
)
