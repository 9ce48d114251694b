"""A board with Offramp's firmware at the other end of a line: its info, its model, inferences, ticks."""

from __future__ import annotations

import contextlib
import itertools
import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from offramp.errors import UserError
from offramp.ir import without_batch
from offramp_host import link
from offramp_host.dtype import DTYPE_OF
from offramp_host.exits import (
    ExitPolicy,
    ExitPolicySet,
    Outcome,
    StageInfo,
    exit_index,
    read_stages,
    threshold_request,
)
from offramp_host.link import Code
from offramp_host.port import PortClosedError, open_port
from offramp_host.session import LineError, RefusedError, Request, Session
from offramp_host.source import SourceInfo, capture, source_info
from offramp_host.told import (
    BoardInfo,
    FrontEndInfo,
    Info,
    ModelInfo,
    PlanInfo,
    Policy,
    Result,
    Statistics,
    TensorInfo,
)

__all__ = [
    "BoardInfo",
    "Device",
    "ExitPolicy",
    "ExitPolicySet",
    "FrontEndInfo",
    "Info",
    "LineError",
    "ModelInfo",
    "Outcome",
    "PlanInfo",
    "Policy",
    "RefusedError",
    "Result",
    "SourceInfo",
    "StageInfo",
    "Statistics",
    "TensorInfo",
]

Array = NDArray[Any]
Row = Array | Sequence[Array]
State = Literal["carry", "reset"]
PolicyKind = Literal["plan", "budget", "cascade", "gate"]
Plan = int | str
"""A plan of a family by its number or name."""

SOURCES = {0: "linked", 1: "slot"}
SLOT = 1

_TOPIC_BOARD, _TOPIC_MODEL, _TOPIC_KERNELS, _TOPIC_INPUT, _TOPIC_OUTPUT, _TOPIC_PLAN, _TOPIC_STAGE = range(7)
_TOPIC_FRONT_END = 7
_RESET_STATE, _MEASURE, _MEASURE_STEPS, _TO_THE_END = 1, 2, 4, 8
_PLAN_SHIFT = 4
_POLICIES: dict[PolicyKind, int] = {"plan": 0, "budget": 1, "cascade": 2, "gate": 3}
_MARGIN_OF_THE_BLOB = 0xFFFFFFFF
_BOARD = struct.Struct("<hHBBBBHHII")
_MODEL = struct.Struct("<hHBBhIIiiIIIHHHH")
_TENSOR = struct.Struct("<hHIHBB")
_STATISTICS = struct.Struct("<hHIIIIIIII")
_PLAN = struct.Struct("<hHIIIHH")
_POLICY = struct.Struct("<BBBBI")
_POLICY_REPLY = struct.Struct("<hHII")
_RUN_REPLY = struct.Struct("<hHII")
_PART = struct.Struct("<BBHI")
_RUN = struct.Struct("<BBH")
_FRONT_END = struct.Struct("<hHHHHHHHIII")
_FEED_REPLY = struct.Struct("<hHHBB")
_RAN_TO_THE_END = 0xFF
_CHUNK_BYTES = link.PAYLOAD_BYTES - 4
_INPUT_BYTES = link.PAYLOAD_BYTES - _PART.size
_FEED_BYTES = link.PAYLOAD_BYTES - 4
_LAST_INPUT_BYTES = _INPUT_BYTES - _RUN.size
_OUTPUT_BYTES = link.PAYLOAD_BYTES - 4


