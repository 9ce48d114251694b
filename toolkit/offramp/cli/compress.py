"""`offramp compress`: a model or a recipe -> smaller graphs, a card, or a search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from offramp import boards, ofg
from offramp.boards import Board
from offramp.cli.card import CardRow, as_markdown, card_rows
from offramp.cli.card import as_json as card_json
from offramp.cli.exits import as_plain, curve_png, exits_report, instructions_by_exit, print_exits
from offramp.cli.options import Json
from offramp.cli.output import (
    check_folder,
    check_output,
    note,
    print_facts,
    print_json,
    print_table,
    stderr,
    write_output,
)
from offramp.cli.searching import search_recipe
from offramp.compress.accuracy import accuracy
from offramp.compress.data import Source
from offramp.compress.exits.options import check_asked
from offramp.compress.recipe import Exits, Prune, Quantize, Recipe, Sparsify, Variant, load_recipe
from offramp.compress.variants import Told, Work, Workshop
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.plan import Options

STEPS = "Steps, in this order (a recipe says more)"
RECIPE = "Of a recipe"


def compress(
    model: Annotated[Path, typer.Argument(metavar="MODEL|RECIPE.toml", help="A model file, or a recipe.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", metavar="OUT", help="OUT.ofg; a folder for several variants, a card or a search."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help=".npz with x (and y), folder of images by class, digits. x is real, or integers as an integer model's "
            "input.",
        ),
    ] = None,
    divide: Annotated[
        float | None, typer.Option("--divide", metavar="N", help="Integers in the data are divided by N.")
    ] = None,
    parameters: Annotated[
        float | None,
        typer.Option(
            "--parameters", metavar="SHARE", help="Prune channels to this share.", rich_help_panel=STEPS
        ),
    ] = None,
    zeros: Annotated[
        float,
        typer.Option(
            "--zeros", metavar="SHARE", help="Share of weights to set to zero.", rich_help_panel=STEPS
        ),
    ] = 0.0,
    pattern: Annotated[
        str,
        typer.Option(
            "--pattern", metavar="unstructured|1x4|N:M", help="Of the zeros.", rich_help_panel=STEPS
        ),
    ] = "unstructured",
    bits: Annotated[
        int,
        typer.Option(
            "--bits",
            metavar="8|4|16",
            help="Quantize: 4 are weights', 16 activations'.",
            rich_help_panel=STEPS,
        ),
    ] = 8,
    exits: Annotated[
        str | None,
        typer.Option(
            "--exits",
            metavar="auto|LAYER,...",
            help="Ways out behind these layers, trained on labelled data; an int8 model keeps its bits.",
            rich_help_panel=STEPS,
        ),
    ] = None,
    lost_points: Annotated[
        float | None,
        typer.Option(
            "--lost-points",
            metavar="P",
            help="Most points of accuracy that exits may lose, with 95 % confidence.",
            rich_help_panel=STEPS,
        ),
    ] = None,
    epochs: Annotated[
        float,
        typer.Option(
            "--epochs", metavar="N", help="Train each step so long, on labelled data.", rich_help_panel=STEPS
        ),
    ] = 0.0,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            "--variant", metavar="NAME", help="Make this one; default: all.", rich_help_panel=RECIPE
        ),
    ] = None,
    card: Annotated[
        bool,
        typer.Option(
            "--card",
            help="Measure each variant: card.json and card.md in the folder.",
            rich_help_panel=RECIPE,
        ),
    ] = False,
    board: Annotated[
        list[str] | None,
        typer.Option("--board", "-b", metavar="B", help="Boards of the card.", rich_help_panel=RECIPE),
    ] = None,
    search: Annotated[
        bool,
        typer.Option(
            "--search",
            help="Try what its table search says; the front goes into the folder.",
            rich_help_panel=RECIPE,
        ),
    ] = False,
    study: Annotated[
        Path | None,
        typer.Option(
            "--study",
            metavar="FILE.db",
            help="The search's SQLite file; it goes on there.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            "--dask",
            metavar="ADDRESS|local",
            help="Run the trials on a Dask cluster.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a model smaller: quantize, prune, set to zero, distill, as options or a recipe say."""
    is_recipe = model.suffix == ".toml"
    if is_recipe:
        refuse_options(data=data, divide=divide, parameters=parameters, exits=exits)
        refuse_options(zeros=zeros or None, epochs=epochs or None, bits=None if bits == 8 else bits)
    if not search:
        refuse_options("--search", study=study, dask=dask)
    if not card:
        refuse_options("--card", board=board)
    if exits is None:
        refuse_options("--exits", lost_points=lost_points)
    steps = steps_of(parameters, zeros, pattern, bits, epochs)
    if exits is not None:
        steps = with_exits(model, steps, exits, lost_points)
    recipe = load_recipe(model) if is_recipe else recipe_of(model, data, divide, steps)
    if search:
        search_recipe(recipe, out or Path(f"{recipe.name}-search"), study, dask, as_json)
        return
    names = variant or list(recipe.variants)
    path = place_of(out, recipe, names, card, model)
    targets = (
        [boards.must_run_here(boards.load(b)) for text in board or [recipe.board] for b in text.split(",")]
        if card
        else []
    )
    make(recipe, names, path, targets, as_json)


