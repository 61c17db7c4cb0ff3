"""Evaluations against SciPy, pandas and loops written out; comparisons against what was planted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats

from crypto_assets.errors import ModelError
from crypto_assets.models import comparison, evaluation, grid, portfolio
from crypto_assets.models.evaluation import Method
from crypto_assets.models.panel import DOWN, UP, Panel, segments
from crypto_assets.models.portfolio import Costs, WeightRule

FIRST = np.datetime64("2024-01-01T00:00:00", "us")
HOURS, COINS = 24 * 150, 12
SPAN = slice(24 * 20, 24 * 140)
METHOD = Method(rule=WeightRule(trade=0.1))


def market(seed: int = 0, hours: int = HOURS, coins: int = COINS) -> Panel:
    """Prices that wander, with holes, a coin that begins late and one that is delisted."""
    rng = np.random.default_rng(seed)
    price = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (hours, coins)), axis=0))
    price[rng.random(price.shape) < 0.01] = np.nan
    price[: hours // 4, 0] = np.nan
    price[hours // 2 :, 1] = np.nan
    funding = np.where(np.arange(hours)[:, None] % 8 == 7, 1e-4, 0.0) + np.zeros(price.shape)
    return Panel(
        FIRST, tuple(f"C{coin:02}" for coin in range(coins)), price, segments(None, price.shape),
        np.full(price.shape, 1e7), np.full(price.shape, 0.01), funding,
    )  # fmt: skip


def scores_of(panel: Panel, strength: float, seed: int = 1) -> np.ndarray:
    """Scores that know a part of the next day's return."""
    noise = np.random.default_rng(seed).normal(size=panel.price.shape)
    scores = strength * np.nan_to_num(panel.forward(24)) / 0.05 + noise
    scores[np.isnan(panel.price)] = np.nan
    return scores


@pytest.fixture(scope="module")
def panel() -> Panel:
    return market()


@pytest.fixture(scope="module")
def good(panel: Panel) -> evaluation.Evaluation:
    return evaluation.evaluate("good", scores_of(panel, 0.3), panel, SPAN, METHOD)


def test_daily_rank_ic_is_that_of_pandas(panel: Panel, good: evaluation.Evaluation) -> None:
    frame = pd.DataFrame(panel.price, index=pd.DatetimeIndex(panel.hours), columns=panel.coins)
    forward = (frame.shift(-24) / frame - 1).iloc[SPAN]
    scores = pd.DataFrame(scores_of(panel, 0.3)[SPAN], forward.index, forward.columns)
    both = scores.notna() & forward.notna()
    ranks = scores.where(both).rank(axis=1), forward.where(both).rank(axis=1)
    hourly = ranks[0].corrwith(ranks[1], axis=1)
    expected = hourly.groupby(pd.DatetimeIndex(hourly.index).date).mean()
    assert good.by_day["date"].to_list() == list(expected.index)
    np.testing.assert_allclose(good.by_day["rank_ic"].to_numpy(), expected.to_numpy(), atol=1e-12)
    assert good.figures["rank_ic"] == pytest.approx(hourly.mean(), abs=1e-12)
    assert good.figures["t_non_overlapping"] == pytest.approx(stats.ttest_1samp(hourly[::24].dropna(), 0).statistic)
    for horizon, hours, rank_ic, _ in good.by_horizon.rows():
        ahead = (frame.shift(-horizon) / frame - 1).iloc[SPAN]
        pair = scores.notna() & ahead.notna()
        other = scores.where(pair).rank(axis=1).corrwith(ahead.where(pair).rank(axis=1), axis=1)
        assert (hours, rank_ic) == (other.notna().sum(), pytest.approx(other.mean(), abs=1e-12))
    row = good.by_coin.row(by_predicate=pl.col("symbol") == "C05", named=True)
    places = [((rank - 0.5).div(both.sum(axis=1), axis=0))["C05"] for rank in ranks]
    assert row["rank_ic"] == pytest.approx(places[0].corr(places[1]), abs=1e-12)


def test_quantiles_order_what_followed(good: evaluation.Evaluation) -> None:
    outcomes = good.by_quantile["outcome"].to_list()
    assert outcomes == sorted(outcomes)
    assert good.figures["quantile_spread"] == pytest.approx(outcomes[-1] - outcomes[0], rel=0.02)
    assert good.figures["quantile_spread_t"] > 5


