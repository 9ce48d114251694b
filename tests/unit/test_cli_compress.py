"""`offramp compress` as a person calls it: what it writes, and what it refuses in one line with a way out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp import cli, ofg
from offramp.compress.accuracy import accuracy
from offramp.ir import Graph
from tests.float_nets import FloatNet

Refused = Callable[..., str]
CLASSES, ROWS = 4, 120
QUANTIZE = '[variant.a]\nsteps = [{do = "quantize"}]\n'


def network(classes: int = CLASSES, seed: int = 0) -> Graph:
    net = FloatNet(6, 6, 1, seed=seed)
    x = net.conv(0, 8)
    x = net.conv(x, 8, stride_h=2, stride_w=2)
    return net.graph(net.dense(x, classes))


def rows(seed: int = 0) -> dict[str, Any]:
    """Four bright quarters, one a class, in noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(ROWS) % CLASSES
    x = rng.normal(0, 0.3, (ROWS, 6, 6, 1)).astype(np.float32)
    for i, label in enumerate(y):
        x[i, 3 * (label // 2) :][:3, 3 * (label % 2) :][:, :3] += 1
    return {"x": x, "y": y, "x_test": x[:40] + 0.01, "y_test": y[:40]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with float m.ofg and data.npz."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.ofg").write_bytes(ofg.dump(network()))
    np.savez(tmp_path / "data.npz", **rows())
    return tmp_path


def recipe(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text('model = "m.ofg"\n[data]\npath = "data.npz"\n' + text)
    return path


@pytest.fixture
def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    def check(arguments: Sequence[str | Path], *named: str, hint: str = "") -> str:
        before = sorted(folder.rglob("*"))
        capsys.readouterr()
        code = cli.call([str(a) for a in arguments])
        out, err = capsys.readouterr()
        errors = re.findall(r"^error: (.+)$", err, re.MULTILINE)
        hints = re.findall(r"^hint: (.+)$", err, re.MULTILINE)
        assert (code, out, len(errors), len(hints)) == (1, "", 1, 1), err
        for text in named:
            assert text in errors[0]
        assert hint in hints[0]
        assert sorted(folder.rglob("*")) == before, "something was written"
        return str(errors[0])

    return check


def written(path: Path) -> Graph:
    return ofg.load(path.read_bytes(), str(path))


def test_quantizes_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["compress", "m.ofg", "--data", "data.npz", "-o", "small.ofg", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    graph = written(folder / "small.ofg")
    assert not graph.is_float
    assert {graph.tensors[i].dtype for i in graph.outputs} == {"s8"}
    assert told["variants"][0]["steps"] == [graph.metadata["steps"]]
    assert "of 40" in told["variants"][0]["accuracy"]


def test_its_result_is_packed(folder: Path) -> None:
    assert cli.call(["compress", "m.ofg", "--data", "data.npz", "--bits", "4", "-o", "small.ofg"]) == 0
    assert cli.call(["pack", "small.ofg", "--board", "posix", "-o", "small.ofr"]) == 0


def test_variants_go_into_a_folder(folder: Path) -> None:
    path = recipe(folder, QUANTIZE + '[variant.b]\nmodel = "a"\nsteps = [{do = "quantize", bits = 4}]\n')
    assert cli.call(["compress", str(path), "-o", "made"]) == 0
    assert sorted(p.name for p in (folder / "made").iterdir()) == ["a.ofg", "b.ofg"]
    weights = written(folder / "made" / "b.ofg").tensors
    assert any(t.data is not None and t.dtype == "s8" for t in weights)


def test_no_data(refused: Refused) -> None:
    refused(["compress", "m.ofg", "-o", "o.ofg"], "no data for calibration", hint="few hundred rows")


def test_no_rows_at_all(folder: Path, refused: Refused) -> None:
    np.savez("none.npz", x=np.zeros((0, 6, 6, 1), np.float32))
    refused(["compress", "m.ofg", "--data", "none.npz", "-o", "o.ofg"], "none.npz", "[0, 6, 6, 1]")


@pytest.mark.parametrize(("value", "named"), [(np.nan, "NaN"), (0.5, "0.5 throughout")])
def test_odd_rows(folder: Path, refused: Refused, value: float, named: str) -> None:
    np.savez("odd.npz", x=np.full((20, 6, 6, 1), value, np.float32))
    refused(["compress", "m.ofg", "--data", "odd.npz", "-o", "o.ofg"], named)


def test_rows_of_another_shape(folder: Path, refused: Refused) -> None:
    np.savez("odd.npz", x=np.random.default_rng(0).random((20, 5, 5, 1), np.float32))
    refused(["compress", "m.ofg", "--data", "odd.npz", "-o", "o.ofg"], "[5, 5, 1]", "[6, 6, 1]")


def test_integers_without_divisor(folder: Path, refused: Refused) -> None:
    np.savez("odd.npz", x=np.zeros((20, 6, 6, 1), np.uint8))
    refused(["compress", "m.ofg", "--data", "odd.npz", "-o", "o.ofg"], "uint8", hint="divide")


def test_labels_out_of_range(folder: Path, refused: Refused) -> None:
    data = rows()
    data["y"][3] = 4
    np.savez("odd.npz", **data)
    named = ("odd.npz: y: label 4 of row 3", "0 to 3: 1 of 120")
    refused(["compress", "m.ofg", "--data", "odd.npz", "-o", "o.ofg"], *named)


@pytest.mark.parametrize("part", ["y", "y_test"])
def test_labels_out_of_range_of_an_integer_model(folder: Path, refused: Refused, part: str) -> None:
    """In whatever part they are, and whatever is made of the model: before any work."""
    assert cli.call(["compress", "m.ofg", "--data", "data.npz", "-o", "i.ofg"]) == 0
    data = {name: array.copy() for name, array in rows().items()}
    data[part][5] = CLASSES
    np.savez("odd.npz", **data)
    for more in ([], ["--exits", "auto"]):
        arguments = ["compress", "i.ofg", "--data", "odd.npz", "-o", "o.ofg", *more]
        refused(arguments, f"odd.npz: {part}: label 4 of row 5", "0 to 3", hint="from 0 on")


def test_rows_in_other_units_than_an_integer_model_takes(
    folder: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.call(["compress", "m.ofg", "--data", "data.npz", "-o", "i.ofg"]) == 0
    data = rows()
    np.savez("pixels.npz", x=np.clip(data["x"], 0, 1) * 255, y=data["y"])
    named = ("pixels.npz: x: ", "% of the values saturate: the input takes", "they are 0 to 255")
    refused(["compress", "i.ofg", "--data", "pixels.npz", "-o", "o.ofg"], *named, hint="x / 255")
    np.savez("wide.npz", x=2 * data["x"], y=data["y"])
    assert cli.call(["compress", "i.ofg", "--data", "wide.npz", "-o", "o.ofg"]) == 0
    assert re.search(r"warning: .*wide.npz: x: \d+ % of the values saturate", capsys.readouterr().err)


def test_unknown_key(folder: Path, refused: Refused) -> None:
    path = recipe(folder, '[variant.a]\nsteps = [{do = "quantize", bit = 4}]\n')
    refused(["compress", path, "-o", "o.ofg"], "unknown key bit", hint="bits")


def test_unknown_variant(folder: Path, refused: Refused) -> None:
    path = recipe(folder, QUANTIZE)
    refused(["compress", path, "--variant", "b", "-o", "o.ofg"], "no variant b", hint="a")


def test_a_file_for_several_variants(folder: Path, refused: Refused) -> None:
    path = recipe(folder, QUANTIZE + QUANTIZE.replace(".a", ".b"))
    refused(["compress", path, "-o", "o.ofg"], "2 variants", hint="folder")


def test_training_without_epochs_of_labels(folder: Path, refused: Refused) -> None:
    pytest.importorskip("torch")
    np.savez("plain.npz", x=rows()["x"])
    arguments = ["compress", "m.ofg", "--data", "plain.npz", "--zeros", "0.5", "--epochs", "1", "-o", "o.ofg"]
    refused(arguments, "needs labels", hint="y [n]")


def test_a_teacher_with_other_classes(folder: Path, refused: Refused) -> None:
    pytest.importorskip("torch")
    Path("teacher.ofg").write_bytes(ofg.dump(network(classes=7)))
    step = '{do = "student", epochs = 1, teachers = ["teacher.ofg"]}'
    path = recipe(folder, f"[variant.a]\nsteps = [{step}]\n")
    refused(["compress", path, "-o", "o.ofg"], "7", "4")


def test_a_floor_that_nothing_meets(folder: Path, refused: Refused) -> None:
    step = '{do = "mixed", lost_points = -60.0}'
    path = recipe(folder, f"[variant.a]\nsteps = [{step}]\n")
    refused(["compress", path, "-o", "o.ofg"], "best found", hint="floor")


def test_a_search_without_search(folder: Path, refused: Refused) -> None:
    refused(["compress", recipe(folder, QUANTIZE), "--search", "-o", "o"], "no [search]", hint="recipe.md")


SEARCH = "[search]\ntrials = 4\npopulation = 2\nepochs = 0\nobjectives = ['accuracy', 'blob_bytes']\n"
SPACE = "[search.space]\nbits = [4, 8]\n"


def test_the_model_as_its_own_output(refused: Refused) -> None:
    """Where no -o is given a variant is named as the model."""
    refused(["compress", "m.ofg", "--data", "data.npz"], "m.ofg is an input", hint="-o")


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--bits", "4"], "--bits"), (["--zeros", "0.5", "--epochs", "2"], "--zeros, --epochs")],
)
def test_options_that_a_recipe_says_itself(
    folder: Path, refused: Refused, options: list[str], named: str
) -> None:
    refused(["compress", recipe(folder, QUANTIZE), *options, "-o", "o"], f"{named} goes with a model file")


def test_boards_without_a_card(folder: Path, refused: Refused) -> None:
    refused(["compress", recipe(folder, QUANTIZE), "--board", "posix", "-o", "o"], "--board goes with --card")


@pytest.mark.parametrize("arguments", [("--card",), ("--search",), ("--variant", "a", "--variant", "b")])
def test_an_output_folder_that_cannot_be_made(folder: Path, refused: Refused, arguments: tuple[str]) -> None:
    """Seen before anything is made: the data is not even there."""
    path = recipe(folder, QUANTIZE + QUANTIZE.replace(".a", ".b") + SEARCH + SPACE)
    (folder / "data.npz").unlink()
    (folder / "taken").write_text("")
    for out in ("taken", "taken/deeper"):
        refused(["compress", path, *arguments, "-o", out], "taken is no folder", hint="-o")


@pytest.mark.parametrize("way", ["--card", "--search"])
def test_a_board_that_is_not_there(folder: Path, refused: Refused, way: str) -> None:
    path = recipe(folder, QUANTIZE + SEARCH + SPACE)
    path.write_text('board = "mps2"\n' + path.read_text())
    (folder / "data.npz").unlink()
    refused(["compress", path, way, "-o", "o"], "mps2")


@pytest.mark.parametrize(
    ("library", "extra"), [("matplotlib", "search"), ("optuna", "search"), ("distributed", "dask")]
)
def test_a_search_without_its_libraries(
    folder: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, library: str, extra: str
) -> None:
    for name in ("matplotlib", "optuna", "distributed"):
        pytest.importorskip(name)
    monkeypatch.setitem(sys.modules, library, None)
    path = recipe(folder, QUANTIZE + SEARCH + SPACE)
    (folder / "data.npz").unlink()
    refused(
        ["compress", path, "--search", "--dask", "local", "-o", "o"],
        "not installed",
        hint=f"offramp[{extra}]",
    )


def test_a_card_without_labels(folder: Path, refused: Refused) -> None:
    np.savez("data.npz", x=rows()["x"])
    path = recipe(folder, '[variant.a]\nsteps = [{do = "train", epochs = 1000}]\n')
    refused(["compress", path, "--card", "-o", "o"], "a model card needs labels")


def test_a_small_search(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    path = recipe(folder, SEARCH + SPACE)
    assert cli.call(["compress", str(path), "--search", "-o", "found", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["trials"]) == 4 and found["front"]
    names = {p.name for p in (folder / "found").iterdir()}
    assert {"study.db", "front.png", f"trial{found['front'][0]['number']}.ofg"} <= names


def test_a_card(folder: Path) -> None:
    path = recipe(folder, QUANTIZE)
    assert cli.call(["compress", str(path), "--card", "--board", "mps2_an386", "-o", "made"]) == 0
    (row,) = json.loads((folder / "made" / "card.json").read_text())
    assert row["samples"] == 40 and row["emulator_equal"] == "40 of 40"
    assert row["instructions"]["mps2_an386"] > 0 and row["blob_bytes"] > row["weight_bytes"] > 0
    assert "| a |" in (folder / "made" / "card.md").read_text()


def test_a_card_of_a_family_has_a_row_a_plan(folder: Path) -> None:
    text = '[variant.four]\nsteps = [{do = "quantize", bits = 4}]\n'
    text += '[variant.both]\nsteps = [{do = "quantize"}, {do = "family", members = ["four"]}]\n'
    path = recipe(folder, text)
    arguments = ["--variant", "both", "--card", "--board", "mps2_an386", "-o", "made"]
    assert cli.call(["compress", str(path), *arguments]) == 0
    first, second = json.loads((folder / "made" / "card.json").read_text())
    assert [first["variant"], second["variant"]] == ["both, plan both", "both, plan four"]
    graph = written(folder / "made" / "both.ofg")
    x, y = rows()["x_test"], rows()["y_test"]
    for row, member in zip((first, second), (graph, *graph.members), strict=True):
        assert row["accuracy"] == accuracy(member, x, y).value
        assert row["emulator_equal"] == "40 of 40" and row["instructions"]["mps2_an386"] > 0
    assert first["blob_bytes"] == second["blob_bytes"] > first["weight_bytes"] + second["weight_bytes"]
    assert second["weight_bytes"] < first["weight_bytes"]
