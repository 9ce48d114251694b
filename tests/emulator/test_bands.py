"""Layers in bands of rows: the same bits on every board, VWW in 32 KB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp import boards
from offramp.blob import write
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.ops.verify import verify
from offramp.passes import optimize
from offramp.plan import Options, make_plan
from offramp.plan.bands import chains, in_bands
from offramp.reference import Reference
from offramp_host.measure import measure
from tests.emulator.grid import GridCase, failures, from_graph, run_grid
from tests.pipeline import Array
from tests.random_nets import Net, random_net

pytestmark = pytest.mark.emulator

BOARDS = ("posix", "mps2_an385", "mps2_an386", "mps3_an547", "rv32_virt")
LIMIT = 32768


def deep_net(seed: int) -> Graph:
    """Layers of many windows one behind another: every stretch of them may run in bands."""
    net = Net(seed)
    rng = net.rng
    source = x = net.input(1, 17, 12, int(rng.choice([1, 3, 4])))
    for _ in range(4):
        size, stride = int(rng.choice([1, 2, 3, 3, 5])), int(rng.choice([1, 1, 2]))
        padding, dilation = str(rng.choice(["same", "same", "valid"])), 1
        if min(net.tensors[x].shape[1:3]) < 6:
            size, stride, padding = 1, 1, "same"
        elif stride == 1 and size == 3:
            dilation = int(rng.choice([1, 1, 2]))
        window: dict[str, Any] = {
            "stride_h": stride,
            "stride_w": stride,
            "padding": padding,
            "dilation_h": dilation,
        }
        channels = int(rng.choice([4, 5, 8, 12]))
        x = net.depthwise(x, **window) if rng.random() < 0.4 else net.conv(x, channels, size, **window)
    return net.graph([source], [x])


def in_random_bands(graph: Graph, rng: np.random.Generator) -> Graph | None:
    found = [c for at in range(len(graph.ops)) for _, c in chains(graph, at)]
    return in_bands(graph, found[rng.integers(len(found))]) if found else None


def rows_for(graph: Graph, rng: np.random.Generator) -> list[Array]:
    return [rng.integers(-128, 128, graph.tensors[i].shape).astype(np.int8) for i in graph.inputs]


@pytest.mark.parametrize("name", BOARDS)
def test_bands_give_the_same_bits(name: str, tmp_path: Path) -> None:
    board, cases = boards.load(name), []
    for seed in range(120 if name == "posix" else 40):
        rng = np.random.default_rng(seed)
        graph = random_net(seed) if seed % 4 == 0 else deep_net(seed)
        banded = in_random_bands(graph, rng)
        if banded is not None:
            verify(banded, f"net {seed}")
            row = rows_for(graph, rng)
            cases.append(from_graph(f"net {seed}", banded, board, "auto", [(row, Reference(graph).run(row))]))
    assert len(cases) > 30
    assert failures(run_grid(board, cases, tmp_path)) == []


@pytest.mark.parametrize("name", BOARDS)
def test_limits_that_bands_keep(name: str, tmp_path: Path) -> None:
    """Arenas under nine tenths of what they take otherwise, where the planner finds them."""
    board, cases = boards.load(name), []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        graph = deep_net(1000 + seed)
        limit = make_plan(graph, board).arena_bytes * 9 // 10
        case = limited(f"net {seed}", graph, name, limit, rng)
        cases += [case] if case else []
    assert len(cases) > 6
    assert failures(run_grid(board, cases, tmp_path)) == []


def limited(name: str, graph: Graph, board: str, limit: int, rng: np.random.Generator) -> GridCase | None:
    try:
        plan = make_plan(graph, boards.load(board), Options(ram_limit=limit))
    except UserError:
        return None
    assert plan.arena_bytes <= limit
    row = rows_for(graph, rng)
    expected = Reference(graph).run(row)
    return GridCase(name, write(plan), [([x.tobytes() for x in row], [y.tobytes() for y in expected])])


def test_vww_in_32_kilobytes(shared_data: Path, tmp_path: Path) -> None:
    board = boards.load("mps2_an386")
    graph = load_model(shared_data / "mlperf_tiny/vww_96_int8.tflite")
    plans = [make_plan(optimize(graph)[0], board, Options(ram_limit=limit)) for limit in (None, LIMIT)]
    assert plans[0].arena_bytes > LIMIT >= plans[1].arena_bytes
    assert "bands" in plans[1].metadata
    blobs = [write(plan) for plan in plans]
    assert len(blobs[1]) < 1.1 * len(blobs[0])
    usual, limited_ = (measure(board, blob).instructions_per_inference for blob in blobs)
    assert usual and limited_ and limited_ <= 1.15 * usual
    row = rows_for(graph, np.random.default_rng(0))
    case = GridCase("vww", blobs[1], [([row[0].tobytes()], [y.tobytes() for y in Reference(graph).run(row)])])
    assert failures(run_grid(board, [case], tmp_path)) == []


def test_a_limit_that_cannot_be_met_names_the_least(shared_data: Path) -> None:
    board = boards.load("mps2_an386")
    graph = optimize(load_model(shared_data / "mlperf_tiny/vww_96_int8.tflite"))[0]
    with pytest.raises(UserError, match="--ram-limit allows 20000 bytes") as caught:
        make_plan(graph, board, Options(ram_limit=20000))
    least = int(caught.value.message.split("take ")[1].split()[0])
    assert 20000 < least <= LIMIT and f"--ram-limit {least}" in str(caught.value.hint)
    assert make_plan(graph, board, Options(ram_limit=least)).arena_bytes == least
