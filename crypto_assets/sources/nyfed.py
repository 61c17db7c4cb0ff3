"""New York Fed: the reference rates SOFR and EFFR.

Format: https://markets.newyorkfed.org/static/docs/markets-api.html. A rate is published on the next business day, SOFR
at about 08:00 and EFFR at about 09:00 New York time. A rate that was revised, which happens on the day of its publication
at about 14:30 only, has a ``revisionIndicator``; it counts from then on, since the first value is not shown any more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time

from crypto_assets.catalog.business_days import next_business_day, published
from crypto_assets.catalog.macro import NYFED as NAME
from crypto_assets.catalog.macro import MacroSeries
from crypto_assets.dates import DAY
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.cells import CONTRADICTED, UNREADABLE_TIME, require_readable
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import rows_of, source_name
from crypto_assets.sources.vintages import Given, Vintage, each_series
from crypto_assets.tables.pit_quality import VINTAGE

ROUTES = {"SOFR": "/api/rates/secured/sofr/search.json", "EFFR": "/api/rates/unsecured/effr/search.json"}
REVISED_AT = time(14, 30)


async def fetch_rates(client: Client, settings: Settings, start: date, end: date, now: datetime) -> Given:
    """Fetch the rates that readings on ``start``..``end`` need.

    Args:
        client: makes the requests: one for each rate.
        settings: the base address.
        start: the first UTC day.
        end: the last UTC day, included.
        now: the instant of the fetch; later days are not asked for.

    Returns:
        The rates. One that is no number, or given twice with different values, is set aside.

    Raises:
        SourceError: no rate can be had or read. One that fails alone is noted, and the other is returned.
    """
    window = start, min(end, now.date())
    return await each_series(ROUTES, lambda series, route, given: _rate(client, settings, series, route, window, given))


async def _rate(
    client: Client, settings: Settings, series: MacroSeries, route: str, window: tuple[date, date], given: Given
) -> None:
    first, last = window[0] - series.reach, window[1]
    query = {"startDate": str(first), "endDate": str(last), "type": "rate"}
    subject = f"{series.name} {first} to {last}"
    answer = await client.get_json(NAME, f"{settings.nyfed_base_url}{route}", params=query, subject=subject)
    given.source = source_name(NAME, answer)
    given.digests.append(answer.digest)
    what = f"{NAME} {route} for {subject}"
    rows = rows_of(answer.body.get("refRates") if isinstance(answer.body, dict) else answer.body, what)
    found: dict[date, Vintage] = {}
    unreadable, twice = 0, set()
    for row in rows:
        day = _day(row)
        if day is None:
            unreadable += 1
            given.log.add(series.name, window[0], UNREADABLE_TIME, row)
            continue
        value = given.read(row.get("percentRate"), series, day)
        hour = REVISED_AT if str(row.get("revisionIndicator") or "").strip() else series.published
        shown = next_business_day(day)
        if value is None:
            continue
        vintage = Vintage(series, day, shown, published(shown, hour), value, VINTAGE)
        if replace(found.setdefault(day, vintage), known=vintage.known) != vintage:
            twice.add(day)
            given.log.add(series.name, day, CONTRADICTED, f"{found[day].value} and {value}")
    require_readable(unreadable, len(rows), what, "rows have no effectiveDate")
    for day, vintage in found.items():
        if day not in twice and day <= last + DAY:
            given.add(vintage)


def _day(row: object) -> date | None:
    try:
        return date.fromisoformat(row["effectiveDate"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError, SourceError):
        return None
