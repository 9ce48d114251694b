"""Puts a tree on the disk: whole or not at all, and over an earlier export only."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from pathlib import Path

from offramp.errors import UserError
from offramp.export import bill
from offramp.export.tree import Tree

BUILD = "build"
"""A folder in an export that counts as the user's build and goes when the export is replaced."""


def check_target(folder: Path) -> None:
    """UserError unless the folder can be made, is empty, or holds an export as it was written."""
    if folder.is_dir():
        entries = [path.name for path in folder.iterdir()]
        if entries:
            _check_export(folder)
    elif folder.exists():
        raise UserError(f"{folder} is a file", "name another folder with --to")


def write(tree: Tree, folder: Path) -> None:
    """Writes beside and renames; what `check_target` lets pass is replaced. UserError where the disk refuses."""
    folder = folder.resolve()
    token = secrets.token_hex(4)
    beside, old = (folder.with_name(f".{folder.name}.{token}{end}") for end in ("", ".old"))
    try:
        for place, data in tree.files.items():
            path = beside / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if folder.exists():
            os.rename(folder, old)
        try:
            os.rename(beside, folder)
        except BaseException:
            if old.exists():
                os.rename(old, folder)
            raise
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror}", "name another folder with --to"
        ) from error
    finally:
        for left in (beside, old):
            shutil.rmtree(left, ignore_errors=True)


def _check_export(folder: Path) -> None:
    listed = _listed(folder / bill.NAME)
    if listed is None:
        raise UserError(
            f"{folder} is not empty and no export of this tool",
            "name a folder that is new or empty with --to",
        )
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        if not path.is_file() or place == bill.NAME or place.startswith(f"{BUILD}/"):
            continue
        if place not in listed:
            raise _yours(folder, place, "was added")
        if hashlib.sha256(path.read_bytes()).hexdigest() != listed[place]:
            raise _yours(folder, place, "was changed")


def _yours(folder: Path, place: str, what: str) -> UserError:
    return UserError(
        f"{folder} holds an export in which {place} {what}; replacing it would lose that",
        f"move {place} out of the folder, or name another one with --to",
    )


def _listed(path: Path) -> dict[str, str] | None:
    """SHA-256 by place; None where there is no bill of ours."""
    try:
        found = json.loads(path.read_bytes())
        if not found["creationInfo"]["creators"][0].startswith(bill.TOOL):
            return None
        return {
            file["fileName"].removeprefix("./"): next(
                sum_["checksumValue"] for sum_ in file["checksums"] if sum_["algorithm"] == "SHA256"
            )
            for file in found["files"]
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return None
