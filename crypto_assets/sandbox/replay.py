"""Recorded real data as a back end: the wire formats around numbers that a provider once gave.

The layout of the folder: ``ohlcv_hourly/*.parquet`` (spot markets before others), ``traps_klines/*.parquet`` (by pair, as
Binance named it then), ``coinmetrics_daily*.parquet``,
``sentiment/fear_greed*.csv*``, ``tvl/defillama_total_tvl*.csv*``, ``tvl/defillama_stablecoin_supply*.csv*``,
``news/cryptonews*.csv*``, ``news/cryptolin*.csv*``, ``macro/fred_vintages*.parquet``, ``macro/fred_latest*.parquet``,
``vix/*.csv*``, ``social/reddit_crypto_titles*.csv*``, ``blockchain_charts/*.parquet``; futures as ``recorded_futures.py`` says. Data that is not recorded is answered as by a provider that does
not have it.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from crypto_assets.catalog import by_symbol
from crypto_assets.errors import UsageError
from crypto_assets.sandbox import names
from crypto_assets.sandbox.futures import Futures
from crypto_assets.sandbox.macro import Stood, recorded
from crypto_assets.sandbox.market import HOUR_S, Bars, Item
from crypto_assets.sandbox.network import recorded as recorded_chart
from crypto_assets.sandbox.recorded_futures import RecordedFutures

DAY = timedelta(days=1)
ROWS = ["symbol", "ts", "rank", "open", "high", "low", "close", "volume"]


class Replay:
    """A folder of recordings as a back end; the methods are those of :class:`~crypto_assets.sandbox.market.Backend`.

    Raises:
        UsageError: the folder has no recordings.
    """

    mark = "sandbox-replay"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.futures: Futures = RecordedFutures(folder)
        if not folder.is_dir():
            raise UsageError(f"--data {folder} is not a folder; name the folder of the recordings")
        futures = any(any(folder.glob(pattern)) for pattern in ("funding/*", "open_interest/*", "dvol/*"))
        if self._bars.is_empty() and self._chain.is_empty() and not futures:
            raise UsageError(
                f"--data {folder} holds no recording that is known; the layout is in crypto_assets/sandbox/replay.py"
            )

    def now(self) -> datetime:
        """Return the current time."""
        return datetime.now(timezone.utc)

    @cached_property
    def _bars(self) -> pl.DataFrame:
        """symbol, ts (epoch seconds), open, high, low, close, volume, in order."""
        frames = []
        # Within the span of one recording no other recording fills its gaps, so that an outage stays an outage.
        paths = sorted(
            self.folder.glob("ohlcv_hourly/*.parquet"), key=lambda path: ("spot" not in path.name, path.name)
        )
        for rank, path in enumerate(paths):
            frame = pl.read_parquet(path).with_columns(
                rank=pl.lit(rank), symbol=pl.col("symbol").str.split("/").list[0]
            )
            frames.append(
                frame.select(
                    "symbol", pl.col("ts").dt.epoch("s"), "rank",
                    *(pl.col(c).cast(pl.Float64) for c in ("open", "high", "low", "close", "volume")),
                )
            )  # fmt: skip
        if (named := self._by_pair()) is not None:
            frames.append(named.with_columns(rank=pl.lit(len(frames))).select(frames[0].columns if frames else ROWS))
        if not frames:
            return pl.DataFrame()
        kept = frames[:1]
        for frame in frames[1:]:
            spans = pl.concat(kept).group_by("symbol").agg(first=pl.col("ts").min(), last=pl.col("ts").max())
            outside = ~pl.col("ts").is_between("first", "last") | pl.col("first").is_null()
            kept.append(frame.join(spans, on="symbol", how="left").filter(outside).drop("first", "last"))
        return pl.concat(kept).sort("symbol", "ts", "rank").unique(["symbol", "ts"], keep="first", maintain_order=True)

    def _by_pair(self) -> pl.DataFrame | None:
        """Bars that were recorded by pair, as those of the coin that had the pair at that hour, in its unit of today."""
        paths = sorted(self.folder.glob("traps_klines/*.parquet"))
        if not paths:
            return None
        spans = pl.DataFrame(
            [
                (one.symbol, one.ticker, int(one.since.timestamp()), int(one.until.timestamp()), one.factor)
                for meant in names.at("binance").values()
                for one in meant
            ],
            schema={"coin": pl.String, "symbol": pl.String, "since": pl.Int64, "until": pl.Int64, "factor": pl.Float64},
            orient="row",
        )
        rows = pl.concat([pl.read_parquet(path) for path in paths]).with_columns(pl.col("ts").dt.epoch("s"))
        rows = rows.join(spans, on="symbol").filter(pl.col("ts") >= pl.col("since"), pl.col("ts") < pl.col("until"))
        return rows.with_columns(
            pl.col("open", "high", "low", "close") / pl.col("factor"),
            pl.col("volume") * pl.col("factor"),
            symbol="coin",
        )

    @lru_cache(maxsize=256)
    def bars(self, symbol: str) -> Bars | None:
        """Return the recorded hourly bars of a coin; None if there are none."""
        if self._bars.is_empty():
            return None
        rows = self._bars.filter(pl.col("symbol") == symbol)
        if rows.is_empty():
            return None
        return Bars(*(rows[name].to_numpy() for name in ("ts", "open", "high", "low", "close", "volume")))

    def newest(self, symbol: str) -> tuple[int, float] | None:
        """Return open time and close of a coin's newest recorded bar; None if there is none."""
        bars = self.bars(symbol)
        return None if bars is None else (int(bars.ts[-1]), float(bars.close[-1]))

    @cached_property
    def _chain(self) -> pl.DataFrame:
        paths = sorted(self.folder.glob("coinmetrics_daily*.parquet"))
        if not paths:
            return pl.DataFrame()
        frame = pl.concat(
            [pl.read_parquet(path).with_columns(pl.col("date").cast(pl.Date)) for path in paths], how="diagonal_relaxed"
        )
        return frame.sort("asset", "date")

    def onchain(self, asset: str, first: str = "", last: str = "9999") -> list[dict[str, str]] | None:
        """Return the rows of an asset on these days; numbers are the shortest text that reads back as the same float."""
        rows = self._onchain_rows(asset)
        return None if rows is None else [row for row in rows if first <= row["time"] <= last]

    @lru_cache(maxsize=256)
    def _onchain_rows(self, asset: str) -> list[dict[str, str]] | None:
        if self._chain.is_empty():
            return None
        rows = self._chain.filter(pl.col("asset") == asset)
        if rows.is_empty():
            return None
        found = []
        for row in rows.drop("asset", "origin", strict=False).iter_rows(named=True):
            numbers = {n: v for n, v in row.items() if n != "date" and v is not None and v == v}
            texts = {n: str(int(v)) if n == "AssetEODCompletionTime" else repr(float(v)) for n, v in numbers.items()}
            found.append({"time": str(row["date"]), **texts})
        return found

    def market_cap(self, symbol: str) -> dict[date, float]:
        """Return what was known on each day: the market cap in USD at the end of the day before."""
        coin = by_symbol().get(symbol)
        rows = (self.onchain(coin.coinmetrics) if coin and coin.coinmetrics else None) or []
        caps = {date.fromisoformat(row["time"]): row["CapMrktCurUSD"] for row in rows if "CapMrktCurUSD" in row}
        return {day + DAY: float(value) for day, value in caps.items()}

    def _table(self, pattern: str, **options: Any) -> pd.DataFrame | None:
        """Return the recordings of one kind together; None where there is none."""
        paths = sorted(self.folder.glob(pattern))
        return pd.concat([pd.read_csv(path, **options) for path in paths]) if paths else None

    def _daily(self, pattern: str, day: str = "as_of") -> dict[date, float] | None:
        frame = self._table(pattern)
        if frame is None:
            return None
        return {date.fromisoformat(str(d)[:10]): float(v) for d, v in zip(frame[day], frame["value"], strict=True)}

    @lru_cache(maxsize=4)
    def tvl(self, chain: str) -> dict[date, float] | None:
        """Return day -> total value locked in USD for ``all``; None for a single chain."""
        return self._daily("tvl/defillama_total_tvl*.csv*") if chain == "all" else None

    @lru_cache(maxsize=4)
    def stablecoins(self, chain: str) -> dict[date, float] | None:
        """Return day -> stablecoin supply in USD for ``all``; None for a single chain."""
        return self._daily("tvl/defillama_stablecoin_supply*.csv*") if chain == "all" else None

    @lru_cache(maxsize=1)
    def fear_greed(self) -> list[tuple[date, int]]:
        """Return the recorded index by day, in order of time."""
        found = self._daily("sentiment/fear_greed*.csv*", day="date") or {}
        return [(day, int(value)) for day, value in sorted(found.items())]

    @lru_cache(maxsize=1)
    def posts(self) -> list[Item]:
        """Return the recorded posts, newest first; empty where none are recorded."""
        frame = self._table("social/reddit_crypto_titles*.csv*")
        if frame is None:
            return []
        times = pd.to_datetime(frame["created_utc"], utc=True, format="ISO8601")
        items = [
            Item(str(title), "", f"https://posts.example/{n}", at.to_pydatetime())
            for n, (title, at) in enumerate(zip(frame["title"], times, strict=True))
        ]
        return sorted(items, key=lambda item: item.published, reverse=True)

    @lru_cache(maxsize=64)
    def _macro(self, series: str) -> list[Stood] | None:
        return recorded(self.folder, series)

    def macro(self, series: str, today: date) -> list[Stood] | None:
        """Return what stood of a recorded macro series; None where it is not recorded."""
        return self._macro(series)

    @lru_cache(maxsize=64)
    def network(self, name: str) -> dict[date, float] | None:
        """Return day -> value of a recorded chart; None where it is not recorded."""
        return recorded_chart(self.folder, name)

    @lru_cache(maxsize=1)
    def feeds(self) -> dict[str, list[Item]]:
        """Return feed name -> recorded items."""
        found = {"cryptonews": self._cryptonews(), "cryptolin": self._cryptolin()}
        return {name: items for name, items in found.items() if items}

    def _cryptonews(self) -> list[Item]:
        frame = self._table("news/cryptonews*.csv*", sep=";")
        if frame is None:
            return []
        frame[["title", "text", "url"]] = frame[["title", "text", "url"]].fillna("")
        published = pd.to_datetime(frame["date"], format="%d-%m-%Y %H:%M", utc=True)
        return [
            Item(str(row.title), str(row.text), str(row.url), at.to_pydatetime())
            for row, at in zip(frame.itertuples(), published, strict=True)
        ]

    def _cryptolin(self) -> list[Item]:
        """Return items of a recording that has only days: the hour is derived from the id and spread over the day."""
        frame = self._table("news/cryptolin*.csv*")
        if frame is None:
            return []
        items = []
        for row in frame.itertuples():
            opened = datetime.fromisoformat(str(row.date)).replace(tzinfo=timezone.utc)
            at = opened + timedelta(seconds=int(row.id) * 40_503 % 86_400)  # type: ignore[arg-type]
            items.append(Item(str(row.news), "", f"https://cryptolin.example/{row.id}", at))
        return items


