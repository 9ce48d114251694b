"""Several integer graphs with equal inputs as one whose output is the mean of theirs: one plan, one blob."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from offramp.compress.scales import of_range, range_of
from offramp.errors import UserError
from offramp.ir import Graph, Op, Quantization, Tensor, Variable
from offramp.ops.concatenation import Concatenation
from offramp.ops.mean import Mean
from offramp.ops.op import NoAttributes
from offramp.ops.reshape import Reshape
from offramp.ops.verify import verify


def ensemble(graphs: Sequence[Graph], name: str = "") -> Graph:
    """The mean of the first outputs (probabilities or scores), which must have one shape, and so the inputs.

    Members keep their tensors under the prefix m0/, m1/, …; an input of another scale is requantized for its member.
    UserError where the graphs do not fit each other.
    """
    check(graphs)
    first = graphs[0]
    merged = Merged([first.tensors[i] for i in first.inputs])
    results = [merged.member(graph, f"m{n}/") for n, graph in enumerate(graphs)]
    output = merged.mean(results, first.tensors[first.outputs[0]].name)
    found = Graph(
        name or "_and_".join(g.name for g in graphs),
        tuple(merged.tensors),
        tuple(merged.ops),
        tuple(range(len(first.inputs))),
        (output,),
        tuple(merged.variables),
        first.labels,
        {**first.metadata, "ensemble": ", ".join(g.name for g in graphs)},
    )
    verify(found, f"ensemble {found.name}")
    return found


def check(graphs: Sequence[Graph]) -> None:
    if len(graphs) < 2:
        raise UserError(f"an ensemble of {len(graphs)} graphs", "two or more are needed")
    first = graphs[0]
    for graph in graphs:
        if graph.is_float:
            raise UserError(f"{graph.name} is a float graph", "quantize it first")
        for ours, theirs, what in (
            (first.inputs, graph.inputs, "inputs"),
            (first.outputs[:1], graph.outputs[:1], "outputs"),
        ):
            right = [(first.tensors[i].shape, first.tensors[i].dtype) for i in ours]
            found = [(graph.tensors[i].shape, graph.tensors[i].dtype) for i in theirs]
            if right != found:
                raise UserError(
                    f"{graph.name} has the {what} {found}, {first.name} {right}",
                    "members of an ensemble take the same inputs and give the same classes",
                )


class Merged:
    """The graph in the making."""

    def __init__(self, inputs: list[Tensor]) -> None:
        self.tensors, self.inputs = inputs, len(inputs)
        self.ops: list[Op] = []
        self.variables: list[Variable] = []

    def add(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def op(self, kind: str, inputs: Sequence[int], out: Tensor, attributes: object) -> int:
        index = self.add(out)
        self.ops.append(Op(kind, out.name, tuple(inputs), (index,), attributes))
        return index

    def member(self, graph: Graph, prefix: str) -> int:
        """Adds a graph; the index of its first output."""
        index = {-1: -1}
        for i, tensor in enumerate(graph.tensors):
            if i not in graph.inputs:
                index[i] = self.add(replace(tensor, name=prefix + tensor.name))
        for place, i in enumerate(graph.inputs):
            index[i] = self.as_scale(place, graph.tensors[i].quant, prefix)
        for op in graph.ops:
            inputs, outputs = (tuple(index[t] for t in ports) for ports in (op.inputs, op.outputs))
            attributes = op.attributes
            if op.kind in ("read_variable", "assign_variable"):
                attributes = replace(attributes, variable=prefix + attributes.variable)
            self.ops.append(Op(op.kind, prefix + op.name, inputs, outputs, attributes))
        self.variables += [Variable(prefix + v.name, index[v.initial]) for v in graph.variables]
        return index[graph.outputs[0]]

    def as_scale(self, tensor: int, q: Quantization, prefix: str) -> int:
        t = self.tensors[tensor]
        if t.quantization == q:
            return tensor
        return self.op(
            "quantize", [tensor], replace(t, name=f"{prefix}{t.name}", quantization=q), NoAttributes()
        )

    def mean(self, results: Sequence[int], name: str) -> int:
        """All results in one scale, side by side on a new axis, and their mean over it: rounded once."""
        outputs = [self.tensors[i] for i in results]
        q, shape = common(outputs), outputs[0].shape
        parts = [self.as_scale(i, q, f"{name}/{n}/") for n, i in enumerate(results)]
        one = (shape[0], 1, *shape[1:])
        like = replace(outputs[0], quantization=q, data=None)
        rows = [
            self.op("reshape", [i], replace(like, name=f"{name}/row{n}", shape=one), Reshape(one))
            for n, i in enumerate(parts)
        ]
        wide = (shape[0], len(rows), *shape[1:])
        joined = self.op(
            "concatenation", rows, replace(like, name=f"{name}/rows", shape=wide), Concatenation(1)
        )
        return self.op("mean", [joined], replace(like, name=name), Mean((1,)))


def common(tensors: Sequence[Tensor]) -> Quantization:
    """The quantization of all, or one over all their ranges."""
    if len({t.quant for t in tensors}) == 1:
        return tensors[0].quant
    spans = [range_of(t.quant, t.dtype) for t in tensors]
    return of_range(min(low for low, _ in spans), max(high for _, high in spans), tensors[0].dtype)
