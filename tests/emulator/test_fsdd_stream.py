"""Patience on a stream of spoken digits: the board follows the policy's model, saves, and detects the same."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp import boards
from offramp.blob import read
from offramp.build.blob_image import blob_image
from offramp.compress.accuracy import input_rows
from offramp.compress.exits.judging import without_exits
from offramp.exits import Answers, answers
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.pack import pack
from offramp.plan import Options, make_plan
from offramp.resources import root
from offramp_host.certify import certify
from offramp_host.device import Device, ExitPolicy, Result
from offramp_host.emulator import Emulator
from tests.policy_model import NO_EXIT, Model, Row, Settings, StageCost

FOLDER = root() / "models" / "fsdd"
SPEAKER = "jackson"
M4 = boards.load("mps2_an386")
HEAD, HEADS_BYTES = 0.02, 0.25  # shares of the network's instructions and bytes
LEAST_SAVED = 0.6
MODULES = ("features", "stream", "patience")


@pytest.fixture(scope="module")
def words() -> Iterator[Any]:
    """The folder's modules, which import each other as scripts do."""
    sys.path.insert(0, str(FOLDER))
    yield [importlib.import_module(name) for name in MODULES]
    sys.path.remove(str(FOLDER))
    for name in MODULES:
        sys.modules.pop(name)


def graph() -> Graph:
    return load_model(FOLDER / "fsdd_stream.ofg")


def figures() -> dict[str, Any]:
    return dict(json.loads((FOLDER / "stream.json").read_text()))


def a_stream(words: Any, digits: int) -> Any:
    archive = Path(os.environ.get("OFFRAMP_TEST_DATA", "")) / "fsdd" / "fsdd.zip"
    if not archive.is_file():
        pytest.skip("needs fsdd/fsdd.zip in OFFRAMP_TEST_DATA")
    features, streams, _ = words
    return streams.stream(features.clips(archive)[SPEAKER], digits)


def test_heads_within_their_budgets() -> None:
    plan, blob = pack(graph(), M4, Options())
    bare, bare_blob = pack(without_exits(graph()), M4, Options())
    heads = [stage.head_instructions / bare.instructions for stage in plan.stages[:-1]]
    share = len(blob) / len(bare_blob) - 1
    print(f"heads {', '.join(f'{h:.2%}' for h in heads)} of the instructions, {share:.1%} of the bytes")
    assert len(heads) == 3 and max(heads) <= HEAD and share <= HEADS_BYTES


def test_the_page_says_what_was_found(words: Any) -> None:
    every, page = figures(), (FOLDER / "README.md").read_text()
    for part in (every["chosen"], every[SPEAKER]):
        assert f"| {part['detections']} | {part['different']} | {part['saved']:.1%} |" in page
    assert [e.threshold for e in graph().exits] == every["patience"]["thresholds"]


def test_patience_as_the_firmware_has_it(words: Any) -> None:
    """The script's simulation against the policy's model, on answers at random that often repeat."""
    _, _, patience = words
    rng = np.random.default_rng(4)
    for _ in range(60):
        classes = np.repeat(rng.integers(0, 3, (40, 1)), rng.integers(1, 9, 40), axis=0)
        classes = np.where(
            rng.random((len(classes), 4)) < 0.2, rng.integers(0, 3, (len(classes), 4)), classes
        )
        confidences = rng.integers(0, 256, (len(classes), 3))
        p = patience.drawn(rng, 3)
        oracle = a_model(p)
        ran = [oracle.run(Row(c.tolist(), k.tolist())) for c, k in zip(confidences, classes, strict=True)]
        [answered], [ways] = patience.Heard(classes, confidences).run([p])
        assert answered.tolist() == [r.answer for r in ran]
        assert ways.tolist() == [3 if r.exit == NO_EXIT else r.exit for r in ran]


def a_model(p: Any) -> Model:
    s = Settings(
        patience_step=p.patience_step, floor=p.patience_floor, doubt=p.doubt, doubt_runs=p.doubt_runs
    )
    return Model(
        [StageCost(10, 1, 3, 1, 11)] * 3 + [StageCost(10, 0, 3, 0, 11)], list(p.thresholds), settings=s
    )


