"""A recording: inputs and outputs of every row in one .npz, which `run --inputs` and `monitor --source` take."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from offramp.blob.read import Port
from offramp.errors import UserError
from offramp.ir import DTYPES, without_batch
from offramp_host.monitor.model import Array
from offramp_host.rows import load_arrays
from offramp_host.wav import Wav

EXIT, PLAN = "monitor/exit", "monitor/plan"
SAMPLES, RATE = "monitor/samples", "monitor/rate_hz"
_OUTPUT = "monitor/output"


class Recording:
    """Rows wait in unnamed files beside `path`, so that a long recording takes no memory; `close` writes it.

    Arrays, rows without the batch axis: each input under its name, `monitor/output0` and on, `monitor/exit` (-1: the
    end), `monitor/plan`. Of a model with exits output 0 alone, as many values as the longest answer has, filled with
    0. Of sound through a front end, with `sound_hz`, in place of inputs `monitor/samples`, int16 from the board's
    first state on, and `monitor/rate_hz`.
    """

    def __init__(
        self, path: Path, inputs: Sequence[Port], outputs: Sequence[Port], sound_hz: int | None = None
    ) -> None:
        self.path, self.rows = path, 0
        check_name(path)
        self._rate_hz = sound_hz
        given = [column_of(port.name, port) for port in inputs]
        self._columns = given if sound_hz is None else [Column(SAMPLES, np.dtype(np.int16), None)]
        self._columns += [column_of(f"{_OUTPUT}{i}", port) for i, port in enumerate(outputs)]
        self._columns += [Column(EXIT, np.dtype(np.int16), ()), Column(PLAN, np.dtype(np.uint8), ())]
        try:
            self._files = [_unnamed_file(path.parent) for _ in self._columns]
        except OSError as error:
            raise cannot_write(path, error) from error

    def take(self, given: Sequence[Array], outputs: Sequence[Array], exit_: int | None, plan: int) -> None:
        """A row: inputs or new samples, and how the run ended."""
        n_outputs = len(self._columns) - len(given) - 2
        values = [*given, *outputs[:n_outputs]]
        values += [np.array(-1 if exit_ is None else exit_), np.array(plan)]
        try:
            for column, file, value in zip(self._columns, self._files, values, strict=True):
                file.write(_filled(value.astype(column.dtype, copy=False), column.shape).tobytes())
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.rows += 1

    def close(self) -> None:
        """Writes the file, whole or not at all; without a row there is none."""
        if self.rows:
            unfinished = self.path.with_suffix(".npz.part")
            try:
                self._write(unfinished)
                unfinished.replace(self.path)
            except OSError as error:
                raise cannot_write(self.path, error) from error
            finally:
                unfinished.unlink(missing_ok=True)
        for file in self._files:
            file.close()

    def _write(self, path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for column, file in zip(self._columns, self._files, strict=True):
                head = io.BytesIO()
                shape = (self.rows, *column.shape) if column.shape is not None else (_n(file, column),)
                description = {"descr": column.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(head, description)  # type: ignore[no-untyped-call]
                file.seek(0)
                with archive.open(f"{column.name}.npy", "w", force_zip64=True) as member:
                    member.write(head.getvalue())
                    shutil.copyfileobj(file, member)
            if self._rate_hz is not None:
                with archive.open(f"{RATE}.npy", "w") as member:
                    np.save(member, np.array(self._rate_hz, np.int32))


@dataclass(frozen=True)
class Column:
    """`shape` is that of a row; None: any number of elements."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] | None


def column_of(name: str, port: Port) -> Column:
    """Rows as the port has them, without the batch axis."""
    return Column(name, np.dtype(DTYPES[port.dtype]), without_batch(port.shape))


def holds_sound(path: Path) -> bool:
    """Whether it is a recording of raw samples."""
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{SAMPLES}.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def recorded_sound(path: Path) -> Wav:
    """Of a recording that `holds_sound`; UserError where it is not as it was written."""
    arrays = load_arrays(path)
    samples, rate = arrays[SAMPLES], arrays.get(RATE, np.array(0))
    if samples.dtype != np.int16 or samples.ndim != 1 or rate.ndim or rate.dtype.kind != "i" or rate < 1:
        raise UserError(
            f"{path}: {SAMPLES} is {samples.dtype} {list(samples.shape)}, {RATE} {rate.tolist()}",
            "int16 samples of one channel and their rate are needed: record it again",
        )
    return Wav(16, int(rate), samples)


def check_name(path: Path) -> None:
    """UserError unless it is that of a .npz file."""
    if path.suffix != ".npz":
        raise UserError(f"{path}: a recording is a .npz file", f"name it {path.with_suffix('.npz')}")


def _unnamed_file(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder)


def _n(file: IO[bytes], column: Column) -> int:
    return file.tell() // column.dtype.itemsize


def _filled(value: Array, shape: tuple[int, ...] | None) -> Array:
    if shape is None:
        return value
    wanted = int(np.prod(shape, dtype=np.int64))
    if value.size == wanted:
        return value.reshape(shape)
    return np.pad(value.reshape(-1), (0, wanted - value.size)).reshape(shape)


def cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written: {error.strerror or error}", "choose another file or disk")
