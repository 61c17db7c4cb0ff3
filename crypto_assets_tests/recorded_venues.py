"""Recorded derivatives behind a small HTTP server of our own, which is not the sandbox, and the features computed with pandas.

The recordings are read here once more, so that neither the sandbox's reading of them nor our features' arithmetic is part
of what is compared. Spot bars, which give features their rows, are made up: their values play no part.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crypto_assets_tests.sources.venues import DAY, HOUR, UTC, checksum, ms, packed
from crypto_assets_tests.sources.wire_server import Reply, Request

HOUR_MS = 3_600_000
MONTH = 720
STD = partial(np.nanstd, ddof=1)
INVALID_SYMBOL = Reply({"code": -1121, "msg": "Invalid symbol."}, 400)
NOT_LISTED = {"retCode": 10001, "retMsg": "params error: symbol invalid", "result": {}}
Series = list[tuple[int, Any]]  # (milliseconds, values) in order of time


@dataclass
class Recorded:
    """What the venues list, by venue and contract; answers in the wire formats, and counts each route."""

    funding: dict[tuple[str, str], Series] = field(default_factory=dict)
    interest: dict[str, Series] = field(default_factory=dict)
    candles: dict[str, Series] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)

    def __call__(self, request: Request) -> Any:
        name = request.path.rpartition("/")[2]
        routes = {
            "klines": self._spot, "fundingRate": self._binance, "history": self._bybit, "get_volatility_index_data": self._dvol
        }  # fmt: skip
        archive = "/daily/metrics/" in request.path
        self.counted["archive" if archive else name] += 1
        if archive:
            return self._file(name)
        if name not in routes:
            return NOT_LISTED if request.path.startswith("/bybit") else INVALID_SYMBOL
        return routes[name](request)

    def _spot(self, request: Request) -> Any:
        first, last = int(request.query["startTime"]), int(request.query["endTime"])
        marks = range(-(-first // HOUR_MS) * HOUR_MS, last + 1, HOUR_MS)[: int(request.query["limit"])]
        prices = {at: repr(100 + math.sin(at / HOUR_MS)) for at in marks}
        return [[at, p, p, p, p, "1", at + HOUR_MS - 1, "1", 1, "1", "1", "0"] for at, p in prices.items()]

    def _binance(self, request: Request) -> Any:
        listed = self.funding.get(("binance", request.query["symbol"]))
        if listed is None:
            return INVALID_SYMBOL
        found = between(listed, int(request.query["startTime"]), int(request.query["endTime"]))
        what = {"symbol": request.query["symbol"], "markPrice": ""}
        return [{**what, "fundingTime": at, "fundingRate": repr(rate)} for at, rate in found][
            : int(request.query["limit"])
        ]

    def _bybit(self, request: Request) -> Any:
        listed = self.funding.get(("bybit", request.query["symbol"]))
        if listed is None:
            return NOT_LISTED
        found = between(listed, int(request.query["startTime"]), int(request.query["endTime"]))[::-1]
        rows = [{"fundingRateTimestamp": str(at), "fundingRate": repr(rate)} for at, rate in found]
        return {
            "retCode": 0,
            "retMsg": "OK",
            "result": {"category": "linear", "list": rows[: int(request.query["limit"])]},
        }

    def _dvol(self, request: Request) -> Any:
        listed = self.candles.get(request.query["currency"], [])
        found = between(listed, int(request.query["start_timestamp"]), int(request.query["end_timestamp"]))
        page = found[-1000:]
        more = page[0][0] - 1 if len(found) > len(page) else None
        return {"jsonrpc": "2.0", "result": {"data": [[at, v, v, v, v] for at, v in page], "continuation": more}}

    def _file(self, name: str) -> Any:
        contract, _, rest = name.partition("-metrics-")
        day = datetime.fromisoformat(rest[:10]).replace(tzinfo=UTC)
        first = ms(day) + 300_000  # a file begins at 00:05 and ends with the next midnight
        rows = [
            (f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}", *values, "", "")
            for at, values in between(self.interest.get(contract, []), first, first + 86_400_000 - 300_000)
        ]
        if not rows:
            return Reply(b"<Error><Code>NoSuchKey</Code></Error>", 404)
        body = packed(contract, rows)
        return checksum(body) if name.endswith(".CHECKSUM") else body


def between(listed: Series, first: int, last: int) -> Series:
    """The entries with times in first..last."""
    return listed[bisect_left(listed, first, key=lambda e: e[0]) : bisect_right(listed, last, key=lambda e: e[0])]


def settlements(folder: Path) -> dict[tuple[str, str], Series]:
    """The recorded settlements of Binance, and of Bybit, whose recorded clock is three hours ahead of UTC."""
    frames = []
    for path in sorted(folder.glob("binance_perp_funding*.parquet")):
        frame = pd.read_parquet(path)
        frames.append(
            frame.assign(venue="binance", at=frame["funding_time"].astype("datetime64[ms, UTC]").astype("int64"))
        )
    for path in sorted(folder.glob("multi_venue_funding*.parquet")):
        frame = pd.read_parquet(path).query("venue == 'bybit'")
        stamp = pd.to_datetime(frame["time_as_published"], utc=True) - timedelta(hours=3)
        frames.append(frame.assign(at=stamp.astype("datetime64[ms, UTC]").astype("int64")))
    found: dict[tuple[str, str], Series] = {}
    rows = pd.concat(frames).drop_duplicates(["venue", "symbol", "at"]).sort_values("at")
    for venue, symbol, at, rate in rows[["venue", "symbol", "at", "funding_rate"]].itertuples(index=False):
        found.setdefault((venue, symbol), []).append((at, rate))
    return found


def open_interest(folder: Path) -> dict[str, Series]:
    """The recorded open interest, every fourth hour: (base units, USDT)."""
    found: dict[str, Series] = {}
    for path in sorted(folder.glob("binance_perp_oi_4h*.parquet")):
        rows = pd.read_parquet(path).drop_duplicates(["symbol", "ts"]).sort_values("ts")
        at = rows["ts"].astype("datetime64[ms, UTC]").astype("int64")
        for symbol, stamp, *values in zip(
            rows["symbol"], at, rows["sum_open_interest"], rows["sum_open_interest_value"], strict=True
        ):
            found.setdefault(symbol, []).append((stamp, tuple(values)))
    return found


def dvol(folder: Path) -> Series:
    """The recorded index of BTC: one value a day."""
    rows = pd.concat([pd.read_csv(path) for path in sorted(folder.glob("deribit_dvol_btc_daily*"))]).drop_duplicates(
        "date"
    )
    stamps = pd.to_datetime(rows["date"], utc=True).astype("datetime64[ms, UTC]").astype("int64")
    return sorted(zip(stamps, rows["dvol"], strict=True))


def hours(first: date, last: date) -> pd.DatetimeIndex:
    """The hour marks of the days first..last."""
    return pd.date_range(str(first), str(last + DAY), freq="1h", tz="UTC", inclusive="left")


def at_hours(listed: Series) -> pd.Series:
    """The entries on their hours: stamps jitter by milliseconds."""
    index = pd.to_datetime([round(at / HOUR_MS) * HOUR_MS for at, _ in listed], unit="ms", utc=True)
    return pd.Series([value for _, value in listed], index=index).sort_index()


def by_hour(series: pd.Series) -> dict[datetime, Any]:
    """The entries by hour."""
    return dict(zip(pd.DatetimeIndex(series.index).to_pydatetime(), series, strict=True))


def funding_by_pandas(listed: Series, marks: pd.DatetimeIndex) -> pd.DataFrame:
    """The funding columns of one venue at these hours, from the recording alone; ``held`` says where it has a settlement."""
    rates = at_hours(listed)
    apart = pd.Series(rates.index, rates.index).diff() / pd.Timedelta(HOUR)
    span = apart.where(apart <= 8).fillna((-apart.shift(-1)).abs()).clip(upper=8)
    index = pd.date_range(rates.index[0], marks[-1], freq="1h")
    frame = pd.DataFrame({"rate": rates, "span": span, "at": rates.index}).reindex(index).ffill()
    age = (index.to_series() - frame["at"]) / pd.Timedelta(HOUR)
    now = frame.where(age < frame["span"] + 2)
    paid = rates.reindex(index).fillna(0.0)
    hourly = now["rate"] / now["span"]
    whole = now["rate"].notna()
    out = pd.DataFrame({"funding_rate": now["rate"], "funding_rate_hourly": hourly})
    for name, count in (("24h", 24), ("7d", 168)):
        complete = whole.rolling(count).sum() == count
        out[f"funding_sum_{name}"] = exact(paid, count, np.nansum).where(complete)
    least = math.ceil(0.8 * MONTH)
    mean, spread = exact(hourly, MONTH, np.nanmean, least), exact(hourly, MONTH, STD, least)
    out["funding_zscore_30d"] = ((hourly - mean) / spread).where(spread > 0)
    left = now["span"] - age
    out["hours_to_funding"] = left.where(left > 0)
    out["held"] = age < frame["span"]
    return out.reindex(marks)


def interest_by_pandas(listed: Series, marks: pd.DatetimeIndex) -> pd.DataFrame:
    """The open-interest columns at these hours, from the recording alone; a value serves for 8 hours."""
    index = pd.date_range(at_hours(listed).index[0], marks[-1], freq="1h")
    series = at_hours(listed)
    base, usd = (pd.Series([value[n] for value in series], series.index).reindex(index).ffill(limit=7) for n in (0, 1))
    mean, spread = (exact(base, MONTH, of, math.ceil(0.8 * MONTH)) for of in (np.nanmean, STD))
    out = pd.DataFrame({
        "open_interest_base": base, "open_interest_usd": usd, "open_interest_zscore_30d": ((base - mean) / spread).where(spread > 0)
    })  # fmt: skip
    for name, count in (("24h", 24), ("7d", 168)):
        out[f"open_interest_base_change_{name}"] = base / base.shift(count) - 1
    out["open_interest_change_24h"] = usd / usd.shift(24) - 1
    out["held"] = base.notna()
    return out.reindex(marks)


def exact(series: pd.Series, count: int, of: Any, least: int | None = None) -> pd.Series:
    """A rolling statistic, each window computed alone: running sums would carry rounding from window to window."""
    values = np.concatenate([np.full(count - 1, np.nan), series.to_numpy(dtype=float)])
    windows = np.lib.stride_tricks.sliding_window_view(values, count)
    there = np.lib.stride_tricks.sliding_window_view(~np.isnan(values), count).sum(axis=1)
    out = np.full(len(series), np.nan)
    enough = np.flatnonzero(there >= (least or count))
    for part in np.array_split(enough, max(1, len(enough) // 4096)):
        out[part] = of(windows[part], axis=1)
    return pd.Series(out, series.index)
