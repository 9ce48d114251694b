"""A search that really trains: one study on this process and on two workers, a worker killed on the way."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offramp.compress.recipe import Search, load_recipe
from offramp.compress.variants import Workshop
from offramp.resources import root
from offramp.search.cluster import here, on_dask
from offramp.search.study import Params, Study, Values
from offramp.search.trial import Task, compute, task_of

for name in ("torch", "optuna", "distributed", "sklearn"):
    pytest.importorskip(name)

SMALL = Search(
    trials=4,
    population=2,
    epochs=1,
    objectives=("accuracy", "blob_bytes", "instructions"),
    space={"width": [0.25, 0.5], "bits": [4, 8]},
)


def task(search: Search) -> Task:
    recipe = load_recipe(root() / "models" / "digits" / "recipe.toml")
    return task_of(Workshop(replace(recipe, search=search), threads=1))


def killed_once(given: tuple[Task, str], params: Params) -> Values:
    """The second call to come ends its process; the trial goes to another worker."""
    first, second = Path(given[1]) / "first", Path(given[1]) / "second"
    if first.exists() and not second.exists():
        second.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    first.touch()
    return compute(given[0], params)


def studied(search: Search, given: Any, dask: bool, function: Any = compute) -> Study:
    study = Study(search, "digits", None)
    if dask:
        with on_dask("local", function, given) as evaluate:
            study.run(evaluate)
    else:
        study.run(here(function, given))
    return study


@pytest.mark.parametrize(
    "search", [SMALL, pytest.param(replace(SMALL, trials=20, population=5), marks=pytest.mark.soak)]
)
def test_serial_and_two_workers_give_one_study(search: Search, tmp_path: Path) -> None:
    given = task(search)
    alone = studied(search, given, dask=False)
    shared = studied(search, (given, str(tmp_path)), dask=True, function=killed_once)
    assert (tmp_path / "second").exists()
    assert shared.trials() == alone.trials()
    assert shared.front() == alone.front()
    assert all(t.values is not None for t in alone.trials())
