"""Element-wise operators of two inputs: axes collapsed to at most four, a stride of 0 repeats a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from offramp.ir import Tensor
from offramp.ops.op import Shape, ShapeError, integers_only, present

AXES = 4
FIELDS = [("dims", f"u32[{AXES}]"), ("strides_a", f"u32[{AXES}]"), ("strides_b", f"u32[{AXES}]")]


def work(n: Mapping[str, Any]) -> dict[str, int]:
    return {"elements": n["elements"], "runs": n["elements"] // n["dims"][-1]}


def shapes_of(inputs: list[Tensor | None]) -> list[Shape]:
    a, b = present(inputs[0]), present(inputs[1])
    integers_only(a, b)
    try:
        return [np.broadcast_shapes(a.shape, b.shape)]
    except ValueError as error:
        raise ShapeError(f"{a.shape} and {b.shape} do not broadcast") from error


def collapse(a: Shape, b: Shape) -> dict[str, list[int]] | None:
    """Values for FIELDS; None where more than four axes remain."""
    out = np.broadcast_shapes(a, b)
    axes: list[tuple[int, int, int]] = []  # (length, stride in a, stride in b), outermost first
    for n, stride_a, stride_b in zip(out, strides(a, out), strides(b, out), strict=True):
        if n == 1:
            continue
        if axes and axes[-1][1] == stride_a * n and axes[-1][2] == stride_b * n:
            axes[-1] = (axes[-1][0] * n, stride_a, stride_b)
        else:
            axes.append((n, stride_a, stride_b))
    if len(axes) > AXES:
        return None
    padded = [(1, 0, 0)] * (AXES - len(axes)) + axes
    return {name: [axis[i] for axis in padded] for i, (name, _) in enumerate(FIELDS)}


def strides(shape: Shape, out: Shape) -> list[int]:
    """Element strides of `shape` along the axes of `out`."""
    full = (1,) * (len(out) - len(shape)) + shape
    found, step = [], 1
    for n in reversed(full):
        found.append(step if n > 1 else 0)
        step *= n
    return found[::-1]
