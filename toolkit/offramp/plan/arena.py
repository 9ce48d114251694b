"""Places buffers with lifetimes into one arena."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ALIGN = 16
NOWHERE = 1 << 31
MAX_WORK, MAX_BUFFERS = 1_000_000, 200  # of the search for the least arena: nodes times buffers and steps


@dataclass(frozen=True)
class Buffer:
    """Bytes that live from step `first` to step `last`, both included."""

    name: str
    bytes: int  # the most
    first: int
    last: int
    sizes: tuple[
        int, ...
    ] = ()  # at each step of its life, where they differ; it begins at one offset throughout

    def bytes_at(self, step: int) -> int:
        return self.sizes[step - self.first] if self.sizes else self.bytes

    def bytes_beside(self, other: Buffer) -> int:
        """The most of it while `other` lives; the two meet."""
        if not self.sizes:
            return self.bytes
        return max(self.sizes[max(other.first - self.first, 0) : other.last - self.first + 1])


def aligned(n: int) -> int:
    return -(-n // ALIGN) * ALIGN


def peak(buffers: Sequence[Buffer]) -> tuple[int, int]:
    """(bytes, step): the most that is alive at one step; no arena can be smaller."""
    steps = range(min((b.first for b in buffers), default=0), max((b.last for b in buffers), default=-1) + 1)
    return max(((live_bytes(buffers, s), s) for s in steps), default=(0, 0))


def live_bytes(buffers: Sequence[Buffer], step: int) -> int:
    return sum(aligned(b.bytes_at(step)) for b in alive(buffers, step))


def alive(buffers: Sequence[Buffer], step: int) -> list[Buffer]:
    return [b for b in buffers if b.first <= step <= b.last]


def place(buffers: Sequence[Buffer], fixed: Sequence[int] = ()) -> tuple[list[int], int]:
    """(offsets, arena bytes): the least arena, or the best found where the search ends before it is proven.

    The first buffers lie at the offsets `fixed`; then there is no search. NOWHERE bytes: they cannot all lie there.
    """
    bound, _ = peak(buffers)
    best = place_greedily(buffers, fixed)
    return best if fixed or best[1] == bound or len(buffers) > MAX_BUFFERS else search(buffers, best, bound)


def place_greedily(buffers: Sequence[Buffer], fixed: Sequence[int] = ()) -> tuple[list[int], int]:
    """(offsets, arena bytes): the best of several orders."""
    found = (greedy(buffers, sequence, fixed) for sequence in sequences(buffers))
    return min(found, key=lambda placed: placed[1])


def greedy(
    buffers: Sequence[Buffer], sequence: Sequence[int], fixed: Sequence[int] = ()
) -> tuple[list[int], int]:
    first = range(len(fixed))
    if not all(apart(buffers[i], fixed[i], buffers[j], fixed[j]) for i in first for j in first[:i]):
        return [*fixed, *(0 for _ in buffers[len(fixed) :])], NOWHERE
    offsets = place_in(buffers, [i for i in sequence if i >= len(fixed)], fixed)
    ends = (o + aligned(b.bytes) for o, b in zip(offsets, buffers, strict=True))
    return offsets, max(ends, default=0)


def sequences(buffers: Sequence[Buffer]) -> list[list[int]]:
    """Orders in which placing each at the lowest free offset does well."""
    keys: list[Callable[[int], tuple[int, ...]]] = [
        lambda i: (-buffers[i].bytes, buffers[i].first),
        lambda i: (-(buffers[i].last - buffers[i].first), -buffers[i].bytes),
        lambda i: (buffers[i].first, -buffers[i].bytes),
        lambda i: (-buffers[i].last, -buffers[i].bytes),
        lambda i: (-buffers[i].bytes * (buffers[i].last - buffers[i].first + 1), buffers[i].first),
    ]
    return [sorted(range(len(buffers)), key=key) for key in keys]


def apart(a: Buffer, at_a: int, b: Buffer, at_b: int) -> bool:
    return not together(a, b) or (
        at_a + aligned(a.bytes_beside(b)) <= at_b or at_b + aligned(b.bytes_beside(a)) <= at_a
    )


def place_in(buffers: Sequence[Buffer], sequence: Sequence[int], fixed: Sequence[int]) -> list[int]:
    """Each buffer in turn at the lowest offset free during its life; the first lie at `fixed`."""
    offsets = [*fixed, *(-1 for _ in buffers[len(fixed) :])]
    for n, i in enumerate(sequence):
        b = buffers[i]
        placed = (*range(len(fixed)), *sequence[:n])
        met = [(offsets[j], buffers[j]) for j in placed if together(buffers[j], b)]
        taken = [(at, at + aligned(o.bytes_beside(b)), aligned(b.bytes_beside(o))) for at, o in met]
        ends = sorted({0, *(end for _, end, _ in taken)})
        offsets[i] = next(
            at for at in ends if all(at >= end or at + wanted <= start for start, end, wanted in taken)
        )
    return offsets


def search(buffers: Sequence[Buffer], best: tuple[list[int], int], bound: int) -> tuple[list[int], int]:
    """Branch and bound over the orders of rising offsets, from the placement `best` on.

    Some least arena has each buffer directly on one that it meets, or at 0: otherwise it could sink. Placing the
    buffers by rising offset, each on the highest end of those it meets, therefore comes by it. An order is given up
    where some step's buffers, those still to be placed on top of the others, reach what is known.
    """
    n = len(buffers)
    meets = [[j for j in range(n) if j != i and together(buffers[i], buffers[j])] for i in range(n)]
    size = [[aligned(a.bytes_beside(buffers[j])) for j in meets[i]] for i, a in enumerate(buffers)]
    steps = range(min(b.first for b in buffers), max(b.last for b in buffers) + 1)
    at = [[k for k, s in enumerate(steps) if b.first <= s <= b.last] for b in buffers]
    need = [[aligned(b.bytes_at(steps[k])) for k in places] for b, places in zip(buffers, at, strict=True)]
    waiting = [sum(need[i][at[i].index(k)] for i in range(n) if k in at[i]) for k in range(len(steps))]
    top, floor, offsets = [0] * len(steps), [0] * n, [-1] * n
    nodes = MAX_WORK // (n + len(steps))

    def descend(left: int, lowest: tuple[int, int]) -> None:
        nonlocal best, nodes
        if left == 0:
            ends = (offsets[i] + aligned(b.bytes) for i, b in enumerate(buffers))
            best = min(best, (list(offsets), max(ends)), key=lambda found: found[1])
            return
        for i in sorted((i for i in range(n) if offsets[i] < 0), key=lambda i: (floor[i], -buffers[i].bytes)):
            if (floor[i], i) < lowest or nodes == 0 or best[1] == bound:
                continue
            nodes -= 1
            saved = [top[k] for k in at[i]], [floor[j] for j in meets[i]]
            offsets[i] = floor[i]
            for k, wanted in zip(at[i], need[i], strict=True):
                top[k] = floor[i] + wanted
                waiting[k] -= wanted
            for j, wanted in zip(meets[i], size[i], strict=True):
                floor[j] = max(floor[j], floor[i] + wanted)
            if max(max(t, floor[i] * (w > 0)) + w for t, w in zip(top, waiting, strict=True)) < best[1]:
                descend(left - 1, (floor[i], i))
            offsets[i] = -1
            for k, wanted, before in zip(at[i], need[i], saved[0], strict=True):
                top[k] = before
                waiting[k] += wanted
            for j, low in zip(meets[i], saved[1], strict=True):
                floor[j] = low

    descend(n, (0, -1))
    return best


def together(a: Buffer, b: Buffer) -> bool:
    return a.first <= b.last and b.first <= a.last
