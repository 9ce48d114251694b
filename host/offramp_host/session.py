"""Gets every request answered exactly once, in order, over a line that may lose, damage or repeat bytes."""

from __future__ import annotations

import os
import re
import struct
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

from offramp.errors import UserError
from offramp_host import link
from offramp_host.link import Code, Event, Frame, Kind
from offramp_host.port import Port, PortClosedError
from offramp_host.status import status, statuses

_LEAST_RETRY_S, _MOST_RETRY_S = 0.02, 2.0
_LEAST_REPEAT_S, _MOST_REPEAT_S = 0.002, 0.1
_HELLO_RETRY_S = 0.25
_REFUSAL = struct.Struct("<hHIIii")
_HELLO_REPLY = struct.Struct("<hHBBHHHI")
_FAULT = re.compile(r"fault: \S+ pc=[0-9a-f]{8}")

Request = tuple[Code, bytes]


class LineError(UserError):
    """The line is closed, or the board silent: nothing more will come without a new session."""


# Of the numbers that a refusal states, by its status; others are indices, ids and parameters.
UNITS = {
    **dict.fromkeys(("OFR_E_TRUNCATED", "OFR_E_SCRATCH", "OFR_E_ARENA", "OFR_E_STATE"), "bytes"),
    **dict.fromkeys(("LINK_E_LENGTH", "LINK_E_RANGE", "LINK_E_SLOT", "LINK_E_ORDER"), "bytes"),
    "LINK_E_BUDGET": "instructions",
}


class RefusedError(UserError):
    """The board answered a request with an error status."""

    def __init__(self, name: str, code: Code, payload: bytes, unit: str = "") -> None:
        self._of = name, code, payload
        value, _, found, allowed, step, tensor = _REFUSAL.unpack(
            payload[: _REFUSAL.size].ljust(_REFUSAL.size, b"\0")
        )
        self.status = status(value)
        self.step, self.tensor, self.found, self.allowed = step, tensor, found, allowed
        where = f" at step {step}" if step >= 0 else ""
        where += f", tensor {tensor}" if tensor >= 0 else ""
        unit = unit or UNITS.get(self.status.name, "")
        found_, allowed_ = (f"{n} {unit}".rstrip() for n in (found, allowed))
        numbers = f" (found {found_}, allowed {allowed_})" if found or allowed else ""
        asked = code.name.lower().replace("_", " ")
        self.why = f"{self.status.name}, {self.status.text}{where}{numbers}"
        super().__init__(f"{name} refuses '{asked}': {self.why}", self.status.remedy)

    def counted_in(self, unit: str) -> RefusedError:
        """The same where the numbers are a budget's, in the unit that it was given in."""
        return RefusedError(*self._of, unit) if self.status.name == "OFR_E_BUDGET" else self


@dataclass
class _Outstanding:
    sequence: int
    code: Code
    frame: bytes
    began_at: float
    sent_at: float
    sends: int = 1
    reply: bytes | None = None


