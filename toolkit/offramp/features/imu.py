"""Windows of motion: each row is the mean of some samples of every axis, scaled and quantized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from offramp.features.front_end import HEADER, Quantizer
from offramp.ops.op import Params

Array = NDArray[Any]

PARAMS = Params("imu", [*HEADER, ("axes", "u16"), ("average", "u16")])


@dataclass(frozen=True)
class Axis:
    """One output: quantizer(sum + offset), the sum being of `average` raw integers."""

    quantizer: Quantizer
    offset: int


@dataclass(frozen=True)
class Imu:
    """16-bit samples, all axes of a moment together."""

    kind: ClassVar[str] = "imu"
    params: ClassVar[Params] = PARAMS

    axes: tuple[Axis, ...]
    average: int = 1
    rate_hz: int = 0

    @property
    def element(self) -> np.dtype[Any]:
        return np.dtype(("<i2", (len(self.axes),)))

    @property
    def row_bytes(self) -> int:
        return len(self.axes)

    @property
    def memory_bytes(self) -> int:
        return 4 + 4 * len(self.axes)

    def elements(self, rows: int) -> int:
        return self.average * rows

    def rows(self, raw: Array) -> Array:
        n = len(raw) // self.average
        sums = raw[: n * self.average].reshape(n, self.average, len(self.axes)).astype(np.int64).sum(axis=1)
        columns = [a.quantizer(sums[:, i] + a.offset) for i, a in enumerate(self.axes)]
        return np.stack(columns, axis=1)

    def fields(self) -> dict[str, int | Sequence[int]]:
        return {"axes": len(self.axes), "average": self.average}

    def tables(self) -> Sequence[Array]:
        """For each axis multiplier, shift, zero point, offset: int32."""
        parts = [(*a.quantizer.parts, a.quantizer.zero_point, a.offset) for a in self.axes]
        return [np.array(parts, np.int32)]


def axis(unit: float, add: float, average: int, scale: float, zero_point: int) -> Axis:
    """Of an input whose real values are raw * unit + add."""
    return Axis(Quantizer(unit / average / scale, zero_point), round(add / unit) * average)
