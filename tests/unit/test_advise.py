"""`offramp advise`: verdicts on each side of a limit and within the estimate's error, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from offramp import boards, cli, ofg
from offramp.advice import Limits, Variant, advise
from offramp.blob import read
from offramp.build.blob_image import blob_image
from offramp.estimate import Duty, estimate
from offramp.ir import Graph
from offramp.pack import pack
from tests.families import family
from tests.fuzz.seeds import exits_net

BOARD = boards.load("esp32-c3-devkitm-1")
NET = Variant("net", exits_net())


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.call(["advise", *words, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_figures_are_those_of_the_plan() -> None:
    plan, _ = pack(NET.graph, BOARD)
    assert plan.cost is not None and round(plan.cost.instructions) == pytest.approx(plan.instructions, abs=20)
    wanted = estimate(BOARD, plan.cost.cycles, plan.cost.flash_bytes)
    found = advise(NET, BOARD, Limits(), Duty(1000.0), 100.0)
    assert wanted is not None and (found.latency_ms, found.energy_uj) == (wanted.latency_ms, wanted.energy_uj)
    assert found.verdict == "yes" and found.mean_ma and found.battery_days
    assert found.battery_days == pytest.approx(100 / found.mean_ma / 24)
    assert found.latency_error.startswith("-27% to +17%")


@pytest.mark.parametrize("net", [exits_net(), family()], ids=["exits", "family"])
def test_flash_is_at_least_what_an_image_takes(tmp_path: Path, net: Graph) -> None:
    """Of exits and of several plans, whose code is the largest."""
    _, data = pack(net, BOARD)
    (tmp_path / "model.ofr").write_bytes(data)
    image = blob_image(read(data, "net"), BOARD, tmp_path / "image.elf", linked=tmp_path / "model.ofr")
    measured = sum(image.footprint.flash_bytes.values())
    estimated = advise(Variant("net", net), BOARD, Limits()).flash_bytes
    assert estimated is not None and measured <= estimated < measured + 4000


@pytest.mark.parametrize(
    ("factor", "verdict"), [(0.5, "no"), (0.9, "perhaps"), (1.1, "perhaps"), (2.0, "yes")]
)
def test_a_limit_of_time(factor: float, verdict: str) -> None:
    """The error of all cores reaches from 1 / 1.17 to 1 / 0.73 of an estimate."""
    latency = advise(NET, BOARD, Limits()).latency_ms
    assert latency is not None
    assert advise(NET, BOARD, Limits(latency_ms=factor * latency)).verdict == verdict


def test_limits_of_bytes_and_of_what_cannot_be_known() -> None:
    free = advise(NET, BOARD, Limits())
    assert free.flash_bytes and free.ram_bytes
    exact = Limits(flash_bytes=free.flash_bytes, ram_bytes=free.ram_bytes)
    assert advise(NET, BOARD, exact).verdict == "yes"
    for field in ("flash_bytes", "ram_bytes"):
        assert advise(NET, BOARD, Limits(**{field: getattr(free, field) - 1})).verdict == "no"
    assert advise(NET, boards.load("esp32dev"), Limits(latency_ms=1e6)).verdict == "unknown"
    assert advise(NET, boards.load("pico"), Limits(energy_uj=1e9)).verdict == "unknown"
    assert advise(NET, boards.load("nano33ble"), Limits(latency_ms=1e6)).verdict == "perhaps"  # a lower bound


@pytest.mark.parametrize("board", ["nano33ble", "pico", BOARD.name])
def test_a_run_must_fit_in_its_period(board: str) -> None:
    """Also where the board file has no currents; within the error it is a perhaps."""
    target = boards.load(board)
    free = advise(NET, target, Limits())
    assert free.latency_ms is not None and free.latency_range_ms is not None
    for factor, verdict in ((0.2, "no"), (0.98, "perhaps"), (1.01, "perhaps"), (3.0, "yes")):
        found = advise(NET, target, Limits(), Duty(factor * free.latency_ms + 3.0, 2.0))
        assert found.verdict == verdict, (factor, found.why)
        assert (found.mean_ma is not None) == (target.power is not None and factor > 1)
    assert advise(NET, boards.load("esp32dev"), Limits(), Duty(1000.0)).verdict == "unknown"


def test_the_same_answer_every_time(tmp_path: Path) -> None:
    """Whatever seed Python hashes with: code that kernels share is counted in the plan's order."""
    model = Path(__file__).parents[2] / "models/fashion_mnist/small.ofg"
    command = [str(Path(sys.executable).parent / "offramp"), "advise", str(model), "--json"]
    command += ["-b", "nano33ble,nucleo_h743zi"]
    found = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "0123"
    }
    assert len(found) == 1


def test_a_folder_with_a_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.ofg").write_bytes(ofg.dump(exits_net()))
    row = {"variant": "b", "accuracy": 0.9, "exits": {"mean_instructions": 25, "worst_instructions": 100}}
    (tmp_path / "card.json").write_text(json.dumps([row]))
    found = told(capsys, str(tmp_path), "-b", BOARD.name)
    by_name = {answer["variant"]: answer for answer in found["answers"]}
    assert [a["variant"] for a in found["answers"]] == ["b", "a"]
    assert by_name["b"]["energy_uj"] == pytest.approx(by_name["a"]["energy_uj"] / 4)
    assert by_name["b"]["latency_ms"] == by_name["a"]["latency_ms"]
    assert cli.call(["advise", str(tmp_path), "-b", f"{BOARD.name},pico,microbit"]) == 0
    assert "packing 6 times: variants 2, boards 3" in capsys.readouterr().err
    alone = asdict(advise(Variant("a", exits_net()), BOARD, Limits()))
    assert json.loads(json.dumps(alone)) == by_name["a"]


def test_every_board_that_is_for_sale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.ofg").write_bytes(ofg.dump(exits_net()))
    found = told(capsys, str(tmp_path / "net.ofg"), "--period-ms", "1000", "--battery-mah", "220")
    assert {a["board"] for a in found["answers"]} >= {"nano33ble", "pico", "esp32dev", "microbit"}
    assert not any(a["board"].startswith("mps") for a in found["answers"])
    assert any("23 mA" in line for line in found["assumptions"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["FOLDER"], "holds no integer .ofg file"),
        (["FOLDER", "--battery-mah", "10"], "--battery-mah needs --period-ms"),
        (["FOLDER", "--sample-ms", "10"], "--sample-ms needs --period-ms"),
        (["FOLDER", "--wake-ms", "10"], "--wake-ms needs --period-ms"),
        (["FOLDER", "--period-ms", "9", "--sample-ma", "10"], "--sample-ma needs --sample-ms"),
        (["FOLDER", "--period-ms", "0"], "--period-ms 0: it is above 0"),
        (["FOLDER", "--period-ms", "9", "--battery-mah", "0"], "--battery-mah 0: it is above 0"),
        (["FOLDER", "--latency-ms", "-1"], "--latency-ms"),
        (["FOLDER", "--latency-ms", "inf"], "--latency-ms inf: numbers up to 9e+09 are taken"),
        (["FOLDER", "-b", "nano"], "no board is called"),
    ],
)
def test_refusals(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["advise", *(str(tmp_path) if w == "FOLDER" else w for w in words)]) == 1
    assert message in capsys.readouterr().err


def test_a_damaged_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.ofg").write_bytes(ofg.dump(exits_net()))
    (tmp_path / "card.json").write_text("[1]")
    assert cli.call(["advise", str(tmp_path)]) == 1
    assert "is no model card" in capsys.readouterr().err
