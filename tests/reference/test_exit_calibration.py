"""Thresholds of exits: against brute force, exact statistics, and rows that chose nothing."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from offramp.compress.exits.calibrate import (
    Evidence,
    Risk,
    calibrate,
    candidates,
    evidence_of_classes,
    evidence_of_errors,
    judge,
    upper_bound,
)
from offramp.errors import UserError
from offramp.exits import LAST

COSTS = (30.0, 60.0, 100.0)


def evidence(n: int, seed: int, skill: tuple[float, ...] = (0.75, 0.85, 0.93), classes: int = 5) -> Evidence:
    """Answers whose probabilities are honest: surer rows are right more often."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    hard = rng.uniform(0, 1, n) ** 2
    answers = []
    for share in skill:
        scores = rng.normal(0, 1, (n, classes))
        scores[np.arange(n), y] += 6 * share * (1 - hard)
        p = np.exp(2 * scores) / np.exp(2 * scores).sum(axis=1, keepdims=True)
        answers.append((np.clip(np.rint(p * 256), 0, 255) - 128).astype(np.int8))
    return evidence_of_classes(answers[:-1], answers[-1], y)


def told(e: Evidence, kind: str, thresholds: tuple[int, ...]) -> tuple[float, float, float]:
    """(mean cost, share lost, share right) row by row in plain Python."""
    confidences, cost, lost, right = e.confidences(kind), 0.0, 0, 0
    for row in range(e.rows):
        way = next((i for i, t in enumerate(thresholds) if confidences[i][row] >= t), len(thresholds))
        cost += COSTS[way]
        lost += int(e.right[-1][row]) - int(e.right[way][row])
        right += int(e.right[way][row])
    return cost / e.rows, lost / e.rows, right / e.rows


@pytest.mark.parametrize("kind", ["margin", "maximum", "entropy"])
def test_what_is_told_of_thresholds_is_counted_right(kind: str) -> None:
    e = evidence(300, 1)
    tried = candidates(e, COSTS, kind)
    assert len(tried) > 20
    for c in tried[::10]:
        cost, lost, right = told(e, kind, c.thresholds)
        assert (c.cost, c.lost) == (pytest.approx(cost), pytest.approx(lost))
        found = judge(e, COSTS, kind, c.thresholds)
        assert (found.cost, found.lost, found.accuracy) == pytest.approx((cost, lost, right))
        assert sum(found.shares) == pytest.approx(1)
        spent = sorted(
            cost for cost, share in zip(COSTS, found.shares, strict=True) for _ in range(round(share * 300))
        )
        assert (found.worst, found.p95) == (COSTS[-1], spent[math.ceil(0.95 * 300) - 1])


@pytest.mark.parametrize("seed", range(6))
def test_one_searched_number_comes_near_the_best_of_all_thresholds(seed: int) -> None:
    """The best of a grid of pairs, where as many rows as that takes are there: they fit no chance."""
    e = evidence(4000, seed)
    found = calibrate(e, COSTS, 1.0, ["margin"])
    best = COSTS[-1]
    for pair in itertools.product([*range(0, 256, 12), 65535], repeat=2):
        left = np.where(
            e.confidences("margin")[0] >= pair[0], 0, np.where(e.confidences("margin")[1] >= pair[1], 1, 2)
        )
        right = e.right[left, np.arange(e.rows)]
        losses, gains = int((e.right[-1] & ~right).sum()), int((right & ~e.right[-1]).sum())
        if upper_bound(losses, gains, e.rows) <= 0.01:
            best = min(best, float(np.asarray(COSTS)[left].mean()))
    assert found.bound <= 0.01
    assert found.cost < 80  # something is saved
    assert found.cost <= best * 1.06


def test_the_least_cost_of_all_kinds_and_risks_is_taken() -> None:
    e = evidence(800, 3)
    found = calibrate(e, COSTS, 1.5)
    able = [
        c for kind in ("margin", "maximum", "entropy") for c in candidates(e, COSTS, kind) if c.bound <= 0.015
    ]
    assert found.cost == min(c.cost for c in able)


def test_few_rows_prove_nothing() -> None:
    e = evidence(100, 0)
    always = Evidence(e.estimates, np.ones_like(e.right))
    with pytest.raises(
        UserError, match=r"0\.5 points on 100 rows, of which none lost would prove 2\.7"
    ) as caught:
        calibrate(always, COSTS, 0.5)
    assert "more labelled rows" in caught.value.hint


