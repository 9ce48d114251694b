"""What a front end is: it makes rows of a model's input out of raw samples, on the device as here."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from offramp.errors import UserError
from offramp.ops.op import Params

Array = NDArray[Any]

KINDS: dict[str, int] = {"micro": 1, "mfcc": 2, "image": 3, "imu": 4}
PACKING = 1
HEADER = [
    ("kind", "u8"),
    ("packing", "u8"),
    ("element_bytes", "u16"),
    ("row_bytes", "u16"),
    ("window_rows", "u16"),
    ("hop_rows", "u16"),
    ("rate_hz", "u16"),
    ("memory_bytes", "u32"),
    ("first_run", "u32"),
    ("next_run", "u32"),
]
"""Every block of parameters begins with these fields."""
HEADER_PARAMS = Params("features", HEADER)


class FrontEnd(Protocol):
    """Settings of one kind. An element is what raw samples may not be cut within: a sample, all axes, a pixel."""

    kind: ClassVar[str]
    params: ClassVar[Params]

    @property
    def element(self) -> np.dtype[Any]: ...

    @property
    def row_bytes(self) -> int: ...

    @property
    def memory_bytes(self) -> int:
        """What it keeps between calls on the device, a multiple of 4."""

    @property
    def rate_hz(self) -> int:
        """Elements a second; 0 where that is the source's affair."""

    def elements(self, rows: int) -> int:
        """How many make so many rows, from the start."""

    def rows(self, raw: Array) -> Array:
        """int8[n, row_bytes] of elements from the first on; the oracle of the C code."""

    def fields(self) -> dict[str, int | Sequence[int]]:
        """Of `params`, those behind the header."""

    def tables(self) -> Sequence[Array]:
        """What follows the struct, each part padded to 4 bytes."""


@dataclass(frozen=True)
class Stream:
    """A front end before a model that takes `window_rows` rows and runs each time `hop_rows` new ones are there."""

    front_end: FrontEnd
    window_rows: int
    hop_rows: int

    def __post_init__(self) -> None:
        if not 1 <= self.hop_rows <= self.window_rows <= 0xFFFF:
            raise UserError(
                f"a run every {self.hop_rows} rows of a window of {self.window_rows}",
                f"1 to {self.window_rows} rows are allowed",
            )

    def inputs(self, raw: Array) -> Array:
        """int8[runs, window_rows * row_bytes]: the model's inputs in the order of the runs."""
        rows = self.front_end.rows(raw)
        ends = range(self.window_rows, len(rows) + 1, self.hop_rows)
        found = [rows[end - self.window_rows : end].reshape(-1) for end in ends]
        return np.array(found, np.int8).reshape(-1, self.window_rows * self.front_end.row_bytes)

    @property
    def memory_bytes(self) -> int:
        """Of the front end, and of the last rows where rows are used more than once."""
        window = self.window_rows * self.front_end.row_bytes
        return self.front_end.memory_bytes + (
            0 if self.hop_rows == self.window_rows else window + -window % 4
        )

    def block(self) -> bytes:
        """The parameters as the device reads them: struct, then tables."""
        f = self.front_end
        first = f.elements(self.window_rows)
        head = {
            "kind": KINDS[f.kind],
            "packing": PACKING,
            "element_bytes": f.element.itemsize,
            "row_bytes": f.row_bytes,
            "window_rows": self.window_rows,
            "hop_rows": self.hop_rows,
            "rate_hz": f.rate_hz,
            "memory_bytes": self.memory_bytes,
            "first_run": first,
            "next_run": f.elements(self.window_rows + self.hop_rows) - first,
        }
        parts = [
            f.params.pack(**head, **f.fields()),
            *(np.ascontiguousarray(t).tobytes() for t in f.tables()),
        ]
        return b"".join(part + bytes(-len(part) % 4) for part in parts)


@dataclass(frozen=True)
class Quantizer:
    """round(x * scale) + zero_point, halves upwards, as a product and a shift."""

    scale: float
    zero_point: int
    FIELDS: ClassVar = [("multiplier", "u32"), ("shift", "u8"), ("unused", "u8"), ("zero_point", "s16")]

    @property
    def parts(self) -> tuple[int, int]:
        """A multiplier of 31 bits and the shift to the right, at most 62."""
        mantissa, exponent = math.frexp(self.scale)
        shift = 31 - exponent
        multiplier = min(math.floor(mantissa * (1 << 31) + 0.5), (1 << 31) - 1)
        if not 1 <= shift <= 62:
            raise UserError(f"a scale of {self.scale} from features to the input", "2^-31 to 2^30 is allowed")
        return multiplier, shift

    def fields(self) -> dict[str, int]:
        multiplier, shift = self.parts
        return {"multiplier": multiplier, "shift": shift, "unused": 0, "zero_point": self.zero_point}

    def __call__(self, x: Array) -> Array:
        """int8 of integers below 2^31 in magnitude."""
        multiplier, shift = self.parts
        return np.clip(
            ((x.astype(np.int64) * multiplier + (1 << (shift - 1))) >> shift) + self.zero_point, -128, 127
        ).astype(np.int8)


def kind_of(block: bytes) -> str | None:
    """The kind that a block of parameters is for; None: an empty block, or a kind of a later version."""
    number = header_of(block)["kind"] if block else None
    return next((kind for kind, known in KINDS.items() if known == number), None)


def header_of(block: bytes) -> dict[str, Any]:
    """The first fields of a block."""
    if len(block) < HEADER_PARAMS.size:
        raise struct.error("a block of parameters is too short")
    return HEADER_PARAMS.unpack(block)
