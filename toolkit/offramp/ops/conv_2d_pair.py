"""The generic kernel that multiplies two pixels at once, for convolutions and what can be seen as one."""

from __future__ import annotations

import numpy as np

from offramp.ir import Op
from offramp.ops.doubled import HIGH, LOW, doubled
from offramp.ops.gemm import Requantization
from offramp.ops.op import Array, Kernel, Params, Step, block
from offramp.ops.work import Numbers, up

UNROLL = 4  # taps a round, as in the C file
MOST_WORDS = 256  # of scratch, unless one window takes more
SHARE = 2  # channels that lie interleaved


OWN_FIELDS = [
    ("at_once", "u16"),  # neighbours whose columns are gathered together
]


def work(n: Numbers) -> dict[str, int]:
    """Pixels in pairs, from the upper and the lower half, and channels in pairs; columns gathered span by span."""
    k = n["kernel_h"] * n["kernel_w"] * n["in_c"] // n["groups"]
    half, last = n["out_rows"] // 2, up(n["out_cols"], 2) * (n["out_rows"] % 2)
    pairs = half * n["out_cols"] + last
    spans = [(row, 0, half, n["out_cols"]) for row in range(half)]
    spans += [(2 * half, n["out_cols"] // 2, 0, last)] if last else []
    packs = packed_columns = apart = gathered = 0
    for row, right, down, cols in spans:
        for col in range(0, cols, n["at_once"]):
            width = (min(n["at_once"], cols - col) - 1) * n["stride_w"] + n["kernel_w"]
            x = col * n["stride_w"] - n["pad_left"]
            inside = x >= 0 and x + (width - 1) * n["dilation_w"] + right * n["stride_w"] < n["cols"]
            y = row * n["stride_h"] - n["pad_top"] + np.arange(n["kernel_h"]) * n["dilation_h"]
            whole = (y >= 0) & (y + down * n["stride_h"] < n["rows"]) & inside
            packs += int(whole.sum())
            packed_columns += int(whole.sum()) * width
            apart += int((~whole).sum()) * width
            gathered += width * n["kernel_h"]
    group_c = n["in_c"] // n["groups"]
    blocks = pairs * n["groups"] * up(n["out_c"] // n["groups"], SHARE)
    return {
        "rows": len(spans) * n["groups"],
        "pairs": pairs * n["groups"],
        "blocks": blocks,
        "products": blocks * (k // UNROLL),
        "partial": blocks * (k % UNROLL > 0),
        "rest": blocks * (k % UNROLL),
        "outputs": n["elements"],
        "packs": packs * n["groups"],
        "columns": packed_columns
        * n["groups"]
        * (n["kernel_h"] > 1 or n["groups"] > 1 or n["dilation_w"] > 1),
        "apart": apart * n["groups"],
        "gathered": gathered * (group_c // 4) * n["groups"],
        "gathered_rest": gathered * (group_c % 4) * n["groups"],
        "clamped": 0 if (n["act_min"], n["act_max"]) == (-128, 127) else n["elements"],
    }


def declare(fields: list[tuple[str, str]]) -> Kernel:
    """The kernel, whose fixed struct begins with the fields of conv_2d's."""
    return Kernel(
        "generic",
        "conv_2d_pair",
        0x0112,
        2,
        Params("conv_2d_pair", [*fields, *OWN_FIELDS]),
        tables=(
            "for each group's channels, rounded up to pairs (n in all): s32 bias[n], doubled, with the input zero "
            "point folded in; s32 multiplier and s32 right shift [m], m = n if per_channel, else 1; "
            "s8 weights[n / 2][k][2], k = kernel_w * kernel_h * in_c / groups taps, columns first, rounded up to 4 "
            "with zeros"
        ),
        work=work,
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


def as_one_row(g: dict[str, int]) -> dict[str, int]:
    """The same convolution over one row of pixels, where windows are single pixels: halves then waste one at most."""
    pixels = g["rows"] * g["cols"]
    if pixels != g["out_rows"] * g["out_cols"] or g["kernel_h"] * g["kernel_w"] > 1 or pixels >= 1 << 16:
        return g
    return g | {"rows": 1, "cols": pixels, "out_rows": 1, "out_cols": pixels}


def words(g: dict[str, int], n: int) -> int:
    """Words of the columns under the windows of n neighbours."""
    return ((n - 1) * g["stride_w"] + g["kernel_w"]) * g["kernel_h"] * (g["in_c"] // g["groups"])


def at_once(g: dict[str, int]) -> int:
    """How many neighbours' windows are gathered together: where they share columns, what MOST_WORDS hold."""
    if g["dilation_w"] > 1 or g["stride_w"] > g["kernel_w"]:
        return 1
    more = (MOST_WORDS - words(g, 1)) // (words(g, 2) - words(g, 1))
    return max(1, min(1 + more, g["out_cols"]))


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
    by_column = layer.weights.reshape(out_c, g["kernel_h"], g["kernel_w"], -1).transpose(0, 2, 1, 3)
    w = padded(by_column.reshape(out_c, -1), 1, UNROLL)
    if not pairs_fit(w):
        return None

    def by_group(table: Array) -> Array:
        """[out_c, ...] with every group's channels rounded up to pairs."""
        return padded(table.reshape(groups, out_c // groups, -1), 1, SHARE)

    laid = by_group(w).reshape(-1, SHARE, w.shape[1]).transpose(0, 2, 1)
    g = as_one_row(g)
    n = at_once(g)
    params = kernel.params.pack(
        **g,
        at_once=n,
        per_channel=int(len(layer.scale) > 1),
        input_zero_point=zero,
        output_zero_point=r.zero_point,
        act_min=r.act_min,
        act_max=r.act_max,
    )
    scale = by_group(layer.scale) if len(layer.scale) > 1 else layer.scale
    data = block(params, by_group(layer.bias), scale, laid)
    scratch = 4 * (words(g, n) + w.shape[1] - weights.shape[1]) + g["in_c"] // groups
    return Step(kernel, (op.inputs[0],), op.outputs, data, scratch_bytes=scratch, macs=macs)
