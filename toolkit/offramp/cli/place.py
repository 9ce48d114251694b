"""A board for `offramp monitor`: emulated with its models at hand, or whatever answers at a port."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from offramp import boards
from offramp.blob import read
from offramp.blob.read import Blob
from offramp.build.blob_image import check_ram, check_slot, front_ends_of
from offramp.build.firmware import firmware, kernels_named
from offramp.cli.blob_file import blob_for, is_blob, packed
from offramp.cli.output import progress
from offramp.plan import Options
from offramp_host.device import Device
from offramp_host.emulator import Emulator
from offramp_host.flash import check_kernels

_EMULATOR_TIMEOUT_S = 30 * 24 * 3600.0

Check = Callable[[Path, Blob], object]
"""Refuses the first model before anything is built for it."""


@dataclass(frozen=True)
class Place:
    """`models`: file, blob and its bytes. `board`: the one that is emulated."""

    models: list[tuple[Path, Blob, bytes]]
    open_device: Callable[[Callable[[str], None]], Device]
    board: boards.Board | None


def place_for(
    files: Sequence[Path], board: str | None, port: str, options: Options, time_limit_s: float, check: Check
) -> AbstractContextManager[Place]:
    """The board that is named, emulated; None: what answers at the port."""
    if board is None:
        return attached(files, port, options, time_limit_s, check)
    return emulated(files, boards.must_run_here(boards.load(board)), options, time_limit_s, check)


@contextmanager
def attached(
    files: Sequence[Path], port: str, options: Options, time_limit_s: float, check: Check
) -> Iterator[Place]:
    """Model files are packed for the board that answers."""
    models = []
    if files:
        with Device(port, timeout_s=time_limit_s) as device:
            there = device.info().board
        for file in files:
            data = packed(file, options) if is_blob(file) else None
            data = data or blob_for(file, boards.load(there.board), options)[1]
            models.append((file, read(data, file), data))
            check_kernels(models[-1][1], there, str(file))
        check(*models[0][:2])
    yield Place(models, lambda log: Device(port, timeout_s=time_limit_s, on_log=log), None)


@contextmanager
def emulated(
    files: Sequence[Path], board: boards.Board, options: Options, time_limit_s: float, check: Check
) -> Iterator[Place]:
    """The first model lies in the model slot when the board starts; its image has the kernels of all."""
    models = [(file, *blob_for(file, board, options)) for file in files]
    check(*models[0][:2])
    for file, _, data in models:
        check_slot(len(data), board, str(file))
    blobs = [blob for _, blob, _ in models]
    with tempfile.TemporaryDirectory(prefix="offramp-") as folder:
        first = Path(folder) / "model.ofr"
        first.write_bytes(models[0][2])
        with progress(f"building for {board.name}"):
            image = firmware(
                board,
                Path(folder) / "image.elf",
                kernels=kernels_named([kernel for blob in blobs for kernel in blob.kernels]),
                plans=max(len(blob.plans) for blob in blobs),
                exits=any(plan.exits for blob in blobs for plan in blob.plans),
                front_ends=sorted({kind for blob in blobs for kind in front_ends_of(blob)}),
            )
        for blob in blobs:
            check_ram(blob, board, image.footprint)
        loads = [(first, board.model_slot.address)]
        with ExitStack() as running:

            def start() -> Emulator:
                return running.enter_context(
                    Emulator(board, image.elf, loads=loads, timeout_s=_EMULATOR_TIMEOUT_S)
                )

            emulator = start()

            def open_device(log: Callable[[str], None]) -> Device:
                nonlocal emulator
                if emulator.has_ended:  # as a board that was unplugged it comes back, and with a new URL
                    emulator = start()
                return Device(emulator.url, timeout_s=time_limit_s, on_log=log)

            yield Place(models, open_device, board if board.emulator else None)
