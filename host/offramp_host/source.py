"""Samples of a board's own sensor, fetched over the link without a gap."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.errors import UserError
from offramp_host.dtype import DTYPE_OF
from offramp_host.link import Code
from offramp_host.session import RefusedError, Request, Session

Array = NDArray[Any]

_INFO = struct.Struct("<hHIBBHI")
_BLOCK = struct.Struct("<hHIII")


@dataclass(frozen=True)
class SourceInfo:
    """A sample is one value of each channel. The board keeps `room_samples` until they are fetched."""

    name: str
    rate_hz: int
    channels: int
    dtype: np.dtype[Any]
    block_samples: int
    room_samples: int


def source_info(session: Session) -> SourceInfo:
    """UserError where the firmware has none."""
    try:
        reply = session.request(Code.SOURCE)
    except RefusedError as error:
        if error.status.name != "LINK_E_REQUEST":
            raise
        raise UserError(
            f"{session.name}: the board's firmware has no sensor",
            "build it with `offramp build MODEL --board B --source sensor` and flash it (docs/source.md)",
        ) from None
    _, name_at, rate_hz, channels, dtype, block_samples, room = _INFO.unpack_from(reply)
    name = reply[name_at:].decode("utf-8", "replace")
    return SourceInfo(name, rate_hz, channels, DTYPE_OF[dtype], block_samples, room * block_samples)


def capture(session: Session, info: SourceInfo, n: int, progress: Callable[[int], None]) -> Array:
    """The next n samples from now on, [n, channels]; `progress` gets how many are here.

    UserError where the board has lost some because they were not fetched in time, or sends none for the session's time
    limit.
    """
    blocks = -(-n // info.block_samples)
    session.request(Code.SOURCE_START, struct.pack("<I", blocks))
    try:
        data = b"".join(_blocks(session, info, blocks, progress))
    finally:
        session.request(Code.SOURCE_STOP)
    return np.frombuffer(data, info.dtype).reshape(-1, info.channels)[:n]


def _blocks(
    session: Session, info: SourceInfo, blocks: int, progress: Callable[[int], None]
) -> Iterator[bytes]:
    """The bytes of so many blocks. Requests for more are under way while one is taken."""
    found = 0
    heard = time.monotonic()

    def requests() -> Iterator[Request]:
        while found < blocks:
            yield Code.SOURCE_READ, b""

    with contextlib.closing(session.exchange(requests())) as replies:
        for reply in replies:
            _, at, number, *_ = _BLOCK.unpack_from(reply)
            if len(reply) == at:
                if time.monotonic() - heard > session.timeout_s:
                    raise UserError(
                        f"{session.name}: sensor {info.name} gave nothing for {session.timeout_s:g} s",
                        "check its wiring and supply",
                    )
                continue
            if number != found * info.block_samples:
                raise _gap(session.name, info, number, found * info.block_samples)
            found, heard = found + 1, time.monotonic()
            progress(min(found, blocks) * info.block_samples)
            yield reply[at:]


def _gap(name: str, info: SourceInfo, number: int, expected: int) -> UserError:
    room_s = info.room_samples / info.rate_hz
    return UserError(
        f"{name}: {number - expected} samples were lost after {expected}: the line is slower than "
        f"{info.rate_hz} samples a second, and the board keeps {info.room_samples} samples",
        f"record {room_s:.1f} s at once at most, or take a faster line",
    )


__all__ = ["SourceInfo", "capture", "source_info"]
