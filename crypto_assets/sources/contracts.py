"""Perpetual contracts: how many coins one is of, and the settlements, statistics and bars that venues give of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from crypto_assets.catalog import Coin
from crypto_assets.errors import SourceError
from crypto_assets.sources.fetched import NeverListedError, number
from crypto_assets.sources.reading import HOUR, SAME_AGAIN, Reading

NEAR_HOUR = timedelta(minutes=1)  # stamps of settlements and statistics jitter by milliseconds (recorded: at most 47)
OFF_HOUR = "its time is not within a minute of an hour"
CONTRADICTED = "given twice with different values"
OTHER_CLOCK = "the hours of the settlements do not fit their interval"
MOST_RATE = 0.1  # of the contract; the caps that venues document reach 0.04
INTERVALS = (8, 4, 2, 1)  # hours between settlements; the first is the longest
# What a venue answers where it does not serve this place or address at all: it is left out by name, and not failed.
NOT_SERVED = (401, 403, 404, 451)
MILLISECOND = timedelta(milliseconds=1)
_MULTIPLE = re.compile(r"^(?:(1M)|(10{3,}))(?=[A-Z])|(?<=[A-Z])(10{3,})(?=USDT$)")


def coins_of(contract: str) -> int:
    """Count the coins of which one contract is.

    Args:
        contract: the venue's name, e.g. ``BTCUSDT``, ``1000SHIBUSDT``, ``SHIB1000USDT`` or ``1MBABYDOGEUSDT``.

    Returns:
        The number of coins; 1 for most contracts (the ``1`` of 1INCH belongs to its name).
    """
    found = _MULTIPLE.search(contract)
    if found is None:
        return 1
    return 1_000_000 if found[1] else int(found[2] or found[3])


def contract_of(coin: Coin, venue: str) -> str:
    """Return the venue's name of a coin's perpetual contract.

    Args:
        coin: the coin.
        venue: ``binance`` or ``bybit``.

    Raises:
        NeverListedError: the catalogue has no contract of the coin there.
    """
    contract: str | None = getattr(coin, f"{venue}_perpetual")
    if contract is None:
        raise NeverListedError(f"{venue} has no perpetual contract of {coin.symbol}")
    return contract


@dataclass
class Series:
    """What one venue gave of one coin.

    Attributes:
        rows: tuples in order of time; the first element is ``ts``.
        digests: SHA-256 of each answer that may be about any day.
        why: why there is no row, where there is none.
        gone: whether the venue does not know the contract (any more).
        day_digests: day -> SHA-256 of the answers that are about this day alone.
    """

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    why: str = ""
    gone: bool = False
    day_digests: dict[date, list[str]] = field(default_factory=dict)


def add_digests(to: dict[date, list[str]], more: Mapping[date, Sequence[str]]) -> None:
    """Add the answers of each day to those of another series."""
    for day, digests in more.items():
        to.setdefault(day, []).extend(digests)


def on_the_hour(at: datetime, reading: Reading, example: object) -> datetime | None:
    """Snap a stamp to its hour.

    Args:
        at: the stamp.
        reading: counts what is not within :data:`NEAR_HOUR` of an hour.
        example: the row as given.

    Returns:
        The hour; None where the stamp is not near one.
    """
    hour = (at + HOUR / 2).replace(minute=0, second=0, microsecond=0)
    if abs(at - hour) <= NEAR_HOUR:
        return hour
    reading.aside(OFF_HOUR, example, at)
    return None


def funding_rate(raw: object, at: datetime, reading: Reading, example: object) -> float | None:
    """Read a funding rate.

    Args:
        raw: the value as given.
        at: the stamp of the settlement.
        reading: counts what is no rate; the row is then set aside.
        example: the row as given.

    Returns:
        The rate as a fraction; None where it is no number, absent, or beyond any cap that a venue has.
    """
    try:
        rate = number(raw, "funding rate")
    except SourceError:
        reading.aside("funding rate is not a number", example, at)
        return None
    if rate is None:
        reading.aside("funding rate is not given", example, at)
    elif abs(rate) > MOST_RATE:
        reading.aside(f"funding rate is beyond {MOST_RATE:g}", example, at)
        return None
    return rate


@dataclass(frozen=True)
class Settlement:
    """One settlement: its hour, the venue's stamp, the rate as a fraction, and the mark price of one coin."""

    ts: datetime
    at: datetime
    rate: float
    mark: float | None
    source: str


