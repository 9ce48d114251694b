"""A stream of spoken digits with gaps, as the hops of features that a device hears, and what it should detect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from features import FRAMES, NOISE, RATE, SILENCE, STEP, WINDOW, centred, log_mel

HOP = 5  # frames from one window to the next, 0.1 s
GAPS = (0.5, 1.5)  # s of noise between two digits


@dataclass(frozen=True)
class Stream:
    """Windows one hop apart, and for each digit that was spoken (hop in whose window it is whole, digit)."""

    x: np.ndarray  # float32 [hops, FRAMES, BANDS, 1]
    spoken: tuple[tuple[int, int], ...]


def stream(clips: list[tuple[np.ndarray, int]], digits: int = 150, seed: int = 0) -> Stream:
    """`digits` of the clips (samples, digit) in random order, none twice; ValueError where there are too few."""
    if digits > len(clips):
        raise ValueError(f"{digits} digits of {len(clips)} clips")
    rng, parts, places, length = np.random.default_rng(seed), [np.zeros(WINDOW)], [], WINDOW
    for i in rng.permutation(len(clips))[:digits]:
        samples, digit = clips[i]
        gap = np.zeros(int(rng.uniform(*GAPS) * RATE))
        places.append((length + len(samples), digit))
        parts += [samples, gap]
        length += len(samples) + len(gap)
    sound = np.concatenate([*parts, np.zeros(WINDOW)])
    frames = log_mel(sound + NOISE[0] * rng.standard_normal(len(sound)))
    windows = range(0, len(frames) - FRAMES + 1, HOP)
    x = np.stack([centred(frames[first : first + FRAMES]) for first in windows])
    return Stream(x, tuple((max(0, -(-(end - WINDOW) // (HOP * STEP))), digit) for end, digit in places))


@dataclass(frozen=True)
class Detector:
    """Turns classes, one a hop, into detections: a digit that is the answer `least` hops running counts once.

    After a detection the next one waits until there were `quiet` hops of silence running; 0: it does not.
    """

    least: int = 3
    quiet: int = 0

    def __call__(self, classes: Sequence[int]) -> list[tuple[int, int]]:
        """(hop at which it is certain, digit) of each detection."""
        found, running, silent, waits, before = list[tuple[int, int]](), 0, 0, False, SILENCE
        for hop, digit in enumerate(map(int, classes)):
            running = running + 1 if digit == before else 1
            silent = silent + 1 if digit == SILENCE else 0
            waits, before = waits and silent < self.quiet, digit
            certain = running >= self.least if self.quiet else running == self.least
            if certain and digit != SILENCE and not waits:
                found.append((hop, digit))
                waits = self.quiet > 0
        return found


DETECTOR = Detector(2, 2)
