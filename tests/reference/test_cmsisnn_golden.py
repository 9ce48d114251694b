"""CMSIS-NN's own test vectors against the integer references and, at batch 1, the generic kernels."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp.frontends.tflite import widened
from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops.add import Add
from offramp.ops.conv_2d import Window
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.mul import Mul
from offramp.ops.pool_2d import Pool
from offramp.ops.softmax import DIFF_BITS, Softmax
from offramp.ops.transpose import Transpose
from offramp.ops.verify import verify
from offramp.reference import Reference
from tests.kernel_call import KernelRunner

Array = NDArray[Any]
CONV = (
    *(f"conv_1_x_n_{i}" for i in (1, 2, 3, 4, 5, 7, 8)),
    "conv_1_x_n_6_generic",
    "conv_2",
    "conv_2x2_dilation",
    "conv_2x2_dilation_5x5_input",
    "conv_2x3_dilation",
    "conv_3x2_dilation",
    "conv_3x3_dilation_5x5_input",
    "conv_5",
    "conv_dilation_golden",
    "conv_out_activation",
    "grouped_conv_4",
    "kernel1x1_stride_x_y_1",
    "kernel1x1_stride_x_y_2",
)
DEPTHWISE = (
    "depthwise_2",
    "depthwise_eq_in_out_ch",
    "depthwise_kernel_3x3_null_bias",
    "depthwise_mult_batches",
    "depthwise_out_activation",
    "depthwise_sub_block",
    "in_ch_one_out_ch_larger_one",
)
FULLY_CONNECTED = ("fully_connected", "fully_connected_mve_0", "fully_connected_null_bias_0")
AVERAGE = tuple(f"avgpooling{s}" for s in ("", "_1", "_2", "_3", "_5"))
MAX = tuple(f"maxpooling{s}" for s in ("", "_2", "_3", "_4", "_5", "_7"))
TRANSPOSE = {"transpose_default": 4, "transpose_nhcw": 4, "transpose_nwhc": 4, "transpose_3dim2": 3}  # ranks


@dataclass
class Golden:
    """One file: arrays and config by their names less the file's."""

    arrays: dict[str, Array]
    config: dict[str, Any]

    def __getattr__(self, name: str) -> int:
        return int(self.config[name])


def golden(shared_data: Path, name: str) -> Golden:
    with np.load(shared_data / "cmsisnn_golden" / f"{name}.npz") as file:
        arrays = {key.removeprefix(f"{name}_"): file[key] for key in file.files if key != "config"}
        config = json.loads(str(file["config"]))
    return Golden(arrays, {key.removeprefix(f"{name.upper()}_"): value for key, value in config.items()})


def real(multiplier: Array | int, shift: Array | int) -> list[float]:
    """Scales that quantize to exactly these multipliers."""
    return [float(r) for r in np.ldexp(np.atleast_1d(multiplier).astype(float), np.atleast_1d(shift) - 31)]


def activation(
    name: str, shape: tuple[int, ...], scale: float = 1.0, zero_point: int = 0, dtype: str = "s8"
) -> Tensor:
    return Tensor(name, shape, dtype, Quantization((scale,), (zero_point,)))


def weights_of(data: Array, shape: tuple[int, ...], scales: list[float], axis: int) -> Tensor:
    """Int4 weights, two a byte, are widened as the frontend does."""
    n = int(np.prod(shape))
    if data.size < n:
        data = np.frombuffer(widened(data.tobytes(), n), np.int8)
    return Tensor(
        "weights", shape, "s8", Quantization(tuple(scales), (0,) * len(scales), axis), data.reshape(shape)
    )


def bias_of(data: Array) -> Tensor:
    return Tensor("bias", data.shape, "s64" if data.dtype == np.int64 else "s32", None, data)


def check(
    kind: str,
    attributes: Any,
    inputs: list[Tensor],
    out: Tensor,
    fed: list[Array],
    expected: Array,
    low: int = -32768,
    high: int = 32767,
) -> None:
    """Runs one op; the given activation range is applied behind it, where it commutes."""
    n = len(inputs)
    op = Op(kind, kind, tuple(range(n)), (n,), attributes)
    graph = Graph(
        "golden", (*inputs, out), (op,), tuple(i for i, t in enumerate(inputs) if t.data is None), (n,)
    )
    verify(graph, "golden")
    values = [x.reshape(t.shape) for x, t in zip(fed, inputs, strict=False)]
    right = expected.reshape(out.shape)
    np.testing.assert_array_equal(np.clip(Reference(graph).run(values)[0], low, high), right)
    if inputs[0].shape[0] == 1 or kind not in (
        "conv_2d",
        "depthwise_conv_2d",
        "average_pool_2d",
        "max_pool_2d",
    ):
        np.testing.assert_array_equal(np.clip(KernelRunner(graph).run(values)[0], low, high), right)


