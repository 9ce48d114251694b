"""What there is to see at a moment, gathered from events; the terminal and the page both draw it."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Generator
from dataclasses import dataclass

from offramp_host import device
from offramp_host.monitor.events import Back, Event, Lost, Reading, State, Statistics, Wrote, told

HISTORY, SPREAD, LOG_LINES = 240, 500, 200
_THROUGHPUT_S = 5.0


@dataclass(frozen=True)
class Snapshot:
    """`history` is oldest first: what the answers were, and by which exit (None: the end)."""

    state: State | None
    status: str
    """"running", "paused", "lost: …" or "ended: …"."""
    last: Reading | None
    history: tuple[tuple[int | None, str | None], ...]
    latencies_ms: tuple[float, ...]
    instructions: tuple[int, ...]
    exits: dict[str, int]
    """Rows by the exit that they left by, or "end"; since the model began."""
    rows: int
    per_second: float
    """Over the last seconds."""
    statistics: device.Statistics | None
    line_errors: int
    reconnects: int
    log: tuple[str, ...]
    wrote: tuple[str, ...]
    """Of the log, what was said of recordings."""


class View:
    """`take` and `snapshot` may be called from different threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: State | None = None
        self._status = "starting"
        self._last: Reading | None = None
        self._history: deque[tuple[int | None, str | None]] = deque(maxlen=HISTORY)
        self._latencies: deque[float] = deque(maxlen=SPREAD)
        self._instructions: deque[int] = deque(maxlen=SPREAD)
        self._exits: Counter[str] = Counter()
        self._times: deque[float] = deque()
        self._rows = 0
        self._statistics: device.Statistics | None = None
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._wrote: list[str] = []

    def take(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Reading):
                self._take_reading(event)
            elif isinstance(event, State):
                self._take_state(event)
            elif isinstance(event, Statistics):
                self._statistics = event.of_board
            elif isinstance(event, Lost):
                self._status = f"lost: {event.why}"
            elif isinstance(event, Back):
                self._status = "running"
            if text := told(event):
                self._log.append(text)
            if isinstance(event, Wrote):
                self._wrote.append(text)

    def end(self, why: str) -> None:
        """Nothing more will come."""
        with self._lock:
            self._status = f"ended: {why}"
            self._log.append(self._status)

    def snapshot(self) -> Snapshot:
        with self._lock:
            last = self._last
            return Snapshot(
                *(self._state, self._status, last, tuple(self._history)),
                *(tuple(self._latencies), tuple(self._instructions)),
                exits=dict(self._exits),
                rows=self._rows,
                per_second=self._per_second(),
                statistics=self._statistics,
                line_errors=last.line_errors if last else 0,
                reconnects=last.reconnects if last else 0,
                log=tuple(self._log),
                wrote=tuple(self._wrote),
            )

    def _take_reading(self, reading: Reading) -> None:
        self._last, self._rows = reading, self._rows + 1
        self._history.append((reading.scores[0].index if reading.is_class else None, reading.exit))
        self._latencies.append(reading.latency_ms)
        if reading.instructions is not None:
            self._instructions.append(reading.instructions)
        self._exits[reading.exit or "end"] += 1
        self._times.append(time.monotonic())
        self._forget()

    def _take_state(self, state: State) -> None:
        if self._state is not None and state.model != self._state.model:
            for gathered in (self._history, self._latencies, self._instructions, self._exits):
                gathered.clear()
        self._state, self._status = state, "paused" if state.is_paused else "running"

    def _forget(self) -> None:
        oldest = time.monotonic() - _THROUGHPUT_S
        while self._times and self._times[0] < oldest:
            self._times.popleft()

    def _per_second(self) -> float:
        self._forget()
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / max(time.monotonic() - self._times[0], 1e-3)


class Watch:
    """Runs through events in a thread of its own; `failure` is what ended it, if not their end."""

    def __init__(self, events: Generator[Event, None, None], view: View) -> None:
        self.failure: Exception | None = None
        self._events, self._view = events, view
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            for event in self._events:
                self._view.take(event)
        except Exception as error:  # told to whoever started the thread
            self.failure = error
            self._view.end(getattr(error, "message", None) or repr(error))
        else:
            self._view.end("no more rows")
