"""How well scores order what followed, and what a portfolio by them earns after costs.

Every figure is computed from hours x coins (``panel.py``), for a model and for each baseline alike. The scores of an hour
are judged by the forward return from that hour's mark. The portfolio trades later: weights that are decided at t + 5
minutes are held from t + ``delay`` hours on, for one hour.

Formulas and sources: ``ic.py``, ``portfolio.py``, ``sharpe.py``; docs/model-report.md explains each number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from polars.dataframe.group_by import GroupBy

from crypto_assets.errors import ModelError
from crypto_assets.models import grid, ic, portfolio, sharpe
from crypto_assets.models.grid import Floats
from crypto_assets.models.panel import Panel
from crypto_assets.models.portfolio import Backtest, Costs, WeightRule

HORIZONS = (1, 4, 12, 24, 72, 168)
QUANTILES = 5


@dataclass(frozen=True)
class Method:
    """How scores are judged.

    Attributes:
        horizon: hours of the forward return that the scores are meant for.
        horizons: hours of the further ones, which show how the information decays.
        rule: from scores to weights.
        costs: of trading.
        delay: hours from a score's hour mark to the trade, at least 1: the score is known 5 minutes after the mark.
        perpetuals: charge and pay funding on held positions.
    """

    horizon: int = 24
    horizons: tuple[int, ...] = HORIZONS
    rule: WeightRule = field(default_factory=WeightRule)
    costs: Costs = field(default_factory=Costs)
    delay: int = 1
    perpetuals: bool = True

    def __post_init__(self) -> None:
        """Refuse a trade before the score is known, and horizons of no hour."""
        if self.delay < 1 or min((self.horizon, *self.horizons)) < 1:
            raise ModelError(f"a delay of {self.delay} h and horizons {self.horizons}: each must be one hour or more")


@dataclass(frozen=True)
class Evaluation:
    """What scores were worth, each frame ascending.

    Attributes:
        name: of the model, rule or portfolio.
        figures: numbers over the whole range; NaN where there is none.
        hourly: ts, coins, ic, rank_ic (null: none).
        by_day: date, hours, coins (mean), ic, rank_ic.
        by_month: month, hours, coins (mean), ic, rank_ic, t_newey_west.
        by_horizon: horizon (hours), hours, rank_ic, error (Newey-West).
        by_coin: symbol, hours, rank_ic: correlation over time of the coin's ranks of score and outcome within the hour.
        by_regime: regime, hours, rank_ic, t_newey_west.
        by_quantile: quantile, outcome (mean over the hours).
        daily: date, gross, cost, funding, net, turnover: the portfolio's sums of each UTC day, fractions of the capital.
    """

    name: str
    figures: dict[str, float]
    hourly: pl.DataFrame
    by_day: pl.DataFrame
    by_month: pl.DataFrame
    by_horizon: pl.DataFrame
    by_coin: pl.DataFrame
    by_regime: pl.DataFrame
    by_quantile: pl.DataFrame
    daily: pl.DataFrame

    @property
    def net(self) -> Floats:
        """The portfolio's daily returns after costs."""
        return self.daily["net"].to_numpy()


def evaluate(name: str, scores: Floats, panel: Panel, span: slice, method: Method) -> Evaluation:
    """Judge scores.

    Args:
        name: of what gave them.
        scores: hours x coins of the panel; NaN: none.
        panel: the market, with the longest horizon after the judged hours.
        span: rows of the panel that are judged.
        method: how.

    Raises:
        ModelError: the scores are not of the panel's shape.
    """
    if scores.shape != panel.price.shape:
        raise ModelError(f"{name} has scores of {scores.shape} for a panel of {panel.price.shape}")
    mine, outcomes = scores[span], panel.forward(method.horizon)[span]
    found = ic.coefficients(mine, outcomes)
    hourly = pl.DataFrame(
        {"ts": panel.hours[span], "coins": found.coins, "ic": found.ic, "rank_ic": found.rank_ic}, nan_to_null=True
    )
    lags, each = method.horizon - 1, method.horizon
    whole = ic.summary(found.rank_ic, lags, each=each)
    held = backtest(scores, panel, span, method)
    daily = by_day(held, panel, span)
    spread, quantiles = _quantiles(mine, outcomes, method)
    scored, judged = ~np.isnan(mine), found.coins[found.coins > 0]
    figures = {
        "rank_ic": whole["mean"],
        "rank_icir": whole["icir"],
        "t_newey_west": whole["t_newey_west"],
        "t_non_overlapping": whole["t_non_overlapping"],
        "hours": whole["hours"],
        "samples": whole["samples"],
        "ic": ic.summary(found.ic, lags, each=each)["mean"],
        "coins": float(judged.mean()) if judged.size else math.nan,
        "scored": float(scored.sum()),
        **spread,
        **portfolio_figures(held, daily),
    }
    return Evaluation(
        name, figures, hourly,
        _grouped(hourly, pl.col("ts").dt.date().alias("date")),
        _by_month(hourly, lags),
        _by_horizon(mine, panel, span, method),
        _by_coin(mine, outcomes, panel),
        _by_regime(found.rank_ic, panel, span, lags),
        quantiles, daily,
    )  # fmt: skip