class Device:
    """Opens `url` (a device name or any pyserial URL) and starts a session with the board there.

    `timeout_s` is how long the board may stay silent while it owes an answer: more than its slowest run.
    A context manager.
    """

    def __init__(
        self,
        url: str,
        *,
        baud_rate: int = 115_200,
        timeout_s: float = 10.0,
        on_log: Callable[[str], None] | None = None,
    ) -> None:
        self.url = url
        self._port = open_port(url, baud_rate)
        self._info: Info | None = None
        self._until_run = 0  # raw bytes; 0: nothing was fed
        try:
            self._session = Session(self._port, url, timeout_s, on_log)
        except BaseException:
            self._port.close()
            raise

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the port back to text and closes it; does not wait for the board."""
        with contextlib.suppress(PortClosedError):
            self._session.announce(Code.RELEASE)
        self._port.close()

    def info(self) -> Info:
        """What the board says of itself and its model; asked once for each model."""
        if self._info is None:
            model, n_inputs, n_outputs = self._model_info()
            self._info = Info(
                board=self._board_info(),
                model=model,
                inputs=tuple(self._tensor_info(_TOPIC_INPUT, i) for i in range(n_inputs)),
                outputs=tuple(self._tensor_info(_TOPIC_OUTPUT, i) for i in range(n_outputs)),
                plans=self._plans(model),
                front_end=self._front_end() if model.source else None,
            )
        return self._info

    def load_model(
        self, model: Path | str | bytes, *, progress: Callable[[int, int], None] | None = None
    ) -> Info:
        """Sends a blob into the board's RAM and activates it; `progress` gets bytes sent and bytes in all."""
        blob = model if isinstance(model, bytes) else Path(model).read_bytes()
        self._info = None
        self._until_run = 0
        for _ in self._session.exchange(_transfer(blob, progress)):
            pass
        return self.info()

    def roll_back(self) -> Info:
        """Activates the model that is linked into the firmware."""
        self._info = None
        self._until_run = 0
        self._session.request(Code.MODEL_ROLL_BACK)
        return self.info()

    def run(
        self,
        inputs: Row,
        *,
        state: State = "carry",
        measure: bool = False,
        plan: Plan | None = None,
        to_the_end: bool = False,
    ) -> Result:
        """One inference. With `measure`, nothing interrupts it and the result says its ticks.

        `plan` runs, whatever the policy says; `to_the_end` takes no exit, and times each stage for budgets in ticks.
        """
        rows = self.stream([inputs], state=state, measure=measure, plan=plan, to_the_end=to_the_end)
        return next(iter(list(rows)))

    def stream(
        self,
        rows: Iterable[Row],
        *,
        state: State = "carry",
        window: int | None = None,
        measure: bool = False,
        plan: Plan | None = None,
        to_the_end: bool = False,
    ) -> Generator[Result, None, None]:
        """Results in the order of the rows, each of which runs once; `window` limits requests under way."""
        info = self._info_with_model()
        flags = (_RESET_STATE if state == "reset" else 0) | (_MEASURE if measure else 0)
        flags |= _TO_THE_END if to_the_end else 0
        flags |= 0 if plan is None else (1 + self._plan_index(plan)) << _PLAN_SHIFT
        rest = list(_output_requests(info))
        requests = (
            request for row in rows for request in [*_run_requests(_check(row, info.inputs), flags, 0), *rest]
        )
        replies = self._session.exchange(requests, window)
        n_inputs = len(_run_requests([bytes(t.n_bytes) for t in info.inputs], 0, 0))
        while group := list(itertools.islice(replies, n_inputs + len(rest))):
            yield _result(group[n_inputs - 1 :], rest, info, measure)

    def feed(self, raw: Array, *, measure: bool = False, to_the_end: bool = False) -> Iterator[Result]:
        """Raw samples through the model's front end, going on from those fed before: a result whenever a run is due.

        `raw` is whole elements; what does not complete a window waits on the board for the next call.
        """
        info = self._info_with_model()
        if info.front_end is None:
            raise UserError(
                f"{self.url}: the model names no front end, or the firmware has none",
                "Pack it with --front-end.",
            )
        rest = list(_output_requests(info))
        flags = (_MEASURE if measure else 0) | (_TO_THE_END if to_the_end else 0)
        run: list[Request] = [(Code.RUN, _RUN.pack(0, flags, 0)), *rest]
        pieces = list(self._pieces(raw.tobytes(), info.front_end))
        requests = (request for piece, due in pieces for request in [_feed(piece), *(run if due else [])])
        replies = self._session.exchange(requests)
        for piece, due in pieces:
            taken, is_due = _FEED_REPLY.unpack_from(next(replies))[2:4]
            if (taken, bool(is_due)) != (len(piece), due):
                raise UserError(
                    f"{self.url}: the front end took {taken} of {len(piece)} bytes",
                    "Reset the state before samples that do not follow those fed before.",
                )
            if due:
                yield _result(list(itertools.islice(replies, len(run))), rest, info, measure)

    def _pieces(self, raw: bytes, front_end: FrontEndInfo) -> Iterator[tuple[bytes, bool]]:
        """Pieces that fit a request and end where a run is due, and whether one is."""
        most = _FEED_BYTES // front_end.element_bytes * front_end.element_bytes
        at = 0
        while at < len(raw):
            if self._until_run == 0:
                self._until_run = front_end.first_run * front_end.element_bytes
            piece = raw[at : at + min(most, self._until_run)]
            at += len(piece)
            self._until_run -= len(piece)
            due = self._until_run == 0
            if due:
                self._until_run = front_end.next_run * front_end.element_bytes
            yield piece, due

    def profile(self, inputs: Row | None = None, *, plan: Plan = 0) -> list[int]:
        """Ticks of each step of a plan, its state as after a load; inputs are zeros unless given."""
        info = self._info_with_model()
        index = self._plan_index(plan)
        flags = _RESET_STATE | _MEASURE_STEPS | (1 + index) << _PLAN_SHIFT
        row = [np.zeros(t.shape, t.dtype) for t in info.inputs] if inputs is None else inputs
        parts = _check(row, info.inputs)
        ticks: list[int] = []
        while len(ticks) < info.plans[index].n_steps:
            *_, reply = self._session.exchange(_run_requests(parts, flags, len(ticks)))
            found = reply[_RUN_REPLY.unpack_from(reply)[1] :]
            ticks += struct.unpack(f"<{len(found) // 4}I", found)
        return ticks

    def set_policy(self, kind: PolicyKind, value: Plan | None = None, to: Plan | None = None) -> Policy:
        """Which plan runs from now on where `run` names none, until another model is loaded.

        "plan": the plan `value`; "budget": the dearest within so many instructions; "cascade": the cheapest, and where
        the two largest values of output 0 differ by less than `value` the plan `to` on the same inputs, or without one
        the next dearer, and so on; with None for `value` the blob's own margin and plan 0 (RefusedError where the blob
        states none); "gate": the one that the blob's gate names, a plan that runs first (RefusedError where the blob
        holds none).
        """
        plan = self._plan_index(0 if value is None else value) if kind == "plan" else 0
        after = 0 if to is None or kind != "cascade" else 1 + self._plan_index(to)
        number = 0 if kind == "gate" else _MARGIN_OF_THE_BLOB if value is None else value
        if kind != "plan" and not (isinstance(number, int) and 0 <= number <= _MARGIN_OF_THE_BLOB):
            raise UserError(
                f"policy {kind}: {value!r} is no number from 0 to {_MARGIN_OF_THE_BLOB}",
                "Pass instructions or a margin.",
            )
        if kind == "budget" and value is None:
            raise UserError(
                "policy budget: no instructions were given", "Pass the instructions of one inference."
            )
        request = _POLICY.pack(0, _POLICIES[kind], plan, after, 0 if kind == "plan" else int(number))
        reply = self._session.request(Code.POLICY, request)
        return Policy(*_POLICY_REPLY.unpack_from(reply)[2:])

    def statistics(self, plan: int = 0) -> Statistics:
        """`exit_runs` are of the plan; the rest is of all."""
        reply = self._session.request(Code.STATISTICS, bytes([plan]) if plan else b"")
        _, exits_at, *fixed = _STATISTICS.unpack_from(reply)
        of_plans = _words(reply[_STATISTICS.size : exits_at or len(reply)])
        return replace(
            Statistics(*fixed),
            loads=of_plans[0] if of_plans else None,
            plan_runs=of_plans[1:],
            exit_runs=_words(reply[exits_at:]) if exits_at else (),
        )

    def set_threshold(self, exit_: int | str, value: int, *, plan: Plan = 0) -> None:
        """From which confidence on, 0 to 65535, runs leave by this exit (number or name); holds until the next load."""
        index = self._plan_index(plan)
        where = exit_index(self._info_with_model().plans[index].stages, exit_, self.url)
        self._session.request(Code.THRESHOLD, threshold_request(index, where, value))
        self._info = None

    def set_exit_policy(self, policy: ExitPolicy, *, plan: Plan = 0) -> ExitPolicySet:
        """How deep runs of the plan go from now on, until another model is loaded."""
        index = self._plan_index(plan)
        stages = self._info_with_model().plans[index].stages
        if len(stages) < 2:
            raise UserError(
                f"{self.url}: the model has no exits, there is nothing for an exit policy to decide",
                "Add exits with `offramp compress --exits auto`.",
            )
        try:
            return ExitPolicySet.of(self._session.request(Code.EXIT_POLICY, policy.request(index)))
        except RefusedError as error:
            raise error.counted_in(policy.unit) from None

    def source(self) -> SourceInfo:
        """The board's own sensor; UserError where the firmware has none."""
        return source_info(self._session)

    def capture(self, n: int, *, progress: Callable[[int], None] = lambda done: None) -> Array:
        """The next n samples of the board's own sensor, [n, channels], without a gap, or a UserError that says how many
        were lost; `progress` gets how many have come."""
        return capture(self._session, self.source(), n, progress)

    def reset_state(self) -> None:
        """Sets the model's state to its initial values."""
        self._session.request(Code.RESET_STATE, b"\0")
        self._until_run = 0

    def reset(self) -> None:
        """Restarts the board and connects to it again."""
        try:
            self._session.request(Code.RESET)
        except RefusedError as error:
            # Its reply was lost, and the repeated request found a board that had started again.
            if error.status.name != "LINK_E_SESSION":
                raise
        self.reconnect()

    def reconnect(self) -> None:
        """Starts a session anew over the same line: after RefusedError LINK_E_SESSION, which a reset board answers."""
        self._info = None
        self._until_run = 0
        self._session.connect()

    @property
    def line_errors(self) -> int:
        """Damaged frames that came from the board, and requests that were sent again, hellos aside."""
        return self._session.line_errors

    def _describe(self, topic: int, index: int = 0) -> bytes:
        return self._session.request(Code.INFO, struct.pack("<BBH", topic, 0, index))

    def _board_info(self) -> BoardInfo:
        reply = self._describe(_TOPIC_BOARD)
        _, texts_at, *versions, core, n_kernels, arena_bytes, slot_bytes = _BOARD.unpack_from(reply)
        firmware, board, compiler, cmsis_nn = reply[texts_at:].decode("utf-8", "replace").split("\0")[:4]
        kernels: list[int] = []
        while len(kernels) < n_kernels:
            found = self._describe(_TOPIC_KERNELS, len(kernels))[4:]
            kernels += struct.unpack(f"<{len(found) // 2}H", found)
        return BoardInfo(
            firmware_version=firmware,
            board=board,
            compiler=compiler,
            cmsis_nn_version=cmsis_nn,
            api_version=(versions[0], versions[1]),
            format_version=(versions[2], versions[3]),
            core=core,
            kernels=tuple(kernels),
            arena_bytes=arena_bytes,
            slot_bytes=slot_bytes,
        )

    def _model_info(self) -> tuple[ModelInfo, int, int]:
        reply = self._describe(_TOPIC_MODEL)
        _, name_at, source, _, value, found, allowed, step, tensor, crc, arena_bytes, state_bytes, *counts = (
            _MODEL.unpack_from(reply)
        )
        fault = struct.pack("<hHIIii", value, 0, found, allowed, step, tensor)
        n_inputs, n_outputs, n_steps, n_plans = counts
        model = ModelInfo(
            name=reply[name_at:].decode("utf-8", "replace"),
            source=SOURCES.get(source, ""),
            refused=RefusedError(self.url, Code.MODEL_ACTIVATE, fault) if value < 0 else None,
            crc=crc,
            arena_bytes=arena_bytes,
            state_bytes=state_bytes,
            n_steps=n_steps,
            n_plans=n_plans,
        )
        return model, n_inputs, n_outputs

    def _tensor_info(self, topic: int, index: int) -> TensorInfo:
        reply = self._describe(topic, index)
        _, shape_at, n_bytes, dtype, rank, _ = _TENSOR.unpack_from(reply)
        return TensorInfo(struct.unpack_from(f"<{rank}i", reply, shape_at), DTYPE_OF[dtype], n_bytes)

    def _plans(self, model: ModelInfo) -> tuple[PlanInfo, ...]:
        if model.n_plans <= 1:
            one = PlanInfo(model.name, 0, model.arena_bytes, model.state_bytes, model.n_steps)
            return tuple(replace(one, stages=self._stages(i)) for i in range(model.n_plans))
        return tuple(replace(self._plan_info(i), stages=self._stages(i)) for i in range(model.n_plans))

    def _stages(self, plan: int) -> tuple[StageInfo, ...]:
        try:
            return read_stages(lambda i: self._describe(_TOPIC_STAGE, plan << 8 | i))
        except RefusedError as error:
            if error.status.name != "LINK_E_INDEX":
                raise
            return ()  # firmware without exits

    def _front_end(self) -> FrontEndInfo | None:
        try:
            reply = self._describe(_TOPIC_FRONT_END)
        except RefusedError as error:
            if error.status.name not in ("LINK_E_INDEX", "LINK_E_FRONT_END"):
                raise
            return None
        return FrontEndInfo(*_FRONT_END.unpack_from(reply)[2:])

    def _plan_info(self, index: int) -> PlanInfo:
        reply = self._describe(_TOPIC_PLAN, index)
        _, name_at, instructions, arena_bytes, state_bytes, n_steps, _ = _PLAN.unpack_from(reply)
        name = reply[name_at:].decode("utf-8", "replace")
        return PlanInfo(name, instructions, arena_bytes, state_bytes, n_steps)

    def _plan_index(self, plan: Plan) -> int:
        names = [known.name for known in self._info_with_model().plans]
        if isinstance(plan, str) and names.count(plan) == 1:
            return names.index(plan)
        if isinstance(plan, int) and 0 <= plan < len(names):
            return plan
        raise UserError(
            f"{self.url}: the model has {'several plans' if plan in names else 'no plan'} {plan}",
            "Its plans: " + ", ".join(f"{i} {name}" for i, name in enumerate(names)),
        )

    def _info_with_model(self) -> Info:
        info = self.info()
        if not info.model.source:
            if info.model.refused is not None:
                raise info.model.refused
            raise UserError(
                f"{self.url}: the board has no model", "Load one with load_model, or link one in."
            )
        return info


