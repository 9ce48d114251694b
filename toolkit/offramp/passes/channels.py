"""Constant and dead channels: proven by interval analysis, folded into biases and removed, bit for bit.

A channel is one index of a tensor's last axis. Ops that keep channels apart (depthwise, pooling, additions,
tables, moves) link channels of their inputs and outputs; linked channels go together or not at all. A
convolution or fully connected layer ends the chain: it lets an input channel go whose weights are all zero
towards the outputs that stay, or whose value is constant and can move into its bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops.conv_2d import padding_of
from offramp.ops.gemm import Requantization, bias_of, requantization
from offramp.ops.op import Array, constant
from offramp.passes.bounds import EIGHT_BITS, TABLES, Bounds, bounds
from offramp.passes.rewrite import with_op, with_tensors

WEIGHTED = ("conv_2d", "depthwise_conv_2d", "fully_connected")
CHANNELWISE = (
    *TABLES,
    *("average_pool_2d", "max_pool_2d", "resize_nearest_neighbor", "resize_bilinear"),
)
BROADCAST = ("add", "sub", "mul")
BIAS_LIMIT = (1 << 31) - 1


def constants_of(tensor: Tensor, found: Bounds | None) -> tuple[Array, Array]:
    """(whether each channel has one value everywhere and always, that value)."""
    if found is None or not tensor.shape:
        nothing = np.zeros(tensor.shape[-1] if tensor.shape else 0, np.int64)
        return nothing.astype(bool), nothing
    low, high = (b.reshape(-1, tensor.shape[-1]).astype(np.int64) for b in found)
    least = low.min(axis=0)
    return least == high.max(axis=0), least


# ---- constant channels that stay ----


def settle_constants(graph: Graph) -> tuple[Graph, int]:
    """Gives weighted channels with a constant result zero weights, the least bias and another's multiplier.

    Such channels hold biases and multipliers that no other needs and that fast kernels do not take; zero
    weights let the channels before them go.
    """
    known, n = bounds(graph), 0
    for at, op in enumerate(graph.ops):
        if op.kind in WEIGHTED and graph.tensors[op.outputs[0]].dtype == "s8":
            is_constant, value = constants_of(graph.tensors[op.outputs[0]], known.get(op.outputs[0]))
            if is_constant.any():
                graph, changed = settled(graph, at, is_constant, value)
                n += changed
    return graph, n


def settled(graph: Graph, at: int, is_constant: Array, value: Array) -> tuple[Graph, int]:
    op = graph.ops[at]
    x, weights, out = (graph.tensors[i] for i in (op.inputs[0], op.inputs[1], op.outputs[0]))
    scales = np.array(weights.quant.scales)
    usual = scales.copy()
    if len(scales) > 1 and not is_constant.all():
        usual[is_constant] = scales[np.flatnonzero(~is_constant)[0]]
    least, found = least_biases(
        requantization(x, with_scales(weights, usual), out, op.attributes.activation), value
    )
    axis = 3 if op.kind == "depthwise_conv_2d" else 0
    w = np.moveaxis(constant(weights), axis, 0)
    bias = bias_of(bias_tensor(graph, op), len(value))
    unsettled = w.reshape(len(w), -1).any(axis=1) | (bias != least) | (usual != scales)
    changed = is_constant & found & unsettled
    if not changed.any():
        return graph, 0
    w = np.where(changed.reshape(-1, *(1,) * (w.ndim - 1)), np.int8(0), w)
    if len(scales) > 1:
        scales[changed] = usual[changed]
    data = np.ascontiguousarray(np.moveaxis(w, 0, axis))
    settled_weights = replace(with_scales(weights, scales), data=data)
    return with_weights(graph, at, settled_weights, np.where(changed, least, bias)), int(changed.sum())


def least_biases(r: Requantization, wanted: Array) -> tuple[Array, Array]:
    """For each channel the accumulator nearest to zero whose result is wanted, and whether there is one."""
    sign = np.sign(wanted - r(np.zeros_like(wanted)))
    short = np.zeros_like(wanted)  # of |accumulator|: too little; enough
    enough = np.broadcast_to((1 << 30) >> np.maximum(r.shift, 0), wanted.shape).copy()
    for _ in range(31):
        middle = (short + enough) // 2
        is_short = (r(sign * middle) - wanted) * sign < 0
        short, enough = np.where(is_short, middle, short), np.where(is_short, enough, middle)
    return sign * enough, r(sign * enough) == wanted


def with_scales(weights: Tensor, scales: Array) -> Tensor:
    quantization = Quantization(
        tuple(float(s) for s in scales), weights.quant.zero_points[: len(scales)], weights.quant.axis
    )
    return replace(weights, quantization=quantization)


def bias_tensor(graph: Graph, op: Op) -> Tensor | None:
    return graph.tensors[op.inputs[2]] if len(op.inputs) > 2 and op.inputs[2] >= 0 else None


def with_weights(graph: Graph, at: int, weights: Tensor, bias: Array) -> Graph:
    """Gives op `at` weights and a bias of its own; `weights` may have more or less data than its shape says."""
    op, old = graph.ops[at], bias_tensor(graph, graph.ops[at])
    added = [replace(weights, shape=constant(weights).shape)]
    if old is not None or bias.any():
        scales = np.array(weights.quant.scales) * graph.tensors[op.inputs[0]].quant.scale
        quantization = Quantization(tuple(map(float, scales.astype(np.float32))), (0,) * len(scales), 0)
        name = old.name if old else f"{op.name}/bias"
        added.append(Tensor(name, bias.shape, "s32", quantization, bias.astype(np.int32)))
    inputs = (op.inputs[0], *range(len(graph.tensors), len(graph.tensors) + len(added)))
    graph = replace(graph, tensors=(*graph.tensors, *added))
    return with_op(graph, at, replace(op, inputs=inputs))


# ---- which channels go ----


@dataclass(frozen=True)
class Link:
    """Channel a_index[k] of tensor `a` and channel b_index[k] of tensor `b` go together."""

    a: int
    a_index: Array
    b: int
    b_index: Array


@dataclass(frozen=True)
class Terminal:
    """A convolution or fully connected layer: reads `source`, writes `result`."""

    source: int
    result: int
    reads: Array  # bool [out_c, in_c]: a weight is not zero
    folds: Array  # bool [in_c]: the channel's value can move into the bias


class Channels:
    """Every tensor's channels, what links them and what holds them."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.links: list[Link] = []
        self.terminals: list[Terminal] = []
        self.held: dict[int, Array] = {
            i: np.full(t.shape[-1] if t.shape else 0, t.data is not None) for i, t in enumerate(graph.tensors)
        }
        known = bounds(graph)
        self.constants = {i: constants_of(t, known.get(i)) for i, t in enumerate(graph.tensors)}
        self.hold(*graph.inputs, *graph.outputs)
        for op in graph.ops:
            self.read(op)

    def hold(self, *tensors: int) -> None:
        for t in tensors:
            if t >= 0:
                self.held[t][:] = True

    def link(self, a: int, b: int, a_index: Array | None = None, b_index: Array | None = None) -> None:
        every = np.arange(len(self.held[a]))
        self.links.append(
            Link(a, every if a_index is None else a_index, b, every if b_index is None else b_index)
        )

    def read(self, op: Op) -> None:
        if any(self.graph.tensors[t].dtype not in EIGHT_BITS for t in (*op.inputs[:1], *op.outputs)):
            self.hold(*op.inputs, *op.outputs)
        elif op.kind in ("conv_2d", "fully_connected") and self.is_terminal(op):
            self.terminals.append(self.terminal(op))
        elif op.kind == "depthwise_conv_2d":
            n, m = len(self.held[op.inputs[0]]), len(self.held[op.outputs[0]])
            self.link(op.inputs[0], op.outputs[0], np.repeat(np.arange(n), m // n), np.arange(m))
        elif op.kind in BROADCAST:
            self.read_broadcast(op)
        elif op.kind in ("concatenation", "split"):
            self.read_parts(op)
        elif op.kind in ("read_variable", "assign_variable"):
            self.hold(*op.inputs, *op.outputs)
        elif op.kind in CHANNELWISE or self.keeps_channels(op):
            self.link(op.inputs[0], op.outputs[0])
        elif op.kind == "reshape" and self.repeats_channels(op):
            n, m = len(self.held[op.inputs[0]]), len(self.held[op.outputs[0]])
            self.link(op.inputs[0], op.outputs[0], np.arange(m) % n, np.arange(m))
        else:
            self.hold(*op.inputs, *op.outputs)

    def is_terminal(self, op: Op) -> bool:
        x, weights = (self.graph.tensors[i] for i in op.inputs[:2])
        if x.dtype != "s8":
            return False
        if op.kind == "fully_connected":
            return weights.shape[1] % x.shape[-1] == 0
        return weights.shape[3] == x.shape[3]  # with groups, channels stay as they are

    def terminal(self, op: Op) -> Terminal:
        weights = self.by_channel(op)
        return Terminal(op.inputs[0], op.outputs[0], weights.any(axis=1), self.foldable(op, weights))

    def by_channel(self, op: Op) -> Array:
        """Weights as int64 [out_c, positions, in_c]."""
        w = constant(self.graph.tensors[op.inputs[1]]).astype(np.int64)
        return w.reshape(w.shape[0], -1, len(self.held[op.inputs[0]]))

    def foldable(self, op: Op, weights: Array) -> Array:
        """Constant channels that meet no padding, or hold the padding's value, and leave the bias an int32."""
        x = self.graph.tensors[op.inputs[0]]
        is_constant, value = self.constants[op.inputs[0]]
        added = np.abs(weights.sum(axis=1) * np.where(is_constant, value - x.quant.zero_point, 0))
        bias = np.abs(bias_of(bias_tensor(self.graph, op), len(weights)))
        overflows = bias + added.sum(axis=1) > BIAS_LIMIT
        harmless = value == x.quant.zero_point
        if not self.is_padded(op):
            harmless |= ~(added[overflows] != 0).any(axis=0)
        folds: Array = is_constant & harmless
        return folds

    def is_padded(self, op: Op) -> bool:
        """Whether any window reaches over the input's border."""
        if op.kind == "fully_connected":
            return False
        a, x, weights, out = (
            op.attributes,
            *(self.graph.tensors[i] for i in (op.inputs[0], op.inputs[1], op.outputs[0])),
        )
        axes = zip(
            padding_of(a, x, weights, out),
            (a.stride_h, a.stride_w),
            (a.dilation_h, a.dilation_w),
            weights.shape[1:3],
            x.shape[1:3],
            out.shape[1:3],
            strict=True,
        )
        return any(
            before > 0 or (spots - 1) * stride + (taps - 1) * dilation + 1 > length
            for before, stride, dilation, taps, length, spots in axes
        )

    def read_broadcast(self, op: Op) -> None:
        [result] = op.outputs
        for t in op.inputs:
            tensor = self.graph.tensors[t]
            if tensor.data is not None:
                continue
            if len(self.held[t]) == len(self.held[result]):
                self.link(t, result)
            else:
                self.hold(t)

    def read_parts(self, op: Op) -> None:
        whole = (op.outputs if op.kind == "concatenation" else op.inputs)[0]
        parts = op.inputs if op.kind == "concatenation" else op.outputs
        last = op.attributes.axis == len(self.graph.tensors[whole].shape) - 1
        at = 0
        for part in parts:
            n = len(self.held[part])
            self.link(part, whole, np.arange(n), np.arange(n) + at)
            at += n if last else 0

    def keeps_channels(self, op: Op) -> bool:
        x, out = self.graph.tensors[op.inputs[0]], self.graph.tensors[op.outputs[0]]
        last, a = len(x.shape) - 1, op.attributes
        if op.kind == "mean":
            return last not in a.axes
        if op.kind == "pad":
            return bool(a.before[last] == a.after[last] == 0)
        if op.kind == "transpose":
            return bool(a.order[last] == last)
        if op.kind == "strided_slice":
            whole = (a.begin[last], a.stride[last], a.length[last]) == (0, 1, x.shape[last])
            return whole and out.shape[-1:] == x.shape[-1:]
        return False

    def repeats_channels(self, op: Op) -> bool:
        x, out = self.graph.tensors[op.inputs[0]].shape, self.graph.tensors[op.outputs[0]].shape
        return bool(x) and bool(out) and x[-1] > 0 and out[-1] % x[-1] == 0

    def removable(self, multiple: int) -> dict[int, Array]:
        """Tensor -> bool mask of the channels that go.

        What stays of a tensor is at least one channel, and a multiple of `multiple` where it was more.
        """
        held = {t: mask.copy() for t, mask in self.held.items()}
        while True:
            gone = self.gone(held)
            wanting = next((t for t in gone if too_few(gone[t], multiple)), None)
            if wanting is None:
                return gone
            back = np.flatnonzero(gone[wanting])[: too_few(gone[wanting], multiple)]
            held[wanting][back] = True

    def gone(self, held: dict[int, Array]) -> dict[int, Array]:
        """The most channels that can go while `held` ones stay: from what goes, more follows."""
        gone = {t: np.zeros(len(mask), bool) for t, mask in held.items()}
        while True:
            blocked = {t: mask.copy() for t, mask in held.items()}
            for t in self.terminals:
                blocked[t.source] |= t.reads[~gone[t.result]].any(axis=0) & ~t.folds
            self.spread(blocked)
            now = {t: ~mask for t, mask in blocked.items()}
            if all(np.array_equal(now[t], gone[t]) for t in now):
                return gone
            gone = now

    def spread(self, blocked: dict[int, Array]) -> None:
        """Whatever is linked to a blocked channel is blocked."""
        changed = True
        while changed:
            changed = False
            for link in (*self.links, *reversed(self.links)):
                a, b = blocked[link.a], blocked[link.b]
                before = a.sum() + b.sum()
                np.logical_or.at(a, link.a_index, b[link.b_index])
                np.logical_or.at(b, link.b_index, a[link.a_index])
                changed |= bool(a.sum() + b.sum() > before)


def too_few(gone: Array, multiple: int) -> int:
    """How many channels that would go must stay."""
    stay = len(gone) - int(gone.sum())
    if stay == len(gone):
        return 0
    return -stay % multiple if stay else min(multiple, len(gone))


# ---- removing them ----


def remove_channels(graph: Graph, multiple: int) -> tuple[Graph, int]:
    """The graph without them, and how many channels of weighted results went."""
    channels = Channels(graph)
    stays = {t: ~mask for t, mask in channels.removable(multiple).items()}
    made = [op.outputs[0] for op in graph.ops if op.kind in WEIGHTED]
    n = sum(int((~stays[t]).sum()) for t in made)
    if all(mask.all() for mask in stays.values()):
        return graph, 0
    for at, op in enumerate(graph.ops):
        graph = narrowed(graph, at, op, channels, stays)
    shapes = {
        t: replace(graph.tensors[t], shape=(*graph.tensors[t].shape[:-1], int(mask.sum())))
        for t, mask in stays.items()
        if not mask.all()
    }
    return with_tensors(graph, shapes), n


def narrowed(graph: Graph, at: int, op: Op, channels: Channels, stays: dict[int, Array]) -> Graph:
    """Op `at` over fewer channels; tensors' shapes are changed by the caller."""
    if all(stays[t].all() for t in (*op.inputs, *op.outputs) if t >= 0):
        return graph
    out_stays = stays[op.outputs[0]]
    if op.kind in WEIGHTED:
        return narrowed_weights(graph, at, op, channels, stays)
    if op.kind in BROADCAST:
        return narrowed_operands(graph, at, op, out_stays)
    a = op.attributes
    if op.kind == "reshape":
        a = replace(a, shape=(*a.shape[:-1], int(out_stays.sum())))
    elif op.kind == "strided_slice":
        n = int(out_stays.sum())
        a = replace(a, length=(*a.length[:-1], n), shape=(*a.shape[:-1], n))
    elif op.kind == "split" and a.axis == len(graph.tensors[op.inputs[0]].shape) - 1:
        a = replace(a, sizes=tuple(int(stays[t].sum()) for t in op.outputs))
    return with_op(graph, at, replace(op, attributes=a))


def narrowed_weights(graph: Graph, at: int, op: Op, channels: Channels, stays: dict[int, Array]) -> Graph:
    weights, out_stays = graph.tensors[op.inputs[1]], stays[op.outputs[0]]
    w = constant(weights)
    bias = bias_of(bias_tensor(graph, op), len(out_stays))
    if op.kind == "depthwise_conv_2d":
        w = w[..., out_stays]
    else:
        in_stays = stays[op.inputs[0]]
        is_constant, value = channels.constants[op.inputs[0]]
        centred = np.where(is_constant & ~in_stays, value - graph.tensors[op.inputs[0]].quant.zero_point, 0)
        if not in_stays.all():
            bias = bias + channels.by_channel(op).sum(axis=1) @ centred
        w = w[..., np.resize(in_stays, w.shape[-1])][out_stays]
    scales = np.array(weights.quant.scales)
    kept = with_scales(weights, scales[out_stays] if len(scales) > 1 else scales)
    return with_weights(graph, at, replace(kept, data=np.ascontiguousarray(w)), bias[out_stays])


def narrowed_operands(graph: Graph, at: int, op: Op, out_stays: Array) -> Graph:
    """Constant operands lose the channels that the result loses."""
    added: list[Tensor] = []
    inputs: list[int] = []
    for t in op.inputs:
        tensor = graph.tensors[t]
        if tensor.data is None or tensor.shape[-1:] != out_stays.shape:
            inputs.append(t)
            continue
        data = np.ascontiguousarray(tensor.data[..., out_stays])
        inputs.append(len(graph.tensors) + len(added))
        added.append(replace(tensor, shape=data.shape, data=data))
    graph = replace(graph, tensors=(*graph.tensors, *added))
    return with_op(graph, at, replace(op, inputs=tuple(inputs)))