def backtest(scores: Floats, panel: Panel, span: slice, method: Method) -> Backtest:
    """Hold the weights that follow from scores, hour by hour, and charge what it costs.

    A coin without a price at the trade goes to weight 0 then; the position it had is closed at its last price.
    """
    target = portfolio.target_weights_by_hour(scores[span], panel.volatility[span], method.rule)
    later = slice(span.start + method.delay, span.stop + method.delay)
    returns, volume, funding = (
        _padded(array[later], len(target)) for array in (panel.forward(1), panel.volume_usd, panel.funding)
    )
    target[np.isnan(_padded(panel.price[later], len(target)))] = np.nan
    weights = portfolio.damped_by_hour(target, method.rule)
    paid = funding if method.perpetuals else np.zeros(returns.shape)
    return portfolio.backtest(weights, returns, volume, paid, method.costs)


def hold(panel: Panel, span: slice, method: Method) -> Backtest:
    """Buy all coins of an hour in equal parts at the start of each month and hold them, as spot: without funding."""
    later = slice(span.start + method.delay, span.stop + method.delay)
    returns = np.nan_to_num(_padded(panel.forward(1)[later], span.stop - span.start))
    known = ~np.isnan(_padded(panel.price[later], len(returns)))
    volume = _padded(panel.volume_usd[later], len(returns))
    months = panel.hours[span].astype("datetime64[M]")
    gross, cost, turnover = np.zeros(len(returns)), np.zeros(len(returns)), np.zeros(len(returns))
    former = np.zeros(returns.shape[1])
    for start in np.flatnonzero(np.r_[True, months[1:] != months[:-1]]):
        part = slice(start, start + int((months == months[start]).sum()))
        bought = known[start] / max(int(known[start].sum()), 1)
        value = bought * np.cumprod(
            1 + returns[part], axis=0
        )  # of each position, for a capital of 1 at the month's start
        before = np.vstack([bought, value[:-1]])
        gross[part] = (value - before).sum(axis=1) / np.maximum(before.sum(axis=1), 1e-12)
        traded = np.abs(bought - former)
        cost[start], turnover[start] = method.costs.of(traded, volume[start]).sum(), traded.sum()
        former = value[-1] / max(value[-1].sum(), 1e-12)
    return Backtest(gross, cost, np.zeros(len(returns)), turnover)


def by_day(held: Backtest, panel: Panel, span: slice) -> pl.DataFrame:
    """Sum a portfolio's hours by the UTC day of the decision."""
    parts = {
        "gross": held.gross,
        "cost": held.cost,
        "funding": held.funding,
        "net": held.net,
        "turnover": held.turnover,
    }
    frame = pl.DataFrame({"date": pl.Series(panel.hours[span]).dt.date(), **parts})
    return _groups(frame, pl.col("date")).agg(pl.all().sum())


def portfolio_figures(held: Backtest, daily: pl.DataFrame) -> dict[str, float]:
    """Return the figures of a portfolio: fractions of the capital, Sharpe ratios a day and a year of 365 days."""
    net = daily["net"].to_numpy()
    days = max(len(net), 1)
    a_day = sharpe.Returns.of(net).sharpe if len(net) > 1 and np.ptp(net) > 0 else math.nan
    before = daily["gross"].to_numpy()
    free = sharpe.Returns.of(before).sharpe if len(before) > 1 and np.ptp(before) > 0 else math.nan
    return {
        "days": float(len(net)),
        "gross_a_year": float(before.sum()) / days * 365,
        "cost_a_year": float(daily["cost"].sum()) / days * 365,
        "funding_a_year": float(daily["funding"].sum()) / days * 365,
        "net_a_year": float(net.sum()) / days * 365,
        "turnover_a_day": float(daily["turnover"].sum()) / days,
        "break_even_cost": held.break_even,
        "drawdown": sharpe.drawdown(net) if len(net) else math.nan,
        "sharpe_a_day": a_day,
        "sharpe_a_year": sharpe.annualised(a_day),
        "sharpe_a_year_before_costs": sharpe.annualised(free),
    }


