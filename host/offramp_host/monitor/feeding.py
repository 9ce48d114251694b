"""Rows on their way to the board: taken from the source in order, kept until they are answered."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from offramp.errors import UserError
from offramp_host.device import Device, Result
from offramp_host.monitor.model import Array
from offramp_host.monitor.pace import Pace
from offramp_host.monitor.source import Item, Source


@dataclass
class Sent:
    """`at`: when the row was last handed to the link, by time.monotonic."""

    number: int
    item: Item
    at: float
    given: tuple[Array, ...]
    """What the board was sent: the inputs, or of raw samples those that are new to it."""
    begins: bool = False
    """Whether raw samples are the first since the board's state began anew."""


class Rows:
    """Numbered from 0; `loop` begins the source again at its end, `count` ends it after so many rows."""

    def __init__(self, pace: Pace, loop: bool, count: int | None) -> None:
        self.pace = pace
        self.unanswered: deque[Sent] = deque()
        self.failure: UserError | None = None
        """What is wrong with the source; to be told once all rows before have their answers."""
        self.begins = True
        """Whether the front end on the board knows nothing of the samples before the next row's."""
        self._loop, self._count, self._next = loop, count, 0
        self._exhausted = False

    def take_source(self, source: Source) -> None:
        """Rows come from it from now on, from its first; their numbers go on."""
        self.source = source
        self._items, self.begins = source.rows(), True

    @property
    def are_over(self) -> bool:
        """Whether the source or the count is at its end, and every row has its answer."""
        return self._exhausted and not self.unanswered

    @property
    def one_by_one(self) -> bool:
        """Whether each waits for its time, so that none is to be sent ahead."""
        return self.pace.rate_hz is not None or self.source.is_live

    def results(
        self, device: Device, is_interrupted: Callable[[], bool], *, measure: bool, to_the_end: bool
    ) -> Generator[Result, None, None]:
        """Of rows that are due, those that a lost line left unanswered first: one where each has its time, else until
        something interrupts. Whoever gets a result takes its row from `unanswered`."""
        rows = self._inputs(1 if self.one_by_one or self.source.new else None, is_interrupted)
        if self.source.new:
            return self._fed(device, rows, measure, to_the_end)
        return device.stream(rows, measure=measure, to_the_end=to_the_end)

    def _fed(
        self, device: Device, rows: Iterator[tuple[Array, ...]], measure: bool, to_the_end: bool
    ) -> Generator[Result, None, None]:
        """Windows of samples through the front end: of each what is new, or all where none went before."""
        for (window,) in rows:
            if self.begins:
                device.reset_state()
            samples = window if self.begins else window[-(self.source.new or 0) :]
            self.unanswered[0].given, self.unanswered[0].begins = (samples,), self.begins
            yield from device.feed(samples, measure=measure, to_the_end=to_the_end)
            self.begins = False

    def _inputs(self, limit: int | None, is_interrupted: Callable[[], bool]) -> Iterator[tuple[Array, ...]]:
        again = list(self.unanswered)
        for sent in again:
            sent.at = time.monotonic()
            yield sent.item.inputs
        n = len(again)
        while (limit is None or n < limit) and not is_interrupted():
            item = self._take()
            if item is None:
                return
            self.pace.took_one()
            self.unanswered.append(Sent(self._next, item, time.monotonic(), item.inputs))
            self._next += 1
            n += 1
            yield item.inputs

    def _take(self) -> Item | None:
        """None at the end."""
        item = None
        if self._count is None or self._next < self._count:
            try:
                item = next(self._items, None)
                if item is None and self._loop:
                    self._items, self.begins = self.source.rows(), True
                    item = next(self._items, None)
            except UserError as error:
                self.failure = error
        self._exhausted = item is None
        return item
