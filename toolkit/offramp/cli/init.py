"""`offramp init`: an offramp.toml for a model, and files that make GitHub and GitLab run its tests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from offramp import __version__, boards
from offramp.boards import Board as BoardRecord
from offramp.build.compilers import INSTALL
from offramp.cli.blob_file import is_blob
from offramp.cli.options import Board, ModelOrBlob
from offramp.cli.output import check_folder, note, write_output
from offramp.errors import UserError
from offramp_host.emulator import PACKAGES

_TEMPLATES = Path(__file__).resolve().parent / "templates"
PLACES = {
    "offramp.toml": "offramp.toml",
    "github.yml": ".github/workflows/offramp.yml",
    "gitlab.yml": ".gitlab-ci.yml",
}
EXTRAS = {".onnx": "onnx", ".pt2": "train"}
"""What reading a model file takes beside the distribution itself."""


def init(
    model: ModelOrBlob,
    board: Board,
    folder: Annotated[Path, typer.Option("--folder", metavar="D", help="The project's root.")] = Path("."),
) -> None:
    """Write offramp.toml and CI files for GitHub and GitLab; files that are there stay as they are."""
    target = boards.must_run_here(boards.load(board))
    is_blob(model)
    if not model.is_file():
        raise UserError(f"{model} does not exist", "check the path")
    check_folder(folder)
    there = [place for place in PLACES.values() if (folder / place).exists()]
    if len(there) == len(PLACES):
        raise UserError(f"{', '.join(there)} are there already", "delete what is to be written again")
    for place, text in files(model, board, target, folder).items():
        if place in there:
            note(f"left {folder / place} as it is")
        else:
            write_output(folder / place, text.encode())
            note(f"wrote {folder / place}")
    note("next: `offramp test --update` writes the baseline; commit it")


def files(model: Path, board: str, target: BoardRecord, folder: Path = Path(".")) -> dict[str, str]:
    """Text by place. `board` is what the user called it."""
    words = {
        "NAME": re.sub(r"[^A-Za-z0-9_-]", "_", model.stem),
        "MODEL": json.dumps(from_folder(model, folder), ensure_ascii=False)[1:-1],
        "BOARD": json.dumps(board, ensure_ascii=False)[1:-1],
        "PACKAGES": " ".join(packages(target)),
        "OFFRAMP": f"offramp{extra(model)}=={__version__}",
    }
    return {
        place: filled((_TEMPLATES / name).read_text(encoding="utf-8"), words)
        for name, place in PLACES.items()
    }


def from_folder(model: Path, folder: Path) -> str:
    """The model's path as seen from there, where it lies in it."""
    whole, root = model.resolve(), folder.resolve()
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else whole.as_posix()


def packages(board: BoardRecord) -> list[str]:
    """System packages of its compiler and its emulator, and gcc, which compiles what counts for estimates."""
    compiler = INSTALL[board.core.toolchain].partition("apt-get install ")[2].split()
    emulator = [PACKAGES[board.emulator.binary]] if board.emulator else []
    return list(dict.fromkeys([*compiler, *emulator, "gcc", "libc6-dev"]))


def extra(model: Path) -> str:
    found = EXTRAS.get(model.suffix.lower())
    return f"[{found}]" if found else ""


def filled(text: str, words: Mapping[str, str]) -> str:
    return re.sub(r"@([A-Z]+)@", lambda match: words[match[1]], text)
