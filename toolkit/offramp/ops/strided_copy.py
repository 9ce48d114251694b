"""The strided copy kernel: every operator that only moves values is one or more of these steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from offramp.ir import DTYPES, Tensor
from offramp.ops.op import Kernel, Params, Shape, Step, elements

AXES = 5
PARAMS = Params(
    "strided_copy",
    [
        ("dims", f"u32[{AXES}]"),
        ("in_strides", f"s32[{AXES}]"),  # strides, offsets and run are in bytes
        ("out_strides", f"s32[{AXES}]"),
        ("in_offset", "u32"),
        ("out_offset", "u32"),
        ("run", "u32"),  # bytes that lie together in both
        ("fill_first", "u8"),  # 1: the whole output is set to `fill` before; 2: pairs of bytes to both
        ("fill", "u8"),
        ("fill_high", "u8"),
    ],
)


def work(n: Mapping[str, Any]) -> dict[str, int]:
    runs = math.prod(n["dims"])
    where = (n["in_offset"], n["out_offset"], *n["in_strides"], *n["out_strides"])
    kind = "alone" if n["run"] == 1 else "words" if all(i % 4 == 0 for i in where) else "bytes"
    return {
        "axes": runs // n["dims"][-1],
        f"runs_{kind}": runs,
        kind: runs * n["run"],
        "filled": n["elements"] * (n["fill_first"] > 0),
    }


KERNEL = Kernel("generic", "strided_copy", 0x0111, 1, PARAMS, work=work)


@dataclass(frozen=True)
class View:
    """Elements of a tensor picked by an offset and a stride along each axis of the copy."""

    offset: int
    strides: tuple[int, ...]


def contiguous(shape: Shape) -> tuple[int, ...]:
    """Element strides of a row-major tensor."""
    return tuple(elements(shape[i + 1 :]) for i in range(len(shape)))


def window(shape: Shape, begin: Sequence[int], steps: Sequence[int] | None = None) -> View:
    """The view of a tensor from index `begin` on, moving by `steps` along each axis."""
    strides = contiguous(shape)
    steps = steps or [1] * len(shape)
    return View(
        sum(b * s for b, s in zip(begin, strides, strict=True)),
        tuple(n * s for n, s in zip(steps, strides, strict=True)),
    )


def strided_step(
    src_index: int, src: View, dst_index: int, dst: View, dims: Shape, dtype: str, fill: bytes = b""
) -> Step | None:
    """A step that copies dims elements; None where more than five axes remain. `fill` is the value around them."""
    item = np.dtype(DTYPES[dtype]).itemsize
    axes: list[tuple[int, int, int]] = []  # (length, stride in src, stride in dst), outermost first
    for n, a, b in zip(dims, src.strides, dst.strides, strict=True):
        if n == 1:
            continue
        if axes and axes[-1][1] == a * n and axes[-1][2] == b * n:
            axes[-1] = (axes[-1][0] * n, a, b)
        else:
            axes.append((n, a, b))
    run = axes.pop()[0] if axes and axes[-1][1:] == (1, 1) else 1
    if len(axes) > AXES:
        return None
    padded = [(1, 0, 0)] * (AXES - len(axes)) + axes
    params = PARAMS.pack(
        dims=[n for n, _, _ in padded],
        in_strides=[a * item for _, a, _ in padded],
        out_strides=[b * item for _, _, b in padded],
        in_offset=src.offset * item,
        out_offset=dst.offset * item,
        run=run * item,
        fill_first=len(set(fill)),
        fill=fill[0] if fill else 0,
        fill_high=fill[-1] if fill else 0,
    )
    return Step(KERNEL, (src_index,), (dst_index,), params)


def copy_step(src_index: int, dst_index: int, tensor: Tensor) -> Step:
    """A plain copy of a whole tensor."""
    whole = View(0, (1,))
    step = strided_step(src_index, whole, dst_index, whole, (elements(tensor.shape),), tensor.dtype)
    assert step is not None
    return step


def all_or_none(steps: Sequence[Step | None]) -> list[Step] | None:
    found = [s for s in steps if s is not None]
    return found if len(found) == len(steps) else None
