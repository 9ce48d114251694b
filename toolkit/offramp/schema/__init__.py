"""The file formats' generated readers and writers (from firmware/offramp.fbs) and what FlatBuffers' Python lacks."""

from __future__ import annotations

import flatbuffers

from offramp.schema import offramp_generated as fb

__all__ = ["aligned_bytes", "fb", "vector"]


def aligned_bytes(builder: flatbuffers.Builder, data: bytes, alignment: int = 16) -> int:
    """A [ubyte] vector whose first byte is aligned within the finished buffer; returns its offset."""
    builder.StartVector(1, len(data), alignment)
    builder.head = builder.head - len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    return int(builder.EndVector())


def vector(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    """A vector of offsets to tables or strings; returns its offset."""
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
