"""Starts processes that do not outlive this one, or that do; the only place that calls on POSIX for it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Loaded here, because little is safe between fork and exec.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """A process with stderr piped and no stdin. On Linux it is killed when the thread that started it ends,
    however that comes about; elsewhere only an orderly exit of the interpreter ends it."""
    return subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=_die_with_parent if _libc is not None else None,
    )


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def start_detached(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """A process that goes on when this one ends, with stdout and stderr in `log` and no stdin."""
    with log.open("wb") as file:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def start_group(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """A process whose stdout and stderr come as one text, and which `end_group` ends with all that it starts."""
    return subprocess.Popen(
        list(command),
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def end_group(process: subprocess.Popen[str]) -> None:
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def runs(pid: int, word: str) -> bool:
    """Whether a process of that number is there and its command line names `word`: numbers are used again."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        shown = subprocess.run(
            ["ps", "-ww", "-p", str(pid), "-o", "command="], capture_output=True, text=True
        )
        line = shown.stdout
    return word in line


def end(pid: int, word: str, timeout_s: float = 10.0) -> None:
    """Ends a process that `runs`; returns when it is gone."""
    limit = time.monotonic() + timeout_s
    while runs(pid, word) and time.monotonic() < limit:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.05)
