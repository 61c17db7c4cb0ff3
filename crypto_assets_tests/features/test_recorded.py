"""Against TA-Lib on recorded hourly bars: 83 days of Binance without a gap, long after every seed has faded."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crypto_assets.features.build import build_features

talib = pytest.importorskip("talib", reason="TA-Lib is a development extra")

BEGIN = datetime(2021, 4, 25, 8, tzinfo=timezone.utc)  # the venue's last outage of the recording ends here
START, END = date(2021, 7, 8), date(2021, 7, 16)
COINS = ("BTC", "DOGE", "AAVE")


@pytest.fixture(scope="module")
def bars(shared: Path) -> dict[str, pl.DataFrame]:
    recorded = pl.scan_parquet(shared / "data" / "ohlcv_hourly" / "binance_spot_1h_2020-12_2021-07.parquet")
    found = {}
    for coin in COINS:
        frame = recorded.filter(pl.col("symbol") == f"{coin}/USDT", pl.col("ts") >= BEGIN).sort("ts").collect()
        hours = frame["ts"].diff().drop_nulls()
        if frame.height < 1900 or (hours != timedelta(hours=1)).any():
            pytest.skip(f"the recording of {coin} has a gap after {BEGIN}")
        found[coin] = frame.with_columns(symbol=pl.lit(coin))
    return found


@pytest.fixture(scope="module")
def got(bars: dict[str, pl.DataFrame]) -> pl.DataFrame:
    ohlc = pl.concat(bars.values()).select("symbol", "ts", "open", "high", "low", "close", "volume")
    ohlc = ohlc.with_columns(
        date=pl.col("ts").dt.date(), available_at=pl.col("ts") + timedelta(hours=1), source=pl.lit("t")
    )
    return build_features(ohlc=ohlc, symbols=COINS, start=START, end=END)


def _windowed(total: np.ndarray, bars: int) -> np.ndarray:
    """What a cumulative sum gained over the last ``bars``."""
    return np.concatenate([np.full(bars, np.nan), total[bars:] - total[:-bars]])


def theirs(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    opened, high, low, close, volume = (frame[n].to_numpy() for n in ("open", "high", "low", "close", "volume"))
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    line, signal, histogram = talib.MACD(close, 12, 26, 9)
    k, d = talib.STOCHF(high, low, close, 14, 3)
    slow_k, slow_d = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    assert slow_k[-1] == pytest.approx(d[-1])
    obv = talib.OBV(close, volume)
    ema_20, atr = talib.EMA(close, 20), talib.ATR(high, low, close, 14)
    return {
        **{f"sma_{n}": talib.SMA(close, n) for n in (10, 20, 50, 100, 200)},
        **{f"ema_{n}": talib.EMA(close, n) for n in (9, 12, 20, 26, 50)},
        "rsi_14": talib.RSI(close, 14), "macd_line": line, "macd_signal": signal, "macd_histogram": histogram,
        "ppo_12_26": talib.PPO(close, 12, 26, 1) / 100,
        "bb_upper": upper, "bb_middle": middle, "bb_lower": lower, "bb_width": (upper - lower) / middle,
        "bb_percent_b": (close - lower) / (upper - lower),
        "stoch_k": k, "stoch_d": d, "stoch_slow_d": slow_d, "williams_r_24": talib.WILLR(high, low, close, 24),
        "atr_14": atr, "natr_14": talib.NATR(high, low, close, 14) / 100, "adx_14": talib.ADX(high, low, close, 14),
        "plus_di_14": talib.PLUS_DI(high, low, close, 14), "minus_di_14": talib.MINUS_DI(high, low, close, 14),
        "cci_20": talib.CCI(high, low, close, 20), "mfi_14": talib.MFI(high, low, close, volume, 14),
        "roc_12": talib.ROCP(close, 12), "roc_48": talib.ROCP(close, 48),
        "ultimate_oscillator": talib.ULTOSC(high, low, close, 7, 14, 28),
        "obv_24h": _windowed(obv, 24), "obv_7d": _windowed(obv, 168),
        "keltner_upper": ema_20 + 2 * atr, "keltner_lower": ema_20 - 2 * atr,
        "donchian_upper_20": talib.MAX(high, 20), "donchian_lower_20": talib.MIN(low, 20),
        "cmf_20": _chaikin(high, low, close, volume), "vwap_24h": _vwap(high, low, close, volume),
        "traded_value_24h": talib.SUM(close * volume, 24),
        "parkinson_volatility_24h": np.sqrt(talib.SMA(np.log(high / low) ** 2, 24) / (4 * np.log(2))),
        "garman_klass_volatility_24h": np.sqrt(
            talib.SMA(0.5 * np.log(high / low) ** 2 - (2 * np.log(2) - 1) * np.log(close / opened) ** 2, 24)
        ),
    }  # fmt: skip


def _chaikin(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """From TA-Lib's accumulation/distribution line."""
    return _windowed(talib.AD(high, low, close, volume), 20) / talib.SUM(volume, 20)


