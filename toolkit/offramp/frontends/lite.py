"""Runs float .tflite files fast (extra `lite`): tflite-runtime where it can be imported, else ai-edge-litert.

For accuracy sweeps and tests alone: its integer kernels round differently, so it is never the measure of bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from offramp.errors import UserError
from offramp.ops.op import Array


def interpreter_class() -> Any:
    try:
        from tflite_runtime.interpreter import Interpreter
    except ImportError:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise UserError(
                "running .tflite files needs tflite-runtime or ai-edge-litert", "pip install 'offramp[lite]'"
            ) from error
    return Interpreter


def run(model: bytes, x: Array | Sequence[Array]) -> list[Array]:
    """Outputs [n, ...] of a model's bytes for rows [n, ...] of its input, or of each of its inputs in order."""
    interpreter = interpreter_class()(model_content=model)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    given = [x] if isinstance(x, np.ndarray) else list(x)
    if len(given) != len(inputs):
        raise UserError(
            f"the model has {len(inputs)} inputs, {len(given)} arrays are given",
            "pass one array for each input",
        )
    rows: list[list[Array]] = [[] for _ in outputs]
    for i in range(len(given[0])):
        for port, values in zip(inputs, given, strict=True):
            interpreter.set_tensor(port["index"], values[i].reshape(port["shape"]))
        interpreter.invoke()
        for found, port in zip(rows, outputs, strict=True):
            found.append(interpreter.get_tensor(port["index"])[0])
    return [np.stack(found) for found in rows]
