"""The client in a real MicroPython against emulated boards: equal bits in a heap of 40 KB, loss, refusals, policies."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp import __version__, boards
from offramp.blob import read, write
from offramp.build.blob_image import blob_image
from offramp.exits import answers
from offramp.frontends import load_model, tflite
from offramp.ir import Graph
from offramp.pack import pack
from offramp.plan import Options, Plan
from offramp.reference import Reference
from offramp.resources import root
from offramp_host.emulator import Emulator
from tests.emulator.test_family import alone, image_inputs, stated
from tests.emulator.test_link_device import pool_model, pooled, random_rows
from tests.families import family
from tests.fuzz import seeds
from tests.link_proxy import FaultyLine
from tests.micropython.interpreter import Ran, run
from tests.oracle.tflite_writer import Operator, Subgraph, Tensor
from tests.oracle.tflite_writer import write as write_tflite

pytestmark = pytest.mark.emulator

ZOO = root() / "models" / "fashion_mnist"
HEAP_BYTES = 40 * 1024
Rows = NDArray[Any]


@dataclass(frozen=True)
class Linked:
    """A model linked into an image."""

    board: boards.Board
    blob: bytes
    elf: Path

    def started(self) -> Emulator:
        return Emulator(self.board, self.elf, timeout_s=120)


def linked(plan: Plan, board_name: str, folder: Path) -> Linked:
    board, file = boards.load(board_name), folder / "model.ofr"
    file.write_bytes(write(plan))
    image = blob_image(read(file.read_bytes(), file), board, folder / "image.elf", linked=file)
    return Linked(board, file.read_bytes(), image.elf)


def packed(graph: Graph, board_name: str) -> Plan:
    return pack(graph, boards.load(board_name), Options())[0]


STREAM = """
import gc, micropython, offramp

board = offramp.Board(open("/dev/uart", "r+b"))
rows, outputs = open("rows.bin", "rb"), open("outputs.bin", "wb")
row = bytearray(board.inputs[0].n_bytes)
exits, peak = [], gc.mem_alloc()


def step():
    global peak
    if rows.readinto(row):
        result = board.run(row)
        for values in result.outputs:
            outputs.write(values)
        exits.append(result.exit)
        peak = max(peak, gc.mem_alloc())
        gc.collect()  # once this call has ended
        return True
    outputs.close()
    print("left", gc.mem_alloc())
    print("exits", exits)
    print("peak", peak)
    micropython.mem_info()
    return False
