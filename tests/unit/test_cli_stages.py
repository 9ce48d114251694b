"""`pack` and `inspect` say where a plan can be left, and what that costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from offramp import cli, ofg
from tests.fuzz.seeds import exits_net

NAMES = ["exit0", "exit1", "exit2", "exit3"]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert cli.call(list(words)) == 0
    return capsys.readouterr().out


def test_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, blob = tmp_path / "net.ofg", tmp_path / "net.ofr"
    model.write_bytes(ofg.dump(exits_net()))
    pack = ("pack", str(model), "--board", "mps2_an386", "-o", str(blob))
    packed = json.loads(told(capsys, *pack, "--json"))
    read = json.loads(told(capsys, "inspect", str(blob), "--json"))
    for stages in (packed["stages"], read["stages"]):
        assert [s["name"] for s in stages] == [*NAMES, ""]
        assert [s["exit"] for s in stages] == [0, 1, 2, 3, None]
        assert [s["confidence"] for s in stages] == ["margin", "maximum", "entropy", "error", ""]
        assert sum(s["steps"] for s in stages) == len(read["steps"])
        assert sum(s["macs"] for s in stages) == read["macs"]
        assert all(s["instructions_most"] is None for s in stages)
    estimates = [s["instructions_estimate"] for s in packed["stages"]]
    assert sum(estimates) == pytest.approx(packed["plans"][0]["instructions_estimate"], abs=5)
    for text in (told(capsys, *pack), told(capsys, "inspect", str(blob))):
        assert "stages" in text and "exit2" in text and "60,000" in text


def test_models_without_exits_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "net.ofg"
    model.write_bytes(ofg.dump(replace(exits_net(), exits=())))
    found = json.loads(
        told(capsys, "pack", str(model), "--board", "posix", "-o", str(tmp_path / "o.ofr"), "--json")
    )
    assert found["stages"] == []
