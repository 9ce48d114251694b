"""The blob that a command works on: read from a .ofr file, or packed from a model file."""

from __future__ import annotations

from pathlib import Path

from offramp.blob import read
from offramp.blob.read import Blob
from offramp.boards import Board
from offramp.build.blob_image import check_board
from offramp.cli.output import progress
from offramp.errors import UserError
from offramp.frontends import LOADERS
from offramp.pack import pack
from offramp.plan import Options


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", "check the path") from error


def is_blob(path: Path) -> bool:
    """Whether it is a blob by its name; UserError if it is no model file either."""
    suffix = path.suffix.lower()
    if suffix != ".ofr" and suffix not in LOADERS:
        raise UserError(
            f"{path}: unknown format {suffix or '(no suffix)'}",
            f"known formats: {', '.join((*LOADERS, '.ofr'))}",
        )
    return suffix == ".ofr"


def blob_for(path: Path, board: Board, options: Options) -> tuple[Blob, bytes]:
    """What a blob holds and its bytes; UserError unless it is for `board`."""
    if is_blob(path):
        data = read_file(path)
    else:
        with progress(f"packing {path.name} for {board.name}"):
            data = pack(path, board, options)[1]
    blob = read(data, path)
    check_board(blob, board, str(path))
    return blob, data
