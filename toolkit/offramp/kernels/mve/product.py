"""Convolution and fully connected: four pixels by two channels or one row by eight at a time, weights in a storage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.mve.requantize import Scaling, kernels, scaling
from offramp.ops import conv_2d, fully_connected
from offramp.ops.gemm import Window, bias_of, requantization
from offramp.ops.op import SAME_START, Array, Kernel, Params, Step, constant, elements, present
from offramp.ops.work import Numbers, Product, up

POINTWISE = kernels(
    "pointwise_conv_2d",
    1,
    Params(
        "mve_pointwise",
        [("pixels", "u32"), ("in_c", "u32"), ("out_c", "u16"), ("add", "u16[2]")],
    ),
    in_place=SAME_START,
    work=Product(4, 2, 16),
)


def column_work(n: Numbers) -> dict[str, int]:
    """Strips of rows in tiles of four pixels; taps come by columns, channels in vectors or, where they are few, some
    columns in one vector."""
    in_c, unit = n["in_c"], n["kernel_h"] * n["in_c"]
    strips = [n["strip"]] * (n["out_rows"] // n["strip"])
    strips += [n["out_rows"] % n["strip"]] * (n["out_rows"] % n["strip"] > 0)
    tiles = sum(up(rows * n["out_cols"], 4) for rows in strips)
    blocks = tiles * up(n["out_c"], 2)
    step = n["stride_w"] if n["kernel_w"] == 1 else 1
    wide = n["out_cols"] if n["kernel_w"] == 1 else (n["out_cols"] - 1) * n["stride_w"] + n["kernel_w"]
    columns = max(0, min(wide - n["pad_left"], up(n["cols"], step)))
    few = in_c <= 8 and step == 1
    together = min(16 // in_c, (256 - in_c) // unit + 1) if few and unit <= 256 else 1
    rows = n["out_rows"] * n["kernel_h"]
    return {
        "rows": n["out_rows"],
        "strips": len(strips),
        "short": sum(row * n["out_cols"] % 4 > 0 for row in strips),
        "runs": sum(up(n["out_cols"], 4) * row for row in strips),
        "tiles": tiles,
        "blocks": blocks,
        "products": blocks * up(unit * n["kernel_w"], 16),
        "brought_rows": rows * (1 if few else up(in_c, 16)),
        "brought_few" if few else "brought": rows
        * (columns // together + 1 if few else columns * up(in_c, 16)),
        "scratch_bytes": n["scratch_bytes"],
    }


CONV = kernels(
    "conv_2d",
    2,
    Params(
        "mve_conv_2d",
        [
            ("rows", "u16"),
            ("cols", "u16"),
            ("in_c", "u16"),
            ("out_rows", "u16"),
            ("out_cols", "u16"),
            ("out_c", "u16"),
            ("kernel_h", "u16"),
            ("kernel_w", "u16"),
            ("stride_h", "u16"),
            ("stride_w", "u16"),
            ("dilation_h", "u16"),
            ("pad_top", "u16"),
            ("pad_left", "u16"),
            ("strip", "u16"),  # output rows whose taps lie in scratch at once
            ("fill", "s16"),  # input zero point
            ("add", "u16[2]"),
        ],
    ),
    in_place=SAME_START,
    work=column_work,
)
FULLY_CONNECTED = kernels("fully_connected", 3, POINTWISE[0].params, work=Product(1, 8, 16))
ROW = kernels("row_conv_2d", 4, CONV[0].params, in_place=SAME_START, work=Product(4, 2, 48, by_row=True))
KERNELS = (*POINTWISE, *CONV, *FULLY_CONNECTED, *ROW)

# A classifier's last layer of so few outputs is left to the convolution, which the image holds anyway:
# a thousand instructions more, up to 900 bytes less.
SMALL_HEAD = 16
FEW_ROWS = 3  # that are cheaper one by one than four together

MAX_OUT_C = 16383  # offsets of outputs have 16 bits
STRIP_BYTES = 2048  # of scratch that a second row of a strip may take, where tiles have four pixels
EVEN_FIRST = np.array([0, 2, 4, 6, 1, 3, 5, 7])  # channels of which narrowing makes eight in order
COPY_BYTES = 1792  # of scratch for pixels that lie under their outputs
ROW_STRIP_BYTES = 4096  # the same for kernels three columns wide


def stream(weights: Array, bias: Array, s: Scaling) -> bytes:
    """See firmware/kernels/mve/tile.h: `weights` [out_c, k] in the order of the taps, `bias` folded."""
    out_c, k = weights.shape
    padded = np.pad(weights.astype(np.int8), ((0, 0), (0, -k % 16))).reshape(out_c, -1, 16)
    out = b""
    for first in (*range(0, out_c - 1, 2), *([max(out_c - 2, 0)] if out_c % 2 else [])):
        pair = [first, min(first + 1, out_c - 1)]
        tail = [bias.astype(np.int32)[pair], s.multiplier[pair], s.exponent[pair]]
        out += padded[pair].transpose(1, 0, 2).tobytes() + np.concatenate(tail).astype(np.int32).tobytes()
    return out


def folded(weights: Array, bias: Array, zero: int) -> Array:
    """Bias with the input's zero point; wraps to int32 as the sums do."""
    total: Array = weights.reshape(len(bias), -1).astype(np.int64).sum(axis=1)
    return np.asarray(bias - zero * total)


