"""`offramp compress --search`: runs a recipe's study, writes its front: graphs, table, picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from offramp import boards, ofg
from offramp.cli.output import check_folder, note, print_json, print_table, stderr, write_output
from offramp.compress.recipe import Recipe, Search
from offramp.compress.variants import Workshop
from offramp.errors import UserError
from offramp.search.cluster import here, import_distributed, on_dask
from offramp.search.plot import front_png, import_pyplot
from offramp.search.space import space_of
from offramp.search.study import Study, Trial, import_optuna
from offramp.search.trial import Task, compute, graph_of, task_of


def search_recipe(
    recipe: Recipe, folder: Path, study_path: Path | None, dask: str | None, as_json: bool
) -> None:
    """UserError where the recipe has no [search]. A stop loses the trials under way; the next call goes on."""
    if recipe.search is None:
        raise UserError(f"{recipe.name}: no [search]", "docs/recipe.md shows its keys")
    check(recipe.search, recipe.board, folder, dask)
    folder.mkdir(parents=True, exist_ok=True)
    path = study_path or folder / "study.db"
    study = Study(recipe.search, recipe.name, path)
    task = task_of(Workshop(recipe))
    note(f"study {path}: {len(study.trials())} of {recipe.search.trials} trials done")
    run(study, task, dask)
    front = study.front()
    for trial in front:
        write_output(folder / f"trial{trial.number}.ofg", ofg.dump(graph_of(task, trial.params)))
    write_output(folder / "front.png", front_png(study.trials(), front, recipe.search.objectives))
    show(study, front, folder, as_json)


def check(search: Search, board: str, folder: Path, dask: str | None) -> None:
    """Refuses before any work what would fail in the trials or after them."""
    check_folder(folder)
    boards.load(board)
    space_of(search)
    import_optuna()
    import_pyplot()
    if dask is not None:
        import_distributed()


def run(study: Study, task: Task, dask: str | None) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
        bar = progress.add_task("trials", total=study.search.trials, completed=len(study.trials()))

        def told(done: int) -> None:
            progress.update(bar, completed=done)

        if dask is None:
            study.run(here(compute, task), told)
        else:
            with on_dask(dask, compute, task) as evaluate:
                study.run(evaluate, told)


def show(study: Study, front: list[Trial], folder: Path, as_json: bool) -> None:
    if as_json:
        print_json({"front": [vars(t) for t in front], "trials": [vars(t) for t in study.trials()]})
        return
    names = study.search.objectives
    rows: list[list[Any]] = []
    for trial in front:
        values = trial.values or {}
        params = ", ".join(
            f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in trial.params.items()
        )
        cells = [100 * values[n] if n == "accuracy" else round(values[n]) for n in names]
        rows.append([trial.number, *cells, params])
    titles = ["accuracy %" if n == "accuracy" else n for n in names]
    print_table(
        f"front of {len(study.trials())} trials, accuracy on validation rows", ("trial", *titles, ""), rows
    )
    failed = [t for t in study.trials() if t.values is None]
    if failed:
        note(f"{len(failed)} trials failed, the first: {failed[0].failure}")
    note(f"graphs and front.png in {folder}")
