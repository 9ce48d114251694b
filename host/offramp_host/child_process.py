"""Starts a child process that does not outlive this one; the only place that calls on Linux for it."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Sequence

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
