"""Depthwise convolution 3x3 at strides 1 and 2, one multiplier: planes of eight channels in scratch."""

from __future__ import annotations

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.mve.requantize import kernels, scaling
from offramp.ops import depthwise_conv_2d
from offramp.ops.conv_2d import padding_of
from offramp.ops.gemm import Window, bias_of, requantization
from offramp.ops.op import Params, Step, block, constant, present

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
STRIDE_1 = kernels("depthwise_3x3", 5, PARAMS)
STRIDE_2 = kernels("depthwise_3x3_stride_2", 6, PARAMS)
KERNELS = (*STRIDE_1, *STRIDE_2)

PLANES = 8
SCRATCH_BYTES = 4096  # that a strip of more than two rows may take
MAX_PLANE = 65535 // PLANES  # offsets have 16 bits


def plane_bytes(stride: int, strip: int, out_cols: int) -> int:
    if stride == 1:
        return (out_cols + out_cols % 2 + 2) * (strip + -strip % 4 + 2)
    return (2 * (out_cols + -out_cols % 4) + 2) * (2 * strip + 2)


def strip_rows(stride: int, out_rows: int, out_cols: int) -> int:
    """All rows if they fit, else as many fours, at least one."""
    choices = [
        n
        for n in (*range(4, out_rows, 4), out_rows)
        if plane_bytes(stride, n, out_cols) * PLANES <= SCRATCH_BYTES
    ]
    return max(choices, default=min(4, out_rows))


def lower_depthwise_conv_2d(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a: Window = op.attributes
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    _, kh, kw, channels = weights.shape
    s = scaling(requantization(x, weights, out, a.activation), channels)
    if s is None or (x.shape[0], x.shape[3]) != (1, channels) or (kh, kw) != (3, 3):
        return None
    if (a.dilation_h, a.dilation_w) != (1, 1) or (a.stride_h, a.stride_w) not in ((1, 1), (2, 2)):
        return None
    _, out_rows, out_cols, _ = out.shape
    strip = strip_rows(a.stride_h, out_rows, out_cols)
    plane = plane_bytes(a.stride_h, strip, out_cols)
    if plane > MAX_PLANE or (3 * out_cols + 1) * channels > 65535:
        return None
    pad_top, pad_left = padding_of(a, x, weights, out)
    params = PARAMS.pack(
        rows=x.shape[1],
        cols=x.shape[2],
        channels=channels,
        out_rows=out_rows,
        out_cols=out_cols,
        pad_top=pad_top,
        pad_left=pad_left,
        strip=strip,
        fill=x.quant.zero_point,
        add=s.add,
    )
    w = constant(weights).astype(np.int8).reshape(3, 3, channels)
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, channels)
    bias = bias - x.quant.zero_point * w.astype(np.int64).sum(axis=(0, 1))
    words = np.stack([bias.astype(np.int32), s.multiplier, s.exponent], axis=1).astype(np.int32)
    patches = np.zeros((channels, 4, 4), np.int8)
    patches[:, :3, :3] = w.transpose(2, 0, 1)
    data = block(params, words, bytes(16), patches)
    kernel = (STRIDE_1 if a.stride_h == 1 else STRIDE_2)[s.is_signed]
    macs = depthwise_conv_2d.macs(a, inputs, outputs)
    return Step(kernel, (op.inputs[0],), op.outputs, data, plane * PLANES, macs)
