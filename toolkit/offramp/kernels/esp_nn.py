"""Kernel set `esp_nn`, on Espressif's ESP-NN: the ops and shapes it takes, and parameter blocks.

Built without SKIP_NUDGE, a macro that selects single rounding. On RISC-V the library's portable and optimized C runs;
its assembly for the ESP32-S3 has the same prototypes and has not been run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from offramp.boards import Core
from offramp.ir import Op, Tensor
from offramp.kernels.cmsis_nn import fits, fully_connected_geometry, layer_block, layer_fits
from offramp.ops import conv_2d, depthwise_conv_2d, fully_connected, pool_2d
from offramp.ops.gemm import Window, bias_of, requantization
from offramp.ops.op import Kernel, Params, Step, constant, elements, present

VERSION = "1.2.6"
PACKING = int(VERSION.split(".")[0]) << 8 | int(VERSION.split(".")[1])
LAYER = "s32 bias[out_c], s32 multiplier[out_c], s32 shift[out_c], s8 weights in the library's order"


def kernel(name: str, number: int, params: Params, tables: str = "") -> Kernel:
    return Kernel("esp_nn", name, 0x0500 + number, PACKING, params, tables=tables)


CONV = kernel("conv_2d", 1, conv_2d.PARAMS, LAYER)
DEPTHWISE = kernel("depthwise_conv_2d", 2, conv_2d.PARAMS, LAYER)
FULLY_CONNECTED = kernel("fully_connected", 3, conv_2d.PARAMS, LAYER)
AVERAGE = kernel("average_pool_2d", 4, pool_2d.AVERAGE.params)
MAX = kernel("max_pool_2d", 5, pool_2d.MAX.params)
KERNELS = (CONV, DEPTHWISE, FULLY_CONNECTED, AVERAGE, MAX)


def metadata(kernels: Iterable[Kernel]) -> dict[str, str]:
    """What a blob that uses these kernels records of the library."""
    return {"esp_nn_version": VERSION} if any(k.set == "esp_nn" for k in kernels) else {}


def is_faster(step: Step, op: Op, inputs: list[Tensor | None]) -> bool:
    """Whether the library takes fewer instructions than the generic kernels.

    Measured on rv32imc as instructions over the generic kernel's, riscv64-unknown-elf-gcc 12.2, the grids of
    tests/emulator/test_esp_nn.py and the models of MLPerf Tiny. "-": generic serves it.

    | kernel, shape                                          | ratio         |
    |--------------------------------------------------------|---------------|
    | conv_2d, MLPerf Tiny                                   | 1.9-5.8 -     |
    | conv_2d, images of a few pixels                        | 0.23-3.9 -    |
    | depthwise_conv_2d, 3x3, MLPerf Tiny                    | 0.82-1.7 -    |
    | depthwise_conv_2d, multiplier 1, other, 7 taps or more | 0.27-0.89     |
    | the same, fewer taps                                   | 0.84-1.19 -   |
    | depthwise_conv_2d, multiplier 4, 8                     | 0.86-0.94     |
    | the same, other multipliers                            | 0.40-1.71 -   |
    | depthwise_conv_2d, one input channel                   | 0.52-1.66 -   |
    | fully_connected, MLPerf Tiny, but 48 weights (0.73)    | 1.3-2.8 -     |
    | average_pool_2d                                        | 0.86-1.33 -   |
    | max_pool_2d                                            | 1.10-2.16 -   |

    Left out altogether: softmax (keeps its scratch in a global and calls printf; the generic kernel takes 1 % of a
    model), add and mul (four and two long products an element where generic's tables take one), mean (specified
    otherwise than TensorFlow Lite's), relu6 (its bounds are of a fixed scale), hard swish and logistic (tables).
    """
    if step.kernel is not DEPTHWISE:
        return False
    _, kh, kw, out_c = present(inputs[1]).shape
    in_c = present(inputs[0]).shape[3]
    if in_c == 1 or (kh, kw) == (3, 3):
        return False
    return (out_c == in_c and kh * kw >= 7) or out_c // in_c % 4 == 0


def candidates(op: Op, inputs: list[Tensor | None], outputs: list[Tensor], core: Core) -> list[list[Step]]:
    """The ways of serving the op; none where the library has no kernel with the reference's bits."""
    lower = LOWER.get(op.kind)
    if lower is None or any(t is not None and t.dtype != "s8" for t in (inputs[0], *outputs)):
        return []
    step = lower(op, inputs, outputs)
    return [] if step is None else [[step]]


def lower_conv_2d(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a: Window = op.attributes
    g = conv_2d.geometry_of(a, present(inputs[0]), present(inputs[1]), outputs[0])
    one = g["kernel_h"] == g["kernel_w"] == 1
    if g["groups"] != 1 or (one and (g["pad_top"] or g["pad_left"])):
        return None
    return layer_step(CONV, op, g, inputs, outputs, a.activation, conv_2d.macs(a, inputs, outputs))


def lower_depthwise_conv_2d(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a: Window = op.attributes
    x, weights = present(inputs[0]), present(inputs[1])
    g = conv_2d.geometry_of(a, x, weights, outputs[0]) | {"out_c": weights.shape[3], "groups": x.shape[3]}
    return layer_step(
        DEPTHWISE, op, g, inputs, outputs, a.activation, depthwise_conv_2d.macs(a, inputs, outputs)
    )


def lower_fully_connected(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    out_c, depth = present(inputs[1]).shape
    g = fully_connected_geometry(elements(present(inputs[0]).shape) // depth, depth, out_c)
    macs = fully_connected.macs(op.attributes, inputs, outputs)
    return layer_step(FULLY_CONNECTED, op, g, inputs, outputs, op.attributes.activation, macs)


def layer_step(
    kernel: Kernel,
    op: Op,
    g: dict[str, int],
    inputs: list[Tensor | None],
    outputs: list[Tensor],
    activation: str,
    macs: int,
) -> Step | None:
    x, weights = present(inputs[0]), present(inputs[1])
    per_output = g["kernel_h"] * g["kernel_w"] * g["in_c"] // g["groups"]
    if (g["dilation_h"], g["dilation_w"]) != (1, 1) or per_output >= 1 << 16 or not layer_fits(g):
        return None
    bias = bias_of(inputs[2] if len(inputs) > 2 else None, g["out_c"])
    r = requantization(x, weights, outputs[0], activation)
    data = layer_block(g, r, x.quant.zero_point, bias, constant(weights), "plain")
    return Step(kernel, (op.inputs[0],), op.outputs, data, macs=macs)


def lower_pool(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    x, a = present(inputs[0]), op.attributes
    _, rows, cols, _ = x.shape
    _, out_rows, out_cols, _ = outputs[0].shape
    pad_top, pad_left = pool_2d.padding_of(a, x, outputs[0])
    if not fits(rows, out_rows, a.filter_h, a.stride_h, 1, pad_top) or not fits(
        cols, out_cols, a.filter_w, a.stride_w, 1, pad_left
    ):
        return None
    found = pool_2d.steps_of(MAX if op.kind == "max_pool_2d" else AVERAGE, op, inputs, outputs)
    return found[0] if found else None


LOWER: dict[str, Callable[[Op, list[Tensor | None], list[Tensor]], Step | None]] = {
    "conv_2d": lower_conv_2d,
    "depthwise_conv_2d": lower_depthwise_conv_2d,
    "fully_connected": lower_fully_connected,
    "average_pool_2d": lower_pool,
    "max_pool_2d": lower_pool,
}
