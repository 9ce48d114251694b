"""Streams under the patience of firmware/include/offramp_policy.h: answers, costs, and settings that suit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from stream import Detector

from offramp.exits import Answers

ROUNDS, TRIED, KEPT = 4, 400, 12  # settings, first drawn at random, then near the best so far


Array = np.ndarray


@dataclass(frozen=True)
class Patience:
    """Thresholds by exit, and the policy's settings of the same names."""

    thresholds: tuple[int, ...]
    patience_step: int = 0
    patience_floor: int = 0
    doubt: int = 0
    doubt_runs: int = 0


@dataclass(frozen=True)
class Heard:
    """What every way out of a network says of a stream's hops, the end last."""

    classes: Array  # int64 [hops, ways]
    confidences: Array  # int64 [hops, exits]

    @staticmethod
    def of(found: Answers) -> Heard:
        tops = [a.reshape(len(a), -1).argmax(axis=1) for a in (*found.exits, found.last)]
        return Heard(np.array(tops).T, found.confidences.T)

    @property
    def last(self) -> list[int]:
        return [int(c) for c in self.classes[:, -1]]

    def run(self, settings: Sequence[Patience]) -> tuple[Array, Array]:
        """(classes, ways out) int64 [settings, hops], each setting from the stream's first hop on."""
        base = np.array([p.thresholds for p in settings])
        step, floor, doubt, doubt_runs = (
            np.array([getattr(p, name) for p in settings])
            for name in ("patience_step", "patience_floor", "doubt", "doubt_runs")
        )
        least, more = np.minimum(floor[:, None], base), base + (doubt * (step > 0))[:, None]
        last, repeats, doubting = (np.full(len(settings), v) for v in (-1, 0, 0))
        classes, ways = [], []
        for found, sure in zip(self.classes, self.confidences, strict=True):
            patient = (found[None, :-1] == last[:, None]) & (doubting == 0)[:, None]
            lower = np.where(step[:, None] > 0, np.maximum(base - (step * repeats)[:, None], least), base)
            leaves = sure >= np.where(patient, lower, more)
            way = np.where(leaves.any(axis=1), leaves.argmax(axis=1), len(sure))
            same = found[way] == last
            repeats = np.where(same, repeats + 1, 0)
            doubting = np.where(same, np.maximum(doubting - 1, 0), doubt_runs)
            last = found[way]
            classes.append(last)
            ways.append(way)
        return np.array(classes).T, np.array(ways).T


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
    moved: int = 0  # that differ, those included that come a hop earlier or later


def judge(
    streams: Sequence[Heard],
    settings: Sequence[Patience],
    costs: Sequence[int],
    plain: int,
    detector: Detector,
    least: float = -1.0,
) -> list[Judged]:
    """Each setting on all streams. `costs` up to each way out, `plain` of the network without heads.

    Where less than `least` is saved, every detection counts as wrong.
    """
    played, wanted = [h.run(settings) for h in streams], [detector(h.last) for h in streams]
    total = sum(map(len, wanted))
    found = []
    for i in range(len(settings)):
        taken = np.concatenate([np.array(costs)[ways[i]] for _, ways in played])
        saved = 1 - float(taken.mean()) / plain
        wrong = moved = total
        if saved >= least:
            each = [detector(classes[i].tolist()) for classes, _ in played]
            wrong, moved = (
                sum(sum(differences(d, w, hops)) for d, w in zip(each, wanted, strict=True))
                for hops in (1, 0)
            )
        found.append(Judged(saved, wrong, total, moved))
    return found


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
    streams: Sequence[Heard],
    costs: Sequence[int],
    plain: int,
    detector: Detector,
    least: float,
    seed: int = 0,
) -> tuple[Patience, Judged]:
    """Settings that save `least` or more with the fewest differences, then the fewest moved; else that save most."""
    rng, best = np.random.default_rng(seed), list[tuple[Patience, Judged]]()
    for i in range(ROUNDS):
        tried = [near(best[j % len(best)][0], rng) if i else drawn(rng, len(costs) - 1) for j in range(TRIED)]
        found = judge(streams, tried, costs, plain, detector, least)
        both = [*best, *zip(tried, found, strict=True)]
        both.sort(key=lambda b: (-min(b[1].saved, least), b[1].wrong, b[1].moved, -b[1].saved))
        best = both[:KEPT]
    return best[0]
