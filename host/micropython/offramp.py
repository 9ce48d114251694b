"""Drives a board with Offramp's firmware over a UART, from MicroPython: the host's end of firmware/LINK.md in one file.

    board = offramp.Board(UART(1, 115_200, tx=Pin(4), rx=Pin(5), rxbuf=512))
    scores = board.run(image).outputs[0]

One request is under way at a time, all buffers are allocated once, and an inference leaves little for the collector.
"""

import binascii
import random
import struct
import time
from array import array

import uctypes

from micropython import const

TYPE_CHECKING = const(0)  # type checkers take it for True; the compiler drops what follows
if TYPE_CHECKING:
    from io import BufferedReader
    from typing import Protocol

    from _mpy_shed import AnyReadableBuf

    class Stream(Protocol):
        """What a board's line needs; machine.UART is one. Neither waits long: None or 0 where nothing goes."""

        def readinto(self, __buf: bytearray) -> "int | None": ...
        def write(self, __buf: memoryview) -> "int | None": ...


# numbers: make generate
_MAJOR = const(1)
_PAYLOAD = const(256)
_REQUEST = const(1)
_REPLY = const(2)
_EVENT = const(3)
_HELLO = const(1)
_INFO = const(2)
_STATISTICS = const(3)
_RESET = const(4)
_RELEASE = const(5)
_MODEL_BEGIN = const(16)
_MODEL_CHUNK = const(17)
_MODEL_COMMIT = const(18)
_MODEL_ACTIVATE = const(19)
_MODEL_ROLL_BACK = const(20)
_INPUT = const(32)
_RUN = const(33)
_OUTPUT = const(34)
_RESET_STATE = const(35)
_FEED = const(36)
_POLICY = const(48)
_THRESHOLD = const(49)
_EXIT_POLICY = const(50)
_SOURCE = const(64)
_SOURCE_START = const(65)
_SOURCE_READ = const(66)
_SOURCE_STOP = const(67)
_EXPECTED = const(1)
_LOG = const(2)
_FAULT = const(3)
_LINK_E_SESSION = const(-66)
_LINK_E_INDEX = const(-68)
_CODES = (
    "1=hello,2=info,3=statistics,4=reset,5=release,16=model begin,17=model chunk,18=model commit,19=model"
    " activate,20=model roll back,32=input,33=run,34=output,35=reset state,36=feed,48=policy,49=threshold"
    ",50=exit policy,64=source,65=source start,66=source read,67=source stop"
)
_STATUSES = (
    "ARGUMENT,ALIGN,TRUNCATED,MAGIC,VERSION,CORE,CRC,STRUCTURE,PLAN,TERMINATOR,SEGMENT,TENSOR,MEMORY_KIND"
    ",SHAPE,DTYPE,KERNEL,PACKING,OPERANDS,PARAMS,VALUE,SCRATCH,OVERLAP,ARENA,STATE,UNBOUND,ORDER,EXIT,BUD"
    "GET,COST,CLOCK,FULL,FRONT_END,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,REQUEST,LENGTH,SESSION,NO_MODEL,INDEX,R"
    "ANGE,SLOT,ORDER,PLANS,FAMILY,BUDGET,CASCADE,MARGIN,EXIT,THRESHOLD,GATE,FRONT_END,SOURCE,STOPPED"
)
# end of numbers

