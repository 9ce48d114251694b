"""Streams under the patience of firmware/include/offramp_policy.h: what it answers, what it costs, which settings suit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from stream import Detector

from offramp.exits import Answers

TRIED = 4000  # settings, drawn at random
SHARPENED = 1500  # more, near the best so far


@dataclass(frozen=True)
class Patience:
    """Thresholds by exit, and the policy's settings of the same names."""

    thresholds: tuple[int, ...]
    patience_step: int = 0
    patience_floor: int = 0
    doubt: int = 0
    doubt_runs: int = 0

    def threshold(self, exit_: int, same: bool, repeats: int, doubting: bool) -> int:
        base = self.thresholds[exit_]
        if not self.patience_step:
            return base
        if not same or doubting:
            return base + self.doubt
        return max(base - self.patience_step * repeats, min(self.patience_floor, base))


@dataclass(frozen=True)
class Heard:
    """What every way out of a network says of a stream's hops, the end last: classes [hops, ways], confidences."""

    classes: Sequence[Sequence[int]]
    confidences: Sequence[Sequence[int]]

    @staticmethod
    def of(found: Answers) -> Heard:
        tops = [a.reshape(len(a), -1).argmax(axis=1) for a in (*found.exits, found.last)]
        return Heard(np.array(tops).T.tolist(), found.confidences.T.tolist())

    @property
    def last(self) -> list[int]:
        return [row[-1] for row in self.classes]

    def run(self, p: Patience) -> tuple[list[int], list[int]]:
        """(class, way out) of each hop in turn."""
        classes, ways = list[int](), list[int]()
        last, repeats, doubting = -1, 0, 0
        for found, sure in zip(self.classes, self.confidences, strict=True):
            way = len(sure)
            for i, confidence in enumerate(sure):
                if confidence >= p.threshold(i, found[i] == last, repeats, doubting > 0):
                    way = i
                    break
            if found[way] == last:
                repeats, doubting = repeats + 1, max(doubting - 1, 0)
            else:
                repeats, doubting = 0, p.doubt_runs
            last = found[way]
            classes.append(last)
            ways.append(way)
        return classes, ways


def differences(
    found: Sequence[tuple[int, int]], wanted: Sequence[tuple[int, int]], hops: int = 1
) -> tuple[int, int]:
    """(missing, further) detections (hop, digit), where equal ones are at most so many hops apart."""
    left, missing = list(found), 0
    for hop, digit in wanted:
        near = [d for d in left if d[1] == digit and abs(d[0] - hop) <= hops]
        if near:
            left.remove(min(near, key=lambda d: abs(d[0] - hop)))
        else:
            missing += 1
    return missing, len(left)


@dataclass(frozen=True)
class Judged:
    """Of some streams: share saved, and how many detections differ from those of runs to the end."""

    saved: float
    wrong: int
    detections: int


def judge(
    streams: Sequence[Heard], p: Patience, costs: Sequence[int], plain: int, detector: Detector
) -> Judged:
    """`costs` up to each way out, `plain` without heads."""
    wrong = total = 0
    taken = list[int]()
    for heard in streams:
        classes, ways = heard.run(p)
        wanted = detector(heard.last)
        wrong += sum(differences(detector(classes), wanted))
        total += len(wanted)
        taken += [costs[way] for way in ways]
    return Judged(1 - float(np.mean(taken)) / plain, wrong, total)


def drawn(rng: np.random.Generator, exits: int) -> Patience:
    return Patience(
        tuple(int(v) for v in rng.integers(40, 256, exits)),
        int(rng.choice([5, 10, 20, 40, 80, 200])),
        int(rng.integers(0, 200)),
        int(rng.choice([0, 20, 40, 60, 90, 120, 255])),
        int(rng.integers(0, 4)),
    )


def near(p: Patience, rng: np.random.Generator) -> Patience:
    def moved(value: int, most: int) -> int:
        return int(np.clip(value + rng.normal(0, 15) * (rng.random() < 0.5), 0, most))

    return Patience(
        tuple(moved(t, 256) for t in p.thresholds),
        max(1, moved(p.patience_step, 200)),
        moved(p.patience_floor, 255),
        moved(p.doubt, 255),
        int(np.clip(p.doubt_runs + rng.integers(-1, 2), 0, 4)),
    )


def choose(
    streams: Sequence[Heard], costs: Sequence[int], plain: int, detector: Detector, least: float, seed: int = 0
) -> tuple[Patience, Judged]:
    """Settings that save `least` or more with the fewest differences, the most saved of equals; else that save most."""
    rng, best = np.random.default_rng(seed), None
    for i in range(TRIED + SHARPENED):
        tried = drawn(rng, len(costs) - 1) if best is None or i < TRIED else near(best[1], rng)
        found = judge(streams, tried, costs, plain, detector)
        rank = (min(found.saved, least), -found.wrong, found.saved)
        if best is None or rank > best[0]:
            best = rank, tried, found
    assert best is not None
    return best[1], best[2]
