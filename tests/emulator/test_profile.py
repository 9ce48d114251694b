"""Counts by class equal what a program of known length does, and the emulator's own count on every core."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from offramp import boards, cli, cycles
from offramp.build import Source, Sources, build
from offramp.build.sources import port_sources
from offramp.errors import UserError
from offramp.pack import pack
from offramp.plan import Options
from offramp_host import tcg
from offramp_host.device import Device
from offramp_host.disassembly import disassemble
from offramp_host.emulator import Emulator
from offramp_host.measure import measure
from offramp_host.profile import Profile, profile, tally
from tests import small_models
from tests.emulator.test_ports import Line, is_running

pytestmark = pytest.mark.emulator

APP = Path(__file__).parent / "apps" / "counted.c"
EMULATED = [name for name in boards.names() if boards.load(name).emulator is not None]
TURNS, WORDS = 100, 50
# What a step's section holds beside the step: the call and the return of the reading of the ticks.
MOST_AROUND_A_STEP = 8


def packed(board: boards.Board, folder: Path) -> bytes:
    (folder / "m.tflite").write_bytes(small_models.classifier())
    return pack(folder / "m.tflite", board, Options())[1]


@pytest.mark.parametrize("name", EMULATED)
def test_a_program_of_known_length(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    sources = port_sources(board) + Sources((Source(APP, "application"),))
    image = build(board, sources, tmp_path / "image.elf")
    counted = tmp_path / "counted, twice"  # QEMU parts arguments at commas
    args = tcg.count_args(board, image.elf, counted)
    with Emulator(board, image.elf, timeout_s=60, args=args) as emulator:
        Line(emulator)
        assert emulator.wait() == 7
    assert not is_running(emulator.pid)
    code = disassemble(image.elf, board.core)
    _, loop, flash, ram = tcg.read_sections(counted)
    [turns] = [pc for pc, e in loop.items() if e.taken == TURNS - 1]
    assert code.function(turns) == "turns" and loop[turns].times == TURNS
    counts = tally(loop, code)
    assert counts["branch_not_taken"] == 1
    assert 0 <= counts["alu"] - TURNS <= 6 and 0 <= counts["branch_taken"] - (TURNS - 1) <= 5
    assert 0 <= cycles.instructions(counts) - 2 * TURNS <= 12
    of_reads = [{pc: e for pc, e in s.items() if code.function(pc) == "reads"} for s in (flash, ram)]
    assert [sum(e.flash_bytes for e in s.values()) for s in of_reads] == [4 * WORDS, 0]
    assert [tally(s, code)["load"] for s in of_reads] == [WORDS, WORDS]


@pytest.mark.parametrize("name", EMULATED)
def test_steps_equal_the_emulators_count(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    data = packed(board, tmp_path)
    expected = [step.instructions or 0 for step in measure(board, data).steps]
    found = profile(board, data)
    around = [step.cost.instructions - n for step, n in zip(found.steps, expected, strict=True)]
    assert len(set(around)) == 1 and 0 <= around[0] <= MOST_AROUND_A_STEP
    assert_adds_up(found)
    assert found == profile(board, data), "it repeats exactly"


def test_more_steps_than_one_reply_holds(tmp_path: Path) -> None:
    board = boards.load("mps2_an386")
    (tmp_path / "deep.tflite").write_bytes(small_models.chain(70))
    data = pack(tmp_path / "deep.tflite", board, Options())[1]
    expected = [step.instructions or 0 for step in measure(board, data).steps]
    found = profile(board, data)
    assert len(found.steps) > 61
    assert len({step.cost.instructions - n for step, n in zip(found.steps, expected, strict=True)}) == 1


def assert_adds_up(found: Profile) -> None:
    for whole, parts in [
        (found.cost, [step.cost for step in found.steps]),
        (found.cost, [f.cost for f in found.functions]),
        *((step.cost, [f.cost for f in step.functions]) for step in found.steps),
    ]:
        assert whole.instructions == sum(part.instructions for part in parts) > 0
        assert whole.flash_bytes == sum(part.flash_bytes for part in parts)
        assert abs(whole.cycles - sum(part.cycles for part in parts)) <= len(parts)  # each is rounded
        for name in whole.counts:
            assert whole.counts[name] == sum(part.counts.get(name, 0) for part in parts)
        assert whole.instructions == cycles.instructions(whole.counts)


def test_reading_flash_costs_what_the_board_says(tmp_path: Path) -> None:
    board = boards.load("mps2_an386")
    slow = replace(board, code=replace(board.code, read_cycles_per_byte=1.5))
    data = packed(board, tmp_path)
    fast_cost, slow_cost = profile(board, data).cost, profile(slow, data).cost
    assert slow_cost.instructions == fast_cost.instructions
    assert slow_cost.cycles - fast_cost.cycles == pytest.approx(1.5 * fast_cost.flash_bytes, abs=1)
    assert fast_cost.flash_bytes > 0


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.tflite").write_bytes(small_models.classifier())
    call = ["profile", str(tmp_path / "m.tflite"), "--board", "mps2_an386"]
    assert cli.call([*call, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["board"] == "mps2_an386" and "Cortex-M4" in said["cycle_model"]
    assert said["cost"]["cycles_estimate"] == pytest.approx(
        sum(step["cost"]["cycles_estimate"] for step in said["steps"]), abs=len(said["steps"])
    )
    assert said["functions"][0]["cost"]["cycles_estimate"] >= said["functions"][-1]["cost"]["cycles_estimate"]
    assert cli.call([*call, "--functions", "2"]) == 0
    table, note = capsys.readouterr()
    assert "cycles, est." in table and "estimate: Cortex-M4" in table.replace("\n", " ")
    assert "cycles are estimates" in note


def test_a_host_is_refused(tmp_path: Path) -> None:
    posix = boards.load("posix")
    with pytest.raises(UserError, match="posix does not count instructions"):
        profile(posix, packed(posix, tmp_path))


def test_without_gcc_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match="gcc is not installed") as caught:
        tcg.plugin("count")
    assert "apt-get install gcc" in caught.value.hint


def test_a_board_that_hangs_is_stopped_with_its_plugin(tmp_path: Path) -> None:
    board = boards.load("mps2_an386")
    (tmp_path / "app.c").write_text('#include "port.h"\nint app_main(void) { for (port_ticks();;) { } }\n')
    sources = port_sources(board) + Sources((Source(tmp_path / "app.c", "application"),))
    image = build(board, sources, tmp_path / "image.elf")
    args = tcg.count_args(board, image.elf, tmp_path / "counted")
    with Emulator(board, image.elf, timeout_s=3, args=args) as emulator, pytest.raises(UserError):
        Device(emulator.url, timeout_s=20)
    assert emulator.timed_out and not is_running(emulator.pid)
