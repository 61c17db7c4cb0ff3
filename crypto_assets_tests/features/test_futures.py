"""Features of derivatives against the definitions computed once more: plain loops over rows, one cell at a time."""

from __future__ import annotations

import math
import statistics
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from crypto_assets.features.build import build_features
from crypto_assets.features.feature import Coins
from crypto_assets.tables import schemas
from crypto_assets.tables.derivatives import VENUES
from crypto_assets_tests.features.frames import DAY, DELAY, HOUR, Inputs, at, features, inputs, messy, table
from crypto_assets_tests.sources.wire_server import shared

START = date(2022, 1, 1)
COINS = ["BTC", "NEW", "SHIB"]
Row = dict[str, Any]


class Known:
    """What one venue had said of a coin by the decision at ``ts``."""

    def __init__(self, data: Inputs, symbol: str, venue: str, ts: datetime) -> None:
        def mine(name: str) -> list[Row]:
            rows = data[name].filter(pl.col("symbol") == symbol, pl.col("available_at") <= ts + DELAY)
            return (rows.filter(pl.col("venue") == venue) if "venue" in rows.columns else rows).sort("ts").to_dicts()

        self.ts = ts
        self.settled = mine("funding_rates")
        late = {row["ts"]: row["available_at"] - row["ts"] > DELAY for row in mine("open_interest")}
        self.interest = {row["ts"] + late[row["ts"]] * HOUR: row for row in mine("open_interest")}
        self.bars = {row["ts"] + HOUR: row for row in mine("perpetual_bars")}

    def in_force(self, mark: datetime) -> Row | None:
        before = [row for row in self.settled if row["ts"] <= mark]
        if not before or mark - before[-1]["ts"] >= ((before[-1]["interval_hours"] or 8) + 2) * HOUR:
            return None
        return before[-1]

    def funding(self) -> dict[str, float | None]:
        now = self.in_force(self.ts)
        out: dict[str, float | None] = {"funding_rate_hourly": now["funding_rate_hourly"] if now else None}
        for name, hours in (("24h", 24), ("7d", 168)):
            whole = all(self.in_force(self.ts - n * HOUR) for n in range(hours))
            paid = [row["funding_rate"] for row in self.settled if self.ts - hours * HOUR < row["ts"] <= self.ts]
            out[f"funding_sum_{name}"] = math.fsum(paid) if whole else None
        rates = [row["funding_rate_hourly"] for n in range(720) if (row := self.in_force(self.ts - n * HOUR))]
        out["funding_zscore_30d"] = zscore(out["funding_rate_hourly"], rates)
        left = (now["ts"] + now["interval_hours"] * HOUR - self.ts) / HOUR if now else 0
        out["hours_to_funding"] = left if left > 0 else None
        return out

    def statistics(self) -> dict[str, float | None]:
        def value(column: str, age: int = 0) -> float | None:
            found = (self.interest.get(self.ts - (age + n) * HOUR, {}).get(column) for n in range(8))
            return next((one for one in found if one is not None), None)

        def window(column: str) -> list[float]:
            return [found for n in range(720) if (found := value(column, n)) is not None]

        def change(hours: int) -> float | None:
            now, then = value("open_interest"), value("open_interest", hours)
            return now / then - 1 if now is not None and then is not None else None

        return {
            "open_interest_base": value("open_interest"), "open_interest_base_change_24h": change(24),
            "open_interest_base_change_7d": change(168),
            "open_interest_zscore_30d": zscore(value("open_interest"), window("open_interest")),
            "long_short_ratio": value("long_short_ratio"), "taker_buy_sell_ratio": value("taker_buy_sell_ratio"),
            "long_short_zscore_30d": zscore(value("long_short_ratio"), window("long_short_ratio")),
            "taker_buy_sell_zscore_30d": zscore(value("taker_buy_sell_ratio"), window("taker_buy_sell_ratio")),
        }  # fmt: skip

    def basis(self) -> dict[str, float | None]:
        now, then = (self.bars.get(self.ts - age * HOUR, {}).get("basis") for age in (0, 24))
        return {"futures_basis_change_24h": now - then if now is not None and then is not None else None}


