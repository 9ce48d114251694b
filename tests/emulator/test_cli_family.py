"""The commands on a family: pack lists plans, run takes a plan or a policy, bench, profile and inspect know each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp import cli, ofg
from tests.emulator.test_family import cascade, expected, image_inputs
from tests.families import family

pytestmark = pytest.mark.emulator

NAMES = ["large", "medium", "small"]
BOARD = ["--board", "mps2_an386"]
Told = Callable[..., dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the family as a graph and rows for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.ofg").write_bytes(ofg.dump(family()))
    np.save(tmp_path / "x.npy", image_inputs(9))
    return tmp_path


@pytest.fixture
def told(folder: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    """What a command line prints as JSON."""

    def call(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        assert cli.call([*arguments, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        return found[0] if isinstance(found, list) else found

    return call


def test_commands_list_the_plans(told: Told) -> None:
    packed = told("pack", "f.ofg", *BOARD)
    inspected = told("inspect", "f.ofr")
    benched = told("bench", "f.ofr", *BOARD)
    for found in (packed, inspected, benched):
        assert [plan["name"] for plan in found["plans"]] == NAMES
    assert [plan["accuracy"] for plan in inspected["plans"]] == ["0.93", "0.9", "0.81"]
    assert inspected["arena_bytes"] == max(p["arena_bytes"] for p in inspected["plans"])
    for plan in benched["plans"]:
        assert abs(plan["instructions_stated"] / plan["instructions_per_inference"] - 1) < 0.25
        assert sum(step["instructions"] for step in plan["steps"]) <= plan["instructions_per_inference"]
    assert benched["instructions_per_inference"] == benched["plans"][0]["instructions_per_inference"]


@pytest.mark.parametrize("arguments", [("--plan", "1"), ("--plan", "medium"), ("--policy", "plan:medium")])
def test_run_of_a_plan(told: Told, folder: Path, arguments: tuple[str, str]) -> None:
    said = told("run", "f.ofg", *BOARD, "--inputs", "x.npy", "-o", "y.npz", *arguments)
    assert [plan["answers"] for plan in said["plans"]] == [0, 9, 0]
    with np.load(folder / "y.npz") as found:
        (name,) = found.files
        assert np.array_equal(found[name], expected(image_inputs(9))[1].reshape(9, 10))


def test_run_by_budget_and_cascade(told: Told) -> None:
    said = told("run", "f.ofg", *BOARD, "--inputs", "x.npy", "--policy", "budget:50000")
    assert [plan["answers"] for plan in said["plans"]] == [0, 9, 0]
    every, straight = (2, 1, 0), (2, 0)
    for text, margin, path in (
        ("cascade", 14, straight),
        ("cascade:100", 100, every),
        ("cascade:100:large", 100, straight),
        ("cascade::medium", 14, (2, 1)),
    ):
        said = told("run", "f.ofg", *BOARD, "--inputs", "x.npy", "--policy", text)
        answers = [plan for plan, _ in cascade(image_inputs(9), margin, path)]
        assert [p["answers"] for p in said["plans"]] == [answers.count(i) for i in range(3)]


def test_profile_of_a_plan(told: Told) -> None:
    found = told("profile", "f.ofg", *BOARD, "--plan", "small")
    assert found["model"] == "small"
    assert [step["kernel"] for step in found["steps"]] == ["dsp/fully_connected", "generic/softmax"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--plan", "3"), "no plan is called '3'"),
        (("--plan", "huge"), "no plan is called 'huge'"),
        (("--policy", "budget:100"), "LINK_E_BUDGET"),
        (("--policy", "budget"), "--policy budget: it is budget:N"),
        (("--policy", "cascade:-1"), "--policy cascade:-1: it is"),
        (("--policy", "cascade:14:huge"), "no plan is called 'huge'"),
        (("--policy", "cascade:14:"), "--policy cascade:14:: it is"),
        (("--policy", "plan:"), "--policy plan:: it is"),
        (("--policy", "fastest"), "--policy fastest: it is"),
        (("--plan", "1", "--policy", "cascade"), "--plan and --policy are given"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_choices(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], error: str
) -> None:
    assert cli.call(["run", "f.ofg", *BOARD, "--inputs", "x.npy", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == "" and error in err and "hint:" in err


def test_one_plan_leaves_nothing_to_choose(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "one.ofg").write_bytes(ofg.dump(family(("small",))))
    run = ["run", "one.ofg", *BOARD, "--inputs", "x.npy"]
    assert cli.call([*run, "--plan", "small"]) == 0
    assert cli.call([*run, "--policy", "cascade"]) == 1
    assert "holds one plan, there is nothing for --policy cascade to choose from" in capsys.readouterr().err


def test_certify_refuses_a_family(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["pack", "f.ofg", *BOARD, "--certify"]) == 1
    assert "large is a family of 3 plans" in capsys.readouterr().err
    assert not (folder / "f.ofr").exists()
