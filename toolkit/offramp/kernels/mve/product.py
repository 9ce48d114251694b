"""Convolution and fully connected over many rows: four pixels by two channels at a time."""

from __future__ import annotations

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.mve.requantize import Scaling, kernels, scaling
from offramp.ops import conv_2d, fully_connected
from offramp.ops.gemm import Window, bias_of, requantization
from offramp.ops.op import SAME_START, Array, Params, Step, constant, elements, present
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
STRIP_BYTES = 2048  # of scratch that a second row of a strip may take
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


def pointwise_step(op: Op, pixels: int, weights: Array, bias: Array, s: Scaling, macs: int) -> Step:
    out_c, k = weights.shape
    params = POINTWISE[0].params.pack(pixels=pixels, in_c=k, out_c=out_c, add=s.add)
    if pixels <= FEW_ROWS:
        data = params + stream_of_eights(weights, bias, s)
        return Step(
            FULLY_CONNECTED[s.is_signed],
            (op.inputs[0],),
            op.outputs,
            data,
            k + -k % 16 if k % 16 else 0,
            macs,
        )
    tile = 4 * (k + -k % 16)
    # Pixels that are read again after their first outputs are written are copied first, where these lie over them.
    tiles = min(max(1, COPY_BYTES // tile), -(-pixels // 4)) if k > 16 or out_c % 2 else 1
    scratch = 0 if (k, out_c % 2, pixels % 4) == (16, 0, 0) else tiles * tile
    return Step(
        POINTWISE[s.is_signed], (op.inputs[0],), op.outputs, params + stream(weights, bias, s), scratch, macs
    )


def lower_conv_2d(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a: Window = op.attributes
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    g = conv_2d.geometry_of(a, x, weights, out)
    out_c = g["out_c"]
    s = scaling(requantization(x, weights, out, a.activation), out_c)
    if s is None or g.pop("groups") != 1 or g.pop("dilation_w") != 1 or x.shape[0] != 1 or out_c > MAX_OUT_C:
        return None
    data = constant(weights)
    bias = folded(data, bias_of(inputs[2] if len(inputs) > 2 else None, out_c), x.quant.zero_point)
    macs = conv_2d.macs(a, inputs, outputs)
    if (g["kernel_h"], g["kernel_w"], g["stride_h"], g["stride_w"]) == (1, 1, 1, 1):
        return pointwise_step(op, g["rows"] * g["cols"], data.reshape(out_c, -1), bias, s, macs)
    if g["kernel_w"] == 3 and g["stride_w"] == 1 and g["in_c"] % 16 == 0 and g["out_cols"] >= 4:
        return row_step(op, g, x.quant.zero_point, data, bias, s, macs)
    return conv_step(op, g, x.quant.zero_point, data, bias, s, macs)


def conv_step(
    op: Op, g: dict[str, int], zero: int, weights: Array, bias: Array, s: Scaling, macs: int
) -> Step:
    """firmware/kernels/mve/conv_2d.c: taps in the order of columns, rows, channels."""
    columns = g["out_cols"] if g["kernel_w"] == 1 else (g["out_cols"] - 1) * g["stride_w"] + g["kernel_w"]
    row = columns * g["kernel_h"] * g["in_c"]
    strip = strip_rows(g["out_rows"], g["out_cols"], row)
    params = CONV[0].params.pack(**g, strip=strip, fill=zero, add=s.add)
    data = stream(weights.transpose(0, 2, 1, 3).reshape(g["out_c"], -1), bias, s)
    overlaps = SAME_START if strips_over_input(g, strip, 0) else 0
    return Step(
        CONV[s.is_signed],
        (op.inputs[0],),
        op.outputs,
        params + data,
        strip * row + 16,
        macs,
        overlaps=overlaps,
    )


def row_step(
    op: Op, g: dict[str, int], zero: int, weights: Array, bias: Array, s: Scaling, macs: int
) -> Step:
    """firmware/kernels/mve/row_conv_2d.c: for each 16 channels of a row the weights of its three columns."""
    row = g["in_c"] * (g["out_cols"] + 2)
    strip = 1
    while g["dilation_h"] == 1 and strip < g["out_rows"] and row_taps(g, strip + 1) * row <= ROW_STRIP_BYTES:
        strip += 1
    params = ROW[0].params.pack(**g, strip=strip, fill=zero, add=s.add)
    out_c, blocks = g["out_c"], g["in_c"] // 16
    ordered = weights.reshape(out_c, g["kernel_h"], 3, blocks, 16).transpose(0, 1, 3, 2, 4).reshape(out_c, -1)
    scratch = row_taps(g, strip) * row
    shared = max(0, g["kernel_h"] - g["stride_h"]) if g["dilation_h"] == 1 else 0
    overlaps = SAME_START if strips_over_input(g, strip, shared) else 0
    return Step(
        ROW[s.is_signed],
        (op.inputs[0],),
        op.outputs,
        params + stream(ordered, bias, s),
        scratch,
        macs,
        overlaps=overlaps,
    )


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


def strip_rows(out_rows: int, out_cols: int, row: int) -> int:
    """Rows that make whole tiles of four pixels, if their taps are not too many."""
    fitting = range(1, max(1, min(out_rows, STRIP_BYTES // row)) + 1)
    return min(fitting, key=lambda n: (-(-n * out_cols // 4) * 4 / (n * out_cols), n))


def lower_fully_connected(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    out_c, depth = weights.shape
    s = scaling(requantization(x, weights, out, op.attributes.activation), out_c)
    if s is None or out_c > MAX_OUT_C:
        return None
    data = constant(weights)
    bias = folded(data, bias_of(inputs[2] if len(inputs) > 2 else None, out_c), x.quant.zero_point)
    macs = fully_connected.macs(op.attributes, inputs, outputs)
    rows = elements(x.shape) // depth
    if s.is_signed and out_c <= SMALL_HEAD and rows == 1 and depth <= 65535:
        g = dict.fromkeys((name for name, kind in CONV[0].params.fields if kind == "u16"), 1)
        del g["strip"]
        g |= {"in_c": depth, "out_c": out_c, "pad_top": 0, "pad_left": 0}
        return conv_step(op, g, x.quant.zero_point, data.reshape(out_c, 1, 1, depth), bias, s, macs)
    return pointwise_step(op, rows, data, bias, s, macs)