def stream_of_eights(weights: Array, bias: Array, s: Scaling) -> bytes:
    """As `stream`, for firmware/kernels/mve/fully_connected.c."""
    out_c, k = weights.shape
    missing = -out_c % 8
    padded = np.pad(weights.astype(np.int8), ((0, missing), (0, -k % 16))).reshape(out_c + missing, -1, 16)
    words = np.pad(np.stack([bias.astype(np.int32), s.multiplier, s.exponent]), ((0, 0), (0, missing)))
    out = b""
    for first in range(0, out_c, 8):
        eight = first + EVEN_FIRST
        out += padded[eight].transpose(1, 0, 2).tobytes() + words[:, eight].astype(np.int32).tobytes()
    return out


Kernels = tuple[Kernel, Kernel]


@dataclass(frozen=True)
class Storage:
    """How weights lie in a stream, and the kernels that read it."""

    pointwise: Kernels
    conv: Kernels
    rows: Kernels | None  # fully connected over few rows; None: not so
    # Weights [out_c, k] in the order of the taps, bias folded, scaling -> what follows the fixed numbers of a layer.
    pairs: Callable[[Array, Array, Scaling], bytes]
    eights: Callable[[Array, Array, Scaling], bytes]
    takes: Callable[[Array], bool]  # weights [out_c, ..., channels]
    kept: int = 16  # taps of a pixel that are read once for all channels
    lanes: int = 0  # pixels whose taps are brought to lanes of scratch
    row_scratch: Callable[[int], int] = lambda k: k + -k % 16 if k % 16 else 0


INT8 = Storage(POINTWISE, CONV, FULLY_CONNECTED, stream, stream_of_eights, lambda weights: True)


@dataclass(frozen=True)
class Weighted:
    """What the ways of serving a layer have in common."""

    op: Op
    weights: Array  # [out_c, ...]
    bias: Array  # folded
    zero: int  # of the input
    s: Scaling
    macs: int

    def step(self, kernels: Kernels, data: bytes, scratch: int, overlaps: int = 0xFF) -> Step:
        kernel, op = kernels[self.s.is_signed], self.op
        return Step(kernel, (op.inputs[0],), op.outputs, data, scratch, self.macs, overlaps)


