"""Runs a .tflite model in TensorFlow Lite Micro's reference kernels (package `tflite-micro`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import tflite
from tflite_micro import runtime

ARENA_BYTES = 1 << 20


def run(model: bytes, inputs: Sequence[np.ndarray], arena_bytes: int = ARENA_BYTES) -> list[np.ndarray]:
    """One inference from fresh state; the outputs in the model's order."""
    return run_rows(model, [inputs], arena_bytes)[0]


def run_rows(
    model: bytes, rows: Iterable[Sequence[np.ndarray]], arena_bytes: int = ARENA_BYTES
) -> list[list[np.ndarray]]:
    """One inference a row, variables carried from row to row."""
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena_bytes)
    outputs = _graph(model).OutputsLength()
    result = []
    for row in rows:
        _invoke(interpreter, row)
        result.append([np.array(interpreter.get_output(i)) for i in range(outputs)])
    return result


def run_all_tensors(
    model: bytes, inputs: Sequence[np.ndarray], arena_bytes: int = 8 * ARENA_BYTES
) -> dict[int, np.ndarray]:
    """Every operator's outputs after one inference, keyed by tensor index in subgraph 0."""
    interpreter = runtime.Interpreter.from_bytes(
        model, arena_size=arena_bytes, intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors
    )
    _invoke(interpreter, inputs)
    graph = _graph(model)
    indices = sorted(
        {
            int(i)
            for n in range(graph.OperatorsLength())
            for i in graph.Operators(n).OutputsAsNumpy()
            if graph.Tensors(int(i)).Type() != tflite.TensorType.RESOURCE
        }
    )
    return {i: np.array(interpreter.GetTensor(i, 0)["tensor_data"]) for i in indices}


def _invoke(interpreter: runtime.Interpreter, inputs: Sequence[np.ndarray]) -> None:
    for i, data in enumerate(inputs):
        interpreter.set_input(data, i)
    interpreter.invoke()


def _graph(model: bytes) -> tflite.SubGraph:
    return tflite.Model.GetRootAs(model, 0).Subgraphs(0)
