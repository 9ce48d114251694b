"""What models cost on every board may not grow beyond tests/budgets.json, and the promised bars hold."""

from __future__ import annotations

import json

import pytest

from offramp import boards
from offramp.build import compiler_for
from tools import bench

BUDGETS = json.loads(bench.BUDGETS.read_text())
FIGURES = ("instructions_per_inference", "instructions_init", "blob_bytes", "arena_bytes", "state_bytes")
IMAGE_FIGURES = ("static_ram_bytes", "stack_bytes", "image_bytes_without_model")


def recorded(model: str, board: str, kernels: str) -> dict[str, int] | None:
    """The budget's row for the compiler that is installed."""
    compiler = str(compiler_for(boards.load(board).core))
    if compiler not in BUDGETS:
        pytest.skip(f"no budgets for {compiler}; `make bench` records them")
    row: dict[str, int] | None = BUDGETS[compiler].get(f"{model}/{board}/{kernels}")
    return row


@pytest.mark.emulator
@pytest.mark.parametrize(("model", "board", "kernels"), bench.cells())
def test_budget(model: str, board: str, kernels: str) -> None:
    row = recorded(model, board, kernels)
    found = bench.measured(model, board, kernels)
    if found is None or row is None:
        assert found is None and row is None, "a model began or ceased to fit: run `make bench`"
        return
    figures = bench.row(found)
    for name in (*FIGURES, *IMAGE_FIGURES):
        assert figures[name] <= row[name], (
            f"{name} grew from {row[name]} to {figures[name]}; if meant: make bench"
        )
        assert figures[name] >= 0.95 * row[name], (
            f"{name} fell from {row[name]} to {figures[name]}: make bench"
        )


@pytest.mark.parametrize(
    ("model", "kernels", "instructions", "arena", "image"),
    [
        ("KWS", "cmsis_nn", 7_900_000, 17_700, 24 * 1024),
        ("IC", "cmsis_nn", 30_500_000, 54_600, 24 * 1024),
        ("VWW", "cmsis_nn", 24_800_000, 60_000, 24 * 1024),
        ("AD", "cmsis_nn", 590_000, 1_600, 24 * 1024),
        ("KWS", "dsp", 2_900_000, 10_500, 16 * 1024),
        ("IC", "dsp", 11_000_000, 37_000, 16 * 1024),
        ("VWW", "dsp", 5_900_000, 40_000, 16 * 1024),
        ("AD", "dsp", 250_000, 1_450, 12 * 1024),
    ],
)
def test_bars_on_an386(model: str, kernels: str, instructions: int, arena: int, image: int) -> None:
    for row in rows(model, "mps2_an386", kernels):
        assert row["instructions_per_inference"] <= instructions
        assert row["instructions_init"] <= max(10_000, row["instructions_per_inference"] // 100)
        assert row["arena_bytes"] <= arena
        assert row["image_bytes_without_model"] <= image
        assert row["static_ram_bytes"] <= 2048
        assert row["stack_bytes"] <= 1536


@pytest.mark.parametrize(("board", "instructions"), [("mps2_an385", 14_000_000), ("rv32_virt", 16_000_000)])
def test_bars_of_generic_kernels(board: str, instructions: int) -> None:
    for row in rows("KWS", board, "generic"):
        assert row["instructions_per_inference"] <= instructions


def rows(model: str, board: str, kernels: str) -> list[dict[str, int]]:
    """This row for every compiler that has been measured."""
    found = [table[key] for table in BUDGETS.values() if (key := f"{model}/{board}/{kernels}") in table]
    assert found, "no such row: make bench"
    return found
