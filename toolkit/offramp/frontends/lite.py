"""Runs float .tflite files fast (extra `lite`): tflite-runtime where it can be imported, else ai-edge-litert.

For accuracy sweeps and tests alone: its integer kernels round differently, so it is never the measure of bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    given = [x] if isinstance(x, np.ndarray) else list(x)
    rows = ([values[i : i + 1] for values in given] for i in range(len(given[0])))
    return [np.concatenate(found) for found in zip(*invocations(model, rows), strict=True)]


def invocations(model: bytes, rows: Iterator[Sequence[Array]]) -> Iterator[list[Array]]:
    """Outputs of one inference after another, the interpreter made once."""
    interpreter = interpreter_class()(model_content=model)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    for row in rows:
        if len(row) != len(inputs):
            raise UserError(
                f"the model has {len(inputs)} inputs, {len(row)} arrays are given",
                "pass one array for each input",
            )
        for port, values in zip(inputs, row, strict=True):
            interpreter.set_tensor(port["index"], values.reshape(port["shape"]))
        interpreter.invoke()
        yield [interpreter.get_tensor(port["index"]) for port in outputs]
