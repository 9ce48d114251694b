"""What a person reads when a line does not work: each says what was wrong, for how long, and a way out."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import serial

from offramp.errors import UserError
from offramp_host import link
from offramp_host.device import Device
from offramp_host.link import Code, Frame, Kind
from offramp_host.session import RefusedError

OK = bytes(4)


@contextmanager
def line_end(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A socket that somebody else's firmware might be behind."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)


def until_closed(connection: socket.socket) -> None:
    with contextlib.suppress(ConnectionError):
        while connection.recv(4096):
            pass


def test_silent_board_is_given_up() -> None:
    with (
        line_end(until_closed) as url,
        pytest.raises(
            UserError, match=r"no Offramp board answers; waited \d+\.\d s for 'hello'; it sent nothing"
        ),
    ):
        Device(url, timeout_s=0.5)


def test_other_firmware_is_quoted() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"\r\nBlinky 2.0 ready\r\n")
        until_closed(connection)

    with line_end(serve) as url, pytest.raises(UserError, match=r"it sent 'Blinky 2\.0 ready'") as caught:
        Device(url, timeout_s=0.5)
    assert "baud rate" in caught.value.hint


def test_closed_line_says_so() -> None:
    with (
        line_end(lambda c: c.sendall(b"fault: hard pc=00001234\n")) as url,
        pytest.raises(UserError) as caught,
    ):
        Device(url, timeout_s=5)
    assert "closed" in caught.value.message
    assert "fault: hard pc=00001234" in caught.value.message


def test_the_greeting_is_not_told_of_a_line_that_closes_later() -> None:
    def serve(connection: socket.socket, said: bytes) -> None:
        connection.sendall(b"offramp 0.2.0 on a_board\r\n")
        decoder = link.Decoder()
        while not (requests := decoder.feed(connection.recv(4096))):
            pass
        reply = hello_of(1)(requests[0])
        connection.sendall(link.encode(Frame(Kind.REPLY, Code.HELLO, requests[0].sequence, reply)))
        connection.recv(4096)
        connection.sendall(said)

    waited = "waited for its reply"
    for said, wanted in ((b"", waited), (b"assert!\n", f"{waited}; it sent 'assert!'")):
        with (
            line_end(lambda c, said=said: serve(c, said)) as url,  # type: ignore[misc]
            Device(url, timeout_s=2) as device,
            pytest.raises(UserError) as caught,
        ):
            device.statistics()
        assert caught.value.message.endswith(wanted)


def answer(connection: socket.socket, replies: Callable[[Frame], bytes]) -> None:
    decoder = link.Decoder()
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(4096):
            for request in decoder.feed(data):
                reply = Frame(Kind.REPLY, request.code, request.sequence, replies(request))
                connection.sendall(link.encode(reply))


def hello_of(major: int) -> Callable[[Frame], bytes]:
    fixed = bytes([0, 0, 0, 0, major, 0, 4, 0, 0, 1, 0, 2])
    refusal = b"\xbe\xff" + bytes(10) + b"\xff" * 8  # LINK_E_SESSION
    return lambda request: fixed + request.payload if request.code == Code.HELLO else refusal


def test_other_version_is_refused() -> None:
    with (
        line_end(lambda c: answer(c, hello_of(2))) as url,
        pytest.raises(UserError, match=r"link version 2\.0; this host speaks 1\.x"),
    ):
        Device(url, timeout_s=2)


def test_board_that_restarted_is_noticed() -> None:
    with (
        line_end(lambda c: answer(c, hello_of(1))) as url,
        Device(url, timeout_s=2) as device,
        pytest.raises(RefusedError, match="started again"),
    ):
        device.statistics()


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UserError, match="nobody answers there"):
        Device(f"socket://127.0.0.1:{port}")


@pytest.mark.parametrize("url", ["socket://127.0.0.1:99999", "no_such_scheme://x"])
def test_malformed_url(url: str) -> None:
    with pytest.raises(UserError, match=url):
        Device(url)


def test_missing_port_lists_what_is_there() -> None:
    with pytest.raises(UserError, match="no such port; ports here: "):
        Device("/dev/ttyNONE0")


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (serial.SerialException(errno.EACCES, "Permission denied"), "permission denied", "dialout"),
        (serial.SerialException(errno.EBUSY, "Resource busy"), "busy", "Close the serial monitor"),
        (serial.SerialException("Could not exclusively lock port"), "busy", "Close the serial monitor"),
        (serial.SerialException("something else"), "something else", "name of the port"),
    ],
)
def test_port_that_does_not_open(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str, hint: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(serial, "serial_for_url", fail)
    with pytest.raises(UserError, match=message) as caught:
        Device("/dev/ttyACM0")
    assert hint in caught.value.hint
    assert "/dev/ttyACM0" in caught.value.message


def board(connection: socket.socket, lost: dict[Code, list[int]], wait_s: float) -> None:
    """Of each code the line loses these requests, counted from 0; the first of each but hello takes `wait_s`, and
    copies wait meanwhile, as in a board's buffer."""
    seen: dict[Code, int] = {}

    def reply(request: Frame) -> bytes | None:
        code = Code(request.code)
        n = seen[code] = seen.get(code, -1) + 1
        if n == 0 and code != Code.HELLO:
            time.sleep(wait_s)
        if n in lost.get(code, []):
            return None
        return hello_of(1)(request) if code == Code.HELLO else OK

    decoder = link.Decoder()
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(4096):
            for request in decoder.feed(data):
                if (payload := reply(request)) is not None:
                    frame = Frame(Kind.REPLY, request.code, request.sequence, payload)
                    connection.sendall(link.encode(frame))


@pytest.mark.parametrize(
    ("lost", "wait_s", "errors"),
    [
        ({}, 0.0, 0),
        ({Code.HELLO: [0, 1]}, 0.0, 0),  # it boots
        ({}, 1.0, 0),  # it computes, while copies of the request wait
        ({Code.RESET_STATE: [0]}, 0.0, 1),
        ({Code.RESET_STATE: [0, 1]}, 0.0, 2),
        ({Code.HELLO: [0], Code.RESET_STATE: [1]}, 0.0, 1),
    ],
)
def test_errors_of_the_line_are_what_was_lost(
    lost: dict[Code, list[int]], wait_s: float, errors: int
) -> None:
    with line_end(lambda c: board(c, lost, wait_s)) as url, Device(url, timeout_s=5) as device:
        for _ in range(3):
            device.reset_state()
        assert device.line_errors == errors
        device.reconnect()
        assert device.line_errors == errors


def test_a_new_session_counts_from_where_it_stands() -> None:
    with line_end(lambda c: board(c, {Code.HELLO: [1, 2]}, 0.0)) as url, Device(url, timeout_s=5) as device:
        device.reset_state()
        device.reconnect()
        device.reset_state()
        assert device.line_errors == 0
