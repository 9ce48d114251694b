"""The op table: one row an operator."""

from __future__ import annotations

from offramp.ops import (
    activation,
    add,
    concatenation,
    conv_2d,
    conv_2d_pair_add,
    depthwise_conv_2d,
    dynamic_fully_connected,
    fully_connected,
    mean,
    mul,
    pad,
    pool_2d,
    quantize,
    reshape,
    resize,
    softmax,
    split,
    strided_copy,
    strided_slice,
    table,
    transpose,
    variable,
)
from offramp.ops.op import Kernel, OpType, Params, ShapeError, Step

OPS: dict[str, OpType] = {
    row.kind: row
    for row in (
        conv_2d.OP,
        depthwise_conv_2d.OP,
        fully_connected.OP,
        dynamic_fully_connected.OP,
        pool_2d.AVERAGE_OP,
        pool_2d.MAX_OP,
        add.ADD,
        add.SUB,
        mul.OP,
        mean.OP,
        reshape.OP,
        transpose.OP,
        pad.OP,
        concatenation.OP,
        split.OP,
        strided_slice.OP,
        resize.NEAREST_OP,
        resize.BILINEAR_OP,
        activation.RELU,
        activation.RELU6,
        activation.LEAKY_RELU,
        activation.HARD_SWISH,
        activation.LOGISTIC,
        activation.TANH,
        softmax.OP,
        quantize.OP,
        table.OP,
        variable.READ,
        variable.ASSIGN,
    )
}

# Every generic kernel; the other sets declare theirs in offramp.kernels.
GENERIC: tuple[Kernel, ...] = (
    conv_2d.KERNEL,
    conv_2d.PAIR,
    conv_2d_pair_add.KERNEL,
    depthwise_conv_2d.KERNEL,
    depthwise_conv_2d.KERNEL_3X3,
    fully_connected.KERNEL,
    pool_2d.AVERAGE,
    pool_2d.MAX,
    softmax.KERNEL,
    add.KERNEL,
    add.TABLE,
    mul.KERNEL,
    mean.KERNEL,
    resize.NEAREST,
    resize.BILINEAR,
    table.KERNEL,
    strided_copy.KERNEL,
)

__all__ = ["GENERIC", "OPS", "Kernel", "OpType", "Params", "ShapeError", "Step"]
