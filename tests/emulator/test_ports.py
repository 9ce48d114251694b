"""Each port of every board: bytes in and out, exact ticks, memory, stack, faults, exit, no process left."""

from __future__ import annotations

import io
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from offramp import boards
from offramp.build import Image, Source, Sources, build
from offramp.build.sources import port_sources
from offramp.errors import UserError
from offramp_host.emulator import Emulator

pytestmark = pytest.mark.emulator

ECHO = Path(__file__).parent / "apps" / "echo.c"
BLOB = bytes(range(7, 107))
FAULTS = {"cortex-m0": b"hard", "rv32imc": b"store", "native": b"signal"}


@pytest.fixture(scope="module", params=boards.runnable())
def board(request: pytest.FixtureRequest) -> boards.Board:
    return boards.load(request.param)


def echo_image(board: boards.Board, folder: Path) -> Image:
    app = Sources((Source(ECHO, "application"),), (), (("PORT_UNMAPPED", "0xE1000000u"),))
    blob = folder / "blob.bin"
    blob.write_bytes(BLOB)
    return build(board, port_sources(board) + app, folder / f"{board.name}.elf", blob=blob)


@pytest.fixture(scope="module")
def image(board: boards.Board, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return echo_image(board, tmp_path_factory.mktemp(board.name))


class Line:
    """The serial line to the echo application. (pyserial's sockets drop what comes before they are open.)"""

    def __init__(self, emulator: Emulator) -> None:
        host, port = emulator.url.removeprefix("socket://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            self.stream = connection.makefile("rwb", buffering=0)
            self.replies = io.BufferedReader(self.stream)
        self.banner = self.replies.readline()

    def ask(self, command: bytes, reply_bytes: int) -> bytes:
        self.write(command)
        return self.replies.read(reply_bytes)

    def write(self, data: bytes) -> None:
        while data:
            data = data[self.stream.write(data) or 0 :]

    def ask_numbers(self, command: bytes, count: int) -> list[int]:
        reply = self.ask(command, 4 * count)
        assert len(reply) == 4 * count
        return [int.from_bytes(reply[i : i + 4], "little") for i in range(0, len(reply), 4)]


def u32(n: int) -> bytes:
    return n.to_bytes(4, "little")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def emulator(board: boards.Board, image: Image) -> Iterator[Emulator]:
    with Emulator(board, image.elf, timeout_s=60) as running:
        yield running
    assert not is_running(running.pid)


def test_echo(emulator: Emulator) -> None:
    line = Line(emulator)
    assert line.banner == b"echo ready\n"
    for n in (1, 64, 511, 512, 513, 2000):
        data = random.Random(n).randbytes(n)
        assert line.ask(b"e" + u32(n) + data, n) == data


def test_nothing_is_lost_while_the_application_is_busy(emulator: Emulator) -> None:
    line = Line(emulator)
    data = random.Random(0).randbytes(2000)
    sender = threading.Thread(target=line.write, args=(b"m" + u32(5_000_000) + b"e" + u32(2000) + data,))
    sender.start()
    line.replies.read(4)
    assert line.replies.read(2000) == data
    sender.join()


def test_ticks_are_exact(board: boards.Board, emulator: Emulator) -> None:
    """A loop of two instructions a turn; reading the counter costs the same each time."""
    line = Line(emulator)
    turns = (1, 1000, 99_999, 3_000_000)
    ticks = [line.ask_numbers(b"m" + u32(n), 1)[0] for n in turns]
    if board.emulator is None:
        assert ticks == [0] * len(turns)
        return
    overhead = {board.emulator.instructions(t) - 2 * n for t, n in zip(ticks, turns, strict=True)}
    # A tick is up to 2.05 instructions long, so a reading may be off by one tick at each end.
    assert max(overhead) - min(overhead) <= 1 and 0 < min(overhead) < 20
    assert line.ask_numbers(b"m" + u32(1000), 1)[0] in range(ticks[1] - 1, ticks[1] + 2)


def test_stack_is_measured(board: boards.Board, emulator: Emulator) -> None:
    used = Line(emulator).ask_numbers(b"s", 1)[0]
    assert used == 0 if board.emulator is None else 1000 < used < 1300


def test_memory(board: boards.Board, image: Image, emulator: Emulator) -> None:
    line = Line(emulator)
    base, size, first = line.ask_numbers(b"l", 3)
    assert (base % 16, size, first) == (0, len(BLOB), BLOB[0])
    base, size, _ = line.ask_numbers(b"a", 3)
    assert base % 16 == 0
    if board.emulator is not None:
        slot = board.model_slot
        assert line.ask_numbers(b"o", 2) == [slot.address, slot.size]
        own = image.footprint.static_ram_bytes + image.footprint.link_buffer_bytes + board.stack_bytes
        assert base + size == board.arena.address + board.arena.size
        assert size + (own if board.arena == board.data else 0) == pytest.approx(board.arena.size, abs=32)
    assert image.footprint.flash_bytes["model"] == pytest.approx(len(BLOB), abs=16)


def test_model_is_loaded_by_the_emulator(board: boards.Board, image: Image, tmp_path: Path) -> None:
    model = tmp_path / "a,b.bin"
    model.write_bytes(b"\xa5" + bytes(1000))
    with Emulator(board, image.elf, loads=[(model, board.model_slot.address)], timeout_s=60) as emulator:
        kind = b"l" if board.emulator is None else b"o"
        _, size, first = Line(emulator).ask_numbers(kind, 3)
        assert first == 0xA5
        assert size == (1001 if board.emulator is None else board.model_slot.size)


def test_exit_code(emulator: Emulator) -> None:
    Line(emulator).write(b"q\x2a")
    assert emulator.wait(20) == 42


def test_reset(emulator: Emulator) -> None:
    line = Line(emulator)
    line.write(b"r")
    assert line.replies.readline() == b"echo ready\n"
    assert line.ask(b"e" + u32(4) + b"abcd", 4) == b"abcd"


@pytest.mark.parametrize("command", [b"f", b"v"], ids=["unmapped", "stack-overflow"])
def test_fault(board: boards.Board, emulator: Emulator, command: bytes) -> None:
    line = Line(emulator)
    line.write(command)
    said = line.replies.readline()
    assert said.startswith(b"fault: ")
    if command == b"f":
        assert said.startswith(b"fault: " + FAULTS.get(board.core.name, b"bus") + b" pc=")
    assert emulator.wait(20) == 70


def test_time_limit(board: boards.Board, image: Image) -> None:
    with Emulator(board, image.elf, timeout_s=1) as emulator:
        with pytest.raises(UserError, match="did not finish within 1 s"):
            emulator.wait()
        assert not is_running(emulator.pid)


AN386 = boards.load("mps2_an386")
INTERRUPTED = """
import sys
from pathlib import Path
from offramp import boards
from offramp_host.emulator import Emulator
emulator = Emulator(boards.load("mps2_an386"), Path(sys.argv[1]), timeout_s=60)
emulator.__enter__()
print(emulator.pid, flush=True)
if sys.argv[2] == "raise":
    raise KeyboardInterrupt
if sys.argv[2] == "sleep":
    import time
    time.sleep(60)
"""


@pytest.mark.parametrize("way", ["fall off the end", "raise", "sleep"])
def test_no_process_outlives_the_interpreter(way: str, tmp_path: Path) -> None:
    """At an orderly end, at Ctrl-C, and where Linux allows it at SIGKILL."""
    if way == "sleep" and sys.platform != "linux":
        pytest.skip("needs PR_SET_PDEATHSIG")
    image = echo_image(AN386, tmp_path)
    command = [sys.executable, "-c", INTERRUPTED, str(image.elf), way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        if way == "sleep":
            child.kill()
        child.wait(30)
    end = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(pid)


def test_an_exception_ends_the_emulator(tmp_path: Path) -> None:
    image = echo_image(AN386, tmp_path)
    emulator = Emulator(AN386, image.elf, timeout_s=60)
    with pytest.raises(RuntimeError), emulator:
        raise RuntimeError
    assert not is_running(emulator.pid)


def test_two_emulators_side_by_side(tmp_path: Path) -> None:
    image = echo_image(AN386, tmp_path)
    with Emulator(AN386, image.elf, timeout_s=60) as a, Emulator(AN386, image.elf, timeout_s=60) as b:
        assert a.url != b.url
        lines = Line(a), Line(b)
        assert [line.ask(b"e" + u32(3) + bytes([i] * 3), 3) for i, line in enumerate(lines)] == [
            b"\0" * 3,
            b"\1" * 3,
        ]


def test_missing_qemu_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = echo_image(AN386, tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match="qemu-system-arm is not installed") as caught:
        Emulator(AN386, image.elf, timeout_s=1)
    assert "apt-get install qemu-system-arm" in caught.value.hint


def test_qemu_that_refuses_is_quoted(tmp_path: Path) -> None:
    emulator = Emulator(AN386, echo_image(AN386, tmp_path).elf, timeout_s=20, args=["-nonsense"])
    with pytest.raises(UserError, match=r"did not start: .*-nonsense: invalid option"), emulator:
        pass


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    image = echo_image(AN386, tmp_path)
    with pytest.raises(UserError, match=r"nowhere\.elf does not exist"):
        Emulator(AN386, tmp_path / "nowhere.elf", timeout_s=20)
    with pytest.raises(UserError, match=r"no\.ofr does not exist"):
        Emulator(AN386, image.elf, loads=[(tmp_path / "no.ofr", 0)], timeout_s=20)
