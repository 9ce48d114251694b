"""The folder where compiled objects and generated files are kept, safe for several builds at once."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from offramp.errors import UserError


def cache_folder() -> Path:
    """OFFRAMP_CACHE, or ~/.cache/offramp; UserError unless it can be written.

    Anything in it may be deleted at any time.
    """
    named = os.environ.get("OFFRAMP_CACHE")
    folder = Path(named) if named else Path.home() / ".cache" / "offramp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UserError(
            f"the cache folder {folder} cannot be written: {error.strerror}",
            "set OFFRAMP_CACHE to a folder that can be written",
        ) from error
    return folder


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
