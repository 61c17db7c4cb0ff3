"""Input frames for the tests: tidy or messy, always following the contracts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone

import numpy as np
import polars as pl

from crypto_assets.catalog.macro import SERIES
from crypto_assets.features.build import build_features
from crypto_assets.features.lookback import LOOKBACK_DAYS
from crypto_assets.tables import schemas
from crypto_assets.tables.contract import Contract

HOUR, DAY, DELAY = timedelta(hours=1), timedelta(days=1), timedelta(minutes=5)
TABLES = (
    "prices", "ohlc", "onchain_base", "onchain_enhanced", "market_sentiment", "defi_metrics", "narratives",
    "derivatives", "social_metrics", "developer_activity", "funding_rates", "open_interest", "perpetual_bars",
    "implied_volatility", "macro_indicators", "network_metrics",
    "social_sentiment",
    "coin_events",
)  # fmt: skip
Inputs = dict[str, pl.DataFrame]


def at(day: date, hours: float = 0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc) + hours * HOUR


def table(name: str, rows: list[dict]) -> pl.DataFrame:
    """Rows as the contract's frame, validated; ``date`` and ``source`` are filled in."""
    contract = schemas.CONTRACTS[name]
    full = []
    for row in rows:
        given = {"source": "test"} | ({"date": row["ts"].date()} if "ts" in row else {})
        full.append({column: (given | row).get(column) for column in contract.names})
    return contract.validate(pl.DataFrame(full, schema=contract.polars_schema))


def inputs(**rows: list[dict]) -> Inputs:
    return {name: table(name, rows.get(name, [])) for name in TABLES}


def price(symbol: str, ts: datetime, value: float, late: timedelta = timedelta(seconds=20)) -> dict:
    return {"symbol": symbol, "ts": ts, "available_at": ts + late, "price_usd": value}


def bar(
    symbol: str, ts: datetime, close: float, spread: float = 0.01, volume: float | None = 1.0, late: timedelta = 0 * DAY
) -> dict:
    return {
        "symbol": symbol, "ts": ts, "available_at": ts + HOUR + late,
        "open": close, "high": close * (1 + spread), "low": close * (1 - spread), "close": close, "volume": volume,
    }  # fmt: skip


def features(data: Mapping[str, pl.DataFrame], symbols: list[str], start: date, end: date) -> pl.DataFrame:
    return schemas.ML_FEATURES.validate(build_features(**data, symbols=symbols, start=start, end=end))


def loaded(data: Inputs, start: date, end: date) -> Inputs:
    """What the asset loads for start..end: partitions from the look-back to the range's last day."""
    return {
        name: frame.filter(pl.col("date").is_between(start - LOOKBACK_DAYS[name] * DAY, end))
        for name, frame in data.items()
    }


def known_by(data: Inputs, instant: datetime) -> Inputs:
    return {name: frame.filter(pl.col("available_at") <= instant) for name, frame in data.items()}


def walk(rng: np.random.Generator, count: int, level: float) -> np.ndarray:
    return level * np.exp(np.cumsum(rng.normal(0, 0.01, count)))


def _lateness(rng: np.random.Generator, late: float) -> timedelta:
    return timedelta(minutes=float(rng.choice([6, 64, 66, 300, 3000]))) if rng.random() < late else timedelta(seconds=9)


# Hours without a bar, as (hours after the first output day, length): short ones, the longest that is filled, longer ones.
OUTAGES = {"BTC": ((-300, 3), (9, 5), (30, 24)), "SHIB": ((-260, 30), (20, 25)), "NEW": ((-130, 24), (-70, 25), (5, 2))}


