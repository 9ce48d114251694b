"""Frames of the link: Python and C agree, and damage costs no more than the frames it hits."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp import resources
from offramp_host import link
from offramp_host.link import Code, Decoder, Event, Frame, Kind
from offramp_host.status import statuses

APP = resources.root() / "firmware" / "app"
FRAMES = st.builds(
    Frame,
    kind=st.integers(0, 255),
    code=st.integers(0, 255),
    sequence=st.integers(0, 0xFFFF),
    payload=st.one_of(st.binary(max_size=256), st.integers(200, 256).map(lambda n: b"\x01" * n)),
)
GARBAGE = st.lists(st.integers(1, 255), max_size=300).map(bytes)


class CDecoder(ctypes.Structure):
    _fields_ = (
        ("length", ctypes.c_uint16),
        ("block_left", ctypes.c_uint8),
        ("zero_after", ctypes.c_bool),
        ("inside", ctypes.c_bool),
        ("started", ctypes.c_bool),
        ("too_long", ctypes.c_bool),
        ("body", ctypes.c_uint8 * link.BODY_BYTES),
    )


WRITE = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint8), ctypes.c_size_t)
FRAME_DECODED = 2


@pytest.fixture(scope="module")
def c_link(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    path = tmp_path_factory.mktemp("link") / "link.so"
    subprocess.run(
        ["gcc", "-std=c11", "-O1", "-shared", "-fPIC", str(APP / "link.c"), "-o", str(path)], check=True
    )
    return ctypes.CDLL(str(path))


def encode_in_c(library: Any, frame: Frame) -> bytes:
    out = bytearray()
    head = bytes([frame.kind, frame.code, frame.sequence & 255, frame.sequence >> 8])
    body = (ctypes.c_uint8 * link.BODY_BYTES)(*head, *frame.payload)
    write: Callable[..., Any] = WRITE(lambda data, n: out.extend(data[:n]))
    library.link_encode(body, ctypes.c_size_t(len(head) + len(frame.payload)), write)
    return bytes(out)


def decode_in_c(library: Any, data: bytes) -> list[Frame]:
    decoder, frames = CDecoder(), []
    for byte in data:
        if library.link_decode(ctypes.byref(decoder), ctypes.c_uint8(byte)) == FRAME_DECODED:
            body = bytes(decoder.body[: decoder.length - 4])
            frames.append(Frame(body[0], body[1], body[2] | body[3] << 8, body[4:]))
    return frames


def decode(data: bytes, cuts: list[int] | None = None) -> list[Frame]:
    decoder, frames, start = Decoder(), [], 0
    for end in [*sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]:
        frames += decoder.feed(data[start:end])
        start = end
    return frames


@given(FRAMES)
def test_encoders_agree(c_link: Any, frame: Frame) -> None:
    assert encode_in_c(c_link, frame) == link.encode(frame)


@given(st.lists(st.one_of(FRAMES, GARBAGE), max_size=6), st.lists(st.integers(0, 3000), max_size=6))
def test_frames_come_through_garbage_and_splits(
    c_link: Any, pieces: list[Frame | bytes], cuts: list[int]
) -> None:
    wire = b"".join(link.encode(piece) if isinstance(piece, Frame) else piece for piece in pieces)
    frames = [piece for piece in pieces if isinstance(piece, Frame)]
    assert decode(wire, cuts) == frames
    assert decode_in_c(c_link, wire) == frames


@given(st.binary(max_size=700))
def test_decoders_agree_on_any_bytes(c_link: Any, data: bytes) -> None:
    # Text before the first zero is never a frame for the board; for the host it would have to have a CRC.
    assert decode_in_c(c_link, b"\0" + data) == decode(b"\0" + data)


@settings(max_examples=300)
@given(
    st.lists(FRAMES, min_size=3, max_size=3),
    st.integers(0, 10**6),
    st.sampled_from(["drop", "flip", "duplicate"]),
    st.integers(1, 255),
)
def test_one_damaged_byte_costs_one_frame(
    c_link: Any, frames: list[Frame], place: int, fault: str, mask: int
) -> None:
    wire = bytearray(b"".join(link.encode(frame) for frame in frames))
    place %= len(wire)
    wire[place : place + 1] = {
        "drop": b"",
        "flip": bytes([wire[place] ^ mask]),
        "duplicate": bytes(wire[place : place + 1] * 2),
    }[fault]
    wire += link.encode(frames[0])  # what is sent again
    for received in (decode(bytes(wire)), decode_in_c(c_link, bytes(wire))):
        assert len(received) >= 3
        assert all(frame in frames for frame in received)


def test_a_frame_that_is_too_long_is_dropped(c_link: Any) -> None:
    frame = Frame(Kind.REQUEST, Code.INFO, 7, b"x" * 256)
    with pytest.raises(ValueError, match="257 bytes; at most 256"):
        link.encode(Frame(Kind.REQUEST, Code.INFO, 7, b"x" * 257))
    wire = b"\0" + b"\x02\x01" * 5000 + link.encode(frame)
    assert decode(wire) == [frame]
    assert decode_in_c(c_link, wire) == [frame]


def test_text_is_kept_for_messages() -> None:
    decoder = Decoder()
    decoder.feed(
        b"\r\nhello board\r\n"
        + link.encode(Frame(Kind.EVENT, 9, 0, b""))
        + b"\xff\x80fault: bus pc=0badc0de\n"
    )
    assert "hello board" in decoder.text
    assert "fault: bus pc=0badc0de" in decoder.text


def enum_in_c(name: str) -> dict[str, int]:
    found = re.search(rf"enum {name} \{{(.*?)\}};", (APP / "link.h").read_text(), re.S)
    assert found is not None
    return {key: int(value, 0) for key, value in re.findall(r"LINK_(\w+) = (\w+)", found[1])}


@pytest.mark.parametrize(
    ("name", "members"), [("link_kind", Kind), ("link_code", Code), ("link_event", Event)]
)
def test_codes_are_those_of_the_firmware(name: str, members: Any) -> None:
    assert {member.name: member.value for member in members} == enum_in_c(name)


def test_version_and_sizes_are_those_of_the_firmware() -> None:
    header = (APP / "link.h").read_text()
    assert re.findall(r"#define LINK_M\w+ (\d+)", header) == [str(n) for n in link.VERSION]
    assert f"#define LINK_PAYLOAD_BYTES {link.PAYLOAD_BYTES}u" in header


def test_link_md_lists_every_code_and_status() -> None:
    text = (Path(APP).parent / "LINK.md").read_text()
    for code in Code:
        assert f"| 0x{code.value:02x} | {code.name.lower().replace('_', ' ')} |" in text
    for status in statuses().values():
        if status.value <= -64:
            assert f"| {status.value} | {status.name} |" in text


def test_statuses_are_read_whole() -> None:
    header = (resources.root() / "firmware/include/offramp.h").read_text()
    names = set(re.findall(r"X\((OFR_\w+),", header))
    assert names == {status.name for status in statuses().values() if status.name.startswith("OFR_")}
    assert all(status.text and status.remedy for status in statuses().values() if status.value < 0)
    assert statuses()[-17].remedy.endswith("with the library version that the firmware was built with.")
