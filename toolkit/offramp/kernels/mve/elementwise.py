"""Two tensors of one shape: add and sub, one input by a table and the other by an exact shift, and mul."""

from __future__ import annotations

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.mve.requantize import Scaling, kernels, scaling
from offramp.ops.add import LEFT_SHIFT, multipliers
from offramp.ops.fixed_point import activation_range, multiply_by_quantized_multiplier
from offramp.ops.gemm import Requantization
from offramp.ops.mul import multiplier_of
from offramp.ops.op import Params, Step, elements, present

ADD = kernels(
    "add",
    7,
    Params(
        "mve_add",
        [
            ("elements", "u32"),
            ("factor", "s32"),  # of the input that is shifted
            ("multiplier", "s32"),
            ("exponent", "s32"),  # -31 to 0: a right shift
            ("exact", "u16"),  # which input is shifted; the other goes through the table
            ("add", "u16[2]"),
        ],
    ),
    in_place=3,
    packing=2,
)
MUL = kernels(
    "mul",
    11,
    Params(
        "mve_mul",
        [
            ("elements", "u32"),
            ("multiplier", "s32"),
            ("exponent", "s32"),  # -31 to 0: a right shift
            ("zero_point", "s16[2]"),
            ("add", "u16[2]"),
        ],
    ),
    in_place=3,
)
KERNELS = (*ADD, *MUL)
EXACT = (1 << 30, 0)  # a multiplier of 1/2


def scaling_of(multiplier: tuple[int, int], activation: str, out: Tensor) -> Scaling | None:
    low, high = activation_range(activation, out.quant.scale, out.quant.zero_point)
    m, shift = (np.array([n]) for n in multiplier)
    return scaling(Requantization(m, shift, out.quant.zero_point, low, high), 1)


def lower_add(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a, b, out = present(inputs[0]), present(inputs[1]), outputs[0]
    *of_inputs, of_out = multipliers(a, b, out)
    s = scaling_of(of_out, op.attributes.activation, out)
    if s is None or a.shape != b.shape or EXACT not in of_inputs or b.dtype != "s8":
        return None
    signs = (1, -1 if op.kind == "sub" else 1)
    exact = of_inputs.index(EXACT)
    x, y = (b, a) if exact == 0 else (a, b)
    values = np.arange(256).astype(np.uint8).view(np.int8).astype(np.int64) - x.quant.zero_point
    table = signs[1 - exact] * multiply_by_quantized_multiplier(values << LEFT_SHIFT, *of_inputs[1 - exact])
    factor = signs[exact] << (LEFT_SHIFT - 1)
    params = ADD[0].params.pack(
        elements=elements(out.shape),
        factor=factor,
        multiplier=s.multiplier[0],
        exponent=s.exponent[0],
        exact=exact,
        add=s.add,
    )
    data = params + (table - y.quant.zero_point * factor).astype(np.int32).tobytes()
    return Step(ADD[s.is_signed], op.inputs, op.outputs, data)


def lower_mul(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a, b, out = present(inputs[0]), present(inputs[1]), outputs[0]
    s = scaling_of(multiplier_of(a, b, out), op.attributes.activation, out)
    if s is None or a.shape != b.shape or b.dtype != "s8":
        return None
    params = MUL[0].params.pack(
        elements=elements(out.shape),
        multiplier=s.multiplier[0],
        exponent=s.exponent[0],
        zero_point=[a.quant.zero_point, b.quant.zero_point],
        add=s.add,
    )
    return Step(MUL[s.is_signed], op.inputs, op.outputs, params)