def zscore(value: float | None, window: list[float]) -> float | None:
    if value is None or len(window) < 0.8 * 720 or statistics.stdev(window) == 0:
        return None
    return (value - statistics.fmean(window)) / statistics.stdev(window)


def first(found: list[dict[str, float | None]]) -> dict[str, float | None]:
    return {name: next((one[name] for one in found if one[name] is not None), None) for name in found[0]}


def expected(data: Inputs, symbol: str, ts: datetime) -> dict[str, float | None]:
    venues = [Known(data, symbol, venue, ts) for venue in VENUES]
    funding = [known.funding() for known in venues]
    rates = [one["funding_rate_hourly"] for one in funding if one["funding_rate_hourly"] is not None]
    spread = {"funding_venue_spread": max(rates) - min(rates) if len(rates) > 1 else None}
    return {
        **first(funding),
        **spread,
        **first([known.statistics() for known in venues]),
        **first([known.basis() for known in venues]),
    }


def test_a_few_hundred_cells_equal_the_definitions() -> None:
    data = messy(31, START, 4, history=45, gaps=0.002, late=0.01)
    got = features(data, COINS, START, START + 3 * DAY)
    rng = np.random.default_rng(3)
    counted = dict.fromkeys(expected(data, "BTC", at(START)), 0)
    for index in rng.choice(got.height, size=14, replace=False):
        row = got.row(int(index), named=True)
        for name, value in expected(data, row["symbol"], row["ts"]).items():
            assert row[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-18)), (
                name,
                row["ts"],
            )
            counted[name] += value is not None
    assert min(counted.values()) > 0, counted


def test_the_interval_of_a_symbol_that_changes_counts_on_both_sides() -> None:
    """8 hours until 16:00, every hour after: the sums hold each settlement once, the hourly rate does not jump by eight."""
    change = at(START, 16)
    stamps = [change - n * 8 * HOUR for n in range(100)][::-1] + [change + n * HOUR for n in range(1, 40)]
    rates = [{"symbol": "BTC", "venue": "binance", "ts": ts, "available_at": ts, "funding_rate": span * 1e-5,
              "interval_hours": span, "funding_rate_hourly": 1e-5} for ts in stamps for span in (8.0 if ts <= change else 1.0,)]  # fmt: skip
    prices = [{"symbol": "BTC", "ts": at(START, n), "available_at": at(START, n), "price_usd": 1.0} for n in range(48)]
    got = features(inputs(prices=prices, funding_rates=rates), ["BTC"], START, START + DAY)
    by_hour = {row["ts"]: row for row in got.rows(named=True)}
    assert {row["funding_rate_hourly"] for row in by_hour.values()} == {1e-5}
    # At 17:00 the three of 8 hours are in the window and one of an hour; at 06:00 of the next day two and 14.
    for hour, paid in {15: 24e-5, 16: 24e-5, 17: 25e-5, 30: 30e-5, 47: 24e-5}.items():
        assert by_hour[at(START, hour)]["funding_sum_24h"] == pytest.approx(paid, rel=1e-9)
    assert [by_hour[at(START, hour)]["hours_to_funding"] for hour in (14, 15, 16, 17, 18)] == [2, 1, 8, 1, 1]


