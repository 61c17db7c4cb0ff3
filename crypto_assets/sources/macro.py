"""Every macro series of a range, from all providers: one that fails does not take the others with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias

from crypto_assets.catalog import macro as catalog
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources import cboe, ecb, fred, nyfed, treasury
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched
from crypto_assets.sources.vintages import Given, frame_of

Fetch: TypeAlias = Callable[[Client, Settings, date, date, datetime], Awaitable[Given]]
PROVIDERS: dict[str, Fetch] = {
    catalog.CBOE: cboe.fetch_vix,
    catalog.TREASURY: treasury.fetch_yields,
    catalog.NYFED: nyfed.fetch_rates,
    catalog.ECB: ecb.fetch_ecb,
    catalog.FRED: fred.fetch_vintages,
}


@dataclass(frozen=True)
class Published:
    """What the providers published.

    Attributes:
        fetched: Rows of ``macro_series``, also of days before the range, which readings look back on.
        releases: Number of a release -> its dates.
    """

    fetched: Fetched
    releases: dict[int, list[date]]


async def fetch_macro(client: Client, settings: Settings, start: date, end: date, now: datetime) -> Published:
    """Fetch the vintages that were published on ``start``..``end``, and those that readings look back on.

    Args:
        client: makes the requests.
        settings: keys and base addresses.
        start: the first UTC day.
        end: the last UTC day, included.
        now: the instant of the fetch.

    Returns:
        The rows and calendars. A provider that is down fails its series; one that refuses a key or does not serve the
        address is named in ``missing``.

    Raises:
        SourceError: no provider could be asked.
    """
    before = client.calls
    asked = await asyncio.gather(
        *(_asked(name, fetch, client, settings, start, end, now) for name, fetch in PROVIDERS.items())
    )
    answers = dict(zip(PROVIDERS, asked, strict=True))
    missing = {name: why for given in answers.values() for name, why in given.missing.items()}
    failed = {name: why for given in answers.values() for name, why in given.failed.items()}
    vintages = [v for given in answers.values() for v in given.vintages if v.known <= now]
    if failed and not vintages:
        raise SourceError(f"no macro series could be had; first: {next(iter(failed.values()))}")
    frame = frame_of(vintages, {name: given.source for name, given in answers.items()})
    fetched = Fetched(
        frame,
        tuple(digest for given in answers.values() for digest in given.digests),
        missing,
        client.calls - before,
        failed=failed,
        set_aside=tuple(sorted(record for given in answers.values() for record in given.log.records())),
    )
    return Published(fetched, answers[catalog.FRED].releases)


async def _asked(
    name: str, fetch: Fetch, client: Client, settings: Settings, start: date, end: date, now: datetime
) -> Given:
    """Ask one provider; its failure is that of its series."""
    try:
        return await fetch(client, settings, start, end, now)
    except SourceError as error:
        given = Given()
        given.refused((series.name for series in catalog.of_provider(name)), error)
        return given
