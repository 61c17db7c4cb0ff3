"""United States Treasury: par yields of 2 and 10 years, by trading day.

Format: https://home.treasury.gov/treasury-daily-interest-rate-xml-feed. One Atom document a year, each day an entry with
``NEW_DATE`` and ``BC_2YEAR``, ``BC_10YEAR`` in percent. A day's yields are there by the evening, at no documented hour.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from xml.etree import ElementTree

from crypto_assets.catalog.business_days import published
from crypto_assets.catalog.macro import BY_NAME
from crypto_assets.catalog.macro import TREASURY as NAME
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.cells import CONTRADICTED, UNREADABLE_TIME, require_readable
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import source_name
from crypto_assets.sources.vintages import Given, Vintage
from crypto_assets.tables.pit_quality import FINAL

ROUTE = "/resource-center/data-chart-center/interest-rates/pages/xml"
FIELDS = {"DGS2": "BC_2YEAR", "DGS10": "BC_10YEAR"}
_DATA = "{http://schemas.microsoft.com/ado/2007/08/dataservices}"
_PROPERTIES = "{http://schemas.microsoft.com/ado/2007/08/dataservices/metadata}properties"
_DOCTYPE = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


async def fetch_yields(client: Client, settings: Settings, start: date, end: date, now: datetime) -> Given:
    """Fetch the yields that readings on ``start``..``end`` need.

    Args:
        client: makes the requests: one for each year.
        settings: the base address.
        start: the first UTC day.
        end: the last UTC day, included.
        now: the instant of the fetch; later years are not asked for.

    Returns:
        The yields. One that is no number, or given twice with different values, is set aside.

    Raises:
        SourceError: an answer cannot be had or read.
    """
    given = Given()
    first, last = start - BY_NAME["DGS10"].reach, min(end, now.date())
    found: dict[tuple[str, date], set[float | None]] = {}
    for year in range(first.year, last.year + 1):
        query = {"data": "daily_treasury_yield_curve", "field_tdr_date_value": str(year)}
        answer = await client.get_bytes(
            NAME, f"{settings.treasury_base_url}{ROUTE}", params=query, subject=f"{year}", endpoint=ROUTE
        )
        given.source = source_name(NAME, answer)
        given.digests.append(answer.digest)
        for day, entry in _entries(answer.body, f"{NAME} {ROUTE} for {year}", date(year, 1, 1), given):
            if first <= day <= last:
                for name, field in FIELDS.items():
                    value = given.read(entry.findtext(f"{_DATA}{field}"), BY_NAME[name], day)
                    found.setdefault((name, day), set()).add(value)
    for (name, day), values in found.items():
        if len(values) > 1:
            given.log.add(name, day, CONTRADICTED, " and ".join(map(str, values)))
        elif (value := values.pop()) is not None:
            given.add(Vintage(BY_NAME[name], day, day, published(day, BY_NAME[name].published), value, FINAL))
    return given


def _entries(body: bytes, what: str, around: date, given: Given) -> list[tuple[date, ElementTree.Element]]:
    """Read the entries of a year. A document with entities of its own is refused: they can be made to grow without end."""
    try:
        if _DOCTYPE.search(body[:4096]):
            raise ElementTree.ParseError("it declares a DOCTYPE")
        rows = list(ElementTree.fromstring(body).iter(_PROPERTIES))
    except ElementTree.ParseError as error:
        raise SourceError(
            f"{what} is no XML that can be read ({error}); nothing was written; check TREASURY_BASE_URL, or try again later"
        ) from None
    found, unreadable = [], 0
    for row in rows:
        text = row.findtext(f"{_DATA}NEW_DATE") or ""
        try:
            found.append((date.fromisoformat(text[:10]), row))
        except ValueError:
            unreadable += 1
            given.log.add("DGS10", around, UNREADABLE_TIME, text)
    require_readable(unreadable, len(rows), what, "its NEW_DATE is no day")
    return found