def test_the_portfolio_is_the_loop_written_out(panel: Panel) -> None:
    scores, span = scores_of(panel, 0.3), slice(480, 720)
    found = evaluation.backtest(scores, panel, span, METHOD)
    former = np.zeros(COINS)
    for number, hour in enumerate(range(480, 720)):
        target = portfolio.target_weights(scores[hour], panel.volatility[hour], METHOD.rule)
        target[np.isnan(panel.price[hour + 1])] = np.nan
        weights = portfolio.damped(former, target, METHOD.rule)
        returns = np.nan_to_num(panel.price[hour + 2] / panel.price[hour + 1] - 1)
        traded = np.abs(weights - former)
        assert found.gross[number] == pytest.approx(float(weights @ returns), abs=1e-12)
        assert found.funding[number] == pytest.approx(float(weights @ panel.funding[hour + 1]), abs=1e-12)
        impact = 0.1 * np.sqrt(traded * 1e6 / 1e7)
        assert found.cost[number] == pytest.approx(float(traded @ (0.0007 + impact)), abs=1e-12)
        assert found.turnover[number] == pytest.approx(traded.sum(), abs=1e-12)
        former = weights


def test_each_cost_takes_its_part_and_the_break_even_cost_leaves_nothing(panel: Panel) -> None:
    scores = scores_of(panel, 0.3)
    free = replace(METHOD, costs=Costs(0, 0, 0), perpetuals=False)
    whole = evaluation.evaluate("free", scores, panel, SPAN, free)
    assert whole.figures["cost_a_year"] == whole.figures["funding_a_year"] == 0
    at_the_edge = replace(free, costs=Costs(whole.figures["break_even_cost"], 0, 0))
    assert evaluation.evaluate("edge", scores, panel, SPAN, at_the_edge).figures["net_a_year"] == pytest.approx(
        0, abs=1e-9
    )
    costs = [Costs(0.001, 0, 0), Costs(0, 0.001, 0), Costs(0, 0, 1.0), Costs(0, 0, 1.0, capital_usd=4e6)]
    paid = [
        evaluation.evaluate("paid", scores, panel, SPAN, replace(free, costs=given)).figures["cost_a_year"]
        for given in costs
    ]
    assert paid[0] == pytest.approx(paid[1])
    assert paid[3] == pytest.approx(2 * paid[2])  # the impact of a trade of four times the size is twice as large
    assert (
        evaluation.evaluate("held", scores, panel, SPAN, replace(free, perpetuals=True)).figures["funding_a_year"] != 0
    )


def test_scores_after_an_hour_change_nothing_of_it(panel: Panel) -> None:
    scores = scores_of(panel, 0.3)
    later = scores.copy()
    later[2000:] = -scores[2000:]
    one, other = (evaluation.evaluate("x", array, panel, SPAN, METHOD) for array in (scores, later))
    day = pl.col("date") < pl.lit(pd.Timestamp(panel.hours[2000]).date())
    assert one.daily.filter(day).equals(other.daily.filter(day))
    assert one.by_day.filter(day).equals(other.by_day.filter(day))
    assert not one.daily.equals(other.daily)


def test_an_evaluation_is_the_same_to_the_bit_each_time(panel: Panel, good: evaluation.Evaluation) -> None:
    held, scores = evaluation.backtest(scores_of(panel, 0.3), panel, SPAN, METHOD), scores_of(panel, 0.3)
    for _ in range(150):  # sums of groups differed in one of twenty
        assert evaluation.by_day(held, panel, SPAN).equals(good.daily)
    for _ in range(10):
        again = evaluation.evaluate("good", scores, panel, SPAN, METHOD)
        assert again.by_day.equals(good.by_day)
        assert again.by_month.equals(good.by_month)


def test_holding_earns_what_the_coins_earn(panel: Panel) -> None:
    month = slice(31 * 24, 60 * 24)  # all of February 2024
    found = evaluation.hold(panel, month, METHOD)
    start, end = month.start + 1, month.stop + 1
    frame = pd.DataFrame(panel.price)
    steps = np.nan_to_num((frame.shift(-1) / frame - 1).to_numpy()[start:end])
    known = ~np.isnan(panel.price[start])
    assert np.prod(1 + found.gross) == pytest.approx(float(np.prod(1 + steps, axis=0)[known].mean()), rel=1e-12)
    assert found.turnover.sum() == pytest.approx(1.0)
    assert (found.funding == 0).all()


