"""Runs many small blobs on a board in one process and says whose outputs differ: for the grids of any op.

cases = [from_oracle(case, board, kernels="auto") for case in OPS["CONV_2D"](seed)]
assert failures(run_grid(board, cases, tmp_path)) == []
"""

from __future__ import annotations

import socket
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from offramp.blob import write
from offramp.boards import Board
from offramp.build.firmware import firmware, kernels_on
from offramp.frontends import tflite
from offramp.ir import Graph
from offramp.ops import Kernel
from offramp.ops.verify import verify
from offramp.plan import Options, make_plan
from offramp_host.emulator import Emulator
from offramp_host.status import status
from tests.oracle.case import Case
from tests.ways import without_costs

APP = Path(__file__).parent / "apps" / "grid.c"


@dataclass(frozen=True)
class GridCase:
    """A blob and, for each row, its inputs and the outputs it must give; the kernels are for messages."""

    name: str
    blob: bytes
    rows: list[tuple[list[bytes], list[bytes]]]
    kernels: tuple[str, ...] = ()

    def packed(self) -> bytes:
        arrays = [array for row in self.rows for half in row for array in half]
        body = padded(self.blob) + b"".join(map(padded, arrays))
        return struct.pack("<4I", 16 + len(body), len(self.blob), len(self.rows), 0) + body


@dataclass(frozen=True)
class Result:
    name: str
    failure: str  # empty: all outputs are as expected
    instructions: int = 0  # all rows; 0 on posix
    kernels: tuple[str, ...] = ()


def from_graph(
    name: str,
    graph: Graph,
    board: Board,
    kernels: str,
    rows: Sequence[tuple[Sequence[np.ndarray], Sequence[np.ndarray]]],
    caller_inputs: tuple[str, ...] = (),
) -> GridCase:
    """A case of a graph packed for a board and kernel set; `rows` hold inputs and expected outputs. Inputs named by
    `caller_inputs` lie in the caller's memory, at an odd address.

    Without costs, so that the set serves all that it can, also where another would be cheaper.
    """
    with without_costs():
        plan = make_plan(graph, board, Options(kernels=kernels, caller_inputs=caller_inputs))
    used = tuple(f"{s.kernel.set}/{s.kernel.name}" for s in plan.steps)
    return GridCase(
        name, write(plan), [([a.tobytes() for a in x], [a.tobytes() for a in y]) for x, y in rows], used
    )


def from_oracle(
    case: Case, board: Board, kernels: str = "auto", caller_inputs: tuple[str, ...] = ()
) -> GridCase:
    """A case of the oracle, its expected outputs from TensorFlow Lite Micro."""
    graph = tflite.load(case.model, case.name)
    verify(graph, case.name)
    rows = list(zip(case.rows, case.expected(), strict=True))
    return from_graph(case.name, graph, board, kernels, rows, caller_inputs)


def run_grid(
    board: Board,
    cases: Sequence[GridCase],
    folder: Path,
    *,
    kernels: Sequence[Kernel] | None = None,
    timeout_s: float = 60,
    sanitize: bool = False,
) -> list[Result]:
    """One result a case, in order. `kernels` are linked in, by default all that the board has.

    Cases go in batches that fill the model slot.
    """
    linked = kernels_on(board) if kernels is None else kernels
    image = firmware(board, folder / "grid.elf", kernels=linked, app=[APP], sanitize=sanitize)
    results: list[Result] = []
    for batch in batches(cases, board.model_slot.size):
        results += run_batch(board, image.elf, batch, folder, timeout_s)
    return results


def failures(results: Sequence[Result]) -> list[str]:
    """A line for each case that failed."""
    return [f"{r.name} [{', '.join(r.kernels)}]: {r.failure}" for r in results if r.failure]


def batches(cases: Sequence[GridCase], limit: int) -> Iterator[list[GridCase]]:
    batch: list[GridCase] = []
    used = 16
    for case in cases:
        size = len(case.packed())
        if batch and used + size > limit:
            yield batch
            batch, used = [], 16
        batch.append(case)
        used += size
    if batch:
        yield batch


def run_batch(
    board: Board, elf: Path, cases: Sequence[GridCase], folder: Path, timeout_s: float
) -> list[Result]:
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".grid") as file:
        file.write(padded(struct.pack("<4sI", b"GRID", len(cases))) + b"".join(c.packed() for c in cases))
        file.flush()
        loads = [(Path(file.name), board.model_slot.address)]
        with Emulator(board, elf, loads=loads, timeout_s=timeout_s) as emulator:
            lines = read_lines(emulator.url, timeout_s)
            said = emulator.stderr
    heard = {int(line.split()[1]): line for line in lines if line.split()[0] in ("ok", "refused", "differs")}
    odd = [line for line in lines if line.split()[0] not in ("ok", "refused", "differs", "done")]
    silent = "no answer: " + " / ".join(odd + said.splitlines()[-30:])
    return [result(board, case, heard.get(i, ""), silent) for i, case in enumerate(cases)]


def read_lines(url: str, timeout_s: float) -> list[str]:
    """What the board says until it is done, stops, or says nothing for so long.

    By a plain socket: pyserial throws away what has come before it is open.
    """
    at = urlsplit(url)
    found = []
    try:
        with socket.create_connection((at.hostname, at.port), timeout_s) as link:
            for line in link.makefile(errors="replace"):
                found.append(line.strip())
                if found[-1] == "done":
                    break
    except OSError:
        pass  # the emulator has ended
    return [line for line in found if line]


def result(board: Board, case: GridCase, line: str, silent: str) -> Result:
    word, *rest = line.split() or ["silent"]
    numbers = [int(n) for n in rest]
    instructions, failure = 0, ""
    if word == "ok":
        instructions = board.emulator.instructions(numbers[1]) if board.emulator else 0
    elif word == "refused":
        _, value, step, tensor, found, allowed = numbers
        where = f"at step {step}, tensor {tensor}, found {found}, allowed {allowed}"
        failure = f"refused: {status(value).name} {where}"
    elif word == "differs":
        _, row, output, index, got, expected, count = numbers
        failure = (
            f"row {row}, output {output}: byte {index} is {got}, expected {expected}; {count} differ"
            if output >= 0
            else f"row {row}: bytes behind the arena were written"
        )
    else:
        failure = silent
    return Result(case.name, failure, instructions, case.kernels)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)