def _padded(array: Floats, hours: int) -> Floats:
    """Return the array with rows of NaN after its end: the market may end before the last trade."""
    missing = hours - len(array)
    return np.vstack([array, np.full((missing, array.shape[1]), np.nan)]) if missing > 0 else array.copy()


def _grouped(hourly: pl.DataFrame, by: pl.Expr) -> pl.DataFrame:
    """Average the hours that have a rank IC by a part of time."""
    found = _groups(hourly.filter(pl.col("rank_ic").is_not_null()), by)
    return found.agg(pl.len().alias("hours"), pl.col("coins", "ic", "rank_ic").mean())


def _groups(hours: pl.DataFrame, by: pl.Expr) -> GroupBy:
    """Group rows in order of time so that sums are the same to the bit each time.

    Polars sums the groups of a key that it does not know to be sorted in parts, one a thread, and adds the parts in
    any order: one run in twenty differs in the last bit.
    """
    name = by.meta.output_name()
    return hours.with_columns(by.set_sorted()).group_by(name, maintain_order=True)


def _by_month(hourly: pl.DataFrame, lags: int) -> pl.DataFrame:
    month = pl.col("ts").dt.truncate("1mo").dt.date().alias("month")
    found = _grouped(hourly, month)
    known = hourly.filter(pl.col("rank_ic").is_not_null()).with_columns(month)
    values = dict(known.group_by("month").agg("rank_ic").rows())
    statistics = [_t(np.array(values[name]), lags) for name in found["month"]]
    return found.with_columns(pl.Series("t_newey_west", statistics, dtype=pl.Float64))


def _t(values: Floats, lags: int) -> float:
    """Return mean / Newey-West error; NaN where there is none."""
    values = values[~np.isnan(values)]
    error = ic.newey_west_error(values, lags)
    return float(values.mean()) / error if values.size and error > 0 else math.nan


def _by_horizon(scores: Floats, panel: Panel, span: slice, method: Method) -> pl.DataFrame:
    rows = []
    for horizon in sorted({*method.horizons, method.horizon}):
        values = ic.coefficients(scores, panel.forward(horizon)[span]).rank_ic
        values = values[~np.isnan(values)]
        mean = float(values.mean()) if values.size else None
        rows.append((horizon, values.size, mean, ic.newey_west_error(values, horizon - 1)))
    schema = {"horizon": pl.Int64, "hours": pl.Int64, "rank_ic": pl.Float64, "error": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _by_coin(scores: Floats, outcomes: Floats, panel: Panel) -> pl.DataFrame:
    there = ~(np.isnan(scores) | np.isnan(outcomes))
    there &= (there.sum(axis=1) >= ic.FEWEST_COINS)[:, None]
    count = np.maximum(there.sum(axis=1), 1)[:, None]
    one, other = ((grid.row_ranks(np.where(there, array, np.nan)) - 0.5) / count for array in (scores, outcomes))
    found = pl.DataFrame(
        {"symbol": list(panel.coins), "hours": there.sum(axis=0), "rank_ic": grid.row_correlations(one.T, other.T)},
        nan_to_null=True,
    )
    return found.filter(pl.col("hours") > 0)


def _by_regime(rank_ic: Floats, panel: Panel, span: slice, lags: int) -> pl.DataFrame:
    rows = []
    for name, flags in panel.regimes().items():
        values = rank_ic[flags[span] & ~np.isnan(rank_ic)]
        if values.size:
            rows.append((name, values.size, float(values.mean()), _t(values, lags)))
    schema = {"regime": pl.String, "hours": pl.Int64, "rank_ic": pl.Float64, "t_newey_west": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _quantiles(scores: Floats, outcomes: Floats, method: Method) -> tuple[dict[str, float], pl.DataFrame]:
    _, means = ic.quantile_outcomes(scores, outcomes, QUANTILES)
    spread = means[:, -1] - means[:, 0]
    known = spread[~np.isnan(spread)]
    count = (~np.isnan(means)).sum(axis=0)
    overall = np.divide(np.nansum(means, axis=0), count, out=np.full(QUANTILES, np.nan), where=count > 0)
    figures = {
        "quantile_spread": float(known.mean()) if known.size else math.nan,
        "quantile_spread_t": _t(known, method.horizon - 1),
    }
    return figures, pl.DataFrame({"quantile": range(1, QUANTILES + 1), "outcome": overall}, nan_to_null=True)
