"""A classifier of scikit-learn's digits with exits: random convolutions, and dense layers fitted by least squares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from offramp.ir import Graph, Quantization
from offramp.ops.mean import Mean
from offramp.reference import run_all
from tests.random_nets import Net
from tests.with_exits import with_exits

WIDTHS = (6, 20, 48)
N_FITTED = 1200


def digits() -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Images int8 [n, 1, 8, 8, 1] and classes; those up to N_FITTED are for the fit."""
    x, y = load_digits(return_X_y=True)
    return np.asarray(x.reshape(-1, 8, 8, 1) * 15 - 120, np.int8), np.asarray(y, np.int64)


def classifier() -> Graph:
    """An exit behind each convolution but the last, thresholds of 60."""
    net = Net(3)
    first = x = net.input(1, 8, 8, 1)
    layers = []
    for width in WIDTHS:
        x = net.conv(x, width, 3)
        layers.append(x)
    pooled = net.op("mean", [x], Mean((1, 2), False))
    graph = with_exits(net.graph([first], [net.dense(pooled, 10)]), layers[:-1])
    graph = replace(graph, exits=tuple(replace(e, threshold=60) for e in graph.exits))
    for op in graph.ops:
        if op.kind == "fully_connected":
            graph = fitted(graph, op.name)
    return graph


def fitted(graph: Graph, name: str) -> Graph:
    """With weights, bias and scale of one dense layer by ridge regression on what it reads."""
    [op] = [op for op in graph.ops if op.name == name]
    x, y = digits()
    read = features(graph, op.inputs[0], x[:N_FITTED])
    source = graph.tensors[op.inputs[0]].quant
    real = np.hstack([(read - source.zero_point) * source.scale, np.ones((len(read), 1))])
    wanted = 8.0 * np.eye(10)[y[:N_FITTED]] - 4
    found = np.linalg.solve(real.T @ real + 1e-3 * np.eye(real.shape[1]), real.T @ wanted)
    scale = float(np.float32(np.abs(found[:-1]).max() / 127))
    logits = real @ found
    tensors = list(graph.tensors)
    _, w, b = op.inputs
    tensors[w] = replace(
        tensors[w],
        quantization=Quantization((scale,), (0,)),
        data=np.round(found[:-1].T / scale).astype(np.int8),
    )
    bias = np.round(found[-1] / (scale * source.scale)).astype(np.int32)
    tensors[b] = replace(tensors[b], data=bias, quantization=Quantization((scale * source.scale,), (0,)))
    out = float(np.float32(np.abs(logits).max() / 127))
    tensors[op.outputs[0]] = replace(tensors[op.outputs[0]], quantization=Quantization((out,), (0,)))
    return replace(graph, tensors=tuple(tensors))


def features(graph: Graph, tensor: int, x: NDArray[np.int8]) -> NDArray[np.float64]:
    places = [i for e in graph.exits for i in (e.answer,)]
    own = [t for i, t in enumerate(graph.outputs) if i not in places]
    probe = replace(graph, outputs=(*own, tensor), exits=())
    return np.asarray(run_all(probe, x)[-1].reshape(len(x), -1), np.float64)
