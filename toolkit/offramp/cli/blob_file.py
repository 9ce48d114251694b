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
from offramp_host.rows import read_file

# Options of packing that commands take for a model file, and the fields of Options that they set.
FLAGS = {
    "--kernels": "kernels",
    "--no-passes": "passes",
    "--optimize": "optimize",
    "--flash-limit": "flash_limit",
    "--ram-limit": "ram_limit",
    "--front-end": "front_end",
}


def is_blob(path: Path) -> bool:
    """Whether it is a blob by its name; UserError if it is no model file either."""
    suffix = path.suffix.lower()
    if suffix != ".ofr" and suffix not in LOADERS:
        raise UserError(
            f"{path}: unknown format {suffix or '(no suffix)'}",
            f"known formats: {', '.join((*LOADERS, '.ofr'))}",
        )
    return suffix == ".ofr"


def packed(path: Path, options: Options) -> bytes:
    """What a .ofr file holds; UserError where options say how to pack it, which is over."""
    given = [flag for flag, field in FLAGS.items() if getattr(options, field) != getattr(Options(), field)]
    data = read_file(path)
    if given:
        blob = read(data, path)
        made_for = blob.metadata.get("board", blob.core)
        sets = ", ".join(dict.fromkeys(kernel.split("/")[0] for kernel in blob.kernels))
        raise UserError(
            f"{path} is packed already, for {made_for} with kernels of {sets}, {len(data)} bytes: "
            f"{', '.join(given)} would change nothing",
            f"give the model file ({blob.metadata.get('source', '.tflite, .onnx, .pt2 or .ofg')}) with "
            f"{given[0]}, or leave {'it' if len(given) == 1 else 'them'} out",
        )
    return data


def blob_for(path: Path, board: Board, options: Options) -> tuple[Blob, bytes]:
    """What a blob holds and its bytes; UserError unless it is for `board`."""
    if is_blob(path):
        data = packed(path, options)
    else:
        with progress(f"packing {path.name} for {board.name}"):
            data = pack(path, board, options)[1]
    blob = read(data, path)
    check_board(blob, board, str(path))
    return blob, data
