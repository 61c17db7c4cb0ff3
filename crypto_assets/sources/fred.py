"""FRED and ALFRED: macro series with every revision, and the calendar of releases. A key is needed.

Format: https://fred.stlouisfed.org/docs/api/fred/series_observations.html. Values are strings, and ``"."`` is none. A row
says from when to when its value stood (``realtime_start``, ``realtime_end``, both included): the first is its vintage. A
value that stands no longer, and has no successor, was withdrawn. A request may span 2,000 vintage dates. A series has at
most one a day, so that spans of 2,000 days need no list of them. Days are those of US Central time, and a later one than
today's is refused. The key travels in the query, because the API takes it nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from crypto_assets.catalog.business_days import published
from crypto_assets.catalog.macro import FRED as NAME
from crypto_assets.catalog.macro import MacroSeries, of_provider
from crypto_assets.dates import DAY
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.cells import CONTRADICTED, UNREADABLE_TIME, require_readable
from crypto_assets.sources.client.hidden_key import MASK, hidden
from crypto_assets.sources.client.http import Answer, Client, ResponseError
from crypto_assets.sources.fetched import NeverListedError, each, rows_of, source_name
from crypto_assets.sources.vintages import Given, Vintage
from crypto_assets.tables.pit_quality import BACKFILLED, VINTAGE

CENTRAL = ZoneInfo("America/Chicago")
SPAN = timedelta(days=2_000)  # vintage dates that a request may span
PAGE = 100_000  # observations of an answer
OBSERVATIONS, RELEASES = "/series/observations", "/release/dates"
NO_KEY = "FRED gives it with a key only; set FRED_API_KEY (free: https://fred.stlouisfed.org/docs/api/api_key.html)"
AHEAD = timedelta(days=120)  # how far ahead the calendar of releases is asked for


class KeyRefusedError(SourceError):
    """FRED does not accept the key. It may be wrong, or not active yet."""


async def fetch_vintages(client: Client, settings: Settings, start: date, end: date, now: datetime) -> Given:
    """Fetch what was published on ``start``..``end``, and what readings on these days look back on.

    Args:
        client: makes the requests: one for each series and span of 2,000 days, and one for each release.
        settings: the key and the base address.
        start: the first UTC day.
        end: the last UTC day, included.
        now: the instant of the fetch; FRED refuses days that are later in US Central time.

    Returns:
        The vintages. Without a key, and where the key is refused, each series is in ``missing``.

    Raises:
        SourceError: the first failure that concerns every series.
    """
    given, series = Given(), of_provider(NAME)
    last = min(end, now.astimezone(CENTRAL).date())
    if settings.fred_api_key is None:
        given.missing = {one.name: NO_KEY for one in series}
        return given
    calls = {one.name: partial(_series, client, settings, one, start, last, given) for one in series}
    try:
        _, given.failed = await each(calls, given.missing)
        numbers = sorted({one.release for one in series if one.release is not None and one.name not in given.missing})
        dates = await asyncio.gather(*(_release(client, settings, n, start, end, given) for n in numbers))
        given.releases = dict(zip(numbers, dates, strict=True))
    except KeyRefusedError as error:
        return Given(missing={one.name: str(error) for one in series}, log=given.log)
    return given


async def _series(
    client: Client, settings: Settings, series: MacroSeries, start: date, last: date, given: Given
) -> None:
    """Ask for one series span by span, and add its vintages."""
    first = start - series.reach
    stood: dict[date, _Standing] = {}
    begin = first
    while begin <= last:
        until = min(begin + SPAN - DAY, last)
        subject = f"{series.name} {start} to {last}, vintages {begin} to {until}"
        rows = await _rows(client, settings, series, first, begin, until, subject, given)
        parsed = [_parsed(row) for row in rows]
        for row in (row for row, found in zip(rows, parsed, strict=True) if found is None):
            given.log.add(series.name, start, UNREADABLE_TIME, row)
        what = f"{NAME} {OBSERVATIONS} for {subject}"
        require_readable(parsed.count(None), len(rows), what, "no date, realtime_start and realtime_end")
        for observed, since, to, value in filter(None, parsed):
            stood.setdefault(observed, _Standing()).add(since, to, value, begin)
        begin = until + DAY
    if not stood:
        given.missing[series.name] = f"{NAME} {OBSERVATIONS} for {series.name} {first} to {last} has no observation"
    for observed, standing in sorted(stood.items()):
        for since in standing.contradicted:
            given.log.add(series.name, since, CONTRADICTED, f"{observed} in the vintage of {since}", "value")
        for vintage in _vintages(series, observed, standing.periods(), last, given):
            given.add(vintage)


class _Standing:
    """From when to when each value of one observation stood."""

    def __init__(self) -> None:
        self.found: dict[date, tuple[date, object]] = {}  # since -> (to, value)
        self.contradicted: set[date] = set()

    def add(self, since: date, to: date, value: object, begin: date) -> None:
        """Take up a row of a span of vintages that begins at ``begin``."""
        # A span ends a value's standing, and the next one begins it again: that is no revision.
        again = [s for s, (end, raw) in self.found.items() if since == begin == end + DAY and raw == value]
        since = again[0] if again else since
        known = self.found.get(since)
        if known is not None and known[1] != value:
            self.contradicted.add(since)
        self.found[since] = (to if known is None else max(known[0], to), value)

    def periods(self) -> list[tuple[date, date, object]]:
        """Return (since, to, value) in order; None for a value that was given twice with different numbers."""
        return [(s, to, None if s in self.contradicted else raw) for s, (to, raw) in sorted(self.found.items())]


def _vintages(
    series: MacroSeries, observed: date, periods: Sequence[tuple[date, date, object]], last: date, given: Given
) -> list[Vintage]:
    """Turn the periods in which values of one observation stood into what was published."""
    found = []
    for n, (since, to, raw) in enumerate(periods):
        value = None if raw in (".", None) else given.read(raw, series, observed)
        old = n == 0 and since - observed > series.frequency.late
        quality = BACKFILLED if old else VINTAGE
        found.append(Vintage(series, observed, since, published(since, series.published), value, quality))
        ends = periods[n + 1][0] if n + 1 < len(periods) else last + DAY
        if to + DAY < ends:
            gone = to + DAY
            found.append(Vintage(series, observed, gone, published(gone, series.published), None, VINTAGE))
    return found


def _parsed(row: object) -> tuple[date, date, date, object] | None:
    try:
        observed, since, to = (date.fromisoformat(row[n]) for n in ("date", "realtime_start", "realtime_end"))  # type: ignore[index]
        return observed, since, to, row["value"]  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return None


async def _rows(
    client: Client,
    settings: Settings,
    series: MacroSeries,
    first: date,
    begin: date,
    until: date,
    subject: str,
    given: Given,
) -> list[Any]:
    """Return the rows of one span of vintages, page by page."""
    rows: list[Any] = []
    asked = {
        "series_id": series.name, "observation_start": first, "realtime_start": begin, "realtime_end": until, "limit": PAGE,
    }  # fmt: skip
    while True:
        answer = await get(client, settings, OBSERVATIONS, subject, **asked, offset=len(rows))
        body = answer.body if isinstance(answer.body, dict) else {}
        page = rows_of(body.get("observations"), f"{NAME} {OBSERVATIONS} for {subject}")
        given.source = source_name(NAME, answer)
        given.digests.append(answer.digest)
        rows += page
        count = body.get("count", 0)
        if not isinstance(count, int):
            raise SourceError(
                f"{NAME} {OBSERVATIONS} for {subject}: count is {str(count)[:40]!r}, no number, so nobody knows whether more "
                "pages follow; nothing was stored; run the range again"
            )
        if not page or len(rows) >= count:
            return rows


async def _release(client: Client, settings: Settings, number: int, start: date, end: date, given: Given) -> list[date]:
    """Return the dates of a release, also those to come; empty where the calendar cannot be had."""
    asked = {
        "release_id": number, "realtime_start": start, "realtime_end": end + AHEAD, "sort_order": "asc",
        "include_release_dates_with_no_data": "true",
    }  # fmt: skip
    try:
        answer = await get(client, settings, RELEASES, f"release {number}", **asked)
        found = [date.fromisoformat(row["date"]) for row in answer.body["release_dates"]]
    except KeyRefusedError:
        raise
    except (SourceError, KeyError, TypeError, ValueError) as error:
        given.missing[f"release {number}"] = f"its calendar cannot be had ({error}); hours to the next release are null"
        return []
    given.digests.append(answer.digest)
    return sorted(set(found))


async def get(client: Client, settings: Settings, route: str, subject: str, **asked: object) -> Answer:
    """Ask FRED, with the key, which no error shows.

    Args:
        client: makes the request.
        settings: the key and the base address.
        route: the route below the base address.
        subject: the series and span, for messages.
        **asked: the query.

    Returns:
        The answer.

    Raises:
        KeyRefusedError: FRED does not accept the key.
        NeverListedError: FRED does not have the series.
        SourceError: the answer cannot be had or read.
    """
    key = settings.fred_api_key.get_secret_value() if settings.fred_api_key else "no key"
    query = {**{name: str(value) for name, value in asked.items()}, "file_type": "json", "api_key": key}
    try:
        with hidden(key):
            return await client.get_json(NAME, f"{settings.fred_base_url}{route}", params=query, subject=subject)
    except SourceError as error:
        message = (
            error.body.get("error_message") if isinstance(error, ResponseError) and isinstance(error.body, dict) else ""
        )
        said = str(message or "").replace(key, MASK)
        if error.status in (401, 403) or "variable api_key" in said:
            raise KeyRefusedError(
                f"{NAME} {route} for {subject}: FRED refuses the key ({said.partition('Read http')[0].strip() or f'HTTP {error.status}'}); a new key "
                "takes some minutes to be active: check FRED_API_KEY, or run again later",
                status=403,
            ) from None
        if "does not exist" in said or error.status == 404:
            raise NeverListedError(
                f"{NAME} {route} does not have {subject} ({said or 'HTTP 404'})", status=error.status
            ) from error
        raise
