"""The two modes of MLPerf Tiny that need no power meter: accuracy and performance."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from offramp.build.mlperf import Benchmark
from offramp.errors import UserError
from offramp_host.mlperf import Inference, TextDevice, inferences_of
from offramp_host.mlperf_data import Sample, labels_of

WINDOWS, LEAST_S, WARMUPS = 5, 10.0, 10
"""Of performance mode, as the benchmark's rules want them: windows, the shortest allowed, runs before each."""

Told = Callable[[int], None]


@dataclass(frozen=True)
class Answer:
    """Of one sample: its results, of several parts their mean."""

    name: str
    label: int
    results: tuple[float, ...]
    elapsed_us: int

    @property
    def answer(self) -> int:
        """The class with the largest result, the first of equal ones."""
        return int(np.argmax(self.results))


@dataclass(frozen=True)
class Accuracy:
    """`top1` in percent, None of ad01; `auc` None where not all classes are there."""

    answers: tuple[Answer, ...]
    top1: float | None
    auc: float | None


@dataclass(frozen=True)
class Performance:
    """Of each window how many inferences took how long."""

    windows: tuple[Inference, ...]

    @property
    def per_second(self) -> list[float]:
        return [1e6 * window.n / window.elapsed_us for window in self.windows]

    @property
    def median_per_second(self) -> float:
        return statistics.median(self.per_second)


def accuracy(
    device: TextDevice, benchmark: Benchmark, samples: Sequence[Sample], told: Told = lambda done: None
) -> Accuracy:
    """Runs every part of every sample once."""
    labels = labels_of(samples, benchmark.classes)
    answers: list[Answer] = []
    for sample, label in zip(samples, labels, strict=True):
        found = inferences_of(device, sample.parts)
        wrong = next((f for f in found if len(f.results) != benchmark.results), None)
        if wrong is not None:
            raise UserError(
                f"{sample.name}: {len(wrong.results)} results, {benchmark.name} has {benchmark.results}",
                "a byte was lost on the line: try again",
            )
        mean = np.mean([f.results for f in found], axis=0)
        answers.append(Answer(sample.name, label, tuple(map(float, mean)), sum(f.elapsed_us for f in found)))
        told(len(answers))
    if benchmark.results == 1:
        return Accuracy(tuple(answers), None, auc([a.results[0] for a in answers], labels))
    right = sum(a.answer == a.label for a in answers)
    return Accuracy(tuple(answers), 100 * right / len(answers), mean_auc(answers))


def auc(scores: Sequence[float], labels: Sequence[int]) -> float | None:
    """Area under the ROC curve: how often a sample of class 1 scores above one of class 0, ties counting half."""
    high = np.sort([s for s, label in zip(scores, labels, strict=True) if label == 1])
    low = np.sort([s for s, label in zip(scores, labels, strict=True) if label != 1])
    if not len(high) or not len(low):
        return None
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.sum() / (2 * len(high) * len(low)))


def mean_auc(answers: Sequence[Answer]) -> float | None:
    """Of several classes, each against the rest, the mean; results are taken as shares of their sum."""
    areas = []
    for i in range(len(answers[0].results)):
        shares = [a.results[i] / (sum(a.results) or 1.0) for a in answers]
        areas.append(auc(shares, [int(a.label == i) for a in answers]))
    known = [area for area in areas if area is not None]
    return sum(known) / len(known) if len(known) == len(areas) else None


def performance(
    device: TextDevice,
    samples: Sequence[Sample],
    *,
    windows: int = WINDOWS,
    least_s: float = LEAST_S,
    told: Told = lambda done: None,
) -> Performance:
    """So many windows, each of runs of one input for at least `least_s` seconds by the board's counter."""
    inputs = [sample.parts[0] for sample in samples]
    device.load(inputs[0])
    once = device.infer(1, 0).elapsed_us
    if once <= 0:
        raise UserError(
            f"{device.url}: the board counts no time", "its port needs a counter (docs/new-board.md)"
        )
    n = math.ceil(1e6 * least_s / once)
    found: list[Inference] = []
    while len(found) < windows:
        device.load(inputs[len(found) % len(inputs)])
        window = device.infer(n, WARMUPS)
        if window.elapsed_us < 1e6 * least_s:  # it took less than the first run, which may have filled caches
            n += max(1, n // 50)
            continue
        found.append(window)
        told(len(found))
    return Performance(tuple(found))
