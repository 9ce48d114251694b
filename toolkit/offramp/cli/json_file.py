"""Reads what other commands printed with --json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from offramp.errors import UserError
from offramp_host.rows import read_file


def read_json(path: Path) -> Any:
    """UserError where the file cannot be read or is no JSON."""
    try:
        return json.loads(read_file(path))
    except ValueError as error:
        raise UserError(
            f"{path} is no JSON: {error}", f"write it with a command's --json: offramp … --json > {path.name}"
        ) from error