class Session:
    """Opens with a hello; `timeout_s` is how long the board may say nothing valid while a request waits."""

    def __init__(
        self, port: Port, name: str, timeout_s: float, on_log: Callable[[str], None] | None = None
    ) -> None:
        self.name, self.timeout_s = name, timeout_s
        self._port, self._on_log = port, on_log
        self._lost = self._not_counted = 0
        self._impatient: list[tuple[int, float]] = []
        self._decoder = link.Decoder()
        self._outstanding: deque[_Outstanding] = deque()
        self._round_trip_s = _HELLO_RETRY_S / 4
        self._greeting = ""
        self.connect()

    def connect(self) -> None:
        """Starts a session, on a board in whatever state: what goes wrong until it stands is no error of the line."""
        errors = self.line_errors
        try:
            self._greet()
        finally:
            self._impatient.clear()
            self._not_counted += self.line_errors - errors

    def _greet(self) -> None:
        self._window, self._receive_bytes = 1, link.BODY_BYTES
        self._outstanding.clear()
        self._next = int.from_bytes(os.urandom(2), "little")
        nonce = os.urandom(4)
        _, _, major, minor, window, payload_bytes, receive_bytes, echo = _HELLO_REPLY.unpack_from(
            self.request(Code.HELLO, nonce)
        )
        if (
            major != link.VERSION[0]
            or payload_bytes < link.PAYLOAD_BYTES
            or echo != int.from_bytes(nonce, "little")
        ):
            raise UserError(
                f"{self.name} speaks link version {major}.{minor}; this host speaks {link.VERSION[0]}.x",
                "Update the firmware or the host tools.",
            )
        self._window, self._receive_bytes = window, receive_bytes
        self._greeting = self._decoder.text

    @property
    def line_errors(self) -> int:
        """Damaged frames that came, and requests that were sent again because they or their replies were lost, while a
        session stood."""
        return self._decoder.bad_frames + self._lost - self._not_counted

    def request(self, code: Code, payload: bytes = b"") -> bytes:
        """The payload of the reply; RefusedError if it says an error."""
        [reply] = self.exchange([(code, payload)])
        return reply

    def exchange(
        self, requests: Iterable[Request], window: int | None = None
    ) -> Generator[bytes, None, None]:
        """Payloads of the replies in order, with up to `window` requests outstanding.

        After a refusal no further request is sent; RefusedError follows once the others are answered.
        """
        limit = min(window or self._window, self._window)
        source = iter(requests)
        ahead = next(source, None)
        try:
            while ahead is not None or self._outstanding:
                while ahead is not None and self._fits(ahead, limit):
                    self._send(*ahead)
                    ahead = next(source, None)
                done = self._await_oldest()
                assert done.reply is not None
                if struct.unpack_from("<h", done.reply)[0] < 0:
                    raise RefusedError(self.name, done.code, done.reply)
                yield done.reply
        except (Exception, GeneratorExit):
            # What has been sent must be answered, or the board would wait for a number that never comes.
            # Not where a signal ends the program: it is not to wait for a board.
            while self._outstanding:
                self._await_oldest()
            raise

    def announce(self, code: Code) -> None:
        """Sends a request whose answer nobody waits for; nothing may follow it."""
        self._port.write(link.encode(Frame(Kind.REQUEST, code, self._next, b"")))

    def _fits(self, request: Request, limit: int) -> bool:
        """Whether the board's receive buffer holds it, should the oldest request keep the board busy."""
        if not self._outstanding:
            return True
        waiting = sum(len(item.frame) for item in list(self._outstanding)[1:])
        bytes_at_most = len(request[1]) + link.HEADER_BYTES + link.CRC_BYTES + 4
        return len(self._outstanding) < limit and waiting + bytes_at_most <= self._receive_bytes

    def _send(self, code: Code, payload: bytes) -> None:
        frame, now = link.encode(Frame(Kind.REQUEST, code, self._next, payload)), time.monotonic()
        self._outstanding.append(_Outstanding(self._next, code, frame, now, now))
        self._next = (self._next + 1) & 0xFFFF
        self._write(frame)

    def _resend(self, item: _Outstanding, impatient: bool = False) -> None:
        """`impatient`: for no reason but the time that has passed."""
        item.sent_at = time.monotonic()
        item.sends += 1
        if impatient:
            self._impatient.append((item.sequence, item.sent_at))
        else:
            self._lost += 1
        self._write(item.frame)

    def _await_oldest(self) -> _Outstanding:
        oldest = self._outstanding[0]
        started = heard = asked = time.monotonic()
        wait_s = first_wait_s = min(max(4 * self._round_trip_s, _LEAST_RETRY_S), _MOST_RETRY_S)
        while oldest.reply is None:
            now = time.monotonic()
            if now - heard > self.timeout_s:
                self._outstanding.clear()
                raise self._silent(oldest.code, now - started)
            if now - asked > wait_s:
                self._resend(oldest, impatient=True)
                asked, wait_s = now, min(2 * wait_s, _MOST_RETRY_S)
            bad = self._decoder.bad_frames
            for frame in self._read(asked + wait_s - now, oldest.code):
                heard = asked = time.monotonic()
                wait_s = first_wait_s
                self._take(frame)
            if self._decoder.bad_frames > bad and oldest.reply is None:
                self._resend_if_due(oldest)  # the damaged frame may have been its reply
        return self._outstanding.popleft()

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.REPLY:
            self._take_reply(frame)
        elif frame.kind == Kind.EVENT and frame.code == Event.EXPECTED and len(frame.payload) >= 2:
            self._take_expected(struct.unpack_from("<H", frame.payload)[0])
        elif frame.kind == Kind.EVENT and frame.code == Event.LOG and self._on_log is not None:
            self._on_log(frame.payload.decode("utf-8", "replace"))

    def _take_reply(self, frame: Frame) -> None:
        item = next((item for item in self._outstanding if item.sequence == frame.sequence), None)
        self._judge(frame.sequence, item)
        if item is None or item.code != frame.code or item.reply is not None or len(frame.payload) < 4:
            return
        self._measure(time.monotonic() - item.sent_at, sure=item.sends == 1)
        item.reply = frame.payload
        if _status_name(frame.payload) == "LINK_E_SESSION":
            self._outstanding.clear()
            raise RefusedError(self.name, item.code, frame.payload)
        # The board answers in order, so the replies to earlier requests are lost.
        for earlier in self._outstanding:
            if earlier is item:
                break
            if earlier.reply is None:
                self._resend_if_due(earlier)

    def _judge(self, sequence: int, item: _Outstanding | None) -> None:
        """A board that was slow answers every copy of a request before it answers what was sent after them: copies
        without an answer by then, or their answers, were lost."""
        if item is None or item.reply is not None:
            again = next((copy for copy in self._impatient if copy[0] == sequence), None)
            if again is not None:
                self._impatient.remove(again)
            return
        lost = [copy for copy in self._impatient if copy[1] < item.began_at]
        self._lost += len(lost)
        del self._impatient[: len(lost)]

    def _measure(self, since_last_send_s: float, sure: bool) -> None:
        """Which copy of a request was answered is unknown, but a time since the last can only be too short."""
        if sure or since_last_send_s > self._round_trip_s:
            self._round_trip_s += (since_last_send_s - self._round_trip_s) / 8

    def _take_expected(self, sequence: int) -> None:
        """The board lacks this request: it and all after it go out again."""
        missing = [item for item in self._outstanding if item.reply is None]
        while missing and missing[0].sequence != sequence:
            missing.pop(0)
        if missing and self._resend_if_due(missing[0]):
            for item in missing[1:]:
                self._resend(item)

    def _resend_if_due(self, item: _Outstanding) -> bool:
        """Several complaints about one loss arrive within a round trip; only the first counts."""
        since_s = time.monotonic() - item.sent_at
        due = item.sends == 1 or since_s > min(max(self._round_trip_s / 2, _LEAST_REPEAT_S), _MOST_REPEAT_S)
        if due:
            self._resend(item)
        return due

    def _read(self, wait_s: float, code: Code) -> list[Frame]:
        try:
            return self._decoder.feed(self._port.read(max(wait_s, 0.0)))
        except PortClosedError:
            raise self._gone(code) from None

    def _write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except PortClosedError:
            # What the board said last may still wait to be read.
            self._read(0.0, self._outstanding[0].code)

    def _silent(self, code: Code, waited_s: float) -> LineError:
        asked = code.name.lower().replace("_", " ")
        said = self._last_words(code)
        if code is Code.HELLO:
            return LineError(
                f"{self.name}: no Offramp board answers; waited {waited_s:.1f} s for '{asked}'{said}",
                "Check the port, its baud rate, and that the board runs Offramp's firmware.",
            )
        return LineError(
            f"{self.name}: the board stopped answering; waited {waited_s:.1f} s for '{asked}'{said}",
            "Reset the board, or raise the time limit if its model is slow.",
        )

    def _gone(self, code: Code) -> LineError:
        self._outstanding.clear()
        asked = code.name.lower().replace("_", " ")
        return LineError(
            f"{self.name}: the line was closed while '{asked}' waited for its reply{self._last_words(code)}",
            "The board or the emulator has stopped; connect it again.",
        )

    def _last_words(self, code: Code) -> str:
        """What came beside frames since the session began; what the board said as it started has no part in it."""
        text = self._decoder.text.removeprefix(self._greeting)
        if fault := _FAULT.search(text):
            return f"; the firmware stopped on a {fault[0]}"
        if text.strip():
            return f"; it sent {text.strip()[-60:]!r}"
        return "; it sent nothing" if code is Code.HELLO else ""


def _status_name(payload: bytes) -> str:
    value = struct.unpack_from("<h", payload)[0]
    return statuses()[value].name if value in statuses() else ""