@dataclass(frozen=True)
class Played:
    """A stream on the board under patience, and what every way out says of it by the reference."""

    results: list[Result]
    expected: Answers
    to_the_end: list[Result]
    plain_instructions: float

    @property
    def classes(self) -> list[int]:
        return [int(r.outputs[0].argmax()) for r in self.results]

    @property
    def instructions(self) -> NDArray[np.int64]:
        assert M4.emulator is not None
        return np.array([M4.emulator.instructions(r.ticks or 0) for r in self.results])


def on_the_board(g: Graph, folder: Path) -> tuple[Emulator, bytes]:
    data = certify(make_plan(g, M4, Options()), M4)[1]
    (folder / "model.ofr").write_bytes(data)
    image = blob_image(read(data, "model.ofr"), M4, folder / "image.elf", linked=folder / "model.ofr")
    return Emulator(M4, image.elf, timeout_s=3600), data


def played(x: NDArray[np.float32], p: Any, folder: Path, ends: int) -> Played:
    """`ends`: how many of the hops run to the end too."""
    given = input_rows(graph(), x)[0]
    rows = [row[None] for row in given]
    emulator, _ = on_the_board(graph(), folder)
    with emulator, Device(emulator.url, timeout_s=300) as device:
        policy = ExitPolicy(
            patience_step=p.patience_step,
            patience_floor=p.patience_floor,
            doubt=p.doubt,
            doubt_runs=p.doubt_runs,
        )
        device.set_exit_policy(policy)
        results = list(device.stream(rows, measure=True))
        to_the_end = list(device.stream(rows[:ends], to_the_end=True))
    (folder / "plain").mkdir()
    emulator, _ = on_the_board(without_exits(graph()), folder / "plain")
    with emulator, Device(emulator.url, timeout_s=300) as device:
        plain = [r.ticks or 0 for r in device.stream(rows[:5], measure=True)]
    assert M4.emulator is not None
    costs = [M4.emulator.instructions(ticks) for ticks in plain]
    return Played(results, answers(graph(), given), to_the_end, float(np.mean(costs)))


def check_bits(found: Played, p: Any) -> None:
    """Every hop leaves where the policy's model does, with the reference's bits."""
    oracle = a_model(p)
    ways = [*found.expected.exits, found.expected.last]
    tops = np.array([w.reshape(len(w), -1).argmax(axis=1) for w in ways]).T
    for hop, result in enumerate(found.results):
        wanted = oracle.run(Row(found.expected.confidences[:, hop].tolist(), tops[hop].tolist()))
        assert (NO_EXIT if result.exit is None else result.exit) == wanted.exit, f"hop {hop}"
        way = len(ways) - 1 if result.exit is None else result.exit
        assert np.array_equal(result.outputs[0].ravel(), ways[way][hop].ravel()), f"hop {hop}"
    for hop, result in enumerate(found.to_the_end):
        assert np.array_equal(result.outputs[0].ravel(), found.expected.last[hop].ravel())


@pytest.mark.emulator
def test_a_short_stream(words: Any, tmp_path: Path) -> None:
    patience = words[2]
    p = patience.Patience(**figures()["patience"])
    found = played(a_stream(words, 6).x, p, tmp_path, ends=20)
    check_bits(found, p)
    ways = {r.exit for r in found.results}
    assert None in ways and 0 in ways
    assert found.instructions.mean() < 0.7 * found.plain_instructions


@pytest.mark.emulator
@pytest.mark.soak
def test_a_whole_stream(words: Any, tmp_path: Path) -> None:
    _, streams, patience = words
    p, wanted = patience.Patience(**figures()["patience"]), figures()[SPEAKER]
    stream = a_stream(words, 150)
    found = played(stream.x, p, tmp_path, ends=len(stream.x))
    check_bits(found, p)
    detected = streams.DETECTOR(found.classes)
    to_the_end = streams.DETECTOR([int(r.outputs[0].argmax()) for r in found.to_the_end])
    missing, further = patience.differences(detected, to_the_end)
    saved = 1 - found.instructions.mean() / found.plain_instructions
    print(f"{len(stream.spoken)} digits, {len(stream.x)} hops: {saved:.2%} saved;", end=" ")
    print(f"{len(to_the_end)} detections to the end, {missing} missing, {further} further")
    assert len(stream.spoken) >= 150 and len(to_the_end) == wanted["detections"]
    assert missing + further == wanted["different"] == 0
    assert saved >= LEAST_SAVED and abs(saved - wanted["saved"]) < 0.02
