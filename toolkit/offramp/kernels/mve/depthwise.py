"""Depthwise convolution: 3x3 at strides 1 and 2 by planes of eight channels in scratch, others tap by tap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.mve.product import EVEN_FIRST, INT8, Weighted, conv_step
from offramp.kernels.mve.requantize import Scaling, kernels, scaling
from offramp.ops import depthwise_conv_2d
from offramp.ops.conv_2d import padding_of
from offramp.ops.gemm import Window, bias_of, requantization
from offramp.ops.op import SAME_START, Array, Params, Step, block, constant, present
from offramp.ops.work import Numbers, axis, up

PLANES = 8
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


@dataclass(frozen=True)
class Planes:
    """Groups of outputs, so many rows by so many columns."""

    rows: int
    cols: int

    def __call__(self, n: Numbers) -> dict[str, int]:
        channels, strips = n["channels"], up(n["out_rows"], n["strip"])
        rows = channels * up(n["out_rows"], self.rows)
        blocks = up(channels, PLANES)
        return {
            "strips": strips * blocks,
            "channels": strips * channels,
            "rows": rows,
            "groups": rows * (n["out_cols"] // self.cols),
            "odd": rows * (n["out_cols"] % self.cols > 0),
            "input_rows": blocks * n["rows"],
            "input": blocks * n["rows"] * n["cols"],
            "scratch_bytes": n["scratch_bytes"],
        }


def tap_by_tap_work(n: Numbers) -> dict[str, int]:
    """Windows whose taps are placed one by one, or moved on by a column; then taps by eight channels."""
    pixels, taps = n["out_rows"] * n["out_cols"], n["kernel_h"] * n["kernel_w"]
    moved = axis(n, True).whole * max(0, axis(n, False).whole - 1)
    out_c = n["in_c"] * n["multiplier"]
    vectors = pixels * up(out_c, 8)
    return {
        "rows": n["out_rows"],
        "positions": pixels,
        "placed": pixels - moved,
        "placed_taps": (pixels - moved) * taps,
        "moved": moved * up(taps, 4),
        "vectors": vectors,
        "products": vectors * taps,
        "apart": vectors * taps * (n["multiplier"] > 1),
        "partial": pixels * taps * (n["multiplier"] == 1 and out_c % 8 > 0),
    }


STRIDE_1 = kernels("depthwise_3x3", 5, PARAMS, in_place=1, work=Planes(4, 2))
STRIDE_2 = kernels("depthwise_3x3_stride_2", 6, PARAMS, in_place=SAME_START, work=Planes(1, 4))
ANY = kernels(
    "depthwise_conv_2d",
    12,
    Params(
        "mve_depthwise_conv_2d",
        [
            *(
                (name, "u16")
                for name in ("rows", "cols", "in_c", "out_rows", "out_cols", "kernel_h", "kernel_w")
            ),
            *((name, "u16") for name in ("stride_h", "stride_w", "dilation_h", "dilation_w")),
            ("pad_top", "u16"),
            ("pad_left", "u16"),
            ("multiplier", "u16"),  # output channels of each input channel
            ("fill", "s16"),  # input zero point
            ("add", "u16[2]"),
        ],
    ),
    work=tap_by_tap_work,
)
KERNELS = (*STRIDE_1, *STRIDE_2, *ANY)

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


@dataclass(frozen=True)
class Layer:
    """What all kernels need."""

    op: Op
    geometry: dict[str, int]  # channels: of the output
    weights: Array  # [kernel_h, kernel_w, channels]
    bias: Array  # with the input zero point
    scaling: Scaling
    zero: int
    macs: int


def lower_depthwise_conv_2d(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a: Window = op.attributes
    x, weights, out = present(inputs[0]), present(inputs[1]), outputs[0]
    _, kh, kw, channels = weights.shape
    s = scaling(requantization(x, weights, out, a.activation), channels)
    if s is None or x.shape[0] != 1:
        return None
    w = constant(weights).reshape(kh, kw, channels)
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, channels)
    bias = bias - x.quant.zero_point * w.astype(np.int64).sum(axis=(0, 1))
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
    layer = Layer(op, g, w, bias, s, x.quant.zero_point, depthwise_conv_2d.macs(a, inputs, outputs))
    if x.shape[3] == 1 and a.dilation_w == 1:  # each output channel sees all inputs
        return convolution(layer, a)
    strides, dilations = (a.stride_h, a.stride_w), (a.dilation_h, a.dilation_w)
    if (kh, kw, channels, dilations) == (3, 3, x.shape[3], (1, 1)) and strides in ((1, 1), (2, 2)):
        found = planes(layer, a.stride_h)
        if found is not None:
            return found
    return tap_by_tap(layer, a, x.shape[3])


def convolution(layer: Layer, a: Window) -> Step:
    g, weights = dict(layer.geometry), layer.weights.transpose(2, 0, 1)[..., np.newaxis]
    out_c, kernel_h, kernel_w, _ = weights.shape
    del g["channels"]
    g |= {"in_c": 1, "out_c": out_c, "kernel_h": kernel_h, "kernel_w": kernel_w}
    g |= {"stride_h": a.stride_h, "stride_w": a.stride_w, "dilation_h": a.dilation_h}
    return conv_step(Weighted(layer.op, weights, layer.bias, layer.zero, layer.scaling, layer.macs), INT8, g)


def planes(layer: Layer, stride: int) -> Step | None:
    """3x3; None where offsets would have more than 16 bits."""
    g, s, channels = layer.geometry, layer.scaling, layer.geometry["channels"]
    strip = strips(stride, g)
    if strip.plane_bytes > MAX_PLANE or (3 * g["out_cols"] + 1) * channels > 65535:
        return None
    params = PARAMS.pack(**g, strip=strip.rows, fill=layer.zero, add=s.add)
    words = np.stack([layer.bias.astype(np.int32), s.multiplier, s.exponent], axis=1).astype(np.int32)
    patches = np.zeros((channels, 4, 4), np.int8)
    patches[:, :3, :3] = layer.weights.transpose(2, 0, 1)
    return Step(
        (STRIDE_1 if stride == 1 else STRIDE_2)[s.is_signed],
        (layer.op.inputs[0],),
        layer.op.outputs,
        block(params, words, bytes(16), patches),
        strip.scratch_bytes,
        layer.macs,
        overlaps=0xFF if strip.over_input else 0,
    )


def tap_by_tap(layer: Layer, a: Window, in_c: int) -> Step:
    """firmware/kernels/mve/depthwise_conv_2d.c: any window."""
    kernel_h, kernel_w, channels = layer.weights.shape
    g, s, taps = dict(layer.geometry), layer.scaling, kernel_h * kernel_w
    g["in_c"] = in_c
    g["multiplier"] = g.pop("channels") // in_c
    params = ANY[0].params.pack(
        **g,
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride_h=a.stride_h,
        stride_w=a.stride_w,
        dilation_h=a.dilation_h,
        dilation_w=a.dilation_w,
        fill=layer.zero,
        add=s.add,
    )
    words = np.stack([layer.bias.astype(np.int32), s.multiplier, s.exponent])
    words = np.pad(words, ((0, 0), (0, -channels % 8)))
    weights = np.pad(layer.weights.reshape(taps, channels).astype(np.int8), ((0, 0), (0, -channels % 8)))
    data = params
    for first in range(0, channels, 8):
        data += (
            words[:, first + EVEN_FIRST].astype(np.int32).tobytes() + weights[:, first : first + 8].tobytes()
        )
    places = 2 * (channels + -channels % 8) if g["multiplier"] > 1 else 0
    scratch = 4 * taps + places + in_c
    return Step(ANY[s.is_signed], (layer.op.inputs[0],), layer.op.outputs, data, scratch, layer.macs)
