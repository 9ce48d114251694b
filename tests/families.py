"""A family of three small classifiers of the same images: the largest with two convolutions, the smallest with none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from offramp.frontends import tflite
from offramp.ir import Graph
from tests.net import Net
from tests.oracle.case import NONE, RELU, SAME, VALID, constant, like
from tests.oracle.tflite_writer import Tensor

SHAPE, CLASSES = (1, 12, 12, 1), 10


def classifier(convolutions: int, channels: int) -> bytes:
    """A .tflite file; equal inputs and outputs whatever the arguments."""
    net = Net(1, SHAPE)
    size, in_c = 12, 1
    ones = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    for i in range(convolutions):
        size = size if i else size - 2
        attributes = {**ones, "Padding": SAME if i else VALID, "FusedActivationFunction": RELU}
        weights, out = (channels, 3, 3, in_c), (1, size, size, channels)
        net.weighted("CONV_2D", weights, out, "Conv2DOptions", **attributes)
        in_c = channels
    n = size * size * in_c
    flat = like(net.last, "flat", (1, n))
    net.add("RESHAPE", [constant("shape", [1, n])], flat, "ReshapeOptions", NewShape=[1, n])
    net.weighted(
        "FULLY_CONNECTED", (CLASSES, n), (1, CLASSES), "FullyConnectedOptions", FusedActivationFunction=NONE
    )
    scores = Tensor("scores", (1, CLASSES), "int8", 1 / 256, -128)
    net.add("SOFTMAX", [], scores, "SoftmaxOptions", Beta=1.0)
    return net.model()


MODELS = {"large": classifier(2, 6), "medium": classifier(1, 4), "small": classifier(0, 1)}


def family(names: tuple[str, ...] = ("large", "medium", "small"), margin: int = 14) -> Graph:
    """The graph of the first with the others as members."""
    first, *others = (replace(tflite.load(MODELS[name], Path(f"{name}.tflite")), name=name) for name in names)
    accuracy = {"large": "0.93", "medium": "0.9", "small": "0.81"}
    members = tuple(replace(other, metadata={"accuracy": accuracy[other.name]}) for other in others)
    metadata = {"accuracy": accuracy[first.name], "cascade_margin": str(margin)}
    return replace(first, metadata=metadata, members=members)
