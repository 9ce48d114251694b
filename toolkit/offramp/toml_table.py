"""A TOML file as dataclasses: keys and types checked, what is odd named with the nearest known key."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from offramp.errors import UserError


def read_toml(path: Path, missing: str = "check the path") -> dict[str, Any]:
    """`missing` is the hint where the file cannot be opened."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", missing) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}", "mend the TOML") from error


def fill(cls: type, table: Mapping[str, Any], where: str) -> Any:
    """A dataclass from a table's values, each checked against its field's type."""
    known = {f.name: f for f in dataclasses.fields(cls)}
    hints = get_type_hints(cls)
    for key in table:
        if key not in known:
            raise UserError(f"{where}: unknown key {key}", f"did you mean {nearest(key, known)}?")
    for f in known.values():
        needed = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if needed and f.name not in table:
            raise UserError(f"{where}: {f.name} is missing", f"add {f.name} = …")
    return cls(**{key: converted(value, hints[key], f"{where}: {key}") for key, value in table.items()})


def converted(value: Any, hint: Any, where: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return None if value is None else converted(value, kinds[0], where)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return fill(hint, value, where)  # type: ignore[arg-type]
    origin = get_origin(hint) or hint
    if hint == tuple[str, ...] and isinstance(value, str):
        return (value,)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(converted(item, get_args(hint)[0], where) for item in value)
    if origin is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where} is {value}, a finite number is needed", "correct the file")
    wanted = dict if origin is Mapping else origin
    if hint is Any or (isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))):
        return value
    raise UserError(f"{where} is {value!r}, a {written(hint)} is needed", "correct the file")


def written(hint: Any) -> str:
    """What stands for a type in TOML."""
    args = [arg for arg in get_args(hint) if arg not in (Ellipsis, type(None))]
    if get_origin(hint) in (Union, types.UnionType):
        return written(args[0])
    if get_origin(hint) in (tuple, Mapping):
        kind = "list" if get_origin(hint) is tuple else "table"
        return kind if args[-1] is Any else f"{kind} of {written(args[-1])}s"
    names = {str: "string", int: "whole number", float: "number", bool: "boolean"}
    return names.get(hint, "table")


def nearest(word: str, known: Any) -> str:
    names = [str(name) for name in known]
    return (difflib.get_close_matches(word, names, n=1, cutoff=0.0) or names)[0]
