"""Order and names of a canonical graph: they follow from its structure, not from the file that it came from."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from offramp.ir import Graph, Op, Tensor

COMMUTATIVE = ("add", "mul")
ROLES = {
    "conv_2d": ("weights", "bias"),
    "depthwise_conv_2d": ("weights", "bias"),
    "fully_connected": ("weights", "bias"),
}


def port_names(graph: Graph) -> dict[int, str]:
    """Tensor index -> input or output, numbered where there are several."""
    found: dict[int, str] = {}
    for name, ports in (("output", graph.outputs), ("input", graph.inputs)):
        for n, i in enumerate(ports):
            found[i] = name if len(ports) == 1 else f"{name}_{n}"
    return found


def renamed(graph: Graph) -> Graph:
    """Ops in the order of a walk back from the outputs, each with constants of its own; names by kind and place."""
    ops = graph.ops if graph.variables else ordered(graph)
    ports = port_names(graph)
    tensors: list[Tensor] = []
    index: dict[int, int] = {-1: -1}

    def add(old: int, name: str) -> int:
        tensors.append(replace(graph.tensors[old], name=ports.get(old, name)))
        index[old] = len(tensors) - 1
        return index[old]

    for i in dict.fromkeys((*graph.inputs, *(v.initial for v in graph.variables))):
        add(i, graph.tensors[i].name)
    kept = [i for i in graph.outputs if graph.tensors[i].data is not None]
    for i in kept:
        add(i, "")
    placed: list[Op] = []
    for n, op in enumerate(ops):
        name = f"{op.kind}_{n}"
        roles = ("", *ROLES.get(op.kind, ()), *[f"constant_{k}" for k in range(len(op.inputs))])
        inputs = tuple(
            index[i]
            if i < 0 or graph.tensors[i].data is None or i in kept
            else add(i, f"{name}/{roles[k] or 'constant'}")
            for k, i in enumerate(op.inputs)
        )
        outputs = tuple(
            index[i] if i in index else add(i, name if len(op.outputs) == 1 else f"{name}/{k}")
            for k, i in enumerate(op.outputs)
        )
        placed.append(replace(op, name=name, inputs=inputs, outputs=outputs))
    told = {
        side: ",".join(graph.tensors[i].name for i in there)
        for side, there in (("inputs", graph.inputs), ("outputs", graph.outputs))
    }
    return replace(
        graph,
        tensors=tuple(tensors),
        ops=tuple(placed),
        inputs=tuple(index[i] for i in graph.inputs),
        outputs=tuple(index[i] for i in graph.outputs),
        variables=tuple(replace(v, initial=index[v.initial]) for v in graph.variables),
        metadata={**told, **graph.metadata},
    )


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
