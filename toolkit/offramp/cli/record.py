"""`offramp record`: samples of a board's own sensor into a data set for `compress`."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from offramp import boards
from offramp.build.firmware import firmware
from offramp.build.source import SYNTHETIC
from offramp.cli.options import Json, check_place
from offramp.cli.output import check_output, note, print_facts, print_json, progress, write_output
from offramp.errors import UserError
from offramp_host.data_set import DataSet, joined, recorded
from offramp_host.device import Device, SourceInfo
from offramp_host.emulator import Emulator
from offramp_host.rows import npz


def record(
    label: Annotated[str, typer.Option("--label", "-l", metavar="L", help="The class of what is recorded.")],
    out: Annotated[
        Path, typer.Option("-o", metavar="DATA.npz", help="Rows are added to a file that is there.")
    ],
    port: Annotated[
        str | None,
        typer.Option(
            "--port", "-p", metavar="URL", help="A board with firmware that was built with --source."
        ),
    ] = None,
    board: Annotated[
        str | None,
        typer.Option("--board", "-b", metavar="B", help="Emulate this board, its sensor synthetic."),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", "-s", metavar="S", min=0.001, help="How long, in one piece.")
    ] = 10.0,
    shape: Annotated[
        str | None,
        typer.Option(
            "--shape", metavar="N,...", help="Of a row, as the model takes it. Default: one second."
        ),
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option("--time-limit", metavar="S", min=1.0, help="Seconds that the board may be silent."),
    ] = 10.0,
    as_json: Json = False,
) -> None:
    """Record a board's own sensor into a labelled data set that compress reads."""
    check_place("record", board, port)
    if not label.strip():
        raise UserError("--label is empty", "name the class of what is recorded: --label up")
    check_output(out)
    there = DataSet.read(out) if out.exists() else None
    with (
        emulated(board, time_limit)
        if board is not None
        else Device(port or "", timeout_s=time_limit) as device
    ):
        source = device.source()
        row = row_shape(shape, source)
        n = rows_in(seconds, row, source)
        if there is not None:  # refused before anything is recorded
            joined(there, recorded(np.empty((0, *row), source.dtype), label, source.rate_hz), out)
        samples = n * math.prod(row) // source.channels
        with progress(f"recording {label}", samples) as show_done:
            x = device.capture(samples, progress=show_done).reshape(n, *row)
    new = recorded(x, label, source.rate_hz)
    found = new if there is None else joined(there, new, out)
    write_output(out, npz(found.parts()))
    note(f"wrote {out}")
    show(source, label, new, found, as_json)


def show(source: SourceInfo, label: str, new: DataSet, whole: DataSet, as_json: bool) -> None:
    """What was recorded, and what the data set has now."""
    n, *row = new.x.shape
    classes = {name: whole.count(name) for name in whole.labels}
    if as_json:
        print_json(
            {
                "source": source.name,
                "rate_hz": source.rate_hz,
                "rows": n,
                "shape": row,
                "dtype": str(new.x.dtype),
                "classes": classes,
            }
        )
        return
    took_s = new.x.size / source.channels / source.rate_hz
    print_facts(
        f"{label} from {source.name}",
        [
            ("recorded", f"{n} rows of {row} {new.x.dtype}, {took_s:g} s, none lost"),
            ("data set", ", ".join(f"{name} {count}" for name, count in classes.items())),
        ],
    )


def row_shape(text: str | None, source: SourceInfo) -> tuple[int, ...]:
    """One second of samples, or what --shape says: whole samples, flat or with the channels last; UserError if not."""
    if text is None:
        return (source.rate_hz,) if source.channels == 1 else (source.rate_hz, source.channels)
    sizes = text.split(",")
    if not all(size.strip().isdecimal() and int(size) > 0 for size in sizes):
        raise UserError(f"--shape {text}: sizes from 1 on are needed", "--shape 490, or --shape 128,3")
    row = tuple(int(size) for size in sizes)
    values = math.prod(row)
    is_flat = max(row) == values
    if values % source.channels or not (is_flat or row[-1] == source.channels):
        found = f"{values} values" if is_flat else f"{row[-1]} values side by side"
        raise UserError(
            f"--shape {text}: {found}, a sample of {source.name} has {source.channels}",
            "the sensor's values stand last: --shape N"
            + (f",{source.channels}" if source.channels > 1 else ""),
        )
    return row


def rows_in(seconds: float, row: tuple[int, ...], source: SourceInfo) -> int:
    samples = math.prod(row) // source.channels
    n = int(seconds * source.rate_hz) // samples
    if n == 0:
        raise UserError(
            f"--seconds {seconds:g}: a row takes {samples / source.rate_hz:g} s",
            "record longer, or make rows smaller with --shape",
        )
    return n


@contextmanager
def emulated(name: str, time_limit_s: float) -> Iterator[Device]:
    """A board without a model, its sensor synthetic."""
    board = boards.must_run_here(boards.load(name))
    with tempfile.TemporaryDirectory(prefix="offramp-") as folder:
        with progress(f"building for {board.name}"):
            image = firmware(
                board, Path(folder) / "image.elf", kernels=(), plans=1, exits=False, source=SYNTHETIC
            )
        with (
            Emulator(board, image.elf, timeout_s=100 * time_limit_s) as emulator,
            Device(emulator.url, timeout_s=time_limit_s) as device,
        ):
            yield device
