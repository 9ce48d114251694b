"""Small models with the sizes of MLPerf Tiny's benchmarks, and firmware that speaks the protocol for them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from offramp import boards
from offramp.blob import read, write
from offramp.build import Image
from offramp.build.firmware import firmware, kernels_named
from offramp.build.mlperf import defines
from offramp.frontends import load_model
from offramp.plan import Options, make_plan
from tests.net import Net
from tests.oracle.tflite_writer import Tensor

TRANSCRIPT = Path(__file__).parent / "transcript.txt"


def dense(elements: int, outputs: int) -> bytes:
    net = Net(1, (1, elements))
    net.weighted("FULLY_CONNECTED", (outputs, elements), (1, outputs), "FullyConnectedOptions")
    net.add("SOFTMAX", [], Tensor("scores", (1, outputs), "int8", 1 / 256, -128), "SoftmaxOptions", Beta=1.0)
    return net.model()


def elementwise() -> bytes:
    net = Net(2, (1, 640))
    net.add("LOGISTIC", [], Tensor("out", (1, 640), "int8", 1 / 256, -128), "")
    return net.model()


MODELS: Mapping[str, Callable[[], bytes]] = {
    "kws01": lambda: dense(49 * 10, 12),
    "ic01": lambda: dense(32 * 32 * 3, 10),
    "vww01": lambda: dense(96 * 96 * 3, 2),
    "ad01": elementwise,
}


def blob_of(model: bytes, board_name: str, folder: Path) -> Path:
    (folder / "model.tflite").write_bytes(model)
    path = folder / "model.ofr"
    path.write_bytes(
        write(make_plan(load_model(folder / "model.tflite"), boards.load(board_name), Options()))
    )
    return path


def image_of(blob: Path, board_name: str) -> Image:
    """With sanitizers where the board is this machine."""
    board, found = boards.load(board_name), read(blob.read_bytes(), blob)
    return firmware(
        board,
        blob.with_suffix(".elf"),
        kernels=kernels_named(found.kernels),
        blob=blob,
        plans=1,
        exits=False,
        sanitize=board_name == "posix",
        defines=defines(found, board),
    )


def sides(text: str) -> tuple[bytes, list[bytes]]:
    """Of a transcript what the host says, and of the board a list of answers.

    "> command" is said with a %, "< line" answered in a line; other lines are for people.
    """
    host, board = b"", []
    for row in text.splitlines():
        if row.startswith(">"):
            host += row[2:].encode() + b"%"
            board.append(b"")
        elif row.startswith("< "):
            board[-1] += row[2:].encode() + b"\r\n"
    return host, board


class Line:
    """Raw bytes to and from a board, by a plain socket."""

    def __init__(self, url: str, timeout_s: float = 60) -> None:
        at = urlsplit(url)
        self.socket = socket.create_connection((at.hostname, at.port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hear(self, end: bytes) -> bytes:
        """What the board says up to `end` and with it."""
        while end not in self.rest:
            more = self.socket.recv(65536)
            assert more, f"the board is gone, it said {self.rest!r}"
            self.rest += more
        found, _, self.rest = self.rest.partition(end)
        return found + end

    def ask(self, command: bytes) -> bytes:
        self.say(command + b"%")
        return self.hear(b"m-ready\r\n")
