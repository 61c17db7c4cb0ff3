"""Inputs of the feature benchmarks: every table that features read, filled for many coins, from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.catalog.macro import SERIES
from crypto_assets.features.lookback import LOOKBACK_DAYS
from crypto_assets.tables import schemas
from crypto_assets.tables.contract import TIMESTAMP, Contract

COINS, DAYS = 300, 640
END = date(2024, 12, 31)
START = END - timedelta(days=DAYS - 1)
SYMBOLS = ["BTC", *(f"C{n:03d}" for n in range(1, COINS))]
HOUR_US = 3_600_000_000
DECIMALS = 8  # digits of the random numbers: providers give about as many

Columns = dict[str, Any]


def tables(first: date = START, last: date = END, symbols: Sequence[str] = SYMBOLS) -> dict[str, pl.DataFrame]:
    """The tables with the history that features of first..last need, without a gap: the most work there can be."""
    return {name: table(name, first, last, symbols) for name in LOOKBACK_DAYS}


def table(name: str, first: date, last: date, symbols: Sequence[str] = SYMBOLS) -> pl.DataFrame:
    """One of them."""
    made = {
        "prices": _prices, "ohlc": _bars, "narratives": _narratives, "derivatives": _derivatives, "macro_indicators": _macro,
    }  # fmt: skip
    contract = schemas.CONTRACTS[name]
    hourly = _of_venues if "venue" in contract.key else _volatility if "ts" in contract.key else _daily
    return made.get(name, hourly)(schemas.CONTRACTS[name], first - timedelta(days=LOOKBACK_DAYS[name]), last, symbols)


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng([7, *name.encode()])


def _hours(first: date, last: date, symbols: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """symbol and ts of every hour in key order, and the number of hours."""
    count = ((last - first).days + 1) * 24
    opened = int(datetime(first.year, first.month, first.day, tzinfo=timezone.utc).timestamp()) * 1_000_000
    ts = opened + np.arange(count) * HOUR_US
    names = sorted(symbols)
    frame = pl.DataFrame({"symbol": np.repeat(names, count), "ts": pl.Series(np.tile(ts, len(names))).cast(TIMESTAMP)})
    return frame, count


def _finish(contract: Contract, keys: pl.DataFrame, columns: Columns, late: timedelta) -> pl.DataFrame:
    given = keys.with_columns(**columns).with_columns(
        date=pl.col("ts").dt.date(),
        available_at=pl.col("ts") + late,
        pit_quality=pl.lit(contract.pit_quality.unsaid),
        source=pl.lit("bench"),
    )
    absent = {c.name: pl.lit(None, c.dtype) for c in contract.columns if c.name not in given.columns}
    return given.with_columns(**absent).select(contract.names)


def _walks(contract: Contract, coins: int, hours: int) -> NDArray[np.float64]:
    steps = _random(contract.table).normal(0, 0.008, (coins, hours))
    return np.round(np.exp(np.cumsum(steps, axis=1) - np.cumsum(steps, axis=1).mean()), DECIMALS).ravel() + 1e-3


def _prices(contract: Contract, first: date, last: date, symbols: Sequence[str]) -> pl.DataFrame:
    keys, hours = _hours(first, last, symbols)
    price, random = _walks(contract, len(symbols), hours), _random("volume")
    supply = np.repeat(random.uniform(1e6, 1e9, len(symbols)).round(), hours)
    volume = np.round(price * supply * random.gamma(4.0, 0.01, len(price)), 2) + 1
    columns = {"price_usd": price, "market_cap_usd": price * supply, "volume_24h_usd": volume}
    return _finish(contract, keys, columns, timedelta(seconds=20))


def _bars(contract: Contract, first: date, last: date, symbols: Sequence[str]) -> pl.DataFrame:
    keys, hours = _hours(first, last, symbols)
    random = _random("bars")
    opened = _walks(contract, len(symbols), hours)
    close = opened * np.exp(random.normal(0, 0.006, len(opened)))
    columns = {
        "open": opened, "close": close, "volume": np.round(random.gamma(2.0, 50.0, len(opened)), 4),
        "high": np.maximum(opened, close) * (1 + random.uniform(0, 0.004, len(opened))),
        "low": np.minimum(opened, close) * (1 - random.uniform(0, 0.004, len(opened))),
    }  # fmt: skip
    return _finish(contract, keys, columns, timedelta(hours=1))


def _narratives(contract: Contract, first: date, last: date, symbols: Sequence[str]) -> pl.DataFrame:
    keys, _ = _hours(first, last, [*symbols, "MARKET"])
    random = _random(contract.table)
    columns: Columns = {"article_count_24h": random.integers(0, 40, keys.height)}
    columns |= {
        name: np.round(random.random(keys.height), DECIMALS)
        for name in contract.names
        if name == "sentiment_24h" or name.startswith("theme_")
    }
    return _finish(contract, keys, columns, timedelta())


def _derivatives(contract: Contract, first: date, last: date, symbols: Sequence[str]) -> pl.DataFrame:
    keys, _ = _hours(first, last, symbols)
    random = _random(contract.table)
    columns: Columns = {c: np.round(random.random(keys.height) * 1e6, 4) for c in contract.value_columns}
    return _finish(contract, keys, columns | {"contracts": np.full(keys.height, 3)}, timedelta(minutes=3))


def _macro(contract: Contract, first: date, last: date, symbols: Sequence[str]) -> pl.DataFrame:
    """A reading of each series for the beginning of each day, published an hour before; the next comes in ten days."""
    one, _ = _hours(first, last, [series.name for series in SERIES])
    keys = one.filter(pl.col("ts").dt.hour() == 0).rename({"symbol": "series"})
    random = _random(contract.table)
    columns: Columns = {c: np.round(random.random(keys.height), DECIMALS) for c in contract.value_columns}
    columns |= {
        "observation_date": pl.col("ts").dt.date() - timedelta(days=1),
        "released_at": pl.col("ts") - timedelta(hours=1),
        "next_release_at": pl.col("ts") + timedelta(days=10),
    }
    return _finish(contract, keys, columns, timedelta())


def _of_venues(contract: Contract, first: date, last: date, symbols: Sequence[str]) -> pl.DataFrame:
    """Numbers of contracts at two venues; settlements every 8 hours, other rows every hour."""
    one, _ = _hours(first, last, symbols)
    if contract.table == "funding_rates":
        one = one.filter(pl.col("ts").dt.hour() % 8 == 0)
    keys = pl.concat([one.with_columns(venue=pl.lit(venue)) for venue in ("binance", "bybit")])
    random = _random(contract.table)
    columns: Columns = {
        c.name: np.round(random.uniform(max(1e-5, c.lower or 0.0), c.upper or 1e6, keys.height), DECIMALS)
        for c in (contract.by_name[name] for name in contract.value_columns)
    }
    known = timedelta(hours=1) if contract.table == "perpetual_bars" else timedelta()
    return _finish(contract, keys, columns, known)


def _volatility(contract: Contract, first: date, last: date, symbols: Sequence[str]) -> pl.DataFrame:
    keys, _ = _hours(first, last, ["BTC"])
    close = np.round(_random(contract.table).uniform(30, 90, keys.height), 2)
    columns: Columns = {"open": close, "high": close, "low": close, "close": close}
    return _finish(contract, keys, columns, timedelta(hours=1))


def _daily(contract: Contract, first: date, last: date, symbols: Sequence[str]) -> pl.DataFrame:
    """A row a day for each coin, for the whole market, or for all chains together, known a few hours after its day."""
    days = pl.DataFrame({"date": pl.date_range(first, last, eager=True)})
    if "symbol" in contract.key:
        days = pl.DataFrame({"symbol": sorted(symbols)}).join(days, how="cross")
    if "entity" in contract.key:
        days = pl.DataFrame({"entity": ["Bitcoin", "all"]}).join(days, how="cross")
    random = _random(contract.table)
    columns = {
        c: np.round(random.uniform(0, min(1e6, contract.by_name[c].upper or 1e6), days.height), 4)
        for c in contract.value_columns
    }
    known = (pl.col("date") + timedelta(days=1)).cast(TIMESTAMP) + timedelta(hours=2)
    metadata = {"available_at": known, "pit_quality": pl.lit(contract.pit_quality.unsaid), "source": pl.lit("bench")}
    return days.with_columns(**columns, **metadata).select(contract.names)
