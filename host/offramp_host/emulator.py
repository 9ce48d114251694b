"""Runs an image on an emulated board, its serial port at a socket:// address, and leaves no process."""

from __future__ import annotations

import atexit
import re
import shutil
import subprocess
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from offramp.boards import Board, must_run_here
from offramp.errors import UserError
from offramp_host import child_process

PACKAGES = {"qemu-system-arm": "qemu-system-arm", "qemu-system-riscv32": "qemu-system-misc"}
START_TIMEOUT_S = 20.0
# QEMU says it on stderr, a posix image likewise; both listen on a port that the system chose.
LISTENING = re.compile(r"waiting for connection on: disconnected:tcp:127\.0\.0\.1:(\d+)")

_running: weakref.WeakSet[Emulator] = weakref.WeakSet()


class Emulator:
    """A context manager; the board starts when something connects to `url`.

    `loads` are (file, address) pairs that lie in memory before the board starts; on posix there may be one,
    the model. Instruction counts are exact. After `timeout_s` seconds the emulator is killed, whatever it is
    doing. `args` are added to the command.
    """

    def __init__(
        self,
        board: Board,
        elf: Path,
        *,
        loads: Sequence[tuple[Path, int]] = (),
        timeout_s: float,
        args: Sequence[str] = (),
    ) -> None:
        self.board, self.timeout_s = board, timeout_s
        self.command = command(board, elf, loads) + list(args)
        self.timed_out = False
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = bytearray()
        self._listening = threading.Event()

    def __enter__(self) -> Emulator:
        _running.add(self)
        try:
            self._start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """By itself, or because someone ended it."""
        return self._process is not None and self._process.poll() is not None

    @property
    def stderr(self) -> str:
        """What the emulator, or a sanitizer, has said so far."""
        return self._stderr.decode(errors="replace")

    def wait(self, timeout_s: float | None = None) -> int:
        """The firmware's exit code; UserError if the time limit ended it.

        `timeout_s` is a limit for this call alone: past it, subprocess.TimeoutExpired.
        """
        assert self._process is not None
        code = self._process.wait(timeout_s)
        self._reader.join()
        if self.timed_out:
            raise UserError(
                f"{self.board.name} did not finish within {self.timeout_s:g} s and was stopped",
                "Raise the time limit, or look for an endless loop in the firmware.",
            )
        return code

    def kill(self) -> None:
        """Ends the emulator if it still runs; may be called at any time, and again."""
        process = self._process
        if process is None:
            return
        self._timer.cancel()
        if process.poll() is None:
            process.kill()
        process.wait()
        self._reader.join()
        if process.stderr is not None:
            process.stderr.close()
        _running.discard(self)

    def _start(self) -> None:
        self._process = child_process.start(self.command)
        self._timer = threading.Timer(self.timeout_s, self._time_out)
        self._timer.daemon = True
        self._timer.start()
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        end = time.monotonic() + min(START_TIMEOUT_S, self.timeout_s)
        while not self._listening.wait(0.05):
            if self._process.poll() is not None or time.monotonic() > end:
                raise UserError(
                    f"{Path(self.command[0]).name} did not start: {self.stderr.strip() or 'it said nothing'}",
                    "The command was: " + " ".join(self.command),
                )

    def _time_out(self) -> None:
        self.timed_out = True
        if self._process is not None:
            self._process.kill()

    def _read_stderr(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        while chunk := self._process.stderr.read1(65536):  # type: ignore[attr-defined]
            self._stderr += chunk
            found = LISTENING.search(self.stderr)
            if found and not self.url:
                self.url = f"socket://127.0.0.1:{found[1]}"
                self._listening.set()


def command(board: Board, elf: Path, loads: Sequence[tuple[Path, int]] = (), port: int = 0) -> list[str]:
    """What runs the board, its serial line at `port` of 127.0.0.1; 0: one that the system chooses."""
    for path in (elf, *(path for path, _ in loads)):
        if not path.is_file():
            raise UserError(f"{path} does not exist", "Build it first, or correct the name.")
    emulator = must_run_here(board).emulator
    if emulator is None:
        if len(loads) > 1:
            raise UserError(f"{board.name} loads one file, the model; {len(loads)} were given", "Give one.")
        at = ["--port", str(port)] if port else []
        return [str(elf), *at, *(part for path, _ in loads for part in ("--model", str(path)))]
    binary = shutil.which(emulator.binary)
    if binary is None:
        raise UserError(
            f"{emulator.binary} is not installed; {board.name} needs it",
            f"sudo apt-get install {PACKAGES.get(emulator.binary, emulator.binary)}",
        )
    found = [binary, "-M", emulator.machine, *emulator.args, "-kernel", str(elf)]
    found += ["-display", "none", "-monitor", "none", "-nodefaults"]
    found += ["-semihosting-config", "enable=on,target=native"]
    found += ["-serial", f"tcp:127.0.0.1:{port},server=on,wait=on,nodelay=on"]
    # Besides making counts exact, this keeps QEMU's main loop awake: without it QEMU 7.2 stops delivering
    # bytes to a CMSDK serial port whose handler was faster than the loop.
    found += ["-icount", f"shift={emulator.icount_shift},sleep=off"]
    for path, address in loads:
        escaped = str(path).replace(",", ",,")
        found += ["-device", f"loader,file={escaped},addr={address:#x},force-raw=on"]
    return found


@atexit.register
def _kill_all() -> None:
    for emulator in list(_running):
        emulator.kill()
