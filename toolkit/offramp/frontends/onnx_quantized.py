"""Quantized ONNX: QDQ and QOperator nodes become float ops between tensors that carry a quantization.

QOperator nodes are taken apart into what QDQ has, so that there is one way: offramp.passes.integers makes integers
of both. uint8 becomes int8 by taking 128 from values and zero points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from offramp.frontends import onnx_ops
from offramp.frontends.onnx_node import Node, Results
from offramp.ir import Quantization
from offramp.ops.op import Array, NoAttributes

SHIFTS = {"uint8": 128, "int8": 0, "int4": 0}  # type -> what is taken from it to give int8


def quantization_of(n: Node, scale: Array, zero: Array, axis: int) -> Quantization:
    """Of int8, for the scale and zero point of any 8-bit type."""
    kind = str(zero.dtype)
    if kind not in SHIFTS:
        raise n.b.refuse(f"quantizes to {kind}", "int8 and uint8 are supported")
    scales = tuple(float(s) for s in scale.reshape(-1))
    zeros = tuple(int(z) - SHIFTS[kind] for z in zero.reshape(-1)) * (len(scales) if zero.size == 1 else 1)
    if len(zeros) != len(scales):
        raise n.b.refuse(f"has {len(scales)} scales and {len(zeros)} zero points", "quantize the model again")
    return Quantization(scales, zeros, axis if len(scales) > 1 else None)


def scale_and_zero(n: Node, i: int, like: Array | None) -> tuple[Array, Array]:
    """Inputs i and i + 1; without a zero point it is 0, of the type of the values `like`."""
    scale = n.constant(i).astype(np.float32)
    if n.has(i + 1):
        return scale, n.constant(i + 1)
    return scale, np.zeros(scale.shape, np.uint8 if like is None else like.dtype)


def quantized(n: Node, x: int, i: int) -> int:
    """x rounded to the scale and zero point that inputs i and i + 1 give."""
    scale, zero = scale_and_zero(n, i, None)
    if not n.has(i + 1) and n.get("output_dtype", 2) == 3:
        zero = zero.astype(np.int8)
    rank = len(n.b.shape(x))
    q = quantization_of(n, scale, zero, n.b.axis(n.get("axis", 1), rank) if scale.size > 1 else 0)
    data = n.b.data(x)
    if data is not None:
        by_axis = [1] * rank
        if q.axis is not None:
            by_axis[q.axis] = -1
        s, z = np.array(q.scales, np.float32).reshape(by_axis), np.array(q.zero_points).reshape(by_axis)
        whole = np.clip(np.rint(data.astype(np.float32) / s) + z, -128, 127)
        return int(n.b.constant((whole - z) * s.astype(np.float64), n.proto.output[0], q))
    if q.axis is not None:
        raise n.b.refuse(
            "has several scales for a computed tensor", "one scale for each activation is supported"
        )
    y = n.b.emit("quantize", NoAttributes(), x)
    n.b.tensors[y] = replace(n.b.tensors[y], quantization=q)
    return int(y)


def dequantized(n: Node, i: int) -> int:
    """Input i as real numbers, by the scale and zero point of the inputs behind it."""
    b, x = n.b, n.x(i)
    values = b.data(x)
    if values is not None and b.tensors[x].quantization is None:
        return constant(n, x, values, i)
    if values is not None:
        return x
    scale, zero = scale_and_zero(n, i + 1, None)
    if scale.size != 1:
        raise b.refuse(
            "has several scales for a computed tensor", "one scale for each activation is supported"
        )
    q, was = quantization_of(n, scale, zero, 0), b.tensors[x]
    if was.quantization is None:
        b.tensors[x] = replace(was, quantization=q)
    elif was.quantization != q:
        raise b.refuse(
            f"reads {n.proto.input[i]} with scale {q.scale:g} and zero point {q.zero_point}, made with "
            f"{was.quantization.scale:g} and {was.quantization.zero_point}",
            "quantize the model again",
        )
    return x


def constant(n: Node, x: int, values: Array, i: int) -> int:
    """Constant integers as real numbers; those of 8 bits keep their quantization."""
    b = n.b
    scale, zero = scale_and_zero(n, i + 1, values)
    if n.get("block_size", 0) or scale.ndim > 1:
        raise b.refuse("is quantized in blocks", "one scale a tensor, or a channel, is supported")
    axis = b.axis(n.get("axis", 1), values.ndim) if scale.size > 1 else 0
    if n.proto.op_type.startswith(("QLinear", "QGemm")) and scale.size > 1:
        axis = 0 if "Conv" in n.proto.op_type or n.get("transB", 0) else values.ndim - 1
    shape = [1] * values.ndim
    if scale.size > 1:
        shape[axis] = -1
    whole = values.astype(np.float64) - zero.astype(np.float64).reshape(
        shape if zero.size > 1 else [1] * values.ndim
    )
    real = whole * scale.astype(np.float64).reshape(shape if scale.size > 1 else [1] * values.ndim)
    q = None if values.dtype == np.int32 else quantization_of(n, scale, zero.astype(values.dtype), axis)
    return int(b.constant(real, b.tensors[x].name, q))


def bias_of(n: Node, i: int, x_scale: int, w_scale: int) -> int | None:
    """An int32 bias as real numbers, by the product of two scales."""
    if not n.has(i):
        return None
    scale = n.constant(x_scale).astype(np.float64) * n.constant(w_scale).astype(np.float64).reshape(-1)
    return int(n.b.constant(n.constant(i).astype(np.float64) * scale, n.proto.input[i]))


def linear_conv(n: Node) -> int:
    """x, w, bias of a convolution at inputs 0, 3 and 8."""
    x, w = dequantized(n, 0), dequantized(n, 3)
    kernel = n.b.shape(w)[2:]
    strides, dilations = n.get("strides", [1] * len(kernel)), n.get("dilations", [1] * len(kernel))
    n.b.sane(*strides, *dilations)
    pads = onnx_ops.window_pads(n, x, kernel, strides, dilations)
    y = n.b.conv(x, w, bias_of(n, 8, 1, 4), strides, pads, dilations, n.get("group", 1))
    return quantized(n, y, 6)


def linear_mat_mul(n: Node) -> int:
    return quantized(n, onnx_ops.mat_mul_of(n, dequantized(n, 0), dequantized(n, 3)), 6)


def linear_gemm(n: Node) -> int:
    if n.get("transA", 0):
        raise n.b.refuse("transposes its input", "set transA=0")
    y = onnx_ops.gemm_of(n, dequantized(n, 0), dequantized(n, 3), bias_of(n, 6, 1, 4))
    return quantized(n, y, 7) if n.has(7) else y


def linear_binary(kind: str) -> Callable[[Node], int]:
    return lambda n: quantized(n, n.b.elementwise(kind, dequantized(n, 0), dequantized(n, 3)), 6)


def linear_concat(n: Node) -> int:
    parts = [dequantized(n, i) for i in range(2, len(n.proto.input), 3)]
    return quantized(n, n.b.concatenate(parts, n.get("axis", 0)), 0)


def linear(function: Callable[[Node, int], int]) -> Callable[[Node], int]:
    """One input: x, its scale and zero point, the output's."""
    return lambda n: quantized(n, function(n, dequantized(n, 0)), 3)


