"""`offramp build`: blob -> firmware, ELF and bin, with the ledger of its sizes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from offramp import boards
from offramp.blob.read import Blob
from offramp.build.blob_image import blob_image, caller_bytes
from offramp.build.firmware import kernels_on, universal_kernels
from offramp.build.image import Image
from offramp.build.source import source_sources
from offramp.cli.blob_file import blob_for
from offramp.cli.options import (
    Board,
    FlashLimit,
    Mlperf,
    ModelOrBlob,
    Optimize,
    RamLimit,
    SourceName,
    plan_options,
)
from offramp.cli.output import check_output, note, print_facts, print_table, progress, write_output
from offramp.errors import UserError


def build(
    file: ModelOrBlob,
    board: Board,
    out: Annotated[
        Path | None, typer.Option("-o", metavar="ELF", help="Default: NAME-BOARD.elf, here.")
    ] = None,
    universal: Annotated[
        bool,
        typer.Option(
            "--universal", help="Link every kernel for int8 models without exits beside this model's own."
        ),
    ] = False,
    universal_all: Annotated[
        bool,
        typer.Option(
            "--universal-all",
            help="Link every kernel of the board's core, those for compressed weights too, and the code of exits.",
        ),
    ] = False,
    mlperf: Mlperf = False,
    source: SourceName = None,
    optimize: Optimize = "balanced",
    flash_limit: FlashLimit = None,
    ram_limit: RamLimit = None,
) -> None:
    """Build the firmware with a model linked in."""
    target = boards.load(board)
    path = out or Path(f"{file.stem}-{target.name}.elf")
    if path.suffix == ".bin":
        raise UserError(
            f"-o {path} names the ELF; the .bin is written beside it", f"-o {path.with_suffix('.elf')}"
        )
    check_output(path, file)
    check_output(path.with_suffix(".bin"), file)
    if source is not None:
        source_sources(target, source)
    blob, data = blob_for(
        file, target, plan_options(optimize=optimize, flash_limit=flash_limit, ram_limit=ram_limit)
    )
    with tempfile.TemporaryDirectory(prefix="offramp-") as folder:
        linked = Path(folder) / "model.ofr"
        linked.write_bytes(data)
        with progress(f"building for {target.name}"):
            others = kernels_on(target) if universal_all else universal_kernels(target) if universal else []
            image = blob_image(
                *(blob, target, Path(folder) / "image.elf"),
                linked=linked,
                others=others,
                mlperf=mlperf,
                source=source,
            )
        written = [(path, image.elf)] + ([(path.with_suffix(".bin"), image.bin)] if image.bin else [])
        for there, built in written:
            write_output(there, built.read_bytes())
        path.chmod(path.stat().st_mode | 0o111)
    note(f"wrote {' and '.join(str(there) for there, _ in written)}")
    show(image, blob, target)


def show(image: Image, blob: Blob, board: boards.Board) -> None:
    sizes = image.footprint
    rows: list[tuple[str, str, int]] = [("flash", account, n) for account, n in sizes.flash_bytes.items()]
    rows += [
        ("flash", "whole image", sizes.image_bytes),
        ("flash", "image without model", sizes.image_bytes - sizes.flash_bytes["model"]),
        ("RAM", "arena (inputs and outputs included)", blob.arena_bytes + caller_bytes(blob)),
        ("RAM", "state", blob.state_bytes),
        ("RAM", "static", sizes.static_ram_bytes),
        ("RAM", "link buffers", sizes.link_buffer_bytes),
        ("RAM", "stack, reserved", sizes.stack_bytes),
    ]
    print_table(f"{blob.name} on {board.name}", ("memory", "for", "bytes"), rows)
    built = image.compiler + (f", CMSIS-NN {image.cmsis_nn_version}" if image.cmsis_nn_version else "")
    print_facts("", [("compiler", built)])
