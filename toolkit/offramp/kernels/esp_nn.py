"""Kernel set `esp_nn`, on Espressif's ESP-NN: the ops and shapes it takes, and parameter blocks.

Built without SKIP_NUDGE, a macro that selects single rounding. On RISC-V the library's portable and optimized C runs;
its assembly for the ESP32-S3 has the same prototypes and has not been run.

Left out altogether: softmax (keeps its scratch in a global and calls printf; the generic kernel takes 1 % of a model),
add and mul (four and two long products an element where generic's tables take one), mean (specified otherwise than
TensorFlow Lite's), relu6 (its bounds are of a fixed scale), hard swish and logistic (tables).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from offramp.boards import Core
from offramp.ir import Op, Tensor
from offramp.kernels.cmsis_nn import fits, fully_connected_geometry, layer_block, layer_fits
from offramp.ops import conv_2d, depthwise_conv_2d, fully_connected, pool_2d
from offramp.ops.gemm import Window, bias_of, requantization
from offramp.ops.op import Kernel, Params, Step, Work, constant, elements, present
from offramp.ops.work import Numbers, Product, Windows, axis

VERSION = "1.2.6"
PACKING = int(VERSION.split(".")[0]) << 8 | int(VERSION.split(".")[1])
LAYER = "s32 bias[out_c], s32 multiplier[out_c], s32 shift[out_c], s8 weights in the library's order"


def kernel(name: str, number: int, params: Params, work: Work, tables: str = "") -> Kernel:
    return Kernel("esp_nn", name, 0x0500 + number, PACKING, params, tables=tables, work=work)


def conv_work(n: Numbers) -> dict[str, int]:
    """One output at a time, taps on the input; 1x1 windows in loops of their own."""
    rows, cols = axis(n, True), axis(n, False)
    runs = rows.taps * cols.taps * n["out_c"]
    own = "one_" if n["kernel_h"] == n["kernel_w"] == 1 else ""
    return {
        f"{own}positions": n["out_rows"] * n["out_cols"],
        f"{own}outputs": n["elements"],
        f"{own}fours": runs * (n["in_c"] // 4),
        f"{own}rest": runs * (n["in_c"] % 4),
        "rows": rows.taps * n["out_cols"] * n["out_c"] if own == "" else 0,
        "runs": runs if own == "" else 0,
    }


def depthwise_work(n: Numbers) -> dict[str, int]:
    """Four channels of a position at a time, or four outputs of a channel."""
    rows, cols = axis(n, True), axis(n, False)
    pixels, visited, multiplier = (
        n["out_rows"] * n["out_cols"],
        rows.taps * cols.taps,
        n["out_c"] // n["in_c"],
    )
    own = "" if multiplier == 1 else "several_"
    blocks, rest = n["in_c"] // 4, n["in_c"] % 4
    if multiplier > 1:
        blocks, rest = n["in_c"] * (multiplier // 4), n["in_c"] * (multiplier % 4)
    return {
        f"{own}positions": pixels,
        f"{own}channels": pixels * n["in_c"] * (multiplier > 1),
        f"{own}blocks": pixels * blocks,
        f"{own}block_rows": rows.taps * n["out_cols"] * blocks,
        f"{own}block_taps": visited * blocks,
        f"{own}rest": pixels * rest,
        f"{own}rest_rows": rows.taps * n["out_cols"] * rest,
        f"{own}rest_taps": visited * rest,
    }


CONV = kernel("conv_2d", 1, conv_2d.PARAMS, conv_work, LAYER)
DEPTHWISE = kernel("depthwise_conv_2d", 2, conv_2d.PARAMS, depthwise_work, LAYER)
FULLY_CONNECTED = kernel("fully_connected", 3, conv_2d.PARAMS, Product(1, 1, 1, direct=True), LAYER)
AVERAGE = kernel("average_pool_2d", 4, pool_2d.AVERAGE.params, Windows())
MAX = kernel("max_pool_2d", 5, pool_2d.MAX.params, Windows())
KERNELS = (CONV, DEPTHWISE, FULLY_CONNECTED, AVERAGE, MAX)


def metadata(kernels: Iterable[Kernel]) -> dict[str, str]:
    """What a blob that uses these kernels records of the library."""
    return {"esp_nn_version": VERSION} if any(k.set == "esp_nn" for k in kernels) else {}


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