def test_a_regime_is_known_at_its_hour(panel: Panel) -> None:
    cut = replace(panel, price=panel.price[:2500], segment=panel.segment[:2500], volume_usd=panel.volume_usd[:2500],
                  volatility=panel.volatility[:2500], funding=panel.funding[:2500])  # fmt: skip
    for name, flags in panel.regimes().items():
        np.testing.assert_array_equal(cut.regimes()[name], flags[:2500])
    up, down = panel.regimes()[UP], panel.regimes()[DOWN]
    assert not (up & down).any() and (up | down)[720:].all() and not (up | down)[:500].any()


def test_no_return_reaches_over_a_seam() -> None:
    price = np.array([[1.0], [1.0], [1000.0], [1000.0]])
    seam = np.array([[False], [False], [True], [False]])
    still = np.ones(price.shape)
    panel = Panel(FIRST, ("A",), price, segments(seam, price.shape), still, still, still)
    np.testing.assert_array_equal(panel.forward(1)[:, 0], [0, np.nan, 0, np.nan])


def test_ranks_of_rows_are_those_of_scipy() -> None:
    values = np.random.default_rng(4).integers(0, 5, (50, 9)).astype(float)
    values[np.random.default_rng(5).random(values.shape) < 0.2] = np.nan
    np.testing.assert_array_equal(grid.row_ranks(values), stats.rankdata(values, axis=1, nan_policy="omit"))


def test_rows_find_their_place() -> None:
    rows = pl.DataFrame({
        "symbol": ["B", "A", "Z", "B", "A"],
        "ts": pl.Series(FIRST + np.array([0, 1, 0, -1, 9]) * grid.HOUR).dt.replace_time_zone("UTC"),
        "x": [1.0, None, 3.0, 4.0, 5.0],
    })  # fmt: skip
    np.testing.assert_array_equal(grid.lay_out(rows, "x", FIRST, 2, ("A", "B")), [[np.nan, 1.0], [np.nan, np.nan]])


def test_equal_scores_share_a_quantile_whatever_followed() -> None:
    scores, outcomes = np.zeros((1, 10)), np.arange(10.0)[None]
    scores[0, -1] = 1.0
    coins, means = evaluation.ic.quantile_outcomes(scores, outcomes, 5)
    assert coins.tolist() == [[0, 0, 9, 0, 1]]
    assert means[0, 2] == 4.0


@pytest.mark.parametrize(("strength", "beats"), [(0.5, True), (0.0, False)])
def test_a_model_is_set_against_the_best_single_feature(panel: Panel, strength: float, beats: bool) -> None:
    def judged(name: str, scores: np.ndarray) -> evaluation.Evaluation:
        return evaluation.evaluate(name, scores, panel, SPAN, METHOD)

    model = judged("model", scores_of(panel, strength))
    rules = [judged("weak", scores_of(panel, 0.05, seed=8)), judged("strong", scores_of(panel, 0.2, seed=9))]
    found = comparison.compare([model], rules, {}, tried=7)
    (verdict,) = found.verdicts
    assert (verdict.beats, verdict.best, found.trials) == (beats, "strong", 9)
    assert ("beats" in verdict.sentence) == beats
    assert found.overfitting is not None and found.overfitting.probability < 0.2  # the same one is best in every half
    few = comparison.compare([model], rules, {}, tried=1).verdicts[0].deflated
    many = comparison.compare([model], rules, {}, tried=10_000).verdicts[0].deflated
    assert many <= few


def test_what_cannot_be_judged_is_said() -> None:
    short = market(hours=30)
    nothing = evaluation.evaluate("empty", np.full(short.price.shape, np.nan), short, slice(0, 24), METHOD)
    assert math.isnan(nothing.figures["rank_ic"]) and math.isnan(nothing.figures["sharpe_a_day"])
    (verdict,) = comparison.compare([nothing], [], {}, tried=1).verdicts
    assert verdict.beats is None and "cannot be compared" in verdict.sentence and math.isnan(verdict.deflated)
    with pytest.raises(ModelError, match="scores of"):
        evaluation.evaluate("x", np.zeros((2, 2)), short, slice(0, 1), METHOD)
    with pytest.raises(ModelError, match="a delay of 0 h"):
        Method(delay=0)
