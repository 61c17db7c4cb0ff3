"""What prices did after an event was first known, and after similar events before.

A reaction is the return of a coin from the first hour mark at or after ``first_seen``. Its abnormal part is what is left
when BTC's return times the coin's beta is taken away. The beta is that of the 30 days up to the hour mark before
``first_seen``. So a reaction uses no price that was not known when its horizon passed, and its beta and the statistics of
similar events use nothing that was not known when the event was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.features.feature import LEAST_SHARE, NEAR_MARK
from crypto_assets.tables.contract import TIMESTAMP
from crypto_assets.tables.derived_source import derived_source
from crypto_assets.tables.events import BETA_DAYS, EVENT_REACTIONS, HORIZONS, NEUTRAL, REACTION_DAYS, SIMILAR_DAYS

BTC = "BTC"
HOUR_US = 3_600_000_000
BETA_HOURS = BETA_DAYS * 24
Floats = NDArray[np.float64]


def event_reactions(*, news_events: pl.DataFrame, prices: pl.DataFrame, start: date, end: date) -> pl.DataFrame:
    """Build the rows of ``event_reactions`` whose horizon passed in the days ``start``..``end``.

    Args:
        news_events: rows of the table, ``tables.events.REACTIONS_LOOKBACK_DAYS`` back.
        prices: rows of the table, ``tables.events.REACTION_PRICES_DAYS`` back.
        start: the first UTC day.
        end: the last UTC day, included.

    Returns:
        The rows, sorted by event, coin and horizon; none of a coin without any price.
    """
    panel = _Panel.of(prices, start - timedelta(days=SIMILAR_DAYS + REACTION_DAYS + BETA_DAYS + 1), end)
    rows = [row for event in _events(news_events).iter_rows(named=True) for row in _reactions(event, panel)]
    if not rows:
        return EVENT_REACTIONS.empty()
    found = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        pl.col("available_at", "first_seen").cast(TIMESTAMP), source=pl.lit(derived_source(news_events, prices))
    )
    found = found.with_columns(date=pl.col("available_at").dt.date()).sort("event_id", "symbol", "horizon")
    shown = found["date"].is_between(start, end).alias("shown")
    return _with_similar(found, shown).select(EVENT_REACTIONS.given_names)


def _events(news_events: pl.DataFrame) -> pl.DataFrame:
    """Return each event once, as its first article said it."""
    names = ("event_id", "first_seen", "first_symbols", "first_theme", "first_tone")
    return news_events.sort("event_id", "date").unique("event_id", keep="first", maintain_order=True).select(*names)


@dataclass(frozen=True)
class _Panel:
    """Prices by coin and hour mark; NaN where none is known within NEAR_MARK of the mark."""

    first: int  # hour mark of the first column, in hours since 1970
    price: Mapping[str, Floats]
    known: Mapping[str, NDArray[np.int64]]  # microseconds since 1970 from which it is known
    returns: Mapping[str, Floats]  # hourly log returns
    over: NDArray[np.bool_]  # hour marks up to the newest one of their day at which any coin has a price

    @classmethod
    def of(cls, prices: pl.DataFrame, start: date, end: date) -> _Panel:
        first, hours = (start - date(1970, 1, 1)).days * 24, ((end - start).days + 1) * 24
        near = prices.filter(pl.col("available_at") - pl.col("ts") <= NEAR_MARK)
        price: dict[str, Floats] = {}
        known: dict[str, NDArray[np.int64]] = {}
        for (symbol,), rows in near.partition_by("symbol", as_dict=True).items():
            hour = rows["ts"].dt.timestamp("us").to_numpy() // HOUR_US - first
            there = (hour >= 0) & (hour < hours)
            price[symbol], known[symbol] = np.full(hours, np.nan), np.zeros(hours, np.int64)
            price[symbol][hour[there]] = rows["price_usd"].to_numpy()[there]
            known[symbol][hour[there]] = rows["available_at"].dt.timestamp("us").to_numpy()[there]
        returns = {symbol: np.diff(np.log(found), prepend=np.nan) for symbol, found in price.items()}
        there = np.any([~np.isnan(found) for found in price.values()], axis=0) if price else np.zeros(hours, bool)
        over = np.flip(np.maximum.accumulate(np.flip(there.reshape(-1, 24), axis=1), axis=1), axis=1).ravel()
        return cls(first, price, known, returns, over)

    def change(self, symbol: str, base: int, horizon: int) -> float | None:
        """Return the return from one hour mark to another; None where a price is unknown."""
        found = self.price.get(symbol)
        if found is None or base < 0 or base + horizon >= len(found):
            return None
        value = found[base + horizon] / found[base] - 1.0
        return None if np.isnan(value) else float(value)

    def known_at(self, symbol: str, column: int) -> int:
        """Return from when the price of an hour mark is known; the mark itself where there is none."""
        known = self.known.get(symbol)
        return max((self.first + column) * HOUR_US, int(known[column]) if known is not None else 0)

    def beta(self, symbol: str, last: int) -> float | None:
        """Return the slope of a coin's hourly log returns on BTC's over the 30 days up to an hour mark."""
        if symbol == BTC or BTC not in self.returns or last < 0:
            return None
        window = slice(max(0, last - BETA_HOURS + 1), last + 1)
        own, btc = self.returns[symbol][window], self.returns[BTC][window]
        both = ~(np.isnan(own) | np.isnan(btc))
        if both.sum() < LEAST_SHARE * BETA_HOURS:
            return None
        x, y = btc[both] - btc[both].mean(), own[both] - own[both].mean()
        spread = float(x @ x)
        return float(x @ y) / spread if spread > 0 else None


def _reactions(event: Mapping[str, object], panel: _Panel) -> Iterator[dict[str, object]]:
    seen = event["first_seen"]
    assert isinstance(seen, datetime)
    instant = round(seen.timestamp() * 1e6)
    base, before = -(-instant // HOUR_US) - panel.first, instant // HOUR_US - panel.first
    for symbol in event["first_symbols"]:  # type: ignore[attr-defined]
        if symbol not in panel.price or base < 0:
            continue
        beta = panel.beta(symbol, before)
        for horizon in HORIZONS:
            if base + horizon >= len(panel.over) or not panel.over[base + horizon]:
                continue  # it has not passed
            own, btc = (panel.change(name, base, horizon) for name in (symbol, BTC))
            abnormal = None if own is None or btc is None or beta is None else own - beta * btc
            at = max(instant, *(panel.known_at(name, base + horizon) for name in (symbol, BTC)))
            yield {
                "event_id": event["event_id"], "symbol": symbol, "horizon": horizon, "first_seen": seen,
                "available_at": at, "theme": event["first_theme"], "direction": direction(event["first_tone"]),
                "return": own, "abnormal_return": abnormal, "beta": beta,
            }  # fmt: skip


def direction(tone: object) -> int | None:
    """Return the direction of a tone: -1, 0 or 1; None where it is unknown."""
    if not isinstance(tone, float) or np.isnan(tone):
        return None
    return 0 if abs(tone) <= NEUTRAL else (1 if tone > 0 else -1)


def _with_similar(rows: pl.DataFrame, shown: pl.Series) -> pl.DataFrame:
    """Keep the rows that are shown, each with what similar reactions were that were known when its event was."""
    # BTC has no abnormal return: it is compared with its own returns, and the other coins with each other.
    rows = rows.with_columns(shown, measure=pl.coalesce("abnormal_return", pl.when(pl.col("symbol") == BTC).then("return")),
                             is_btc=pl.col("symbol") == BTC)  # fmt: skip
    parts = []
    for _, part in rows.group_by("theme", "direction", "horizon", "is_btc", maintain_order=True):
        known = part["available_at"].dt.timestamp("us").to_numpy()
        seen = part["first_seen"].dt.timestamp("us").to_numpy()
        measure, whole = (
            part["measure"].cast(pl.Float64).to_numpy(),
            part["theme"][0] is not None and part["direction"][0] is not None,
        )
        past = [measure[_similar(known, seen, at) & ~np.isnan(measure)] if whole and there else measure[:0]
                for at, there in zip(seen, part[shown.name], strict=True)]  # fmt: skip
        said = int(part["direction"][0] or 0)
        parts.append(part.with_columns(
            similar_count=pl.Series([len(found) for found in past], dtype=pl.Int64),
            similar_median=pl.Series([float(np.median(found)) if len(found) else None for found in past], dtype=pl.Float64),
            similar_hit_rate=pl.Series(
                [float(np.mean(np.sign(found) == said)) if len(found) and said else None for found in past], dtype=pl.Float64),
        ))  # fmt: skip
    return pl.concat(parts).filter(pl.col(shown.name)).sort("event_id", "symbol", "horizon")


def _similar(known: NDArray[np.int64], seen: NDArray[np.int64], at: int) -> NDArray[np.bool_]:
    """Which reactions were known at an instant, of events of the SIMILAR_DAYS before it."""
    return (known <= at) & (seen >= at - SIMILAR_DAYS * 24 * HOUR_US)
