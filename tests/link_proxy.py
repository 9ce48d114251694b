"""A TCP proxy between host and board that drops, flips and duplicates bytes at a known rate, from a seed."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from urllib.parse import urlsplit


class FaultyLine:
    """A context manager; connect to `url` instead of the board's. `faults` counts what was done, by name."""

    def __init__(self, board_url: str, *, seed: int, faults_per_byte: float = 1e-3) -> None:
        parts = urlsplit(board_url)
        self._board = (parts.hostname or "", parts.port or 0)
        self._rate = faults_per_byte
        self._seed = seed
        self.faults = {"drop": 0, "flip": 0, "duplicate": 0}
        self.n_bytes = 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> FaultyLine:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in [self._listener, *self._sockets]:
            _shut(end)
        for thread in self._threads:
            thread.join()

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        try:
            host, _ = self._listener.accept()
        except OSError:
            return
        board = socket.create_connection(self._board)
        self._sockets += [host, board]
        for end in (host, board):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._start(lambda: self._pump(host, board, random.Random(self._seed)))
        self._start(lambda: self._pump(board, host, random.Random(self._seed + 1)))

    def _pump(self, source: socket.socket, sink: socket.socket, rng: random.Random) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                sink.sendall(self._damage(data, rng))
        for end in (source, sink):
            _shut(end)

    def _damage(self, data: bytes, rng: random.Random) -> bytes:
        out = bytearray()
        self.n_bytes += len(data)
        for byte in data:
            fault = rng.choice(list(self.faults)) if rng.random() < self._rate else ""
            if fault:
                self.faults[fault] += 1
            out += {"": bytes([byte]), "drop": b"", "duplicate": bytes([byte, byte])}.get(
                fault, bytes([byte ^ 1 << rng.randrange(8)])
            )
        return bytes(out)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
