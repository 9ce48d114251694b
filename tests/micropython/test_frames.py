"""The MicroPython client's frames are the host's, whatever bytes come; it compiles, and both boards' stubs like it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp.resources import root
from offramp_host import link
from offramp_host.link import Frame
from offramp_host.status import statuses
from tests.micropython.frames import load_client
from tests.micropython.interpreter import CLIENT, INSTALLED, compile_client
from tests.unit.test_link_framing import FRAMES, GARBAGE

MYPY_INI = Path(__file__).with_name("mypy.ini")
EXAMPLE = root() / "examples" / "micropython" / "main.py"
client: Any = load_client()


def decoded(data: bytes, cuts: list[int] | None = None) -> tuple[list[Frame], int]:
    """Frames and the number of damaged ones."""
    decoder, frames, start = client.Decoder(), [], 0
    for end in [*sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]:
        part, at = bytearray(data[start:end]), 0
        while at < len(part):
            at = decoder.feed(part, at, len(part))
            if decoder.n_bytes:
                body = bytes(decoder.body[: decoder.n_bytes])
                frames.append(Frame(body[0], body[1], body[2] | body[3] << 8, body[4:]))
        start = end
    return frames, decoder.bad_frames


def by_the_host(data: bytes) -> tuple[list[Frame], int]:
    decoder = link.Decoder()
    return decoder.feed(data), decoder.bad_frames


@given(FRAMES)
def test_encoders_agree(frame: Frame) -> None:
    body = bytearray(link.BODY_BYTES)
    content = bytes([frame.kind, frame.code, frame.sequence & 255, frame.sequence >> 8]) + frame.payload
    body[: len(content)] = content
    room = bytearray(268)
    assert bytes(room[: client.encode(body, len(content), room)]) == link.encode(frame)


@given(st.lists(st.one_of(FRAMES, GARBAGE), max_size=6), st.lists(st.integers(0, 3000), max_size=6))
def test_frames_come_through_garbage_and_splits(pieces: list[Frame | bytes], cuts: list[int]) -> None:
    wire = b"".join(link.encode(piece) if isinstance(piece, Frame) else piece for piece in pieces)
    assert decoded(wire, cuts) == by_the_host(wire)
    assert decoded(wire, cuts)[0] == [piece for piece in pieces if isinstance(piece, Frame)]


@settings(max_examples=300)
@given(
    st.lists(FRAMES, max_size=3), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)
)
def test_decoders_agree_on_damaged_frames(frames: list[Frame], damage: list[tuple[int, int]]) -> None:
    wire = bytearray(b"".join(link.encode(frame) for frame in frames) or b"\0")
    for place, value in damage:
        wire[place % len(wire)] = value
    assert decoded(bytes(wire)) == by_the_host(bytes(wire))


@given(st.binary(max_size=700))
def test_decoders_agree_on_any_bytes(data: bytes) -> None:
    assert decoded(data) == by_the_host(data)


def test_a_frame_that_is_too_long_is_dropped() -> None:
    frame = Frame(2, 2, 7, b"x" * 256)
    wire = b"\0" + b"\x02\x01" * 5000 + link.encode(frame)
    assert decoded(wire) == ([frame], 1)


@pytest.mark.parametrize("status", [s for s in statuses().values() if s.value < 0], ids=lambda s: s.name)
def test_refusals_have_their_names(status: Any) -> None:
    refused = client.Refused(link.Code.MODEL_BEGIN, struct.pack("<hHIIii", status.value, 0, 7, 9, 3, -1))
    assert (refused.name, refused.status) == (status.name, status.value)
    assert str(refused) == (
        f"the board refuses 'model begin': {status.name} ({status.value}) at step 3: found 7, allowed 9"
    )


@pytest.mark.parametrize("status", [-40, -63, -200])
def test_statuses_of_a_newer_firmware_have_their_numbers(status: int) -> None:
    assert f"unknown status ({status})" in str(client.Refused(1, struct.pack("<h18x", status)))


def test_it_compiles(tmp_path: Path) -> None:
    compile_client(tmp_path / "offramp.mpy")
    assert (tmp_path / "offramp.mpy").stat().st_size < 8000


def type_errors(board: str, folder: Path, *files: Path) -> str:
    """What mypy says of files with what MicroPython has on a board; nothing if all is well."""
    stubs = INSTALLED / board
    if not stubs.exists():
        pytest.skip("needs stubs that tools/setup installs")
    command = [sys.executable, "-m", "mypy", "--config-file", str(MYPY_INI), "--cache-dir", str(folder)]
    command += ["--custom-typeshed-dir", str(stubs), *map(str, files)]
    environment = {**os.environ, "MYPYPATH": f"{stubs}{os.pathsep}{CLIENT.parent}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("board", ["esp32", "rp2"])
def test_types(board: str, tmp_path: Path) -> None:
    assert type_errors(board, tmp_path, CLIENT, EXAMPLE) == ""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import offramp\nofframp.Board(3)\n")
    assert '"Board" has incompatible type "int"; expected "Stream"' in type_errors(board, tmp_path, wrong)
