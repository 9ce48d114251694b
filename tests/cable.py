"""A serial cable that can be unplugged, in the middle of a frame too: a pseudo-terminal before an emulator's socket."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import tty
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit


class Cable:
    """A context manager; `port` is a device name that is there while the cable is plugged in. The board runs on."""

    def __init__(self, board_url: str, folder: Path) -> None:
        parts = urlsplit(board_url)
        self.port = str(folder / "ttyCABLE")
        self._board = socket.create_connection((parts.hostname or "", parts.port or 0))
        self._master = self._slave = -1
        self._left: int | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.plug()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def __enter__(self) -> Cable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._unplug()
        self._board.close()

    def plug(self) -> None:
        with self._lock:
            self._master, self._slave = os.openpty()
            tty.setraw(self._slave)
            Path(self.port).unlink(missing_ok=True)
            Path(self.port).symlink_to(os.ttyname(self._slave))
            self._left = None

    def unplug_after(self, n_bytes: int) -> None:
        """Once the host has sent so many bytes more."""
        with self._lock:
            self._left = n_bytes

    @property
    def is_plugged(self) -> bool:
        with self._lock:
            return self._master >= 0

    def _unplug(self) -> None:
        if self._master >= 0:
            Path(self.port).unlink(missing_ok=True)
            os.close(self._master)
            os.close(self._slave)
            self._master = self._slave = -1

    def _pump(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                ends = [self._board, *([self._master] if self._master >= 0 else [])]
                ready = select.select(ends, [], [], 0.005)[0]
                with contextlib.suppress(OSError):
                    if self._board in ready:
                        data = self._board.recv(4096)
                        if self._master >= 0:
                            os.write(self._master, data)
                    if self._master in ready:
                        self._send(os.read(self._master, 4096))

    def _send(self, data: bytes) -> None:
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        self._board.sendall(data)
        if self._left == 0:
            self._unplug()
