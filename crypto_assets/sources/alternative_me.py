"""Alternative.me: the Fear & Greed index by day.

Format: https://alternative.me/crypto/fear-and-greed-index/#api. ``/fng/?limit=0`` answers the whole history, newest
first. All values are strings. Each value is stamped with the midnight (in seconds) that begins its day. Some days are
missing for good (2018-04-14 to 16, 2024-10-26). So a gap inside the history is the provider's, and a gap after the
newest day means that the provider has not published yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import date, datetime, timezone

import pandas as pd

from crypto_assets.dates import DAY, days, midnight
from crypto_assets.errors import ShortAnswerError, SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.cells import (
    CONTRADICTED,
    NO_OBJECT,
    UNREADABLE_TIME,
    outside,
    parsed,
    place,
    require_readable,
    summary,
)
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched, SetAsideLog, about, source_name, utc
from crypto_assets.tables.schemas import FEAR_GREED_LAG, MARKET_SENTIMENT

NAME = "alternative_me"
SUBJECT = "MARKET"  # the index is about all coins together
_WHAT = f"{NAME} Fear & Greed"
_COLUMNS = ["date", "available_at", "source", "fear_greed_index"]


@dataclass
class Index:
    """The content of one answer.

    Attributes:
        values: the index (0 to 100) by the instant that begins its day.
        bad: (day, reason, the value as given) of each row that is left out.
        timeless: (position in the answer, reason, the row as given) of rows whose day cannot be read.
        days: the day of each row, in the order of the answer; None where it cannot be read.
    """

    values: dict[datetime, float] = field(default_factory=dict)
    bad: list[tuple[date, str, str]] = field(default_factory=list)
    timeless: list[tuple[int, str, str]] = field(default_factory=list)
    days: list[date | None] = field(default_factory=list)


async def fetch_fear_greed(client: Client, settings: Settings, start: date, end: date, now: datetime) -> Fetched:
    """Fetch the rows of contract ``market_sentiment`` for the days ``start``..``end``.

    Args:
        client: makes the one request.
        settings: the base address.
        start: the first UTC day.
        end: the last UTC day, included. The day in progress is included once the provider has stamped it.
        now: values stamped later are left out.

    Returns:
        The rows. ``missing`` names days that the provider left out; ``set_aside`` holds rows that are not an index.

    Raises:
        ShortAnswerError: a closed day is newer than the newest day of the provider.
        SourceError: the answer cannot be had or read, or no row of the days asked for is left.
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
        read = read_index(answer.body)
        found = {stamp: value for stamp, value in read.values.items() if stamp <= now}
        log, unusable = _set_aside(read, start, end)
        if not found:
            why = summary(log.records())
            raise SourceError(
                f"{_WHAT} answered no value up to now{f' ({why})' if why else ''}; nothing was written; try again later"
            )
    by_day = {stamp.date(): (stamp, value) for stamp, value in sorted(found.items(), reverse=True)}  # earliest wins
    source, newest = source_name(NAME, answer), max({*by_day, *(day for day in unusable if midnight(day) <= now)})
    rows, missing = _rows_of(by_day, unusable, newest, source, (start, end), now)
    if not rows and unusable:
        raise SourceError(
            f"{_WHAT} /fng/ has no usable value from {start} to {end}: {summary(log.records())}; nothing was written; the "
            "provider must give an index within 0 to 100: try again later, or report it to the provider"
        )
    frame = utc(pd.DataFrame(rows, columns=_COLUMNS), "available_at").astype({"fear_greed_index": "float64"})
    surplus = Counter(
        "outside the days asked for" if not start <= stamp.date() <= end else "a later value of the day"
        for stamp in read.values
        if not start <= stamp.date() <= end or by_day.get(stamp.date(), (stamp,))[0] != stamp
    )
    return Fetched(
        frame, (answer.digest,), missing, client.calls - before, set_aside=log.records(), surplus=dict(surplus)
    )


