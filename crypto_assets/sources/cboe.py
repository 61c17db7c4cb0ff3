"""CBOE: the close of the volatility index VIX on each trading day since 1990.

Format: https://www.cboe.com/tradable_products/vix/vix_historical_data/. ``VIX_History.csv`` has the columns DATE
(MM/DD/YYYY), OPEN, HIGH, LOW, CLOSE. The file of a day is there in the evening, at no documented hour.
"""

from __future__ import annotations

import csv
import io
from datetime import date, datetime

from crypto_assets.catalog.business_days import published
from crypto_assets.catalog.macro import CBOE as NAME
from crypto_assets.catalog.macro import of_provider
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.cells import CONTRADICTED, UNREADABLE_TIME, require_readable
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import source_name
from crypto_assets.sources.vintages import Given, Vintage
from crypto_assets.tables.pit_quality import FINAL

ROUTE = "/daily_prices/VIX_History.csv"


async def fetch_vix(client: Client, settings: Settings, start: date, end: date, now: datetime) -> Given:
    """Fetch the closes that readings on ``start``..``end`` need.

    Args:
        client: makes the one request.
        settings: the base address.
        start: the first UTC day.
        end: the last UTC day, included.
        now: the instant of the fetch; it plays no part, because the file holds past days only.

    Returns:
        The closes. A day with two closes, or with none that is a number, is set aside.

    Raises:
        SourceError: the file cannot be had or read.
    """
    (series,) = of_provider(NAME)
    what = f"{NAME} {ROUTE} {start} to {end}"
    answer = await client.get_bytes(
        NAME, f"{settings.cboe_base_url}{ROUTE}", subject=f"{start} to {end}", endpoint=ROUTE
    )
    given = Given(source_name(NAME, answer), digests=[answer.digest])
    lines = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8", "replace"))))
    if not lines or not {"DATE", "CLOSE"} <= lines[0].keys():
        raise SourceError(
            f"{what} is no CSV with DATE and CLOSE; nothing was written; check CBOE_BASE_URL, or try again later"
        )
    closes: dict[date, set[float | None]] = {}
    unreadable = 0
    for line in lines:
        day = _day(line["DATE"])
        if day is None:
            unreadable += 1
            given.log.add(series.name, start, UNREADABLE_TIME, line["DATE"])
        elif start - series.reach <= day <= end:
            closes.setdefault(day, set()).add(given.read(line["CLOSE"], series, day))
    require_readable(unreadable, len(lines), what, "its days are not MM/DD/YYYY")
    for day, values in closes.items():
        if len(values) > 1:
            given.log.add(series.name, day, CONTRADICTED, " and ".join(map(str, values)))
        elif (value := values.pop()) is not None:
            given.add(Vintage(series, day, day, published(day, series.published), value, FINAL))
    return given


def _day(text: str | None) -> date | None:
    try:
        return datetime.strptime((text or "").strip(), "%m/%d/%Y").date()
    except ValueError:
        return None
