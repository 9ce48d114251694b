"""Cases of every operator for `pio test`: writes the file that is linked in, and runs the program that holds it.

python -m tests.platformio.grid_file BOARD FILE          writes
python -m tests.platformio.grid_file BOARD FILE PROGRAM  runs, one line a case: name, "ok" or what is wrong
"""

from __future__ import annotations

import itertools
import json
import struct
import sys
from pathlib import Path

from offramp import boards
from offramp.boards import Board
from offramp.errors import UserError
from offramp.pack import blob_room
from offramp_host.emulator import Emulator
from tests.emulator.grid import GridCase, padded, read_lines, result
from tests.emulator.test_op_grid import grid_case
from tests.oracle.cases import OPS

SEED = 3
ONE_IN = 12
MOST_BYTES = 128 * 1024
"""Of the file; the rest of the flash is the kernels'."""
TIMEOUT_S = 60.0


def cases(board: Board) -> list[GridCase]:
    """Some of each operator's, in turn, as many as the board's flash and memory hold."""
    columns = [list(itertools.islice(grid(SEED), 0, 10 * ONE_IN, ONE_IN)) for grid in OPS.values()]
    room = min(MOST_BYTES, blob_room(board) // 4)
    chosen, used = [], 16
    for case in itertools.chain.from_iterable(zip(*columns, strict=False)):
        try:
            packed = grid_case(case, board, "auto")
        except UserError:  # the arena is too small for it
            continue
        used += len(packed.packed())
        if used > room:
            break
        chosen.append(packed)
    return chosen


def write(board: Board, path: Path) -> None:
    found = cases(board)
    body = b"".join(case.packed() for case in found)
    path.write_bytes(padded(struct.pack("<4sI", b"GRID", len(found))) + body)
    path.with_suffix(".json").write_text(json.dumps([[case.name, case.kernels] for case in found]))


def run(board: Board, path: Path, program: Path) -> int:
    """How many cases failed."""
    names = json.loads(path.with_suffix(".json").read_text())
    with Emulator(board, program, timeout_s=TIMEOUT_S) as emulator:
        heard = {int(line.split()[1]): line for line in read_lines(emulator.url, TIMEOUT_S) if " " in line}
    failed = 0
    for i, (name, kernels) in enumerate(names):
        case = GridCase(name, b"", [], tuple(kernels))
        found = result(board, case, heard.get(i, ""), "no answer")
        print(f"{i}\t{name} by {', '.join(kernels)}\t{found.failure or 'ok'}")
        failed += bool(found.failure)
    return failed


if __name__ == "__main__":
    chosen_board, file = boards.load(sys.argv[1]), Path(sys.argv[2])
    if len(sys.argv) == 3:
        write(chosen_board, file)
    else:
        sys.exit(min(run(chosen_board, file, Path(sys.argv[3])), 100))
