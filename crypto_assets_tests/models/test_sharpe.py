"""Deflated Sharpe ratio and overfitting: golden values, limits, and what pure noise shows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crypto_assets.errors import ModelError
from crypto_assets.models import drift, overfitting, sharpe
from crypto_assets.models.sharpe import Returns


def test_the_example_of_the_paper() -> None:
    """Bailey and López de Prado 2014: SR 2.5 a year of 250 days, T 1250, N 100, V a half a year, skew -3, kurtosis 10."""
    found = Returns(2.5 / math.sqrt(250), 1250, -3, 10)
    assert sharpe.expected_best(100, 0.5 / 250) == pytest.approx(0.11317, abs=5e-6)
    assert sharpe.deflated_sharpe(found, 100, 0.5 / 250) == pytest.approx(0.9004, abs=5e-5)


def test_one_trial_is_not_deflated_and_more_trials_deflate_more() -> None:
    found = Returns(0.1, 500)
    probabilities = [sharpe.deflated_sharpe(found, trials, 0.002) for trials in (1, 2, 10, 1000)]
    assert probabilities[0] == sharpe.probabilistic_sharpe(found)
    assert probabilities == sorted(probabilities, reverse=True)


def test_moments_are_the_whole_ones() -> None:
    values = np.random.default_rng(5).standard_t(5, 4000) / 100
    from scipy import stats

    found = Returns.of(values)
    assert found.skew == pytest.approx(stats.skew(values))
    assert found.kurtosis == pytest.approx(stats.kurtosis(values, fisher=False))
    assert found.sharpe == pytest.approx(values.mean() / values.std(ddof=1))
    with pytest.raises(ModelError, match="no Sharpe ratio"):
        Returns.of(np.full(9, 0.25))


def test_the_best_of_noise_is_as_good_as_expected() -> None:
    trials = np.random.default_rng(1).normal(size=(400, 500, 50)).mean(axis=1) * math.sqrt(500)
    assert trials.max(axis=1).mean() == pytest.approx(sharpe.expected_best(50, 1.0), rel=0.03)


def test_drawdown_is_the_deepest_fall() -> None:
    assert sharpe.drawdown(np.array([0.5, -0.5, 0.2, -0.1, 3.0])) == pytest.approx(1 - 0.5)
    assert sharpe.drawdown(np.array([-0.2, 0.1])) == pytest.approx(0.2)
    assert sharpe.annualised(0.1) == pytest.approx(0.1 * math.sqrt(365))


def test_noise_overfits_half_of_the_time_and_a_true_edge_does_not() -> None:
    rng = np.random.default_rng(2)
    found = [overfitting.overfitting(rng.normal(size=(480, 10)), 8).probability for _ in range(30)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.12)
    edge = rng.normal(size=(480, 10))
    edge[:, 3] += 0.5
    judged = overfitting.overfitting(edge, 8)
    assert judged.probability == 0
    assert judged.logits.size == math.comb(8, 4)


def test_the_rank_is_over_one_more_than_the_trials() -> None:
    """Two parts, the best inside is the worst outside: w = 1/3, logit = ln(1/2)."""
    halves = np.array([[0.01, 0.03], [0.02, 0.05], [0.03, 0.01], [0.05, 0.02]])
    judged = overfitting.overfitting(halves, 2)
    assert judged.logits.tolist() == pytest.approx([math.log(0.5)] * 2)
    with pytest.raises(ModelError, match="even number"):
        overfitting.overfitting(halves, 3)


def test_stability_counts_moved_shares() -> None:
    training = np.arange(1000.0)
    edges = drift.bin_edges(training)
    then = drift.shares(training, edges)
    assert drift.stability_index(then, then) == 0
    moved = drift.stability_index(then, drift.shares(training + 500, edges))
    assert moved > drift.MUCH
    assert math.isnan(drift.stability_index(then, drift.shares(np.array([math.nan]), edges)))
    # by hand: two bins of 1/2 that become 3/4 and 1/4
    half = drift.stability_index(np.array([0.5, 0.5]), np.array([0.75, 0.25]))
    assert half == pytest.approx(0.25 * math.log(1.5) - 0.25 * math.log(0.5))
