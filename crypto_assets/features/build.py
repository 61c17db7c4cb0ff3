"""Build ``ml_features``: which inputs, which rows, which columns. The arithmetic is in the other modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from crypto_assets.features import context as surroundings
from crypto_assets.features import futures as perpetuals
from crypto_assets.features import news, price, technical
from crypto_assets.features.all_features import FEATURES, GROUPS
from crypto_assets.features.columns import series_of
from crypto_assets.features.grid import (
    BLOCK_CELLS,
    HOUR_US,
    HOURS_A_DAY,
    Arrays,
    Flags,
    Floats,
    Grid,
    Panel,
    as_known,
    hour_of,
    panel,
)
from crypto_assets.features.lookback import HOURLY, LOOKBACK_DAYS, window
from crypto_assets.features.seams import each_side_alone
from crypto_assets.tables.contract import TIMESTAMP
from crypto_assets.tables.derivatives import VENUES
from crypto_assets.tables.derived_source import derived_source
from crypto_assets.tables.ml import WORST
from crypto_assets.tables.pit_quality import PIT_QUALITY
from crypto_assets.tables.schemas import CONTRACTS, DECISION_DELAY, ML_FEATURES
from crypto_assets.tables.worst_quality import Input, with_worst_quality

BTC = "BTC"
FUTURES = ("derivatives", "volatility")
PRICE_KERNEL = each_side_alone(price.price_features, (*price.PRICE_COLUMNS, price.END), "price_usd")
BAR_KERNEL = each_side_alone(technical.technical_features, technical.BAR_COLUMNS, "close", "open")
AROUND = (
    "onchain",
    "context",
    "derivatives",
    "social",
    "developer",
    "network",
    "macro",
    "events",
)  # groups that are joined as-of


def build_features(
    *, symbols: Sequence[str], start: date, end: date, tables: Mapping[str, pl.DataFrame] | None = None,
    columns: Sequence[str] | None = None, venues: Sequence[str] = VENUES,
    **named: pl.DataFrame,
) -> pl.DataFrame:  # fmt: skip
    """Compute ``ml_features`` of the days ``start``..``end``: one row per coin and hour with a price or a closing bar.

    Every value was known at the row's ``available_at`` (ts + 5 minutes). Units and definitions are in
    ``features/all_features.py``.

    Args:
        symbols: the coins; ranks and dominance compare them with each other.
        start: the first UTC day.
        end: the last UTC day, included.
        tables: table name -> input, which follows its contract and reaches back :data:`LOOKBACK_DAYS`; a missing table
            counts as empty.
        columns: only these feature columns; groups without any of them are not computed. None for all.
        venues: the venues of derivatives in the order of preference.
        **named: further inputs, by table name.

    Returns:
        The rows, sorted by key.

    Raises:
        ContractError: an hourly input has a time that is not an hour mark, or a key twice.
    """
    given = {**(tables or {}), **named}
    unknown = sorted(set(given) - set(LOOKBACK_DAYS))
    if unknown:
        raise TypeError(f"build_features takes no table {', '.join(unknown)}; it takes {', '.join(LOOKBACK_DAYS)}")
    inputs = {table: given.get(table, CONTRACTS[table].empty()) for table in LOOKBACK_DAYS}
    names = tuple(sorted(set(symbols)))
    grid = Grid(names, hour_of(start), max(0, (end - start).days + 1) * HOURS_A_DAY)
    if not names or not grid.hours:
        return ML_FEATURES.empty()
    laid = _lay_out(grid, inputs, [name for name in FEATURES if columns is None or name in columns], venues)
    width = max(laid.prices.exists.shape[1], laid.bars.exists.shape[1])
    with ThreadPoolExecutor(pl.thread_pool_size()) as workers:
        frames = list(workers.map(laid.block, _blocks(len(names), max(1, BLOCK_CELLS // width))))
    rows = _with_metadata(pl.concat(frames), derived_source(*inputs.values()))
    return _with_quality(rows, inputs).select(
        name for name in ML_FEATURES.names if name in (*rows.columns, PIT_QUALITY)
    )


def _reaching_back(grid: Grid, table: str, *extra: str) -> Grid:
    hours = LOOKBACK_DAYS[table] * HOURS_A_DAY
    return Grid((*grid.symbols, *extra), grid.first - hours, grid.hours + hours)


def _blocks(count: int, size: int) -> Iterator[slice]:
    for begin in range(0, count, size):
        yield slice(begin, min(begin + size, count))


@dataclass(frozen=True)
class _LaidOut:
    """All inputs on the grid, and what is computed once for all coins."""

    grid: Grid
    prices: Panel
    bars: Panel
    news: Panel  # the last row is the market's
    around: surroundings.Context
    futures: perpetuals.Futures
    beside: Arrays  # rank and dominance: coins x output hours
    calendar: Arrays  # one row of output hours
    wanted: list[str]  # feature columns, in table order

    def _any(self, *groups: str) -> bool:
        return any(feature.name in self.wanted for group in groups for feature in GROUPS[group])

    def block(self, coins: slice) -> pl.DataFrame:
        """Return the rows of a few coins, in key order."""
        grid, count = self.grid, coins.stop - coins.start
        back = {table: LOOKBACK_DAYS[table] * HOURS_A_DAY for table in HOURLY}
        prices, bars = self.prices.coins(coins), self.bars.coins(coins)
        kept = prices.exists[:, back["prices"] :] | bars.exists[:, back["ohlc"] :]
        beside_btc = [prices]
        if BTC in grid.symbols:
            beside_btc.append(self.prices.one_for_all(grid.symbols.index(BTC), count, {price.END: price.BTC}))
        arrays: Arrays = {
            **{name: array[coins] for name, array in self.beside.items()},
            **{name: np.broadcast_to(row, (count, grid.hours)) for name, row in self.calendar.items()},
        }
        with np.errstate(invalid="ignore", divide="ignore"):  # NaN means unknown
            if self._any("price", "market", *FUTURES):
                arrays |= as_known(beside_btc, PRICE_KERNEL, window("prices"), back["prices"])
            if self._any("technical"):
                arrays |= as_known([bars], BAR_KERNEL, window("ohlc"), back["ohlc"])
            if self._any("news"):
                own_news = [self.news.coins(coins)]
                arrays |= as_known(own_news, news.news_features, window("narratives"), back["narratives"])
                arrays |= news.market_news(self._market_news(back["narratives"]), count)
            cap, volume = (prices.at_own_hour(n)[:, back["prices"] :] for n in ("market_cap_usd", "volume_24h_usd"))
            if self._any(*AROUND):
                arrays |= self.around.arrays(coins, {"market_cap_usd": cap})
            if self._any(*FUTURES):
                at_ts = {"volume_24h_usd": volume, "volatility_30d": arrays["volatility_30d"]}
                futures = self.futures.arrays(coins, at_ts)
                arrays |= perpetuals.with_history(arrays, futures, cap) if self._any("derivatives") else {}
                arrays |= futures
        absent = [name for name in self.wanted if name not in arrays]
        if absent:
            raise TypeError(
                f"{', '.join(absent)}: defined in crypto_assets/features/, but nothing computes it; add the arithmetic to "
                "the file of its family beside the definition"
            )
        return _rows(grid, coins, kept, {name: arrays[name] for name in self.wanted})

    def _market_news(self, first: int) -> dict[str, Floats]:
        market = self.news.coins(slice(len(self.grid.symbols), None))
        return {name: market.at_own_hour(name)[:, first:] for name in market.values}


def _lay_out(grid: Grid, inputs: Mapping[str, pl.DataFrame], wanted: list[str], venues: Sequence[str]) -> _LaidOut:
    prices = price.price_panel(inputs["prices"], _reaching_back(grid, "prices"))
    caps = prices.at_own_hour("market_cap_usd")[:, LOOKBACK_DAYS["prices"] * HOURS_A_DAY :]
    looked_up = {table: frame for table, frame in inputs.items() if table not in HOURLY}
    return _LaidOut(
        grid=grid,
        prices=prices,
        bars=panel(inputs["ohlc"], "ohlc", _reaching_back(grid, "ohlc"), technical.BAR_COLUMNS, delay_hours=1),
        news=panel(
            inputs["narratives"], "narratives", _reaching_back(grid, "narratives", news.MARKET), news.NEWS_COLUMNS
        ),
        around=surroundings.context(grid, looked_up),
        futures=perpetuals.lay_out(inputs, lambda table: _reaching_back(grid, table), venues, grid),
        beside=price.beside_market(caps),
        calendar=_calendar(grid),
        wanted=wanted,
    )


def _calendar(grid: Grid) -> Arrays:
    hours = np.arange(grid.first, grid.first + grid.hours)
    day = 2.0 * np.pi * (hours % HOURS_A_DAY) / HOURS_A_DAY
    week = 2.0 * np.pi * ((hours // HOURS_A_DAY + 3) % 7) / 7  # 1970-01-01 was a Thursday
    return {
        "hour_sin": np.sin(day), "hour_cos": np.cos(day), "weekday_sin": np.sin(week), "weekday_cos": np.cos(week),
    }  # fmt: skip


def _rows(grid: Grid, coins: slice, kept: Flags, arrays: Arrays) -> pl.DataFrame:
    coin, hour = np.nonzero(kept)
    return pl.DataFrame(
        {
            "symbol": pl.Series(grid.symbols[coins], dtype=pl.String).gather(coin),
            "ts": pl.Series((hour + grid.first) * HOUR_US, dtype=pl.Int64).cast(TIMESTAMP),
            **series_of(kept, arrays),
        }
    )


def _with_metadata(rows: pl.DataFrame, source: str) -> pl.DataFrame:
    return rows.with_columns(
        date=pl.col("ts").dt.date(),
        available_at=pl.col("ts") + DECISION_DELAY,
        source=pl.lit(source),
    )


def _with_quality(rows: pl.DataFrame, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    given = {table: Input(CONTRACTS[table], frame, LOOKBACK_DAYS[table]) for table, frame in inputs.items()}
    return with_worst_quality(WORST, rows, given)
