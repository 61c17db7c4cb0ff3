"""Alternative.me: the Fear & Greed index by day.

https://alternative.me/crypto/fear-and-greed-index/#api: ``/fng/?limit=0`` answers the whole history, newest first, all
values strings, stamped with the midnight (seconds) that opens their day. Days are missing for good (2018-04-14 to 16,
2024-10-26): a hole inside the history is the provider's, a hole after its newest day is not there yet.
"""

from __future__ import annotations

from datetime import date, datetime, timezone

import pandas as pd

from crypto_assets.errors import ShortAnswerError, SourceError
from crypto_assets.partitions import DAY, days, midnight
from crypto_assets.schemas import FEAR_GREED_LAG
from crypto_assets.settings import Settings
from crypto_assets.sources.client import Client
from crypto_assets.sources.fetched import Fetched, about, number, source_name, utc

NAME = "alternative_me"
_WHAT = f"{NAME} Fear & Greed"
_COLUMNS = ["date", "available_at", "source", "fear_greed_index"]


async def fetch_fear_greed(client: Client, settings: Settings, start: date, end: date, now: datetime) -> Fetched:
    """Rows of contract ``market_sentiment`` for ``start``..``end`` (inclusive, UTC), the day in progress included
    once it is stamped. Days that the provider left out are in ``missing``.

    Raises :class:`SourceError` when a closed day is newer than the newest that the provider has.
    """
    before = client.calls
    answer = await client.get_json(
        NAME,
        f"{settings.fear_greed_base_url}/fng/",
        params={"limit": "0", "format": "json"},
        subject=f"{start} to {end}",
        endpoint="/fng/",
    )
    with about(f"{_WHAT} /fng/ {start} to {end}"):
        found = {stamp: value for stamp, value in parse_fng(answer.body).items() if stamp <= now}
        if not found:
            raise SourceError(f"{_WHAT} answered no value up to now; nothing was written; try again later")
    by_day = {stamp.date(): (stamp, value) for stamp, value in sorted(found.items(), reverse=True)}  # earliest wins
    source, newest = source_name(NAME, answer), max(by_day)
    rows, missing = [], {}
    for day in days(start, end):
        if day in by_day:
            stamp, value = by_day[day]
            rows.append((day, stamp + FEAR_GREED_LAG, source, value))
        elif day > newest and midnight(day + DAY) <= now:
            raise ShortAnswerError(
                f"{_WHAT} has not published {day} yet (its newest day is {newest}); nothing was written; "
                "run again later",
                [late.isoformat() for late in days(day, end)],
            )
        elif day < newest:
            missing[str(day)] = "before the provider's history" if day < min(by_day) else "the provider left it out"
    frame = utc(pd.DataFrame(rows, columns=_COLUMNS), "available_at").astype({"fear_greed_index": "float64"})
    return Fetched(frame, (answer.digest,), missing, client.calls - before)


def parse_fng(body: object) -> dict[datetime, float]:
    """Index by stamp. Raises :class:`SourceError` for an error, another shape, or a value outside 0 to 100."""
    metadata = body.get("metadata") if isinstance(body, dict) else None
    error = metadata.get("error") if isinstance(metadata, dict) else None
    if error is not None:
        raise SourceError(f"{_WHAT} answered an error ({str(error)[:120]!r}); nothing was written; try again later")
    items = body.get("data") if isinstance(body, dict) else None
    if not isinstance(items, list):
        raise SourceError(f"{_WHAT} has no data list; nothing was written; check FEAR_GREED_BASE_URL")
    found: dict[datetime, float] = {}
    for item in items:
        if not isinstance(item, dict):
            raise SourceError(f"{_WHAT} has a row of another shape; nothing was written; try again later")
        seconds = number(item.get("timestamp"), f"{_WHAT} timestamp")
        if seconds is None or not 10**9 <= seconds < 10**10 or seconds % 1:
            raise SourceError(
                f"{_WHAT} has the timestamp {str(item.get('timestamp'))[:40]!r}, not seconds; nothing was written; "
                "try again later"
            )
        stamp = datetime.fromtimestamp(int(seconds), timezone.utc)
        value = number(item.get("value"), f"{_WHAT} on {stamp.date()}")
        if value is None or not 0 <= value <= 100:
            raise SourceError(
                f"{_WHAT} on {stamp.date()} is {str(item.get('value'))[:40]!r}, not within 0 to 100; nothing was "
                "written; report it to the provider"
            )
        if found.setdefault(stamp, value) != value:
            raise SourceError(
                f"{_WHAT} has two different values on {stamp.date()}; nothing was written; try again later"
            )
    return found
