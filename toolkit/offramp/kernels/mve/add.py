"""Addition of two tensors of one shape: one input by a table, the other by an exact shift."""

from __future__ import annotations

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.mve.requantize import kernels, scaling
from offramp.ops.add import LEFT_SHIFT, multipliers
from offramp.ops.fixed_point import activation_range, multiply_by_quantized_multiplier
from offramp.ops.gemm import Requantization
from offramp.ops.op import Params, Step, elements, present

ADD = kernels(
    "add",
    7,
    Params(
        "mve_add",
        [
            ("elements", "u32"),
            ("multiplier", "s32"),
            ("exponent", "s32"),  # -31 to 0: a right shift
            ("exact", "u16"),  # which input is shifted; the other goes through the table
            ("add", "u16[2]"),
        ],
    ),
    in_place=3,
)
KERNELS = ADD
EXACT = (1 << 30, 0)  # a multiplier of 1/2


def lower_add(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a, b, out = present(inputs[0]), present(inputs[1]), outputs[0]
    *of_inputs, of_out = multipliers(a, b, out)
    low, high = activation_range(op.attributes.activation, out.quant.scale, out.quant.zero_point)
    s = scaling(
        Requantization(np.array([of_out[0]]), np.array([of_out[1]]), out.quant.zero_point, low, high), 1
    )
    if s is None or a.shape != b.shape or EXACT not in of_inputs or b.dtype != "s8":
        return None
    exact = of_inputs.index(EXACT)
    x, y = (b, a) if exact == 0 else (a, b)
    values = np.arange(256).astype(np.uint8).view(np.int8).astype(np.int64) - x.quant.zero_point
    table = multiply_by_quantized_multiplier(values << LEFT_SHIFT, *of_inputs[1 - exact])
    table = table - (y.quant.zero_point << (LEFT_SHIFT - 1))
    params = ADD[0].params.pack(
        elements=elements(out.shape),
        multiplier=s.multiplier[0],
        exponent=s.exponent[0],
        exact=exact,
        add=s.add,
    )
    return Step(ADD[s.is_signed], op.inputs, op.outputs, params + table.astype(np.int32).tobytes())
