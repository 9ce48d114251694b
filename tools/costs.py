"""Measures what units of work cost on each core and writes the planner's cost table: toolkit/offramp/plan/costs.json.

Layers of tools/cost_grid.py run in the emulator, each in every way that a kernel set offers. Instructions, cycles and
flash bytes of a kernel's steps are fitted by non-negative least squares to the units of work that the kernel declares.
`python -m tools.costs [--kernels PATTERN] [BOARD...]` renews the rows of those boards' cores, and of those kernels
alone: `make costs BOARDS="mps2_an386" KERNELS="dsp/*"`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp import boards
from offramp.blob import write
from offramp.boards import Board
from offramp.build import footprint
from offramp.build.firmware import firmware, kernels_on
from offramp.cycles import cycle_model
from offramp.ir import Graph, Op, Tensor
from offramp.kernels import candidates, choose_sets, compact_ways
from offramp.ops import Kernel, Step, conv_2d_pair_add
from offramp.ops.op import elements
from offramp.plan.cost import FIGURES, TABLE, Cost, CostTable, name_of
from offramp.plan.family import with_constants
from offramp.plan.options import Options
from offramp.plan.plan import Constants, Planner
from offramp_host.profile import profile
from tools.cost_grid import Layer, layers

INPUT_BYTES = 32_768  # of one blob, sent over the link
DIGITS = 4
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """A step that ran, the length of its output, and what it executed."""

    step: Step
    elements: int
    cost: Cost


def measured(board: Board, pattern: str) -> Iterator[Sample]:
    """Of the ways whose kernels are wanted."""
    for graph, served in blobs(board, pattern):
        planner = Planner(graph, board, Options(), served)
        constants = Constants()
        data = write(with_constants(planner.because({}, {}).plan(constants), constants))
        steps = [(graph, step) for i in range(len(graph.ops)) for step in served[i]]
        found = profile(board, data, name="costs", time_limit_s=600)
        for (graph, step), run in zip(steps, found.steps, strict=True):
            model = cycle_model(board.core.name)
            assert model is not None
            cost = Cost(run.cost.instructions, model(run.cost.counts), run.cost.flash_bytes)
            yield Sample(step, elements(graph.tensors[step.outputs[0]].shape), cost)


def blobs(board: Board, pattern: str) -> Iterator[tuple[Graph, dict[int, list[Step]]]]:
    """The layers, so many a graph as fit a blob, and each way of each as an op of its own."""
    ram, flash = board.arena.size // 2, board.code.size // 4
    tensors: list[Tensor] = []
    served: list[tuple[Op, list[Step]]] = []

    def graph() -> tuple[Graph, dict[int, list[Step]]]:
        inputs = tuple(i for i, t in enumerate(tensors) if t.name.startswith("x") and t.data is None)
        ops = tuple(op for op, _ in served)
        found = Graph("costs", tuple(tensors), ops, inputs, ops[-1].outputs)
        return found, {i: steps for i, (_, steps) in enumerate(served)}

    for number, layer in enumerate(layers()):
        own, ways = alone(board, layer, number, len(tensors), pattern)
        if not ways:
            continue
        sizes = [s.scratch_bytes + len(s.params) + operand_bytes(own) for steps in ways for s in steps]
        if ram_of(own) + max(sizes) > ram or sum(sizes) > flash:
            continue  # it does not fit the board
        held = sum(len(s.params) for _, steps in served for s in steps)
        held += operand_bytes(tensors)
        if served and (ram_of(tensors) + ram_of(own) > min(ram, INPUT_BYTES) or held + sum(sizes) > flash):
            yield graph()
            tensors.clear()
            served.clear()
            own, ways = alone(board, layer, number, 0, pattern)
        outputs = range(len(tensors) + len(layer.inputs), len(tensors) + len(own))
        inputs = tuple(range(len(tensors), len(tensors) + len(layer.inputs)))
        tensors += own
        for steps, output in zip(ways, outputs, strict=True):
            moved = [replace(s, outputs=(output,)) for s in steps]
            served.append((Op(layer.kind, layer.kind, inputs, (output,), layer.attributes), moved))
    if served:
        yield graph()


def operand_bytes(tensors: Sequence[Tensor]) -> int:
    """Of constant operands: planes, and weights of wider layers."""
    return sum(t.bytes for t in tensors if t.data is not None and (t.dtype == "u8" or "/wide" in t.name))


def ram_of(tensors: Sequence[Tensor]) -> int:
    return sum(t.bytes for t in tensors if t.data is None)


def alone(
    board: Board, layer: Layer, number: int, first: int, pattern: str
) -> tuple[list[Tensor], list[list[Step]]]:
    """A layer's tensors, with an output for each of its ways, and these; `first` is the first tensor's index."""
    inputs = tuple(range(first, first + len(layer.inputs)))
    op = replace(layer.op, inputs=inputs, outputs=(first + len(inputs),))
    filler = [layer.output] * first
    graph = Graph("layer", (*filler, *layer.inputs, layer.output), (op,), inputs, op.outputs)
    ways = [
        steps
        for steps in (
            *candidates(graph, op, board.core, choose_sets("auto", board.kernels)),
            *compact_ways(graph, op),
        )
        if any(fnmatch(name_of(step.kernel), p) for step in steps for p in pattern.split(","))
    ]
    names = [replace(t, name=f"{t.name}{number}.{i}") for i, t in enumerate(layer.inputs)]
    return [*names, *(replace(layer.output, name=f"y{number}.{i}") for i in range(len(ways)))], ways


def prices(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """The figures of a Cost for each unit of work, with the least relative error."""
    work = [s.step.work(s.elements) for s in samples]
    units = sorted({unit for of in work for unit in of})
    weight = 1 / np.array([s.cost.instructions for s in samples])
    a = np.array([[of.get(unit, 0) for unit in units] for of in work], np.float64) * weight[:, None]
    columns = [
        non_negative(a, np.array([getattr(s.cost, name) for s in samples]) * weight) for name in FIGURES
    ]
    rows = zip(units, *columns, strict=True)
    return {unit: [float(f"{x:.{DIGITS}g}") for x in of] for unit, *of in rows if any(x > 0 for x in of)}


def joint_prices(fitted: Mapping[str, dict[str, list[float]]]) -> dict[str, list[float]]:
    """Of a convolution that adds its outputs: no op is served by it alone, so no layer of the grid runs it."""
    conv, sums = (fitted[name_of(k)] for k in (conv_2d_pair_add.CONV, conv_2d_pair_add.SUM))
    outputs = [
        float(f"{a + b:.{DIGITS}g}")
        for a, b in zip(conv.get("outputs", (0, 0, 0)), sums["elements"], strict=True)
    ]
    return conv | {"outputs": outputs}


def non_negative(a: Floats, b: Floats) -> Floats:
    """x >= 0 with the least |a x - b|: Lawson and Hanson, Solving Least Squares Problems, chapter 23."""
    scale = np.linalg.norm(a, axis=0)
    scale[scale == 0] = 1
    a = a / scale
    x = np.zeros(a.shape[1])
    passive = np.zeros(a.shape[1], bool)
    for _ in range(10 * a.shape[1]):
        gradient = np.where(passive, -np.inf, a.T @ (b - a @ x))
        if gradient.max() <= 1e-9:
            break
        passive[gradient.argmax()] = True
        while True:
            s = np.zeros_like(x)
            s[passive] = np.linalg.lstsq(a[:, passive], b, rcond=None)[0]
            if (s[passive] > 0).all():
                break
            falls = passive & (s <= 0)
            x = x + (x[falls] / (x[falls] - s[falls])).min() * (s - x)
            passive &= x > 1e-12
            x[~passive] = 0
        x = s
    return np.asarray(x / scale)


def code(board: Board, kernels: Sequence[Kernel]) -> dict[str, dict[str, int]]:
    """For each kernel what its image holds more than one without kernels; what kernels share has a name."""
    with tempfile.TemporaryDirectory(prefix="offramp-") as folder:

        def pieces(*chosen: Kernel) -> Counter[tuple[str, str]]:
            built = firmware(board, Path(folder) / "image.elf", kernels=chosen)
            return footprint.pieces(built.map, built.sources)

        base = pieces()
        found = {name_of(k): pieces(k) - base for k in kernels}
    users = Counter(piece for of in found.values() for piece in of)
    names = numbered(piece for piece, n in users.items() if n > 1)
    return {
        name: {
            **{names[piece]: n for piece, n in of.items() if piece in names},
            "": sum(n for piece, n in of.items() if piece not in names),
        }
        for name, of in found.items()
    }


def numbered(pieces: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The sections' names; where several files have one, the second is `.text.run 2`."""
    seen: Counter[str] = Counter()
    names = {}
    for piece in pieces:
        seen[piece[1]] += 1
        names[piece] = piece[1] if seen[piece[1]] == 1 else f"{piece[1]} {seen[piece[1]]}"
    return names