def messy(seed: int, start: date, days: int, *, history: int = 45, gaps: float = 0.002, late: float = 0.01) -> Inputs:
    """Three coins with gaps, outages, late rows, a listing in the middle of a day, flat stretches and tiny prices."""
    rng = np.random.default_rng(seed)
    first = start - history * DAY
    hours = (history + days) * 24
    rows: dict[str, list[dict]] = {name: [] for name in TABLES}
    for symbol, level, listed in (("BTC", 6e4, 0), ("SHIB", 1e-5, 0), ("NEW", 3.0, (history - 9) * 24 + 7)):
        closes = walk(rng, hours, level)
        closes[hours // 2 : hours // 2 + 30] = closes[hours // 2]
        for hour in range(listed, hours):
            ts = at(first, hour)
            if rng.random() >= gaps:
                rows["prices"].append(
                    price(symbol, ts, float(closes[hour]), _lateness(rng, late))
                    | {"market_cap_usd": float(closes[hour] * rng.uniform(1e5, 1.1e5)) if rng.random() < 0.95 else None,
                       "volume_24h_usd": float(rng.gamma(9.0) * 1e6) if rng.random() < 0.95 else None}
                )  # fmt: skip
            out = any(begin <= hour - history * 24 < begin + length for begin, length in OUTAGES[symbol])
            if rng.random() >= gaps / 4 and not out:
                volume = None if rng.random() < gaps else float(rng.gamma(2.0))
                spread = float(rng.uniform(0, 0.02)) if rng.random() < 0.9 else 0.0
                delay = _lateness(rng, late / 10) - timedelta(seconds=9)
                rows["ohlc"].append(bar(symbol, ts, float(closes[hour]), spread, volume, delay))
            if rng.random() < 0.9:
                rows["narratives"].append(
                    {"symbol": symbol, "ts": ts, "available_at": ts + (0 if rng.random() < 0.9 else 1) * HOUR,
                     "article_count_24h": int(rng.integers(0, 9)), "sentiment_24h": float(rng.uniform(-1, 1)),
                     **{f"theme_{theme}_share_24h": float(rng.random()) for theme in schemas.THEMES}}
                )  # fmt: skip
            if rng.random() < 0.9:
                cells = {
                    c: _value(rng, schemas.SOCIAL_SENTIMENT.by_name[c].upper)
                    for c in schemas.SOCIAL_SENTIMENT.value_columns
                }
                rows["social_sentiment"].append(
                    {"symbol": symbol, "ts": ts, "available_at": ts, "pit_quality": "final", **cells}
                )
            if rng.random() < 0.9:
                heard = schemas.CONTRACTS["coin_events"]
                cells = {c: _value(rng, heard.by_name[c].upper) for c in heard.value_columns}
                rows["coin_events"].append(
                    {"symbol": symbol, "ts": ts, "available_at": ts, "pit_quality": "final", **cells}
                )
            if rng.random() < 0.8:
                rows["derivatives"].append(
                    {"symbol": symbol, "ts": ts, "available_at": ts + timedelta(minutes=float(rng.uniform(0, 59))),
                     "contracts": 3, "funding_rate": float(rng.normal(0, 1e-4)), "basis": float(rng.normal(0, 1e-3)),
                     "open_interest_usd": float(rng.gamma(9.0)) * 1e8, "volume_24h_usd": float(rng.gamma(9.0)) * 1e8}
                )  # fmt: skip
        rows["onchain_base"] += _daily(rng, schemas.ONCHAIN_BASE, {"symbol": symbol}, first, history + days)
        rows["onchain_enhanced"] += _daily(rng, schemas.ONCHAIN_ENHANCED, {"symbol": symbol}, first, history + days)
        for row in _daily(rng, schemas.NETWORK_METRICS, {"symbol": symbol}, first, history + days):
            rows["network_metrics"].append(row | {"available_at": at(row["date"], 30)})
        for name in ("social_metrics", "developer_activity"):
            for row in _daily(rng, schemas.CONTRACTS[name], {"symbol": symbol}, first, history + days):
                rows[name].append(row | {"available_at": at(row["date"], 24 + 35 / 60)})
    rows |= futures(rng, first, hours, gaps=gaps, late=late)
    rows["narratives"] += [
        {"symbol": "MARKET", "ts": at(first, hour), "available_at": at(first, hour), "article_count_24h": hour % 11,
         "sentiment_24h": float(rng.uniform(-1, 1))}
        for hour in range(hours)
    ]  # fmt: skip
    for entity in ("all", "Bitcoin"):
        for row in _daily(rng, schemas.DEFI_METRICS, {"entity": entity}, first, history + days):
            rows["defi_metrics"].append(row | {"available_at": at(row["date"], 25)})
    for row in _daily(rng, schemas.MARKET_SENTIMENT, {}, first, history + days):
        if row["fear_greed_index"] is not None:
            rows["market_sentiment"].append(row | {"available_at": at(row["date"], 0.25)})
    rows["macro_indicators"] = readings(rng, first, history + days)
    return inputs(**rows)


def readings(rng: np.random.Generator, first: date, days: int) -> list[dict]:
    """Readings of the macro series: a tenth of the cells null, some days without one, some with a second one at noon."""
    found = []
    for name in (series.name for series in SERIES if series.feature):
        for number in range(days):
            for hour in (0, 12.5) if rng.random() < 0.3 else (0,) if rng.random() < 0.8 else ():
                ts = at(first + number * DAY, hour)
                values = {c: float(rng.normal(5, 2)) if rng.random() < 0.9 else None for c in READ}
                release = ts + float(rng.integers(1, 400)) * HOUR if rng.random() < 0.9 else None
                found.append(
                    {"series": name, "ts": ts, "available_at": ts, "observation_date": ts.date(), "next_release_at": release,
                     "released_at": ts - float(rng.integers(0, 400)) * HOUR, "pit_quality": "vintage", **values}
                )  # fmt: skip
    return found


READ = ("level", "change_1", "change_5", "change_20", "zscore_20", "surprise")
CONTRACTS = (("BTC", "binance"), ("BTC", "bybit"), ("SHIB", "binance"), ("NEW", "bybit"))


def futures(rng: np.random.Generator, first: date, hours: int, *, gaps: float, late: float) -> dict[str, list[dict]]:
    """Rows of derivatives at two venues: gaps, late rows, flat rates, an interval that changes from 8 hours to 1 and to 4."""
    rows: dict[str, list[dict]] = {
        "funding_rates": [], "open_interest": [], "perpetual_bars": [], "implied_volatility": [],
    }  # fmt: skip
    for symbol, venue in CONTRACTS:
        where = {"symbol": symbol, "venue": venue}
        for hour in range(hours):
            ts = at(first, hour)
            interval = 8 if hour < hours - 90 else 1 if hour < hours - 50 else 4
            if hour % interval == 0 and rng.random() >= gaps * 2:
                rate = float(rng.normal(1e-4, 2e-4)) if rng.random() < 0.7 else 1e-4
                delay = _lateness(rng, late) - timedelta(seconds=9)
                rows["funding_rates"].append(
                    {**where, "ts": ts, "available_at": ts + delay, "funding_rate": rate,
                     "interval_hours": float(interval), "funding_rate_hourly": rate / interval}
                )  # fmt: skip
            if rng.random() >= gaps:
                amount = float(rng.gamma(9.0)) * 1e3
                ratios = {n: float(rng.gamma(4.0)) for n in ("long_short_ratio", "taker_buy_sell_ratio")}
                delay = timedelta(minutes=10 if hour > hours - 40 else 5)
                more = ratios | {"open_interest_usd": amount * 20} if venue == "binance" else {}
                rows["open_interest"].append(
                    {**where, "ts": ts, "available_at": ts + delay, "open_interest": amount, **more}
                )
            if rng.random() >= gaps and venue == "binance":
                delay = _lateness(rng, late) - timedelta(seconds=9)
                rows["perpetual_bars"].append(
                    {**where, "ts": ts, "available_at": ts + HOUR + delay, "close": 5.0, "index_close": 5.0,
                     "basis": float(rng.normal(0, 1e-3)), "volume": 1.0, "volume_usd": float(rng.gamma(9.0)) * 1e6}
                )  # fmt: skip
            if symbol == "BTC" and venue == "binance" and rng.random() >= gaps:
                level = float(rng.uniform(40, 90))
                rows["implied_volatility"].append(
                    {"symbol": symbol, "ts": ts, "available_at": ts + HOUR, "open": level, "high": level + 1,
                     "low": level - 1, "close": level}
                )  # fmt: skip
    return rows


def _daily(rng: np.random.Generator, contract: Contract, key: dict, first: date, days: int) -> list[dict]:
    """A tenth of the cells null, a fifth of the days missing, some days complete only after their successors."""
    found = []
    for number in range(days):
        day = first + number * DAY
        if rng.random() < 0.2:
            continue
        lag = float(rng.choice([25.0, 27.5, 30.0, 80.0, 24 + 7 * 24]))
        values = {c: _value(rng, contract.by_name[c].upper) for c in contract.value_columns}
        found.append({**key, "date": day, "available_at": at(day, lag), **values})
    return found


def _value(rng: np.random.Generator, upper: float | None) -> float | None:
    return float(rng.uniform(0, min(90.0, upper or 90.0))) if rng.random() < 0.9 else None
