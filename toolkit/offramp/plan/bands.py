"""Runs a chain of layers in bands of rows, so that what lies between them never exists as a whole.

Each band takes the rows of the chain's input that it needs, those that its neighbour also needs included, and makes
its rows of the chain's output. The graph says so with ops that there are: slices, layers with explicit padding, a
concatenation; the planner makes parts of the slices and of what is joined, so that nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from offramp.ir import Graph, Op, Tensor
from offramp.ops import OPS
from offramp.ops.concatenation import Concatenation
from offramp.ops.conv_2d import padding_of
from offramp.ops.gemm import Window
from offramp.ops.strided_slice import StridedSlice

PADDED = ("conv_2d", "depthwise_conv_2d")  # their padding may be given
POOLS = ("average_pool_2d", "max_pool_2d")
MAX_BANDS = 16  # each makes the blob longer
BY_ELEMENT = ("relu", "relu6", "leaky_relu", "hard_swish", "logistic", "tanh", "quantize", "table")


@dataclass(frozen=True)
class Chain:
    """Ops `first` to `last` of a graph, each the only reader of the one before, in bands of `height` output rows."""

    first: int
    last: int
    height: int


@dataclass(frozen=True)
class Rows:
    """Rows [begin, end) of a tensor, and the padding rows that the op above them needs."""

    begin: int
    end: int
    top: int = 0
    bottom: int = 0


def rows_needed(graph: Graph, op: Op, begin: int, end: int) -> Rows | None:
    """Input rows for the output rows [begin, end); None where there are none but padding."""
    a, height = op.attributes, graph.tensors[op.inputs[0]].shape[1]
    if op.kind in PADDED:
        top, reach = pads_of(graph, op)[0], (graph.tensors[op.inputs[1]].shape[1] - 1) * a.dilation_h + 1
    elif op.kind in POOLS:
        top, reach = 0, a.filter_h
    else:
        return Rows(begin, end)
    first, behind = begin * a.stride_h - top, (end - 1) * a.stride_h - top + reach
    rows = Rows(max(first, 0), min(behind, height), max(-first, 0), max(behind - height, 0))
    return rows if rows.begin < rows.end else None


def pads_of(graph: Graph, op: Op) -> tuple[int, int, int]:
    """Padding above, left and right."""
    a: Window = op.attributes
    x, weights, out = (graph.tensors[t] for t in (op.inputs[0], op.inputs[1], op.outputs[0]))
    # Of the weights padding_of needs height and width, which stand where a convolution's do.
    top, left = padding_of(a, x, weights, out)
    wide = (out.shape[2] - 1) * a.stride_w + (weights.shape[2] - 1) * a.dilation_w + 1
    return top, left, max(wide - x.shape[2] - left, 0)


def may_be_banded(graph: Graph, op: Op) -> bool:
    if op.kind not in (*PADDED, *POOLS, *BY_ELEMENT) or (
        op.kind in POOLS and op.attributes.padding != "valid"
    ):
        return False
    shapes = [graph.tensors[t].shape for t in (op.inputs[0], op.outputs[0])]
    return all(len(shape) == 4 and shape[0] == 1 for shape in shapes)


def stretches(graph: Graph, at: int) -> Iterator[tuple[int, int]]:
    """(first, last) of every stretch of ops around op `at` that may run in bands."""
    readers = graph.consumers()

    def linked(i: int) -> bool:
        """Whether op i + 1 goes on from op i, and nobody else."""
        out = graph.ops[i].outputs[0]
        return (
            may_be_banded(graph, graph.ops[i + 1])
            and graph.ops[i + 1].inputs[0] == out
            and readers[out] == [i + 1]
            and out not in graph.outputs
        )

    if not may_be_banded(graph, graph.ops[at]):
        return
    firsts, lasts = [at], [at]
    while firsts[-1] > 0 and may_be_banded(graph, graph.ops[firsts[-1] - 1]) and linked(firsts[-1] - 1):
        firsts.append(firsts[-1] - 1)
    while lasts[-1] + 1 < len(graph.ops) and linked(lasts[-1]):
        lasts.append(lasts[-1] + 1)
    yield from ((first, last) for first in firsts for last in lasts if first < last)


def chains(graph: Graph, at: int) -> list[tuple[int, Chain]]:
    """(MACs computed again, chain) of all chains around op `at`, the least first, then the fewest bands."""
    found = []
    for first, last in stretches(graph, at):
        rows = graph.tensors[graph.ops[last].outputs[0]].shape[1]
        for height in sorted({-(-rows // n) for n in range(2, min(rows, MAX_BANDS) + 1)}):
            chain = Chain(first, last, height)
            again = macs_again(graph, chain)
            if again is not None:
                steps = -(-rows // height) * (last - first + 1)
                found.append((again, steps, first, chain))
    return [(again, chain) for again, _, _, chain in sorted(found, key=lambda f: f[:3])]


def macs_again(graph: Graph, chain: Chain) -> int | None:
    """None where the chain cannot be cut so."""
    bands = [band_rows(graph, chain, begin) for begin in begins(graph, chain)]
    total = 0
    for i, op in enumerate(graph.ops[chain.first : chain.last + 1]):
        out = graph.tensors[op.outputs[0]]
        inputs = [graph.tensors[t] if t >= 0 else None for t in op.inputs]
        macs = OPS[op.kind].macs(op.attributes, inputs, [out])
        made = 0
        for rows in bands:
            if rows is None:
                return None
            made += rows[i + 1].end - rows[i + 1].begin
        total += macs // out.shape[1] * (made - out.shape[1])
    return total


def live_bytes(graph: Graph, chain: Chain) -> int:
    """The largest of what bands hold between two layers."""
    layers, most = graph.ops[chain.first : chain.last + 1], 0
    for begin in begins(graph, chain):
        rows = band_rows(graph, chain, begin) or []
        for op, made in zip(layers[:-1], rows[1:], strict=False):
            out = graph.tensors[op.outputs[0]]
            most = max(most, (made.end - made.begin) * out.bytes // out.shape[1])
    return most


def begins(graph: Graph, chain: Chain) -> range:
    return range(0, graph.tensors[graph.ops[chain.last].outputs[0]].shape[1], chain.height)


def band_rows(graph: Graph, chain: Chain, begin: int) -> list[Rows] | None:
    """Rows of the chain's input and of each op's output in the band from output row `begin` on."""
    height = graph.tensors[graph.ops[chain.last].outputs[0]].shape[1]
    rows = [Rows(begin, min(begin + chain.height, height))]
    for op in reversed(graph.ops[chain.first : chain.last + 1]):
        needed = rows_needed(graph, op, rows[0].begin, rows[0].end)
        if needed is None:
            return None
        rows.insert(0, needed)
    return rows


def in_bands(graph: Graph, chain: Chain) -> Graph:
    """The graph with a chain run in bands, bit by bit the same."""
    tensors, ops, joined = list(graph.tensors), [], []
    layers = graph.ops[chain.first : chain.last + 1]
    for n, begin in enumerate(begins(graph, chain)):
        rows = band_rows(graph, chain, begin)
        assert rows is not None

        def part(of: int, r: Rows, n: int = n) -> int:
            """A new tensor for these rows of one."""
            t = tensors[of]
            shape = (1, r.end - r.begin, *t.shape[2:])
            tensors.append(Tensor(f"{t.name}/band{n}", shape, t.dtype, t.quantization))
            return len(tensors) - 1

        source = layers[0].inputs[0]
        x = part(source, rows[0])
        shape = tensors[x].shape
        cut = StridedSlice((0, rows[0].begin, 0, 0), shape, (1, 1, 1, 1), shape)
        ops.append(Op("strided_slice", f"{tensors[source].name}/band{n}", (source,), (x,), cut))
        for op, r, out_rows in zip(layers, rows, rows[1:], strict=False):
            y = part(op.outputs[0], out_rows)
            a = op.attributes
            if op.kind in PADDED:
                _, left, right = pads_of(graph, op)
                a = replace(a, padding="explicit", pads=(r.top, left, r.bottom, right))
            ops.append(Op(op.kind, f"{op.name}/band{n}", (x, *op.inputs[1:]), (y,), a))
            x = y
        joined.append(x)
    last = layers[-1]
    ops.append(Op("concatenation", last.name, tuple(joined), last.outputs, Concatenation(1)))
    new = (*graph.ops[: chain.first], *ops, *graph.ops[chain.last + 1 :])
    return replace(graph, tensors=tuple(tensors), ops=new)
