"""What surrounds the price: on-chain days, market-wide daily numbers, and the news of the hour.

Only the mapping from tables to feature columns and its look-ups; the as-of arithmetic is in ``asof.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from crypto_assets import schemas
from crypto_assets.contract import Contract
from crypto_assets.transforms.features.asof import DailyRows, as_of, daily_rows
from crypto_assets.transforms.features.grid import Arrays, Grid, Panel, panel

DAY = timedelta(days=1)
MARKET = "MARKET"  # the one "coin" of a table without coins
ALL_CHAINS = "all"

# feature column -> column of the table
BASE = {
    "transaction_count_24h": "transaction_count",
    "onchain_market_cap_usd": "market_cap_usd",
    "onchain_volume_24h": "transfer_volume_usd",
    "onchain_active_addresses": "active_addresses",
    "onchain_transaction_volume": "transfer_volume_native",
}
ENHANCED = {
    "onchain_price_volatility_7d": "price_volatility_7d",
    "onchain_avg_transaction_value": "avg_transaction_value_usd",
    "onchain_nvt_ratio": "nvt_ratio",
    "onchain_mvrv_ratio": "mvrv_ratio",
}
NO_SOURCE = ("onchain_whale_transactions",)  # no source counts transfers of at least 1 M USD
SENTIMENT = {"fear_greed_index": "fear_greed_index"}
DEFI = {"tvl_usd": "tvl_usd", "stablecoin_supply_usd": "stablecoin_supply_usd"}
NEWS = {"news_count_24h": "article_count_24h", "news_sentiment_24h": "sentiment_24h"}


def staleness(contract: Contract, column: str) -> timedelta:
    """The contract's ``max_staleness``; a column without one must not be joined as-of."""
    limit = contract.by_name[column].max_staleness
    if limit is None:
        raise ValueError(f"{contract.table}.{column} has no max_staleness in schemas.py")
    return limit


def look_back(contract: Contract, mapping: dict[str, str], lag: timedelta) -> int:
    """Days before an hour's own day whose rows it may still use: ``lag`` from a date's opening until it is known at
    the latest, then its staleness."""
    return -(-(lag + max(staleness(contract, column) for column in mapping.values())) // DAY)


# A date is known at the latest this long after it opened (schemas.py: available_at rules).
LOOKBACK = {
    "onchain_base": look_back(schemas.ONCHAIN_BASE, BASE, DAY + schemas.COINMETRICS_PLAUSIBLE),
    "onchain_enhanced": look_back(schemas.ONCHAIN_ENHANCED, ENHANCED, DAY + schemas.COINMETRICS_PLAUSIBLE),
    "market_sentiment": look_back(schemas.MARKET_SENTIMENT, SENTIMENT, schemas.FEAR_GREED_LAG),
    "defi_metrics": look_back(schemas.DEFI_METRICS, DEFI, DAY + schemas.DEFILLAMA_LAG),
}


@dataclass(frozen=True)
class _Daily:
    contract: Contract
    mapping: dict[str, str]
    rows: DailyRows

    def arrays(self, grid: Grid, coins: slice) -> Arrays:
        oldest = LOOKBACK[self.contract.table]
        return {
            feature: as_of(self.rows, column, grid, coins, staleness(self.contract, column), oldest)
            for feature, column in self.mapping.items()
        }


@dataclass(frozen=True)
class Context:
    """All context tables, ready to be read for a block of coins on the output grid."""

    grid: Grid
    by_coin: tuple[_Daily, ...]
    market: Arrays  # one row of hours each
    news: Panel

    def arrays(self, coins: slice) -> Arrays:
        count = coins.stop - coins.start
        out: Arrays = {name: np.full((count, self.grid.hours), np.nan) for name in NO_SOURCE}
        for table in self.by_coin:
            out |= table.arrays(self.grid, coins)
        for name, row in self.market.items():
            out[name] = np.broadcast_to(row, (count, self.grid.hours))
        news = self.news.coins(coins)
        for feature, column in NEWS.items():
            value = news.values[column]
            out[feature] = value if news.lateness is None else np.where(news.lateness > 0, np.nan, value)
        return out


def context(
    grid: Grid,
    *,
    onchain_base: pl.DataFrame,
    onchain_enhanced: pl.DataFrame,
    market_sentiment: pl.DataFrame,
    defi_metrics: pl.DataFrame,
    narratives: pl.DataFrame,
) -> Context:
    """Lays the context tables out for look-up; ``grid`` is the output grid."""

    def daily(contract: Contract, mapping: dict[str, str], frame: pl.DataFrame, symbols: tuple[str, ...]) -> _Daily:
        return _Daily(contract, mapping, daily_rows(frame, symbols, list(mapping.values())))

    everywhere = Grid((MARKET,), grid.first, grid.hours)
    whole_market = pl.lit(MARKET).alias("symbol")
    market: Arrays = {}
    for contract, mapping, frame in (
        (schemas.MARKET_SENTIMENT, SENTIMENT, market_sentiment),
        (schemas.DEFI_METRICS, DEFI, defi_metrics.filter(pl.col("entity") == ALL_CHAINS)),
    ):
        rows = daily(contract, mapping, frame.with_columns(whole_market), everywhere.symbols)
        market |= rows.arrays(everywhere, slice(0, 1))
    return Context(
        grid=grid,
        by_coin=(
            daily(schemas.ONCHAIN_BASE, BASE, onchain_base, grid.symbols),
            daily(schemas.ONCHAIN_ENHANCED, ENHANCED, onchain_enhanced, grid.symbols),
        ),
        market=market,
        news=panel(narratives, "narratives", grid, list(NEWS.values())),
    )
