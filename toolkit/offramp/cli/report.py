"""`offramp report`: one HTML file, or Markdown, on a model: from what other commands printed, or made here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from offramp import boards
from offramp import pack as packing
from offramp.advice import Limits
from offramp.boards import Board
from offramp.cli.advise import answers_for, for_sale, read_card, variants_of
from offramp.cli.blob_file import is_blob, packed
from offramp.cli.explain import explanation
from offramp.cli.inspect import of_data
from offramp.cli.json_file import read_json
from offramp.cli.options import TimeLimit
from offramp.cli.output import check_output, note, progress, write_output
from offramp.cli.pack import summarize
from offramp.cli.profile import as_data as profile_data
from offramp.cycles import cycle_model
from offramp.errors import UserError
from offramp.plan import Options
from offramp.report import Material, as_html, as_markdown, report_on
from offramp_host.measure import measure
from offramp_host.profile import profile


def report(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="JSON of pack, inspect, bench, profile, compress, advise, or a card.json; a model file or .ofr with "
            "--board; a recipe's folder of variants.",
        ),
    ],
    board: Annotated[
        str | None, typer.Option("--board", "-b", metavar="B", help="Where a model is packed and measured.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", metavar="OUT", help="Default: report.html or report.md, here.")
    ] = None,
    md: Annotated[bool, typer.Option("--md", help="Markdown, for a pull request: the tables alone.")] = False,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="The page's heading.")] = "",
    time_limit: TimeLimit = 120.0,
) -> None:
    """Write a report: memory, flash, layers, accuracy and cost, exits, boards, time and energy with their error."""
    path = out or Path("report.md" if md else "report.html")
    md = is_markdown(path, md)
    check_output(path, *(p for p in inputs if p.is_file()))
    models = [p for p in inputs if p.is_file() and p.suffix.lower() != ".json"]
    if bool(models) != (board is not None):
        what = f"{models[0]} needs a board" if models else "--board is for a model file, and there is none"
        raise UserError(what, "`offramp report model.tflite --board mps2_an386`, or JSON files alone")
    folders = [p for p in inputs if p.is_dir()]
    for several, what in ((models, "model files"), (folders, "folders")):
        if len(several) > 1:
            raise UserError(f"{len(several)} {what}: {', '.join(map(str, several))}", "a report is on one")
    material = Material()
    for source in sorted(inputs, key=lambda p: p.is_dir() or p in models):  # JSON first: it is not made again
        if source.is_dir():
            add_folder(material, source)
        elif source in models:
            add_model(material, source, boards.load(board or ""), time_limit)
        else:
            material.add(read_json(source), str(source))
    try:
        found = report_on(material, title)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(
            f"{', '.join(map(str, inputs))}: what a report needs is missing or odd: "
            f"{type(error).__name__}: {error}",
            "write the JSON again, with this version's commands",
        ) from error
    write_output(path, (as_markdown(found) if md else as_html(found)).encode())
    note(f"{path}: {', '.join(s.title for s in found.sections)}")


def is_markdown(path: Path, asked: bool) -> bool:
    """By the file's name; UserError where that is neither kind's, such as a model's, or not what was asked for."""
    of_name = {".html": False, ".htm": False, ".md": True, ".markdown": True}.get(path.suffix.lower())
    if of_name is None:
        raise UserError(f"{path}: a report is .html or .md", f"name it {path.stem}.html with -o")
    if asked and not of_name:
        raise UserError(f"--md, and {path} is named as a page", f"name it {path.stem}.md with -o")
    return of_name


def add_folder(material: Material, folder: Path) -> None:
    """Its card, and how each variant does on the boards that are for sale."""
    material.card += list(read_card(folder / "card.json").values())
    if material.advise is None:
        material.advise = answers_for(folder, variants_of(folder), for_sale(), Limits())


def add_model(material: Material, path: Path, board: Board, time_limit_s: float) -> None:
    """Packs it, measures it where the board runs here, and asks how it does on other boards."""
    if is_blob(path):
        data = packed(path, Options())
    else:
        with progress(f"packing {path.name}"):
            plan, data = packing.pack(path, board, Options())
        material.pack = summarize(plan, data, path, board.name) | {"ops": explanation(plan)}
        if material.advise is None:
            material.advise = answers_for(path, variants_of(path), boards_with(board), Limits())
    material.inspect = of_data(path, data)
    if board.runs_here:
        with progress(f"measuring on {board.name}"):
            row = measure(board, data, name=str(path), time_limit_s=time_limit_s)
        material.bench.append(plain(asdict(row)))
    if board.emulator is not None and cycle_model(board.core.name) is not None:
        with progress(f"profiling on {board.name}"):
            material.profile = profile_data(profile(board, data, name=str(path), time_limit_s=time_limit_s))


def boards_with(board: Board) -> Sequence[Board]:
    others = [b for b in for_sale() if b.name != board.name]
    return [board, *others] if board.core.toolchain != "host" else others


def plain(value: Any) -> Any:
    """As JSON would give it back."""
    return json.loads(json.dumps(value))
