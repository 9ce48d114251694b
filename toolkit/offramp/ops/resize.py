"""RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR, int8: the host works out source positions and weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops.op import Array, Kernel, OpType, Params, Shape, ShapeError, Step, block, int8_only, present

FIELDS = [("rows", "u16"), ("cols", "u16"), ("out_rows", "u16"), ("out_cols", "u16"), ("channels", "u32")]


def work(n: Mapping[str, Any]) -> dict[str, int]:
    kind = "bytes" if n["channels"] % 4 else "words"
    pixels = n["out_rows"] * n["out_cols"]
    return {"rows": n["out_rows"], f"pixels_{kind}": pixels, kind: n["elements"]}


NEAREST = Kernel(
    "generic",
    "resize_nearest_neighbor",
    0x0109,
    1,
    Params("resize_nearest_neighbor", FIELDS),
    tables="u16 source row[out_rows], u16 source column[out_cols]",
    work=work,
)
BILINEAR = Kernel(
    "generic",
    "resize_bilinear",
    0x010A,
    1,
    Params("resize_bilinear", FIELDS),
    tables="(u16 lower, u16 upper, u16 weight of upper in 1/1024)[out_rows + out_cols]",
    work=work,
)
TAP = np.dtype(
    [("lower", "<u2"), ("upper", "<u2"), ("weight", "<u2")]
)  # weight of upper, in 1/1024, below 1024


@dataclass(frozen=True)
class Resize:
    height: int
    width: int
    align_corners: bool = False
    half_pixel_centers: bool = False


def shapes(a: Resize, inputs: list[Tensor | None]) -> list[Shape]:
    x = present(inputs[0])
    int8_only(x)
    n, _, _, channels = x.shape
    if n != 1 or min(a.height, a.width) < 1:
        raise ShapeError(f"{x.shape} to {a.height}x{a.width}")
    return [(n, a.height, a.width, channels)]


def nearest(length: int, out: int, a: Resize) -> Array:
    """The source index of each output index, in the float32 arithmetic of the specification."""
    f32 = np.float32
    scale = f32(length - 1) / f32(out - 1) if a.align_corners and out > 1 else f32(length) / f32(out)
    position = (np.arange(out, dtype=f32) + f32(0.5 if a.half_pixel_centers else 0)) * scale
    rounded = np.floor(position + f32(0.5)) if a.align_corners else np.floor(position)
    indices: Array = np.clip(rounded.astype(np.int64), 0, length - 1)
    return indices


def taps(length: int, out: int, a: Resize) -> Array:
    """Lower and upper source index and the upper's weight of each output index, in 22.10 fixed point."""
    if a.align_corners and out > 1:
        scale = ((length - 1) * 1024 + (out - 1) // 2) // (out - 1)
    else:
        scale = (length * 1024 + out // 2) // out
    found = np.empty(out, TAP)
    for i in range(out):
        position = i * scale + (scale // 2 - 512 if a.half_pixel_centers else 0)
        lower = min(max(math.trunc(position / 1024), 0), length - 1)
        upper = min(math.trunc((position + 1023) / 1024), length - 1)
        # Where the weight would leave [0, 1023] both taps are the border, and any weight gives its value.
        found[i] = (lower, max(upper, 0), min(max(position - 1024 * lower, 0), 1023))
    return found


def nearest_reference(
    a: Resize, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    x = values[0]
    assert x is not None
    rows, cols = nearest(x.shape[1], a.height, a), nearest(x.shape[2], a.width, a)
    return [x[:, rows[:, None], cols[None, :]]]


def bilinear_reference(
    a: Resize, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    assert values[0] is not None
    x = values[0].astype(np.int64)
    rows, cols = taps(x.shape[1], a.height, a), taps(x.shape[2], a.width, a)
    down = rows["weight"].astype(np.int64)[:, None, None]
    right = cols["weight"].astype(np.int64)[None, :, None]

    def at(row: str, col: str) -> Array:
        return x[:, rows[row].astype(int)[:, None], cols[col].astype(int)[None, :]]

    top = at("lower", "lower") * (1024 - right) + at("lower", "upper") * right
    bottom = at("upper", "lower") * (1024 - right) + at("upper", "upper") * right
    total = top * (1024 - down) + bottom * down
    rounded = np.sign(total) * ((np.abs(total) + (1 << 19)) >> 20)  # halves away from zero
    return [rounded.astype(np.int8)]


def params_of(kernel: Kernel, x: Tensor, out: Tensor) -> bytes:
    _, rows, cols, channels = x.shape
    _, out_rows, out_cols, _ = out.shape
    return kernel.params.pack(rows=rows, cols=cols, out_rows=out_rows, out_cols=out_cols, channels=channels)


def nearest_steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    a: Resize = op.attributes
    x, out = present(inputs[0]), outputs[0]
    rows, cols = nearest(x.shape[1], a.height, a), nearest(x.shape[2], a.width, a)
    data = block(params_of(NEAREST, x, out), rows.astype("<u2"), cols.astype("<u2"))
    return [Step(NEAREST, (op.inputs[0],), op.outputs, data)]


def bilinear_steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    a: Resize = op.attributes
    x, out = present(inputs[0]), outputs[0]
    rows, cols = taps(x.shape[1], a.height, a), taps(x.shape[2], a.width, a)
    data = block(params_of(BILINEAR, x, out), np.concatenate([rows, cols]))
    return [Step(BILINEAR, (op.inputs[0],), op.outputs, data)]


NEAREST_OP = OpType("resize_nearest_neighbor", Resize, shapes, nearest_reference, nearest_steps)
BILINEAR_OP = OpType("resize_bilinear", Resize, shapes, bilinear_reference, bilinear_steps)
