"""Price, market and technical columns by our engine, against the same columns by idiomatic pandas groupby.

300 coins x 640 days hourly. The baseline is given the easier task: rows are joined, sorted and without gaps, so that
shifts may count rows, and it keeps no column but the newest day's; ours lays the tables out, looks back before the first
day, minds gaps and warm-ups, and returns the whole frame. Columns that pandas has only by a Python call a window (CCI,
the deepest fall) are left out of both. Some are compared, so that both do the same thing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from crypto_assets.features.build import build_features
from crypto_assets_bench import _market
from crypto_assets_bench.result import Result, peak_mb

COMPARED = (
    "return_24h",
    "volatility_7d",
    "drawdown_30d",
    "rsi_14",
    "macd_signal",
    "bb_upper",
    "stoch_d",
    "mfi_14",
    "market_cap_rank",
)
REPEATS = 3  # the quickest of each, in turn: what else the machine does can only slow one of them
TOLERANCE = 1e-6  # running sums of pandas lose digits
Named = Iterator[tuple[str, pd.Series]]


def run() -> Result:
    inputs = {table: frame for table, frame in _market.tables().items() if table in ("prices", "ohlc")}
    frame = _joined(inputs)
    last = frame["ts"] >= frame["ts"].iloc[-1] - pd.Timedelta(hours=23)
    theirs: dict[str, Any] = {}
    ours = pl.DataFrame()
    baseline = seconds = float("inf")
    for _ in range(REPEATS):
        ours = pl.DataFrame()  # one result at a time in memory
        began = time.perf_counter()
        theirs = {name: series[last].to_numpy() for name, series in _pandas(frame)}
        baseline = min(baseline, time.perf_counter() - began)
        began = time.perf_counter()
        ours = build_features(
            tables=inputs, symbols=_market.SYMBOLS, start=_market.START, end=_market.END, columns=[*theirs]
        )
        seconds = min(seconds, time.perf_counter() - began)
    newest = ours.filter(pl.col("date") == _market.END)
    for name in COMPARED:
        _compare(name, newest, theirs[name])
    notes = {"rows": ours.height, "columns": len(theirs)}
    return Result(ours_s=seconds, baseline_s=baseline, ratio=baseline / seconds, peak_mb=peak_mb(), notes=notes)


def _joined(inputs: dict[str, pl.DataFrame]) -> pd.DataFrame:
    """Prices beside the bar that closed at the hour, over the output's days: what pandas computes from."""
    bars = inputs["ohlc"].select(
        "symbol", (pl.col("ts") + pl.duration(hours=1)).alias("ts"), "open", "high", "low", "close", "volume"
    )
    rows = inputs["prices"].filter(pl.col("date") >= _market.START).join(bars, on=["symbol", "ts"]).sort("symbol", "ts")
    return rows.drop("date", "available_at", "pit_quality", "source").to_pandas()


