"""The proofs hold on honest rows, and fail where the future is let in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from scipy import stats

from crypto_assets.models import proofs
from crypto_assets.models.training import Labelled
from crypto_assets_tests.models.test_training import BEGIN, config, market

FEATURES = ["edge", "noise", "return_7d"]
AT = BEGIN + timedelta(days=40)


@pytest.fixture(scope="module")
def labelled() -> Labelled:
    """Forty days in which a feature knows a little, as real ones do."""
    rows = market(hours=24 * 40)
    weak = 0.05 * rows["edge"] + 0.01 * np.random.default_rng(1).normal(size=rows.height)
    return Labelled.of(rows.with_columns(forward_return=0.01 * weak + rows["forward_return"].shuffle(2)), FEATURES)


@pytest.mark.parametrize(("kind", "seeds", "inside"), [("ridge", 20, 17), ("lightgbm", 3, 2)])
def test_shuffled_labels_teach_nothing(labelled: Labelled, kind: str, seeds: int, inside: int) -> None:
    few = replace(config(kind), parameters={"trees": 5, "threads": 1} if kind == "lightgbm" else {})
    found = proofs.shuffled_labels(labelled, few, AT, range(seeds))
    assert sum(one.inside for one in found) >= inside
    assert len({one.rank_ic for one in found}) == seeds


def test_labels_move_within_their_hour_only(labelled: Labelled) -> None:
    mixed = proofs.shuffled(labelled, 3)
    by_hour = [
        rows.rows.group_by("ts", maintain_order=True).agg(pl.col("forward_return").sort()) for rows in (labelled, mixed)
    ]
    assert by_hour[0].equals(by_hour[1])
    assert (labelled.rows["forward_return"] != mixed.rows["forward_return"]).mean() > 0.8  # type: ignore[operator]
    assert mixed.rows.drop("forward_return", "barrier").equals(labelled.rows.drop("forward_return", "barrier"))


def test_shuffled_labels_show_a_training_that_sees_its_test_rows(labelled: Labelled) -> None:
    """A feature that is the shuffled label itself gives what a leak in the split would give."""
    mixed = proofs.shuffled(labelled, 0)
    leaking = Labelled.of(mixed.rows.with_columns(edge=pl.col("forward_return")), FEATURES)
    found = proofs.training.train(leaking, config("ridge"), AT).metrics
    assert not proofs.Shuffled(0, found["out_of_fold_rank_ic"], found["out_of_fold_error"]).inside


def test_a_planted_leak_is_found_and_named_alone_in_ten_of_ten(labelled: Labelled) -> None:
    assert proofs.suspects(proofs.feature_coefficients(labelled, 24)) == []
    assert proofs.planted_leaks(labelled, 24, range(10)) == [[proofs.PLANTED]] * 10


def panel(coins: int, days: int, seed: int) -> Labelled:
    """A market whose coins move together most of the time, and twelve features: noise that lasts an hour, ten hours, four
    days or for ever, and three of them that know as much of what follows as a feature is expected to at most."""
    rng = np.random.default_rng(seed)
    hours, kinds = days * 24, np.array([0.0, 0.9, 0.99, 1.0] * 3)
    own = 0.004 * rng.standard_t(4, size=(hours + 24, coins))
    together = 0.015 * rng.normal(size=(hours + 24, 1))
    moved, alone = (np.cumsum(steps, axis=0) for steps in (own + together, own))
    alone = alone[24:] - alone[:-24]
    known = (alone - alone.mean(axis=1, keepdims=True)) / alone.std(axis=1, keepdims=True)
    values = np.empty((hours, len(kinds), coins))
    lasting, renewed = kinds[:, None], np.sqrt(1 - kinds**2)[:, None]
    values[0] = rng.normal(size=values.shape[1:])
    for hour in range(1, hours):
        values[hour] = lasting * values[hour - 1] + renewed * rng.normal(size=values.shape[1:])
    values[:, ::4] += proofs.PLAUSIBLE_IC * known[:, None]
    columns = {f"f{number:02}": values[:, number].ravel() for number in range(len(kinds))}
    rows = pl.DataFrame(
        {
            "symbol": [f"C{coin}" for coin in range(coins)] * hours,
            "ts": [BEGIN + timedelta(hours=hour) for hour in range(hours) for _ in range(coins)],
            "forward_return": (moved[24:] - moved[:-24]).ravel(),
            **columns,
        }
    )
    return Labelled.of(rows, list(columns))


@pytest.mark.parametrize(("coins", "days"), [(5, 60), (20, 30), (20, 90)])
def test_a_planted_leak_is_found_alone_in_small_panels_whose_coins_move_together(coins: int, days: int) -> None:
    for seed in range(2):
        assert proofs.planted_leaks(panel(coins, days, seed), 24, range(10)) == [[proofs.PLANTED]] * 10


@pytest.mark.parametrize("step", [5, 24])
def test_searches_among_honest_features_name_one_in_a_hundred_at_most(step: int) -> None:
    searches = [proofs.suspects(proofs.feature_coefficients(panel(8, 45, seed), 24, step)) for seed in range(40)]
    assert sum(map(bool, searches)) <= 1


@pytest.mark.parametrize(("features", "freedom"), [(348, 89), (40, 59), (3, 7), (348, 29)])
def test_bounds_are_quantiles_of_students_t(features: int, freedom: int) -> None:
    expected = stats.t.ppf(1 - proofs.FALSE_ALARM / 2 / features, freedom)
    assert proofs.errors_of_bound(features, freedom) == pytest.approx(expected, rel=1e-3)


def test_a_strong_coefficient_of_a_few_hours_is_not_sure() -> None:
    rows = {"feature": ["sure", "few", "too_few", "equal"], "samples": [90, 6, 4, 6], "rank_ic": [0.3, 0.3, 0.9, 0.9]}
    found = pl.DataFrame({**rows, "t": [10.0, 4.0, 50.0, None]})
    assert proofs.suspects(found) == ["sure", "equal"]


def test_coefficients_of_features_are_sorted_and_do_not_overlap(labelled: Labelled) -> None:
    found = proofs.feature_coefficients(replace(labelled, features=tuple(FEATURES)), 24)
    assert found["samples"].to_list() == [40] * 3
    assert found["rank_ic"].abs().to_list() == sorted(found["rank_ic"].abs(), reverse=True)


def test_a_model_that_saw_the_future_is_noticed(labelled: Labelled) -> None:
    at = BEGIN + timedelta(days=30)
    known = Labelled.of(labelled.rows.filter(pl.col("label_available_at") < at), FEATURES)
    assert proofs.is_the_same_without_the_future(labelled, known, config("ridge"), at)[0]
    changed = labelled.rows.with_columns(pl.col("forward_return") + pl.col("noise"))
    assert not proofs.is_the_same_without_the_future(Labelled.of(changed, FEATURES), known, config("ridge"), at)[0]
