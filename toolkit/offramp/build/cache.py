"""The folder where compiled objects and generated files are kept, safe for several builds at once."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def cache_folder() -> Path:
    """OFFRAMP_CACHE, or ~/.cache/offramp. Anything in it may be deleted at any time."""
    named = os.environ.get("OFFRAMP_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "offramp"


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside and renames, so that no reader ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file:
            file.write(content)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