def place_of(out: Path | None, recipe: Recipe, names: Sequence[str], card: bool, model: Path) -> Path:
    """OUT.ofg for one variant, or else a folder; UserError where nothing can be written there."""
    in_folder = len(names) > 1 or card
    path = out or Path(recipe.name if in_folder else f"{names[0]}.ofg")
    if path.suffix in (".ofr", ".onnx", ".pt2", ".tflite"):
        raise UserError(
            f"-o {path}: compress writes .ofg files", "-o OUT.ofg, or a folder; pack makes the .ofr"
        )
    if path.suffix != ".ofg":
        check_folder(path)
    elif in_folder:
        raise UserError(f"-o {path}: {len(names)} variants need a folder", "name a folder, or one --variant")
    else:
        check_output(path, model)
    return path


def make(recipe: Recipe, names: Sequence[str], path: Path, targets: Sequence[Board], as_json: bool) -> None:
    """Makes, writes and reports variants, with a card where there are boards to measure on."""
    with shown() as told:
        shop = Workshop(recipe, told, costs=instructions_by_exit(boards.load(recipe.board)))
        if targets:
            shop.data.judged.labelled("a model card")
        made = {name: shop.make(name) for name in names}
    for warning in shop.data.warnings if recipe.data is not None else ():
        note(f"warning: {warning}")
    judged = {} if targets else {name: judge(shop, work.result) for name, work in made.items()}
    for name, work in made.items():
        file = path if path.suffix == ".ofg" else folder_of(path) / f"{name}.ofg"
        write_output(file, ofg.dump(work.result))
        note(f"wrote {file}")
    exits = {name: found for name, work in made.items() if (found := exits_of(shop, work))}
    for name, found in exits.items():
        write_curve(
            path.with_suffix(".exits.png") if path.suffix else path / f"{name}.exits.png", found, recipe.board
        )
    rows = measured(shop, made, targets, path) if targets else []
    report(recipe, made, judged, rows, exits, as_json)


def exits_of(shop: Workshop, work: Work) -> dict[str, Any] | None:
    """Of a graph whose exits a step has calibrated, on rows that chose nothing."""
    found = work.calibrated
    if found is None:
        return None
    board = boards.load(shop.recipe.board)
    return exits_report(work.result, shop.data.judged, board, found.family, found.normal)


def write_curve(path: Path, found: Mapping[str, Any], board: str) -> None:
    """The picture, where matplotlib is installed."""
    try:
        picture = curve_png(found, board)
    except UserError as error:
        note(f"{error}: {error.hint}")
        return
    write_output(path, picture)


def judge(shop: Workshop, graph: Graph) -> str | None:
    """Accuracy on rows that chose nothing, where there are labels."""
    if shop.recipe.data is None or shop.data.judged.y is None:
        return None
    part = "test" if shop.data.test is not None else "validation"
    return f"{accuracy(graph, shop.data.judged.x, shop.data.judged.y)} {part} rows"


