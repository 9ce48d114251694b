"""`offramp compress --exits` as a person calls it: what it writes, says and refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from offramp import cli, ofg
from offramp.cli.exits import curve_png
from offramp.compress.accuracy import input_rows
from offramp.compress.exits.calibrate import Judged
from offramp.compress.quantize import quantize
from offramp.ir import Graph
from offramp.reference import run_all
from tests.float_nets import digits, trained_digits

KEYS = {"confidence", "exits", "thresholds", "costs", "cost_without_exits", "saved", "judged", "curve"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with digits.npz and a network for it, float.ofg and int8.ofg."""
    monkeypatch.chdir(tmp_path)
    x, y, x_test, y_test = digits()
    np.savez("digits.npz", x=x[:200], y=y[:200], x_test=x_test[:200], y_test=y_test[:200])
    real = trained_digits(8)
    Path("float.ofg").write_bytes(ofg.dump(real))
    Path("int8.ofg").write_bytes(ofg.dump(quantize(real, x[:200])))
    return tmp_path


def compress(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code = cli.call(["compress", *arguments, "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    [variant] = json.loads(out)["variants"]
    return variant


def written(path: str) -> Graph:
    return ofg.load(Path(path).read_bytes(), path)


def test_an_int8_model_keeps_its_bits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = compress(
        capsys, "int8.ofg", "--exits", "add3", "--lost-points", "3", "--data", "digits.npz", "-o", "o.ofg"
    )
    plain, found = written("int8.ofg"), written("o.ofg")
    rows = input_rows(plain, digits()[2][:50])[0]
    assert np.array_equal(run_all(plain, rows)[0], run_all(found, rows)[0])
    assert len(told["steps"]) == 1 and "exits by" in told["steps"][0]
    exits = told["exits"]
    assert set(exits) == KEYS
    assert exits["exits"] == [e.name for e in found.exits]
    assert exits["thresholds"] == [e.threshold for e in found.exits]
    assert exits["costs"] == sorted(exits["costs"]) and exits["costs"][-1] > exits["cost_without_exits"]
    judged = exits["judged"]
    assert judged["rows"] == 200 and len(judged["shares"]) == len(found.exits) + 1
    assert sum(judged["shares"]) == pytest.approx(1)
    assert sum(s * c for s, c in zip(judged["shares"], exits["costs"], strict=True)) == pytest.approx(
        judged["cost"]
    )
    assert exits["saved"] == pytest.approx(1 - judged["cost"] / exits["cost_without_exits"])
    assert {"thresholds", "cost", "accuracy", "lost", "lost_stderr"} == set(exits["curve"][0])
    assert len(exits["curve"]) > 5
    picture = (folder / "o.exits.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n" and len(picture) > 10_000


def test_a_float_model_is_quantized_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--exits", "add3,conv_2d5", "--lost-points", "3", "--data", "digits.npz", "-o", "o.ofg")
    told = compress(capsys, "float.ofg", *arguments)
    assert [step.split()[0] for step in told["steps"]] == ["quantized", "exits"]
    assert told["exits"]["exits"] == ["add3", "conv_2d5"]
    assert cli.call(["pack", "o.ofg", "--board", "posix", "-o", "o.ofr"]) == 0


def test_thresholds_alone_on_a_graph_with_exits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = ("--exits", "add3", "--lost-points", "3", "--data", "digits.npz", "-o", "a.ofg")
    compress(capsys, "int8.ofg", *first)
    again = ("--exits", "auto", "--lost-points", "30", "--data", "digits.npz", "-o", "b.ofg")
    told = compress(capsys, "a.ofg", *again)
    before, after = written("a.ofg"), written("b.ofg")
    assert [(op.kind, op.name) for op in before.ops] == [(op.kind, op.name) for op in after.ops]
    kept = [t.data for t in before.tensors if t.data is not None]
    for ours, theirs in zip(kept, [t.data for t in after.tensors if t.data is not None], strict=True):
        assert np.array_equal(ours, theirs)
    assert "on the 20 rows that chose" in told["steps"][0]


def test_what_a_person_reads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--exits", "add3", "--lost-points", "3", "--data", "digits.npz", "-o", "o.ofg"]
    assert cli.call(["compress", "int8.ofg", *arguments]) == 0
    out = capsys.readouterr().out
    for text in ("rows that chose nothing", "add3", "the end", "worst", "without exits", "points, 95 %:"):
        assert text in out


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["--exits", "add4"], "has no layer add4", "add3"),
        (["--exits", "fully_connected8"], "would save nothing: no layer follows", "add3"),
        (["--exits", "conv_2d1"], "flows beside it", "add3"),
        (["--exits", ",".join("abcdefghi")], "9 exits, at most 8", "each once"),
        (
            ["--exits", "add3", "--lost-points", "0.1"],
            "no thresholds surely lose less than 0.1",
            "more labelled",
        ),
        (["--exits", "add3,add3"], "--exits add3,add3: add3 is named twice", "each once"),
        (["--exits", ""], "--exits '': a layer has no name", "auto"),
        (["--exits", "add3,"], "--exits add3,: a layer has no name", "auto"),
        (["--exits", "auto,add3"], "--exits auto,add3: auto stands alone", "auto"),
        *(
            (["--exits", "add3", "--lost-points", points], f"--lost-points: {points} is no number", "270/n")
            for points in ("0", "-1", "101", "nan")
        ),
        (["--lost-points", "1"], "--lost-points goes with --exits", "recipe"),
    ],
)
def test_what_cannot_be_done(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str, hint: str
) -> None:
    code = cli.call(["compress", "int8.ofg", *arguments, "--data", "digits.npz", "-o", "o.ofg"])
    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert said in re.sub(r"\s+", " ", err) and hint in re.sub(r"\s+", " ", err)
    assert not (folder / "o.ofg").exists()


def test_what_can_be_told_at_once_is_told_before_any_training(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even the data is read."""
    for arguments in (["--exits", "a,a"], ["--exits", ""], ["--exits", "a", "--lost-points", "200"]):
        for model in ("float.ofg", "int8.ofg"):
            assert cli.call(["compress", model, *arguments, "--data", "gone.npz", "--epochs", "99"]) == 1
            assert "gone.npz" not in capsys.readouterr().err


def test_rows_may_be_the_models_own_integers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They stand for real numbers by the input's scale: the same graph comes of both."""
    graph = written("int8.ofg")
    [given] = [graph.tensors[i] for i in graph.inputs]
    with np.load("digits.npz") as real:
        arrays = dict(real)
    rows = {key: input_rows(graph, arrays[key])[0] for key in ("x", "x_test")}
    np.savez("int8.npz", **(arrays | rows))
    q = given.quant
    dequantized = {key: np.float32((x.astype(int) - q.zero_point) * q.scale) for key, x in rows.items()}
    np.savez("real.npz", **(arrays | dequantized))
    for name in ("int8", "real"):
        options = f"--exits add3 --lost-points 3 --data {name}.npz -o {name}_exits.ofg"
        compress(capsys, "int8.ofg", *options.split())
    assert Path("int8_exits.ofg").read_bytes() == Path("real_exits.ofg").read_bytes()
    for model, told in (("float.ofg", "real numbers"), ("int8.ofg", "real numbers, or int8 as its input")):
        np.savez("other.npz", **(arrays | {key: x.astype(np.int16) for key, x in rows.items()}))
        assert cli.call(["compress", model, "--exits", "add3", "--data", "other.npz", "-o", "o.ofg"]) == 1
        assert f"x is int16, the model takes {told}\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "labelled", "said"),
    [(9, True, "9 rows for 10 classes"), (100, False, "need labels")],
)
def test_data_that_is_too_little(
    folder: Path, capsys: pytest.CaptureFixture[str], rows: int, labelled: bool, said: str
) -> None:
    x, y, _, _ = digits()
    np.savez("few.npz", x=x[:rows], **({"y": y[:rows]} if labelled else {}))
    code = cli.call(["compress", "int8.ofg", "--exits", "auto", "--data", "few.npz", "-o", "o.ofg"])
    err = re.sub(r"\s+", " ", capsys.readouterr().err)
    assert code == 1
    assert said in err


def test_the_picture_shows_a_curve() -> None:
    """One of a single point too."""
    judged = Judged(100, (0.5, 0.5), 2e6, 3e6, 3e6, 0.9, 0.03, 0.91, 0.01, 0.01, (0.0, 0.03))
    points = [
        {"cost": 1e6 + 1e5 * i, "accuracy": 0.7 + 0.02 * i, "lost_stderr": 0.02 / (i + 1)} for i in range(10)
    ]
    for curve in (points, points[:1]):
        found = {"judged": judged, "curve": curve, "cost_without_exits": 2.9e6}
        assert curve_png(found, "mps2_an386") == curve_png(found, "mps2_an386")
