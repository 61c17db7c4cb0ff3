"""The state of the market in an hour, from ``ml_features`` of its coins: middle, spread and breadth of what they do.

Trees read it beside the columns that all coins share in the table itself (``features/market_wide.py``). It needs the rows of one hour
and nothing else, so it is known when they are. Medians and quartiles do not depend on the order of the rows, so that they
are the same to the bit each time.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

MEDIANS = (
    "return_1h", "return_4h", "return_24h", "return_7d", "return_30d", "volatility_24h", "volatility_7d", "volatility_30d",
    "volatility_ratio_24h_30d", "drawdown_30d", "rsi_14", "adx_14",
)  # fmt: skip
SPREADS = ("return_24h", "return_7d", "volatility_7d")
RISING = "return_24h"
SOURCES = {
    **{f"market_median_{name}": name for name in MEDIANS},
    **{f"market_spread_{name}": name for name in SPREADS},
    "market_rising_24h": RISING,
}  # name -> the column of ml_features that it is made of


def columns_of(names: Iterable[str]) -> list[str]:
    """Return the columns of ``ml_features`` that features are made of, each once."""
    return list(dict.fromkeys(SOURCES.get(name, name) for name in names))


def with_state(rows: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Add the state of the market to rows.

    Args:
        rows: ts and the columns of ``columns_of(names)``; all coins of each hour, in any order.
        names: of which those of ``SOURCES`` are added.

    Returns:
        The rows with a Float64 column each: ``market_median_*`` and ``market_spread_*`` (third quartile less the first)
        over the coins that have the value, ``market_rising_24h`` their share with a positive return. Null: no coin has it.
    """
    return rows.with_columns(_statistic(name).over("ts").alias(name) for name in names if name in SOURCES)


def _statistic(name: str) -> pl.Expr:
    value = pl.col(SOURCES[name]).cast(pl.Float64).fill_nan(None)
    if name.startswith("market_median_"):
        return value.median()
    if name.startswith("market_spread_"):
        return value.quantile(0.75, "linear") - value.quantile(0.25, "linear")
    return (value > 0).mean()
