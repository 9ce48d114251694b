"""The op table: one row an operator."""

from __future__ import annotations

from offramp.ops import conv_2d, depthwise_conv_2d, fully_connected, pool_2d, reshape, softmax
from offramp.ops.op import Kernel, OpType, Params, ShapeError, Step

OPS: dict[str, OpType] = {
    row.kind: row
    for row in (
        conv_2d.OP,
        depthwise_conv_2d.OP,
        fully_connected.OP,
        pool_2d.AVERAGE_OP,
        pool_2d.MAX_OP,
        reshape.OP,
        softmax.OP,
    )
}

# Every generic kernel; the other sets declare theirs in offramp.kernels.
GENERIC: tuple[Kernel, ...] = (
    conv_2d.KERNEL,
    depthwise_conv_2d.KERNEL,
    pool_2d.AVERAGE,
    pool_2d.MAX,
    softmax.KERNEL,
)

__all__ = ["GENERIC", "OPS", "Kernel", "OpType", "Params", "ShapeError", "Step"]
