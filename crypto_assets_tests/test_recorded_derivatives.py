"""Recorded derivatives served by a server of our own: tables equal the recording, features equal a computation by pandas.

Which cells must be there is counted from the recording, and not from the definitions of the features.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from crypto_assets.catalog import select
from crypto_assets.features.build import build_features
from crypto_assets.sources import deribit, derivatives
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests import recorded_venues as recorded
from crypto_assets_tests.features.frames import table
from crypto_assets_tests.sources.venues import DAY, UTC
from crypto_assets_tests.sources.wire_server import serve, shared

TOLERANCE = 1e-9
Fetch = Callable[..., Awaitable[Fetched]]


def stored(venues: recorded.Recorded, fetch: Fetch, name: str, coins: str, start: date, end: date) -> pl.DataFrame:
    """The table that the platform stores of what the server gives."""
    now = datetime(2026, 11, 1, tzinfo=UTC)

    async def go(settings: Any) -> Fetched:
        async with Client(max_attempts=1) as client:
            return await fetch(client, settings, select(coins), start, end, now)

    with serve(venues) as server:
        found = asyncio.run(go(server.settings()))
    assert not found.failed and not found.set_aside
    return CONTRACTS[name].validate(found.frame)


def features(given: dict[str, pl.DataFrame], coins: str, start: date, end: date) -> pd.DataFrame:
    """The features of these hours; a price of 1 gives each hour its row."""
    symbols = [coin.symbol for coin in select(coins)]
    marks = [ts.to_pydatetime() for ts in recorded.hours(start, end)]
    rows = [{"symbol": s, "ts": ts, "available_at": ts, "price_usd": 1.0} for s in symbols for ts in marks]
    got = build_features(tables={"prices": table("prices", rows), **given}, symbols=symbols, start=start, end=end)
    return got.to_pandas().set_index(["symbol", "ts"]).sort_index()


def assert_equal(got: pd.DataFrame, wanted: pd.DataFrame, coin: str) -> int:
    """Every cell that the recording gives is there and equal; returns their number."""
    cells = 0
    for name in wanted.columns:
        there = wanted[name].notna().to_numpy()
        values = got.loc[coin, name].reindex(wanted.index).to_numpy()
        assert (~np.isnan(values) == there).all(), (coin, name)
        expected = wanted[name].to_numpy()[there]
        np.testing.assert_allclose(values[there], expected, rtol=TOLERANCE, atol=1e-12, err_msg=f"{coin} {name}")
        cells += int(there.sum())
    return cells


def first_of(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Each cell from the first venue that has it, and the spread between two."""
    found = frames[0].drop(columns="held")
    if len(frames) > 1:
        found = found.combine_first(frames[1].drop(columns="held"))
        found["funding_venue_spread"] = (frames[0]["funding_rate_hourly"] - frames[1]["funding_rate_hourly"]).abs()
    return found


def test_recorded_funding_of_two_venues_and_its_features() -> None:
    """Half a year of five coins; BTC and ETH are recorded at both venues, in clocks three hours apart."""
    coins, first, start, end = "BTC,ETH,XRP,LTC,ADA", date(2022, 1, 1), date(2022, 2, 1), date(2022, 6, 30)
    venues = recorded.Recorded(recorded.settlements(shared("series", "funding")))
    rates = stored(venues, derivatives.fetch_funding, "funding_rates", coins, first, end)
    got = features({"funding_rates": rates}, coins, start, end)
    marks, cells, held = recorded.hours(start, end), 0, 0
    for coin in select(coins):
        listed = {v: venues.funding.get((v, getattr(coin, f"{v}_perpetual"))) for v in ("binance", "bybit")}
        mine = {venue: [e for e in found if e[0] >= 1640995200000] for venue, found in listed.items() if found}
        for venue, found in mine.items():
            kept = rates.filter(pl.col("symbol") == coin.symbol, pl.col("venue") == venue).select("ts", "funding_rate")
            expected = recorded.at_hours(found).loc[str(first) : str(end)]
            assert dict(kept.rows()) == recorded.by_hour(expected)
        wanted = [recorded.funding_by_pandas(found, marks) for found in mine.values()]
        assert all(frame["held"].all() for frame in wanted)
        names = [c for c in wanted[0].columns if c != "held"]
        held += len(marks) * len(names)
        assert got.loc[coin.symbol, names].notna().all(axis=None), coin.symbol
        cells += assert_equal(got, first_of(wanted), coin.symbol)
    assert cells > held > 100_000


