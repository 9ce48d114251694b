"""The 64 bytes in front of the FlatBuffer: see `ofr_header` in firmware/src/blob.h."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

MAGIC = b"OFR1"
FORMAT_MAJOR, FORMAT_MINOR = 1, 4
PLAIN, FAMILIES, EXITS, GATES, FRONT_ENDS = range(5)
"""The minor version that a blob needs: firmware of an older one runs what has nothing of a newer."""
LAYOUT = struct.Struct("<4sHHIIIB39xI")
# Core code in a header: 0 runs anywhere. Codes are never reused.
CORES = {
    "any": 0,
    "native": 1,
    "cortex-m0": 2,
    "cortex-m3": 3,
    "cortex-m4f": 4,
    "cortex-m7": 5,
    "cortex-m33": 6,
    "cortex-m55": 7,
    "rv32imc": 8,
    "xtensa-lx6": 9,
    "xtensa-lx7": 10,
}


@dataclass(frozen=True)
class Header:
    major: int
    minor: int
    flatbuffer_bytes: int
    trailer_bytes: int
    security_version: int
    core: int
    crc: int


def with_header(flatbuffer: bytes, core: str, minor: int = FORMAT_MINOR) -> bytes:
    """The blob: header and FlatBuffer."""
    fields = (MAGIC, FORMAT_MAJOR, minor, len(flatbuffer), 0, 0, CORES[core])
    front = LAYOUT.pack(*fields, 0)[:-4]
    return front + struct.pack("<I", zlib.crc32(front + flatbuffer)) + flatbuffer


def crc_of(blob: bytes, flatbuffer_bytes: int) -> int:
    return zlib.crc32(blob[: LAYOUT.size - 4] + blob[LAYOUT.size : LAYOUT.size + flatbuffer_bytes])


def parse(blob: bytes) -> Header:
    """The header's fields; struct.error or ValueError where it is none."""
    magic, *rest = LAYOUT.unpack_from(blob)
    if magic != MAGIC:
        raise ValueError("no OFR1 mark")
    return Header(*rest)