_HEADER = const(4)
_CRC = const(4)
_FRAME = const(_HEADER + _PAYLOAD + _CRC + 4)  # two bytes of COBS, a zero at both ends
_ENCODED = const(_FRAME - 2)
_AT = const(_HEADER)  # where a payload begins
_INPUT_BYTES = const(_PAYLOAD - 8)  # an input's bytes in one request
_RIDING_BYTES = const(_PAYLOAD - 12)  # and with a run
_OUTPUT_BYTES = const(_PAYLOAD - 4)
_BLOB_BYTES = const(_PAYLOAD - 4)
_SLOT = const(1)
_BOARD_TOPIC, _MODEL_TOPIC, _INPUT_TOPIC, _OUTPUT_TOPIC, _STAGE_TOPIC = 0, 1, 3, 4, 6
_TYPECODES = "bBhif"  # array's letters, by a tensor's dtype
_TO_THE_END = const(0xFF)
_OF_THE_BLOB = const(0xFFFFFFFF)
_FIRST_RETRY_MS, _LEAST_RETRY_MS, _MOST_RETRY_MS = 250, 50, 2000


class LinkError(Exception):
    """Nothing came of a request; every other error of this module is one too."""


class Silent(LinkError):
    """The board has said nothing valid for the time limit."""


class Refused(LinkError):
    """The board answers with a status: its `name` and number `status`, numbers `found` and `allowed` (both 0: none),
    `step` and `tensor` to blame (-1: none). docs/status.md says what to do."""

    def __init__(self, code: int, reply: bytes) -> None:
        self.status, _, self.found, self.allowed, self.step, self.tensor = struct.unpack("<hHIIii", reply)
        self.name = _status_name(self.status)
        text = f"the board refuses '{_code_name(code)}': {self.name} ({self.status})"
        if self.step >= 0:
            text += f" at step {self.step}"
        if self.tensor >= 0:
            text += f", tensor {self.tensor}"
        if self.found or self.allowed:
            text += f": found {self.found}, allowed {self.allowed}"
        super().__init__(text)


class Restarted(Refused):
    """The board has started again since `connect`: call it, then set policies and load models as at first."""


class Tensor:
    """`shape`, `typecode` (array's) and `n_bytes` of an input or output."""

    def __init__(self, shape: "tuple[int, ...]", typecode: str, n_bytes: int) -> None:
        self.shape, self.typecode, self.n_bytes = shape, typecode, n_bytes


class Result:
    """What a run gave; the next run overwrites it.

    `outputs`: arrays; at an exit its answer alone. `exit`: by which the run left, None at the end. `plan` gave the
    outputs, `plans_run` ran. `ticks`: 0 unless measured. `confidence` of the exit's answer, 0 to 65535."""

    def __init__(self) -> None:
        self.outputs: list[array[int] | array[float]] = []
        self.exit: int | None = None
        self.plan = self.plans_run = self.ticks = self.confidence = 0


class _Room:
    """Arrays for what a run gives, and their bytes."""

    def __init__(self, tensors: "list[Tensor]") -> None:
        self.outputs: list[array[int] | array[float]] = []
        self.views: list[memoryview] = []
        for tensor in tensors:
            values = array(tensor.typecode, bytes(tensor.n_bytes))
            self.outputs.append(values)
            self.views.append(memoryview(uctypes.bytearray_at(uctypes.addressof(values), tensor.n_bytes)))


class Decoder:
    """Finds frames in bytes as they come. `body[:n_bytes]` is the header and payload of the last one."""

    def __init__(self) -> None:
        self.body = bytearray(_ENCODED)
        self.n_bytes = self.bad_frames = 0
        self._filled = 0  # encoded bytes since the last zero; _ENCODED + 1: too many

    def feed(self, data: bytearray, at: int, end: int) -> int:
        """Takes data[at:end] up to where a frame ends; returns where to go on. `n_bytes` is 0 if none has ended."""
        body, filled = self.body, self._filled
        self.n_bytes = 0
        while at < end:
            byte = data[at]
            at += 1
            if byte:
                if filled < _ENCODED:
                    body[filled] = byte
                    filled += 1
                else:
                    filled = _ENCODED + 1
            elif filled:
                self.n_bytes = _decode(body, filled)
                filled = 0
                if self.n_bytes:
                    break
                self.bad_frames += 1
        self._filled = filled
        return at