def _transfer(blob: bytes, progress: Callable[[int, int], None] | None) -> Iterator[Request]:
    yield Code.MODEL_BEGIN, struct.pack("<BxxxI", SLOT, len(blob))
    for at in range(0, len(blob), _CHUNK_BYTES):
        chunk = blob[at : at + _CHUNK_BYTES]
        yield Code.MODEL_CHUNK, struct.pack("<I", at) + chunk
        if progress is not None:
            progress(at + len(chunk), len(blob))
    yield Code.MODEL_COMMIT, b""
    yield Code.MODEL_ACTIVATE, bytes([SLOT])


def _check(row: Row, inputs: Sequence[TensorInfo]) -> list[bytes]:
    """The bytes of each input; UserError if the row does not fit the model."""
    arrays = [row] if isinstance(row, np.ndarray) else list(row)
    if len(arrays) != len(inputs):
        raise UserError(
            f"{len(arrays)} inputs were given; the model has {len(inputs)}", "Pass one array an input."
        )
    for i, (array, tensor) in enumerate(zip(arrays, inputs, strict=True)):
        if array.dtype != tensor.dtype:
            raise UserError(
                f"input {i}: dtype {array.dtype}; the model takes {tensor.dtype}", "Quantize the input first."
            )
        flat = (array.size,) if array.size * tensor.dtype.itemsize == tensor.n_bytes else ()
        if array.shape not in (tensor.shape, without_batch(tensor.shape), flat):
            raise UserError(
                f"input {i}: shape {array.shape}; the model takes {tensor.shape}",
                "Reshape the input, or pass it flat.",
            )
    return [np.ascontiguousarray(array).tobytes() for array in arrays]


