"""`run` and `bench` on a model with exits: where rows leave, what they take, and what the options change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp import boards, cli, ofg
from offramp.blob import write
from offramp.exits import LAST, Answers, answers
from offramp.pack import pack
from offramp.plan import make_plan
from offramp_host.certify import certify
from tests.digits_exits import N_FITTED, classifier, digits
from tests.families import family

pytestmark = pytest.mark.emulator

BOARD = boards.load("mps2_an386")
RUN = ["run", "d.ofr", "--board", "mps2_an386", "-i", "x.npy"]
ROWS = 40
Told = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model with exits, certified; one without stage costs; one without exits; rows for the first."""
    folder = tmp_path_factory.mktemp("exits")
    graph = classifier()
    (folder / "d.ofr").write_bytes(certify(pack(graph, BOARD)[0], BOARD)[1])
    (folder / "unknown.ofr").write_bytes(write(make_plan(graph, BOARD)))
    (folder / "f.ofg").write_bytes(ofg.dump(family(("medium",))))
    np.save(folder / "x.npy", digits()[0][N_FITTED : N_FITTED + ROWS, None])
    np.save(folder / "f.npy", np.zeros((2, 12, 12, 1), np.int8))
    return folder


@pytest.fixture
def told(made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Told]:
    """What a command line prints as JSON."""
    monkeypatch.chdir(made)

    def call(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        assert cli.call([*arguments, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        return found[0] if isinstance(found, list) else found

    yield call


@pytest.fixture(scope="module")
def reference() -> Answers:
    return answers(classifier(), digits()[0][N_FITTED : N_FITTED + ROWS])


def counts(reference: Answers, *thresholds: int) -> list[int]:
    left = reference.left(thresholds)
    return [int((left == i).sum()) for i in (0, 1, LAST)]


def test_run_says_where_rows_left(told: Told, reference: Answers, made: Path) -> None:
    found = told(*RUN, "-o", "y.npz")["exits"]
    assert found["names"] == ["exit0", "exit1", "end"] and found["is_measured"]
    assert found["answers"] == counts(reference, 60, 60)
    assert np.allclose(found["shares"], np.array(found["answers"]) / ROWS)
    assert found["mean_instructions"] < found["p95_instructions"] <= found["worst_instructions"]
    assert found["worst_instructions"] <= found["worst_proved"]
    written = np.load(made / "y.npz")
    left = reference.left((60, 60))
    assert np.array_equal(written["exit"], left)
    name = next(key for key in written.files if key not in ("exit", "confidence"))
    assert np.array_equal(written[name].argmax(axis=1), reference.classes(left))


def test_thresholds_and_no_exits(told: Told, reference: Answers) -> None:
    assert told(*RUN, "--thresholds", "30,exit1=100")["exits"]["answers"] == counts(reference, 30, 100)
    assert told(*RUN, "--no-exits")["exits"]["answers"] == [0, 0, ROWS]
    assert told("run", "f.ofg", "--board", "mps2_an386", "-i", "f.npy", "--no-exits")["exits"] is None


@pytest.mark.parametrize("unit", ["", "ticks"])
def test_budget(told: Told, unit: str) -> None:
    plain = told(*RUN, "--thresholds", "65535,65535")["exits"]
    assert BOARD.emulator is not None
    budget = plain["mean_instructions"] * 2 // 3
    given = budget if not unit else budget * BOARD.emulator.denominator // BOARD.emulator.numerator
    found = told(*RUN, "--thresholds", "65535,65535", "--budget", f"{given}{unit}")["exits"]
    assert found["worst_instructions"] <= budget and found["over_budget"] == 0
    assert found["cut_short"] == ROWS and found["answers"][2] == 0
    assert found["worst_proved"] == (budget if not unit else None) and plain["worst_proved"] > budget


def test_a_budget_bounds_what_any_row_takes(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    plain = told(*RUN, "--no-exits")["exits"]["worst_proved"]
    for options, worst in (
        (["--budget", "9_000_000"], plain),
        (["--exit-policy", f"energy:{plain - 9}:1"], plain - 9),
        (["--exit-policy", f"energy:{plain - 9}:1:{2 * plain}"], plain),
    ):
        assert told(*RUN, *options)["exits"]["worst_proved"] == worst
    for options, title in (
        ([*RUN, "--budget", "9000000"], "worst of any row, within the budget"),
        (RUN, "worst of any row, without a budget"),
        (["bench", *RUN[1:4]], "worst of any row, without a budget"),
    ):
        assert cli.call(options) == 0
        assert title in capsys.readouterr().out


def test_a_tick_is_explained(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call([*RUN, "--budget", "9000000ticks"]) == 0
    assert "ticks: 6.4 ticks an instruction on mps2_an386" in capsys.readouterr().err
    assert cli.call(["bench", *RUN[1:4]]) == 0
    assert "(6.4 ticks an instruction on mps2_an386)" in capsys.readouterr().err


def test_policies(told: Told) -> None:
    plain = told(*RUN)["exits"]
    patient = told(*RUN, "--exit-policy", "patience:20:5,confirm:2,predict:8")["exits"]
    assert patient["answers"] != plain["answers"]
    energy = 6 * plain["mean_instructions"]
    spent = told(*RUN, "--thresholds", "65535,65535", "--exit-policy", f"energy:{energy}:10")["exits"]
    assert spent["mean_instructions"] * 10 <= energy and spent["cut_short"] > 0


def test_bench(told: Told, reference: Answers) -> None:
    found = told("bench", "d.ofr", "--board", "mps2_an386", "--inputs", "x.npy")
    assert [stage["name"] for stage in found["stages"]] == ["exit0", "exit1", "end"]
    for stage in found["stages"]:
        assert stage["instructions"] <= stage["instructions_proved"] <= stage["instructions"] * 1.05
    assert sum(s["instructions"] for s in found["stages"]) <= found["instructions_per_inference"]
    assert found["exits"]["answers"] == counts(reference, 60, 60)
    random = told("bench", "d.ofr", "--board", "mps2_an386")
    assert sum(random["exits"]["answers"]) == 20


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--thresholds", "70000"], "70000 is no number from 0 to 65535", "NAME=VALUE"),
        (
            ["--thresholds", "1,2,3"],
            "--thresholds 1,2,3: that is 3; exits of net: 2, exit0, exit1",
            "65535",
        ),
        (
            ["--thresholds", "1"],
            "--thresholds 1: that is 1; exits of net: 2, exit0, exit1",
            "0 (leaves always)",
        ),
        (["--thresholds", ""], "--thresholds '': nothing is no number from 0 to 65535; exits of", "for each"),
        (
            ["--thresholds", "exit7=3"],
            "there is no exit exit7; exits of net: 2, exit0, exit1",
            "NAME=VALUE",
        ),
        (["--thresholds", "exit1=3,exit1=4"], "exit1 is given twice", "NAME=VALUE"),
        (["--budget", "0"], "--budget 0: it is a number", "--budget 400000"),
        (["--budget", "5us"], "--budget 5us: it is a number", "12000ticks"),
        (["--budget", "400"], "error: --budget 400: OFR_E_BUDGET", "least possible"),
        (
            ["--budget", "9ticks"],
            "error: --budget 9ticks: OFR_E_BUDGET",
            "6.4 ticks an instruction on mps2_an386",
        ),
        (
            ["--exit-policy", "energy:400:2"],
            "error: --exit-policy energy:400:2: OFR_E_BUDGET",
            "least possible",
        ),
        (
            ["--budget", "9000000", "--exit-policy", "energy:400:2"],
            "error: --exit-policy energy:400:2: OFR_E_BUDGET",
            "least possible",
        ),
        (["--exit-policy", "hope:3"], "hope:3 is no part of a policy", "patience:10:40"),
        (["--exit-policy", "energy:5"], "energy:5 is no part of a policy", "energy:2000000:10"),
        (
            ["--exit-policy", "predict:300"],
            "--exit-policy predict:300: look 300 is no number from 0 to 255",
            "0 leaves this part out",
        ),
    ],
)
def test_refusals(
    made: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
    hint: str,
) -> None:
    monkeypatch.chdir(made)
    assert cli.call([*RUN, *arguments]) == 1
    said = capsys.readouterr().err
    assert message in said and hint in said


def test_what_a_model_lacks(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made)
    assert cli.call(["run", "unknown.ofr", *RUN[2:], "--budget", "50000"]) == 1
    assert "error: --budget 50000: OFR_E_COST" in (said := capsys.readouterr().err) and "--certify" in said
    assert cli.call(["run", "f.ofg", *RUN[2:4], "-i", "f.npy", "--budget", "50000"]) == 1
    assert "has no exits" in (said := capsys.readouterr().err) and "--exits auto" in said
    assert cli.call(["bench", "f.ofg", *RUN[2:4], "--inputs", "f.npy"]) == 1
    assert "has no exits" in capsys.readouterr().err
