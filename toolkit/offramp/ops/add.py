"""ADD and SUB, int8 or int16: both inputs at a common scale with 20 or 15 bits more, then requantized."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import DTYPES, Op, Tensor
from offramp.ops import broadcast
from offramp.ops.doubled import MAX_SHIFT
from offramp.ops.fixed_point import activation_range, multiply_by_quantized_multiplier, quantize_multiplier
from offramp.ops.op import Array, Kernel, OpType, Params, Shape, ShapeError, Step, block, present

PARAMS = Params(
    "add",
    [
        *broadcast.FIELDS,
        ("multiplier", "s32[3]"),  # of a, b and the output
        ("shift", "s32[3]"),  # right, 0 to 31
        ("zero_point", "s16[3]"),
        ("act_min", "s16"),
        ("act_max", "s16"),
        ("subtract", "u16"),  # 1: a - b
    ],
)
KERNEL = Kernel("generic", "add", 0x0106, 1, PARAMS, in_place=3, work=broadcast.work)  # whatever the scales
TABLE_PARAMS = Params(
    "add_table",
    [
        *broadcast.FIELDS,
        ("factor", "s32"),  # of the input that is not looked up, doubled
        ("multiplier", "s32"),
        ("shift", "u32"),  # right
        ("out_zero_point", "s16"),
        ("act_min", "s16"),
        ("act_max", "s16"),
        ("lookup", "u16"),  # which input the table is for
    ],
)
TABLE = Kernel(
    "generic",
    "add_table",
    0x0115,
    1,
    TABLE_PARAMS,
    in_place=3,
    tables="s32 addend[256], doubled, by the input's bits, with both input zero points folded in",
    work=broadcast.work,
)
S16 = Kernel("generic", "add_s16", 0x0144, 1, PARAMS, in_place=3, work=broadcast.work, group="int16")
LEFT_SHIFT = 20
LEFT_SHIFT_S16 = 15
EXACT = (1 << 30, 0)  # a multiplier and shift that halve


@dataclass(frozen=True)
class Add:
    """Of add and sub."""

    activation: str = "none"


def shapes(a: Add, inputs: list[Tensor | None]) -> list[Shape]:
    return broadcast.shapes_of(inputs)


def left_shift(tensor: Tensor) -> int:
    return LEFT_SHIFT_S16 if tensor.dtype == "s16" else LEFT_SHIFT


def multipliers(a: Tensor, b: Tensor, out: Tensor) -> list[tuple[int, int]]:
    """(multiplier, shift <= 0) of a, b and the output."""
    twice_max = 2 * max(float(a.quant.scale), float(b.quant.scale))
    ratio = twice_max / ((1 << left_shift(out)) * float(out.quant.scale))
    if ratio >= 1:
        raise ShapeError(f"output scale {out.quant.scale:g} is too small for inputs of {twice_max / 2:g}")
    return [quantize_multiplier(r) for r in (a.quant.scale / twice_max, b.quant.scale / twice_max, ratio)]


def reference_of(
    sign: int, a: Add, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    left, right, out = present(inputs[0]), present(inputs[1]), outputs[0]
    of_left, of_right, of_out = multipliers(left, right, out)

    def scaled(i: int, tensor: Tensor, m: tuple[int, int]) -> Array:
        value = values[i]
        assert value is not None
        centred = value.astype(np.int64) - tensor.quant.zero_point
        return multiply_by_quantized_multiplier(centred << left_shift(tensor), *m)

    total = scaled(0, left, of_left) + sign * scaled(1, right, of_right)
    q = multiply_by_quantized_multiplier(total, *of_out) + out.quant.zero_point
    low, high = activation_range(a.activation, out.quant.scale, out.quant.zero_point, out.dtype)
    return [np.clip(q, low, high).astype(DTYPES[out.dtype])]


def steps_of(subtract: int, op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    left, right, out = present(inputs[0]), present(inputs[1]), outputs[0]
    axes = broadcast.collapse(left.shape, right.shape)
    if axes is None:
        return None
    scalings = multipliers(left, right, out)
    table = table_step(subtract, op, (left, right, out), axes, scalings) if out.dtype == "s8" else None
    return [table or step_without_table(subtract, op, (left, right, out), axes, scalings)]


def compact_step(subtract: int, op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    """Without a table, whatever the scales."""
    left, right, out = present(inputs[0]), present(inputs[1]), outputs[0]
    axes = broadcast.collapse(left.shape, right.shape)
    if axes is None:
        return None
    return step_without_table(subtract, op, (left, right, out), axes, multipliers(left, right, out))


def step_without_table(
    subtract: int,
    op: Op,
    tensors: tuple[Tensor, Tensor, Tensor],
    axes: dict[str, list[int]],
    scalings: list[tuple[int, int]],
) -> Step:
    out = tensors[2]
    low, high = activation_range(op.attributes.activation, out.quant.scale, out.quant.zero_point, out.dtype)
    params = PARAMS.pack(
        **axes,
        multiplier=[multiplier for multiplier, _ in scalings],
        shift=[-shift for _, shift in scalings],
        zero_point=[t.quant.zero_point for t in tensors],
        act_min=low,
        act_max=high,
        subtract=subtract,
    )
    return Step(S16 if out.dtype == "s16" else KERNEL, op.inputs, op.outputs, params)


def table_step(
    subtract: int,
    op: Op,
    tensors: tuple[Tensor, Tensor, Tensor],
    axes: dict[str, list[int]],
    scalings: list[tuple[int, int]],
) -> Step | None:
    """A step of the kernel with a table; None where its preconditions fail."""
    out = tensors[2]
    multiplier, shift = scalings[2]
    if EXACT not in scalings[:2] or not 1 <= -shift <= MAX_SHIFT:
        return None
    lookup = 1 if scalings[0] == EXACT else 0
    sign = (1, -1 if subtract else 1)
    exact_zero = tensors[1 - lookup].quant.zero_point
    value = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64)  # by its bits
    centred = (value - tensors[lookup].quant.zero_point) << LEFT_SHIFT
    addend = sign[lookup] * multiply_by_quantized_multiplier(centred, *scalings[lookup])
    factor = sign[1 - lookup] << LEFT_SHIFT  # exact: doubled and halved
    low, high = activation_range(op.attributes.activation, out.quant.scale, out.quant.zero_point)
    params = TABLE_PARAMS.pack(
        **axes,
        factor=factor,
        multiplier=multiplier,
        shift=-shift,
        out_zero_point=out.quant.zero_point,
        act_min=low,
        act_max=high,
        lookup=lookup,
    )
    data = block(params, (2 * addend - factor * exact_zero).astype(np.int32))
    return Step(TABLE, op.inputs, op.outputs, data)


ADD = OpType(
    "add",
    Add,
    shapes,
    lambda a, i, o, v: reference_of(1, a, i, o, v),
    lambda op, i, o: steps_of(0, op, i, o),
    compact=lambda op, i, o: compact_step(0, op, i, o),
)
SUB = OpType(
    "sub",
    Add,
    shapes,
    lambda a, i, o, v: reference_of(-1, a, i, o, v),
    lambda op, i, o: steps_of(1, op, i, o),
    compact=lambda op, i, o: compact_step(1, op, i, o),
)