def overlap(folder: Path) -> tuple[date, date]:
    """Find the days that every recorded kind covers.

    Args:
        folder: the folder of recordings.

    Returns:
        The first and the last day.

    Raises:
        UsageError: there is no such day.
    """
    replay = Replay(folder)
    spans: list[tuple[date, date]] = []
    if not replay._bars.is_empty():
        ts = replay._bars.filter(pl.col("rank") == 0)["ts"]
        ts = ts if len(ts) else replay._bars["ts"]
        # The last day counts when its last hour is there.
        seconds = ts.to_numpy()
        first, last = (datetime.fromtimestamp(int(t), timezone.utc) for t in (seconds.min(), seconds.max() + HOUR_S))
        spans.append((first.date() if first.hour == 0 else first.date() + DAY, last.date() - DAY))
    if not replay._chain.is_empty():
        dates = replay._chain["date"].to_list()
        spans.append((min(dates), max(dates)))
    news = [item.published.date() for items in replay.feeds().values() for item in items]
    for days in (
        (replay.tvl("all") or {}),
        (replay.stablecoins("all") or {}),
        dict(replay.fear_greed()),
        dict.fromkeys(news),
    ):
        if days:
            spans.append((min(days), max(days)))
    first_day, last_day = max(span[0] for span in spans), min(span[1] for span in spans)
    if first_day > last_day:
        raise UsageError(f"the recordings in {folder} have no day in common; give --end and --days for what you want")
    return first_day, last_day
