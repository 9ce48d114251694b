"""When the next row is due."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from offramp.errors import UserError

_MOST_HZ = 100_000.0


@dataclass
class Pace:
    """`rate_hz` rows a second; None: as fast as the board answers. A row that is late moves those after it."""

    rate_hz: float | None
    _due: float | None = None

    def __post_init__(self) -> None:
        rate = self.rate_hz
        if rate is not None and not (math.isfinite(rate) and 0 < rate <= _MOST_HZ):
            raise UserError(
                f"--rate {rate:g}: it is rows a second, above 0 and up to {_MOST_HZ:,.0f}",
                "leave it out to go as fast as the board answers",
            )

    def wait_s(self) -> float:
        """Until the next row is due; 0 if it is."""
        return 0.0 if self._due is None else max(self._due - time.monotonic(), 0.0)

    def took_one(self) -> None:
        """A row is on its way: says when the next one is due."""
        if self.rate_hz is not None:
            now = time.monotonic()
            due = now if self._due is None else self._due
            # Half a period late is caught up; more than that is not, or a stalled line would end in a burst.
            self._due = max(due, now - 0.5 / self.rate_hz) + 1 / self.rate_hz

    def rest(self) -> None:
        """After a pause: the next row is due at once."""
        self._due = None
