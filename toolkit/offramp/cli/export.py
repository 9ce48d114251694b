"""`offramp export`: blob -> a source tree that other builds take."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from offramp import boards
from offramp.cli.blob_file import blob_for
from offramp.cli.options import Board, Json, ModelOrBlob
from offramp.cli.output import note, print_facts, print_json, print_table
from offramp.export import check_target, tree, write
from offramp.plan import Options


def export(
    file: ModelOrBlob,
    board: Board,
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", help="New, empty, or an earlier export, which is replaced.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files and write none.")] = False,
    as_json: Json = False,
) -> None:
    """Write the model, the runtime and its kernels as sources for CMake, Zephyr, ESP-IDF, Arduino, PlatformIO."""
    target = boards.load(board)
    check_target(to)
    blob, data = blob_for(file, target, Options())
    found = tree(blob, data, target)
    if not dry_run:
        write(found, to)
        note(f"wrote {to}")
    if as_json:
        rows = [
            {"path": place, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for place, content in found.files.items()
        ]
        print_json(
            {"model": blob.name, "board": target.name, "to": str(to), "written": not dry_run}
            | {"kernels": list(blob.kernels), "bytes": found.bytes, "files": rows}
        )
        return
    if dry_run:
        print_table("", ("file", "bytes"), [(place, len(content)) for place, content in found.files.items()])
    print_facts(
        "",
        [
            ("model", f"{blob.name} for {blob.core}"),
            ("kernels", ", ".join(blob.kernels)),
            ("files", len(found.files)),
            ("bytes", found.bytes),
            ("start with", to / "README.md"),
        ],
    )