"""


def streamed(url: str, rows: Rows, folder: Path, heap_bytes: int = 1 << 20) -> Ran:
    ran = run(url, STREAM, folder, files={"rows.bin": rows.tobytes()}, heap_bytes=heap_bytes)
    assert ran.code == 0, ran.stdout + ran.stderr
    return ran


@pytest.mark.parametrize("variant", ["exits", pytest.param("int8", marks=pytest.mark.soak)])
def test_fifty_inferences_in_forty_kilobytes(variant: str, tmp_path: Path) -> None:
    """The whole heap of the interpreter, the client's code in it, has 40 KB at the end as at the start: MicroPython for
    WebAssembly would have added to it instead of collecting garbage during a call."""
    graph, rows = (
        load_model(ZOO / f"{variant}.ofg"),
        np.load(ZOO / "test_images.npz")["x"][:50].astype(np.int8),
    )
    with linked(packed(graph, "mps2_an386"), "mps2_an386", tmp_path).started() as emulator:
        ran = streamed(emulator.url, rows, tmp_path / "files", HEAP_BYTES)
    expected = answers(graph, rows)
    left = expected.left([e.threshold for e in graph.exits])
    every = [*expected.exits, expected.last]
    assert [none_last(graph, e) for e in left] == numbers(ran, "exits")
    assert ran.files.joinpath("outputs.bin").read_bytes() == b"".join(
        every[e][i].tobytes() for i, e in enumerate(left)
    )
    [peak] = numbers(ran, "peak")
    total = re.search(r"GC: total: (\d+)", ran.stdout)
    assert total is not None and peak is not None
    print(f"{variant}: at most {peak} bytes used of {total[1]}, {numbers(ran, 'left')} without garbage")
    assert peak <= int(total[1]) <= HEAP_BYTES


def none_last(graph: Graph, exit_: int) -> int | None:
    return exit_ if 0 <= exit_ < len(graph.exits) else None


def numbers(ran: Ran, name: str) -> list[int | None]:
    found = re.search(rf"^{name} (.*)$", ran.stdout, re.M)
    assert found is not None, ran.stdout
    return [None if word == "None" else int(word) for word in re.findall(r"None|-?\d+", found[1])]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Linked:
    graph = tflite.load(pool_model("pool"), Path("pool.tflite"))
    return linked(packed(graph, "posix"), "posix", tmp_path_factory.mktemp("pool"))


def test_a_faulty_line(pool: Linked, tmp_path: Path) -> None:
    rows = random_rows(40)
    with pool.started() as emulator, FaultyLine(emulator.url, seed=5) as line:
        ran = streamed(line.url, rows, tmp_path / "files")
    assert ran.files.joinpath("outputs.bin").read_bytes() == pooled(rows).tobytes()
    assert all(count > 5 for count in line.faults.values())


def test_each_request_counts_once(tmp_path: Path) -> None:
    """A model with state would tell of a second run."""
    graph = tflite.load(seeds.streaming_net(), Path("stream.tflite"))
    reference, shape = Reference(graph), graph.tensors[graph.inputs[0]].shape
    rows = np.random.default_rng(2).integers(-128, 128, (100, *shape), np.int8)
    expected = b"".join(output.tobytes() for row in rows for output in reference.run([row]))
    image = linked(packed(graph, "posix"), "posix", tmp_path)
    with image.started() as emulator, FaultyLine(emulator.url, seed=6, faults_per_byte=2e-3) as line:
        ran = streamed(line.url, rows, tmp_path / "files")
    assert ran.files.joinpath("outputs.bin").read_bytes() == expected


def test_wide_numbers(tmp_path: Path) -> None:
    """int16 inputs and outputs as arrays, both in several frames."""
    quantized = {"dtype": "int16", "scale": 0.5, "zero_point": 0}
    source, out = Tensor("in", (1, 16, 16, 4), **quantized), Tensor("out", (1, 8, 8, 4), **quantized)
    attributes = {"Padding": 1, "StrideW": 2, "StrideH": 2, "FilterWidth": 2, "FilterHeight": 2}
    operator = Operator("MAX_POOL_2D", ["in"], ["out"], "Pool2DOptions", attributes)
    model = write_tflite(Subgraph([source, out], [operator], ["in"], ["out"], "wide"))
    row = np.random.default_rng(4).integers(-32768, 32768, (1, 16, 16, 4), np.int16)
    image = linked(packed(tflite.load(model, Path("wide.tflite")), "posix"), "posix", tmp_path)
    script = """
from array import array
import offramp

board = offramp.Board(open("/dev/uart", "r+b"))
row = array("h", open("row.bin", "rb").read())
step = lambda: print([board.inputs[0].typecode, board.inputs[0].shape], list(board.run(row).outputs[0]))
"""
    assert said(image, script, tmp_path, {"row.bin": row.tobytes()}) == [
        f"['h', (1, 16, 16, 4)] {pooled(row).ravel().tolist()}"
    ]


ATTEMPTS = """
import offramp


def attempt(what):
    try:
        what()
        print("done")
    except Exception as error:
        print(type(error).__name__ + ":", error)


board = offramp.Board(open("/dev/uart", "r+b"))
"""


def said(image: Linked, script: str, folder: Path, files: dict[str, bytes] | None = None) -> list[str]:
    with image.started() as emulator:
        ran = run(emulator.url, script, folder / "files", files=files)
    assert ran.code == 0, ran.stdout + ran.stderr
    return ran.stdout.splitlines()


def test_refusals(pool: Linked, tmp_path: Path) -> None:
    script = (
        ATTEMPTS
        + """
row = bytes(1024)
attempt(lambda: board.run(row, row))
attempt(lambda: board.run(row[1:]))
attempt(lambda: board.run(row, plan=3))
attempt(lambda: board.set_threshold(0, 9))
attempt(lambda: board.load("damaged.ofr"))
print(board.model)
attempt(lambda: board.load("other.ofr"))
print(board.model, board.run(row).outputs[0] == board.run(row).outputs[0])
attempt(board.roll_back)
print(board.model, board.firmware, board.name)
step = lambda: False
"""
    )
    damaged = bytearray(pool.blob)
    damaged[len(damaged) // 2] ^= 1
    other = tflite.load(pool_model("another"), Path("another.tflite"))
    files = {"damaged.ofr": bytes(damaged), "other.ofr": write(packed(other, "posix"))}
    assert said(pool, script, tmp_path, files) == [
        "ValueError: 2 inputs were given; the model takes 1",
        "ValueError: input 0: 1023 bytes were given; the model takes 1024",
        "Refused: the board refuses 'run': LINK_E_INDEX (-68): found 3, allowed 1",
        "Refused: the board refuses 'threshold': LINK_E_REQUEST (-64): found 49, allowed 0",
        "Refused: the board refuses 'model commit': OFR_E_CRC (-7)",
        "pool",
        "done",
        "another True",
        "done",
        f"pool {__version__} posix",
    ]


def test_a_board_that_starts_again(pool: Linked, tmp_path: Path) -> None:
    script = (
        ATTEMPTS
        + """
