"""The cycle model's tables are whole, and its sums are those that the manuals give for short sequences."""

from __future__ import annotations

from pathlib import Path

import pytest

from offramp import boards, cycles
from offramp.cycles import EVENTS, INSTRUCTIONS, cycle_model
from offramp.errors import UserError
from tools.cycle_check import Case, predictions, read_cost

WITHOUT = {"native", "xtensa-lx6", "xtensa-lx7"}  # neither emulated nor published


@pytest.mark.parametrize("core", sorted(set(boards.CORES) - WITHOUT))
def test_every_core_prices_every_class(core: str) -> None:
    model = cycle_model(core)
    assert model is not None and model.source
    assert set(INSTRUCTIONS) <= set(model.cycles) <= {*INSTRUCTIONS, *EVENTS}
    for name in INSTRUCTIONS:
        assert model({name: 1}) >= 0
    published = core in ("cortex-m0", "cortex-m3", "cortex-m4f", "rv32imc")
    assert ("approximation" in model.source) != published


@pytest.mark.parametrize("core", sorted(WITHOUT))
def test_a_host_has_no_model(core: str) -> None:
    assert cycle_model(core) is None


@pytest.mark.parametrize(
    ("core", "counts", "expected"),
    [
        ("cortex-m4f", {"load_multiple": 1, "loaded_words": 4}, 5),
        ("cortex-m4f", {"load": 3, "pipelined_load": 2}, 4),
        ("cortex-m4f", {"dsp_mac": 8, "long_multiply": 1}, 9),
        ("cortex-m3", {"multiply": 1, "multiply_add": 1}, 3),
        ("cortex-m3", {"load_multiple": 1, "loaded_words": 2, "refill": 1}, 6),
        ("cortex-m0", {"branch_taken": 1, "branch_not_taken": 1, "load": 1}, 6),
        ("rv32imc", {"branch_taken": 1, "branch_not_taken": 1, "load": 2, "load_use": 1}, 7),
        # A load and a multiply-accumulate in turn: a cycle each once the beats overlap.
        ("cortex-m55", {"vector_load": 10, "vector_mac": 10, "vector_overlap": 20}, 20),
    ],
)
def test_sums(core: str, counts: dict[str, int], expected: float) -> None:
    model = cycle_model(core)
    assert model is not None and model(counts) == expected


def test_events_are_no_instructions() -> None:
    assert cycles.instructions({"load": 2, "load_multiple": 1, "loaded_words": 9, "branch_taken": 1}) == 4


def test_the_check_recovers_a_read_cost_and_says_what_misses_it() -> None:
    true = {
        name: Case(c + 1.5 * f, c, c, f) for name, c, f in (("a", 100, 40), ("b", 500, 30), ("c", 90, 90))
    }
    assert read_cost(list(true.values())) == pytest.approx(1.5)
    assert all(abs(p.error) < 1e-9 for p in predictions(true).values())
    wrong = true | {"c": Case(500, 90, 90, 90)}
    assert predictions(wrong)["c"].error == pytest.approx((90 + 1.5 * 90) / 500 - 1)


def test_a_board_may_say_what_reading_costs(tmp_path: Path) -> None:
    text = (boards.resources.root() / "boards" / "mps2_an386.toml").read_text()
    size = "size = 0x40_0000 }"
    assert boards.load("mps2_an386").code.read_cycles_per_byte == 0.0
    path = tmp_path / "mps2_an386.toml"
    path.write_text(text.replace(size, "size = 0x40_0000, read_cycles_per_byte = 1.25 }", 1))
    assert boards.parse(path).code.read_cycles_per_byte == 1.25
    for wrong in ("-1.0", "inf", "2", '"2"'):
        path.write_text(text.replace(size, f"size = 0x40_0000, read_cycles_per_byte = {wrong} }}", 1))
        with pytest.raises(UserError, match=r"memory\.flash\.read_cycles_per_byte: found"):
            boards.parse(path)
