"""Streams a source through a board and tells what happens; the one place that knows commands."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from offramp.errors import UserError
from offramp_host.device import Device, Result
from offramp_host.monitor.choices import Choices
from offramp_host.monitor.events import MOST_SCORES, Event, Lost, Message, Reading, State, Statistics, Wrote
from offramp_host.monitor.feeding import Rows, Sent
from offramp_host.monitor.line import Line, is_loss
from offramp_host.monitor.model import Model
from offramp_host.monitor.recording import Recording
from offramp_host.monitor.settings import Settings

COMMANDS = ("pause", "threshold+", "threshold-", "policy", "model", "record", "quit")
_PAUSE_S = 0.25


class Monitor:
    """`events` is run through once, by one thread; `ask` may be called from any."""

    def __init__(self, open_device: Callable[[Callable[[str], None]], Device], settings: Settings) -> None:
        self._settings = settings
        self._asked: deque[str] = deque()
        self._wake, self._quit = threading.Event(), threading.Event()
        self._log: deque[str] = deque()
        self._paused = False
        self._choices = Choices(settings)
        self._rows = Rows(settings.pace, settings.loop, settings.count)
        self._recording: Recording | None = None
        self._statistics_at = 0.0
        self._line = Line(lambda: open_device(self._log.append), self._set_up, settings.reconnect_s)
        try:
            self._rows.take_source(settings.source_for(self.model))
        except BaseException:
            self._line.close()
            raise

    @property
    def model(self) -> Model:
        return self._choices.model

    def ask(self, command: str) -> None:
        """One of COMMANDS; what it did comes among the events."""
        if command == "quit":
            self._quit.set()
        self._asked.append(command)
        self._wake.set()

    def events(self) -> Generator[Event, None, None]:
        """Until the source ends, the count is reached or "quit" is asked. UserError for what no waiting mends."""
        try:
            if self._settings.record_at_once:
                yield from self._begin_recording()
            yield self._state()
            while not (self._quit.is_set() or self._rows.are_over):
                try:
                    yield from self._turn()
                except UserError as error:
                    if not is_loss(error):
                        raise
                    yield from self._come_back(error)
            yield from self._said()
            if self._settings.statistics_s is not None and not self._quit.is_set():
                yield Statistics(self._line.device.statistics())
            yield from self._end_recording("")
            if self._rows.failure is not None:
                raise self._rows.failure
        finally:
            if self._recording is not None:
                self._recording.close()
            self._line.close()

    def _turn(self) -> Iterator[Event]:
        yield from self._said()
        if not self._rows.unanswered:  # or they would meet another model
            yield from self._obey()
        every = self._settings.statistics_s
        if every is not None and time.monotonic() >= self._statistics_at:
            self._statistics_at = time.monotonic() + every
            yield Statistics(self._line.device.statistics())
        wait_s = _PAUSE_S if self._paused else self._settings.pace.wait_s()
        if wait_s > 0:
            self._wake.wait(min(wait_s, _PAUSE_S))
        elif not self._quit.is_set():
            yield from self._answers()

    def _answers(self) -> Iterator[Event]:
        """Of the rows that are due."""
        # Where other requests follow on a real line, measuring would cost bytes that come meanwhile.
        measure = self._rows.one_by_one or self._settings.emulated is not None
        results = self._rows.results(
            *(self._line.device, self._is_interrupted),
            measure=measure,
            to_the_end=self._choices.way.to_the_end,
        )
        with contextlib.closing(results):
            for result in results:
                sent = self._rows.unanswered.popleft()
                self._line.ran()
                reading = self._reading(sent, result)
                if sent.begins and self._recording is not None and self._recording.rows:
                    yield from self._end_recording("the sound begins anew")
                if self._recording is not None:
                    self._recording.take(sent.given, result.outputs, result.exit, result.plan)
                yield reading
                yield from self._said()

    def _is_interrupted(self) -> bool:
        every = self._settings.statistics_s
        return self._wake.is_set() or (every is not None and time.monotonic() >= self._statistics_at)

    def _reading(self, sent: Sent, result: Result) -> Reading:
        plan = self.model.plans[result.plan]
        port = self.model.answer(result.plan, result.exit)
        emulator = self._settings.emulated.emulator if self._settings.emulated else None
        return Reading(
            row=sent.number,
            item=sent.item.name,
            model=self.model.name,
            plan=plan.name,
            exit=None if result.exit is None else plan.exits[result.exit].name,
            scores=tuple(self.model.scores(result.outputs[0], port, MOST_SCORES)),
            is_class=self.model.classifies,
            ticks=result.ticks,
            instructions=emulator.instructions(result.ticks or 0)
            if emulator and result.ticks is not None
            else None,
            latency_ms=1e3 * (time.monotonic() - sent.at),
            line_errors=self._line.line_errors,
            reconnects=self._line.reconnects,
            inputs=sent.item.inputs,
            outputs=tuple(result.outputs),
        )

    def _said(self) -> Iterator[Event]:
        while self._log:
            yield Message("board", self._log.popleft())

    def _come_back(self, error: UserError) -> Iterator[Event]:
        yield Lost(error.message)
        back = self._line.restore(error, self._quit)
        if back is None:
            return
        yield back
        if self._line.device.info().model.state_bytes or self._rows.source.new:
            yield from self._end_recording("the board's state began anew")
        self._settings.pace.rest()
        yield self._state()

    def _set_up(self, device: Device) -> None:
        self._choices.set_on(device)
        self._rows.begins = True

    def _state(self) -> State:
        info = self._line.device.info()
        stages = next((plan.stages for plan in info.plans if len(plan.stages) > 1), ())
        return State(
            *(info.board.board, self.model.name, self._rows.source.name, self._choices.way.name),
            thresholds=tuple((s.exit.name, s.exit.threshold) for s in stages if s.exit is not None),
            is_paused=self._paused,
            recording=str(self._recording.path) if self._recording is not None else None,
        )

    def _obey(self) -> Iterator[Event]:
        self._wake.clear()
        while self._asked:
            command = self._asked.popleft()
            try:
                yield from self._do(command)
            except UserError as error:
                if is_loss(error):
                    raise
                yield Message("monitor", f"{command}: {error.message}")
            yield self._state()

    def _do(self, command: str) -> Iterator[Event]:
        if command == "pause":
            self._paused = not self._paused
            self._settings.pace.rest()
        elif command in ("threshold+", "threshold-"):
            yield from self._move_thresholds(1 if command == "threshold+" else -1)
        elif command == "policy":
            yield from self._next_way()
        elif command == "model":
            yield from self._next_model()
        elif command == "record":
            if self._recording is None:
                yield from self._begin_recording()
            else:
                yield from self._end_recording("")
        elif command != "quit":
            yield Message("monitor", f"{command}: no such command; there are {', '.join(COMMANDS)}")

    def _move_thresholds(self, sign: int) -> Iterator[Event]:
        device = self._line.device
        if all(len(plan.stages) < 2 for plan in device.info().plans):
            yield Message("monitor", f"{self.model.name} has no exits, there are no thresholds to move")
            return
        yield from self._end_recording("thresholds change")
        self._choices.move_thresholds(device, sign)

    def _next_way(self) -> Iterator[Event]:
        if self._choices.n_ways < 2:
            yield Message("monitor", f"{self.model.name} has one plan and no exits, no policy to choose")
            return
        yield from self._end_recording("the policy changes")
        self._choices.next_way(self._line.device)

    def _next_model(self) -> Iterator[Event]:
        if len(self._settings.models) < 2:
            yield Message("monitor", "one model was given, there is none to switch to")
            return
        yield from self._end_recording("the model changes")
        place, source = self._choices.place, self._rows.source
        try:
            self._rows.take_source(self._settings.source_for(self._choices.next_model()))
            self._set_up(self._line.device)
        except UserError as error:
            if is_loss(error):
                raise
            self._choices.go_back(place)
            self._rows.take_source(source)
            self._set_up(self._line.device)
            raise

    def _begin_recording(self) -> Iterator[Event]:
        path = self._settings.recording or Path(time.strftime("monitor-%Y%m%d-%H%M%S.npz"))
        model, front_end = self.model, self.model.front_end
        answers = [port for plan in model.plans for port in plan.exits]
        largest = max([model.outputs[0], *answers], key=lambda port: port.bytes)
        outputs = [largest] if answers else model.outputs
        sound_hz = front_end.rate_hz if front_end is not None and self._rows.source.new else None
        self._recording = Recording(path, model.inputs, outputs, sound_hz)
        self._line.device.reset_state()
        self._rows.begins = True
        yield Message("monitor", f"recording to {path}")

    def _end_recording(self, why: str) -> Iterator[Event]:
        if self._recording is None:
            return
        done, self._recording = self._recording, None
        done.close()
        because = f", because {why}" if why else ""
        if done.rows:
            yield Wrote("monitor", f"wrote {done.path}: {done.rows} rows{because}")
        else:
            yield Message("monitor", "no rows were recorded")