def _compare(name: str, ours: pl.DataFrame, theirs: np.ndarray) -> None:
    mine = ours[name].to_numpy()
    if not np.allclose(mine, theirs, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        raise RuntimeError(f"features_vs_pandas: {name} differs between the two; fix the benchmark before believing it")


def _pandas(df: pd.DataFrame) -> Named:
    yield from _prices(df)
    yield from _beside(df)
    yield from _averages(df)
    yield from _ranges(df)
    yield from _flows(df)


def _log(values: pd.Series) -> pd.Series:
    return pd.Series(np.log(values), index=values.index)


class _By:
    """One column grouped by coin."""

    def __init__(self, series: pd.Series, symbol: pd.Series) -> None:
        self.series, self.grouped = series, series.groupby(symbol, sort=False)

    def shift(self, n: int) -> pd.Series:
        return self.grouped.shift(n)

    def rolling(self, n: int, how: str, least: int | None = None, **more: int) -> pd.Series:
        return getattr(self.grouped.rolling(n, min_periods=least), how)(**more).reset_index(level=0, drop=True)

    def ewm(self, alpha: float) -> pd.Series:
        return self.grouped.ewm(alpha=alpha, adjust=False).mean().reset_index(level=0, drop=True)


def _prices(df: pd.DataFrame) -> Named:
    price, volume = _By(df["price_usd"], df["symbol"]), _By(df["volume_24h_usd"], df["symbol"])
    for name, hours in {"1h": 1, "4h": 4, "24h": 24, "7d": 168, "30d": 720}.items():
        growth = df["price_usd"] / price.shift(hours)
        yield f"return_{name}", growth - 1
        yield f"log_return_{name}", _log(growth)
    logs = _By(_log(df["price_usd"] / price.shift(1)), df["symbol"])
    std = {n: logs.rolling(n, "std", int(np.ceil(0.8 * n))) for n in (24, 168, 720)}
    yield from ((f"volatility_{name}", std[n]) for name, n in (("24h", 24), ("7d", 168), ("30d", 720)))
    yield "volatility_ratio_24h_30d", std[24] / std[720]
    for name, n in (("7d", 168), ("30d", 720)):
        yield f"risk_adjusted_return_{name}", logs.rolling(n, "mean", int(np.ceil(0.8 * n))) / std[n]
    for name, n, how in (("drawdown_30d", 720, "max"), ("distance_from_high_7d", 168, "max"),
                         ("distance_from_low_7d", 168, "min"), ("distance_from_low_30d", 720, "min")):  # fmt: skip
        yield name, df["price_usd"] / price.rolling(n, how, int(np.ceil(0.8 * n))) - 1
    yield "volume_change_24h", df["volume_24h_usd"] / volume.shift(24) - 1
    yield (
        "volume_zscore_30d",
        (df["volume_24h_usd"] - volume.rolling(720, "mean", 576)) / volume.rolling(720, "std", 576),
    )
    yield "turnover_24h", df["volume_24h_usd"] / df["market_cap_usd"]


def _beside(df: pd.DataFrame) -> Named:
    by_hour = df.groupby("ts")["market_cap_usd"]
    yield "market_cap_rank", by_hour.rank(ascending=False, method="min")
    yield "market_cap_dominance", df["market_cap_usd"] / by_hour.transform("sum")
    own = _log(df["price_usd"] / df.groupby("symbol", sort=False)["price_usd"].shift(1))
    leader = df["ts"].map(own[df["symbol"] == "BTC"].set_axis(df.loc[df["symbol"] == "BTC", "ts"]))
    pair = pd.DataFrame({"symbol": df["symbol"], "own": own, "btc": leader})
    for name, n in (("7d", 168), ("30d", 720)):
        rolled = [(g["own"].rolling(n), g["btc"]) for _, g in pair.groupby("symbol", sort=False)]
        yield f"correlation_btc_{name}", pd.concat([mine.corr(btc) for mine, btc in rolled])
        yield f"beta_btc_{name}", pd.concat([mine.cov(btc) / btc.rolling(n).var() for mine, btc in rolled])


def _averages(df: pd.DataFrame) -> Named:
    close = _By(df["close"], df["symbol"])
    sma = {n: close.rolling(n, "mean") for n in (10, 20, 50, 100, 200)}
    yield from ((f"sma_{n}", series) for n, series in sma.items())
    yield from ((f"close_to_sma_{n}", df["close"] / sma[n] - 1) for n in (20, 50, 200))
    ema = {n: close.ewm(2 / (n + 1)) for n in (9, 12, 20, 26, 50)}
    yield from ((f"ema_{n}", series) for n, series in ema.items())
    line = ema[12] - ema[26]
    signal = _By(line, df["symbol"]).ewm(0.2)
    yield from (
        ("macd_line", line),
        ("macd_signal", signal),
        ("macd_histogram", line - signal),
        ("ppo_12_26", line / ema[26]),
    )
    band = 2 * close.rolling(20, "std", ddof=0)
    upper, lower = sma[20] + band, sma[20] - band
    yield from (("bb_upper", upper), ("bb_middle", sma[20]), ("bb_lower", lower), ("bb_width", 2 * band / sma[20]))
    yield "bb_percent_b", (df["close"] - lower) / (2 * band)
    change = df["close"] - close.shift(1)
    gain, loss = (_By(s, df["symbol"]).ewm(1 / 14) for s in (change.clip(lower=0), (-change).clip(lower=0)))
    yield "rsi_14", 100 * gain / (gain + loss)
    yield from ((f"roc_{n}", df["close"] / close.shift(n) - 1) for n in (12, 48))


def _ranges(df: pd.DataFrame) -> Named:
    symbol, before = df["symbol"], df.groupby("symbol", sort=False)["close"].shift(1)
    high, low = _By(df["high"], symbol), _By(df["low"], symbol)
    for n in (14, 20, 24):
        top, bottom = high.rolling(n, "max"), low.rolling(n, "min")
        k = (df["close"] - bottom) / (top - bottom)
        if n == 14:
            d = _By(100 * k, symbol).rolling(3, "mean")
            yield from (("stoch_k", 100 * k), ("stoch_d", d), ("stoch_slow_d", _By(d, symbol).rolling(3, "mean")))
        elif n == 20:
            yield from (("donchian_upper_20", top), ("donchian_lower_20", bottom), ("donchian_position_20", k))
        else:
            yield "williams_r_24", -100 * (1 - k)
    tall = pd.concat([df["high"] - df["low"], (df["high"] - before).abs(), (df["low"] - before).abs()], axis=1).max(
        axis=1
    )
    up, down = df["high"] - high.shift(1), low.shift(1) - df["low"]
    atr = _By(tall, symbol).ewm(1 / 14)
    plus = _By(up.where((up > down) & (up > 0), 0.0), symbol).ewm(1 / 14)
    minus = _By(down.where((down > up) & (down > 0), 0.0), symbol).ewm(1 / 14)
    yield from (("atr_14", atr), ("natr_14", atr / df["close"]))
    yield from (("plus_di_14", 100 * plus / atr), ("minus_di_14", 100 * minus / atr))
    yield "adx_14", _By(100 * (plus - minus).abs() / (plus + minus), symbol).ewm(1 / 14)
    wide, body = _log(df["high"] / df["low"]) ** 2, _log(df["close"] / df["open"]) ** 2
    inner = 0.5 * wide - (2 * np.log(2) - 1) * body
    for name, n in (("24h", 24), ("7d", 168)):
        yield f"parkinson_volatility_{name}", np.sqrt(_By(wide, symbol).rolling(n, "mean") / (4 * np.log(2)))
        yield f"garman_klass_volatility_{name}", np.sqrt(_By(inner, symbol).rolling(n, "mean"))


def _flows(df: pd.DataFrame) -> Named:
    symbol, close, volume = df["symbol"], df["close"], df["volume"]
    before = close.groupby(symbol, sort=False).shift(1)
    typical = (df["high"] + df["low"] + close) / 3
    sold = _By(volume, symbol).rolling(24, "sum")
    vwap = _By(typical * volume, symbol).rolling(24, "sum") / sold
    yield from (("vwap_24h", vwap), ("close_to_vwap_24h", close / vwap - 1))
    signed = _By(volume.where(close > before, -volume).where(close != before, 0.0), symbol)
    day = signed.rolling(24, "sum")
    yield from (("obv_24h", day), ("obv_7d", signed.rolling(168, "sum")), ("obv_share_24h", day / sold))
    step = typical - typical.groupby(symbol, sort=False).shift(1)
    rising = _By((typical * volume).where(step > 0, 0.0), symbol).rolling(14, "sum")
    falling = _By((typical * volume).where(step < 0, 0.0), symbol).rolling(14, "sum")
    yield "mfi_14", 100 * rising / (rising + falling)
    place = (2 * close - df["low"] - df["high"]) / (df["high"] - df["low"])
    yield "cmf_20", _By(place * volume, symbol).rolling(20, "sum") / _By(volume, symbol).rolling(20, "sum")
    value = _By(close * volume, symbol)
    yield "traded_value_24h", value.rolling(24, "sum")
    yield "traded_value_zscore_7d", (value.series - value.rolling(168, "mean")) / value.rolling(168, "std")
    impact = _By((close / before - 1).abs() / (close * volume / 1e6), symbol)
    yield from ((f"amihud_illiquidity_{name}", impact.rolling(n, "mean")) for name, n in (("24h", 24), ("7d", 168)))