def _decode(data: bytearray, n: int) -> int:
    """Decodes COBS in place; bytes of header and payload, 0 if this is no frame."""
    if n > _ENCODED:
        return 0
    at = out = 0
    while at < n:
        block = data[at]
        end = at + block
        if end > n:
            return 0
        at += 1
        while at < end:
            data[out] = data[at]
            out += 1
            at += 1
        if block < 255 and at < n:
            data[out] = 0
            out += 1
    body = out - _CRC
    if not _HEADER <= body <= _HEADER + _PAYLOAD:
        return 0
    crc: int = struct.unpack_from("<I", data, body)[0]
    return body if binascii.crc32(memoryview(data)[:body]) == crc else 0


def encode(body: bytearray, n: int, frame: bytearray) -> int:
    """Writes body[:n], header and payload, as a frame; returns its bytes. `body` has room for a CRC behind n."""
    struct.pack_into("<I", body, n, binascii.crc32(memoryview(body)[:n]))
    frame[0] = 0
    block, at = 1, 2
    for i in range(n + _CRC):
        if at - block == 255:
            frame[block] = 255
            block = at
            at += 1
        byte = body[i]
        if byte:
            frame[at] = byte
        else:
            frame[block] = at - block
            block = at
        at += 1
    frame[block] = at - block
    frame[at] = 0
    return at + 1


