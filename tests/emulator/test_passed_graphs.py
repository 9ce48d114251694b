"""What the graph passes make runs on the boards' kernels: explicit padding, tables, odd channel counts, VWW."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.boards import Board
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.ops.pool_2d import Pool
from offramp.passes import optimize
from offramp.reference import Reference
from tests.emulator.grid import GridCase, failures, from_graph, run_grid
from tests.random_nets import Net, random_net

pytestmark = pytest.mark.emulator

BOARDS = ("posix", "mps2_an385", "mps2_an386", "mps3_an547", "rv32_virt")


def case(name: str, before: Graph, after: Graph, board: Board, n: int = 2) -> GridCase:
    rng = np.random.default_rng(0)
    inputs = [
        [rng.integers(-128, 128, before.tensors[i].shape).astype(np.int8) for i in before.inputs]
        for _ in range(n)
    ]
    reference = Reference(before)
    return from_graph(name, after, board, "auto", [(row, reference.run(row)) for row in inputs])


def padded_layers() -> list[tuple[str, Graph]]:
    """Convolutions, depthwise layers and pools with padding that neither SAME nor VALID gives."""
    found = []
    pads = ((1, 1, 1, 1), (2, 2, 0, 0), (0, 0, 2, 1), (1, 2, 0, 1))
    for pad, stride, channels in itertools.product(pads, (1, 2), (1, 4, 6)):
        for kind in ("conv", "depthwise"):
            net = Net(len(found))
            source = net.input(1, 7, 8, channels)
            window = {"stride_h": stride, "stride_w": stride, "padding": "explicit", "pads": pad}
            layer = net.conv(source, 6, 3, **window) if kind == "conv" else net.depthwise(source, **window)
            found.append((f"{kind} {pad} stride {stride} channels {channels}", net.graph([source], [layer])))
        for kind in ("max_pool_2d", "average_pool_2d"):
            net = Net(len(found))
            source = net.input(1, 7, 8, channels)
            pool = Pool(3, 3, stride, stride, "explicit", "relu6" if channels == 4 else "none", pad)
            layer = net.op(kind, (source,), pool)
            found.append((f"{kind} {pad} stride {stride} channels {channels}", net.graph([source], [layer])))
    return found


@pytest.mark.parametrize("name", BOARDS)
def test_passed_graphs_equal_the_reference(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    cases = [case(what, graph, graph, board) for what, graph in padded_layers()]
    for seed in range(40):
        graph = random_net(seed)
        cases.append(case(f"net {seed}", graph, optimize(graph, 1 + seed % 4)[0], board))
    assert failures(run_grid(board, cases, tmp_path)) == []


@pytest.mark.parametrize("multiple", [1, 4])
def test_vww_without_its_constants(shared_data: Path, tmp_path: Path, multiple: int) -> None:
    board = boards.load("mps2_an386")
    graph = load_model(shared_data / "mlperf_tiny/vww_96_int8.tflite")
    assert (
        failures(run_grid(board, [case("vww", graph, optimize(graph, multiple)[0], board, 1)], tmp_path))
        == []
    )
