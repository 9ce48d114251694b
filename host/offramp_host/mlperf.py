"""A board that speaks MLPerf Tiny's text protocol: loads inputs, runs them, reads results and times."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from offramp.errors import UserError
from offramp_host import link
from offramp_host.link import Code, Frame, Kind
from offramp_host.port import PortClosedError, open_port

CHUNK_BYTES = 31
"""Most bytes of an input in one command: what the public runner sends."""
READY = "m-ready"
_SYNC_S = 0.5
_SYNC_TRIES = 10
_QUIET_S = 0.1
_LAP = re.compile(r"m-lap-us-(\d+)")
_RESULTS = re.compile(r"m-results-\[([^]]*)]")
_ERROR = re.compile(r"e-\[(.*)]")
_SILENT = (
    "flash firmware that speaks MLPerf Tiny's protocol (`offramp build FILE --mlperf`), "
    "and check port and baud rate"
)
_SLOW = "raise the time limit, or ask for shorter windows; if it still says nothing, reset the board"

Log = Callable[[str], None]


@dataclass(frozen=True)
class Identity:
    """What the board says of itself; `model` is the benchmark's name: kws01, ic01, vww01 or ad01."""

    name: str
    profile: str
    model: str


@dataclass(frozen=True)
class Inference:
    """Of `n` runs: how long they took by the board's counter, and the results of the last."""

    n: int
    elapsed_us: int
    results: tuple[float, ...]


class TextDevice:
    """A context manager. `url` is a device name or a pyserial URL; `log` gets each line as "> sent" or "< received".

    `timeout_s` is how long the board may say nothing while it owes an answer: longer than all runs of an `infer`.
    """

    def __init__(
        self, url: str, *, timeout_s: float, baud_rate: int = 115200, log: Log = lambda line: None
    ) -> None:
        self.url, self.timeout_s, self._log = url, timeout_s, log
        self._rest = b""
        self._port = open_port(url, baud_rate)
        try:
            self._synchronize()
        except BaseException:
            self._port.close()
            raise

    def __enter__(self) -> TextDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._port.close()

    def command(self, text: str) -> list[str]:
        """The lines of the answer before m-ready; UserError where one is an error or the board says nothing."""
        self._send(text)
        lines: list[str] = []
        while (line := self._line(self.timeout_s, text)) != READY:
            lines.append(line)
        for line in lines:
            if found := _ERROR.fullmatch(line):
                raise UserError(
                    f"{self.url}: the board answers '{text[:40]}' with: {found[1]}",
                    "the firmware is to be built for this model: `offramp build FILE --mlperf`",
                )
        return lines

    def identify(self) -> Identity:
        """What `name` and `profile` answer; UserError where a part is missing."""
        lines = self.command("name") + self.command("profile")
        found = {
            key: match[1]
            for key, pattern in (("name", "name-dut"), ("profile", "profile"), ("model", "model"))
            for line in lines
            if (match := re.fullmatch(rf"m-{pattern}-\[([^]]+)]", line))
        }
        if set(found) != {"name", "profile", "model"}:
            raise UserError(
                f"{self.url}: name and profile are answered by {' / '.join(lines) or 'nothing'}",
                "flash firmware that speaks MLPerf Tiny's protocol: `offramp build FILE --mlperf`",
            )
        return Identity(**found)

    def load(self, data: bytes) -> None:
        """Sends the bytes of an input; UserError unless the board says that it has all of them."""
        self.command(f"db load {len(data)}")
        lines: list[str] = []
        for at in range(0, len(data), CHUNK_BYTES):
            lines = self.command(f"db {data[at : at + CHUNK_BYTES].hex()}")
        if "m-load-done" not in lines:
            raise UserError(
                f"{self.url}: after {len(data)} bytes the board does not say m-load-done",
                "a byte was lost on the line: try again, or at a lower baud rate",
            )

    def infer(self, n: int, warmups: int) -> Inference:
        """n runs of what was loaded, after some that are not timed."""
        lines = self.command(f"infer {n} {warmups}")
        laps = [int(found[1]) for line in lines if (found := _LAP.fullmatch(line))]
        results = [found[1] for line in lines if (found := _RESULTS.fullmatch(line))]
        if len(laps) != 2 or len(results) != 1:
            raise UserError(
                f"{self.url}: 'infer' is answered by {len(laps)} times and {len(results)} results: "
                + " / ".join(lines),
                "two times and one line of results belong there: a byte was lost on the line",
            )
        values = tuple(float(value) for value in results[0].split(",") if value.strip())
        return Inference(n, laps[1] - laps[0], values)

    def _synchronize(self) -> None:
        """Until an empty command is answered: from after a half command, from frames, from before the board's start."""
        for attempt in range(_SYNC_TRIES):
            if attempt == 2:
                self._release()
            self._send("")
            try:
                while self._line(_SYNC_S, "") != READY:
                    pass
                self._drain()
                return
            except UserError as error:
                silence = error
        raise silence

    def _release(self) -> None:
        """A board that takes frames goes back to text."""
        hello = link.encode(Frame(Kind.REQUEST, Code.HELLO, 0, os.urandom(4)))
        self._write(hello + link.encode(Frame(Kind.REQUEST, Code.RELEASE, 1, b"")))
        self._drain()

    def _drain(self) -> None:
        while self._read(_QUIET_S):
            pass
        self._rest = b""

    def _send(self, text: str) -> None:
        self._log(f"> {text}%")
        self._write(f"{text}%".encode("ascii"))

    def _line(self, wait_s: float, asked: str) -> str:
        """The next line that is not empty; UserError after wait_s of silence."""
        heard = time.monotonic()
        while True:
            line, end, rest = self._rest.partition(b"\n")
            if end:
                self._rest = rest
                text = line.decode("ascii", "replace").replace("\r", "").replace("\0", "")
                if text:
                    self._log(f"< {text}")
                    return text
                continue
            left = heard + wait_s - time.monotonic()
            if left <= 0:
                raise UserError(
                    f"{self.url}: no answer to '{asked[:40]}%' in {wait_s:g} s",
                    _SLOW if asked.startswith("infer ") else _SILENT,
                )
            if more := self._read(left):
                self._rest += more
                heard = time.monotonic()

    def _read(self, wait_s: float) -> bytes:
        try:
            return self._port.read(wait_s)
        except PortClosedError as error:
            raise self._gone() from error

    def _write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except PortClosedError as error:
            raise self._gone() from error

    def _gone(self) -> UserError:
        return UserError(
            f"{self.url}: the board is gone", "check the cable, or whether the emulator still runs"
        )


def inferences_of(device: TextDevice, parts: Sequence[bytes]) -> list[Inference]:
    """One timed run of each part, without warmups."""
    found = []
    for part in parts:
        device.load(part)
        found.append(device.infer(1, 0))
    return found
