"""What convolution and fully connected share: windows, per-channel requantization, the weight blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import DTYPES, Tensor
from offramp.ops.fixed_point import (
    activation_range,
    multiply_by_quantized_multiplier,
    multiply_wide,
    quantize_multiplier,
    wrap32,
)
from offramp.ops.op import Array, ShapeError, constant, int8_only, integers_only, present

LONGEST_WINDOW = 4096  # ofr_window_is_sane of firmware/src/kernel.h
MOST_TAPS = 1 << 16  # of one output value: their products fit an int32 sum
MOST_WIDE_SHIFT = 7  # left, of a multiplier for int64 accumulators


@dataclass(frozen=True)
class Window:
    """Sliding window over height and width."""

    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    padding: str = "valid"  # same | valid | explicit
    activation: str = "none"
    pads: tuple[int, ...] = ()  # of explicit padding: top, left, bottom, right


def window_outputs(a: Window, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
    """Output height and width over an input of `size`."""
    (h, w), padding = size, a.padding
    if padding == "explicit":
        if len(a.pads) != 4 or min(a.pads) < 0:
            raise ShapeError(f"explicit padding {a.pads}, top, left, bottom and right are needed")
        top, left, bottom, right = a.pads
        h, w, padding = h + top + bottom, w + left + right, "valid"
    return (
        output_length(h, kernel[0], a.stride_h, a.dilation_h, padding),
        output_length(w, kernel[1], a.stride_w, a.dilation_w, padding),
    )


def output_length(length: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """Output positions along one axis (TensorFlow's SAME and VALID)."""
    if max(kernel, stride, dilation) > LONGEST_WINDOW:
        raise ShapeError(
            f"window {kernel}, stride {stride}, dilation {dilation}, each at most {LONGEST_WINDOW}"
        )
    reach = (kernel - 1) * dilation + 1
    out = -(-length // stride) if padding == "same" else -(-(length - reach + 1) // stride)
    if out <= 0:
        raise ShapeError(f"window of {reach} does not fit into {length}")
    return out


def pad_before(length: int, out: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """Padding in front along one axis; the rest is behind."""
    if padding == "valid":
        return 0
    reach = (kernel - 1) * dilation + 1
    return max(0, (out - 1) * stride + reach - length) // 2


@dataclass(frozen=True)
class Requantization:
    """From accumulators to outputs: one multiplier and shift, or one an output channel."""

    multiplier: Array  # int64[1 or out_c]
    shift: Array
    zero_point: int
    act_min: int
    act_max: int
    dtype: str = "s8"  # of the outputs
    wide: bool = False  # accumulators are int64 and multiplied by the upper 16 bits of `multiplier`

    def __call__(self, acc: Array) -> Array:
        """acc [..., out_c] -> outputs."""
        if self.wide:
            scaled = multiply_wide(acc, self.multiplier, self.shift)
        else:
            scaled = multiply_by_quantized_multiplier(wrap32(acc), self.multiplier, self.shift)
        return np.clip(wrap32(scaled + self.zero_point), self.act_min, self.act_max).astype(
            DTYPES[self.dtype]
        )


def requantization(
    x: Tensor, weights: Tensor, out: Tensor, activation: str, bias: Tensor | None = None
) -> Requantization:
    """Multipliers as TensorFlow Lite Micro derives them, in double precision.

    Layers on int16 have wide accumulators, but for those with a bias of int32.
    """
    pairs = [
        quantize_multiplier(float(x.quant.scale) * float(scale) / float(out.quant.scale))
        for scale in weights.quant.scales
    ]
    low, high = activation_range(activation, out.quant.scale, out.quant.zero_point, out.dtype)
    multiplier, shift = np.array(pairs, np.int64).T
    wide = x.dtype == "s16" and (bias is None or bias.dtype == "s64")
    if wide and shift.max() > MOST_WIDE_SHIFT:
        raise ShapeError(
            f"output scale {out.quant.scale:g} is over {1 << MOST_WIDE_SHIFT} times too small for the products"
        )
    return Requantization(multiplier, shift, out.quant.zero_point, low, high, out.dtype, wide)


def weighted_types(inputs: list[Tensor | None], biases: tuple[str, ...] = ("s32", "s64")) -> None:
    """Refuses other types than weights of s8 with s8 and a bias of s32, or with s16 and one of `biases`; or f32."""
    x, weights, *bias = inputs
    integers_only(x)
    if present(x).dtype == "f32":
        int8_only(x, weights)
        return
    int8_only(weights)
    allowed = ("s32",) if present(x).dtype == "s8" else biases
    for b in bias:
        if b is not None and b.dtype not in allowed:
            raise ShapeError(f"bias {b.name} is {b.dtype}, {' or '.join(allowed)} is needed")


def bias_of(bias: Tensor | None, out_c: int) -> Array:
    return np.zeros(out_c, np.int64) if bias is None else constant(bias).astype(np.int64).reshape(-1)


def im2col(
    x: Array, kernel: tuple[int, int], out: tuple[int, int], pad: tuple[int, int], w: Window, fill: float
) -> Array:
    """x [n,h,w,c] -> [n, out_h, out_w, kernel_h * kernel_w, c], padded taps holding `fill`."""
    n, height, width, c = x.shape
    rows = np.arange(out[0])[:, None] * w.stride_h - pad[0] + np.arange(kernel[0])[None] * w.dilation_h
    cols = np.arange(out[1])[:, None] * w.stride_w - pad[1] + np.arange(kernel[1])[None] * w.dilation_w
    ok = ((rows >= 0) & (rows < height))[:, None, :, None] & ((cols >= 0) & (cols < width))[None, :, None, :]
    taken = x[:, rows.clip(0, height - 1)[:, None, :, None], cols.clip(0, width - 1)[None, :, None, :]]
    filled = taken if ok.all() else np.where(ok[None, ..., None], taken, np.asarray(fill, x.dtype))
    return filled.reshape(n, out[0], out[1], kernel[0] * kernel[1], c)
