"""Recorded futures as a back end of the sandbox; the methods are those of :class:`~crypto_assets.sandbox.futures.Futures`.

The layout of the folder: ``funding/binance_perp_funding*.parquet`` (symbol, funding_time, funding_rate and maybe
mark_price), ``funding/multi_venue_funding*.parquet`` (its rows of Bybit; their times are UTC+3),
``open_interest/VENUE_perp_oi_1h*.parquet`` or ``…_4h*.parquet`` (symbol, ts, sum_open_interest, sum_open_interest_value and maybe
count_long_short_ratio, sum_taker_long_short_vol_ratio), ``perpetual_hourly/*.parquet`` (symbol, ts, close, index_close,
volume), ``dvol/deribit_dvol_*.parquet`` (currency, ts, open, high, low, close) and ``dvol/deribit_dvol_CURRENCY_daily*.csv*``
(date, dvol: one value a day, which stands as the candle of the day's first hour).
"""

from __future__ import annotations

from datetime import date, datetime, timezone
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from crypto_assets.sandbox.futures import Settled, Statistics, bars_of
from crypto_assets.sandbox.market import Bars

BYBIT_CLOCK_MS = 3 * 3_600_000
RECORDED = {
    "interest": "sum_open_interest",
    "value": "sum_open_interest_value",
    "long_short": "count_long_short_ratio",
    "taker": "sum_taker_long_short_vol_ratio",
}


class RecordedFutures:
    """The futures in a folder of recordings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _read(self, pattern: str) -> pl.DataFrame:
        paths = sorted(self._folder.glob(pattern))
        return pl.concat([pl.read_parquet(path) for path in paths], how="diagonal_relaxed") if paths else pl.DataFrame()

    @cached_property
    def _settled(self) -> dict[tuple[str, str], list[Settled]]:
        found: dict[tuple[str, str], list[Settled]] = {}
        binance = self._read("funding/binance_perp_funding*.parquet")
        if not binance.is_empty():
            marks = pl.col("mark_price") if "mark_price" in binance.columns else pl.lit(None, pl.Float64)
            rows = binance.select("symbol", pl.col("funding_time").dt.epoch("ms"), "funding_rate", mark=marks)
            for symbol, *values in rows.unique(["symbol", "funding_time"]).sort("symbol", "funding_time").rows():
                found.setdefault(("binance", symbol), []).append(Settled(*values))
        others = self._read("funding/multi_venue_funding*.parquet")
        if not others.is_empty():
            stamp = pl.col("time_as_published").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.epoch("ms") - BYBIT_CLOCK_MS
            rows = others.filter(pl.col("venue") == "bybit").select("symbol", stamp.alias("ms"), "funding_rate")
            for symbol, ms, rate in rows.unique(["symbol", "ms"]).sort("symbol", "ms").rows():
                found.setdefault(("bybit", symbol), []).append(Settled(ms, rate, None))
        return found

    def settlements(self, venue: str, contract: str, first_ms: float, last_ms: float) -> list[Settled] | None:
        """Return the recorded settlements in order of time; None for a contract that is not recorded."""
        found = self._settled.get((venue, contract))
        return None if found is None else [one for one in found if first_ms <= one.stamp_ms <= last_ms]

    @cached_property
    def _statistics(self) -> dict[tuple[str, str], Statistics]:
        found = {}
        for venue in ("binance", "bybit"):
            rows = self._read(f"open_interest/{venue}_perp_oi_[14]h*.parquet")
            if rows.is_empty():
                continue
            rows = rows.with_columns(
                pl.lit(None, pl.Float64).alias(n) for n in RECORDED.values() if n not in rows.columns
            )
            rows = (
                rows.with_columns(label=pl.col("ts").dt.epoch("s")).unique(["symbol", "label"]).sort("symbol", "label")
            )
            for (symbol,), mine in rows.group_by("symbol", maintain_order=True):
                columns = (mine[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in RECORDED.values())
                found[venue, str(symbol)] = Statistics(mine["label"].to_numpy(), *columns)
        return found

    def statistics(self, venue: str, contract: str, first: float, last: float) -> Statistics | None:
        """Return the recorded statistics with labels in first..last; None for a contract that is not recorded."""
        rows = self._statistics.get((venue, contract))
        if rows is None:
            return None
        part = slice(*np.searchsorted(rows.label, [first, last + 1e-6]))
        return Statistics(*(getattr(rows, name)[part] for name in ("label", *RECORDED)))

    @cached_property
    def _bars(self) -> pl.DataFrame:
        return self._read("perpetual_hourly/*.parquet")

    def bars(self, venue: str, contract: str, first: float, last: float) -> tuple[Bars, Bars] | None:
        """Return the recorded bars of a contract of Binance and its index; only closes and volumes are recorded."""
        if venue != "binance" or self._bars.is_empty():
            return None
        rows = self._bars.filter(pl.col("symbol") == contract).sort("ts")
        if rows.is_empty():
            return None
        ts = rows["ts"].dt.epoch("s").to_numpy()
        close, index, volume = (rows[name].to_numpy() for name in ("close", "index_close", "volume"))
        perpetual = Bars(ts, close, close, close, close, volume)
        return perpetual.between(first, last), Bars(ts, index, index, index, index, volume * 0).between(first, last)

    def volatility(self, currency: str) -> Bars | None:
        """Return the recorded candles of the index; None where there are none."""
        frames = [self._daily(currency)]
        hourly = self._read("dvol/deribit_dvol_*.parquet")
        if not hourly.is_empty():
            mine = hourly.filter(pl.col("currency") == currency).with_columns(ts=pl.col("ts").dt.epoch("s"))
            frames.insert(0, mine.select("ts", *(pl.col(n).cast(pl.Float64) for n in ("open", "high", "low", "close"))))
        rows = pl.concat(frames).unique("ts", keep="first", maintain_order=True).sort("ts")
        if rows.is_empty():
            return None
        values = [rows[name].to_numpy() for name in ("open", "high", "low", "close")]
        return bars_of(rows["ts"].to_numpy(), values, np.zeros(rows.height))

    def _daily(self, currency: str) -> pl.DataFrame:
        names = ("open", "high", "low", "close")
        found: list[tuple[int, float]] = []
        for path in sorted(self._folder.glob(f"dvol/deribit_dvol_{currency.lower()}_daily*.csv*")):
            for day, value in pl.read_csv(path).select("date", "dvol").rows():
                opened = datetime.combine(date.fromisoformat(str(day)[:10]), datetime.min.time(), timezone.utc)
                found.append((int(opened.timestamp()), float(value)))
        schema = {"ts": pl.Int64, **dict.fromkeys(names, pl.Float64)}
        return pl.DataFrame([(ts, value, value, value, value) for ts, value in found], schema=schema, orient="row")