def table(board_name: str, pattern: str) -> tuple[str, dict[str, Any], str]:
    """A core's name and rows, and how well they fit."""
    board, began = boards.load(board_name), time.monotonic()
    samples: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in measured(board, pattern):
        samples[name_of(sample.step.kernel)].append(sample)
    fitted = {name: prices(of) for name, of in samples.items()}
    if {name_of(conv_2d_pair_add.CONV), name_of(conv_2d_pair_add.SUM)} <= set(fitted):
        fitted[name_of(conv_2d_pair_add.KERNEL)] = joint_prices(fitted)
    sizes = code(board, kernels_on(board))  # of all: which pieces are shared
    rows = {name: {"prices": fitted[name], "code": sizes[name]} for name in sorted(fitted)}
    fits = [fit(board_name, CostTable(rows), of) for of in samples.values()]
    return board.core.name, rows, "\n".join([*fits, f"{board_name} took {time.monotonic() - began:.0f} s"])


def fit(board: str, rows: CostTable, samples: Sequence[Sample]) -> str:
    errors = []
    for s in samples:
        found = rows.cost(s.step, s.elements)
        assert found is not None
        errors.append(abs(found.instructions / s.cost.instructions - 1))
    name = f"{board} {name_of(samples[0].step.kernel)}"
    return (
        f"{name:50}{len(samples):5} samples, median error {np.median(errors):6.1%}, worst {max(errors):6.1%}"
    )


def main(args: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Renews the planner's cost table.")
    parser.add_argument(
        "--kernels", default="*", metavar="PATTERN", help="SET/NAME, with * and ?; several with commas"
    )
    parser.add_argument("boards", nargs="*", metavar="BOARD")
    wanted = parser.parse_args(args)
    by_core = {boards.load(n).core.name: n for n in reversed(boards.names()) if boards.load(n).emulator}
    costs = json.loads(TABLE.read_text())
    names = wanted.boards or list(by_core.values())
    with ProcessPoolExecutor(2) as pool:
        for core, rows, report in pool.map(table, names, [wanted.kernels] * len(names)):
            known = {} if wanted.kernels == "*" else costs.get(core, {})
            costs[core] = dict(sorted({**known, **rows}.items()))
            TABLE.write_text(text(costs))
            print(report, flush=True)
    return 0


def text(costs: Mapping[str, Any]) -> str:
    """JSON with a line for each kernel."""
    cores = [
        f'"{core}": {{\n' + ",\n".join(f' "{name}": {json.dumps(row)}' for name, row in rows.items()) + "\n}"
        for core, rows in sorted(costs.items())
    ]
    return "{\n" + ",\n".join(cores) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
