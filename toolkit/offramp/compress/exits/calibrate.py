"""Thresholds of exits: chosen on rows that trained nothing, judged on rows that chose nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.errors import UserError
from offramp.exits import LAST, MOST, Answers, confidence
from offramp.ir import CONFIDENCES, Graph

Array = NDArray[Any]

OF_CLASSES = tuple(kind for kind in CONFIDENCES if kind != "error")
DRAWS = 10_000  # of the bootstrap
SURE = 1.645  # standard errors up to a one-sided bound that holds in 95 % of the cases
RISKS = np.geomspace(1e-4, 1.0, 200)  # the one number that is searched
REACH = dict.fromkeys(CONFIDENCES, 255) | {"entropy": MOST}  # the largest confidence
NORMAL = 95.0  # percentile of the errors up to which a row is taken as normal


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of n rows, whether or not a run would go there: what each exit estimates, and whether each answer is right."""

    estimates: Sequence[Array]  # by exit: s8 or u8 [n, ...]
    right: Array  # bool [exits + 1, n], the end last
    normal: float | None = None  # of a detector: the largest error that is taken as normal

    @property
    def rows(self) -> int:
        return int(self.right.shape[1])

    def confidences(self, kind: str) -> Array:
        """int64 [exits, n]."""
        return np.array([confidence(kind, e) for e in self.estimates], np.int64).reshape(-1, self.rows)


@dataclass(frozen=True)
class Calibrated:
    """Thresholds with what they promise on the rows that chose them, which is not what they are reported with."""

    confidence: str
    thresholds: tuple[int, ...]
    cost: float  # mean
    lost: float  # share of the rows: right at the end, wrong by an exit, less the reverse
    bound: float  # what `lost` is below in 95 of 100 cases
    family: tuple[tuple[int, ...], ...]  # all thresholds that were tried, for a curve
    normal: float | None  # of the evidence


def evidence_of_classes(estimates: Sequence[Array], last: Array, y: Array) -> Evidence:
    """Exits' and the end's answers [n, ...] against labels y [n]; a tie goes to the lower class."""
    right = [a.reshape(len(y), -1).argmax(axis=1) == y for a in (*estimates, last)]
    return Evidence(estimates, np.array(right))


def evidence_of_errors(estimates: Sequence[Array], found: Array, bound: float | None = None) -> Evidence:
    """To leave says that a row is normal, which is right where its error [n] at the end is at most `bound`.

    None: the NORMAL percentile of these errors.
    """
    limit = float(np.percentile(found, NORMAL)) if bound is None else bound
    right = [*[found <= limit] * len(estimates), np.ones(len(found), bool)]
    return Evidence(estimates, np.array(right), limit)


def calibrate(
    evidence: Evidence, costs: Sequence[float], lost_points: float, kinds: Sequence[str] = OF_CLASSES
) -> Calibrated:
    """The thresholds of the least mean cost whose loss of accuracy is below `lost_points` with 95 % confidence.

    `costs` are those of a run that leaves by each exit, and of one to the end. For each exit the risk that a row is
    lost by leaving there is a logistic function of the confidence; rows leave where it is at most one number, the
    same for all exits, times the share of the cost that leaving saves. One number is searched, not one an exit: a
    search over many fits the rows' chance. UserError where nothing satisfies the bound.
    """
    found = [c for kind in kinds for c in candidates(evidence, costs, kind)]
    able = [c for c in found if c.bound <= lost_points / 100 and c.cost < costs[-1]]
    if not able:
        least = 100 * upper_bound(0, 0, evidence.rows)
        raise UserError(
            f"no thresholds surely lose less than {lost_points:g} points on {evidence.rows} rows, of which none "
            f"lost would prove {least:.2g}",
            "more labelled rows, or a larger lost_points",
        )
    return min(able, key=lambda c: c.cost)


def candidates(evidence: Evidence, costs: Sequence[float], kind: str) -> list[Calibrated]:
    """One for each of RISKS."""
    confidences = evidence.confidences(kind)
    risks = [Risk.of(c, evidence.right[-1] & ~r) for c, r in zip(confidences, evidence.right, strict=False)]
    family = []
    for most in RISKS:
        saved = [1 - c / costs[-1] for c in costs[:-1]]
        family.append(tuple(r.threshold(most * s, REACH[kind]) for r, s in zip(risks, saved, strict=True)))
    kept = tuple(dict.fromkeys(family))
    return [result(evidence, costs, kind, confidences, thresholds, kept) for thresholds in kept]


def result(
    evidence: Evidence,
    costs: Sequence[float],
    kind: str,
    confidences: Array,
    thresholds: tuple[int, ...],
    family: tuple[tuple[int, ...], ...],
) -> Calibrated:
    left = leaving(confidences, thresholds)
    last, right = evidence.right[-1], evidence.right[left, np.arange(evidence.rows)]
    losses, gains = int((last & ~right).sum()), int((right & ~last).sum())
    lost, bound = (losses - gains) / evidence.rows, upper_bound(losses, gains, evidence.rows)
    return Calibrated(
        kind, thresholds, float(np.asarray(costs)[left].mean()), lost, bound, family, evidence.normal
    )


