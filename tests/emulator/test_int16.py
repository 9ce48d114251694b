"""Whole networks on int16 activations, from the model file to boards: equal in every byte to TensorFlow Lite Micro."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.blob import write as blob
from offramp.frontends import load_model
from offramp.plan import Options, make_plan
from tests.emulator.grid import GridCase, failures, from_graph, run_grid
from tests.fuzz.seeds import keyword_net
from tests.oracle import int16, micro
from tests.oracle.case import SAME, VALID, constant, like
from tests.oracle.tflite_writer import Operator, Subgraph, Tensor, write
from tests.oracle.weighted import layer
from tests.pipeline import differing, outputs_on, pack_and_build

ROWS = 3


def network() -> bytes:
    """int8 in, float32 out: a convolution with padding apart, a gate, a residual, mean, dense layer and softmax."""
    grid = int16.S16("NETWORK", 3)
    tensors: list[Tensor] = []
    operators: list[Operator] = []

    def add(op: str, inputs: list[str], out: Tensor, options: str = "", **attributes: object) -> Tensor:
        tensors.append(out)
        operators.append(Operator(op, inputs, [out.name], options, attributes))
        return out

    def weighted(
        op: str, x: Tensor, name: str, weights: tuple[int, ...], out: tuple[int, ...], **a: object
    ) -> Tensor:
        drawn = layer(grid, x, weights, 3 if "DEPTHWISE" in op else 0, out, "usual", True, bias=True)
        parts = [t for t in (drawn.weights, drawn.bias) if t is not None]
        named = [
            Tensor(f"{name}/{t.name}", t.shape, t.dtype, t.scale, 0, t.quantized_dimension, t.data)
            for t in parts
        ]
        tensors.extend(named)
        options = {"CONV_2D": "Conv2DOptions", "FULLY_CONNECTED": "FullyConnectedOptions"}.get(
            op, "DepthwiseConv2DOptions"
        )
        made = Tensor(name, out, "int16", drawn.output.scale)
        return add(op, [x.name, *(t.name for t in named)], made, options, **a)

    pixels = Tensor("pixels", (1, 9, 7, 3), "int8", 0.02, -5)
    tensors.append(pixels)
    x = add("QUANTIZE", ["pixels"], Tensor("wide", pixels.shape, "int16", 0.0002))
    tensors.append(constant("around", [[0, 0], [1, 1], [1, 1], [0, 0]]))
    padded = add("PAD", ["wide", "around"], like(x, "padded", (1, 11, 9, 3)), "PadOptions")
    ones = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    stem = weighted("CONV_2D", padded, "stem", (8, 3, 3, 3), (1, 9, 7, 8), Padding=VALID, **ones)
    depth = weighted(
        "DEPTHWISE_CONV_2D",
        stem,
        "depth",
        (1, 3, 3, 8),
        (1, 9, 7, 8),
        Padding=SAME,
        DepthMultiplier=1,
        **ones,
    )
    gate = add("LOGISTIC", ["depth"], Tensor("gate", depth.shape, "int16", 1 / 32768))
    scale = float(np.float32(stem.scale))
    gated = add("MUL", ["stem", "gate"], Tensor("gated", gate.shape, "int16", scale), "MulOptions")
    point = weighted("CONV_2D", gated, "point", (8, 1, 1, 8), (1, 9, 7, 8), Padding=SAME, **ones)
    largest = float(np.max((point.scale, scale)))
    total = add("ADD", ["point", "stem"], Tensor("total", point.shape, "int16", 1.5 * largest), "AddOptions")
    leaky = add("LEAKY_RELU", ["total"], like(total, "leaky", total.shape), "LeakyReluOptions", Alpha=0.1)
    tensors.append(constant("axes", [1, 2]))
    mean = add("MEAN", ["leaky", "axes"], Tensor("mean", (1, 8), "int16", leaky.scale / 4), "ReducerOptions")
    scores = weighted("FULLY_CONNECTED", mean, "scores", (5, 8), (1, 5))
    chances, beta = (
        Tensor("chances", (1, 5), "int16", 1 / 32768),
        1 / (2500 * float(np.float32(scores.scale))),
    )
    add("SOFTMAX", [scores.name], chances, "SoftmaxOptions", Beta=beta)
    add("DEQUANTIZE", ["chances"], Tensor("real", (1, 5), "float32"), "DequantizeOptions")
    return write(Subgraph(tensors, operators, ["pixels"], ["real"]))


def rows_of(model: bytes, shape: tuple[int, ...], dtype: str) -> list[list[np.ndarray]]:
    random = np.random.default_rng(1)
    info = np.iinfo(dtype)
    return [[random.integers(info.min, info.max + 1, shape).astype(dtype)] for _ in range(ROWS)]


BOARDS = ["posix", "mps2_an385", "mps2_an386", "mps3_an547", "rv32_virt"]
needs_qemu = pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="needs qemu")


@pytest.mark.emulator
@needs_qemu
@pytest.mark.parametrize("board", BOARDS)
def test_network(board: str, tmp_path: Path) -> None:
    """Through the graph passes, planner, link and device; the host takes the chances before they become floats."""
    model, path = network(), tmp_path / "network.tflite"
    path.write_bytes(model)
    rows = rows_of(model, (1, 9, 7, 3), "int8")
    packed = pack_and_build(path, board, "generic", tmp_path, sanitize=board == "posix")
    found = outputs_on(packed, rows)
    real = [[(y[0].astype(np.float64) / 32768).astype(np.float32)] for y in found]
    expected = micro.run_rows(model, rows)
    assert len({bytes(y[0]) for y in expected}) == ROWS
    assert differing(real, expected) == []


@pytest.mark.emulator
@needs_qemu
@pytest.mark.parametrize("board", BOARDS)
def test_keyword_net_with_the_board_s_own_choice(board: str, tmp_path: Path) -> None:
    model, path = keyword_net(new=int16.S16), tmp_path / "keyword.tflite"
    path.write_bytes(model)
    rows = rows_of(model, (1, 13, 10, 1), "int16")
    made = boards.load(board)
    pairs = list(zip(rows, micro.run_rows(model, rows), strict=True))
    case = from_graph("keyword", load_model(path), made, "auto", pairs)
    assert {name.split("/")[0] for name in case.kernels} == {"generic"}
    assert failures(run_grid(made, [case], tmp_path, sanitize=board == "posix")) == []


def test_bands_of_rows_keep_every_bit(tmp_path: Path) -> None:
    """A limit of RAM takes layers on int16 in bands."""
    model, path = keyword_net(rows=41, new=int16.S16), tmp_path / "keyword.tflite"
    path.write_bytes(model)
    graph, board = load_model(path), boards.load("posix")
    limit = make_plan(graph, board, Options()).arena_bytes - 1
    plan = make_plan(graph, board, Options(ram_limit=limit))
    assert plan.arena_bytes <= limit and "bands" in plan.metadata
    rows = rows_of(model, (1, 41, 10, 1), "int16")
    pairs = [
        ([a.tobytes() for a in x], [a.tobytes() for a in y])
        for x, y in zip(rows, micro.run_rows(model, rows), strict=True)
    ]
    assert failures(run_grid(board, [GridCase("bands", blob(plan), pairs)], tmp_path, sanitize=True)) == []
