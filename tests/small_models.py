"""Small .tflite files: one that every command takes, and ones that are refused, each for one reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.oracle.tflite_writer import Operator, Subgraph, Tensor, write

INPUTS, CLASSES = (1, 4, 5, 1), 3


def classifier(hidden: int = 8) -> bytes:
    """Flattens 20 values, two dense layers with `hidden` values between them, softmax."""
    return write(_classifier(hidden))


def _classifier(hidden: int) -> Subgraph:
    random = np.random.default_rng(7)

    def weights(name: str, rows: int, columns: int) -> list[Tensor]:
        data = random.integers(-127, 128, (rows, columns)).astype(np.int8)
        bias = random.integers(-500, 500, rows).astype(np.int32)
        return [
            Tensor(f"{name}/weights", data.shape, "int8", 0.01, data=data),
            Tensor(f"{name}/bias", bias.shape, "int32", 0.0005, data=bias),
        ]

    tensors = [
        Tensor("image", INPUTS, "int8", 0.05, -3),
        Tensor("flat", (1, 20), "int8", 0.05, -3),
        *weights("hidden", hidden, 20),
        Tensor("hidden/out", (1, hidden), "int8", 0.05, 4),
        *weights("last", CLASSES, hidden),
        Tensor("last/out", (1, CLASSES), "int8", 0.1, 0),
        Tensor("probabilities", (1, CLASSES), "int8", 1 / 256, -128),
    ]
    dense = {"FusedActivationFunction": 0, "WeightsFormat": 0}
    operators = [
        Operator("RESHAPE", ["image"], ["flat"]),
        Operator(
            "FULLY_CONNECTED",
            ["flat", "hidden/weights", "hidden/bias"],
            ["hidden/out"],
            "FullyConnectedOptions",
            dense,
        ),
        Operator(
            "FULLY_CONNECTED",
            ["hidden/out", "last/weights", "last/bias"],
            ["last/out"],
            "FullyConnectedOptions",
            dense,
        ),
        Operator("SOFTMAX", ["last/out"], ["probabilities"], "SoftmaxOptions", {"Beta": 1.0}),
    ]
    return Subgraph(tensors, operators, ["image"], ["probabilities"])


def unsupported() -> bytes:
    """Operator 4 is an EXP."""
    graph = _classifier(8)
    exp = Operator("EXP", ["probabilities"], ["exp/out"])
    out = Tensor("exp/out", (1, CLASSES), "int8", 0.1, 0)
    return write(Subgraph([*graph.tensors, out], [*graph.operators, exp], graph.inputs, ["exp/out"]))


def floating() -> bytes:
    tensors = [
        Tensor("signal", (1, 4), "float32"),
        Tensor("rectified", (1, 4), "float32"),
    ]
    return write(Subgraph(tensors, [Operator("RELU", ["signal"], ["rectified"])], ["signal"], ["rectified"]))


def dynamic() -> bytes:
    """The second axis of the input is -1."""
    graph = _classifier(8)
    tensors = [replace(t, shape=(1, -1, 5, 1)) if t.name == "image" else t for t in graph.tensors]
    return write(replace(graph, tensors=tensors))


def wide(values: int) -> bytes:
    """An input of `values` bytes twice side by side: much RAM, no weights."""
    like = {"dtype": "int8", "scale": 0.1}
    tensors = [Tensor("signal", (1, values), **like), Tensor("out", (1, 2 * values), **like)]
    join = Operator(
        "CONCATENATION",
        ["signal", "signal"],
        ["out"],
        "ConcatenationOptions",
        {"Axis": 1, "FusedActivationFunction": 0},
    )
    return write(Subgraph(tensors, [join], ["signal"], ["out"]))


def chain(steps: int) -> bytes:
    """Softmax after softmax: as many steps as are asked for, and nothing to fuse."""
    tensors = [Tensor(f"t{i}", (1, CLASSES), "int8", 1 / 256, -128) for i in range(steps + 1)]
    operators = [
        Operator("SOFTMAX", [f"t{i}"], [f"t{i + 1}"], "SoftmaxOptions", {"Beta": 1.0}) for i in range(steps)
    ]
    return write(Subgraph(tensors, operators, ["t0"], [f"t{steps}"]))
