"""Price, returns, volatility, extremes and volume from ``prices``, and the coin compared with BTC and the market.

Indicators of bars are in ``technical.py``. Definitions are in ``features/price_columns.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from crypto_assets.features.feature import DAY_HOURS, LEAST_SHARE, MONTH_HOURS, NEAR_MARK, WEEK_HOURS
from crypto_assets.features.grid import BLOCK_CELLS, Arrays, Floats, Grid, Panel, panel
from crypto_assets.features.moments import WindowSums, rolling_moments
from crypto_assets.features.pairs import rolling_comoments, rolling_paths
from crypto_assets.features.price_columns import SPANS
from crypto_assets.features.ties import UNIT
from crypto_assets.features.windows import earlier, ratio, rolling_counts

PRICE_COLUMNS = ("price_usd", "market_cap_usd", "volume_24h_usd")
END = "end_price_usd"  # the price, where it was observed near enough to its hour mark for a return
BTC = "btc_price_usd"  # the same of BTC, in the row of every coin; absent without BTC among the coins
RETURN_NOISE = 4 * UNIT  # rounding of an hourly log return: both prices, their quotient and its logarithm


def price_panel(prices: pl.DataFrame, grid: Grid) -> Panel:
    """Lay out ``prices`` on the grid, and add :data:`END`.

    ``END`` is unknown where the price was observed more than ``NEAR_MARK`` after its hour mark.

    Args:
        prices: rows of ``prices``.
        grid: the grid.

    Returns:
        The panel.
    """
    off = (pl.col("available_at") - pl.col("ts")) > NEAR_MARK
    if not prices.select(off.any()).item():
        found = panel(prices, "prices", grid, PRICE_COLUMNS)
        return replace(found, values=found.values | {END: found.values["price_usd"]})
    ends = prices.with_columns(pl.when(~off).then("price_usd").alias(END))
    return panel(ends, "prices", grid, (*PRICE_COLUMNS, END))


def price_features(values: Mapping[str, Floats]) -> Arrays:
    """Compute all columns that use ``prices`` of the coin and of BTC.

    Args:
        values: the columns of :func:`price_panel`; coins x hours; an hour without a price is NaN.

    Returns:
        Column -> coins x hours.
    """
    price, end = values["price_usd"], values[END]
    out: Arrays = {name: values[name].copy() for name in PRICE_COLUMNS}
    for span, hours in SPANS.items():
        growth = end / earlier(end, hours)
        out[f"return_{span}"] = growth - 1.0
        out[f"log_return_{span}"] = np.log(growth)
    logs = WindowSums.of(out["log_return_1h"], DAY_HOURS, WEEK_HOURS, MONTH_HOURS)
    return out | _volatility(logs) | _extremes(price) | _volume(values) | _beside_btc(values, out, logs)


def _volatility(logs: WindowSums) -> Arrays:
    day, week, month = (logs.moments(hours) for hours in (DAY_HOURS, WEEK_HOURS, MONTH_HOURS))
    std = {
        span: moments.std(ddof=1, at_least=LEAST_SHARE * hours, noise=RETURN_NOISE)
        for span, moments, hours in (("24h", day, DAY_HOURS), ("7d", week, WEEK_HOURS), ("30d", month, MONTH_HOURS))
    }
    return {
        **{f"volatility_{span}": array for span, array in std.items()},
        "volatility_ratio_24h_30d": ratio(std["24h"], std["30d"]),
        "risk_adjusted_return_7d": ratio(week.mean, std["7d"]),
        "risk_adjusted_return_30d": ratio(month.mean, std["30d"]),
    }


def _extremes(price: Floats) -> Arrays:
    present = ~np.isnan(price)
    spans = (WEEK_HOURS, MONTH_HOURS)
    week, month = rolling_paths(price, *spans)
    few = [count < LEAST_SHARE * n for n, count in zip(spans, rolling_counts(present, *spans), strict=True)]
    out: Arrays = {"max_drawdown_30d": month.fall}
    for name, extreme in (
        ("drawdown_30d", month.highest),
        ("distance_from_high_7d", week.highest),
        ("distance_from_low_7d", week.lowest),
        ("distance_from_low_30d", month.lowest),
    ):
        out[name] = price / extreme
    for name, share in out.items():
        share -= 1.0
        np.copyto(share, np.nan, where=few[0] if name.endswith("7d") else few[1])
    return out


def _volume(values: Mapping[str, Floats]) -> Arrays:
    volume = values["volume_24h_usd"]
    (month,) = rolling_moments(volume, MONTH_HOURS)
    spread = month.std(ddof=1, at_least=LEAST_SHARE * MONTH_HOURS)
    return {
        "volume_change_24h": volume / earlier(volume, DAY_HOURS) - 1.0,
        "volume_zscore_30d": ratio(volume - month.mean, spread),
        "turnover_24h": volume / values["market_cap_usd"],
    }


def _beside_btc(values: Mapping[str, Floats], own: Arrays, logs: WindowSums) -> Arrays:
    spans = {"7d": WEEK_HOURS, "30d": MONTH_HOURS}
    if BTC not in values:
        names = [f"{name}_{span}" for span in spans for name in ("beta_btc", "correlation_btc")]
        names += ["relative_return_btc_24h", "relative_return_btc_7d"]
        return {name: np.full_like(values["price_usd"], np.nan) for name in names}
    leader = values[BTC]
    leader = leader[:1] if leader.strides[0] == 0 else leader  # one row for all, unless a late row differs
    out: Arrays = {}
    moments = rolling_comoments(np.log(leader / earlier(leader, 1)), logs, *spans.values())
    for (span, hours), found in zip(spans.items(), moments, strict=True):
        out[f"beta_btc_{span}"] = found.beta(LEAST_SHARE * hours, RETURN_NOISE)
        out[f"correlation_btc_{span}"] = found.correlation(LEAST_SHARE * hours, RETURN_NOISE)
    for span in ("24h", "7d"):
        out[f"relative_return_btc_{span}"] = own[f"return_{span}"] - (leader / earlier(leader, SPANS[span]) - 1.0)
    return out


def beside_market(caps: Floats) -> Arrays:
    """Compute the rank and the share of the sum for each hour, among the coins that have a market cap.

    Args:
        caps: market caps in USD; coins x hours; NaN where unknown.

    Returns:
        Rank (1: the largest; equal caps share a rank) and dominance (a fraction); coins x hours.
    """
    rank, share = np.empty(caps.shape), np.empty(caps.shape)
    step = max(1, BLOCK_CELLS // max(1, len(caps)))
    for begin in range(0, caps.shape[1], step):
        part = np.s_[:, begin : begin + step]
        rank[part], share[part] = _beside(caps[part])
    return {"market_cap_rank": rank, "market_cap_dominance": share}


def _beside(caps: Floats) -> tuple[Floats, Floats]:
    known = ~np.isnan(caps)
    ordered = np.where(known, -caps, np.inf).T.copy()  # hours x coins: the coins of an hour lie together in memory
    order = np.argsort(ordered, axis=1, kind="stable")
    sorted_caps = np.take_along_axis(ordered, order, axis=1)
    place = np.broadcast_to(np.arange(1.0, ordered.shape[1] + 1), ordered.shape).copy()
    place[:, 1:][sorted_caps[:, 1:] == sorted_caps[:, :-1]] = 1.0
    np.maximum.accumulate(place, axis=1, out=place)
    rank = np.empty_like(place)
    np.put_along_axis(rank, order, place, axis=1)
    total = np.where(known, caps, 0.0).sum(axis=0)
    share = np.where(known, caps / np.where(total > 0, total, np.nan), np.nan)
    return np.where(known, rank.T, np.nan), share