@pytest.mark.parametrize(("losing", "gaining"), [(0.0, 0.0), (0.005, 0.0), (0.02, 0.01), (0.06, 0.02)])
@pytest.mark.parametrize("rows", [150, 250, 1000])
def test_the_bound_holds_as_often_as_it_says(losing: float, gaining: float, rows: int) -> None:
    """Exactly, over all outcomes that a multinomial gives any weight; at least 95 % less what discreteness takes."""
    from scipy.stats import binom

    truth, missed = losing - gaining, 0.0
    for b in range(int(binom.ppf(1 - 1e-9, rows, losing)) + 1):
        of_rest = gaining / (1 - losing)
        for c in range(int(binom.ppf(1 - 1e-9, rows - b, of_rest)) + 1):
            if upper_bound(b, c, rows) < truth:
                missed += binom.pmf(b, rows, losing) * binom.pmf(c, rows - b, of_rest)
    assert missed <= 0.065
    assert upper_bound(0, 0, rows) == pytest.approx(2.7 / rows, rel=0.01)


def test_thresholds_hold_on_rows_that_chose_nothing() -> None:
    """Over many draws, and among three kinds and 200 risks: lost points exceed what was allowed in few."""
    over, saved = 0, []
    rest = evidence(20000, 99)
    for seed in range(30):
        found = calibrate(evidence(400, seed), COSTS, 2.0)
        judged = judge(rest, COSTS, found.confidence, found.thresholds)
        over += judged.lost > 0.02
        saved.append(1 - judged.cost / COSTS[-1])
    assert over <= 3
    assert np.mean(saved) > 0.1


def test_risk_is_scikit_learns_logistic_regression() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    for n in (60, 2000):
        confidence = rng.integers(0, 256, n)
        lost = rng.uniform(0, 1, n) < 0.4 * (1 - confidence / 255)
        deviation = confidence.std() + 1e-9
        x = np.append((confidence - confidence.mean()) / deviation, [0, 0])[:, None]
        theirs = linear_model.LogisticRegression(C=1 / 0.5, tol=1e-10, max_iter=1000).fit(
            x, np.append(lost, [1, 0]), np.append(np.ones(n), [0.5, 0.5])
        )
        ours = Risk.of(confidence, lost)
        assert ours.level == pytest.approx(float(theirs.intercept_[0]), abs=1e-4)
        assert ours.slope == pytest.approx(float(theirs.coef_[0, 0]) / deviation, abs=1e-6)
        for most in (0.01, 0.1, 0.3):
            least = ours.threshold(most, 255)
            if least < 65535:
                risk = [
                    1 / (1 + np.exp(-(ours.level + ours.slope * (c - ours.mean)))) for c in (least - 1, least)
                ]
                assert risk[1] <= most and (least == 0 or risk[0] > most)


@pytest.mark.parametrize("confidence", [[7] * 50, list(range(50))])
@pytest.mark.parametrize("lost", ["none", "all", "sure"])
def test_risk_of_odd_rows_is_a_number(confidence: list[int], lost: str) -> None:
    """Always or never lost, one confidence, or lost where it is sure: no slope the wrong way, no overflow."""
    rows: dict[str, Any] = {"none": np.zeros(50, bool), "all": np.ones(50, bool), "sure": np.arange(50) > 25}
    risk = Risk.of(np.array(confidence), rows[lost])
    assert np.isfinite([risk.level, risk.slope, risk.mean]).all() and risk.slope <= 0
    for most in (0.0, 1e-4, 0.5, 1.0):
        assert 0 <= risk.threshold(most, 255) <= 65535
    assert risk.threshold(1.0, 255) == 0
    assert risk.threshold(0.0, 255) == 65535


def test_a_detector_may_call_normal_only_what_ends_so() -> None:
    errors = np.linspace(0, 1, 200)
    estimates = [np.rint(255 * errors - 128).astype(np.int8)[:, None]]
    e = evidence_of_errors(estimates, errors)
    assert e.normal == pytest.approx(np.percentile(errors, 95))
    found = calibrate(e, (40.0, 100.0), 2.0, ["error"])
    left = e.confidences("error")[0] >= found.thresholds[0]
    assert left.mean() > 0.8 and (left & ~e.right[0]).mean() <= 0.02
    assert found.normal == e.normal


def test_shares_name_the_end_last() -> None:
    e = evidence(50, 0)
    assert judge(e, COSTS, "margin", (65535, 65535)).shares == (0.0, 0.0, 1.0)
    assert judge(e, COSTS, "margin", (0, 0)).shares == (1.0, 0.0, 0.0)
    assert LAST == -1


def test_the_interval_is_that_of_drawn_rows() -> None:
    """Against rows drawn one by one."""
    e = evidence(250, 5)
    thresholds = candidates(e, COSTS, "margin")[60].thresholds
    found = judge(e, COSTS, "margin", thresholds)
    left = np.where(
        e.confidences("margin")[0] >= thresholds[0],
        0,
        np.where(e.confidences("margin")[1] >= thresholds[1], 1, 2),
    )
    pairs = e.right[-1].astype(float) - e.right[left, np.arange(250)]
    drawn = pairs[np.random.default_rng(1).integers(0, 250, (10_000, 250))].mean(axis=1)
    assert found.lost_interval == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.0041)
    assert found.lost_stderr == pytest.approx(drawn.std(), rel=0.05)
    assert found.lost_stderr > 0