def window_of(g: Golden) -> Window:
    same = g.OUTPUT_H == -(-g.INPUT_H // g.STRIDE_Y) and g.OUTPUT_W == -(-g.INPUT_W // g.STRIDE_X)
    return Window(g.STRIDE_Y, g.STRIDE_X, g.DILATION_Y, g.DILATION_X, "same" if same else "valid")


@pytest.mark.parametrize("name", [*CONV, *DEPTHWISE])
def test_convolution(shared_data: Path, name: str) -> None:
    check_convolution(golden(shared_data, name), name in DEPTHWISE)


def check_convolution(g: Golden, depthwise: bool) -> None:
    x = activation("input", (g.INPUT_BATCHES, g.INPUT_H, g.INPUT_W, g.IN_CH), 1.0, -g.INPUT_OFFSET)
    out = activation("output", (g.INPUT_BATCHES, g.OUTPUT_H, g.OUTPUT_W, g.OUT_CH), 1.0, g.OUTPUT_OFFSET)
    kernel = (g.FILTER_Y, g.FILTER_X)
    shape = (1, *kernel, g.OUT_CH) if depthwise else (g.OUT_CH, *kernel, g.config.get("FILTER_CH", g.IN_CH))
    scales = real(first(g, "output_mult", "output_multiplier"), g.arrays["output_shift"])
    weights = weights_of(first(g, "weights", "input_weights"), shape, scales, 3 if depthwise else 0)
    bias = first(g, "biases", "input_bias")
    bias = np.zeros(g.OUT_CH, np.int32) if bias is None else bias
    check(
        "depthwise_conv_2d" if depthwise else "conv_2d",
        window_of(g),
        [x, weights, bias_of(bias)],
        out,
        [g.arrays["input"]],
        first(g, "output_ref", "output"),
        g.OUT_ACTIVATION_MIN,
        g.OUT_ACTIVATION_MAX,
    )


@pytest.mark.parametrize("name", FULLY_CONNECTED)
def test_fully_connected(shared_data: Path, name: str) -> None:
    check_fully_connected(golden(shared_data, name))


def check_fully_connected(g: Golden) -> None:
    x = activation("input", (g.INPUT_BATCHES, g.ACCUMULATION_DEPTH), 1.0, -g.INPUT_OFFSET)
    out = activation("output", (g.INPUT_BATCHES, g.OUT_CH), 1.0, g.OUTPUT_OFFSET)
    scales = real(g.OUTPUT_MULTIPLIER, g.OUTPUT_SHIFT)
    weights = weights_of(first(g, "weights", "input_weights"), (g.OUT_CH, g.ACCUMULATION_DEPTH), scales, 0)
    bias = first(g, "biases", "input_bias")
    bias = np.zeros(g.OUT_CH, np.int32) if bias is None else bias
    check(
        "fully_connected",
        FullyConnected(),
        [x, weights, bias_of(bias)],
        out,
        [g.arrays["input"]],
        first(g, "output_ref", "output"),
        g.OUT_ACTIVATION_MIN,
        g.OUT_ACTIVATION_MAX,
    )


INT4_CONV = (
    *(f"conv_1_x_n_{i}_int4" for i in (2, 4, 5)),
    *("basic_2_int4", "conv_2_int4", "conv_2x2_dilation_5x5_input_int4", "conv_2x3_dilation_int4"),
    *("conv_3x2_dilation_int4", "conv_3x3_dilation_5x5_input_int4", "conv_dilation_golden_int4"),
    *("conv_out_activation_int4", "kernel1x1_int4_2"),
)
INT4_DEPTHWISE = tuple(
    f"depthwise_int4_{i}" for i in ("2", "3", "generic", "generic_3", "generic_4", "generic_6")
)
INT4_DENSE = ("fully_connected_int4", *(f"fully_connected_int4_{i}" for i in (2, 3, 4)))


@pytest.mark.parametrize("name", INT4_CONV)
def test_convolution_of_int4(shared_data: Path, name: str) -> None:
    check_convolution(golden(shared_data, name), False)


@pytest.mark.parametrize("name", INT4_DEPTHWISE)
def test_depthwise_convolution_of_int4(shared_data: Path, name: str) -> None:
    check_convolution(golden(shared_data, name), True)


@pytest.mark.parametrize("name", INT4_DENSE)
def test_fully_connected_of_int4(shared_data: Path, name: str) -> None:
    check_fully_connected(golden(shared_data, name))


INT16_CONV = (
    *("int16xint8", "int16xint8_dilation_1", "int16xint8_spill", "int16xint8_spill2"),
    *(f"int16xint8xint32_{i}" for i in (1, 2, 4, 6)),
)
INT16_DEPTHWISE = (
    "dw_int16xint8_fast",
    "dw_int16xint8_fast_multiple_batches_uneven_buffers",
    "dw_int16xint8_fast_multiple_batches_uneven_buffers_null_bias",
    "dw_int16xint8_fast_spill_null_bias",
)


@pytest.mark.parametrize("name", [*INT16_CONV, *INT16_DEPTHWISE])
def test_convolution_of_int16(shared_data: Path, name: str) -> None:
    """Files named xint32 and without a bias were made with sums of int32."""
    g = golden(shared_data, name)
    n, kernel, depthwise = g.INPUT_BATCHES, (g.FILTER_Y, g.FILTER_X), name in INT16_DEPTHWISE
    x = activation("input", (n, g.INPUT_H, g.INPUT_W, g.IN_CH), dtype="s16")
    out = activation("output", (n, g.OUTPUT_H, g.OUTPUT_W, g.OUT_CH), dtype="s16")
    shape = (1, *kernel, g.OUT_CH) if depthwise else (g.OUT_CH, *kernel, g.IN_CH)
    scales = real(first(g, "output_mult", "output_multiplier"), g.arrays["output_shift"])
    weights = weights_of(g.arrays["weights"], shape, scales, 3 if depthwise else 0)
    bias = first(g, "biases", "bias")
    if bias is None:
        bias = np.zeros(g.OUT_CH, np.int32 if "xint32" in name else np.int64)
    check(
        "depthwise_conv_2d" if depthwise else "conv_2d",
        window_of(g),
        [x, weights, bias_of(bias)],
        out,
        [g.arrays["input"][: int(np.prod(x.shape))]],
        first(g, "output_ref", "output"),
        g.OUT_ACTIVATION_MIN,
        g.OUT_ACTIVATION_MAX,
    )


def first(g: Golden, *names: str) -> Any:
    """The array of the first of these names that the file has."""
    return next((g.arrays[name] for name in names if name in g.arrays), None)


def test_fully_connected_of_int16(shared_data: Path) -> None:
    g = golden(shared_data, "fc_int16_slow")
    x = activation("input", (g.INPUT_BATCHES, g.ACCUMULATION_DEPTH), dtype="s16")
    scales = real(g.OUTPUT_MULTIPLIER, g.OUTPUT_SHIFT)
    weights = weights_of(g.arrays["weights"], (g.OUT_CH, g.ACCUMULATION_DEPTH), scales, 0)
    out = activation("output", (g.INPUT_BATCHES, g.OUT_CH), dtype="s16")
    inputs = [x, weights, bias_of(g.arrays["biases"])]
    check("fully_connected", FullyConnected(), inputs, out, [g.arrays["input"]], g.arrays["output_ref"])


@pytest.mark.parametrize(
    "name", ["avgpooling_int16_2", "avgpooling_int16_3", "maxpool_int16", "maxpool_int16_2"]
)
def test_pooling_of_int16(shared_data: Path, name: str) -> None:
    g = golden(shared_data, name)
    kind = "average_pool_2d" if name.startswith("avg") else "max_pool_2d"
    a = Pool(g.FILTER_H, g.FILTER_W, g.STRIDE_H, g.STRIDE_W, g.config["PAD"].lower())
    x = activation("input", (g.BATCH_SIZE, g.INPUT_H, g.INPUT_W, g.INPUT_C), dtype="s16")
    out = activation("output", (g.BATCH_SIZE, g.OUTPUT_H, g.OUTPUT_W, g.OUTPUT_C), dtype="s16")
    fed, right = first(g, "input_tensor", "input"), first(g, "output", "output_ref")
    check(kind, a, [x], out, [fed], right, g.ACTIVATION_MIN, g.ACTIVATION_MAX)


def test_softmax_of_int16(shared_data: Path) -> None:
    g = golden(shared_data, "softmax_s16")
    shape = (g.NUM_ROWS, g.ROW_SIZE)
    x = activation("input", shape, real(g.INPUT_MULT, g.INPUT_LEFT_SHIFT)[0] * (10.0 / 65535.0), dtype="s16")
    out = activation("output", shape, 1 / 32768, dtype="s16")
    check("softmax", Softmax(), [x], out, [g.arrays["input"]], g.arrays["output_ref"])


@pytest.mark.parametrize("name", ["mul_s16", "mul_s16_spill"])
def test_mul_of_int16(shared_data: Path, name: str) -> None:
    g = golden(shared_data, name)
    scale = real(g.OUTPUT_MULT, g.OUTPUT_SHIFT)[0]
    inputs = [activation("a", (g.DST_SIZE,), dtype="s16"), activation("b", (g.DST_SIZE,), scale, dtype="s16")]
    out = activation("output", (g.DST_SIZE,), dtype="s16")
    fed = [g.arrays["input1"], g.arrays["input2"]]
    check("mul", Mul(), inputs, out, fed, g.arrays["output_ref"], g.OUT_ACTIVATION_MIN, g.OUT_ACTIVATION_MAX)


@pytest.mark.parametrize("name", [*AVERAGE, *MAX])
def test_pooling(shared_data: Path, name: str) -> None:
    g = golden(shared_data, name)
    a = Pool(g.FILTER_H, g.FILTER_W, g.STRIDE_H, g.STRIDE_W, g.config["PAD"].lower())
    x = activation("input", (g.BATCH_SIZE, g.INPUT_H, g.INPUT_W, g.INPUT_C))
    out = activation("output", (g.BATCH_SIZE, g.OUTPUT_H, g.OUTPUT_W, g.OUTPUT_C))
    check(
        "average_pool_2d" if name in AVERAGE else "max_pool_2d",
        a,
        [x],
        out,
        [g.arrays["input_tensor"]],
        g.arrays["output"],
        g.ACTIVATION_MIN,
        g.ACTIVATION_MAX,
    )


def test_add(shared_data: Path) -> None:
    g = golden(shared_data, "add")
    assert real(g.INPUT1_MULT, g.INPUT1_SHIFT) == real(g.INPUT2_MULT, g.INPUT2_SHIFT) == [0.5]
    scale = 2 / 2**g.LEFT_SHIFT / real(g.OUTPUT_MULT, g.OUTPUT_SHIFT)[0]
    inputs = [
        activation(n, (g.DST_SIZE,), 1.0, -z) for n, z in (("a", g.INPUT1_OFFSET), ("b", g.INPUT2_OFFSET))
    ]
    check(
        "add",
        Add(),
        inputs,
        activation("output", (g.DST_SIZE,), scale, g.OUTPUT_OFFSET),
        [g.arrays["input1"], g.arrays["input2"]],
        g.arrays["output_ref"],
    )


def test_mul(shared_data: Path) -> None:
    g = golden(shared_data, "mul")
    inputs = [
        activation("a", (g.DST_SIZE,), 1.0, -g.INPUT1_OFFSET),
        activation("b", (g.DST_SIZE,), real(g.OUTPUT_MULT, g.OUTPUT_SHIFT)[0], -g.INPUT2_OFFSET),
    ]
    check(
        "mul",
        Mul(),
        inputs,
        activation("output", (g.DST_SIZE,), 1.0, g.OUTPUT_OFFSET),
        [g.arrays["input1"], g.arrays["input2"]],
        g.arrays["output_ref"],
    )


def test_softmax(shared_data: Path) -> None:
    g = golden(shared_data, "softmax")
    shape = (g.NUM_ROWS, g.ROW_SIZE)
    scale = real(g.INPUT_MULT, g.INPUT_LEFT_SHIFT)[0] / 2 ** (31 - DIFF_BITS)
    check(
        "softmax",
        Softmax(),
        [activation("input", shape, scale)],
        activation("output", shape, 1 / 256, -128),
        [g.arrays["input"]],
        g.arrays["output_ref"],
    )


@pytest.mark.parametrize("name", TRANSPOSE)
def test_transpose(shared_data: Path, name: str) -> None:
    """The files have lost shape and order: those that map input to output are looked for, then checked."""
    g = golden(shared_data, name)
    source, target = g.arrays["input_tensor"], g.arrays["output"]
    found = [
        (shape, order)
        for shape in factors(source.size, TRANSPOSE[name])
        for order in itertools.permutations(range(TRANSPOSE[name]))
        if order != tuple(range(TRANSPOSE[name]))
        and np.array_equal(source.reshape(shape).transpose(order).reshape(-1), target)
    ]
    assert found
    for shape, order in found:
        out = activation("output", tuple(shape[i] for i in order))
        check("transpose", Transpose(order), [activation("input", shape)], out, [source], target)


def factors(n: int, rank: int) -> list[tuple[int, ...]]:
    if rank == 1:
        return [(n,)]
    return [(d, *rest) for d in range(1, n + 1) if n % d == 0 for rest in factors(n // d, rank - 1)]


def test_network(shared_data: Path) -> None:
    """ds_cnn_s, a keyword net: every layer on the one before it, its tail the reference output."""
    g = golden(shared_data, "ds_cnn_s")
    value = g.arrays["input"].reshape(1, 49, 10, 1)
    for layer in range(1, 10):
        kind = "depthwise_conv_2d" if layer % 2 == 0 and layer < 9 else "conv_2d"
        value = convolve(g, kind, layer, value)
    pool = run_one(
        "average_pool_2d",
        Pool(25, 5, 1, 1),
        [activation("input", value.shape)],
        activation("output", (1, 1, 1, 64)),
        value,
    )
    prefix = "FULLY_CONNECTED_12_"
    scales = real(g.config[f"{prefix}OUTPUT_MULTIPLIER"], g.config[f"{prefix}OUTPUT_SHIFT"])
    inputs = [
        activation("input", (1, 64), 1.0, -g.config[f"{prefix}INPUT_OFFSET"]),
        weights_of(g.arrays["layer_12_fully_connected_weights"], (12, 64), scales, 0),
        bias_of(g.arrays["layer_12_fully_connected_bias"]),
    ]
    logits = run_one(
        "fully_connected",
        FullyConnected(),
        inputs,
        activation("output", (1, 12), 1.0, g.config[f"{prefix}OUTPUT_OFFSET"]),
        pool.reshape(1, 64),
    )
    scale = real(g.SOFTMAX_13_MULT, g.SOFTMAX_13_SHIFT)[0] / 2 ** (31 - DIFF_BITS)
    check(
        "softmax",
        Softmax(),
        [activation("input", (1, 12), scale)],
        activation("output", (1, 12), 1 / 256, -128),
        [logits],
        g.arrays["output_ref"],
    )


def convolve(g: Golden, kind: str, layer: int, value: Array) -> Array:
    c = {
        k.removeprefix(f"{kind.upper()}_{layer}_"): v
        for k, v in g.config.items()
        if k.startswith(kind.upper())
    }
    a = {k.removeprefix(f"layer_{layer}_{kind}_"): v for k, v in g.arrays.items()}
    shape = (1, c["FILTER_Y"], c["FILTER_X"], c["OUT_CH"])
    if kind == "conv_2d":
        shape = (c["OUT_CH"], c["FILTER_Y"], c["FILTER_X"], c["IN_CH"])
    scales = real(a["output_mult"], a["output_shift"])
    inputs = [
        activation("input", value.shape, 1.0, -c["INPUT_OFFSET"]),
        weights_of(a["weights"], shape, scales, shape.index(c["OUT_CH"]) if kind == "conv_2d" else 3),
        bias_of(a["bias"]),
    ]
    out = activation("output", (1, c["OUTPUT_H"], c["OUTPUT_W"], c["OUT_CH"]), 1.0, c["OUTPUT_OFFSET"])
    return run_one(kind, Window(c["STRIDE_Y"], c["STRIDE_X"], padding="same"), inputs, out, value)


def run_one(kind: str, attributes: Any, inputs: list[Tensor], out: Tensor, value: Array) -> Array:
    n = len(inputs)
    graph = Graph("layer", (*inputs, out), (Op(kind, kind, tuple(range(n)), (n,), attributes),), (0,), (n,))
    return Reference(graph).run([value])[0]
