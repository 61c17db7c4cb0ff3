"""Under which name each venue traded a coin, and when: dated rows (``listings.csv``), not code.

A coin without a row at a venue has the one name of ``coins.csv`` there, for all time. Rows say what that hides: a pair
that was renamed, redenominated or delisted, and a name that meant another coin before. A price of the venue is divided
by ``factor``, so that a coin has one series in the unit of today.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cache
from importlib.resources import files

from crypto_assets.catalog.coins import Coin, all_coins, by_symbol
from crypto_assets.errors import UsageError, suggestion

SPOT = ("binance", "kraken")  # the fields of the catalogue that name pairs of spot venues
VENUES = (*SPOT, "binance_perpetual", "bybit_perpetual", "coingecko")
RENAMED, REDENOMINATED, DELISTED = "renamed", "redenominated", "delisted"
QUOTES = ("USDT", "USD")
_EARLIEST, _LATEST = (datetime(year, 1, 1, tzinfo=timezone.utc) for year in (1970, 9999))


@dataclass(frozen=True)
class Listing:
    """One span of time in which a venue traded a coin under one name.

    Attributes:
        symbol: the coin's catalogue symbol.
        venue: a field of :class:`~crypto_assets.catalog.coins.Coin`, e.g. ``binance``.
        ticker: the venue's name, e.g. ``LUNAUSDT``.
        since: the first hour, UTC; where no row says when it began, the earliest instant.
        until: the first hour that is not in the span any more, UTC; the latest instant while it goes on.
        factor: how many of today's units of the coin one unit traded in the span was.
        ended: what happened at ``until``: ``renamed``, ``redenominated`` or ``delisted``; empty while it goes on.
        successor: symbol of another coin of the catalogue that holders got; empty where there is none.
        ratio: how many of the successor they got for one; 1 without a successor.
        known_from: how we know; empty for a name of ``coins.csv``.
    """

    symbol: str
    venue: str
    ticker: str
    since: datetime = _EARLIEST
    until: datetime = _LATEST
    factor: float = 1.0
    ended: str = ""
    successor: str = ""
    ratio: float = 1.0
    known_from: str = ""

    @property
    def begins(self) -> datetime | None:
        """When it began, UTC; None where no row says so."""
        return None if self.since == _EARLIEST else self.since

    @property
    def ends(self) -> datetime | None:
        """When it ended, UTC; None while it goes on."""
        return None if self.until == _LATEST else self.until

    @property
    def last_day(self) -> date:
        """The UTC day of its last hour; a day far ahead while it goes on."""
        return (self.until - timedelta(hours=1)).date()

    def overlaps(self, first: datetime, last: datetime) -> bool:
        """Whether it shares an hour with ``first`` (included) to ``last`` (not included)."""
        return self.since < last and first < self.until


@cache
def _rows() -> dict[tuple[str, str], tuple[Listing, ...]]:
    found: dict[tuple[str, str], list[Listing]] = {}
    with (files("crypto_assets.catalog") / "listings.csv").open(encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            listing = Listing(
                symbol=row["symbol"],
                venue=row["venue"],
                ticker=row["ticker"],
                since=_instant(row["since"], _EARLIEST),
                until=_instant(row["until"], _LATEST),
                factor=float(row["factor"]),
                ended=row["ended"],
                successor=row["successor"],
                ratio=float(row["ratio"] or 1),
                known_from=row["known_from"],
            )
            found.setdefault((listing.symbol, listing.venue), []).append(listing)
    return {key: tuple(sorted(rows, key=lambda one: one.since)) for key, rows in found.items()}


def _instant(text: str, otherwise: datetime) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc) if text else otherwise


def dated(coin: Coin, venue: str) -> tuple[Listing, ...]:
    """Return the rows of ``listings.csv`` of a coin at a venue, in order of time; empty where there are none."""
    return _rows().get((coin.symbol, venue), ())


def listings(coin: Coin, venue: str) -> tuple[Listing, ...]:
    """Return under which names a venue traded a coin, in order of time.

    Args:
        coin: the coin.
        venue: a field of the catalogue, e.g. ``binance``.

    Returns:
        The dated rows; where there are none, the name of ``coins.csv`` for all time; empty where it has none either.
    """
    ticker = getattr(coin, venue)
    return dated(coin, venue) or ((Listing(coin.symbol, venue, ticker),) if ticker else ())


def listed_in(coin: Coin, venue: str, first: datetime, last: datetime) -> tuple[Listing, ...]:
    """Return the listings that share an hour with ``first`` (included) to ``last`` (not included)."""
    return tuple(one for one in listings(coin, venue) if one.overlaps(first, last))


def why_not(coin: Coin, venue: str, first: datetime) -> str:
    """Say in one clause why a venue does not trade a coin at an instant.

    Args:
        coin: the coin; no listing of it covers the instant.
        venue: a field of the catalogue.
        first: the instant, UTC.

    Returns:
        The clause, e.g. ``binance delisted SRM (SRMUSDT) on 2022-11-28``.
    """
    rows = listings(coin, venue)
    before = [one for one in rows if one.until <= first]
    if before:
        last = before[-1]
        then = f"; its holders got {last.successor}" if last.successor else ""
        return f"{venue} {last.ended} {coin.symbol} ({last.ticker}) on {last.last_day}{then}"
    if rows:
        return f"{venue} lists {coin.symbol} ({rows[0].ticker}) since {rows[0].since.date()}"
    return f"{venue} does not list {coin.symbol}"


@cache
def _meanings() -> dict[str, tuple[Listing, ...]]:
    """Name of a pair or a coin at any spot venue -> the spans in which it meant a coin."""
    found: dict[str, list[Listing]] = {}
    for coin in all_coins():
        for venue in VENUES[:-1]:
            for one in listings(coin, venue):
                quote = next((end for end in QUOTES if one.ticker.endswith(end) and one.ticker != end), "")
                for name in {one.ticker, *([one.ticker.removesuffix(quote)] if venue in SPOT else [])}:
                    found.setdefault(name, []).append(one)
    return {name: tuple(rows) for name, rows in found.items()}


def coin_of(name: str, start: date | None = None, end: date | None = None) -> Coin | None:
    """Find the coin that a name means.

    A symbol of the catalogue means its coin on every day. Any other name is a venue's ticker (``LUNAUSDT``, ``BTTC``,
    ``PAX``), and means the coin that was traded under it in these days.

    Args:
        name: a symbol or a ticker, in upper case.
        start: the first UTC day; None: all days.
        end: the last UTC day, included; None: all days.

    Returns:
        The coin; None where no venue used the name in these days.

    Raises:
        UsageError: the name meant two coins in these days.
    """
    known = by_symbol().get(name)
    if known is not None:
        return known
    spans = _meanings().get(name, ())
    first = _EARLIEST if start is None else datetime(start.year, start.month, start.day, tzinfo=timezone.utc)
    last = _LATEST if end is None else datetime(end.year, end.month, end.day, tzinfo=timezone.utc) + timedelta(days=1)
    meant = sorted({one.symbol for one in spans if one.overlaps(first, last)})
    if len(meant) > 1:
        said = "; ".join(sorted(f"{one.symbol} {_span(one)} at {one.venue}" for one in spans if one.symbol in meant))
        raise UsageError(f"{name} meant several coins ({said}); name one of {', '.join(meant)}, or choose other days")
    return by_symbol()[meant[0]] if meant else None


def _span(one: Listing) -> str:
    begin, end = (f" {word} {at.date()}" if at else "" for word, at in (("from", one.begins), ("until", one.ends)))
    return f"{begin}{end}".strip() or "always"


def resolve(names: Iterable[str], about: str, start: date | None = None, end: date | None = None) -> tuple[str, ...]:
    """Translate names that a person wrote to symbols of the catalogue.

    Args:
        names: symbols of the catalogue or tickers of venues, in any case.
        about: the option or variable that holds them, for error messages.
        start: the first UTC day that they are about; None: all days.
        end: the last UTC day, included; None: all days.

    Returns:
        The symbols, without duplicates, in order.

    Raises:
        UsageError: a name is unknown, or meant several coins in these days.
    """
    found: dict[str, None] = {}
    unknown: list[str] = []
    for name in (name.strip().upper() for name in names):
        try:
            coin = coin_of(name, start, end)
        except UsageError as error:
            raise UsageError(f"{about}: {error}") from error
        if coin is None:
            unknown.append(name)
        else:
            found[coin.symbol] = None
    if unknown:
        raise UsageError(
            f"{about}: {', '.join(unknown[:8])}{', …' if len(unknown) > 8 else ''} not in the catalogue"
            f"{suggestion(unknown[:8], by_symbol())}; "
            "the coins are in crypto_assets/catalog/coins.csv, their tickers at venues in listings.csv beside it"
        )
    return tuple(found)


def never_traded(coins: Sequence[Coin], venues: Iterable[str], first: datetime, last: datetime) -> bool:
    """Whether dated rows say of every coin that no venue traded it in ``first`` (included) to ``last`` (not included).

    A coin without dated rows may be traded at any time.
    """
    return bool(coins) and all(
        any(dated(coin, venue) for venue in venues) and not any(listed_in(coin, venue, first, last) for venue in venues)
        for coin in coins
    )


def untraded(coin: Coin, venue: str, first: datetime, last: datetime) -> list[tuple[datetime, datetime]]:
    """Find the hours in which, as dated rows say, a venue did not trade a coin between two names or after the last one.

    Args:
        coin: the coin.
        venue: a field of the catalogue.
        first: the first hour, UTC.
        last: the hour after the last one, UTC.

    Returns:
        (first hour, hour after the last one) of each gap, in order; empty for a coin without dated rows.
    """
    rows = dated(coin, venue)
    gaps, begin = [], first
    for one in rows:
        if one.overlaps(first, last):
            gaps.append((begin, one.since))
            begin = one.until
    gaps.append((begin, last))
    return [(a, b) for a, b in gaps if a < b] if rows else []