def test_the_snapshot_of_all_venues_is_preferred_and_the_venue_fills_its_past() -> None:
    day = [at(START, n) for n in range(24)]
    prices = [
        {
            "symbol": "BTC",
            "ts": ts,
            "available_at": ts,
            "price_usd": 2.0,
            "market_cap_usd": 1000.0,
            "volume_24h_usd": 40.0,
        }
        for ts in day
    ]
    where = {"symbol": "BTC", "venue": "binance"}
    settled = [
        {
            **where,
            "ts": ts,
            "available_at": ts,
            "funding_rate": 3e-4,
            "interval_hours": 8.0,
            "funding_rate_hourly": 3e-4 / 8,
        }
        for ts in day[::8]
    ]
    interest = [
        {**where, "ts": ts, "available_at": ts + DELAY, "open_interest": 50.0, "open_interest_usd": 100.0} for ts in day
    ]
    snapshots = [{"symbol": "BTC", "ts": ts, "available_at": ts + timedelta(minutes=3), "contracts": 4, "funding_rate": 1e-4,
                  "open_interest_usd": 700.0} for ts in day[12:]]  # fmt: skip
    given = inputs(prices=prices, funding_rates=settled, open_interest=interest, derivatives=snapshots)
    got = {row["ts"].hour: row for row in features(given, ["BTC"], START, START).rows(named=True)}
    assert (got[11]["funding_rate"], got[11]["open_interest_usd"], got[11]["open_interest_to_market_cap"]) == (
        3e-4,
        100.0,
        0.1,
    )
    assert (got[12]["funding_rate"], got[12]["open_interest_usd"], got[12]["open_interest_to_market_cap"]) == (
        1e-4,
        700.0,
        0.7,
    )
    assert {row["open_interest_to_volume"] for row in got.values()} == {2.5}
    alone = {
        row["ts"].hour: row
        for row in features(inputs(prices=prices, derivatives=snapshots), ["BTC"], START, START).rows(named=True)
    }
    assert all(got[hour]["funding_rate"] == alone[hour]["funding_rate"] for hour in range(12, 24))


def test_the_order_of_venues_decides_whose_number_counts() -> None:
    ts = at(START)
    prices = [{"symbol": "BTC", "ts": ts, "available_at": ts, "price_usd": 1.0}]
    settled = [{"symbol": "BTC", "venue": venue, "ts": ts, "available_at": ts, "funding_rate": rate, "interval_hours": 8.0,
                "funding_rate_hourly": rate / 8} for venue, rate in (("binance", 8e-4), ("bybit", 1.6e-3))]  # fmt: skip
    given = inputs(prices=prices, funding_rates=settled)
    for venues, hourly in ((("binance", "bybit"), 1e-4), (("bybit", "binance"), 2e-4), (("bybit",), 2e-4)):
        (row,) = build_features(**given, symbols=["BTC"], start=START, end=START, venues=venues).rows(named=True)
        assert row["funding_rate_hourly"] == pytest.approx(hourly, rel=1e-12)
        assert row["funding_venue_spread"] == (pytest.approx(1e-4) if len(venues) == 2 else None)


def test_dvol_against_the_volatility_that_came_about() -> None:
    data = messy(31, START, 2, history=45, gaps=0.001, late=0.0)
    got = features(data, ["BTC"], START, START + DAY)
    close = dict(data["implied_volatility"].select(pl.col("ts") + HOUR, "close").rows())

    def served(ts: datetime) -> float | None:
        return next((close[ts - n * HOUR] for n in range(24) if ts - n * HOUR in close), None)

    for row in got.rows(named=True):
        assert row["dvol"] == served(row["ts"])
        then = served(row["ts"] - DAY)
        assert row["dvol_change_24h"] == (row["dvol"] - then if row["dvol"] is not None and then is not None else None)
        if row["dvol"] is not None and row["volatility_30d"] is not None:
            realised = 100 * row["volatility_30d"] * math.sqrt(24 * 365)
            assert row["dvol_minus_realised_30d"] == pytest.approx(row["dvol"] - realised, rel=1e-9)
    assert got["dvol_minus_realised_30d"].count() > 40


