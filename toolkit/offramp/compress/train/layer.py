"""An operator with weights as a module: convolution or dense layer, padding, batch normalization, activation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from offramp.compress.options import BINARY, DYNAMIC, LAYERS
from offramp.compress.train.arrays import tensor_of
from offramp.compress.train.functions import Value, activated, channels_first, channels_last, pads_of
from offramp.ir import Op, Tensor
from offramp.ops.op import Array, constant

WEIGHTED = LAYERS
DENSE = ("fully_connected", DYNAMIC)
NORM_EPSILON = 1e-3
NO_PADS = (0, 0, 0, 0)
WEIGHT_REACH = 3.0  # a binary weight beyond so many times the mean magnitude is left as it is


class Sign(torch.autograd.Function):  # type: ignore[misc]
    """1 where x >= 0, else -1; backward straight through where |x| <= `reach`."""

    @staticmethod
    def forward(ctx: Any, x: Value, reach: float) -> Value:
        ctx.save_for_backward(x.abs() <= reach)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: Any, gradient: Value) -> tuple[Value, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None


def signs(x: Value, reach: float = 1.0) -> Value:
    found: Value = Sign.apply(x, reach)
    return found


def binary_weights(weight: Value) -> Value:
    """Signs of a weight [out, in, h, w] times the mean of each output channel's magnitudes."""
    mean = weight.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-12)
    return signs(weight / mean.detach(), WEIGHT_REACH) * mean


def native(kind: str, weights: Array, map_shape: tuple[int, ...] | None = None) -> Array:
    """The graph's weights (OHWI, 1HWC, [out, in]) as PyTorch holds them; `map_shape` HWC: dense over a whole map."""
    if map_shape is not None:
        weights, kind = weights.reshape(-1, *map_shape), "conv_2d"
    if kind == "depthwise_conv_2d":
        return weights.transpose(3, 0, 1, 2)
    return weights.transpose(0, 3, 1, 2) if weights.ndim == 4 else weights


def of_graph(kind: str, weights: Array) -> Array:
    """The inverse of `native`."""
    if kind == "depthwise_conv_2d":
        weights = weights.transpose(1, 2, 3, 0)
    elif weights.ndim == 4:
        weights = weights.transpose(0, 2, 3, 1)
    if kind in DENSE:
        weights = weights.reshape(len(weights), -1)
    return np.ascontiguousarray(weights)


class Layer(nn.Module):  # type: ignore[misc]
    """A convolution or dense layer of any kind."""

    def __init__(
        self, op: Op, x: Tensor, weights: Tensor, bias: Tensor | None, norm: bool, over_map: bool
    ) -> None:
        """`over_map`: a dense layer as a convolution over the map `x` [1, h, w, c]."""
        super().__init__()
        a = op.attributes
        self.kind, self.activation = op.kind, a.activation
        self.over_map, self.keeps_rank = over_map, op.kind not in DENSE or a.keep_num_dims
        self.pads = NO_PADS
        self.norm: Any = None
        map_shape = ((1, 1) if self.keeps_rank else x.shape[1:3]) + x.shape[3:] if over_map else None
        values = tensor_of(native(op.kind, constant(weights), map_shape).astype(np.float32))
        if values.dim() == 2:
            self.core = nn.Linear(values.shape[1], values.shape[0], bias is not None)
        else:
            self.core = self.convolution(a, x, values, bias is not None)
        with torch.no_grad():
            self.core.weight.copy_(values)
            if bias is not None:
                self.core.bias.copy_(tensor_of(constant(bias).reshape(-1)))
        if norm and op.kind not in DENSE:
            self.add_norm()

    def convolution(self, a: Any, x: Tensor, values: Value, biased: bool) -> Any:
        out_c, group_c, *kernel = values.shape
        window = {}
        if self.kind not in DENSE:
            self.pads = pads_of(a, (x.shape[1], x.shape[2]), (kernel[0], kernel[1]))
            window = {"stride": (a.stride_h, a.stride_w), "dilation": (a.dilation_h, a.dilation_w)}
            left, right, top, bottom = self.pads
            if (left, top) == (right, bottom):  # the convolution pads by itself
                window["padding"], self.pads = (top, left), NO_PADS
        groups = x.shape[3] // group_c
        made = nn.Conv2d(x.shape[3], out_c, kernel, groups=groups, bias=biased, **window)
        return made.to(memory_format=torch.channels_last)

    def add_norm(self) -> None:
        """Batch normalization that computes what the bias did until statistics are known."""
        self.norm = nn.BatchNorm2d(self.core.out_channels, NORM_EPSILON)
        with torch.no_grad():
            self.norm.weight.fill_((1 + NORM_EPSILON) ** 0.5)
            self.norm.bias.copy_(self.core.bias)
        self.core.bias = None

    def outputs(self, x: Value) -> Value:
        """What batch normalization reads, [n, c, h, w], of the layer's inputs."""
        before, self.norm, activation, self.activation = self.norm, None, self.activation, "none"
        found = self(x)
        self.norm, self.activation = before, activation
        return found

    def settle(self, out: Value) -> None:
        """Takes the statistics of the convolution's outputs [n, c, h, w] without changing what the layer computes."""
        norm = self.norm
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        norm.bias += gain * (out.mean((0, 2, 3)) - norm.running_mean)
        norm.running_mean.copy_(out.mean((0, 2, 3)))
        norm.running_var.copy_(out.var((0, 2, 3), correction=0))
        norm.weight.copy_(gain * torch.sqrt(norm.running_var + norm.eps))

    def forward(self, x: Value) -> Value:
        if self.kind == BINARY:
            x = signs(x)
        if any(self.pads):
            x = F.pad(x, self.pads)
        if self.kind == BINARY:
            c = self.core
            x = F.conv2d(x, binary_weights(c.weight), c.bias, c.stride, c.padding, c.dilation, c.groups)
        elif isinstance(self.core, nn.Linear):
            x = channels_last(x)
            x = channels_first(self.core(x if self.keeps_rank else x.flatten(1)))
        else:
            x = self.core(x)
        if self.norm is not None:
            x = self.norm(x)
        return activated(self.activation, x if self.keeps_rank else x.flatten(1))

    def parameters_of_graph(self) -> tuple[Array, Array | None]:
        """Weights in the graph's order and bias, batch normalization folded in."""
        weight, bias = self.core.weight.detach(), self.core.bias
        weight = (binary_weights(weight) if self.kind == BINARY else weight).double()
        bias = None if bias is None else bias.detach().double()
        if self.norm is not None:
            gain = self.norm.weight.double() / torch.sqrt(self.norm.running_var.double() + self.norm.eps)
            weight = weight * gain.view(-1, 1, 1, 1)
            bias = self.norm.bias.double() - gain * self.norm.running_mean.double()
        weights = of_graph(self.kind, weight.detach().float().numpy())
        return weights, None if bias is None else bias.detach().float().numpy()
