"""Inputs of MLPerf Tiny: folders as the benchmark's runner reads them, or arrays; each as the bytes that are sent."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.build.mlperf import Benchmark
from offramp.errors import UserError
from offramp_host.rows import load_arrays

TRUTH = "y_labels.csv"
_COLUMNS = ("file", "classes", "class", "bytes_to_send", "stride")


@dataclass(frozen=True)
class Sample:
    """A file or row. `parts` are inputs: one, or of ad01 the windows of a recording. `label` is None if unknown."""

    name: str
    label: int | None
    parts: tuple[bytes, ...]


def read_samples(
    data: Path, labels: Path | None, benchmark: Benchmark, limit: int | None = None
) -> list[Sample]:
    """The first `limit` samples of a folder with y_labels.csv, or of a .npy or .npz file; UserError if it is neither.

    A .npz holds x and, unless `labels` gives them, y.
    """
    if data.is_dir():
        if labels is not None:
            raise UserError(
                f"--labels {labels}: {data} is a folder, its {TRUTH} says the classes", "leave --labels out"
            )
        return list(_in_folder(data, benchmark, limit))
    x, y = _arrays(data)
    if labels is not None:
        y = _arrays(labels)[0]
    return _of_rows(data, x, y, benchmark, limit)


def _in_folder(folder: Path, benchmark: Benchmark, limit: int | None) -> Iterator[Sample]:
    inside = folder / benchmark.name
    folder = inside if (inside / TRUTH).is_file() else folder
    truth = folder / TRUTH
    try:
        with truth.open(encoding="utf-8", newline="") as file:
            rows = [
                row for row in csv.DictReader(file, fieldnames=_COLUMNS, skipinitialspace=True) if row["file"]
            ]
    except OSError as error:
        raise UserError(
            f"{truth}: {error.strerror}", f"it lists the inputs: {', '.join(_COLUMNS)}"
        ) from error
    for i, row in enumerate(rows[:limit]):
        where = f"{truth}, line {i + 1}"
        yield _of_file(folder / row["file"].strip(), row, benchmark, where)


def _of_file(path: Path, row: dict[str, str | None], benchmark: Benchmark, where: str) -> Sample:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", f"{where} names it") from error
    size = benchmark.input_bytes
    stride = _number(row["stride"], where) if row["stride"] else size
    if row["bytes_to_send"] and _number(row["bytes_to_send"], where) != size:
        raise UserError(
            f"{where}: {row['bytes_to_send']} bytes to send, {benchmark.name} takes {size} bytes",
            f"correct the column bytes_to_send to {size}, or leave it empty",
        )
    if stride < 1 or len(content) < size or (not row["stride"] and len(content) != size):
        raise UserError(
            f"{path}: {len(content)} bytes at a stride of {stride} bytes, {benchmark.name} takes {size} bytes",
            "take the inputs of this benchmark",
        )
    starts = range(0, len(content) - size + 1, stride)
    return Sample(path.name, _number(row["class"], where), tuple(content[at : at + size] for at in starts))


def _number(text: str | None, where: str) -> int:
    try:
        return int(text or "")
    except ValueError as error:
        raise UserError(
            f"{where}: {text!r} is no number", f"the columns are {', '.join(_COLUMNS)}"
        ) from error


def _arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """x and y of a .npz, the one array of a .npy; y is None where there is none."""
    found = load_arrays(path)
    if "x" not in found and len(found) != 1:
        raise UserError(
            f"{path}: arrays {', '.join(sorted(found)) or 'none'}, x is needed", "a .npz holds x and y"
        )
    return found["x"] if "x" in found else next(iter(found.values())), found.get("y")


def _of_rows(
    path: Path, x: NDArray[Any], y: NDArray[Any] | None, benchmark: Benchmark, limit: int | None
) -> list[Sample]:
    wanted = np.dtype(benchmark.wire)
    if (
        x.dtype.newbyteorder("=") != wanted
        or x.ndim < 2
        or x.size != len(x) * benchmark.elements
        or not len(x)
    ):
        raise UserError(
            f"{path}: {x.dtype} of shape {list(x.shape)}, {benchmark.name} takes {wanted} [rows, {benchmark.elements}]",
            "first axis: the row; values as the benchmark sends them (docs/mlperf.md)",
        )
    if y is not None and (y.shape != (len(x),) or y.dtype.kind not in "iu"):
        raise UserError(
            f"{path}: labels are {y.dtype} of shape {list(y.shape)}, {len(x)} whole numbers are needed",
            "one class a row",
        )
    little = np.ascontiguousarray(x[:limit]).astype(wanted.newbyteorder("<"))
    return [
        Sample(f"row {i}", None if y is None else int(y[i]), (row.tobytes(),)) for i, row in enumerate(little)
    ]


def labels_of(samples: Sequence[Sample], n_classes: int) -> list[int]:
    """The classes, all of them known and below n_classes; UserError if not."""
    for sample in samples:
        if sample.label is None:
            raise UserError("accuracy needs the class of each input", "give --labels Y.npy")
        if not 0 <= sample.label < n_classes:
            raise UserError(
                f"{sample.name}: class {sample.label}, the benchmark has 0 to {n_classes - 1}",
                "correct its label",
            )
    return [sample.label for sample in samples if sample.label is not None]
