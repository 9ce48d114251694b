"""Grids of the ops that work value by value, and of SOFTMAX."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from .case import ACTIVATIONS, Cases, Grid, NewGrid, dims
from .tflite_writer import Tensor

SHAPES = ((1,), (13,), (1, 17), (1, 3, 7), (1, 5, 7, 3), (1, 8, 8, 4), (1, 1, 1, 33), (1, 13, 1, 5))
# Two operands each; the last few stretch both at once.
PAIRS = (
    ((1, 5, 7, 3), (1, 5, 7, 3)),
    ((13,), (13,)),
    ((1, 17), (1, 17)),
    ((1, 3, 7), (1, 3, 7)),
    ((1, 8, 8, 16), (1, 8, 8, 16)),
    ((1, 1, 1, 1), (1, 1, 1, 1)),
    ((1, 5, 7, 3), ()),
    ((), (1, 5, 7, 3)),
    ((1, 5, 7, 3), (1,)),
    ((1, 5, 7, 3), (3,)),
    ((1, 5, 7, 3), (7, 3)),
    ((1, 7), (1, 5, 3, 7)),
    ((1, 5, 7, 3), (1, 1, 1, 3)),
    ((1, 5, 7, 3), (1, 5, 7, 1)),
    ((1, 5, 7, 3), (1, 5, 1, 1)),
    ((1, 1, 7, 3), (1, 5, 7, 3)),
    ((1, 5, 1, 3), (1, 1, 7, 1)),
    ((1, 13, 1), (1, 1, 5)),
)


def arithmetic(op: str, new: NewGrid = Grid) -> Callable[[int], Cases]:
    """ADD, SUB and MUL of two tensors, both fed or one of them constant.

    ADD and SUB abort the process where output scale <= 2 x the larger input scale / 2^20.
    """

    def cases(seed: int) -> Cases:
        grid = new(op, seed)
        for i, ((left, right), where) in enumerate(itertools.product(PAIRS, ("fed", "right", "left", "far"))):
            a, b = grid.tensor("a", left), grid.tensor("b", right)
            if where == "far":  # scales far apart: one operand all but vanishes
                b = grid.tensor(
                    "b", right, scale=float(np.float32(a.scale * 2.0 ** grid.rng.uniform(-16, -6)))
                )
            if where in ("right", "far"):
                b = constant_of(grid, b)
            elif where == "left":
                a = constant_of(grid, a)
            shape = np.broadcast_shapes(left, right)
            middle = np.iinfo(grid.dtype).max + 1
            reach = a.scale * b.scale * middle if op == "MUL" else max(a.scale, b.scale)
            coarse = i % 8 == 0  # an output that rounds nearly everything away
            scale = float(np.float32(reach * 2.0 ** grid.rng.uniform(*((5, 7) if coarse else (-2, 2)))))
            yield grid.case(
                f"{dims(left)}_{dims(right)}_{where}",
                [a, b],
                [grid.tensor("output", shape, scale=scale)],
                f"{op.capitalize()}Options",
                FusedActivationFunction=ACTIVATIONS[i % 4],
            )

    return cases


def constant_of(grid: Grid, tensor: Tensor) -> Tensor:
    return Tensor(
        tensor.name, tensor.shape, tensor.dtype, tensor.scale, tensor.zero_point, data=grid.data(tensor)
    )


def softmax(seed: int) -> Cases:
    grid = Grid("SOFTMAX", seed)
    for shape, beta in itertools.product((*SHAPES, (1, 10), (1, 250)), (1.0, 0.1, 0.5, 2.0, 1.0, 10.0)):
        source = grid.tensor("input", shape, scale=grid.scale(1e-3, 1.0))
        yield grid.case(
            f"{dims(shape)}_beta{beta:g}",
            [source],
            [Tensor("output", shape, "int8", 1 / 256, -128)],
            "SoftmaxOptions",
            Beta=beta,
        )


def fixed_output(op: str, scale: float, zero_point: int) -> Callable[[int], Cases]:
    """LOGISTIC and TANH, whose output quantization the specification fixes."""

    def cases(seed: int) -> Cases:
        grid = Grid(op, seed)
        for shape, high in itertools.product(SHAPES, (0.004, 0.01, 0.03, 0.06, 0.1, 0.3, 1.5)):
            source = grid.tensor("input", shape, scale=grid.scale(high / 4, high))
            yield grid.case(
                f"{dims(shape)}_scale{source.scale:.3g}",
                [source],
                [Tensor("output", shape, "int8", scale, zero_point)],
            )

    return cases


def activation(
    op: str,
    options: str = "",
    alphas: tuple[float, ...] = (0.0,),
    ratios: tuple[float, ...] = (0, 0.3, -0.4, 2, -2, 4, 6.8),
    new: NewGrid = Grid,
) -> Callable[[int], Cases]:
    """RELU, RELU6, LEAKY_RELU and HARD_SWISH: output scale the input's, a little or a lot off it."""

    def cases(seed: int) -> Cases:
        grid = new(op, seed)
        for i, (shape, ratio) in enumerate(itertools.product(SHAPES, ratios)):
            source = grid.tensor("input", shape, scale=grid.scale(0.01, 0.3))
            # HARD_SWISH is refused from input scale = 128 x output scale on.
            scale = float(np.float32(source.scale * 2.0**-ratio))
            output = grid.tensor("output", shape, scale=scale)
            if ratio == 0 and (i % 2 or op == "RELU6"):
                output = Tensor("output", shape, source.dtype, scale, source.zero_point)
            attributes = {"Alpha": alphas[i % len(alphas)]} if options else {}
            name = f"{dims(shape)}_ratio{ratio:g}" + (f"_alpha{attributes['Alpha']:g}" if options else "")
            yield grid.case(name, [source], [output], options, **attributes)

    return cases


def quantize(seed: int) -> Cases:
    grid = Grid("QUANTIZE", seed)
    # uint8 -> uint8 and float32 -> uint8 are refused.
    pairs = (("int8", "int8"), ("float32", "int8"), ("uint8", "int8"), ("int8", "uint8"))
    for (source_type, output_type), shape, ratio in itertools.product(pairs, SHAPES, (0, 1.3, -0.7)):
        output = grid.tensor("output", shape, output_type, scale=grid.scale(0.01, 0.2))
        if source_type == "float32":
            source = Tensor("input", shape, "float32")
        elif ratio == 0:  # the same scale: a change of zero point alone
            source = grid.tensor("input", shape, source_type, scale=output.scale)
        else:
            source = grid.tensor(
                "input", shape, source_type, scale=float(np.float32(output.scale * 2**ratio))
            )
        yield grid.case(
            f"{source_type}_to_{output_type}_{dims(shape)}_ratio{ratio:g}",
            [source],
            [output],
            "QuantizeOptions",
        )


def dequantize(seed: int) -> Cases:
    grid = Grid("DEQUANTIZE", seed)
    for dtype, shape, _ in itertools.product(("int8", "uint8"), SHAPES, range(4)):
        yield grid.case(
            f"{dtype}_{dims(shape)}",
            [grid.tensor("input", shape, dtype)],
            [Tensor("output", shape, "float32")],
            "DequantizeOptions",
        )
