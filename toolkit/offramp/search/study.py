"""A study: NSGA-II over a recipe's space, generation by generation, kept in SQLite so that it can go on after a stop.

Every trial's parameters follow from the seed, its number and the generations before it, whoever computes it and in
whatever order: on one process or on a cluster the study is the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from offramp.compress.recipe import Search
from offramp.errors import UserError
from offramp.search.space import OBJECTIVES, Choices, Range, space_of

Params = Mapping[str, Any]
Values = Mapping[str, float]


@dataclass(frozen=True)
class Trial:
    """`values` by objective, or why the trial failed."""

    number: int
    params: Params
    values: Values | None
    failure: str = ""


# Computes trials, in any order: (number, params) -> (number, values or the failure's text).
Evaluate = Callable[[Sequence[tuple[int, Params]]], Iterator[tuple[int, Values | str]]]


class Study:
    """An Optuna study in a SQLite file; `path` None keeps it in memory."""

    def __init__(self, search: Search, name: str, path: Path | None) -> None:
        self.optuna = import_optuna()
        self.search = search
        self.space = {key: distribution(self.optuna, entry) for key, entry in space_of(search).items()}
        try:
            self.study = self.optuna.create_study(
                study_name=name,
                storage=None if path is None else f"sqlite:///{path}",
                directions=[OBJECTIVES[name] for name in search.objectives],
                load_if_exists=True,
            )
        except Exception as error:
            raise UserError(
                f"{path}: not a study of {name} ({error})", "name another file with --study"
            ) from error
        self.check_same(path)

    def check_same(self, path: Path | None) -> None:
        """A study goes on only under the search that it was begun with."""
        now = repr(sorted((asdict(self.search) | {"trials": 0}).items()))
        before = self.study.user_attrs.setdefault("search", now)
        if before != now:
            raise UserError(
                f"{path}: begun with another search ({before})",
                "name another file with --study, or delete it",
            )
        self.study.set_user_attr("search", now)

    def run(self, evaluate: Evaluate, told: Callable[[int], None] = lambda done: None) -> None:
        """Goes on until all trials are there; `told` hears how many are done."""
        while True:
            waiting = [t for t in self.study.trials if not t.state.is_finished()]
            wanted = self.missing_of_generation()
            batch = [(t.number, t.params) for t in waiting] + [self.ask() for _ in range(wanted)]
            if not batch:
                return
            for number, found in evaluate(batch):
                self.tell(number, found)
                told(sum(t.state.is_finished() for t in self.study.trials))

    def missing_of_generation(self) -> int:
        """Trials that the generation under way still has to ask for; none before its last is finished."""
        n, population = len(self.study.trials), self.search.population
        left = self.search.trials - n
        begun = n % population
        finished = all(t.state.is_finished() for t in self.study.trials)
        return max(0, min(left, population - begun if begun or finished else 0))

    def ask(self) -> tuple[int, Params]:
        """The next trial: its sampler is seeded by its number."""
        number = len(self.study.trials)
        self.study.sampler = self.optuna.samplers.NSGAIISampler(
            population_size=self.search.population, seed=self.search.seed * 100_003 + number
        )
        trial = self.study.ask(self.space)
        return trial.number, trial.params

    def tell(self, number: int, found: Values | str) -> None:
        if isinstance(found, str):
            storage = self.study._storage
            storage.set_trial_user_attr(self.study.trials[number]._trial_id, "failure", found[:500])
            self.study.tell(number, state=self.optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(number, [found[name] for name in self.search.objectives])

    def trials(self) -> list[Trial]:
        return [self.as_trial(t) for t in self.study.trials if t.state.is_finished()]

    def front(self) -> list[Trial]:
        """The trials that no other beats or equals in every objective, by their number."""
        return sorted(map(self.as_trial, self.study.best_trials), key=lambda t: t.number)

    def as_trial(self, t: Any) -> Trial:
        values = dict(zip(self.search.objectives, t.values, strict=True)) if t.values else None
        return Trial(t.number, dict(t.params), values, t.user_attrs.get("failure", ""))


def distribution(optuna: Any, entry: Range | Choices) -> Any:
    if isinstance(entry, Range):
        return optuna.distributions.FloatDistribution(entry.low, entry.high)
    return optuna.distributions.CategoricalDistribution(entry.values)


def import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "a search needs Optuna, which is not installed", "pip install 'offramp[search]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
