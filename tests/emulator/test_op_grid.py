"""Every operator's grid through planner, blob, loader and kernels: all on posix, a share emulated."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.boards import Board
from offramp.frontends import tflite
from offramp.ops import GENERIC, conv_2d_tile
from offramp.reference import Reference
from tests.dynamic_layers import layers
from tests.emulator.grid import GridCase, failures, from_graph, from_oracle, run_grid
from tests.oracle import int16
from tests.oracle.binary import binary
from tests.oracle.cases import OPS, Case
from tests.oracle.compressed import compressed
from tests.oracle.planes import planes
from tests.reference.test_ops import at_edges
from tests.ways import taking

SEED = 2
OF_WIDTHS = "generic/conv_2d_slice"  # what test_widths.py has
SHARE = 2  # one case in so many on an emulated board
INT16_SHARE = 8


def grid_case(case: Case, board: Board, kernels: str) -> GridCase:
    """Outputs from the oracle; where the host converts float32, from the reference that equals it."""
    expected = case.expected()
    if all(x.dtype != np.float32 for row in (*case.rows, *expected) for x in row):
        return from_oracle(case, board, kernels)
    graph = tflite.load(case.model, case.name)
    reference = Reference(graph)
    rows = [at_edges(graph, row) for row in case.rows]
    return from_graph(case.name, graph, board, kernels, [(row, reference.run(row)) for row in rows])


def int16_cases(board: Board, step: int) -> list[GridCase]:
    """On int16 activations and of int4 weights, and dynamic layers."""
    drawn = [case for grid in int16.OPS.values() for case in itertools.islice(grid(SEED), 0, None, step)]
    dynamic = list(layers(SEED))[::step]
    return [grid_case(case, board, "generic") for case in drawn] + [
        from_graph(graph.name, graph, board, "generic", [([x], Reference(graph).run([x]))])
        for graph, x in dynamic
    ]


def compressed_cases(board: Board, share: int) -> list[GridCase]:
    """Layers whose weights can be stored compressed, by each kernel that does so."""
    found = []
    for _, case in compressed(SEED, share):
        for kernel in conv_2d_tile.KERNELS:
            with taking(f"generic/{kernel.name}"):
                packed = from_oracle(case, board, "generic")
            found += [packed] if packed.kernels == (f"generic/{kernel.name}",) else []
    return found


def compact_cases(board: Board, share: int) -> list[GridCase]:
    """By the kernels that compute what others look up in a table."""
    found = []
    for op, kernel in (("ADD", "add"), ("SUB", "add"), ("SOFTMAX", "softmax_exp")):
        for case in list(OPS[op](SEED))[::share]:
            with taking(f"generic/{kernel}"):
                found.append(grid_case(case, board, "generic"))
            assert found[-1].kernels == (f"generic/{kernel}",)
    return found


def own_cases(board: Board, share: int) -> list[GridCase]:
    """Layers that no other runtime has, outputs from the reference: binary, and with weights in planes."""
    graphs = [(c.name, c.graph, c.inputs) for c in binary(SEED)][::share]
    graphs += [(c.name, g, c.inputs) for c, g in planes(SEED)][:: 8 * share]
    graphs += [(c.name, g, c.inputs) for c, g in planes(SEED)][1 :: 8 * share]
    return [
        from_graph(name, graph, board, "generic", [(x, Reference(graph).run(x))]) for name, graph, x in graphs
    ]


def test_all_operators_on_posix(tmp_path: Path) -> None:
    board = boards.load("posix")
    cases = [grid_case(case, board, "generic") for op in OPS for case in OPS[op](SEED)]
    cases += int16_cases(board, INT16_SHARE)
    cases += compressed_cases(board, 12) + own_cases(board, 1) + compact_cases(board, 1)
    wanted = {f"generic/{k.name}" for k in GENERIC} - {OF_WIDTHS}
    assert {name for case in cases for name in case.kernels} == wanted
    assert failures(run_grid(board, cases, tmp_path, sanitize=True)) == []


@pytest.mark.emulator
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="needs qemu")
@pytest.mark.parametrize("name", ["mps2_an385", "mps2_an386", "mps3_an547", "rv32_virt"])
def test_a_share_on_emulated_boards(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    cases = [grid_case(case, board, "generic") for op in OPS for case in list(OPS[op](SEED))[::SHARE]]
    cases += compact_cases(board, 8)
    assert failures(run_grid(board, cases, tmp_path)) == []


@pytest.mark.emulator
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="needs qemu")
@pytest.mark.parametrize("name", ["microbit", "mps2_an385", "mps2_an386", "mps3_an547", "rv32_virt"])
def test_a_share_of_int16_on_emulated_boards(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    assert failures(run_grid(board, int16_cases(board, INT16_SHARE), tmp_path)) == []


@pytest.mark.soak
@pytest.mark.emulator
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="needs qemu")
@pytest.mark.parametrize("name", ["posix", "mps2_an385", "mps2_an386", "mps3_an547", "rv32_virt"])
def test_int16_in_full(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    assert failures(run_grid(board, int16_cases(board, 1), tmp_path, sanitize=name == "posix")) == []


@pytest.mark.emulator
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="needs qemu")
def test_layers_on_a_core_without_long_multiplication(tmp_path: Path) -> None:
    board = boards.load("microbit")
    cases = [
        from_oracle(case, board, "generic") for op in ("CONV_2D", "FULLY_CONNECTED") for case in OPS[op](SEED)
    ]
    assert sum("generic/conv_2d_pair" in case.kernels for case in cases) >= 100
    assert failures(run_grid(board, cases, tmp_path)) == []


@pytest.mark.emulator
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="needs qemu")
def test_averages_on_a_core_without_division(tmp_path: Path) -> None:
    board = boards.load("microbit")
    cases = [from_oracle(case, board, "generic") for case in OPS["AVERAGE_POOL_2D"](SEED)]
    assert sum("generic/average_pool_2d" in case.kernels for case in cases) >= 20
    assert failures(run_grid(board, cases, tmp_path)) == []


@pytest.mark.emulator
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="needs qemu")
@pytest.mark.parametrize("name", ["posix", "mps2_an385", "rv32_virt", "microbit"])
def test_additions_in_convolutions(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    board = boards.load(name)
    seeds = range(4 if "soak" in str(request.config.getoption("-m")) else 1)
    cases = [from_oracle(case, board, "generic") for seed in seeds for case in OPS["RESIDUAL"](seed)]
    assert sum(case.kernels == ("generic/conv_2d_pair_add",) for case in cases) >= 60 * len(seeds)
    assert failures(run_grid(board, cases, tmp_path, sanitize=name == "posix")) == []


@pytest.mark.emulator
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="needs qemu")
@pytest.mark.parametrize("name", ["mps2_an385", "mps2_an386", "rv32_virt", "microbit"])
def test_compressed_weights(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    board = boards.load(name)
    share = 1 if "soak" in str(request.config.getoption("-m")) else 12
    cases = compressed_cases(board, share) + own_cases(board, min(share, 3))
    assert {name for case in cases for name in case.kernels} == {
        f"generic/{k.name}" for k in GENERIC if k.group in ("compressed", "binary")
    } - {OF_WIDTHS}
    assert failures(run_grid(board, cases, tmp_path)) == []
