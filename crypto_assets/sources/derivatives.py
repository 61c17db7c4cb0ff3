"""Funding, open interest and bars of perpetual contracts, from each venue in DERIVATIVE_SOURCES.

A venue that fails or refuses this place does not take the other venue's rows with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any, cast

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.catalog.listings import dated, listed_in, listings, why_not
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.errors import NotListedError, ShortAnswerError, SourceError
from crypto_assets.settings import DERIVATIVE_SOURCES, Settings
from crypto_assets.sources import binance_futures, binance_statistics, bybit
from crypto_assets.sources.binance_statistics import LOST_FILE
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.contracts import NOT_SERVED, Series, add_digests
from crypto_assets.sources.fetched import (
    Fetched,
    NeverListedError,
    SetAside,
    SetAsideLog,
    each,
    gather,
    named,
    require_days,
    utc,
)
from crypto_assets.sources.funding_units import Settled, without_percents
from crypto_assets.sources.reading import HOUR, OUTSIDE, Reading
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.derivatives import (
    BARS_SINCE,
    FUNDING_RATES,
    FUNDING_SINCE,
    OPEN_INTEREST,
    OPEN_INTEREST_OWED_SINCE,
    OPEN_INTEREST_SINCE,
    PERPETUAL_BARS,
    STATISTICS_LAG,
    STATISTICS_START_LABELS,
)

Fetcher = Callable[[Client, Settings, Coin, date, date, Reading], Awaitable[Series]]
FUNDING: Mapping[str, Fetcher] = {"binance": binance_futures.fetch_funding, "bybit": bybit.fetch_funding}
INTEREST: Mapping[str, Fetcher] = {
    "binance": binance_statistics.fetch_open_interest,
    "bybit": bybit.fetch_open_interest,
}
BARS: Mapping[str, Fetcher] = {"binance": binance_futures.fetch_bars, "bybit": bybit.fetch_bars}
ADDRESSES = {"binance": "BINANCE_FUTURES_BASE_URL (of its files BINANCE_ARCHIVE_BASE_URL)", "bybit": "BYBIT_BASE_URL"}


async def fetch_funding(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime,
    earlier: Iterable[Settled] = (),
) -> Fetched:  # fmt: skip
    """Fetch the settlements in the days ``start``..``end`` (contract ``funding_rates``).

    Args:
        client: makes the requests.
        settings: base addresses and ``DERIVATIVE_SOURCES``.
        coins: the coins.
        start: the first UTC day.
        end: the last UTC day, included.
        now: later settlements are left out.
        earlier: settlements of the weeks before ``start``, against which a change of the unit shows.

    Returns:
        The rows. ``missing`` names coins without a contract and venues that do not serve this place; ``failed`` names
        coins of which a venue's rows could not be had.

    Raises:
        SourceError: no venue could be asked, or a day that is over has no row although a contract was listed.
    """
    before = client.calls
    first = max(start, FUNDING_SINCE)
    found = await _ask_venues(client, settings, coins, first, end, now, FUNDING)
    rows = [
        (symbol, venue, ts, ts.date(), at, source, *values)
        for (symbol, venue), series in found.series.items()
        for ts, at, source, *values in series.rows
    ]
    rows, percents = without_percents(rows, earlier)
    found.set_aside += percents
    await _require_days(client, settings, coins, found, rows, first, end, now, FUNDING_RATES)
    return found.fetched(FUNDING_RATES, rows, client.calls - before)


async def fetch_open_interest(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> Fetched:
    """Fetch the hourly open interest in the days ``start``..``end`` (contract ``open_interest``).

    Arguments, result and errors are those of :func:`fetch_funding`, without ``earlier``.
    """
    before = client.calls
    first = max(start, OPEN_INTEREST_SINCE)
    found = await _ask_venues(client, settings, coins, first, end, now, INTEREST)
    rows = []
    for (symbol, venue), series in found.series.items():
        for ts, source, *values in series.rows:
            known = known_at(venue, ts)
            if known <= now:
                rows.append((symbol, venue, ts, ts.date(), known, source, *values))
    owed = max(first, OPEN_INTEREST_OWED_SINCE)
    await _require_days(client, settings, coins, found, rows, owed, end, now, OPEN_INTEREST)
    return found.fetched(OPEN_INTEREST, rows, client.calls - before)


async def fetch_bars(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> Fetched:
    """Fetch the finished hourly bars in the days ``start``..``end`` (contract ``perpetual_bars``).

    Arguments, result and errors are those of :func:`fetch_funding`, without ``earlier``.
    """
    before = client.calls
    first = max(start, BARS_SINCE)
    found = await _ask_venues(client, settings, coins, first, end, now, BARS)
    rows = [
        (
            symbol,
            venue,
            ts,
            ts.date(),
            ts + HOUR,
            source,
            close,
            index,
            close / index - 1 if index else None,
            volume,
            value,
        )
        for (symbol, venue), series in found.series.items()
        for ts, source, close, index, volume, value in series.rows
    ]
    await _require_days(client, settings, coins, found, rows, first, end, now, PERPETUAL_BARS)
    return found.fetched(PERPETUAL_BARS, rows, client.calls - before)


def known_at(venue: str, ts: datetime) -> datetime:
    """Compute when the statistic of an hour was known: 5 minutes after its label, 10 where that is the beginning."""
    beginning = venue == binance_futures.VENUE and ts >= midnight(STATISTICS_START_LABELS)
    return ts + STATISTICS_LAG * (2 if beginning else 1)


class _Absence(Enum):
    """Why a venue gave no row of a coin."""

    NO_CONTRACT = "the catalogue names no contract"
    UNKNOWN = "the venue does not know the contract (any more)"
    NO_ROWS = "the venue knows the contract, and has no row in these days: it was listed later, for one"


@dataclass
class _Given:
    """What the venues gave, coin by coin."""

    series: dict[tuple[str, str], Series] = field(default_factory=dict)  # (symbol, venue) -> its rows
    missing: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)
    surplus: dict[str, int] = field(default_factory=dict)

    def fetched(self, contract: Contract, rows: list[tuple[Any, ...]], calls: int) -> Fetched:
        frame = utc(pd.DataFrame(rows, columns=contract.given_names), "ts", "available_at")
        digests = tuple(digest for series in self.series.values() for digest in series.digests)
        of_days: dict[date, list[str]] = {}
        for series in self.series.values():
            add_digests(of_days, series.day_digests)
        return Fetched(
            frame, digests, self.missing, calls, self.failed, set_aside=_summed(self.set_aside), surplus=self.surplus,
            day_digests=of_days,
        )  # fmt: skip


def _summed(records: Sequence[SetAside]) -> tuple[SetAside, ...]:
    """One record of each subject, day, column and reason: two venues may set aside the same."""
    log = SetAsideLog()
    for one in records:
        log.add(one.subject, one.day, one.reason, one.example, one.column, one.count)
    return log.records()


async def _ask_venues(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime,
    fetchers: Mapping[str, Fetcher],
) -> _Given:  # fmt: skip
    """Ask every venue for every coin; a venue that fails leaves the other's rows."""
    found = _Given()
    venues = [venue for venue in settings.derivative_sources if venue in fetchers]
    if start > end:
        return found
    refused: dict[str, SourceError] = {}
    reasons: dict[tuple[str, str], tuple[_Absence, str]] = {}  # (symbol, venue) -> why it gave no row

    async def of(venue: str) -> None:
        readings = {coin.symbol: Reading(coin.symbol, start, end, now) for coin in coins}
        never: dict[str, str] = {}
        fetch = fetchers[venue]
        calls = {
            c.symbol: partial(
                _under_each_name, fetch, client, settings, c, f"{venue}_perpetual", start, end, readings[c.symbol]
            )
            for c in coins
        }
        try:
            answers, broken = await each(calls, never)
        except SourceError as error:
            refused[venue] = error
            return
        for symbol, why in never.items():
            reasons[symbol, venue] = _Absence.NO_CONTRACT, why
        for symbol, series in answers.items():
            found.series[symbol, venue] = series
            if not series.rows:
                reasons[symbol, venue] = _Absence.UNKNOWN if series.gone else _Absence.NO_ROWS, series.why
        found.failed |= broken
        for reading in readings.values():
            found.set_aside += reading.log.records()
            for reason, count in reading.surplus.items():
                found.surplus[reason] = found.surplus.get(reason, 0) + count

    await gather(of(venue) for venue in venues)
    _leave_out(found, refused, venues, coins)
    answered = [venue for venue in venues if venue not in refused]
    for coin in coins:
        _name_absent(
            found, coin.symbol, [reasons[place] for v in answered if (place := (coin.symbol, v)) in reasons], answered
        )
    found.series = dict(sorted(found.series.items()))
    return found


