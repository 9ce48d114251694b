"""Grid of a convolution whose output is added to another tensor, or taken from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .case import ACTIVATIONS, NONE, Case, Cases, Grid
from .tflite_writer import Operator, Subgraph, Tensor, write
from .weighted import detail, fitting, geometry, layer, place


def residual(seed: int) -> Cases:
    """Of each geometry of convolutions one, every seventh with groups.

    The other tensor is an input, or where it has the shape for it the convolution's own input; the convolution's
    output is sometimes an output too.
    """
    grid = Grid("RESIDUAL", seed)
    for i, (kernel, stride, padding, dilation) in enumerate(geometry()):
        size, out = place(grid, kernel, stride, dilation, padding)
        in_c, out_c = fitting(grid, size[0] * size[1]), fitting(grid, out[0] * out[1])
        groups = 2 if i % 7 == 6 else 1
        if groups == 2:
            in_c, out_c = 2 * min(in_c, 3), 2 * min(out_c, 3)
        elif size == out and i % 2:
            out_c = in_c
        name = detail(size, in_c, out_c, kernel, stride, dilation, padding, "usual")
        window = dict(zip(("StrideH", "StrideW"), stride, strict=True)) | {
            "DilationHFactor": dilation[0],
            "DilationWFactor": dilation[1],
            "Padding": padding,
            "FusedActivationFunction": NONE if i % 3 else ACTIVATIONS[i % 4],
        }
        source = grid.tensor("input", (1, *size, in_c))
        weights = (out_c, *kernel, in_c // groups)
        yield residual_case(grid, i, name, source, weights, (1, *out, out_c), window)


def residual_case(
    grid: Grid,
    i: int,
    name: str,
    source: Tensor,
    weights: tuple[int, ...],
    shape: tuple[int, ...],
    window: dict[str, int],
) -> Case:
    drawn = layer(grid, source, weights, 0, shape, "usual", i % 5 != 4, bias=True)
    assert drawn.bias is not None
    made = replace(drawn.output, name="made")
    own = source.shape == shape and i % 4 < 2
    far = float(np.float32(made.scale * 2.0 ** grid.rng.uniform(-3, 3)))
    other = source if own else grid.tensor("other", shape, scale=far)
    reach = float(np.float32(np.max((made.scale, other.scale)) * 2.0 ** grid.rng.uniform(-2, 2)))
    result = grid.tensor("output", shape, scale=reach)
    both = [made.name, other.name] if i % 2 else [other.name, made.name]
    op = "SUB" if i % 5 == 3 else "ADD"
    operators = [
        Operator("CONV_2D", [source.name, "weights", "bias"], [made.name], "Conv2DOptions", window),
        Operator(
            op,
            both,
            [result.name],
            f"{op.capitalize()}Options",
            {"FusedActivationFunction": ACTIVATIONS[i // 2 % 4]},
        ),
    ]
    fed = [source] if own else [source, other]
    outputs = [result.name, made.name] if i % 12 == 5 else [result.name]
    tensors = [*fed, drawn.weights, drawn.bias, made, result]
    model = write(Subgraph(tensors, operators, [t.name for t in fed], outputs))
    return grid.finish(name + ("_own" if own else ""), model, [[grid.data(t) for t in fed]])
