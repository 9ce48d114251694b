"""A data set that grows by recordings: rows of samples with their classes, in an .npz file that `compress` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.compress.data import arrays
from offramp.errors import UserError

Array = NDArray[Any]


@dataclass(frozen=True)
class DataSet:
    """x [n, ...] as the sensor gave it, y int64 [n], the classes' names, and the sensor's samples a second."""

    x: Array
    y: Array
    labels: tuple[str, ...]
    rate_hz: int

    @staticmethod
    def read(path: Path) -> DataSet:
        """UserError where the file is no recording."""
        found = arrays(path)
        missing = [name for name in ("y", "labels", "rate_hz") if name not in found]
        if missing:
            raise UserError(
                f"{path}: no recording, array {missing[0]} is missing", "name another file with -o"
            )
        return DataSet(found["x"], found["y"], tuple(map(str, found["labels"])), int(found["rate_hz"]))

    @property
    def kind(self) -> str:
        """What all rows have in common."""
        return f"rows of {list(self.x.shape[1:])} {self.x.dtype} at {self.rate_hz} Hz"

    def parts(self) -> list[tuple[str, Array]]:
        """The file's arrays."""
        labels, rate = np.array(self.labels), np.array(self.rate_hz)
        return [("x", self.x), ("y", self.y), ("labels", labels), ("rate_hz", rate)]

    def count(self, label: str) -> int:
        return int((self.y == self.labels.index(label)).sum())


def recorded(rows: Array, label: str, rate_hz: int) -> DataSet:
    """Rows [n, …] of one class."""
    return DataSet(rows, np.zeros(len(rows), np.int64), (label,), rate_hz)


def joined(old: DataSet, new: DataSet, path: Path) -> DataSet:
    """The rows of both, classes numbered in the order in which they came. UserError unless rows are of one kind."""
    if old.kind != new.kind:
        raise UserError(f"{path} holds {old.kind}; these are {new.kind}", "record to another file with -o")
    labels = tuple(dict.fromkeys(old.labels + new.labels))
    numbers = np.array([labels.index(label) for label in new.labels])
    return DataSet(
        np.concatenate([old.x, new.x]), np.concatenate([old.y, numbers[new.y]]), labels, old.rate_hz
    )


__all__ = ["DataSet", "joined", "recorded"]
