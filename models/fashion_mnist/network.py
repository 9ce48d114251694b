"""The Fashion-MNIST classifier's layers, and the same in floating point for training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Layer:
    """One row of the network: what it computes from which earlier layers. Activations are square, NHWC."""

    name: str
    kind: str  # conv, depthwise, add, pool, reshape, dense, softmax
    inputs: tuple[str, ...]
    side: int
    in_c: int
    out_c: int
    kernel: int = 1
    stride: int = 1
    relu: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the output."""
        flat = self.kind in ("reshape", "dense", "softmax")
        return (1, self.out_c) if flat else (1, self.side, self.side, self.out_c)

    @property
    def weights(self) -> int:
        if self.kind not in ("conv", "depthwise", "dense"):
            return 0
        return self.kernel**2 * self.out_c * (1 if self.kind == "depthwise" else self.in_c)

    @property
    def biases(self) -> int:
        return self.out_c if self.weights else 0

    @property
    def macs(self) -> int:
        return self.side**2 * self.weights


def network() -> list[Layer]:
    layers = [Layer("stem", "conv", ("image",), 28, 1, 16, 3)]
    layers.append(Layer("down1", "conv", ("stem",), 14, 16, 32, 3, 2))
    layers += residual("block1", "down1", 14, 32)
    layers += separable("down2", "block1", 7, 32, 64, stride=2)
    layers += residual("block2", "down2", 7, 64)
    layers += residual("block3", "block2", 7, 64)
    layers.append(Layer("pool", "pool", ("block3",), 1, 64, 64, 7, relu=False))
    layers.append(Layer("features", "reshape", ("pool",), 1, 64, 64, relu=False))
    layers.append(Layer("logits", "dense", ("features",), 1, 64, 10, relu=False))
    layers.append(Layer("probabilities", "softmax", ("logits",), 1, 10, 10, relu=False))
    return layers


def separable(
    name: str, source: str, side: int, in_c: int, out_c: int, stride: int = 1, relu: bool = True
) -> list[Layer]:
    depthwise = Layer(f"{name}_dw", "depthwise", (source,), side, in_c, in_c, 3, stride)
    return [depthwise, Layer(name, "conv", (depthwise.name,), side, in_c, out_c, relu=relu)]


def residual(name: str, source: str, side: int, c: int) -> list[Layer]:
    first = separable(f"{name}a", source, side, c, c)
    second = separable(f"{name}b", f"{name}a", side, c, c, relu=False)
    return [*first, *second, Layer(name, "add", (source, f"{name}b"), side, c, c)]


LAYERS = network()
WEIGHTED = [layer for layer in LAYERS if layer.weights]


class Net(nn.Module):
    """LAYERS in floating point: each convolution followed by batch normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.weighted, self.norms = nn.ModuleDict(), nn.ModuleDict()
        for layer in WEIGHTED:
            if layer.kind == "dense":
                self.weighted[layer.name] = nn.Linear(layer.in_c, layer.out_c)
                continue
            groups = layer.in_c if layer.kind == "depthwise" else 1
            self.weighted[layer.name] = nn.Conv2d(
                layer.in_c, layer.out_c, layer.kernel, layer.stride, groups=groups, bias=False
            )
            self.norms[layer.name] = nn.BatchNorm2d(layer.out_c)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every layer's output by name."""
        values = {"image": image}
        for layer in LAYERS:
            x = values[layer.inputs[0]]
            if layer.kind == "add":
                x = x + values[layer.inputs[1]]
            elif layer.kind == "pool":
                x = F.avg_pool2d(x, layer.kernel)
            elif layer.kind == "reshape":
                x = x.flatten(1)
            elif layer.kind == "dense":
                x = self.weighted[layer.name](x)
            elif layer.kind == "softmax":
                x = x.softmax(1)
            else:
                # Zero padding placed as TensorFlow's SAME places it: the odd row and column come last.
                total = max(0, (layer.side - 1) * layer.stride + layer.kernel - x.shape[-1])
                before, after = total // 2, total - total // 2
                x = self.weighted[layer.name](F.pad(x, (before, after, before, after)))
                x = self.norms[layer.name](x)
            values[layer.name] = F.relu(x) if layer.relu else x
        return values

    @torch.no_grad()
    def folded(self, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
        """Weights (OHWI; depthwise 1HWC; dense OI) and bias, batch normalization folded in."""
        weights = self.weighted[layer.name].weight.double()
        if layer.kind == "dense":
            return weights.numpy(), self.weighted[layer.name].bias.double().numpy()
        norm = self.norms[layer.name]
        gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        bias = norm.bias.double() - norm.running_mean.double() * gain
        order = (1, 2, 3, 0) if layer.kind == "depthwise" else (0, 2, 3, 1)
        return (weights * gain.view(-1, 1, 1, 1)).permute(order).numpy(), bias.numpy()