def refuse_options(needs: str = "a model file", **given: Any) -> None:
    """What is given but would do nothing here."""
    named = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if named:
        raise UserError(f"{', '.join(named)} goes with {needs}", "a recipe says it itself: docs/recipe.md")


def steps_of(
    parameters: float | None, zeros: float, pattern: str, bits: int, epochs: float
) -> tuple[Any, ...]:
    """The steps that options describe."""
    steps: list[Any] = []
    if parameters is not None:
        steps.append(Prune(parameters=parameters, epochs=epochs))
    if zeros:
        steps.append(Sparsify(zeros=zeros, pattern=pattern, epochs=epochs))
    return (*steps, Quantize(bits=bits, epochs=epochs))


def with_exits(model: Path, steps: tuple[Any, ...], exits: str, lost_points: float | None) -> tuple[Any, ...]:
    """A step more; alone on an int8 model that nothing else is to be done to, which so keeps its bits."""
    names = tuple(name.strip() for name in exits.split(","))
    step = Exits(names, Exits.lost_points if lost_points is None else lost_points)
    check_asked(names, step.lost_points, f"--exits {exits or repr(exits)}", "--lost-points")
    is_as_it_was = steps == (Quantize(),) and not load_model(model).is_float
    return (step,) if is_as_it_was else (*steps, step)


def recipe_of(model: Path, data: str | None, divide: float | None, steps: tuple[Any, ...]) -> Recipe:
    """A recipe of one variant, named as the model."""
    source = (
        None if data is None else Source(data if data == "digits" else str(Path(data).absolute()), divide)
    )
    folder = model.parent
    return Recipe(model.stem, folder, model.name, {model.stem: Variant(steps)}, source)


def folder_of(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be made: {error.strerror}", "name another folder with -o") from error
    return path


@contextmanager
def shown() -> Iterator[Told]:
    """Progress with the time left, on stderr where that is a terminal; one bar for each thing that is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
        tasks: dict[str, Any] = {}

        def told(what: str, done: int, total: int) -> None:
            name = what.split(", loss")[0]
            if name not in tasks:
                tasks[name] = progress.add_task(what, total=total)
            progress.update(tasks[name], description=what, completed=done, total=total)

        yield told


def measured(shop: Workshop, made: Mapping[str, Work], targets: Sequence[Board], path: Path) -> list[CardRow]:
    """The card's rows; card.json and card.md are written into the folder."""
    rows = []
    for name, work in made.items():
        note(f"measuring {name}")
        rows += card_rows(name, work.result, shop.data.judged, targets, Options())
    write_output(path / "card.json", card_json(rows).encode())
    write_output(path / "card.md", as_markdown(rows).encode())
    return rows


def report(
    recipe: Recipe,
    made: Mapping[str, Work],
    judged: Mapping[str, str | None],
    rows: Sequence[CardRow],
    exits: Mapping[str, Mapping[str, Any]],
    as_json: bool,
) -> None:
    """What each step says of itself, accuracies, exits, the card."""
    if as_json:
        variants = [
            {"variant": name, "steps": list(work.notes), "accuracy": judged.get(name)}
            | ({"exits": as_plain(exits[name])} if name in exits else {})
            for name, work in made.items()
        ]
        print_json({"variants": variants, "card": [asdict(row) for row in rows]})
        return
    for name, work in made.items():
        facts = [(str(i + 1), text) for i, text in enumerate(work.notes)]
        found = judged.get(name)
        print_facts(name, facts + ([("", found)] if found else []))
        if name in exits:
            print_exits(exits[name], recipe.board)
    if rows:
        columns = ("variant", "accuracy %", "±", "weights", "blob", "MACs", "equal")
        cells = [
            (
                *(r.variant, 100 * r.accuracy, 100 * r.stderr),
                *(r.weight_bytes, r.blob_bytes, r.macs, r.emulator_equal),
            )
            for r in rows
        ]
        print_table("\ncard, on rows that chose nothing", columns, cells)