row = bytes(1024)
board._ask(4, 0)  # a reset that the client does not follow
attempt(lambda: board.run(row))
attempt(board.connect)
attempt(lambda: board.run(row))
attempt(board.reset)
attempt(lambda: board.run(row))
attempt(board.release)
attempt(board.connect)
attempt(board.reset_state)
step = lambda: False
"""
    )
    restarted = "Restarted: the board refuses 'input': LINK_E_SESSION (-66)"
    assert said(pool, script, tmp_path) == [restarted, *["done"] * 7]


def test_nobody_answers(tmp_path: Path) -> None:
    script = (
        ATTEMPTS.replace("board = ", "attempt(lambda: ").replace('"r+b"))', '"r+b"), 300))') + "step = int\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        ran = run(f"socket://127.0.0.1:{deaf.getsockname()[1]}", script, tmp_path / "files")
    assert ran.stdout == (
        "Silent: no answer to 'hello' within 300 ms: check wires, baud rate, and that the board runs "
        "Offramp's firmware\n"
    )


def test_policies_choose_plans(tmp_path: Path) -> None:
    graph, [row] = family(), image_inputs(1)
    image = linked(stated(packed(graph, "posix")), "posix", tmp_path)
    script = (
        ATTEMPTS
        + """
row = open("row.bin", "rb").read()
ran = lambda **options: print(board.run(row, **options).plan, list(board.result.outputs[0]), board.result.plans_run)
for plan in range(board.n_plans):
    ran(plan=plan)
for policy in (("plan", 1), ("budget", 3000), ("cascade", 255)):
    board.set_policy(*policy)
    ran()
attempt(lambda: board.set_policy("budget", 5))
attempt(lambda: board.set_policy("gate"))
step = lambda: False
"""
    )
    outputs = [Reference(g).run([row])[0].ravel().tolist() for g in alone(graph)]
    chosen = [(0, 1), (1, 1), (2, 1), (1, 1), (2, 1), (0, 3)]
    assert said(image, script, tmp_path, {"row.bin": row.tobytes()}) == [
        *(f"{plan} {outputs[plan]} {n}" for plan, n in chosen),
        "Refused: the board refuses 'policy': LINK_E_BUDGET (-74): found 5, allowed 3000",
        "Refused: the board refuses 'policy': LINK_E_GATE (-79): found 0, allowed 3",
    ]


def test_exits(tmp_path: Path) -> None:
    graph = seeds.exits_net()
    row = np.random.default_rng(5).integers(-128, 128, (1, *graph.tensors[graph.inputs[0]].shape), np.int8)
    image = linked(packed(graph, "posix"), "posix", tmp_path)
    n = len(graph.exits)
    script = (
        ATTEMPTS
        + f"""
row = open("row.bin", "rb").read()
ran = lambda **options: print(board.run(row, **options).exit, list(board.result.outputs[0]), board.result.confidence)
for i in range({n}):
    for other in range({n}):
        board.set_threshold(other, 0 if i == other else 65535)
    ran()
ran(to_the_end=True)
attempt(lambda: board.set_exit_budget(1))
attempt(lambda: board.set_threshold({n}, 1))
step = lambda: False
"""
    )
    found = answers(graph, row)
    every = [(i, found.exits[i][0], found.confidences[i][0]) for i in range(n)] + [(None, found.last[0], 0)]
    lines = said(image, script, tmp_path, {"row.bin": row.tobytes()})
    assert lines[: n + 1] == [f"{e} {values.ravel().tolist()} {sure}" for e, values, sure in every]
    assert lines[n + 1 :] == [
        "Refused: the board refuses 'exit policy': OFR_E_COST (-29)",  # no bounds are proved for this board
        f"Refused: the board refuses 'threshold': LINK_E_EXIT (-77): found {n}, allowed {n}",
    ]
