"""A board with a model on it and rows that wait: connected, run, and what came out as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from offramp import boards
from offramp.blob import read
from offramp.blob.read import Blob
from offramp.cli.blob_file import blob_for, is_blob, packed
from offramp.cli.output import progress
from offramp.cli.sound import is_sound, read_sound, runs_of
from offramp.errors import UserError
from offramp.plan import Options
from offramp_host.device import Device, Result, State
from offramp_host.loaded import send, started
from offramp_host.rows import Array, output_arrays, read_rows

Check = Callable[[Blob], object]
"""Refuses a blob before anything is built or sent for it."""


@dataclass(frozen=True)
class Bench:
    """A board with the model on it and the rows that wait; `board` is None if it counts no instructions."""

    device: Device
    blob: Blob
    rows: list[list[Array]]
    where: str
    board: boards.Board | None
    raw: Array | None = None
    """Samples for the front end in place of rows."""

    @property
    def runs(self) -> int:
        return len(self.rows) if self.raw is None else runs_of(self.raw, self.blob)


@contextmanager
def emulated(
    file: Path, board: boards.Board, options: Options, inputs: Path, time_limit_s: float, check: Check
) -> Iterator[Bench]:
    """The emulator starts with the blob, once `check` has seen it, in the model slot, which every board has."""
    blob, data = blob_for(file, board, options)
    check(blob)
    rows, raw = read_given(inputs, blob)
    with on_emulator(file, board, blob, data, rows, time_limit_s, raw) as bench:
        yield bench


@contextmanager
def on_emulator(
    file: Path,
    board: boards.Board,
    blob: Blob,
    data: bytes,
    rows: list[list[Array]],
    time_limit_s: float,
    raw: Array | None = None,
) -> Iterator[Bench]:
    """`data` are the bytes of the blob; `file` is for messages; `raw` is given in place of rows."""
    limit_s = time_limit_s * (len(rows) + 2 + (0 if raw is None else runs_of(raw, blob)))
    with ExitStack() as stack:
        with progress(f"building for {board.name}"):
            starting = started(board, data, name=str(file), limit_s=limit_s, time_limit_s=time_limit_s)
            device = stack.enter_context(starting)
        yield Bench(device, blob, rows, board.name, board if board.emulator else None, raw)


@contextmanager
def attached(
    file: Path, port: str, options: Options, inputs: Path, time_limit_s: float, check: Check
) -> Iterator[Bench]:
    """A model file is packed for the board that answers; the blob is sent unless it is there already."""
    if is_blob(file):
        data = packed(file, options)
        rows, raw = read_given(inputs, read(data, file))  # errors in them come before the port's
        check(read(data, file))
    with Device(port, timeout_s=time_limit_s) as device:
        info = device.info()
        if not is_blob(file):
            _, data = blob_for(file, boards.load(info.board.board), options)
            rows, raw = read_given(inputs, read(data, file))
        blob = read(data, file)
        check(blob)
        with progress(f"sending {blob.name}", len(data)) as show_sent:
            send(device, data, name=str(file), told=show_sent)
        yield Bench(device, blob, rows, f"{info.board.board} at {port}", None, raw)


def read_given(inputs: Path, blob: Blob) -> tuple[list[list[Array]], Array | None]:
    """Rows of inputs, or none and the samples of a sound."""
    return ([], read_sound(inputs, blob)) if is_sound(inputs) else (read_rows(inputs, blob.inputs), None)


def arrays_of(results: Sequence[Result], blob: Blob, file: Path) -> list[tuple[str, Array]]:
    """Of each output its rows; of a model with exits output 0 or what stands for it, exit (-1: end) and confidence."""
    if not any(plan.exits for plan in blob.plans):
        return output_arrays([result.outputs for result in results], blob.outputs)
    shapes = sorted({result.outputs[0].shape for result in results})
    if len(shapes) > 1:
        found = " and ".join("x".join(map(str, shape)) for shape in shapes)
        raise UserError(f"{file}: the ways out give answers of {found}", "--no-exits runs to the end")
    left = np.array([-1 if result.exit is None else result.exit for result in results], np.int16)
    sure = np.array([result.outcome.confidence if result.outcome else 0 for result in results], np.uint16)
    answers = output_arrays([result.outputs[:1] for result in results], blob.outputs[:1])
    return [*answers, ("exit", left), ("confidence", sure)]


def infer(bench: Bench, state: State, no_exits: bool) -> list[Result]:
    bench.device.reset_state()
    results = []
    measure = bench.board is not None
    if bench.raw is not None:
        stream = bench.device.feed(bench.raw, measure=measure, to_the_end=no_exits)
    else:
        stream = bench.device.stream(bench.rows, state=state, measure=measure, to_the_end=no_exits)
    with progress(f"running {bench.blob.name}", bench.runs) as show_done:
        for result in stream:
            results.append(result)
            show_done(len(results))
    return results