async def _one(
    fetch: Fetcher, client: Client, settings: Settings, coin: Coin, start: date, end: date, reading: Reading
) -> Series:
    """A contract that its venue does not know any more is no failure while another venue has the coin."""
    try:
        return await fetch(client, settings, coin, start, end, reading)
    except NeverListedError:
        raise
    except NotListedError as error:
        return Series(why=str(error), gone=True)


async def _under_each_name(
    fetch: Fetcher, client: Client, settings: Settings, coin: Coin, field_name: str, start: date, end: date,
    reading: Reading,
) -> Series:  # fmt: skip
    """Ask for the contract of each span of time under the name that the venue had for it then.

    A name may have meant another coin before or after, so rows outside its span are spare.
    """
    if not dated(coin, field_name):
        return await _one(fetch, client, settings, coin, start, end, reading)
    whole = Series(why=why_not(coin, field_name, midnight(start)))
    for one in listed_in(coin, field_name, midnight(start), midnight(end + DAY)):
        first, last = max(start, one.since.date()), min(end, one.last_day)
        named_then = replace(coin, **cast(dict[str, Any], {field_name: one.ticker}))
        part = Reading(coin.symbol, first, last, reading.now)
        got = await _one(fetch, client, settings, named_then, first, last, part)
        rows = [row for row in got.rows if one.since <= row[0] < one.until]
        part.spare(OUTSIDE, len(got.rows) - len(rows))
        reading.include(part)
        whole.rows += rows
        whole.digests += got.digests
        add_digests(whole.day_digests, got.day_digests)
        whole.why, whole.gone = got.why, got.gone
    return whole


