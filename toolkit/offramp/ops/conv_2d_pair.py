"""The generic kernel that multiplies two pixels at once, for convolutions and what can be seen as one."""

from __future__ import annotations

import numpy as np

from offramp.ir import Op
from offramp.ops.doubled import HIGH, LOW, doubled
from offramp.ops.gemm import Requantization
from offramp.ops.op import Array, Kernel, Params, Step, block

UNROLL = 4  # taps a round, as in the C file
SHARE = 2  # channels that lie interleaved


def declare(fields: list[tuple[str, str]]) -> Kernel:
    """The kernel, whose fixed struct has the fields of conv_2d's."""
    return Kernel(
        "generic",
        "conv_2d_pair",
        0x0112,
        1,
        Params("conv_2d_pair", fields),
        tables=(
            "for each group's channels, rounded up to pairs (n in all): s32 bias[n], doubled, with the input zero "
            "point folded in; s32 multiplier and s32 right shift [m], m = n if per_channel, else 1; "
            "s8 weights[n / 2][k][2], k = kernel_h * kernel_w * in_c / groups rounded up to 4 with zeros"
        ),
    )


def pairs_fit(weights: Array) -> bool:
    """Whether two products that share a half word always fit it; weights [channels, even number of taps]."""
    w = weights.astype(np.int64).reshape(len(weights), -1, 2)
    most = np.maximum(w * LOW, w * HIGH).sum(axis=2)
    least = np.minimum(w * LOW, w * HIGH).sum(axis=2)
    return bool((most < 1 << 15).all() and (least >= -(1 << 15)).all())


def padded(x: Array, axis: int, multiple: int) -> Array:
    """`x` with zeros behind, its length along an axis a multiple."""
    widths = [(0, 0)] * x.ndim
    widths[axis] = (0, -x.shape[axis] % multiple)
    return np.pad(x, widths)


def pair_step(
    kernel: Kernel,
    op: Op,
    g: dict[str, int],
    r: Requantization,
    weights: Array,
    bias: Array,
    zero: int,
    macs: int,
) -> Step | None:
    """A step of the kernel, weights [out_c, k], bias folded; None where its preconditions fail."""
    layer = doubled(weights, bias, r)
    if layer is None:
        return None
    groups, out_c = g["groups"], g["out_c"]
    w = padded(layer.weights, 1, UNROLL)
    if not pairs_fit(w):
        return None

    def by_group(table: Array) -> Array:
        """[out_c, ...] with every group's channels rounded up to pairs."""
        return padded(table.reshape(groups, out_c // groups, -1), 1, SHARE)

    laid = by_group(w).reshape(-1, SHARE, w.shape[1]).transpose(0, 2, 1)
    params = kernel.params.pack(
        **g,
        per_channel=int(len(layer.scale) > 1),
        input_zero_point=zero,
        output_zero_point=r.zero_point,
        act_min=r.act_min,
        act_max=r.act_max,
    )
    scale = by_group(layer.scale) if len(layer.scale) > 1 else layer.scale
    data = block(params, by_group(layer.bias), scale, laid)
    scratch = 4 * w.shape[1] + g["in_c"] // groups
    return Step(kernel, (op.inputs[0],), op.outputs, data, scratch_bytes=scratch, macs=macs)
