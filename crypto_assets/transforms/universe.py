"""Which coins there were on each day, from dated rows of the catalogue and from what bars and prices show.

A row of a day uses only bars and prices of the :data:`LOOKBACK_DAYS` days before it that were known at its end. So a
suspicion is one that could have been had on that day, and ranges may be derived in any order.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

import polars as pl

from crypto_assets.catalog import Coin
from crypto_assets.catalog.listings import DELISTED, SPOT, Listing, dated
from crypto_assets.features.seams import seams_of
from crypto_assets.tables import universe as table
from crypto_assets.tables.derived_source import derived_source
from crypto_assets.tables.pit_quality import PIT_QUALITY

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
QUIET_DAYS = 7  # a coin without a row for this long is silent; halts of single pairs took up to 103 hours
OTHERS = 0.5  # share of the coins with bars that must have some on the day: else the source is silent, not the coin
TABLES = ("prices", "ohlc")
ALIKE = 0.2  # two jumps are the same where they differ by less than this share
VENUE_OF = {"binance_usdt": "binance", "kraken": "kraken"}  # the name in ``source`` -> the field of the catalogue


@dataclass(frozen=True)
class _Jump:
    """A seam of one coin: when it lies, what it looks like, and from which table it is known."""

    table: str
    before: datetime
    ts: datetime
    factor: float

    def said(self) -> str:
        hours = int((self.ts - self.before) / HOUR) - 1
        gap = f" after {hours} hour(s) without a row" if hours else ""
        return f"{self.table} jump by a factor of {self.factor:.4g} at {self.ts:%Y-%m-%d %H:%M}{gap}"


@dataclass
class _Seen:
    """What bars and prices show of one coin."""

    days: dict[str, list[date]] = field(default_factory=dict)  # table -> days with rows, in order
    venues: dict[date, list[str]] = field(default_factory=dict)  # day -> venues that gave bars
    ranks: dict[date, int] = field(default_factory=dict)
    jumps: list[_Jump] = field(default_factory=list)

    def last(self, name: str, day: date) -> date | None:
        """Return the newest day up to ``day``, and within the look-back, on which the table has a row."""
        days = self.days.get(name, [])
        place = bisect_right(days, day)
        return days[place - 1] if place and days[place - 1] >= day - DAY * table.LOOKBACK_DAYS else None

    def first(self, day: date) -> date | None:
        """Return the first day with a row of any table, where the look-back before it is empty at its beginning."""
        begin = day - DAY * table.LOOKBACK_DAYS
        places = [(days, bisect_left(days, begin)) for days in self.days.values()]
        found = min((days[place] for days, place in places if place < len(days)), default=None)
        return found if found is not None and begin < found <= day else None


def universe(prices: pl.DataFrame, ohlc: pl.DataFrame, coins: Sequence[Coin], start: date, end: date) -> pl.DataFrame:
    """Compute the rows of ``universe`` of the days ``start``..``end``.

    Args:
        prices: rows of ``prices``, from ``LOOKBACK_DAYS`` before ``start`` on.
        ohlc: rows of ``ohlc``, likewise.
        coins: the coins.
        start: the first UTC day.
        end: the last UTC day, included.

    Returns:
        The rows, sorted by day and coin. A coin of which nothing is known on a day has no row.
    """
    wanted = [coin.symbol for coin in coins]
    known = [_known_by_the_day(frame.filter(pl.col("symbol").is_in(wanted))) for frame in (prices, ohlc)]
    seen = _look(*known)
    origin = derived_source(prices, ohlc)
    given = {
        name: dict(frame.group_by("date").agg(pl.col("symbol").n_unique()).rows())
        for name, frame in zip(TABLES, known, strict=True)
    }
    rows = []
    for n in range((end - start).days + 1):
        day = start + DAY * n
        works = [
            name for name in TABLES
            if given[name].get(day, 0) >= OTHERS * sum(one.last(name, day) is not None for one in seen.values())
        ]  # fmt: skip
        for coin in coins:
            found = _row(coin, seen.get(coin.symbol, _Seen()), day, works)
            if found is not None:
                midnight = datetime.combine(day + DAY, time(), timezone.utc)
                rows.append({"symbol": coin.symbol, "date": day, "available_at": midnight, "source": origin, **found})
    schema = {name: dtype for name, dtype in table.UNIVERSE.polars_schema.items() if name != PIT_QUALITY}
    return pl.DataFrame(rows, schema=schema).sort("date", "symbol")


def _known_by_the_day(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that were known at the end of their own day."""
    return frame.filter(pl.col("available_at") <= (pl.col("date") + pl.duration(days=1)).cast(frame["ts"].dtype))


def _look(prices: pl.DataFrame, ohlc: pl.DataFrame) -> dict[str, _Seen]:
    seen: dict[str, _Seen] = {}
    for name, frame in (("prices", prices), ("ohlc", ohlc)):
        for symbol, days in frame.group_by("symbol").agg(pl.col("date").unique().sort()).rows():
            seen.setdefault(symbol, _Seen()).days[name] = days
    origin = pl.col("source").str.split("/").list.last()
    for symbol, day, sources in ohlc.group_by("symbol", "date").agg(origin.unique().sort()).rows():
        venues = [VENUE_OF.get(name, name) for name in sources]
        seen[symbol].venues[day] = venues
    ranked = (
        prices.filter(pl.col("market_cap_usd").is_not_null())
        .sort("ts")
        .group_by("symbol", "date")
        .agg(pl.col("market_cap_usd").last())
        .with_columns(rank=pl.col("market_cap_usd").rank("min", descending=True).over("date").cast(pl.Int64))
    )
    for symbol, day, rank in ranked.select("symbol", "date", "rank").rows():
        seen[symbol].ranks[day] = rank
    for symbol, jump in _jumps(prices, ohlc):
        seen[symbol].jumps.append(jump)
    return seen


