"""One trial of a search: a variant made, packed for the board and judged on the validation rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from offramp import boards, ofg
from offramp.compress.accuracy import accuracy
from offramp.compress.data import Data
from offramp.compress.recipe import Recipe, Search, Variant
from offramp.compress.variants import Work, Workshop
from offramp.ir import Graph
from offramp.pack import pack
from offramp.plan import Plan
from offramp.search.space import steps_of
from offramp.search.study import Params

TRIAL = "trial"


@dataclass(frozen=True)
class Task:
    """What every trial needs; it is sent to a cluster's workers, so graphs go as bytes."""

    recipe: Recipe
    search: Search
    data: Data
    models: Mapping[
        str, bytes
    ]  # the recipe's model and teachers, by their names, as .ofg files of float graphs


def task_of(shop: Workshop) -> Task:
    """From a workshop: teachers are made here, once."""
    recipe, search = shop.recipe, shop.recipe.search
    assert search is not None
    names = dict.fromkeys((recipe.model, *search.teachers))
    models = {name: ofg.dump(shop.teachers([name])[0]) for name in names}
    return Task(recipe, search, shop.data, models)


def compute(task: Task, params: Params) -> dict[str, float]:
    """The objectives' values. Sums are made by one thread, so that they are the same wherever a trial runs."""
    work = made(task, params)
    graph = work.result
    plan, blob = pack(graph, boards.load(task.recipe.board))
    x, y = task.data.validation.labelled("a search")
    return {
        "accuracy": accuracy(graph, x, y).value,
        "blob_bytes": len(blob),
        "instructions": estimated(plan),
        "arena_bytes": plan.arena_bytes,
    }


def made(task: Task, params: Params) -> Work:
    """The trial's variant."""
    steps = steps_of(params, task.search)
    recipe = replace(task.recipe, variants={TRIAL: Variant(steps)})
    shop = Workshop(recipe, threads=1)
    shop.data = task.data
    shop.loaded = {name: ofg.load(data, name) for name, data in task.models.items()}
    return shop.make(TRIAL)


def estimated(plan: Plan) -> int:
    """Instructions of one inference by the cost table."""
    return round(sum(way.instructions for way in plan.chosen.values()))


def graph_of(task: Task, params: Mapping[str, Any]) -> Graph:
    """The graph of a trial of the front, made again."""
    return made(task, params).result
