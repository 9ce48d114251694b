"""Kernel set `dsp`, for Armv7E-M and Armv8-M with DSP: the layers it takes and how their weights are packed."""

from __future__ import annotations

from collections.abc import Callable

from offramp.boards import Core
from offramp.ir import Op, Tensor
from offramp.kernels.dsp import depthwise, gemm, pointwise
from offramp.ops.op import Kernel, Step

KERNELS: tuple[Kernel, ...] = (*gemm.KERNELS, *depthwise.KERNELS, *pointwise.KERNELS)

Lower = Callable[[Op, list[Tensor | None], list[Tensor]], Step | None]

LOWER: dict[str, Lower] = {
    "conv_2d": gemm.lower_conv_2d,
    "depthwise_conv_2d": depthwise.lower,
    "add": pointwise.lower_add,
    "average_pool_2d": pointwise.lower_average,
    "fully_connected": gemm.lower_fully_connected,
}


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor], core: Core) -> list[Step] | None:
    """The op's kernel call, or None where a precondition does not hold: the next set is asked then."""
    lower = LOWER.get(op.kind)
    if lower is None or any(t is not None and t.dtype != "s8" for t in (inputs[0], *outputs)):
        return None
    step = lower(op, inputs, outputs)
    return None if step is None else [step]
