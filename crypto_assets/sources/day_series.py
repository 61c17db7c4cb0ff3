"""Read a history of one value a day, as chart routes give it: points with an instant in seconds and a value."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timezone

from crypto_assets.sources.cells import CONTRADICTED, UNREADABLE_TIME, Cells, parsed, place, require_readable
from crypto_assets.sources.fetched import SetAsideLog
from crypto_assets.tables.contract import Contract


def by_day(
    points: Iterable[tuple[object, object]], contract: Contract, column: str, subject: str, window: tuple[date, date],
    what: str, log: SetAsideLog,
) -> dict[date, float]:  # fmt: skip
    """Return day -> value of the days of a window.

    Args:
        points: (instant in seconds, value) as given.
        contract: the contract of the table.
        column: the column that the values are for.
        subject: the coin, for what is set aside.
        window: the first and the last day, both included.
        what: the provider, route and window, for messages.
        log: takes up what is set aside: cells that the contract does not allow, and days with two values.

    Returns:
        The values; a day without one is absent.

    Raises:
        SourceError: most points have no readable instant.
    """
    listed, cells = list(points), Cells(contract, log)
    days = [_day(at) for at, _ in listed]
    for index, placed in place(days, *window).items():
        log.add(subject, placed, UNREADABLE_TIME, listed[index], column)
    unreadable = days.count(None)
    require_readable(unreadable, len(days), what, "its instants are not seconds")
    found: dict[date, float] = {}
    twice: set[date] = set()
    for day, (_, raw) in zip(days, listed, strict=True):
        if day is None or not window[0] <= day <= window[1]:
            continue
        value = cells.read(raw, column, subject, day)
        if value is not None and found.setdefault(day, value) != value:
            log.add(subject, day, CONTRADICTED, f"{found[day]:g} and {value:g}", column)
            twice.add(day)
    return {day: value for day, value in found.items() if day not in twice}


def _day(raw: object) -> date | None:
    try:
        seconds = parsed(raw)
    except ValueError:
        return None
    if seconds is None or not 10**9 <= seconds < 10**10:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).date()