class Settlements:
    """The settlements of one coin at one venue, by hour. Answers may give them in any order and more than once."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._found: dict[datetime, Settlement] = {}
        self._contradicted: set[datetime] = set()

    def add(self, one: Settlement) -> None:
        """Keep a settlement. Two of one hour with different rates are both left out: nothing says which is right."""
        known = self._found.setdefault(one.ts, one)
        if known is one:
            return
        if (known.rate, known.mark) == (one.rate, one.mark):
            self.reading.spare(SAME_AGAIN)
        elif one.ts not in self._contradicted:
            self._contradicted.add(one.ts)
            self.reading.aside(CONTRADICTED, [known.rate, one.rate], one.ts, doubt=False)

    def in_order(self) -> list[Settlement]:
        """The settlements in order of time."""
        return [self._found[ts] for ts in sorted(self._found) if ts not in self._contradicted]


def intervals(hours: Sequence[datetime]) -> list[int | None]:
    """Find the hours that each settlement covers.

    It is the distance to the settlement before, so that a change of the interval is right on both sides. A missing
    settlement makes the distance twice the interval. Venues settle an interval of 8 hours at 00:00, 08:00 and 16:00 only
    (and 4 hours likewise), so that a distance that does not fit the hour is one with a hole. The first settlement after
    a listing or a long hole has the distance to the next one: venues announce an interval before it begins.

    Args:
        hours: the hours of the settlements, in order.

    Returns:
        For each settlement 1, 2, 4 or 8; None where there is no other settlement near enough.
    """
    found: list[int | None] = []
    for index, ts in enumerate(hours):
        before = _fitting(ts, ts - hours[index - 1]) if index else None
        after = _fitting(hours[index + 1], hours[index + 1] - ts) if index + 1 < len(hours) else None
        found.append(before or after)
    return found


def _fitting(ts: datetime, distance: timedelta) -> int | None:
    """The longest interval that is no longer than the distance and ends at this hour; None for a longer distance."""
    if distance > INTERVALS[0] * HOUR:
        return None
    return next((hours for hours in INTERVALS if hours * HOUR <= distance and ts.hour % hours == 0), None)


def refuse_other_clock(hours: Sequence[datetime], what: str) -> None:
    """Refuse settlements of a clock in another time zone: 8 hours apart, and most of them not at 00:00, 08:00 or 16:00.

    Args:
        hours: the hours of the settlements, in order.
        what: the provider, route, coin and window, for the message.

    Raises:
        SourceError: the clock is another one.
    """
    apart = [ts for before, ts in pairwise(hours) if ts - before == INTERVALS[0] * HOUR]
    strange = [ts for ts in apart if ts.hour % INTERVALS[0]]
    if len(strange) * 2 > max(len(hours) - 1, 2):
        raise SourceError(
            f"{what}: {OTHER_CLOCK} (every 8 hours, e.g. at {strange[0]:%H:%M} UTC), as of a clock in another time zone; "
            "nothing was written; the provider would have to give times in UTC: check the base address"
        )


def refuse_future(settled: Sequence[Settlement], what: str, now: datetime) -> None:
    """Refuse settlements that lie in the future: a clock that is 8 hours ahead (UTC+8) keeps the hours of the day.

    Args:
        settled: the settlements.
        what: the provider, route, coin and window, for the message.
        now: the clock of this machine.

    Raises:
        SourceError: the venue's clock is ahead.
    """
    ahead = [one.at for one in settled if one.at > now + NEAR_HOUR]
    if ahead:
        raise SourceError(
            f"{what}: a settlement at {max(ahead):%Y-%m-%d %H:%M} UTC lies in the future (it is {now:%Y-%m-%d %H:%M} UTC here), "
            "as of a clock in another time zone; nothing was written; check this machine's clock and the base address"
        )


def funding_rows(found: Iterable[Settlement], what: str, reading: Reading) -> list[tuple[Any, ...]]:
    """Build the rows of the days that were asked for.

    Args:
        found: settlements in order, also of some hours around these days.
        what: the provider, route, coin and window, for messages.
        reading: the days, and the clock: a settlement later than ``now`` is left out.

    Returns:
        (ts, available_at, source, funding_rate, interval_hours, funding_rate_hourly, mark_price) of each settlement.

    Raises:
        SourceError: the settlements are of a clock in another time zone.
    """
    settled = list(found)
    refuse_future(settled, what, reading.now)
    listed = [one for one in settled if one.at <= reading.now]
    hours = [one.ts for one in listed]
    refuse_other_clock(hours, what)
    return [
        (one.ts, max(one.at, one.ts), one.source, one.rate, span, one.rate / span if span else None, one.mark)
        for one, span in zip(listed, intervals(hours), strict=True)
        if reading.inside(one.ts)
    ]
