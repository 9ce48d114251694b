"""Studies: one result whoever computes the trials, a stop or a dead worker costs no more than the trial under way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from offramp.compress.recipe import Search
from offramp.errors import UserError
from offramp.search.cluster import here, on_dask
from offramp.search.space import OBJECTIVES, Range, space_of, steps_of
from offramp.search.study import Params, Study, Values

pytest.importorskip("optuna")
BOTH = ("accuracy", "blob_bytes")
SEARCH = Search(
    trials=24,
    population=6,
    seed=3,
    objectives=("accuracy", "blob_bytes"),
    space={"parameters": [0.1, 0.9], "bits": [4, 8], "zeros": [0.0, 0.5, 0.9]},
)


def compute(task: float, params: Params) -> Values:
    """Stands in for training: a smooth trade-off, and one corner that cannot be made."""
    kept = params["parameters"] * (1 - params["zeros"])
    if kept < 0.03:
        raise UserError("nothing is left")
    return {"accuracy": kept**0.1 - task / params["bits"], "blob_bytes": 1000 * kept * params["bits"]}


def dies_once(task: str, params: Params) -> Values:
    """The first call kills its process in the middle of the trial."""
    flag = Path(task)
    if params["bits"] == 8 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return compute(0.1, params)


def finished(path: Path | None = None, **changes: Any) -> Study:
    study = Study(SEARCH, "test", path)
    study.run(here(compute, 0.1))
    return study


def test_every_trial_ends_and_a_failure_names_itself() -> None:
    trials = finished().trials()
    assert [t.number for t in trials] == list(range(24))
    assert {t.failure for t in trials if t.values is None} <= {"nothing is left"}


def test_front_is_what_none_beats() -> None:
    study = finished()
    points = [(-t.values["accuracy"], t.values["blob_bytes"]) for t in study.trials() if t.values]
    best = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    assert {(-t.values["accuracy"], t.values["blob_bytes"]) for t in study.front() if t.values} == best


@pytest.mark.parametrize("stop_after", [1, 7, 13])
def test_goes_on_after_a_stop(tmp_path: Path, stop_after: int) -> None:
    def stops(trials: Any) -> Iterator[tuple[int, Values | str]]:
        for n, found in enumerate(here(compute, 0.1)(trials)):
            yield found
            if n + 1 + done[0] >= stop_after:
                raise KeyboardInterrupt
        done[0] += len(trials)

    done = [0]
    path = tmp_path / "study.db"
    with pytest.raises(KeyboardInterrupt):
        Study(SEARCH, "test", path).run(stops)
    study = finished(path)
    assert study.trials() == finished().trials()


def test_another_search_does_not_go_on_in_it(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    finished(path)
    with pytest.raises(UserError, match="another search"):
        Study(Search(trials=24, population=6, seed=4, space=SEARCH.space), "test", path)


def test_dask_gives_the_same_study() -> None:
    pytest.importorskip("distributed")
    study = Study(SEARCH, "test", None)
    with on_dask("local", compute, 0.1) as evaluate:
        study.run(evaluate)
    assert study.trials() == finished().trials()
    assert study.front() == finished().front()


def test_a_dead_worker_costs_its_trial_at_most(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    study = Study(SEARCH, "test", None)
    with on_dask("local", dies_once, str(tmp_path / "died")) as evaluate:
        study.run(evaluate)
    assert (tmp_path / "died").exists()
    assert study.trials() == finished().trials()  # the trial went to another worker


def test_no_scheduler() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(UserError, match="no Dask scheduler"), on_dask("tcp://127.0.0.1:9", compute, 0.1):
        pass


@pytest.mark.parametrize(
    ("space", "objectives", "message"),
    [
        ({"bit": [4, 8]}, BOTH, "unknown key bit"),
        ({"bits": 4}, BOTH, "bits is 4"),
        ({"width": [0.9, 0.1]}, BOTH, "from 0.9 to 0.1"),
        ({}, BOTH, "empty"),
        ({"bits": [4, 8]}, ("acuracy",), "acuracy"),
        ({"bits": [4, 8]}, ("accuracy",), "objectives accuracy"),
    ],
)
def test_refusals(space: dict[str, Any], objectives: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        space_of(Search(space=space, objectives=objectives))


def test_space_and_steps() -> None:
    space = space_of(SEARCH)
    assert space["parameters"] == Range(0.1, 0.9)
    steps = steps_of({"parameters": 0.3, "zeros": 0.5, "bits": 4}, Search(epochs=2.0))
    assert [type(s).__name__ for s in steps] == ["Prune", "Sparsify", "Quantize"]
    assert all(s.epochs == 2.0 for s in steps)
    assert set(OBJECTIVES.values()) == {"maximize", "minimize"}