def test_levels_are_bridged_for_their_hours_and_no_longer() -> None:
    """Open interest of every fourth hour and one candle a day fill each hour; the value ends when it is too old."""
    marks = [at(START, n) for n in range(96)]
    prices = table("prices", [{"symbol": "BTC", "ts": ts, "available_at": ts, "price_usd": 1.0} for ts in marks])
    where = {"symbol": "BTC", "venue": "binance"}
    interest = [
        {
            **where,
            "ts": ts,
            "available_at": ts + timedelta(minutes=5),
            "open_interest": 100.0 + n,
            "open_interest_usd": 1e9,
        }
        for n, ts in enumerate(marks[:49:4])
    ]
    candle = dict.fromkeys(("open", "high", "low", "close"), 60.0)
    candles = [{"symbol": "BTC", "ts": ts, "available_at": ts + HOUR, **candle} for ts in marks[:25:24]]
    given = {"prices": prices, "open_interest": table("open_interest", interest),
             "implied_volatility": table("implied_volatility", candles)}  # fmt: skip
    got = build_features(tables=given, symbols=["BTC"], start=START, end=START + 3 * DAY).sort("ts")
    levels = [100.0 + min(n, 48) // 4 if n < 56 else None for n in range(96)]
    assert got["open_interest_base"].to_list() == levels
    assert got["open_interest_usd"].is_not_null().to_list() == [n < 56 for n in range(96)]
    assert got["open_interest_base_change_24h"].is_not_null().to_list() == [24 <= n < 56 for n in range(96)]
    assert got["dvol"].is_not_null().to_list() == [1 <= n < 49 for n in range(96)]


def test_coins_are_expected_to_have_what_a_venue_lists() -> None:
    from crypto_assets.catalog import by_symbol

    assert Coins.OPTIONS.has(by_symbol()["ETH"]) and not Coins.OPTIONS.has(by_symbol()["SOL"])
    assert Coins.PERPETUAL.has(by_symbol()["SHIB"]) and not Coins.PERPETUAL.has(by_symbol()["USDT"])
    assert Coins.TWO_VENUES.has(by_symbol()["BTC"]) and not Coins.TWO_VENUES.has(by_symbol()["MATIC"])


def test_recorded_funding_gives_the_same_features_as_a_computation_by_frames() -> None:
    """A recorded year of BTC at its hours: rate in force, its sums and its z-score, computed once more with pandas."""
    recorded = pl.read_parquet(shared("series", "funding", "binance_perp_funding_2019-09_2023-12.parquet"))
    mine = recorded.filter(pl.col("symbol") == "BTCUSDT").sort("funding_time").to_pandas()
    mine["ts"] = mine["funding_time"].dt.round("1h")
    mine = mine[(mine["ts"] >= "2022-01-01") & (mine["ts"] < "2022-06-01")]
    settled = [
        {"symbol": "BTC", "venue": "binance", "ts": ts.to_pydatetime(), "available_at": max(ts, stamp).to_pydatetime(),
         "funding_rate": rate, "interval_hours": 8.0, "funding_rate_hourly": rate / 8}
        for ts, stamp, rate in zip(mine["ts"], mine["funding_time"], mine["funding_rate"], strict=True)
    ]  # fmt: skip
    first_day, days = date(2022, 3, 1), 60
    marks = [at(first_day, n) for n in range(24 * days)]
    prices = table("prices", [{"symbol": "BTC", "ts": ts, "available_at": ts, "price_usd": 1.0} for ts in marks])
    given = {"prices": prices, "funding_rates": table("funding_rates", settled)}
    got = build_features(tables=given, symbols=["BTC"], start=first_day, end=first_day + (days - 1) * DAY).to_pandas()
    hourly = mine.set_index("ts")["funding_rate"].resample("1h").ffill() / 8
    hourly = hourly.reindex(hourly.index.union(marks)).ffill()
    mean, std = hourly.rolling(720).mean(), hourly.rolling(720).std()
    paid = mine.set_index("ts")["funding_rate"].reindex(hourly.index).fillna(0.0)
    wanted = {
        "funding_rate_hourly": hourly, "funding_sum_24h": paid.rolling(24).sum(), "funding_sum_7d": paid.rolling(168).sum(),
        "funding_zscore_30d": (hourly - mean) / std, "funding_rate": hourly * 8,
    }  # fmt: skip
    for name, series in wanted.items():
        assert got[name].notna().all(), name
        np.testing.assert_allclose(
            got[name].to_numpy(), series.loc[marks].to_numpy(), rtol=1e-7, atol=1e-12, err_msg=name
        )
    assert schemas.ML_FEATURES.by_name["funding_zscore_30d"].unit == "sigma"
