"""A stand-in for the boot loader in an ESP32's ROM: SLIP over TCP, for the genuine esptool with `--no-stub`.

Written from Espressif's documentation: esptool's manual, "Serial Protocol", and the chips' technical reference manuals
for registers. It has a serial flash and registers and runs no code: esptool's stub cannot start on it.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE = 0xC0, 0xDB, 0xDC, 0xDD
CHECKSUM_SEED = 0xEF
SECTOR, READ_SLOW_BYTES = 4096, 64
# Error bytes of a reply.
INVALID, FAILED, BAD_CHECKSUM, DEFLATE = 0x05, 0x06, 0x07, 0x0B
SYNC_VALUE = 0x2012_0707  # not 0, which is the stub's
MAGIC_REGISTER = 0x4000_1000
SPI_RUN, READ_ID, WINBOND = 1 << 18, 0x9F, 0x40EF
SYNC, WRITE_REG, READ_REG, FLASH_DATA, DEFLATED_DATA = 0x08, 0x09, 0x0A, 0x03, 0x11


@dataclass(frozen=True)
class Chip:
    """`id` is what security info tells, None where the ROM has no such command; `spi` is the flash's controller, with
    the offsets of its registers USR2 and W0; `begin_bytes` the length of what FLASH_BEGIN takes."""

    title: str
    id: int | None
    spi: int
    usr2: int
    w0: int
    begin_bytes: int
    flash_bytes: int
    registers: Mapping[int, int]


# Registers: the ROM's word that tells an ESP32, the UART's clock divider (40 MHz crystal), the MAC in eFuses.
CHIPS = {
    "esp32": Chip(
        *("ESP32", None, 0x3FF4_2000, 0x24, 0x80, 16, 4 << 20),
        {MAGIC_REGISTER: 0x00F0_1D83, 0x3FF4_0014: 347, 0x3FF5_A004: 0x0000_0001, 0x3FF5_A008: 0x0246},
    ),
    "esp32s3": Chip(
        *("ESP32-S3", 9, 0x6000_2000, 0x20, 0x58, 20, 8 << 20),
        {0x6000_0014: 347, 0x6000_7044: 0x0000_0002, 0x6000_7048: 0x0246},
    ),
    "esp32c3": Chip(
        *("ESP32-C3", 5, 0x6000_2000, 0x20, 0x58, 20, 4 << 20),
        {0x6000_0014: 347, 0x6000_8844: 0x0000_0003, 0x6000_8848: 0x0246},
    ),
}


@dataclass(frozen=True)
class Faults:
    """What goes wrong: a cell of the flash that takes a wrong bit, blocks of data (counted from 0 as they come, sent
    again or not) that are lost or damaged on the line, and no answer at all."""

    weak_cell: int | None = None
    lost: Container[int] = ()
    damaged: Container[int] = ()
    silent: bool = False


@dataclass
class Writing:
    """A transfer into the flash: where the next bytes go, which block comes next, how many bytes were erased."""

    at: int
    end: int
    inflate: Callable[[bytes], bytes]
    block: int = 0


@dataclass
class Refusal(Exception):
    error: int


@dataclass
class Rom:
    """The boot loader as a context: `url` is its port, `flash` what it wrote. Connections come one after another."""

    chip: Chip
    faults: Faults = Faults()
    flash: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.flash = bytearray(b"\xff" * self.chip.flash_bytes)
        self.registers = dict(self.chip.registers)
        self.attached, self.blocks = False, 0
        self.writing: Writing | None = None
        self.server = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.serve, daemon=True)

    @property
    def url(self) -> str:
        return f"socket://127.0.0.1:{self.server.getsockname()[1]}"

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(timeout=10)

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                for request in frames(connection):
                    for reply in () if self.faults.silent else self.replies(request):
                        connection.sendall(framed(reply))

    def replies(self, request: bytes) -> list[bytes]:
        """What comes back for one request; nothing for what is none."""
        if len(request) < 8 or request[0] != 0:
            return []
        _, command, length, checksum = struct.unpack("<BBHI", request[:8])
        data = request[8:]
        if command in (FLASH_DATA, DEFLATED_DATA):
            self.blocks += 1
            if self.blocks - 1 in self.faults.lost:
                return []
            if self.blocks - 1 in self.faults.damaged:
                data = data[:-1] + bytes([data[-1] ^ 0x10])
        value, found, error = 0, b"", 0
        try:
            if len(data) != length:
                raise Refusal(INVALID)
            value, found = self.answer(command, data, checksum)
        except Refusal as refusal:
            error = refusal.error
        body = found + bytes([error != 0, error, 0, 0])
        reply = struct.pack("<BBHI", 1, command, len(body), value) + body
        return [reply] * (8 if command == SYNC and not error else 1)

    def answer(self, command: int, data: bytes, checksum: int) -> tuple[int, bytes]:
        """Value and data of the reply."""
        if command == SYNC:
            return SYNC_VALUE, b""
        if command == READ_REG:
            [address] = words(data, 4)
            return self.registers.get(address, 0), b""
        if command == WRITE_REG:
            for i in range(0, len(data), 16):
                address, new, mask, _ = words(data[i : i + 16], 16)
                self.write_register(address, self.registers.get(address, 0) & ~mask | new & mask)
            return 0, b""
        if command not in COMMANDS:
            raise Refusal(INVALID)
        return 0, COMMANDS[command](self, data, checksum)

    def write_register(self, address: int, value: int) -> None:
        self.registers[address] = value
        spi = self.chip.spi
        if address == spi and value & SPI_RUN:
            if self.registers[spi + self.chip.usr2] & 0xFF == READ_ID:
                capacity = self.chip.flash_bytes.bit_length() - 1
                self.registers[spi + self.chip.w0] = capacity << 16 | WINBOND
            self.registers[address] = value & ~SPI_RUN

    def security_info(self, data: bytes, checksum: int) -> bytes:
        if self.chip.id is None:
            raise Refusal(INVALID)
        return struct.pack("<I8xII", 0, self.chip.id, 0)

    def attach(self, data: bytes, checksum: int) -> bytes:
        words(data, 8)
        self.attached = True
        return b""

    def begin(self, data: bytes, checksum: int) -> bytes:
        return self.erase(data, lambda block: block)

    def begin_deflated(self, data: bytes, checksum: int) -> bytes:
        return self.erase(data, zlib.decompressobj().decompress)

    def erase(self, data: bytes, inflate: Callable[[bytes], bytes]) -> bytes:
        size, _, _, at, *_ = words(data, self.chip.begin_bytes)
        end = -(-(at + size) // SECTOR) * SECTOR
        if at % SECTOR:
            raise Refusal(FAILED)
        self.within(at, end - at)
        self.flash[at:end] = b"\xff" * (end - at)
        self.writing = Writing(at, end, inflate)
        return b""

    def block(self, data: bytes, checksum: int) -> bytes:
        """One block: the next in order, whole and undamaged, into what was erased. Bits of a flash only go to 0."""
        length, number, _, _ = words(data[:16], 16)
        block, writing = data[16:], self.writing
        if len(block) != length:
            raise Refusal(INVALID)
        if checksum_of(block) != checksum:
            raise Refusal(BAD_CHECKSUM)
        if writing is None or number != writing.block:
            raise Refusal(FAILED)
        try:
            written = writing.inflate(block)
        except zlib.error:
            raise Refusal(DEFLATE) from None
        if writing.at + len(written) > writing.end:
            raise Refusal(FAILED)
        for at, byte in enumerate(written, writing.at):
            self.flash[at] &= byte ^ (0x08 if at == self.faults.weak_cell else 0)
        writing.at += len(written)
        writing.block += 1
        return b""

    def nothing(self, data: bytes, checksum: int) -> bytes:
        return b""

    def read_slow(self, data: bytes, checksum: int) -> bytes:
        at, size = words(data, 8)
        if size > READ_SLOW_BYTES:
            raise Refusal(FAILED)
        self.within(at, size)
        return bytes(self.flash[at : at + size]).ljust(READ_SLOW_BYTES, b"\0")

    def md5(self, data: bytes, checksum: int) -> bytes:
        at, size, _, _ = words(data, 16)
        self.within(at, size)
        return hashlib.md5(self.flash[at : at + size]).hexdigest().encode()

    def within(self, at: int, size: int) -> None:
        """The flash answers once its pins are attached, and has an end."""
        if not self.attached or at + size > self.chip.flash_bytes:
            raise Refusal(FAILED)


COMMANDS: Mapping[int, Callable[[Rom, bytes, int], bytes]] = {
    0x02: Rom.begin,
    FLASH_DATA: Rom.block,
    0x04: Rom.nothing,  # leaves the loader
    0x0B: Rom.nothing,  # the flash's sizes
    0x0D: Rom.attach,
    0x0E: Rom.read_slow,
    0x0F: Rom.nothing,  # another baud rate
    0x10: Rom.begin_deflated,
    DEFLATED_DATA: Rom.block,
    0x13: Rom.md5,
    0x14: Rom.security_info,
}


def words(data: bytes, length: int) -> tuple[int, ...]:
    """Words of 32 bits, little-endian; `length` is in bytes."""
    if len(data) != length:
        raise Refusal(INVALID)
    return struct.unpack(f"<{length // 4}I", data)


def checksum_of(block: bytes) -> int:
    total = CHECKSUM_SEED
    for byte in block:
        total ^= byte
    return total


def frames(connection: socket.socket) -> Iterator[bytes]:
    """The bytes between delimiters, escapes resolved, until the other side closes."""
    frame, escaped = bytearray(), False
    while received := received_from(connection):
        for byte in received:
            if byte == END:
                if frame:
                    yield bytes(frame)
                frame, escaped = bytearray(), False
            elif escaped:
                frame.append({ESCAPED_END: END, ESCAPED_ESCAPE: ESCAPE}.get(byte, byte))
                escaped = False
            elif byte == ESCAPE:
                escaped = True
            else:
                frame.append(byte)


def received_from(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""


def framed(payload: bytes) -> bytes:
    escapes = {END: bytes([ESCAPE, ESCAPED_END]), ESCAPE: bytes([ESCAPE, ESCAPED_ESCAPE])}
    inner = b"".join(escapes.get(byte, bytes([byte])) for byte in payload)
    return bytes([END]) + inner + bytes([END])
