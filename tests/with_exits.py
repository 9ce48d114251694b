"""Puts exits with untrained heads on integer graphs: pooling, a fully connected layer, softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from offramp.ir import Exit, Graph, Op, Quantization, Tensor
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.mean import Mean
from offramp.ops.softmax import Softmax
from offramp.ops.verify import verify

PROBABILITY = Quantization((1 / 256,), (-128,))


def with_exits(graph: Graph, at: Sequence[int], kinds: Sequence[str] = ("margin",), seed: int = 0) -> Graph:
    """An exit on each of these tensors [1, h, w, c] or [1, c]; their confidences in turn; thresholds of about half."""
    rng = np.random.default_rng(seed)
    tensors, ops = list(graph.tensors), list(graph.ops)
    outputs, exits = list(graph.outputs), list(graph.exits)
    classes = graph.tensors[graph.outputs[0]].shape[-1]

    def tensor(name: str, shape: Sequence[int], q: Quantization, data: Any = None, dtype: str = "s8") -> int:
        tensors.append(Tensor(name, tuple(shape), dtype, q, data))
        return len(tensors) - 1

    for n, x in enumerate(at):
        kind, name = kinds[n % len(kinds)], f"exit{n}"
        channels, q = tensors[x].shape[-1], tensors[x].quant
        units = 1 if kind == "error" else classes
        pooled = x
        if len(tensors[x].shape) == 4:
            pooled = tensor(f"{name}_mean", (1, channels), q)
            ops.append(Op("mean", f"{name}_mean", (x,), (pooled,), Mean((1, 2), False)))
        weights = rng.integers(-127, 128, (units, channels)).astype(np.int8)
        w = tensor(f"{name}_w", weights.shape, Quantization((0.02,), (0,)), weights)
        bias = rng.integers(-2000, 2000, units).astype(np.int32)
        b = tensor(f"{name}_b", bias.shape, Quantization((0.02 * q.scale,), (0,)), bias, "s32")
        logits = tensor(f"{name}_logits", (1, units), Quantization((0.1,), (-3,)))
        ops.append(
            Op("fully_connected", f"{name}_fc", (pooled, w, b), (logits,), FullyConnected("none", False))
        )
        answer = logits
        if kind != "error":
            answer = tensor(f"{name}_softmax", (1, units), PROBABILITY)
            ops.append(Op("softmax", f"{name}_softmax", (logits,), (answer,), Softmax(1.0)))
        outputs.append(answer)
        threshold = {"margin": 100, "maximum": 128, "entropy": 60_000, "error": 128}[kind]
        exits.append(Exit(name, len(outputs) - 1, len(outputs) - 1, kind, threshold))
    found = replace(graph, tensors=tuple(tensors), ops=tuple(ops), outputs=tuple(outputs), exits=tuple(exits))
    verify(found, "with_exits")
    return found