def _rows_of(
    by_day: Mapping[date, tuple[datetime, float]],
    unusable: Set[date],
    newest: date,
    source: str,
    window: tuple[date, date],
    now: datetime,
) -> tuple[list[tuple[date, datetime, str, float]], dict[str, str]]:
    """Build the rows of the window, and the reasons why its other days have none."""
    rows: list[tuple[date, datetime, str, float]] = []
    missing: dict[str, str] = {}
    for day in days(*window):
        if day in by_day:
            stamp, value = by_day[day]
            rows.append((day, stamp + FEAR_GREED_LAG, source, value))
        elif day in unusable:
            missing[str(day)] = "its value was set aside"
        elif day > newest and midnight(day + DAY) <= now:
            raise ShortAnswerError(
                f"{_WHAT} has not published {day} yet (its newest day is {newest}); nothing was written; "
                "run again later",
                [late.isoformat() for late in days(day, window[1])],
            )
        elif day < newest:
            missing[str(day)] = "before the provider's history" if day < min(by_day) else "the provider left it out"
    return rows, missing


def _set_aside(read: Index, start: date, end: date) -> tuple[SetAsideLog, set[date]]:
    """Log the rows of the window that are left out; also return the days that have no value because of them."""
    log, unusable = SetAsideLog(), set()
    for day, reason, given in read.bad:
        if start <= day <= end:
            log.add(SUBJECT, day, reason, given)
            unusable.add(day)
    placed = place(read.days, start, end, rising=False)
    for index, reason, given in read.timeless:
        if index in placed:
            log.add(SUBJECT, placed[index], reason, given)
            unusable.add(placed[index])
    return log, unusable


def read_index(body: object) -> Index:
    """Read an answer of ``/fng/``.

    Args:
        body: the parsed JSON.

    Returns:
        The values, and the rows that cannot be used.

    Raises:
        SourceError: the answer is an error or has another shape, or most of its rows have no readable time.
    """
    metadata = body.get("metadata") if isinstance(body, dict) else None
    error = metadata.get("error") if isinstance(metadata, dict) else None
    if error is not None:
        raise SourceError(f"{_WHAT} answered an error ({str(error)[:120]!r}); nothing was written; try again later")
    items = body.get("data") if isinstance(body, dict) else None
    if not isinstance(items, list):
        raise SourceError(f"{_WHAT} has no data list; nothing was written; check FEAR_GREED_BASE_URL")
    found = Index()
    contradicted: set[datetime] = set()
    for position, item in enumerate(items):
        stamp = _stamp(item.get("timestamp")) if isinstance(item, dict) else None
        found.days.append(stamp.date() if stamp else None)
        if stamp is None:
            reason = UNREADABLE_TIME if isinstance(item, dict) else NO_OBJECT
            found.timeless.append((position, reason, str(item)))
            continue
        value, reason = _index(item.get("value"))
        if value is None:
            found.bad.append((stamp.date(), reason, str(item.get("value"))))
        elif found.values.setdefault(stamp, value) != value:
            contradicted.add(stamp)
            found.bad.append((stamp.date(), CONTRADICTED, f"{found.values[stamp]:g} and {value:g}"))
    for stamp in contradicted:
        del found.values[stamp]
    if found.timeless:
        require_readable(
            len(found.timeless), len(items), _WHAT, f"its timestamps are not seconds: {found.timeless[0][2][:80]}"
        )
    return found


def _stamp(raw: object) -> datetime | None:
    try:
        seconds = parsed(raw)
    except ValueError:
        return None
    if seconds is None or not 10**9 <= seconds < 10**10 or seconds % 1:
        return None
    return datetime.fromtimestamp(int(seconds), timezone.utc)


def _index(raw: object) -> tuple[float | None, str]:
    """Return (the index, "") or (None, the reason why the value is not an index)."""
    try:
        value = parsed(raw)
    except ValueError as error:
        return None, str(error)
    if value is None:
        return None, "no value"
    reason = outside(value, MARKET_SENTIMENT.by_name["fear_greed_index"])
    return (None, reason) if reason else (value, "")
