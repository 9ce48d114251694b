"""Order and names of a canonical graph: they follow from its structure, not from the file that it came from."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from offramp.ir import Graph, Op, Tensor

COMMUTATIVE = ("add", "mul")
ROLES = {kind: ("", "weights", "bias") for kind in ("conv_2d", "depthwise_conv_2d", "fully_connected")}


def port_names(graph: Graph) -> dict[int, str]:
    """Tensor index -> input or output, numbered where there are several."""
    found: dict[int, str] = {}
    for name, ports in (("output", graph.outputs), ("input", graph.inputs)):
        for n, i in enumerate(ports):
            found[i] = name if len(ports) == 1 else f"{name}_{n}"
    return found


def renamed(graph: Graph) -> Graph:
    """Ops in the order of a walk back from the outputs, each with constants of its own; names by kind and place.

    The metadata tells the names that inputs and outputs had.
    """
    names = Names(graph)
    ops = tuple(names.op(op, n) for n, op in enumerate(graph.ops if graph.variables else ordered(graph)))
    had = {
        side: ",".join(graph.tensors[i].name for i in ports)
        for side, ports in (("inputs", graph.inputs), ("outputs", graph.outputs))
    }
    return replace(
        graph,
        tensors=tuple(names.tensors),
        ops=ops,
        inputs=tuple(names.index[i] for i in graph.inputs),
        outputs=tuple(names.index[i] for i in graph.outputs),
        variables=tuple(replace(v, initial=names.index[v.initial]) for v in graph.variables),
        metadata={**had, **graph.metadata},
    )


class Names:
    """Tensors in the order in which they are met, from index to index."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.ports = graph, port_names(graph)
        self.tensors: list[Tensor] = []
        self.index: dict[int, int] = {-1: -1}
        constants = [i for i in graph.outputs if graph.tensors[i].data is not None]
        self.kept = {*constants, *(v.initial for v in graph.variables)}
        for i in dict.fromkeys((*graph.inputs, *sorted(self.kept))):
            self.add(i, graph.tensors[i].name)

    def add(self, old: int, name: str) -> int:
        self.tensors.append(replace(self.graph.tensors[old], name=self.ports.get(old, name)))
        self.index[old] = len(self.tensors) - 1
        return self.index[old]

    def op(self, op: Op, n: int) -> Op:
        name = f"{op.kind}_{n}"
        several = len(op.outputs) > 1
        inputs = tuple(self.operand(op, k, name) for k in range(len(op.inputs)))
        outputs = tuple(
            self.index[i] if i in self.index else self.add(i, f"{name}/{k}" if several else name)
            for k, i in enumerate(op.outputs)
        )
        return replace(op, name=name, inputs=inputs, outputs=outputs)

    def operand(self, op: Op, k: int, name: str) -> int:
        i = op.inputs[k]
        if i < 0 or i in self.kept or self.graph.tensors[i].data is None:
            return self.index[i]
        roles = ROLES.get(op.kind, ())
        return self.add(i, f"{name}/{roles[k] if k < len(roles) else f'constant_{k}'}")


def ordered(graph: Graph) -> tuple[Op, ...]:
    """Ops in the order in which a walk from the outputs back to the inputs meets them, longest branches first."""
    made = graph.producers()
    keys = keys_of(graph)
    ops = [
        replace(op, inputs=tuple(sorted(op.inputs, key=lambda i: keys[i])))
        if op.kind in COMMUTATIVE and all(graph.tensors[i].data is None for i in op.inputs)
        else op
        for op in graph.ops
    ]
    found: dict[int, Op] = {}
    for output in graph.outputs:
        path = [made[output]] if output in made else []
        while path:
            at = path[-1]
            waits = [made[i] for i in ops[at].inputs if i in made and made[i] not in found]
            if at in found or not waits:
                found.setdefault(at, ops[at])
                path.pop()
            else:
                path.append(waits[0])
    return tuple(found.values())


def keys_of(graph: Graph) -> dict[int, tuple[int, str]]:
    """Tensor -> (minus the ops on its longest way from an input, a digest of what they are)."""
    keys: dict[int, tuple[int, str]] = {-1: (0, "")}
    for i, t in enumerate(graph.tensors):
        keys[i] = (0, f"{t.dtype}{t.shape}{'constant' if t.data is not None else ''}")
    for n, i in enumerate(graph.inputs):
        keys[i] = (0, f"input {n}")
    for op in graph.ops:
        depth = min((keys[i][0] for i in op.inputs), default=0) - 1
        told = f"{op.kind} {op.attributes} {[keys[i][1] for i in op.inputs]}"
        for n, i in enumerate(op.outputs):
            keys[i] = (depth, hashlib.sha256(f"{told} {n}".encode()).hexdigest())
    return keys
