"""One network as a PyTorch module, an ONNX file with batch normalization and a .tflite file with folded weights.

A residual depthwise-separable network for 28x28 images. Each form is written from the module's parameters as that
format's exporters write it; the folding for .tflite is this file's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.oracle.case import NONE, RELU, RELU6, SAME, VALID, constant
from tests.oracle.tflite_writer import Operator, Subgraph, Tensor, write

torch: Any = pytest.importorskip("torch")
onnx: Any = pytest.importorskip("onnx")

# Of each layer: name, input channels, output channels, kernel, stride, depthwise, activation.
LAYERS = (
    ("stem", 1, 16, 3, 2, False, "relu"),
    ("dw1", 16, 16, 3, 1, True, "relu"),
    ("pw1", 16, 16, 1, 1, False, ""),  # and the shortcut, then ReLU
    ("dw2", 16, 16, 3, 2, True, "relu6"),
    ("pw2", 16, 32, 1, 1, False, "relu6"),
)
CLASSES = 10
SIZES = {"stem": 14, "dw1": 14, "pw1": 14, "dw2": 7, "pw2": 7}


class Net(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        for name, c_in, c_out, k, stride, depthwise, _ in LAYERS:
            groups = c_in if depthwise else 1
            setattr(self, name, torch.nn.Conv2d(c_in, c_out, k, stride, k // 2, groups=groups, bias=False))
            setattr(self, f"{name}_bn", torch.nn.BatchNorm2d(c_out, momentum=None))
        self.dropout, self.head = torch.nn.Dropout(0.2), torch.nn.Linear(32, CLASSES)

    def forward(self, x: Any) -> Any:
        f = torch.nn.functional
        for name, *_, activation in LAYERS:
            y = getattr(self, f"{name}_bn")(getattr(self, name)(x))
            y = f.relu(y + x) if not activation else f.relu6(y) if activation == "relu6" else f.relu(y)
            x = y
        x = f.adaptive_avg_pool2d(x, 1).flatten(1)
        return f.softmax(self.head(self.dropout(x)), dim=1)


def images(n: int, seed: int) -> np.ndarray:
    """[n, 1, 28, 28] from 0 to 1: noise in patches, as different as digits."""
    random = np.random.default_rng(seed)
    coarse = np.kron(random.random((n, 1, 7, 7)), np.ones((4, 4)))
    return (0.8 * coarse + 0.2 * random.random((n, 1, 28, 28))).astype(np.float32)


def network() -> Net:
    """Random weights, batch statistics of images, a head that spreads its answers over the classes."""
    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        for name, _, c_out, *_ in LAYERS:
            bn = getattr(net, f"{name}_bn")
            bn.weight.copy_(torch.rand(c_out) + 0.5)
            bn.bias.copy_(torch.randn(c_out) * 0.3)
        net(torch.from_numpy(images(256, 1)))
        net.eval()
        features: list[Any] = []
        hook = net.head.register_forward_pre_hook(lambda _, x: features.append(x[0]))
        net(torch.from_numpy(images(256, 2)))
        hook.remove()
        mean, deviation = features[0].mean(0), features[0].std(0) + 1e-3
        net.head.weight.copy_(torch.randn(CLASSES, 32) / deviation)
        net.head.bias.copy_(-net.head.weight @ mean)
    return net


def numbers(net: Net, name: str) -> np.ndarray:
    found: np.ndarray = net.state_dict()[name].numpy()
    return found


# ---- ONNX ----


def as_onnx(net: Net) -> bytes:
    nodes, constants, x = [], [], "image"
    make = onnx.helper.make_node

    def weights(name: str) -> str:
        constants.append(onnx.numpy_helper.from_array(numbers(net, name), name))
        return name

    for name, c_in, _, k, stride, depthwise, activation in LAYERS:
        window = {"kernel_shape": [k, k], "strides": [stride] * 2, "pads": [k // 2] * 4}
        nodes.append(
            make(
                "Conv",
                [x, weights(f"{name}.weight")],
                [f"{name}/c"],
                group=c_in if depthwise else 1,
                **window,
            )
        )
        statistics = [weights(f"{name}_bn.{p}") for p in ("weight", "bias", "running_mean", "running_var")]
        nodes.append(make("BatchNormalization", [f"{name}/c", *statistics], [f"{name}/n"], epsilon=1e-5))
        before = f"{name}/n"
        if not activation:
            nodes.append(make("Add", [before, x], [f"{name}/s"]))
            before = f"{name}/s"
        if activation == "relu6":
            limits = [onnx.numpy_helper.from_array(np.float32(v), f"{name}/{v}") for v in (0, 6)]
            constants.extend(limits)
            nodes.append(make("Clip", [before, *[limit.name for limit in limits]], [name]))
        else:
            nodes.append(make("Relu", [before], [name]))
        x = name
    nodes.append(make("GlobalAveragePool", [x], ["pooled"]))
    nodes.append(make("Flatten", ["pooled"], ["flat"]))
    nodes.append(make("Gemm", ["flat", weights("head.weight"), weights("head.bias")], ["logits"], transB=1))
    nodes.append(make("Softmax", ["logits"], ["probabilities"], axis=1))
    port = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [port("image", 1, ["batch", 1, 28, 28])],
        [port("probabilities", 1, ["batch", CLASSES])],
        constants,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


# ---- TensorFlow Lite ----


def folded(net: Net, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Weights [O, I, H, W] and bias with the batch normalization behind them, float32."""
    gamma, beta, mean, var = (
        numbers(net, f"{name}_bn.{p}").astype(np.float64)
        for p in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(var + 1e-5)
    weights = numbers(net, f"{name}.weight") * factor[:, None, None, None]
    return weights.astype(np.float32), (beta - mean * factor).astype(np.float32)


def as_tflite(net: Net) -> bytes:
    tensors, operators, x = [Tensor("image", (1, 28, 28, 1), "float32")], [], "image"

    def add(
        op: str, inputs: list[str], name: str, shape: tuple[int, ...], options: str = "", **attributes: Any
    ) -> str:
        tensors.append(Tensor(name, shape, "float32"))
        operators.append(Operator(op, inputs, [name], options, attributes))
        return name

    def held(name: str, data: np.ndarray) -> str:
        tensors.append(constant(name, data, str(data.dtype)))
        return name

    for name, c_in, c_out, _, stride, depthwise, activation in LAYERS:
        size, before = SIZES[name], x
        weights, bias = folded(net, name)
        if stride == 2:  # one row above and one column before: not what `same` pads
            held(f"{name}/pads", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
            before = add("PAD", [x, f"{name}/pads"], f"{name}/padded", (1, 2 * size + 2, 2 * size + 2, c_in))
        kind = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
        fused = {"relu": RELU, "relu6": RELU6, "": NONE}[activation]
        window = {"StrideH": stride, "StrideW": stride, "DilationHFactor": 1, "DilationWFactor": 1}
        window |= {"Padding": VALID if stride == 2 else SAME, "FusedActivationFunction": fused}
        window |= {"DepthMultiplier": 1} if depthwise else {}
        operands = [
            before,
            held(f"{name}/weights", np.ascontiguousarray(weights.transpose(order))),
            held(f"{name}/bias", bias),
        ]
        op = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        made = add(op, operands, f"{name}/out", (1, size, size, c_out), kind, **window)
        if not activation:
            made = add(
                "ADD", [x, made], name, (1, size, size, c_out), "AddOptions", FusedActivationFunction=RELU
            )
        x = made
    held("axes", np.array([1, 2], np.int32))
    add("MEAN", [x, "axes"], "pooled", (1, 32), "ReducerOptions", KeepDims=False)
    operands = [
        "pooled",
        held("head/weights", numbers(net, "head.weight")),
        held("head/bias", numbers(net, "head.bias")),
    ]
    dense = {"FusedActivationFunction": NONE, "WeightsFormat": 0}
    add("FULLY_CONNECTED", operands, "logits", (1, CLASSES), "FullyConnectedOptions", **dense)
    add("SOFTMAX", ["logits"], "probabilities", (1, CLASSES), "SoftmaxOptions", Beta=1.0)
    return write(Subgraph(tensors, operators, ["image"], ["probabilities"]))
