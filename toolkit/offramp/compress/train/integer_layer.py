"""An operator with weights in the integer reference's arithmetic, over the real weights that are trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from offramp.compress.quantize import LARGEST_BIAS
from offramp.compress.train.arrays import tensor_of
from offramp.compress.train.exact import (
    FLOAT32_EXACT,
    along_channels,
    by_reference,
    requantized,
    through,
)
from offramp.compress.train.functions import Value, channels_first, channels_last
from offramp.compress.train.grid import Grid, grid_from, grid_of
from offramp.compress.train.layer import WEIGHT_REACH, Layer, of_graph, signs
from offramp.compress.weights import channel_axis, integer_bias, rows_of
from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops.gemm import requantization
from offramp.ops.op import Array, constant

INSIDE = 0.49  # of a step: what is no farther is rounded to the nearest
# Training steps between searches for better scales of 4 bits, which take long; at 8 bits scales follow every step.
REFRESH = 100


class IntegerLayer(nn.Module):  # type: ignore[misc]
    """A convolution or dense layer of any kind; values are integers in floats."""

    def __init__(self, real: Layer, graph: Graph, op: Op, bits: int, per_group: bool) -> None:
        super().__init__()
        self.real, self.op, self.bits, self.per_group = real, op, bits, per_group
        self.x, self.weights, self.out = (graph.tensors[i] for i in (*op.inputs[:2], *op.outputs))
        self.bias = graph.tensors[op.inputs[2]] if real.core.bias is not None else None
        self.steps = 0
        self.known = grid_from(graph, op, bits)
        if bits != 1:
            self.begin(constant(self.weights))
        if self.bias is not None:  # the integers' bias may have been corrected
            unit = float(self.x.quant.scale) * np.array(self.weights.quant.scales, np.float64)
            with torch.no_grad():
                real.core.bias.copy_(tensor_of(constant(self.bias).reshape(-1) * unit))

    def begin(self, integers: Array) -> None:
        """Moves the real weights as little as makes them these integers."""
        grid, axis = self.known, channel_axis(self.op.kind)
        factors = 1.0 if grid.factors is None else grid.factors
        step, wanted = grid.scales[:, None] * factors, np.rint(rows_of(integers, axis) / factors)
        low = np.where(wanted <= grid.low, -np.inf, wanted - INSIDE)
        high = np.where(wanted >= grid.high, np.inf, wanted + INSIDE)
        weight, real = self.real.core.weight, self.rows().detach().double().numpy()
        moved = np.where(np.abs(real / step - wanted) > INSIDE, np.clip(real / step, low, high) * step, real)
        with torch.no_grad():
            weight.copy_(native_order(tensor_of(moved), weight))

    def rows(self) -> Value:
        """The real weights as [channels, taps in the graph's order]."""
        return channels_last(self.real.core.weight).flatten(1)

    def grid(self) -> Grid:
        """What the weights are rounded to now; while training it follows them."""
        if self.training and (self.bits != 4 or (self.steps and self.steps % REFRESH == 0)):
            rows = self.rows().detach().numpy()
            least = np.zeros(len(rows))
            if self.real.core.bias is not None:
                least = np.abs(self.real.core.bias.detach().double().numpy())
                least /= self.x.quant.scale * LARGEST_BIAS
            one_scale = len(self.weights.quant.scales) == 1
            self.known = grid_of(rows, self.bits, least, self.per_group, one_scale, self.x.quant.scale)
        self.steps += self.training
        return self.known

    def integers(self, grid: Grid) -> Value:
        """The weights on the grid, float64 [channels, taps]; gradients go straight to the real ones."""
        if self.bits == 1:
            mean = tensor_of(grid.scales)[:, None].double() * self.x.quant.scale
            return signs(self.rows().double() / mean, WEIGHT_REACH).double()
        factors = 1.0 if grid.factors is None else tensor_of(grid.factors).double()
        ratio = self.rows().double() / tensor_of(grid.scales)[:, None] / factors
        return through(ratio, torch.round(ratio).clamp(grid.low, grid.high), grid.low, grid.high) * factors

    def tensors(self, grid: Grid, integers: Value) -> tuple[Tensor, Tensor | None]:
        """Weights and bias as the integer graph has them."""
        weight = self.real.core.weight
        data = of_graph(self.op.kind, native_order(integers.detach(), weight).numpy().astype(np.int8))
        scales = tuple(map(float, grid.scales))
        axis = channel_axis(self.op.kind) if len(scales) > 1 else None
        q = Quantization(scales, (0,) * len(scales), axis)
        weights = replace(self.weights, data=data, quantization=q)
        if self.bias is None:
            return weights, None
        real = replace(self.bias, data=self.real.core.bias.detach().numpy().reshape(self.bias.shape))
        return weights, integer_bias(real, self.x, scales)

    def forward(self, x: Value) -> Value:
        grid = self.grid()
        integers = self.integers(grid)
        weights, bias = self.tensors(grid, integers)
        r = requantization(self.x, weights, self.out, self.op.attributes.activation, bias)
        limit = self.limit(integers)
        centred = x - self.x.quant.zero_point
        counted = signs(centred * self.x.quant.scale) if self.bits == 1 else centred
        acc = self.products(counted, integers, limit < FLOAT32_EXACT)
        unit = along_channels(np.float32(grid.scales) * np.float32(self.x.quant.scale), acc.dim())
        real = acc * (unit / self.out.quant.scale) + r.zero_point
        if bias is not None:
            real = real + along_channels(self.real.core.bias, acc.dim()) / self.out.quant.scale
        if self.x.dtype == "s8":
            of_bias = (
                tensor_of(constant(bias).reshape(-1).astype(np.int64)) if bias else torch.zeros(1).long()
            )
            found = requantized(acc.detach(), of_bias, r, limit + int(of_bias.abs().max()))
        else:
            (found,) = by_reference(self.op, [self.x, weights, bias], [self.out], [x, None, None])
        return through(real.float(), found, r.act_min, r.act_max)

    def limit(self, integers: Value) -> int:
        """A bound of the sums of products."""
        low, high = (-128, 127) if self.x.dtype == "s8" else (-32768, 32767)
        span = max(high - self.x.quant.zero_point, self.x.quant.zero_point - low)
        return int(integers.detach().abs().sum(dim=1).max()) * span

    def products(self, x: Value, integers: Value, single: bool) -> Value:
        """Sums of products with x, the zero point taken off; exact."""
        core = self.real.core
        w = native_order(integers, core.weight)
        x, w = (x.float(), w.float()) if single else (x.double(), w.double())
        if any(self.real.pads):
            x = F.pad(x, self.real.pads)
        if isinstance(core, nn.Linear):
            x = channels_last(x)
            return channels_first(F.linear(x if self.real.keeps_rank else x.flatten(1), w))
        return F.conv2d(x, w, None, core.stride, core.padding, core.dilation, core.groups)


def native_order(rows: Value, weight: Value) -> Value:
    """[channels, taps] in the shape of a weight as PyTorch holds it."""
    if weight.dim() == 2:
        return rows
    out_c, group_c, h, w = weight.shape
    return rows.reshape(out_c, h, w, group_c).permute(0, 3, 1, 2)
