"""Puts ``ml_features`` together: which inputs, which rows, which columns. The arithmetic is in the other modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import numpy as np
import polars as pl

from crypto_assets.contract import TIMESTAMP
from crypto_assets.feature_columns import FEATURE_COLUMNS
from crypto_assets.schemas import DECISION_DELAY, ML_FEATURES
from crypto_assets.transforms.features import context as surroundings
from crypto_assets.transforms.features import price, technical
from crypto_assets.transforms.features.grid import (
    HOUR_US,
    HOURS_A_DAY,
    Arrays,
    Flags,
    Grid,
    Panel,
    as_known,
    hour_of,
    panel,
)
from crypto_assets.transforms.sources_of import derived_source


def _days(hour_marks: int) -> int:
    """Days to load so that the first output hour has this many hour marks, its own included, behind it."""
    return -(-(hour_marks - 1) // HOURS_A_DAY)


#: Days before the first output day from which each input must be loaded; more changes nothing.
LOOKBACK_DAYS: dict[str, int] = {
    "prices": _days(price.WINDOW),
    "ohlc": _days(technical.WINDOW + 1),  # a bar stands at its close but is stored under its open, one hour before
    **surroundings.LOOKBACK,
    "narratives": 0,
}

BLOCK_CELLS = 1 << 16  # coins x hours computed together: arrays of 512 kB stay in the processor's cache


def build_features(
    *,
    prices: pl.DataFrame,
    ohlc: pl.DataFrame,
    onchain_base: pl.DataFrame,
    onchain_enhanced: pl.DataFrame,
    market_sentiment: pl.DataFrame,
    defi_metrics: pl.DataFrame,
    narratives: pl.DataFrame,
    symbols: Sequence[str],
    start: date,
    end: date,
) -> pl.DataFrame:
    """``ml_features`` of the days start..end: a row per coin of ``symbols`` and hour with a price or a closing bar.

    Inputs follow their contracts and reach back :data:`LOOKBACK_DAYS`. Every value was known at the row's
    ``available_at`` (ts + 5 minutes); units are in ``feature_columns.py``, definitions in each module here.
    Raises :class:`~crypto_assets.errors.ContractError` where hourly keys are off the hour or doubled.
    """
    names = tuple(sorted(set(symbols)))
    grid = Grid(names, hour_of(start), max(0, (end - start).days + 1) * HOURS_A_DAY)
    if not names or not grid.hours:
        return ML_FEATURES.empty()
    price_panel = panel(prices, "prices", _reaching_back(grid, "prices"), ["price_usd"])
    bar_panel = panel(ohlc, "ohlc", _reaching_back(grid, "ohlc"), technical.BAR_COLUMNS, delay_hours=1)
    around = surroundings.context(
        grid,
        onchain_base=onchain_base,
        onchain_enhanced=onchain_enhanced,
        market_sentiment=market_sentiment,
        defi_metrics=defi_metrics,
        narratives=narratives,
    )

    def block(coins: slice) -> pl.DataFrame:
        return _block(grid, coins, price_panel.coins(coins), bar_panel.coins(coins), around)

    columns = max(array.shape[1] for array in (price_panel.exists, bar_panel.exists))
    with ThreadPoolExecutor(pl.thread_pool_size()) as workers:
        frames = list(workers.map(block, _blocks(len(names), max(1, BLOCK_CELLS // columns))))
    inputs = (prices, ohlc, onchain_base, onchain_enhanced, market_sentiment, defi_metrics, narratives)
    return _with_metadata(pl.concat(frames), derived_source(*inputs))


def _reaching_back(grid: Grid, table: str) -> Grid:
    hours = LOOKBACK_DAYS[table] * HOURS_A_DAY
    return Grid(grid.symbols, grid.first - hours, grid.hours + hours)


def _blocks(count: int, size: int) -> Iterator[slice]:
    for begin in range(0, count, size):
        yield slice(begin, min(begin + size, count))


def _block(grid: Grid, coins: slice, prices: Panel, bars: Panel, around: surroundings.Context) -> pl.DataFrame:
    """The rows of a few coins, in key order."""
    price_from, bars_from = (LOOKBACK_DAYS[table] * HOURS_A_DAY for table in ("prices", "ohlc"))
    kept = prices.exists[:, price_from:] | bars.exists[:, bars_from:]
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN is how "unknown" travels
        arrays: Arrays = {
            **as_known(prices, price.price_features, price.WINDOW, price_from),
            **as_known(bars, technical.technical_features, technical.WINDOW, bars_from),
            **around.arrays(coins),
        }
    return _rows(grid, coins, kept, arrays)


def _rows(grid: Grid, coins: slice, kept: Flags, arrays: Arrays) -> pl.DataFrame:
    coin, hour = np.nonzero(kept)
    whole = len(coin) == kept.size
    return pl.DataFrame(
        {
            "symbol": pl.Series(grid.symbols[coins], dtype=pl.String).gather(coin),
            "ts": pl.Series((hour + grid.first) * HOUR_US, dtype=pl.Int64).cast(TIMESTAMP),
            **{
                column.name: arrays[column.name].reshape(-1) if whole else arrays[column.name][kept]
                for column in FEATURE_COLUMNS
            },
        }
    ).with_columns(pl.col(pl.Float64).fill_nan(None))


def _with_metadata(rows: pl.DataFrame, source: str) -> pl.DataFrame:
    return rows.with_columns(
        date=pl.col("ts").dt.date(),
        available_at=pl.col("ts") + DECISION_DELAY,
        source=pl.lit(source),
    ).select(ML_FEATURES.names)