def leaving(confidences: Array, thresholds: Sequence[int]) -> Array:
    """Of each row the exit by which it leaves, LAST for the end: int64 [n]."""
    n = confidences.shape[1]
    return Answers([], confidences, np.empty(n)).left(thresholds)


def upper_bound(losses: int, gains: int, rows: int) -> float:
    """Of the share of rows lost less that gained, paired: with 95 % confidence it is below.

    Wald's interval of a difference of paired proportions with as many discordant rows more as make it hold where few
    or none are seen: without any it is 2.7 / rows, near the exact 3 / rows.
    """
    spread = losses + gains - (losses - gains) ** 2 / rows + SURE**2
    return (losses - gains + SURE * math.sqrt(spread)) / rows


@dataclass(frozen=True)
class Risk:
    """The chance that a row is lost: 1 / (1 + exp(-(level + slope * (confidence - mean)))), slope at most 0."""

    level: float
    slope: float
    mean: float

    @staticmethod
    def of(confidences: Array, lost: Array) -> Risk:
        """Logistic regression by Newton's method, with half a lost and half a kept row more, and a small penalty."""
        mean, deviation = float(confidences.mean()), float(confidences.std()) + 1e-9
        x = np.stack([np.ones(len(lost) + 2), np.append((confidences - mean) / deviation, [0, 0])])
        goal, weight = np.append(lost, [1, 0]), np.append(np.ones(len(lost)), [0.5, 0.5])
        w, penalty = np.zeros(2), np.diag([0.0, 0.5])
        for _ in range(30):
            p = 1 / (1 + np.exp(-np.clip(w @ x, -30, 30)))
            step = np.linalg.solve(
                (x * (weight * p * (1 - p))) @ x.T + penalty, x @ (weight * (p - goal)) + penalty @ w
            )
            w = w - np.clip(step, -2, 2)
        return Risk(float(w[0]), min(0.0, float(w[1]) / deviation), mean)

    def threshold(self, most: float, reach: int) -> int:
        """The least confidence at which the risk is at most this; MOST where none up to `reach` is."""
        if most <= 0:
            return MOST
        if most >= 1:
            return 0
        wanted = math.log(most / (1 - most)) - self.level
        if self.slope == 0:
            return 0 if wanted >= 0 else MOST
        found = max(0, math.ceil(self.mean + wanted / self.slope))
        return found if found <= reach else MOST


def with_thresholds(graph: Graph, found: Calibrated) -> Graph:
    exits = tuple(
        replace(e, confidence=found.confidence, threshold=t)
        for e, t in zip(graph.exits, found.thresholds, strict=True)
    )
    return replace(graph, exits=exits)


@dataclass(frozen=True)
class Judged:
    """What thresholds are worth on rows that chose nothing; costs are in the unit of the costs given."""

    rows: int
    shares: tuple[float, ...]  # of rows by each exit, and to the end
    cost: float  # mean
    worst: float
    p95: float
    accuracy: float
    stderr: float
    accuracy_last: float  # of runs that all go to the end
    lost: float  # accuracy_last less accuracy, of 1
    lost_stderr: float  # paired
    lost_interval: tuple[float, float]  # 95 %, paired bootstrap

    def __str__(self) -> str:
        low, high = self.lost_interval
        return (
            f"{100 * self.accuracy:.2f} ± {100 * self.stderr:.2f} % of {self.rows}, {100 * self.lost:+.2f} ± "
            f"{100 * self.lost_stderr:.2f} points lost (95 %: {100 * low:+.2f} to {100 * high:+.2f})"
        )


def judge(
    evidence: Evidence, costs: Sequence[float], kind: str, thresholds: Sequence[int], seed: int = 0
) -> Judged:
    left = leaving(evidence.confidences(kind), thresholds)
    n, spent = evidence.rows, np.asarray(costs, np.float64)[left]
    right, last = evidence.right[left, np.arange(n)], evidence.right[-1]
    pairs = last.astype(np.float64) - right
    counts = [int((pairs == value).sum()) for value in (-1, 0, 1)]
    drawn = np.random.default_rng(seed).multinomial(n, np.array(counts) / n, DRAWS)  # n rows with replacement
    low, high = np.percentile((drawn[:, 2] - drawn[:, 0]) / n, [2.5, 97.5])
    accuracy = float(right.mean())
    return Judged(
        n,
        tuple(float((left == e).mean()) for e in (*range(len(costs) - 1), LAST)),
        float(spent.mean()),
        float(max(costs)),
        float(np.percentile(spent, 95, method="inverted_cdf")),
        accuracy,
        math.sqrt(accuracy * (1 - accuracy) / n),
        float(last.mean()),
        float(pairs.mean()),
        float(pairs.std() / math.sqrt(n)),
        (float(low), float(high)),
    )
