"""The generic kernel that adds a convolution's outputs to another tensor as it makes them."""

from __future__ import annotations

import struct

from offramp.ops import add, conv_2d
from offramp.ops.broadcast import AXES
from offramp.ops.op import Kernel, Step

CONV, SUM = conv_2d.PAIR, add.TABLE
AXES_BYTES = 4 * 3 * AXES  # broadcast.FIELDS
LOOKUP = add.TABLE_PARAMS.size - 2 - AXES_BYTES  # the last field

KERNEL = Kernel(
    "generic",
    "conv_2d_pair_add",
    0x0116,
    1,
    CONV.params,
    in_place=2,
    tables=(
        f"{CONV.tables}; then what generic/add_table has behind its strides, fields and table, where input 0 is the "
        "convolution's output, clamped to its act_min and act_max"
    ),
    work=CONV.work,
)


def together(conv: Step, sum_: Step) -> Step | None:
    """Both steps as one, where `sum_` adds the output of `conv` to another tensor, without broadcasts."""
    [made] = conv.outputs
    if conv.kernel is not CONV or sum_.kernel is not SUM or sum_.inputs.count(made) != 1:
        return None
    at = sum_.inputs.index(made)
    *_, out_c = struct.unpack_from("<6H", conv.params)  # rows, cols, in_c, out_rows, out_cols, out_c
    behind_axes = bytearray(sum_.params[AXES_BYTES:])
    behind_axes[LOOKUP] ^= at  # the convolution's output comes first
    return Step(
        KERNEL,
        (*conv.inputs, sum_.inputs[1 - at]),
        sum_.outputs,
        conv.params + bytes(behind_axes),
        conv.scratch_bytes + 2 * out_c,
        conv.macs,
    )