def pointwise_step(w: Weighted, storage: Storage, pixels: int) -> Step | None:
    weights = w.weights.reshape(len(w.bias), -1)
    out_c, k = weights.shape
    params = POINTWISE[0].params.pack(pixels=pixels, in_c=k, out_c=out_c, add=w.s.add)
    if pixels <= FEW_ROWS:
        if storage.rows is None:
            return None
        data = params + storage.eights(weights, w.bias, w.s)
        return w.step(storage.rows, data, storage.row_scratch(k))
    if storage.lanes:
        overlaps = SAME_START if out_c <= k else 0
        data = params + storage.pairs(weights, w.bias, w.s)
        return w.step(storage.pointwise, data, lanes_bytes(storage, k), overlaps)
    tile = 4 * (k + -k % 16)
    # Pixels that are read again after their first outputs are written are copied first, where these lie over them.
    tiles = min(max(1, COPY_BYTES // tile), -(-pixels // 4)) if k > storage.kept or out_c % 2 else 1
    scratch = 0 if (k, out_c % 2, pixels % 4) == (storage.kept, 0, 0) else tiles * tile
    return w.step(storage.pointwise, params + storage.pairs(weights, w.bias, w.s), scratch)


def conv_step(w: Weighted, storage: Storage, g: dict[str, int]) -> Step:
    """firmware/kernels/mve/conv_2d.h: taps in the order of columns, rows, channels."""
    columns = g["out_cols"] if g["kernel_w"] == 1 else (g["out_cols"] - 1) * g["stride_w"] + g["kernel_w"]
    row = columns * g["kernel_h"] * g["in_c"]
    strip = strip_rows(g["out_rows"], g["out_cols"], row, storage.lanes or 4)
    params = CONV[0].params.pack(**g, strip=strip, fill=w.zero, add=w.s.add)
    data = storage.pairs(w.weights.transpose(0, 2, 1, 3).reshape(g["out_c"], -1), w.bias, w.s)
    overlaps = SAME_START if strips_over_input(g, strip, 0) else 0
    lanes = lanes_bytes(storage, g["kernel_h"] * g["kernel_w"] * g["in_c"])
    return w.step(storage.conv, params + data, lanes + strip * row + 16, overlaps)


def lanes_bytes(storage: Storage, taps: int) -> int:
    return storage.lanes * (taps + -taps % 16)


def row_step(w: Weighted, g: dict[str, int]) -> Step:
    """firmware/kernels/mve/row_conv_2d.c: for each 16 channels of a row the weights of its three columns."""
    row = g["in_c"] * (g["out_cols"] + 2)
    strip = 1
    while g["dilation_h"] == 1 and strip < g["out_rows"] and row_taps(g, strip + 1) * row <= ROW_STRIP_BYTES:
        strip += 1
    params = ROW[0].params.pack(**g, strip=strip, fill=w.zero, add=w.s.add)
    out_c, blocks = g["out_c"], g["in_c"] // 16
    ordered = (
        w.weights.reshape(out_c, g["kernel_h"], 3, blocks, 16).transpose(0, 1, 3, 2, 4).reshape(out_c, -1)
    )
    shared = max(0, g["kernel_h"] - g["stride_h"]) if g["dilation_h"] == 1 else 0
    overlaps = SAME_START if strips_over_input(g, strip, shared) else 0
    return w.step(ROW, params + stream(ordered, w.bias, w.s), row_taps(g, strip) * row, overlaps)


def strips_over_input(g: dict[str, int], strip: int, shared: int) -> bool:
    """Whether each strip's outputs end before the first input row that the next one reads.

    `shared` rows of its window are in scratch from the strip before.
    """
    y = np.arange(strip, g["out_rows"], strip)
    read = np.clip(y * g["stride_h"] - g["pad_top"] + shared, 0, g["rows"])
    written = y * g["out_cols"] * g["out_c"]
    return bool(((read == g["rows"]) | (written <= read * g["cols"] * g["in_c"])).all())


def row_taps(g: dict[str, int], strip: int) -> int:
    """Input rows under a strip of output rows."""
    return (strip - 1) * g["stride_h"] + g["kernel_h"]


def strip_rows(out_rows: int, out_cols: int, row: int, tile: int) -> int:
    """Rows that make whole tiles of so many pixels, if their taps are not too many."""
    fitting = range(1, max(1, min(out_rows, tile * STRIP_BYTES // 4 // row)) + 1)
    return min(fitting, key=lambda n: (-(-n * out_cols // tile) * tile / (n * out_cols), n))


def weighted(
    op: Op, inputs: list[Tensor | None], outputs: list[Tensor], storage: Storage, macs: int
) -> Weighted | None:
    """None where the layer's numbers or weights do not allow the storage's kernels."""
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    out_c = weights.shape[0]
    s = scaling(requantization(x, weights, out, op.attributes.activation), out_c)
    data = constant(weights)
    if s is None or out_c > MAX_OUT_C or not storage.takes(data):
        return None
    zero = x.quant.zero_point
    bias = folded(data, bias_of(inputs[2] if len(inputs) > 2 else None, out_c), zero)
    return Weighted(op, data, bias, zero, s, macs)


def lower_conv_2d(
    op: Op, inputs: list[Tensor | None], outputs: list[Tensor], storage: Storage = INT8
) -> Step | None:
    a: Window = op.attributes
    x = present(inputs[0])
    g = conv_2d.geometry_of(a, x, present(inputs[1]), outputs[0])
    if g.pop("groups") != 1 or g.pop("dilation_w") != 1 or x.shape[0] != 1:
        return None
    w = weighted(op, inputs, outputs, storage, conv_2d.macs(a, inputs, outputs))
    if w is None:
        return None
    if (g["kernel_h"], g["kernel_w"], g["stride_h"], g["stride_w"]) == (1, 1, 1, 1):
        return pointwise_step(w, storage, g["rows"] * g["cols"])
    in_rows = g["kernel_w"] == 3 and g["stride_w"] == 1 and g["in_c"] % 16 == 0 and g["out_cols"] >= 4
    return row_step(w, g) if storage is INT8 and in_rows else conv_step(w, storage, g)


def lower_fully_connected(
    op: Op, inputs: list[Tensor | None], outputs: list[Tensor], storage: Storage = INT8
) -> Step | None:
    out_c, depth = present(inputs[1]).shape
    w = weighted(op, inputs, outputs, storage, fully_connected.macs(op.attributes, inputs, outputs))
    if w is None:
        return None
    rows = elements(present(inputs[0]).shape) // depth
    if storage is INT8 and w.s.is_signed and out_c <= SMALL_HEAD and rows == 1 and depth <= 65535:
        g = dict.fromkeys((name for name, kind in CONV[0].params.fields if kind == "u16"), 1)
        del g["strip"]
        g |= {"in_c": depth, "out_c": out_c, "pad_top": 0, "pad_left": 0}
        return conv_step(replace(w, weights=w.weights.reshape(out_c, 1, 1, depth)), storage, g)
    return pointwise_step(w, storage, rows)
