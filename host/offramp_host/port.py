"""Opens the line to a board: any pyserial URL, with sockets served directly for speed."""

from __future__ import annotations

import errno
import select
import socket
import urllib.parse
from typing import Any, Protocol

import serial
from serial.tools import list_ports

from offramp.errors import UserError

_CONNECT_TIMEOUT_S = 5.0
_READ_BYTES = 65536


class PortClosedError(Exception):
    """The other end is gone."""


class Port(Protocol):
    """A line to a board."""

    def read(self, wait_s: float) -> bytes:
        """What has come; waits up to wait_s for the first byte. PortClosedError if nothing can come."""
        ...

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


def open_port(url: str, baud_rate: int) -> Port:
    """`url` is a device name or a pyserial URL; UserError if it cannot be opened."""
    if url.startswith("socket://"):
        return _SocketPort(url)
    try:
        return _SerialPort(serial.serial_for_url(url, baudrate=baud_rate, exclusive=True))
    except ValueError as error:
        raise UserError(
            f"{url}: {error}", "A port is a device name or a URL such as socket://host:2000."
        ) from error
    except (OSError, serial.SerialException) as error:
        raise _cannot_open(url, error) from error


def _cannot_open(url: str, error: Exception) -> UserError:
    number = getattr(error, "errno", None)
    text = str(error)
    if number == errno.EACCES or "Permission denied" in text:
        return UserError(
            f"{url}: permission denied",
            "On Linux: sudo usermod -aG dialout $USER, then log in again.",
        )
    if number == errno.EBUSY or "exclusively lock" in text or "PermissionError" in text:
        return UserError(
            f"{url} is busy: another program has it open", "Close the serial monitor that uses it."
        )
    if number == errno.ENOENT or "FileNotFoundError" in text:
        ports = ", ".join(sorted(port.device for port in list_ports.comports())) or "none"
        return UserError(
            f"{url}: there is no such port; ports here: {ports}", "Plug the board in, or name its port."
        )
    return UserError(f"{url} cannot be opened: {text}", "Check the name of the port.")


class _SocketPort:
    def __init__(self, url: str) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
            address = (parts.hostname or "", parts.port or 0)
        except ValueError as error:
            raise UserError(
                f"{url}: {error}", "Write socket://host:port, the port from 1 to 65535."
            ) from error
        try:
            self._socket = socket.create_connection(address, _CONNECT_TIMEOUT_S)
        except OSError as error:
            raise UserError(
                f"{url}: nobody answers there ({error.strerror or error})",
                "Start the emulator or the bridge first.",
            ) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, wait_s: float) -> bytes:
        try:
            if not select.select([self._socket], [], [], wait_s)[0]:
                return b""
            data = self._socket.recv(_READ_BYTES)
        except OSError as error:
            raise PortClosedError from error
        if not data:
            raise PortClosedError
        return data

    def write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise PortClosedError from error

    def close(self) -> None:
        self._socket.close()


class _SerialPort:
    def __init__(self, port: Any) -> None:
        self._port = port

    def read(self, wait_s: float) -> bytes:
        try:
            self._port.timeout = wait_s
            first = self._port.read(1)
            self._port.timeout = 0
            return bytes(first + self._port.read(_READ_BYTES)) if first else b""
        except (OSError, serial.SerialException) as error:
            raise PortClosedError from error

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (OSError, serial.SerialException) as error:
            raise PortClosedError from error

    def close(self) -> None:
        self._port.close()
