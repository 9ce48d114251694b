"""Places buffers with lifetimes into one arena."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ALIGN = 16


@dataclass(frozen=True)
class Buffer:
    """Bytes that live from step `first` to step `last`, both included."""

    name: str
    bytes: int
    first: int
    last: int
    last_bytes: int = 0  # at its last step, where that is more: scratch that begins with it

    def bytes_at(self, step: int) -> int:
        return max(self.bytes, self.last_bytes) if step == self.last else self.bytes

    def bytes_beside(self, other: Buffer) -> int:
        """The most of it while `other` lives."""
        return self.bytes_at(self.last if other.first <= self.last <= other.last else -1)


def aligned(n: int) -> int:
    return -(-n // ALIGN) * ALIGN


def peak(buffers: Sequence[Buffer]) -> tuple[int, int]:
    """(bytes, step): the most that is alive at one step; no arena can be smaller."""
    steps = {s for b in buffers for s in (b.first, b.last)}
    return max(((sum(aligned(b.bytes_at(s)) for b in alive(buffers, s)), s) for s in steps), default=(0, 0))


def alive(buffers: Sequence[Buffer], step: int) -> list[Buffer]:
    return [b for b in buffers if b.first <= step <= b.last]


def place(buffers: Sequence[Buffer]) -> tuple[list[int], int]:
    """(offsets, arena bytes): the best of several greedy orders; stops at the lower bound."""
    bound, _ = peak(buffers)
    keys: list[Callable[[int], tuple[int, ...]]] = [
        lambda i: (-buffers[i].bytes, buffers[i].first),
        lambda i: (-(buffers[i].last - buffers[i].first), -buffers[i].bytes),
        lambda i: (buffers[i].first, -buffers[i].bytes),
        lambda i: (-buffers[i].last, -buffers[i].bytes),
        lambda i: (-buffers[i].bytes * (buffers[i].last - buffers[i].first + 1), buffers[i].first),
    ]
    best: tuple[list[int], int] | None = None
    for key in keys:
        offsets = place_in(buffers, sorted(range(len(buffers)), key=key))
        total = max(
            (o + aligned(b.bytes_at(b.last)) for o, b in zip(offsets, buffers, strict=True)), default=0
        )
        if best is None or total < best[1]:
            best = offsets, total
        if total == bound:
            break
    assert best is not None
    return best


def place_in(buffers: Sequence[Buffer], sequence: Sequence[int]) -> list[int]:
    """Each buffer in turn at the lowest offset free during its life."""
    offsets = [-1] * len(buffers)
    for i in sequence:
        b = buffers[i]
        taken = [
            (offsets[j], offsets[j] + aligned(o.bytes_beside(b)), aligned(b.bytes_beside(o)))
            for j, o in enumerate(buffers)
            if offsets[j] >= 0 and o.first <= b.last and b.first <= o.last
        ]
        ends = sorted({0, *(end for _, end, _ in taken)})
        at = next(at for at in ends if all(at >= end or at + wanted <= start for start, end, wanted in taken))
        offsets[i] = at
    return offsets
