"""Rows of inputs from files, checked against the model's inputs, and rows of outputs for files."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.blob.read import Port
from offramp.errors import UserError
from offramp.ir import DTYPES, without_batch
from offramp.ir.saturation import saturation

Array = NDArray[Any]


def read_rows(path: Path, inputs: Sequence[Port]) -> list[list[Array]]:
    """For each row one array an input, shaped as the model takes it."""
    arrays = read_arrays(path, inputs)
    shaped = [
        in_rows(array, port, f"{path}: {name}") for (name, array), port in zip(arrays, inputs, strict=True)
    ]
    return [list(row) for row in by_row(path, shaped, inputs)]


def by_row(path: Path, shaped: Sequence[Array], inputs: Sequence[Port]) -> list[tuple[Array, ...]]:
    """One array an input for each row; UserError where the inputs' arrays have different numbers of rows."""
    if len({len(array) for array in shaped}) > 1:
        found = ", ".join(f"{port.name} {len(array)}" for port, array in zip(inputs, shaped, strict=True))
        raise UserError(
            f"{path}: inputs have different numbers of rows: {found}", "one row of each an inference"
        )
    return list(zip(*shaped, strict=True))


def read_arrays(path: Path, inputs: Sequence[Port]) -> list[tuple[str, Array]]:
    """(what to call it, array) for each input, of a .npz by the inputs' names or as `in_order` allows."""
    arrays = load_arrays(path)
    names = [port.name for port in inputs]
    keys = names if all(name in arrays for name in names) else in_order(arrays, len(names))
    if keys is None:
        missing = ", ".join(name for name in names if name not in arrays)
        found = ", ".join(key for key in arrays if key) or ("no arrays" if not arrays else "one unnamed")
        raise UserError(
            f"{path}: no array for input {missing}; the file has {found}",
            "write a .npz with one array an input, under the inputs' names",
        )
    return [
        (f"array {key}" if key else f"input {name}", arrays[key])
        for name, key in zip(names, keys, strict=True)
    ]


def read_file(path: Path) -> bytes:
    """UserError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", "check the path") from error


def load_arrays(path: Path) -> dict[str, Array]:
    """Of a .npz by their names, that of a .npy under the empty one."""
    try:
        loaded = np.load(io.BytesIO(read_file(path)), allow_pickle=False)
        return {"": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: not a .npy or .npz file of plain arrays", "write it with numpy.save or savez"
        ) from error


def in_order(arrays: Mapping[str, Array], n_inputs: int) -> list[str] | None:
    """Keys for inputs that are not named: a single one's only array or `x`, several as numpy.savez numbers them."""
    if n_inputs > 1:
        numbered = [f"arr_{i}" for i in range(n_inputs)]
        return numbered if list(arrays) == numbered else None
    shaped = [key for key, array in arrays.items() if array.ndim > 0 or not key]
    return shaped if len(shaped) == 1 else ["x"] if "x" in shaped else None


def in_rows(array: Array, port: Port, what: str) -> Array:
    """The array with its first axis the row and each row shaped as the input."""
    wanted = np.dtype(DTYPES[port.dtype])
    if array.dtype != wanted:
        hint = f"input {port.name} takes {wanted}"
        if array.dtype.kind == "f":
            hint += f": q = round(x / {port.scale:.9g}) + {port.zero_point}, clipped to {wanted}"
            found = saturation(array[np.isfinite(array)], port.scale, port.zero_point, port.dtype)
            hint += f"; {found}" if found is not None else ""
        raise UserError(f"{what} is {array.dtype}, {wanted} is needed", hint)
    inner = without_batch(port.shape)
    if array.ndim == 0:
        raise UserError(
            f"{what} is a single number, an array is needed", f"first axis the row, then {list(inner)}"
        )
    row = [n for n in array.shape[1:] if n != 1]
    if row not in ([n for n in port.shape if n != 1], [math.prod(port.shape)]):
        raise UserError(
            f"{what} has shape {list(array.shape)}, [rows, {', '.join(map(str, inner))}] is needed",
            f"input {port.name}: first axis the row, then {list(inner)} or {math.prod(port.shape)} flat",
        )
    if len(array) == 0:
        raise UserError(f"{what} has no rows", "one row an inference")
    return array.reshape(len(array), *port.shape)


def crc_of(outputs: Sequence[Array]) -> str:
    """CRC-32 of all bytes of all outputs, one after the other: eight hexadecimal digits."""
    crc = 0
    for output in outputs:
        crc = zlib.crc32(output.tobytes(), crc)
    return f"{crc:08x}"


def npz(outputs: Sequence[tuple[str, Array]]) -> bytes:
    """A .npz file of arrays in this order, whatever their names; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in outputs:
            member = io.BytesIO()
            np.save(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


def output_arrays(results: Sequence[Sequence[Array]], ports: Sequence[Port]) -> list[tuple[str, Array]]:
    """Each output's name, made unique, and its rows, one below the other without the batch axis."""
    named: list[tuple[str, Array]] = []
    for i, port in enumerate(ports):
        rows = np.stack([outputs[i] for outputs in results])
        taken = {name for name, _ in named}
        name = port.name if port.name and port.name not in taken else f"{port.name}#{i}"
        named.append((name, rows.reshape(len(rows), *without_batch(rows.shape[1:]))))
    return named
