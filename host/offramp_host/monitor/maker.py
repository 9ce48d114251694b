"""What makes rows of a source: its passes over (name, row), and how raw values become the model's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from offramp.blob.read import Port
from offramp.errors import UserError
from offramp_host.monitor.model import Array


@dataclass(frozen=True)
class Options:
    """How raw values become the model's; None: as the source and the model suggest."""

    divide: float | None = None
    """Pixels and columns are divided by this before they are quantized."""
    hop: int | None = None
    """Samples or lines from a window to the next; None: a window's length."""
    rate_hz: int | None = None
    """Of a microphone; of a WAV file what it must have."""

    def refuse_all_but(self, taken: Sequence[str], name: str) -> None:
        """UserError where an option is given that the source would pass over."""
        for field, flag in (("divide", "--divide"), ("hop", "--hop"), ("rate_hz", "--sample-rate")):
            if field not in taken and getattr(self, field) is not None:
                raise UserError(f"{flag}: --source {name} takes none", "leave it out")


Pairs = Callable[[], Iterator[tuple[str, Array]]]
"""Makes one pass over (name, row of the one input)."""
Maker = Callable[[str, Port, Options], Pairs]
"""From a source's name and the input that it is for; UserError where they do not suit each other."""
