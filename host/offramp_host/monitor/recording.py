"""A recording: inputs and outputs of every row in one .npz, which `run --inputs` takes as it is."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from offramp.blob.read import Port
from offramp.errors import UserError
from offramp.ir import DTYPES
from offramp_host.monitor.events import Reading
from offramp_host.monitor.model import Array

EXIT, PLAN = "monitor/exit", "monitor/plan"
_OUTPUT = "monitor/output"


class Recording:
    """Rows wait in unnamed files beside `path`, so that a long recording takes no memory; `close` writes it.

    Arrays: each input under its name, `monitor/output0` and on, `monitor/exit` (-1: the end), `monitor/plan`. Of a
    model with exits output 0 alone, as many values as the longest answer has, filled with 0.
    """

    def __init__(self, path: Path, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
        self.path, self.rows = path, 0
        check_name(path)
        self._columns: list[tuple[str, np.dtype[Any], tuple[int, ...]]] = [
            (port.name, np.dtype(DTYPES[port.dtype]), port.shape) for port in inputs
        ]
        self._columns += [
            (f"{_OUTPUT}{i}", np.dtype(DTYPES[port.dtype]), port.shape) for i, port in enumerate(outputs)
        ]
        self._columns += [(EXIT, np.dtype(np.int16), ()), (PLAN, np.dtype(np.uint8), ())]
        try:
            self._files = [_unnamed_file(path.parent) for _ in self._columns]
        except OSError as error:
            raise cannot_write(path, error) from error

    def take(self, reading: Reading, exit_: int | None, plan: int) -> None:
        n_outputs = len(self._columns) - len(reading.inputs) - 2
        values = [*reading.inputs, *reading.outputs[:n_outputs]]
        values += [np.array(-1 if exit_ is None else exit_), np.array(plan)]
        try:
            for (_, dtype, shape), file, value in zip(self._columns, self._files, values, strict=True):
                file.write(_filled(value.astype(dtype, copy=False), shape).tobytes())
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
            for (name, dtype, shape), file in zip(self._columns, self._files, strict=True):
                head = io.BytesIO()
                description = {"descr": dtype.str, "fortran_order": False, "shape": (self.rows, *shape)}
                np.lib.format.write_array_header_1_0(head, description)  # type: ignore[no-untyped-call]
                file.seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    member.write(head.getvalue())
                    shutil.copyfileobj(file, member)


def check_name(path: Path) -> None:
    if path.suffix != ".npz":
        raise UserError(f"{path}: a recording is a .npz file", f"name it {path.with_suffix('.npz')}")


def _unnamed_file(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder)


def _filled(value: Array, shape: tuple[int, ...]) -> Array:
    wanted = int(np.prod(shape, dtype=np.int64))
    if value.size == wanted:
        return value.reshape(shape)
    return np.pad(value.reshape(-1), (0, wanted - value.size)).reshape(shape)


def cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written: {error.strerror or error}", "choose another file or disk")