def test_recorded_open_interest_and_its_features() -> None:
    """Four weeks of every fourth hour, from daily files with their checksums; in between a value serves."""
    coins, start, end = "BTC,XRP,SOL,DOGE", date(2026, 2, 21), date(2026, 3, 19)
    venues = recorded.Recorded(interest=recorded.open_interest(shared("series", "open_interest")))
    interest = stored(venues, derivatives.fetch_open_interest, "open_interest", coins, start, end)
    got = features({"open_interest": interest}, coins, start, end)
    marks = recorded.hours(start, end)
    for coin in select(coins):
        listed = [e for e in venues.interest[str(coin.binance_perpetual)] if e[0] >= marks[0].timestamp() * 1000]
        kept = interest.filter(pl.col("symbol") == coin.symbol).select("ts", "open_interest", "open_interest_usd")
        expected = recorded.at_hours(listed).loc[str(start) : str(end)]
        assert {row[0]: row[1:] for row in kept.rows()} == recorded.by_hour(expected)
        wanted = recorded.interest_by_pandas(listed, marks)
        assert wanted.pop("held").sum() > 0.97 * len(marks)
        assert (
            got.loc[coin.symbol, "open_interest_base"].notna().to_numpy().tolist()
            == wanted["open_interest_base"].notna().tolist()
        )
        assert assert_equal(got, wanted, coin.symbol) > 3_000


def test_recorded_dvol_and_its_features() -> None:
    """More than a year of one value a day, served in pages that go backwards."""
    start, end = date(2022, 11, 8), date(2024, 2, 29)
    listed = recorded.dvol(shared("series", "dvol"))
    venues = recorded.Recorded(candles={"BTC": listed})
    candles = stored(venues, deribit.fetch_volatility, "implied_volatility", "BTC", start, end)
    index = recorded.at_hours(listed)
    assert dict(candles.select("ts", "close").rows()) == recorded.by_hour(index.loc[str(start) : str(end)])
    got = features({"implied_volatility": candles}, "BTC", start + 8 * DAY, end)
    marks = recorded.hours(start, end)
    level = index.loc[str(start) : str(end)].shift(freq="1h").reindex(marks).ffill(limit=23)
    wanted = pd.DataFrame(
        {"dvol": level, "dvol_change_24h": level - level.shift(24), "dvol_change_7d": level - level.shift(168)}
    )
    wanted = wanted.loc[str(start + 8 * DAY) :]
    assert wanted.notna().all(axis=None)
    assert assert_equal(got, wanted, "BTC") == wanted.size


def test_an_interval_that_changes_from_eight_hours_to_one_is_right_on_both_sides() -> None:
    """Recorded rates of BTC; from the middle of a day on they are settled every hour."""
    start, change, end = date(2022, 3, 1), datetime(2022, 3, 5, 16, tzinfo=UTC), date(2022, 3, 10)
    listed = recorded.settlements(shared("series", "funding"))["binance", "BTCUSDT"]
    hour = recorded.HOUR_MS
    edge = int(change.timestamp() * 1000)
    before = [e for e in listed if edge - 20 * 24 * hour <= e[0] <= edge + 1000]
    after = [(edge + (n + 1) * hour, rate) for n, (_, rate) in enumerate(e for e in listed if e[0] > edge + 1000)][:200]
    venues = recorded.Recorded({("binance", "BTCUSDT"): before + after})
    rates = stored(venues, derivatives.fetch_funding, "funding_rates", "BTC", start, end)
    spans = {
        ts: (span, rate, hourly)
        for ts, span, rate, hourly in rates.select("ts", "interval_hours", "funding_rate", "funding_rate_hourly").rows()
    }
    for ts, (span, rate, hourly) in spans.items():
        assert span == (8 if ts <= change else 1) and hourly == rate / span, ts
    got = features({"funding_rates": rates}, "BTC", start + 2 * DAY, end)
    for ts, row in got.loc["BTC"].iterrows():
        settled = max(mark for mark in spans if mark <= ts)
        assert row["funding_rate_hourly"] == spans[settled][2]
        assert row["hours_to_funding"] == spans[settled][0] - (ts - settled) / pd.Timedelta("1h")
