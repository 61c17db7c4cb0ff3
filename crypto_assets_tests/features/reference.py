"""The definitions once more, literally: one cell at a time, plain Python loops, no code shared with the package.

``row(inputs, symbol, ts)`` first throws away everything that was not known at ts + 5 minutes, then computes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl

HOUR, DELAY, STALE = timedelta(hours=1), timedelta(minutes=5), timedelta(days=2)
BASE = {
    "transaction_count_24h": "transaction_count", "onchain_active_addresses": "active_addresses",
    "onchain_market_cap_usd": "market_cap_usd", "onchain_volume_24h": "transfer_volume_usd",
    "onchain_transaction_volume": "transfer_volume_native", "onchain_whale_transactions": "transfers_above_1m_usd",
}  # fmt: skip
ENHANCED = {
    "onchain_avg_transaction_value": "avg_transaction_value_usd", "onchain_nvt_ratio": "nvt_ratio",
    "onchain_mvrv_ratio": "mvrv_ratio", "onchain_price_volatility_7d": "price_volatility_7d",
}  # fmt: skip


def row(data: dict[str, pl.DataFrame], symbol: str, ts: datetime) -> dict[str, float | None]:
    known = {name: frame.filter(pl.col("available_at") <= ts + DELAY) for name, frame in data.items()}
    mine = {n: f.filter(pl.col("symbol") == symbol) if "symbol" in f.columns else f for n, f in known.items()}
    out = price_row({r["ts"]: (r["price_usd"], r["available_at"]) for r in mine["prices"].iter_rows(named=True)}, ts)
    out |= bar_row({r["ts"] + HOUR: r for r in mine["ohlc"].iter_rows(named=True)}, ts)
    for name, mapping in (("onchain_base", BASE), ("onchain_enhanced", ENHANCED)):
        out |= {feature: newest(mine[name], column, ts) for feature, column in mapping.items()}
    out["fear_greed_index"] = newest(known["market_sentiment"], "fear_greed_index", ts)
    for column in ("tvl_usd", "stablecoin_supply_usd"):
        out[column] = newest(known["defi_metrics"].filter(pl.col("entity") == "all"), column, ts)
    news = mine["narratives"].filter(pl.col("ts") == ts).to_dicts()
    out["news_count_24h"] = news[0]["article_count_24h"] if news else None
    out["news_sentiment_24h"] = news[0]["sentiment_24h"] if news else None
    return out


def newest(frame: pl.DataFrame, column: str, ts: datetime) -> float | None:
    fresh = frame.filter(pl.col(column).is_not_null() & (pl.col("available_at") + STALE >= ts + DELAY))
    return fresh.sort("date")[column][-1] if fresh.height else None


def price_row(observed: dict[datetime, tuple[float, datetime]], ts: datetime) -> dict[str, float | None]:
    levels = {mark: value for mark, (value, _) in observed.items()}
    prices = {mark: value for mark, (value, instant) in observed.items() if instant - mark <= timedelta(minutes=30)}

    def change(hours: int, end: datetime = ts) -> float | None:
        now, before = prices.get(end), prices.get(end - hours * HOUR)
        return None if now is None or before is None else now / before - 1

    def volatility(hours: int) -> float | None:
        simple = [change(1, ts - n * HOUR) for n in range(hours)]
        logs = [math.log1p(value) for value in simple if value is not None]
        return statistics.stdev(logs) if len(logs) >= 0.8 * hours else None

    return {
        "price_usd": levels.get(ts), "return_1h": change(1), "return_24h": change(24), "return_7d": change(168),
        "volatility_24h": volatility(24), "volatility_7d": volatility(168),
    }  # fmt: skip


def smooth(values: list[float], alpha: float) -> list[float]:
    means = values[:1]
    for value in values[1:]:
        means.append(means[-1] + alpha * (value - means[-1]))
    return means


def run_of(bars: dict[datetime, dict], ts: datetime) -> list[dict]:
    """Bars in a row up to ts, oldest first; up to 24 missing ones at a time are flat at the close before, volume 0."""
    run: list[dict] = []
    while True:
        hole = 0
        while hole <= 24 and ts - hole * HOUR not in bars:
            hole += 1
        if hole > 24:
            return run[::-1]
        older = bars[ts - hole * HOUR]
        close, volume = older["close"], None if older["volume"] is None else 0.0
        flat = {"open": close, "high": close, "low": close, "close": close, "volume": volume}
        run += [flat] * hole + [older]
        ts -= (hole + 1) * HOUR


def filled(bars: dict[datetime, dict], ts: datetime) -> float | None:
    """Missing hours among the last 168 that lie in a hole of at most 24, as far as ts knows it."""
    count = 0
    for age in range(168):
        mark = ts - age * HOUR
        if mark in bars:
            continue
        first = last = mark
        while first not in bars and mark - first <= 25 * HOUR:
            first -= HOUR
        while last not in bars and last <= ts:
            last += HOUR
        count += (last - first) // HOUR - 1 <= 24
    return float(count) if any(ts - age * HOUR in bars for age in range(168)) else None


def bar_row(bars: dict[datetime, dict], ts: datetime) -> dict[str, float | None]:
    run = run_of(bars, ts)
    high, low, close = ([b[name] for b in run] for name in ("high", "low", "close"))

    def when(bars_before: int, value: Callable[[], float | None]) -> float | None:
        return value() if len(run) > bars_before else None

    pairs = list(pairwise(close))
    gains, losses = [max(b - a, 0.0) for a, b in pairs], [max(a - b, 0.0) for a, b in pairs]
    ranges = [h - x for h, x in zip(high[:1], low[:1], strict=True)] + [
        max(h, c) - min(x, c) for h, x, c in zip(high[1:], low[1:], close, strict=False)
    ]

    def rsi() -> float | None:
        up, down = smooth(gains, 1 / 14)[-1], smooth(losses, 1 / 14)[-1]
        return None if up + down == 0 else 100 - 100 / (1 + up / down) if down else 100.0

    def vwap() -> float | None:
        last = run[-24:]
        if any(b["volume"] is None for b in last) or sum(b["volume"] for b in last) == 0:
            return None
        return sum((b["high"] + b["low"] + b["close"]) / 3 * b["volume"] for b in last) / sum(b["volume"] for b in last)

    ks = [_stochastic(high[:n], low[:n], close[:n]) for n in range(len(run) - 2, len(run) + 1) if n > 0]
    fast, slow = smooth(close, 2 / 13), smooth(close, 2 / 27)
    line = [a - b for a, b in zip(fast, slow, strict=True)]
    signal = smooth(line, 0.2)
    middle = when(19, lambda: statistics.fmean(close[-20:]))
    band = when(19, lambda: 2 * statistics.pstdev(close[-20:]))
    return {
        "rsi_14": when(280, rsi),
        "sma_20": middle, "bb_middle": middle,
        "bb_upper": None if middle is None or band is None else middle + band,
        "bb_lower": None if middle is None or band is None else middle - band,
        "sma_50": when(49, lambda: statistics.fmean(close[-50:])),
        "ema_12": when(125, lambda: fast[-1]), "ema_26": when(270, lambda: slow[-1]),
        "macd_line": when(360, lambda: line[-1]),
        "macd_signal": when(484, lambda: signal[-1]),
        "macd_histogram": when(484, lambda: line[-1] - signal[-1]),
        "stoch_k": ks[-1] if ks else None,
        "stoch_d": None if len(ks) < 3 or None in ks else sum(ks) / 3,
        "atr_14": when(280, lambda: smooth(ranges, 1 / 14)[-1]),
        "vwap_24h": when(23, vwap), "bars_filled_7d": filled(bars, ts),
    }  # fmt: skip


def _stochastic(high: list[float], low: list[float], close: list[float]) -> float | None:
    if len(close) < 14 or max(high[-14:]) == min(low[-14:]):
        return None
    return 100 * (close[-1] - min(low[-14:])) / (max(high[-14:]) - min(low[-14:]))
