"""The spoken digits' network on the speaker whom it never heard, and the stream of his digits."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp.compress.exits.judging import judge_exits
from offramp.frontends import load_model
from offramp.resources import root

FOLDER = root() / "models" / "fsdd"
SPEAKER = "jackson"
MOST_LOST, LEAST_SAVED = 0.015, 0.5


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The folder's modules, which import each other as scripts do."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("features"), importlib.import_module("stream")
    for name in ("features", "stream"):
        sys.modules.pop(name)


def archive() -> Path:
    path = Path(os.environ.get("OFFRAMP_TEST_DATA", "")) / "fsdd" / "fsdd.zip"
    if not path.is_file():
        pytest.skip("needs fsdd/fsdd.zip in OFFRAMP_TEST_DATA")
    return path


def test_what_all_folds_promise() -> None:
    every, page = json.loads((FOLDER / "figures.json").read_text()), (FOLDER / "README.md").read_text()
    for name, f in every.items():
        assert f"| {name} | {f['rows']} | {f['accuracy']:.2%} | {f['accuracy_without_exits']:.2%} |" in page
    figures = every["all"]
    assert figures["rows"] == 640
    assert figures["lost"] <= MOST_LOST and figures["macs_saved"] >= LEAST_SAVED


def test_a_speaker_it_never_heard(words: Any) -> None:
    """The figures of his fold, measured again."""
    features, _ = words
    graph = load_model(FOLDER / f"fsdd_{SPEAKER}.ofg")
    found = judge_exits(graph, *features.judged(features.clips(archive())[SPEAKER]))
    wanted = json.loads((FOLDER / "figures.json").read_text())[SPEAKER]
    print(found)
    assert found.rows == wanted["rows"] == 160
    assert found.accuracy == pytest.approx(wanted["accuracy"])
    assert found.accuracy_last == pytest.approx(wanted["accuracy_without_exits"])
    assert 1 - found.cost / found.worst == pytest.approx(wanted["macs_saved"])


def test_a_stream(words: Any) -> None:
    """Each digit is whole in the window at its hop and silent sound in gaps; a stream repeats by its seed."""
    features, streams = words
    clips = features.clips(archive())[SPEAKER]
    found, again = streams.stream(clips, 150, 1), streams.stream(clips, 150, 1)
    assert np.array_equal(found.x, again.x) and found.spoken == again.spoken
    assert found.x.dtype == np.float32 and found.x.shape[1:] == (features.FRAMES, features.BANDS, 1)
    hops = [hop for hop, _ in found.spoken]
    assert len(hops) == 150 and hops == sorted(hops) and hops[-1] < len(found.x)
    assert len(streams.stream(clips, 150, 2).x) != len(found.x)
    # A clip's loudest frames are in its window: the spread of the features is above that of noise alone.
    spread = found.x.std(axis=(1, 2, 3))
    assert np.median(spread[hops]) > 2 * spread[0]
    with pytest.raises(ValueError, match="161 digits of 160"):
        streams.stream(clips, 161)


def test_detections(words: Any) -> None:
    _, streams = words
    silence = 10
    classes = np.array([silence, 3, 3, 3, 3, 4, 3, silence, 7, 7, 7, silence, 7, 7, 7])
    assert streams.Detector(3)(classes) == [(3, 3), (10, 7), (14, 7)]
    assert streams.Detector(1)(classes)[:3] == [(1, 3), (5, 4), (6, 3)]
    # One hop of silence is not enough for two.
    assert streams.Detector(3, 2)(classes) == [(3, 3)]
    assert streams.Detector(3, 2)(np.insert(classes, 7, silence)) == [(3, 3), (11, 7)]
    assert streams.Detector(3, 1)(classes) == [(3, 3), (10, 7), (14, 7)]
    assert streams.Detector(1, 1)(classes) == [(1, 3), (8, 7), (12, 7)]
