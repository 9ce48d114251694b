"""What each way of serving a layer executes on a board: exact instructions of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from offramp.blob import write
from offramp.boards import Board
from offramp.ir import Graph, Op
from offramp.kernels import candidates
from offramp.ops import Step
from offramp.plan.family import with_constants
from offramp.plan.options import Options
from offramp.plan.plan import Constants, Planner
from offramp_host.profile import profile
from tools.cost_grid import Layer


@dataclass(frozen=True)
class Figure:
    """Of one way."""

    instructions: int
    block_bytes: int
    scratch_bytes: int


def figures(board: Board, layers: Sequence[Layer], sets: tuple[str, ...]) -> list[dict[str, Figure]]:
    """For each layer the figures of its ways, by set/name of their kernel; only ways of one step."""
    tensors, ops, served, keys, inputs = [], [], {}, [], []
    for number, layer in enumerate(layers):
        first = len(tensors)
        tensors += [replace(t, name=f"{t.name}{number}.{i}") for i, t in enumerate(layer.inputs)]
        used = tuple(range(first, len(tensors)))
        inputs += [i for i in used if tensors[i].data is None]
        op = replace(layer.op, inputs=used, outputs=(len(tensors),))
        graph = Graph("layer", (*tensors, layer.output), (op,), used[:1], op.outputs)
        for way, steps in enumerate(candidates(graph, op, board.core, sets)):
            [step] = steps
            if step.kernel.set not in sets:
                continue
            output = len(tensors)
            tensors.append(replace(layer.output, name=f"y{number}.{way}"))
            served[len(ops)] = [replace(step, outputs=(output,))]
            ops.append(Op(layer.kind, layer.kind, used, (output,), layer.attributes))
            keys.append((number, step))
    outputs = tuple(op.outputs[0] for op in ops)
    graph = Graph("ways", tuple(tensors), tuple(ops), tuple(inputs), outputs)
    constants = Constants()
    plan = Planner(graph, board, Options(), served).because({}, {}).plan(constants)
    data = write(with_constants(plan, constants))
    found = profile(board, data, name="ways", time_limit_s=300)
    result: list[dict[str, Figure]] = [{} for _ in layers]
    for (number, step), run in zip(keys, found.steps, strict=True):
        result[number][name_of(step)] = Figure(run.cost.instructions, len(step.params), step.scratch_bytes)
    return result


def name_of(step: Step) -> str:
    return f"{step.kernel.set}/{step.kernel.name}"