def _vwap(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray) -> np.ndarray:
    return talib.SUM(talib.TYPPRICE(high, low, close) * volume, 24) / talib.SUM(volume, 24)


@pytest.mark.parametrize("coin", COINS)
def test_indicators_equal_talib_on_recorded_bars(coin: str, bars, got) -> None:
    mine = got.filter(pl.col("symbol") == coin)
    first = bars[coin].with_row_index().filter(pl.col("ts") + timedelta(hours=1) == mine["ts"][0])["index"][0]
    level = float(mine["sma_20"].mean())
    scales = {"macd_line": level, "macd_signal": level, "macd_histogram": level, "ppo_12_26": 1.0, "cmf_20": 1.0}
    volume = float(bars[coin]["volume"].sum())  # their OBV runs over all bars: its rounding is that of the whole sum
    scales |= {"obv_24h": volume, "obv_7d": volume}
    for name, wanted in theirs(bars[coin]).items():
        expected = wanted[first : first + mine.height]
        value = mine[name].to_numpy()
        assert np.isfinite(value).all(), name
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-12 * scales.get(name, level)), name


def test_a_talib_of_another_period_would_be_noticed(bars, got) -> None:
    """The comparison can fail: neighbouring periods differ by far more than the tolerance."""
    close = bars["BTC"]["close"].to_numpy()
    mine = got.filter(pl.col("symbol") == "BTC")["rsi_14"].to_numpy()
    assert np.abs(mine - talib.RSI(close, 15)[-len(mine) :]).max() > 0.1


OUTAGES = (date(2021, 2, 8), date(2021, 4, 30))  # Binance was out for hours several times
TIED = {"mfi_14", "cci_20", "plus_di_14", "minus_di_14", "adx_14"}  # TA-Lib compares sums of doubles: test_ties.py


@pytest.mark.parametrize("coin", ["BTC", "ETH", "AAVE", "DOGE"])
def test_indicators_over_real_outages_equal_talib_on_filled_bars(coin: str, shared: Path) -> None:
    """Every row that the new definition gives has its value, also while the venue is out."""
    recorded = pl.scan_parquet(shared / "data" / "ohlcv_hourly" / "binance_spot_1h_2020-12_2021-07.parquet")
    given = recorded.filter(pl.col("symbol") == f"{coin}/USDT").sort("ts").collect()
    hours = given.select(pl.datetime_range(pl.col("ts").min(), pl.col("ts").max(), "1h", time_unit="us").alias("ts"))
    whole = hours.join(given.with_columns(pl.col("ts").dt.cast_time_unit("us")), on="ts", how="left").sort("ts")
    missing = whole["close"].is_null()
    inside = whole.filter(pl.col("ts").dt.date().is_between(*OUTAGES))["close"].is_null()
    assert inside.sum() >= 5, "the recording has its outages"
    flat = pl.col("close").forward_fill()
    filled = whole.with_columns(
        *(pl.col(n).fill_null(flat) for n in ("open", "high", "low")), pl.col("volume").fill_null(0.0)
    )
    filled = filled.with_columns(flat)
    ohlc = given.select(
        pl.lit(coin).alias("symbol"), "ts", pl.col("ts").dt.date().alias("date"),
        (pl.col("ts") + timedelta(hours=1)).alias("available_at"), pl.lit("t").alias("source"),
        "open", "high", "low", "close", "volume",
    )  # fmt: skip
    prices = filled.select(
        pl.lit(coin).alias("symbol"), "ts", pl.col("ts").dt.date().alias("date"), pl.col("ts").alias("available_at"),
        pl.lit("t").alias("source"), pl.col("close").alias("price_usd"),
        *(pl.lit(None, pl.Float64).alias(name) for name in ("market_cap_usd", "volume_24h_usd")),
    )  # fmt: skip
    got = build_features(ohlc=ohlc, prices=prices, symbols=[coin], start=OUTAGES[0], end=OUTAGES[1])
    rows = got.with_columns(opened=pl.col("ts") - timedelta(hours=1)).join(
        filled.with_row_index().select("index", opened="ts"), on="opened"
    )
    assert rows.height == got.height == ((OUTAGES[1] - OUTAGES[0]).days + 1) * 24
    index = rows["index"].to_numpy()
    counted = missing.cast(pl.Float64).rolling_sum(168).to_numpy()[index]
    assert np.array_equal(rows["bars_filled_7d"].to_numpy(), counted)
    assert counted.max() >= 5
    level, volume = float(filled["close"].mean()), float(filled["volume"].sum())
    scales = {"macd_line": level, "macd_signal": level, "macd_histogram": level, "ppo_12_26": 1.0, "cmf_20": 1.0}
    scales |= {"obv_24h": volume, "obv_7d": volume}
    for name, wanted in theirs(filled).items():
        value = rows[name].to_numpy()
        assert np.isfinite(value).all(), name
        if name not in TIED:
            assert value == pytest.approx(wanted[index], rel=1e-9, abs=1e-12 * scales.get(name, level)), name
        else:
            same = np.isclose(value, wanted[index], rtol=1e-9, atol=1e-9)
            assert same.mean() > 0.97 or coin == "DOGE", name
