"""Layers whose weights are the first channels of a wider layer's, which the blob holds once as a constant operand.

The wide tensor of a kernel set is what its kernels read; an op has it behind its bias (plan/widest.py). Kernels say
which they are by its type: int8 is the generic kernel's, uint8 a kernel set's own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from offramp.ir import OF_WIDEST, Op, Tensor
from offramp.ops.conv_2d_tile import (
    BEHIND_BIAS,
    GEMMS,
    PARAMS,
    Layer,
    layer_of,
    on_tiles,
    taps_of,
    tile_step,
    tiles,
)
from offramp.ops.op import Array, Kernel, Step, present
from offramp.ops.work import Numbers


def slice_work(n: Numbers) -> dict[str, int]:
    of_one = {
        "channels": n["out_c"],
        "runs": n["out_c"] * (1 if n["entries"] == n["in_c"] else n["kernel_h"] * n["kernel_w"]),
        "products": n["out_c"] * taps_of(n),
    }
    return tiles(n) | on_tiles(n, of_one)


KERNEL = Kernel(
    "generic",
    "conv_2d_slice",
    0x0128,
    1,
    PARAMS,
    tables="s32 bias[out_c], with the input zero point folded in; s32 multiplier and s32 shift [m], m = out_c if "
    "per_channel, else 1; input 1 is s8 weights [at least out_c][kernel_h][kernel_w][entries], of whose last axis "
    "the first in_c are this layer's; form is 0, groups 1",
    work=slice_work,
    group="compressed",
    stores="part of the widest",
)


def is_slice(op: Op, weights: Tensor | None) -> bool:
    """Whether the op's weights are stored as part of a wider layer's, which is among its inputs."""
    return weights is not None and weights.storage == OF_WIDEST and len(op.inputs) > BEHIND_BIAS


def wide_tensor(weights: Tensor) -> Tensor:
    """Of the widest layer: what the generic kernel reads."""
    assert weights.data is not None
    return Tensor(f"{weights.name}/wide", weights.shape, "s8", None, weights.data)


def slice_step(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    """None where the layer has groups."""
    layer: Layer = layer_of(op, inputs, outputs)
    wide = present(inputs[BEHIND_BIAS])
    if layer.geometry["groups"] != 1 or op.kind not in GEMMS:
        return None
    r = layer.requantization
    scale = np.stack([r.multiplier, r.shift], axis=1).astype(np.int32)
    scales = layer.bias.astype(np.int32), scale
    step = tile_step(KERNEL, layer, scales, layer.taps, b"", entries=wide.shape[-1])
    return replace(step, inputs=(op.inputs[0], op.inputs[BEHIND_BIAS]))


def is_part(narrow: Array, wide: Array) -> bool:
    """Whether weights [out_c, ..., in_c] are the first ones of others along both axes."""
    same = narrow.shape[1:-1] == wide.shape[1:-1]
    return same and np.array_equal(wide[: len(narrow), ..., : narrow.shape[-1]], narrow)