def _leave_out(found: _Given, refused: Mapping[str, SourceError], venues: Sequence[str], coins: Sequence[Coin]) -> None:
    """Name the venues that could not be asked. Raises the first one's error where no other has these coins."""
    for venue, error in refused.items():
        others = [name for name in DERIVATIVE_SOURCES if name != venue]
        sentence = str(error)
        if error.status in NOT_SERVED:
            sentence = (
                f"{error}; {venue} does not serve this place or address: leave it out of DERIVATIVE_SOURCES (for example "
                f"DERIVATIVE_SOURCES={','.join(others)}), or set {ADDRESSES[venue]} to an address that answers here"
            )
        if len(refused) == len(venues) or not found.series:
            again = type(error)(sentence, transient=error.transient, status=error.status)
            raise again from error
        if error.status in NOT_SERVED:
            found.missing[venue] = sentence
        else:
            listed = [coin.symbol for coin in coins if getattr(coin, f"{venue}_perpetual")]
            found.failed |= dict.fromkeys(listed, sentence)


def _name_absent(found: _Given, symbol: str, said: Sequence[tuple[_Absence, str]], venues: Sequence[str]) -> None:
    """Name a coin without rows: failed where a venue dropped its contract and none knows it, else missing."""
    if len(said) < len(venues) or symbol in found.failed:
        return
    why = "; ".join(why for _, why in said)
    how = {absence for absence, _ in said}
    if _Absence.UNKNOWN in how and _Absence.NO_ROWS not in how:
        found.failed[symbol] = f"no venue has a contract of {symbol} any more: {why}"
    elif why:
        found.missing[symbol] = why


async def _require_days(
    client: Client, settings: Settings, coins: Sequence[Coin], found: _Given, rows: list[tuple[Any, ...]], start: date,
    end: date, now: datetime, contract: Contract,
) -> None:  # fmt: skip
    """Require a row for every closed day since the first listing of a contract of these coins."""
    if not found.series and not found.failed:
        return  # no venue has a contract of these coins
    what = f"{contract.table} ({', '.join(settings.derivative_sources)}) of {named(coins)} {start} to {end}"
    # A day of which every file is lost was not answered, while one whose rows were read and set aside was.
    lost = {one.subject: f"{one.reason}: {one.example}" for one in found.set_aside if one.reason in LOST_FILE}
    answered = [one for one in found.set_aside if one.reason not in LOST_FILE]
    reasons = {**found.failed, **found.missing, **lost}
    covered = [*(row[3] for row in rows), *_without_contract(settings, coins, start, end)]
    settled = now - timedelta(minutes=15)
    try:
        require_days(covered, start, end, settled, what, missing=reasons, set_aside=answered)
    except ShortAnswerError:
        since = await _first_listing(
            client, settings, [coin for coin in coins if (coin.symbol, "binance") in found.series], now
        )
        if since is None:
            raise
        require_days(covered, max(start, since.date() + DAY), end, settled, what, missing=reasons, set_aside=answered)


def _without_contract(settings: Settings, coins: Sequence[Coin], start: date, end: date) -> list[date]:
    """The days on which no venue had a contract of these coins, by the dated rows of the catalogue."""
    spans = [
        (one.since.date(), one.last_day)
        for venue in settings.derivative_sources
        for coin in coins
        for one in listings(coin, f"{venue}_perpetual")
    ]
    return [day for day in days(start, end) if not any(first <= day <= last for first, last in spans)] if spans else []


async def _first_listing(client: Client, settings: Settings, coins: Sequence[Coin], now: datetime) -> datetime | None:
    """The first settlement of any of these coins at Binance, where the days without rows may lie before all listings.

    None where Binance does not say it: the error about the days is then the one that counts.
    """
    try:
        first = await gather(
            binance_futures.listed_since(client, settings, coin, now) for coin in coins if coin.binance_perpetual
        )
    except SourceError:
        return None
    return min((one for one in first if one is not None), default=None)
