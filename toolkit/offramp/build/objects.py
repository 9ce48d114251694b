"""Compiles files to objects, each once for the same command, source and headers."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from offramp.build.cache import cache_folder, write_atomically
from offramp.errors import UserError

JOBS = 2
Digest = Callable[[str], str]


def compile_all(commands: Sequence[tuple[list[str], Path]], identity: str) -> list[Path]:
    """Objects in the cache, one for each (compiler command without input and output, source).

    `identity` names the compiler's version; it is part of the key.
    """
    digest = functools.cache(_digest)  # each header is read once a build
    with ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(lambda item: _object(item[0], item[1], identity, digest), commands))


def _object(command: list[str], source: Path, identity: str, digest: Digest) -> Path:
    folder = cache_folder() / "objects"
    command_key = hashlib.sha256(json.dumps([identity, command, str(source)]).encode()).hexdigest()[:32]
    dependencies_file = folder / f"{command_key}.json"
    found = _cached(folder, command_key, dependencies_file, digest)
    return found or _compile(command, source, folder, command_key, dependencies_file, digest)


def _cached(folder: Path, command_key: str, dependencies_file: Path, digest: Digest) -> Path | None:
    try:
        dependencies: list[str] = json.loads(dependencies_file.read_bytes())
        path = folder / _object_name(command_key, dependencies, digest)
    except OSError:  # never compiled, or a header is gone
        return None
    return path if path.exists() else None


def _object_name(command_key: str, dependencies: list[str], digest: Digest) -> str:
    content = json.dumps([command_key, [(name, digest(name)) for name in dependencies]])
    return hashlib.sha256(content.encode()).hexdigest()[:32] + ".o"


def _compile(
    command: list[str],
    source: Path,
    folder: Path,
    command_key: str,
    dependencies_file: Path,
    digest: Digest,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        built, listed = Path(beside) / "o", Path(beside) / "d"
        full = [*command, "-MD", "-MF", str(listed), "-c", str(source), "-o", str(built)]
        done = subprocess.run(full, capture_output=True, text=True)
        if done.returncode != 0:
            raise UserError(f"{source} does not compile:\n{done.stderr.strip()}", " ".join(full))
        dependencies = _listed(listed.read_text())
        path = folder / _object_name(command_key, dependencies, digest)
        write_atomically(dependencies_file, json.dumps(dependencies).encode())
        os.replace(built, path)
    return path


def _listed(makefile_rule: str) -> list[str]:
    """The prerequisites in a rule that the compiler wrote; spaces in names come escaped."""
    _, _, names = makefile_rule.replace("\\\n", " ").partition(": ")
    return sorted(name.replace("\0", " ") for name in names.replace("\\ ", "\0").split())


def _digest(name: str) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()
