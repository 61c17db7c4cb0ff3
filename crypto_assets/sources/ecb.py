"""European Central Bank: the deposit facility rate and the reference rate of the euro, with former versions.

Format: https://data.ecb.europa.eu/help/api/data, SDMX-JSON. With ``includeHistory=true`` an answer has a data set for each
version, ``validFrom`` its instant; a value that a later data set gives anew was revised then. The first version of an
observation counts from its documented hour on, because the instant of a data set is also that of a mere repetition.
"""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

from crypto_assets.catalog.business_days import FRANKFURT, published
from crypto_assets.catalog.macro import ECB as NAME
from crypto_assets.catalog.macro import MacroSeries
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import source_name
from crypto_assets.sources.vintages import Given, Vintage, each_series
from crypto_assets.tables.pit_quality import VINTAGE

FLOWS = {"ECBDFR": "FM/D.U2.EUR.4F.KR.DFR.LEV", "DEXUSEU": "EXR/D.USD.EUR.SP00.A"}


async def fetch_ecb(client: Client, settings: Settings, start: date, end: date, now: datetime) -> Given:
    """Fetch the observations that readings on ``start``..``end`` need, with their former versions.

    Args:
        client: makes the requests: one for each series.
        settings: the base address.
        start: the first UTC day.
        end: the last UTC day, included.
        now: the instant of the fetch; later days are not asked for.

    Returns:
        The versions of each observation.

    Raises:
        SourceError: no series can be had or read. One that fails alone is noted, and the others are returned.
    """
    window = start, min(end, now.date())
    return await each_series(FLOWS, lambda series, route, given: _rate(client, settings, series, route, window, given))


async def _rate(
    client: Client, settings: Settings, series: MacroSeries, flow: str, window: tuple[date, date], given: Given
) -> None:
    first, last = window[0] - series.reach, window[1]
    subject = f"{series.name} {first} to {last}"
    query = {"startPeriod": str(first), "endPeriod": str(last), "includeHistory": "true", "format": "jsondata"}
    url = f"{settings.ecb_base_url}/service/data/{flow}"
    answer = await client.get_json(NAME, url, params=query, subject=subject)
    given.source = source_name(NAME, answer)
    given.digests.append(answer.digest)
    try:
        versions = _versions(answer.body, series, given)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(
            f"{NAME} {flow} for {subject} is no SDMX-JSON that can be read ({error!r}); nothing was "
            "written; check ECB_BASE_URL, or try again later"
        ) from None
    for observed, values in versions.items():
        for vintage in _published(series, observed, sorted(values, key=lambda pair: pair[0])):
            given.add(vintage)


def _versions(body: Any, series: MacroSeries, given: Given) -> dict[date, list[tuple[datetime, float]]]:
    """Observation -> (instant of the version, value) of each version that has it."""
    (dimension,) = body["structure"]["dimensions"]["observation"]
    days = [date.fromisoformat(value["id"]) for value in dimension["values"]]
    found: dict[date, list[tuple[datetime, float]]] = {}
    for version in body["dataSets"]:
        at = datetime.fromisoformat(version.get("validFrom", "1999-01-01T00:00:00+00:00")).astimezone(timezone.utc)
        for one in version["series"].values():
            for place, cells in one["observations"].items():
                day = days[int(place)]
                value = given.read(cells[0], series, day)
                if value is not None:
                    found.setdefault(day, []).append((at, value))
    return found


def _published(series: MacroSeries, observed: date, versions: list[tuple[datetime, float]]) -> list[Vintage]:
    first = published(observed, series.published, FRANKFURT)
    found: list[Vintage] = []
    for at, value in versions:
        if found and found[-1].value == value:
            continue
        known = max(first, at) if found else first
        day = known.astimezone(FRANKFURT).date() if found else observed
        if found and found[-1].vintage == day:  # of several versions of a day the last one is its vintage
            found.pop()
        found.append(Vintage(series, observed, day, known, value, VINTAGE))
    return found