def global_average(n: Node, x: int) -> int:
    if n.get("channels_last", 0):
        return int(n.b.mean(x, range(1, len(n.b.shape(x)) - 1), True))
    return int(n.b.global_mean(x))


def average_pool(n: Node, x: int) -> int:
    if n.get("channels_last", 0):
        raise n.b.refuse("pools channels-last", "export with channels_last=0")
    return onnx_ops.average_pool_of(n, x)


def reduce_mean(n: Node, x: int) -> int:
    axes = n.get("axes", list(range(len(n.b.shape(x)))))
    return int(n.b.mean(x, axes, bool(n.get("keepdims", 1))))


CONVERTERS: dict[str, Callable[[Node], Results]] = {
    "DequantizeLinear": lambda n: dequantized(n, 0),
    "QuantizeLinear": lambda n: quantized(n, n.x(0), 1),
    "QGemm": linear_gemm,
    "QLinearAdd": linear_binary("add"),
    "QLinearAveragePool": linear(average_pool),
    "QLinearConcat": linear_concat,
    "QLinearConv": linear_conv,
    "QLinearGlobalAveragePool": linear(global_average),
    "QLinearLeakyRelu": linear(lambda n, x: int(n.b.leaky_relu(x, n.get("alpha", 0.01)))),
    "QLinearMatMul": linear_mat_mul,
    "QLinearMul": linear_binary("mul"),
    "QLinearReduceMean": linear(reduce_mean),
    "QLinearSigmoid": linear(lambda n, x: int(n.b.unary("logistic", x))),
    "QLinearSoftmax": linear(onnx_ops.softmax_of),
}
