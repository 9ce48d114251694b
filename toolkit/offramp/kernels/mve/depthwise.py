"""Depthwise convolution 3x3 at strides 1 and 2, one multiplier: planes of eight channels in scratch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.mve.requantize import kernels, scaling
from offramp.ops import depthwise_conv_2d
from offramp.ops.conv_2d import padding_of
from offramp.ops.gemm import Window, bias_of, requantization
from offramp.ops.op import SAME_START, Params, Step, block, constant, present

PARAMS = Params(
    "mve_depthwise",
    [
        ("rows", "u16"),
        ("cols", "u16"),
        ("channels", "u16"),
        ("out_rows", "u16"),
        ("out_cols", "u16"),
        ("pad_top", "u16"),
        ("pad_left", "u16"),
        ("strip", "u16"),  # output rows whose input lies in scratch at once
        ("fill", "s16"),  # input zero point
        ("add", "u16[2]"),
    ],
)
STRIDE_1 = kernels("depthwise_3x3", 5, PARAMS, in_place=1)
STRIDE_2 = kernels("depthwise_3x3_stride_2", 6, PARAMS, in_place=SAME_START)
KERNELS = (*STRIDE_1, *STRIDE_2)

PLANES = 8
SCRATCH_BYTES = 2832  # that longer strips may take
MAX_PLANE = 65535 // PLANES  # offsets have 16 bits


@dataclass(frozen=True)
class Strips:
    """Output rows whose input lies in scratch at once."""

    rows: int
    plane_bytes: int
    scratch_bytes: int
    over_input: bool


def strips(stride: int, g: dict[str, int]) -> Strips:
    """As many rows as scratch allows."""
    out_rows = g["out_rows"]
    choices = [strip_of(stride, g, n) for n in (*range(4 // stride**2, out_rows, 4 // stride**2), out_rows)]
    return max(
        (s for s in choices if s.scratch_bytes <= SCRATCH_BYTES),
        key=lambda s: s.rows,
        default=choices[0],
    )


def strip_of(stride: int, g: dict[str, int], n: int) -> Strips:
    out_cols = g["out_cols"]
    if stride == 1:
        pitch = out_cols + out_cols % 2 + 2
        plane = pitch * (n + 2)
        same = (g["rows"], g["cols"]) == (g["out_rows"], out_cols)
        return Strips(n, plane, PLANES * plane + -n % 4 * pitch, same)
    pitch = 2 * (out_cols + -out_cols % 4) + 2
    plane = pitch * (2 * n + 1)
    y = np.arange(n, g["out_rows"], n)
    written = np.minimum(y + n, g["out_rows"]) * out_cols
    over = bool((written <= np.maximum(2 * y - g["pad_top"], 0) * g["cols"]).all())
    return Strips(n, plane, PLANES * plane + pitch + over * n * out_cols * g["channels"], over)


def lower_depthwise_conv_2d(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a: Window = op.attributes
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    _, kh, kw, channels = weights.shape
    s = scaling(requantization(x, weights, out, a.activation), channels)
    if s is None or (x.shape[0], x.shape[3]) != (1, channels) or (kh, kw) != (3, 3):
        return None
    if (a.dilation_h, a.dilation_w) != (1, 1) or (a.stride_h, a.stride_w) not in ((1, 1), (2, 2)):
        return None
    pad_top, pad_left = padding_of(a, x, weights, out)
    g = {
        "rows": x.shape[1],
        "cols": x.shape[2],
        "channels": channels,
        "out_rows": out.shape[1],
        "out_cols": out.shape[2],
        "pad_top": pad_top,
        "pad_left": pad_left,
    }
    strip = strips(a.stride_h, g)
    if strip.plane_bytes > MAX_PLANE or (3 * g["out_cols"] + 1) * channels > 65535:
        return None
    params = PARAMS.pack(**g, strip=strip.rows, fill=x.quant.zero_point, add=s.add)
    w = constant(weights).astype(np.int8).reshape(3, 3, channels)
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, channels)
    bias = bias - x.quant.zero_point * w.astype(np.int64).sum(axis=(0, 1))
    words = np.stack([bias.astype(np.int32), s.multiplier, s.exponent], axis=1).astype(np.int32)
    patches = np.zeros((channels, 4, 4), np.int8)
    patches[:, :3, :3] = w.transpose(2, 0, 1)
    data = block(params, words, bytes(16), patches)
    kernel = (STRIDE_1 if a.stride_h == 1 else STRIDE_2)[s.is_signed]
    macs = depthwise_conv_2d.macs(a, inputs, outputs)
    overlaps = 0xFF if strip.over_input else 0
    return Step(kernel, (op.inputs[0],), op.outputs, data, strip.scratch_bytes, macs, overlaps=overlaps)