def _jumps(prices: pl.DataFrame, ohlc: pl.DataFrame) -> Iterator[tuple[str, _Jump]]:
    """Yield the seams of bars and prices. A jump of bars that prices followed hour by hour was a real move."""
    of_prices = seams_of(prices, "price_usd")
    for symbol, ts, before, factor in of_prices.select("symbol", "ts", "before", "jump").rows():
        yield symbol, _Jump("prices", before, ts, factor)
    of_bars = seams_of(ohlc, "close", "open")
    for symbol, ts, before, factor in of_bars.select("symbol", "ts", "before", "jump").rows():
        if not _followed(prices, of_prices, symbol, before, ts, factor):
            yield symbol, _Jump("ohlc", before, ts, factor)


def _followed(
    prices: pl.DataFrame, seams: pl.DataFrame, symbol: str, before: datetime, ts: datetime, factor: float
) -> bool:
    """Whether prices of the hours from the last bar to the next one moved as much, without a seam of their own."""
    if seams.filter(pl.col("symbol") == symbol, pl.col("ts").is_between(before, ts + HOUR)).height:
        return False
    mine = prices.filter(pl.col("symbol") == symbol, pl.col("ts").is_between(before + HOUR, ts)).sort("ts")
    if mine.height < 2:
        return False
    moved = mine["price_usd"][-1] / mine["price_usd"][0]
    return bool(abs(moved / factor - 1) <= ALIKE)


def _row(coin: Coin, seen: _Seen, day: date, works: Sequence[str]) -> dict[str, Any] | None:
    """Return the values of a coin on a day; None where nothing is known of it."""
    listings = [one for venue in SPOT for one in dated(coin, venue)]
    begun = [one for one in listings if one.since.date() <= day]
    last = {name: seen.last(name, day) for name in ("ohlc", "prices")}
    if not any(last.values()) and not any(one.begins or (one.ends and one.last_day <= day) for one in begun):
        return None
    venues = seen.venues.get(day, [])
    now = [one for one in begun if one.last_day >= day]
    current = [one for one in now if one.last_day > day] or now
    found: dict[str, Any] = {
        "venues": sorted({*venues, *(one.venue for one in now)}),
        "tickers": sorted({*(f"{one.venue}:{one.ticker}" for one in now), *_names(coin, venues, listings)}),
        "factor": now[0].factor if now else 1.0,
        "successor": None,
        "listed_since": max((one.begins.date() for one in current if one.begins), default=None) or seen.first(day),
        "delisted_on": None,
        "rank": seen.ranks.get(day),
    }
    state = _by_catalogue(listings, begun, venues, day) or _by_rows(seen, listings, last, day, works)
    return found | state


def _names(coin: Coin, venues: Sequence[str], listings: Sequence[Listing]) -> list[str]:
    """Return the names at venues that gave bars and have no dated row."""
    with_rows = {one.venue for one in listings}
    return [f"{venue}:{name}" for venue in venues if venue not in with_rows and (name := getattr(coin, venue, None))]


def _by_catalogue(
    listings: Sequence[Listing], begun: Sequence[Listing], venues: Sequence[str], day: date
) -> dict[str, Any] | None:
    """Return the state that dated rows of the catalogue give a coin on a day; None where they leave it open."""
    ended = [one for one in begun if one.last_day <= day]
    if not ended:
        return None
    last = max(ended, key=lambda one: one.until)
    following = [one for one in listings if one.venue == last.venue and one.since >= last.until]
    if any(one.since.date() < day for one in following) or any(one.last_day > day and one not in following
                                                               for one in begun):  # fmt: skip
        return None
    resumed = [one for one in following if one.since.date() == day]
    said = {"evidence": f"catalogue: {last.known_from}", "successor": last.successor or None}
    if last.ended == DELISTED:
        if resumed or any(venue != last.venue for venue in venues):
            return None
        return {"state": table.DELISTED, **said, "delisted_on": last.last_day}
    factor = last.ratio if last.successor else following[0].factor if resumed else last.factor
    final = {} if following else {"delisted_on": last.last_day}
    return {"state": last.ended, "factor": factor, **said, **final}


def _by_rows(
    seen: _Seen, listings: Sequence[Listing], last: dict[str, date | None], day: date, works: Sequence[str]
) -> dict[str, Any]:
    """Return the state that bars and prices give a coin on a day."""
    for jump in reversed(seen.jumps):
        visible = jump.ts.date() <= day and jump.before.date() >= day - DAY * table.LOOKBACK_DAYS
        if visible and not _explained(jump, listings):
            return {"state": table.SUSPECTED, "evidence": f"jump: {jump.said()}; no row of the catalogue explains it"}
    newest = max((d for d in last.values() if d is not None), default=None)
    name = "ohlc" if last["ohlc"] is not None else "prices"
    until = last[name]
    if until is not None and name in works and (day - until).days >= QUIET_DAYS:
        return {
            "state": table.SUSPECTED,
            "evidence": f"silence: no row of {name} since {until}, while others have some; no row of the catalogue "
            "explains it",
            "delisted_on": until,
        }
    if newest is None:
        begin = max(one.since for one in listings if one.since.date() <= day)
        return {"state": table.LISTED, "evidence": f"catalogue: listed since {begin.date()}"}
    return {"state": table.LISTED, "evidence": f"{'ohlc' if last['ohlc'] == newest else 'prices'} of {newest}"}


def _explained(jump: _Jump, listings: Sequence[Listing]) -> bool:
    """Whether a dated row begins or ends between the two rows of a jump."""
    first, last = jump.before, jump.ts + HOUR
    return any(at is not None and first < at <= last for one in listings for at in (one.begins, one.ends))
