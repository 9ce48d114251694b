"""Framing of the link (firmware/LINK.md): COBS between zero bytes, CRC-32 at the end."""

from __future__ import annotations

import enum
import struct
import zlib
from dataclasses import dataclass

from cobs import cobs

VERSION = (1, 3)
PAYLOAD_BYTES = 256
HEADER_BYTES, CRC_BYTES = 4, 4
BODY_BYTES = HEADER_BYTES + PAYLOAD_BYTES + CRC_BYTES
_LONGEST_ENCODED = BODY_BYTES + 2
_NOISE_BYTES = 1024


class Kind(enum.IntEnum):
    REQUEST = 1
    REPLY = 2
    EVENT = 3


class Code(enum.IntEnum):
    """What a request asks; a reply repeats it."""

    HELLO = 0x01
    INFO = 0x02
    STATISTICS = 0x03
    RESET = 0x04
    RELEASE = 0x05
    MODEL_BEGIN = 0x10
    MODEL_CHUNK = 0x11
    MODEL_COMMIT = 0x12
    MODEL_ACTIVATE = 0x13
    MODEL_ROLL_BACK = 0x14
    INPUT = 0x20
    RUN = 0x21
    OUTPUT = 0x22
    RESET_STATE = 0x23
    FEED = 0x24
    POLICY = 0x30
    THRESHOLD = 0x31
    EXIT_POLICY = 0x32
    SOURCE = 0x40
    SOURCE_START = 0x41
    SOURCE_READ = 0x42
    SOURCE_STOP = 0x43


class Event(enum.IntEnum):
    """What a board says unasked."""

    EXPECTED = 0x01
    LOG = 0x02
    FAULT = 0x03


@dataclass(frozen=True)
class Frame:
    """Numbers stand as they came: a newer board may send kinds and codes that are not known here."""

    kind: int
    code: int
    sequence: int
    payload: bytes


def encode(frame: Frame) -> bytes:
    """The bytes on the wire, zeros at both ends included."""
    body = struct.pack("<BBH", frame.kind, frame.code, frame.sequence) + frame.payload
    if len(body) + CRC_BYTES > BODY_BYTES:
        raise ValueError(f"a payload of {len(frame.payload)} bytes; at most {PAYLOAD_BYTES}")
    return b"\0" + bytes(cobs.encode(body + struct.pack("<I", zlib.crc32(body)))) + b"\0"


class Decoder:
    """Takes bytes as they come and gives whole frames; keeps the end of what was none for error messages."""

    def __init__(self) -> None:
        self.bad_frames = 0
        self._rest = bytearray()
        self._noise = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that end in `data`."""
        self._rest += data
        *parts, rest = self._rest.split(b"\0")
        self._rest = bytearray(rest)
        if len(self._rest) > _LONGEST_ENCODED:
            self._keep(bytes(self._rest[:-_LONGEST_ENCODED]))
            del self._rest[:-_LONGEST_ENCODED]
        frames = []
        for part in parts:
            if part and (frame := _decode(bytes(part))) is not None:
                frames.append(frame)
            elif part:
                self.bad_frames += 1
                self._keep(bytes(part))
        return frames

    @property
    def text(self) -> str:
        """Printable end of what came outside valid frames: a banner, a fault report, noise."""
        seen = (bytes(self._noise) + bytes(self._rest)).decode("ascii", "replace")
        return "".join(c if c.isprintable() and c != "\ufffd" else "\n" for c in seen).strip()

    def _keep(self, data: bytes) -> None:
        self._noise += data
        del self._noise[:-_NOISE_BYTES]


def _decode(encoded: bytes) -> Frame | None:
    if len(encoded) > _LONGEST_ENCODED:
        return None
    try:
        body = cobs.decode(encoded)
    except cobs.DecodeError:
        return None
    if not HEADER_BYTES + CRC_BYTES <= len(body) <= BODY_BYTES:
        return None
    content, crc = body[:-CRC_BYTES], struct.unpack("<I", body[-CRC_BYTES:])[0]
    if zlib.crc32(content) != crc:
        return None
    kind, code, sequence = struct.unpack_from("<BBH", content)
    return Frame(kind, code, sequence, content[HEADER_BYTES:])
