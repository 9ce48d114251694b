"""Serves the live page: one HTML file, results as server-sent events, commands; to this machine, or with a token."""

from __future__ import annotations

import contextlib
import errno
import hmac
import importlib.resources
import ipaddress
import json
import secrets
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from offramp.errors import UserError
from offramp_host.monitor.feed import Feed
from offramp_host.monitor.stream import COMMANDS

PORT = 8765
_COMMANDS = tuple(command for command in COMMANDS if command != "quit")
_LONGEST_COMMAND = 32
_BETWEEN_S, _QUIET_S = 0.05, 1.0
_SOCKET_TIMEOUT_S = 20.0
_MOST_READERS = 16
_LAST_WORDS_S = 2.0
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Page:
    """Has its port from the start and serves as a context manager; `ask` takes the commands of readers.

    `token` None: readers on this machine need none, for others one is made up.
    """

    def __init__(
        self, feed: Feed, host: str = "127.0.0.1", port: int = PORT, token: str | None = None
    ) -> None:
        self.feed = feed
        self.ask: Callable[[str], None] = lambda command: None
        self.token = token or ("" if _is_local(host) else secrets.token_urlsafe(18))
        try:
            self._server = _Server((host, port), _Handler)
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        except OverflowError as error:
            raise UserError(f"--web-port {port}: it is 0 to 65535", "0 takes any free one") from error
        self._server.page = self
        query = f"?token={self.token}" if self.token else ""
        self.url = f"http://{host}:{self._server.server_address[1]}/{query}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> Page:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        limit = time.monotonic() + _LAST_WORDS_S
        while self._server.readers and time.monotonic() < limit:
            time.sleep(0.02)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    page: Page
    readers = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SOCKET_TIMEOUT_S
    server_version, sys_version = "offramp", ""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._may():
            return
        if path == "/":
            page = importlib.resources.files("offramp_host.monitor").joinpath("page.html").read_bytes()
            self._answer(HTTPStatus.OK, page, "text/html; charset=utf-8")
        elif path == "/events":
            self._stream()
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"there are / and /events\n")

    def do_POST(self) -> None:
        """A command. The header is one that another site's page cannot send without being allowed to."""
        if not self._may():
            return
        length = self.headers.get("Content-Length", "")
        if urlsplit(self.path).path != "/ask":
            self._answer(HTTPStatus.NOT_FOUND, b"there is /ask\n")
        elif self.headers.get("X-Offramp") != "monitor":
            self._answer(HTTPStatus.FORBIDDEN, b"the header X-Offramp: monitor is missing\n")
        elif not length.isdecimal() or int(length) > _LONGEST_COMMAND:
            self._answer(HTTPStatus.BAD_REQUEST, b"a command is one short word\n")
        elif (command := self.rfile.read(int(length)).decode("utf-8", "replace")) not in _COMMANDS:
            self._answer(HTTPStatus.BAD_REQUEST, f"commands: {', '.join(_COMMANDS)}\n".encode())
        else:
            self.server.page.ask(command)
            self._answer(HTTPStatus.OK, b"asked\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: stderr is for the person."""

    def _may(self) -> bool:
        """Whether the reader has the token; without one whether it asks for this machine by name, so that no other
        site's name leads here."""
        query = parse_qs(urlsplit(self.path).query)
        given = query.get("token", [""])[0]
        if self.server.page.token:
            allowed = hmac.compare_digest(given.encode(), self.server.page.token.encode())
        else:
            name = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
            allowed = _is_local(name)
        if not allowed:
            self._answer(HTTPStatus.FORBIDDEN, b"open the address that offramp monitor printed\n")
        return allowed

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        if self.server.readers >= _MOST_READERS:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, b"too many pages are open\n")
            return
        self.server.readers += 1
        with contextlib.suppress(OSError):
            self.send_response(HTTPStatus.OK)
            for name, value in {**_HEADERS, "Content-Type": "text/event-stream"}.items():
                self.send_header(name, value)
            self.end_headers()
            self._send_all(self.server.page.feed)
        self.server.readers -= 1

    def _send_all(self, feed: Feed) -> None:
        at = feed.start()
        while True:
            last = feed.is_closed
            at, message = feed.message(at, _QUIET_S)
            self.wfile.write(f"data: {json.dumps(message)}\n\n".encode())
            if last:
                return
            time.sleep(_BETWEEN_S)


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _cannot_listen(host: str, port: int, error: OSError) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(
            f"--web-port {port} of {host} is in use by another program",
            "close that program, or give another port; 0 takes any free one",
        )
    if error.errno == errno.EACCES:
        return UserError(f"--web-port {port}: this port needs more rights", "give one above 1023")
    return UserError(
        f"--host {host}: this machine has no such address ({error.strerror or error})",
        "127.0.0.1 for this machine alone, 0.0.0.0 for all that reach it",
    )
