"""`init` writes files that can be read back; `compare` refuses what is no run; the SVG says every count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from offramp import boards, cli
from offramp.cli.flame import flame
from offramp.cli.init import PLACES, packages
from offramp.cli.suite.settings import load_cases
from offramp_host.profile import Cost, FunctionCost, Profile, StepProfile
from tests import small_models


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my model.tflite").write_bytes(small_models.classifier())
    return tmp_path


def test_init_writes_what_test_and_ci_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["init", "my model.tflite", "--board", "mps2_an386"]) == 0
    [case] = load_cases(Path("offramp.toml"))
    assert (case.name, case.model, case.board) == ("my_model", "my model.tflite", ("mps2_an386",))
    github = yaml.safe_load(Path(".github/workflows/offramp.yml").read_text())
    gitlab = yaml.safe_load(Path(".gitlab-ci.yml").read_text())
    commands = [step.get("run", "") for step in github["jobs"]["test"]["steps"]]
    for said in (commands, gitlab["offramp"]["before_script"] + gitlab["offramp"]["script"]):
        assert "offramp test --junit offramp.xml" in said
        assert any("apt-get install" in line and "qemu-system-arm" in line for line in said)
    assert gitlab["offramp"]["artifacts"]["reports"]["junit"] == "offramp.xml"
    assert "offramp test --update" in capsys.readouterr().err


def test_init_leaves_what_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".gitlab-ci.yml").write_text("mine: {}\n")
    assert cli.call(["init", "my model.tflite", "-b", "mps2_an386"]) == 0
    assert (folder / ".gitlab-ci.yml").read_text() == "mine: {}\n"
    assert "left .gitlab-ci.yml as it is" in capsys.readouterr().err
    assert cli.call(["init", "my model.tflite", "-b", "mps2_an386"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and "are there already" in error and "delete" in hint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.tflite", "-b", "mps2_an386"], "none.tflite does not exist"),
        (["m.txt", "-b", "mps2_an386"], "unknown format .txt"),
        (["my model.tflite", "-b", "mps2_an368"], "mps2_an386"),
        (["my model.tflite", "-b", "nucleo_f446re"], "nucleo_f446re"),
    ],
)
def test_init_refuses(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.call(["init", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not any((folder / place).exists() for place in PLACES.values())


def test_packages_of_each_board_that_runs_here() -> None:
    names = [name for name in boards.names() if boards.load(name).runs_here]
    assert len(names) > 6
    for name in names:
        found = packages(boards.load(name))
        assert "gcc" in found and len(set(found)) == len(found)
        assert name == "posix" or any(package.startswith("qemu-system") for package in found)


def bench_row(board: str = "mps2_an386", body: int = 3000) -> dict[str, Any]:
    return {
        "board": board,
        "model": "m",
        "instructions_per_inference": 7000 + body,
        "flash_bytes": {"model": 5, "runtime": 6},
        "blob_bytes": 5,
        "arena_bytes": 7,
        "state_bytes": 0,
        "static_ram_bytes": 1,
        "stack_bytes": 9,
        "compiler": "gcc 1",
        "cmsis_nn_version": None,
        "steps": [
            {"op": "conv_2d", "name": "stem", "kernel": "dsp/conv_2d", "instructions": 7000, "macs": 9},
            {"op": "conv_2d", "name": "body", "kernel": "dsp/conv_2d", "instructions": body, "macs": 9},
        ],
    }


def profile_data() -> dict[str, Any]:
    cost = {"instructions": 10, "cycles_estimate": 15, "flash_bytes": 3}
    step = {"op": "conv_2d", "name": "stem", "kernel": "dsp/conv_2d", "cost": cost}
    return {"model": "m", "board": "mps2_an386", "compiler": "gcc 1", "cost": cost, "steps": [step]}


def test_compare_two_benches(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.json").write_text(json.dumps([bench_row()]))
    (folder / "b.json").write_text(json.dumps([bench_row("microbit"), bench_row(body=3300)]))
    assert cli.call(["compare", "a.json", "b.json", "--board", "mps2_an386", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["figures"]["instructions"] == {"before": 10_000, "after": 10_300, "growth": 0.03}
    assert [(s["after"]["name"], s["growth"]) for s in said["steps"]] == [("body", 300), ("stem", 0)]
    assert cli.call(["compare", "a.json", "b.json", "--board", "mps2_an386"]) == 0
    table, note = capsys.readouterr()
    assert "+3.00 %" in table and "body" in table and "stem" not in table
    assert "1 of 2 steps are the same" in note


def test_compare_two_profiles(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.json").write_text(json.dumps(profile_data()))
    assert cli.call(["compare", "a.json", "a.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["cycles_estimate"]["growth"] == 0


@pytest.mark.parametrize(
    ("first", "second", "message", "hint"),
    [
        ("[1, 2", None, "is no JSON", "--json > a.json"),
        (json.dumps({"a": 1}), None, "a.json is no run", "offramp bench"),
        (json.dumps([bench_row()]), json.dumps({"a": 1}), "b.json is no run", "offramp bench"),
        ("[]", None, "a.json is no run", "offramp bench"),
        (json.dumps([{"board": "b"}]), None, "is no run", "offramp bench"),
        (json.dumps([{"model": "m", "board": "b", "steps": 1}]), None, "is no run: ", "offramp bench"),
        (
            json.dumps([bench_row(), bench_row("microbit")]),
            None,
            "holds mps2_an386, microbit",
            "--board mps2_an386",
        ),
        (
            json.dumps([bench_row()]),
            json.dumps(profile_data()),
            "is a bench, b.json a profile",
            "two of a kind",
        ),
        (None, None, "a.json: No such file", "check the path"),
    ],
)
def test_compare_refuses(
    folder: Path,
    first: str | None,
    second: str | None,
    message: str,
    hint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, text in (("a.json", first), ("b.json", second or first)):
        if text is not None:
            (folder / name).write_text(text)
    assert cli.call(["compare", "a.json", "b.json"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and message in said[0] and hint in said[1]


def test_compare_knows_a_model_from_other_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.json").write_text(json.dumps([bench_row()]))
    (folder / "x.npy").write_bytes(b"")
    assert cli.call(["compare", "a.json", "x.npy"]) == 1
    assert "x.npy: unknown format .npy" in capsys.readouterr().err


def test_compare_of_models_needs_a_board(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["compare", "my model.tflite", "my model.tflite"]) == 1
    assert "no board is given" in capsys.readouterr().err


def cost(n: int) -> Cost:
    return Cost(n, 2 * n, 0, {})


def profiled(steps: list[tuple[str, int]]) -> Profile:
    found = [
        StepProfile("conv_2d", name, "dsp/conv_2d", 1, cost(n), [FunctionCost("mul<s8>", cost(n))])
        for name, n in steps
    ]
    total = sum(n for _, n in steps)
    functions = [FunctionCost("mul<s8>", cost(total))]
    return Profile("m & n", "mps2_an386", "m & n", "source", 0.0, "gcc 1", cost(total), found, functions)


@pytest.mark.parametrize(
    "steps",
    [
        [("stem", 6000)],
        [("a", 6000), ("b<c>", 1), ("very long name of a layer that no column holds, at all", 3999)],
        [(f"layer {i}", 17 * i) for i in range(70)],
        [],
    ],
)
def test_the_svg_says_every_count_and_adds_up(steps: list[tuple[str, int]]) -> None:
    root = ElementTree.fromstring(flame(profiled(steps)))
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg" and not root.findall(f".//{space}script")
    texts = [t.text or "" for t in root.iter(f"{space}text")]
    for _, n in steps:
        assert f"{n:,}" in texts
    _, _, width, height = map(float, (root.get("viewBox") or "").split())
    boxes = [
        {k: float(r.get(k, "0")) for k in ("x", "y", "width", "height")} for r in root.iter(f"{space}rect")
    ]
    assert all(b["x"] + b["width"] <= width + 0.01 and b["y"] + b["height"] <= height for b in boxes)
    assert all(0 <= float(t.get("y", "0")) <= height for t in root.iter(f"{space}text"))
    tiled = (
        [b for b in boxes if b["height"] == 22 and b["y"] == sorted({b["y"] for b in boxes})[2]]
        if steps
        else []
    )
    assert sum(b["width"] for b in tiled) == pytest.approx(1176 if steps else 0, abs=0.5)