def _run_requests(inputs: Sequence[bytes], flags: int, step: int) -> list[Request]:
    """Input parts and the run; the end of the last input rides with the run."""
    run = _RUN.pack(0, flags, step)
    requests: list[Request] = []
    for i, data in enumerate(inputs):
        kept = 0 if i + 1 < len(inputs) else _last_part_bytes(len(data))
        body = len(data) - kept
        for at in range(0, body, _INPUT_BYTES):
            requests.append((Code.INPUT, _PART.pack(0, i, 0, at) + data[at : min(at + _INPUT_BYTES, body)]))
        if kept:
            run += _PART.pack(0, i, 0, body) + data[body:]
    return [*requests, (Code.RUN, run)]


def _last_part_bytes(n: int) -> int:
    """What is left of n bytes once whole parts are taken off, as much as rides with a run."""
    return min(n % _INPUT_BYTES or _INPUT_BYTES, _LAST_INPUT_BYTES)


def _feed(piece: bytes) -> Request:
    return Code.FEED, bytes(4) + piece


def _run_reply_bytes(info: Info) -> int:
    """What comes before the outputs."""
    return _RUN_REPLY.size + (Outcome.BYTES if info.plans[0].stages else 0)


def _output_requests(info: Info) -> Iterator[Request]:
    """What the reply to a run has no room for, by whichever exit it leaves."""
    exits = [s.exit.n_bytes for plan in info.plans for s in plan.stages if s.exit is not None]
    room = link.PAYLOAD_BYTES - _run_reply_bytes(info)
    for i, tensor in enumerate(info.outputs):
        at = min(tensor.n_bytes, room)
        room -= at
        end = max(tensor.n_bytes, *exits) if exits and i == 0 else tensor.n_bytes
        for offset in range(at, end, _OUTPUT_BYTES):
            yield (
                Code.OUTPUT,
                _PART.pack(0, i, 0, offset) + struct.pack("<I", min(_OUTPUT_BYTES, end - offset)),
            )