class Board:
    """Starts a session with the board at the other end of `uart` and asks what its model takes and gives.

    `timeout_ms` is how long the board may stay silent: more than its slowest run. `name`, `firmware` (its version),
    `model` (its name, "" if none is active), `n_plans`, `inputs` and `outputs` say what there is.
    """

    def __init__(self, uart: "Stream", timeout_ms: int = 10_000) -> None:
        self.uart, self.timeout_ms = uart, timeout_ms
        self.result = Result()
        self._decoder = Decoder()
        self._reply = memoryview(self._decoder.body)
        self._request = bytearray(_HEADER + _PAYLOAD + _CRC)
        self._payload = memoryview(self._request)[_AT:]
        self._frame = bytearray(_FRAME)
        self._sending = memoryview(self._frame)
        self._chunk = bytearray(64)
        self._at = self._end = 0  # of what is still to be read in _chunk
        self._eight_round_trips_ms = 2 * _FIRST_RETRY_MS
        self._sequence = 0
        self.connect()

    def connect(self) -> None:
        """Starts a new session, on a board in whatever state."""
        nonce = random.getrandbits(30) ^ time.ticks_us()  # another than last time, whoever seeded
        self._sequence = nonce & 0xFFFF
        struct.pack_into("<I", self._payload, 0, nonce)
        self._ask(_HELLO, 4)
        major, minor, _, payload, _, echo = struct.unpack_from("<BBHHHI", self._reply, _AT + 4)
        if major != _MAJOR or payload < _PAYLOAD or echo != nonce:
            raise LinkError(
                f"the board speaks link {major}.{minor}, this module {_MAJOR}.x: update one of them"
            )
        self._describe()

    def run(
        self,
        *inputs: "AnyReadableBuf",
        reset_state: bool = False,
        plan: "int | None" = None,
        to_the_end: bool = False,
        measure: bool = False,
    ) -> Result:
        """One inference on the bytes of each input, arrays or bytes. `plan` runs, whatever the policy says;
        `to_the_end` takes no exit."""
        flags = reset_state | measure << 1 | to_the_end << 3 | (0 if plan is None else plan + 1 << 4)
        tail = self._write_inputs(inputs)
        struct.pack_into("<BBH", self._payload, 0, 0, flags, 0)
        n = self._ask(_RUN, 4 + tail)
        _, at, left, ran, plans_run, _, ticks = struct.unpack_from("<hHBBBBI", self._reply, _AT)
        result = self.result
        result.exit, result.plan = None if left == _TO_THE_END else left, ran
        result.plans_run, result.ticks = plans_run or 1, ticks
        result.confidence = self._reply[_AT + 12] | self._reply[_AT + 13] << 8 if at > 12 else 0
        room = self._room if left == _TO_THE_END else self._answers[ran << 8 | left]
        result.outputs = room.outputs
        self._read_outputs(room.views, at, n - at)
        return result

    def load(self, path: str) -> None:
        """Sends a blob (.ofr) from this board's file system into the other one's RAM and activates it.
        Refused: `model` says which one, if any, is active then."""
        try:
            with open(path, "rb") as blob:
                self._transfer(blob)
        except Refused:
            self._describe()
            raise
        self._describe()

    def roll_back(self) -> None:
        """Activates the model that is linked into the firmware."""
        self._ask(_MODEL_ROLL_BACK, 0)
        self._describe()

    def set_policy(self, kind: str, value: "int | None" = None) -> None:
        """Which plan runs where `run` names none: "plan" number `value`, the dearest within a "budget" of instructions,
        a "cascade" with a margin (None: the blob's own), or the one that the blob's "gate" names."""
        number = ("plan", "budget", "cascade", "gate").index(kind)
        plan = value or 0 if kind == "plan" else 0
        value = 0 if kind in ("plan", "gate") else _OF_THE_BLOB if value is None else value
        struct.pack_into("<BBBBI", self._payload, 0, 0, number, plan, 0, value)
        self._ask(_POLICY, 8)

    def set_threshold(self, exit: int, value: int, plan: int = 0) -> None:
        """From which confidence on, 0 to 65535, runs leave by an exit."""
        struct.pack_into("<BBBBI", self._payload, 0, 0, plan, exit, 0, value)
        self._ask(_THRESHOLD, 8)

    def set_exit_budget(self, instructions: int, plan: int = 0) -> None:
        """The most instructions that a run of a plan with exits may take; 0: no limit."""
        self._payload[:32] = bytes(32)
        struct.pack_into("<BBBBI", self._payload, 0, 0, plan, 0, 0, instructions)
        self._ask(_EXIT_POLICY, 32)

    def reset_state(self) -> None:
        """Sets the model's state to its initial values."""
        self._payload[0] = 0
        self._ask(_RESET_STATE, 1)

    def reset(self) -> None:
        """Starts the board again and connects to it."""
        try:
            self._ask(_RESET, 0)
        except Restarted:
            pass  # its reply was lost, and the request came again to a board that had started
        self.connect()

    def release(self) -> None:
        """The line carries text again; `connect` takes it back."""
        self._ask(_RELEASE, 0)

    def _transfer(self, blob: "BufferedReader") -> None:
        n_bytes = blob.seek(0, 2)
        blob.seek(0)
        struct.pack_into("<II", self._payload, 0, _SLOT, n_bytes)
        self._ask(_MODEL_BEGIN, 8)
        part = self._payload[4 : 4 + _BLOB_BYTES]
        for at in range(0, n_bytes, _BLOB_BYTES):
            n = blob.readinto(part)
            struct.pack_into("<I", self._payload, 0, at)
            self._ask(_MODEL_CHUNK, 4 + n)
        self._ask(_MODEL_COMMIT, 0)
        self._payload[0] = _SLOT
        self._ask(_MODEL_ACTIVATE, 1)

    def _describe(self) -> None:
        """Asks for names, inputs, outputs and exits."""
        n = self._info(_BOARD_TOPIC)
        self.firmware, self.name = self._text(n).split("\0")[:2]
        n = self._info(_MODEL_TOPIC)
        self.model = self._text(n)
        n_inputs, n_outputs, _, self.n_plans = struct.unpack_from("<HHHH", self._reply, _AT + 36)
        self.inputs = [self._tensor(_INPUT_TOPIC, i) for i in range(n_inputs)]
        self.outputs = [self._tensor(_OUTPUT_TOPIC, i) for i in range(n_outputs)]
        self._room = _Room(self.outputs)
        self._answers: dict[int, _Room] = {}
        for plan in range(self.n_plans):
            self._describe_exits(plan << 8)

    def _describe_exits(self, index: int) -> None:
        try:
            self._info(_STAGE_TOPIC, index)
        except Refused as refused:
            if refused.status != _LINK_E_INDEX:
                raise
            return  # firmware without exits
        for i in range(index, index + self._reply[_AT + 4]):
            self._info(_STAGE_TOPIC, i)
            dtype = self._reply[_AT + 14]
            n_bytes: int = struct.unpack_from("<I", self._reply, _AT + 24)[0]
            self._answers[i] = _Room([Tensor((), _TYPECODES[dtype], n_bytes)])

    def _info(self, topic: int, index: int = 0) -> int:
        struct.pack_into("<BBH", self._payload, 0, topic, 0, index)
        return self._ask(_INFO, 4)

    def _text(self, n: int) -> str:
        """The variable part of a reply of n bytes."""
        at = self._reply[_AT + 2]
        return str(self._reply[_AT + at : _AT + n], "utf-8")

    def _tensor(self, topic: int, index: int) -> Tensor:
        self._info(topic, index)
        _, at, n_bytes, dtype, rank = struct.unpack_from("<hHIHB", self._reply, _AT)
        shape = struct.unpack_from(f"<{rank}i", self._reply, _AT + at)
        return Tensor(shape, _TYPECODES[dtype], n_bytes)

    def _write_inputs(self, inputs: "tuple[AnyReadableBuf, ...]") -> int:
        """Sends inputs but for the end of the last, which waits in the payload to ride with a run: its bytes."""
        if len(inputs) != len(self.inputs) and self.model:
            raise ValueError(f"{len(inputs)} inputs were given; the model takes {len(self.inputs)}")
        tail = 0
        for i, tensor in enumerate(self.inputs):
            data = _bytes_of(inputs[i], i, tensor)
            at, n = 0, tensor.n_bytes
            rides = _RIDING_BYTES if i + 1 == len(self.inputs) else 0
            while n - at > rides:
                part = min(n - at, _INPUT_BYTES)
                self._put_part(0, i, at, data[at : at + part])
                self._ask(_INPUT, 8 + part)
                at += part
            if at < n:
                self._put_part(4, i, at, data[at:])
                tail = 8 + n - at
        return tail

    def _put_part(self, where: int, index: int, at: int, data: memoryview) -> None:
        struct.pack_into("<BBHI", self._payload, where, 0, index, 0, at)
        self._payload[where + 8 : where + 8 + len(data)] = data

    def _read_outputs(self, views: "list[memoryview]", at: int, n: int) -> None:
        """Fills the views from n bytes at `at` of the reply, and with what had no room in it."""
        start = _AT + at
        for view in views:
            part = min(len(view), _AT + at + n - start)
            view[:part] = self._reply[start : start + part]
            start += part
        for i, view in enumerate(views):
            part = min(len(view), n)
            n -= part
            while part < len(view):
                part += self._fetch(i, view, part)

    def _fetch(self, index: int, view: memoryview, at: int) -> int:
        struct.pack_into("<BBHII", self._payload, 0, 0, index, 0, at, min(len(view) - at, _OUTPUT_BYTES))
        n = self._ask(_OUTPUT, 12) - 4
        if n <= 0:
            raise LinkError(
                f"the board has no more of output {index} than {at} bytes; {len(view)} were stated"
            )
        view[at : at + n] = self._reply[_AT + 4 : _AT + 4 + n]
        return n

    def _ask(self, code: int, n: int) -> int:
        """Sends n bytes of payload and waits for the reply: its bytes. Refused, Silent."""
        self._sequence = self._sequence + 1 & 0xFFFF
        struct.pack_into("<BBH", self._request, 0, _REQUEST, code, self._sequence)
        self._await(code, encode(self._request, _HEADER + n, self._frame))
        n = self._decoder.n_bytes - _HEADER
        status: int = struct.unpack_from("<h", self._reply, _AT)[0]
        if status < 0:
            kind = Restarted if status == _LINK_E_SESSION else Refused
            raise kind(code, bytes(self._reply[_AT : _AT + 20]))
        return n

    def _await(self, code: int, n_frame: int) -> None:
        """Sends the frame, again where it or its reply may be lost, until its reply is in the decoder."""
        wait_ms = min(max(self._eight_round_trips_ms // 2, _LEAST_RETRY_MS), _MOST_RETRY_MS)
        sent = heard = time.ticks_ms()
        self._write(n_frame)
        while True:
            bad = self._decoder.bad_frames
            found = self._receive()
            now = time.ticks_ms()
            if found:
                heard = now
                if self._is_reply(code):
                    break
            elif time.ticks_diff(now, heard) > self.timeout_ms:
                raise Silent(self._silence(code))
            late = time.ticks_diff(now, sent) > wait_ms
            if late or self._decoder.bad_frames > bad or (found and self._is_missed()):
                sent = now
                self._write(n_frame)
                wait_ms = min(2 * wait_ms, _MOST_RETRY_MS) if late else wait_ms
        self._eight_round_trips_ms += time.ticks_diff(now, sent) - self._eight_round_trips_ms // 8

    def _silence(self, code: int) -> str:
        text = f"no answer to '{_code_name(code)}' within {self.timeout_ms} ms: "
        if code == _HELLO:
            return text + "check wires, baud rate, and that the board runs Offramp's firmware"
        return text + "reset the board, or raise timeout_ms if its model is slow"

    def _is_reply(self, code: int) -> bool:
        body = self._decoder.body
        mine = body[0] == _REPLY and body[1] == code and body[2] | body[3] << 8 == self._sequence
        return mine and self._decoder.n_bytes >= _HEADER + 4

    def _is_missed(self) -> bool:
        """Whether the board says that it waits for the request under way."""
        body = self._decoder.body
        expected = body[0] == _EVENT and body[1] == _EXPECTED and self._decoder.n_bytes >= _HEADER + 2
        return expected and body[4] | body[5] << 8 == self._sequence

    def _receive(self) -> bool:
        """Whether a frame has come; waits a millisecond if nothing has."""
        if self._at == self._end:
            self._at, self._end = 0, self.uart.readinto(self._chunk) or 0
            if not self._end:
                time.sleep_ms(1)
                return False
        self._at = self._decoder.feed(self._chunk, self._at, self._end)
        return self._decoder.n_bytes > 0

    def _write(self, n: int) -> None:
        """Sends the frame's n bytes; a buffer that stays full loses them, as a line may."""
        at, start = 0, time.ticks_ms()
        while at < n and time.ticks_diff(time.ticks_ms(), start) < _MOST_RETRY_MS:
            at += self.uart.write(self._sending[at:n]) or 0


def _bytes_of(data: "AnyReadableBuf", index: int, tensor: Tensor) -> memoryview:
    """The bytes of an input: a copy where its numbers are wider than one."""
    view = memoryview(data) if tensor.typecode in "bB" else memoryview(bytes(data))
    if len(view) != tensor.n_bytes:
        raise ValueError(f"input {index}: {len(view)} bytes were given; the model takes {tensor.n_bytes}")
    return view


def _code_name(code: int) -> str:
    for entry in _CODES.split(","):
        number, name = entry.split("=")
        if int(number) == code:
            return name
    return f"request {code}"


def _status_name(status: int) -> str:
    names = _STATUSES.split(",")
    if -len(names) <= status < 0 and names[-1 - status]:
        return "LINK_E_" * (status <= -64) + "OFR_E_" * (status > -64) + names[-1 - status]
    return "unknown status"
