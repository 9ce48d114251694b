"""How the command line names plans: those that there are where one is wrong, and the members of a graph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from offramp import cli, ofg
from offramp.ops import OPS
from tests.slim_family import gated_family

FAMILY = gated_family()
NAMES = [graph.name for graph in (FAMILY, *FAMILY.members)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.ofg").write_bytes(ofg.dump(FAMILY))
    np.save(tmp_path / "x.npy", np.zeros((1, *FAMILY.tensors[FAMILY.inputs[0]].shape[1:]), np.int8))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--plan", NAMES[-1]), f"plan {NAMES[-1]} is the gate"),
        (("--plan", str(len(NAMES) - 1)), f"plan {len(NAMES) - 1} is the gate"),
        (("--policy", f"plan:{NAMES[-1]}"), f"plan {NAMES[-1]} is the gate"),
        (("--plan", "slim_gate"), "no plan is called 'slim_gate'"),
        (("--plan", "99"), "no plan is called '99'"),
        (("--plan", ""), "no plan is called ''"),
    ],
)
def test_what_is_no_plan_to_run_is_answered_with_those_there_are(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], error: str
) -> None:
    assert cli.call(["run", "f.ofg", "--board", "posix", "-i", "x.npy", *arguments]) == 1
    out, err = capsys.readouterr()
    listed = ", ".join(f"{i} {name}" for i, name in enumerate(NAMES[:-1]))
    assert out == "" and f"f.ofg: {error}" in err
    assert f"plans, by number or name: {listed}; policies: budget:N, cascade[:MARGIN[:NAME]], gate\n" in err


def test_inspect_lists_the_members_of_a_graph(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["inspect", "f.ofg", "--json"]) == 0
    members = json.loads(capsys.readouterr().out)["members"]
    assert [member["name"] for member in members] == NAMES
    for member, graph in zip(members, (FAMILY, *FAMILY.members), strict=True):
        ops = [(op, [graph.tensors[i] if i >= 0 else None for i in op.inputs]) for op in graph.ops]
        outputs = [[graph.tensors[i] for i in op.outputs] for op in graph.ops]
        assert member["macs"] == sum(
            OPS[op.kind].macs(op.attributes, inputs, out)
            for (op, inputs), out in zip(ops, outputs, strict=True)
        )
        assert member["params_bytes"] == sum(t.data.nbytes for t in graph.tensors if t.data is not None)
        assert member["accuracy"] == graph.metadata.get("accuracy")
    assert cli.call(["inspect", "f.ofg"]) == 0
    table = capsys.readouterr().out.partition("\nmembers, ")[2].partition("\n\n")[0]
    assert all(
        name in table and f"{member['macs']:,}" in table for name, member in zip(NAMES, members, strict=True)
    )