def _result(replies: Sequence[bytes], rest: Sequence[Request], info: Info, measured: bool) -> Result:
    """From the reply to a run and those with the rest of its outputs, as `rest` asked for them."""
    run = replies[0]
    _, outputs_at, left_at, ticks = _RUN_REPLY.unpack_from(run)
    left, plan, plans_run = left_at & 0xFF, left_at >> 8 & 0xFF, left_at >> 16 & 0xFF
    exit_ = None if left == _RAN_TO_THE_END else left
    outcome = Outcome.of(run[_RUN_REPLY.size :]) if outputs_at > _RUN_REPLY.size else None
    return Result(
        _outputs(run[outputs_at:], replies[1:], rest, _ends_with(info, plan, exit_)),
        exit_,
        ticks if measured else None,
        plan,
        plans_run or 1,  # firmware with link 1.0 does not say it
        outcome,
    )


def _ends_with(info: Info, plan: int, exit_: int | None) -> Sequence[TensorInfo]:
    """What a run gives that ends by this exit."""
    if exit_ is None:
        return info.outputs
    found = info.plans[plan].stages[exit_].exit
    assert found is not None
    return [TensorInfo(found.shape, found.dtype, found.n_bytes)]


def _outputs(
    head: bytes, tails: Sequence[bytes], rest: Sequence[Request], tensors: Sequence[TensorInfo]
) -> list[Array]:
    found = [bytearray(t.n_bytes) for t in tensors]
    for data in found:
        part, head = head[: len(data)], head[len(data) :]
        data[: len(part)] = part
    for (_, request), reply in zip(rest, tails, strict=True):
        _, i, _, offset = _PART.unpack_from(request)
        if i < len(found):
            found[i][offset : offset + len(reply) - 4] = reply[4:]
    return [
        np.frombuffer(bytes(data), t.dtype).reshape(t.shape) for data, t in zip(found, tensors, strict=True)
    ]


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
