"""Reading one coin's answers leniently: what cannot be trusted is set aside by name, and the rest is kept.

What does not belong here: what a provider's columns mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

from crypto_assets.dates import DAY, midnight
from crypto_assets.errors import SourceError
from crypto_assets.sources.fetched import SetAside, SetAsideLog, number

HOUR = timedelta(hours=1)
COARSE = timedelta(hours=4)
FUTURE = "time lies in the future"
OFF_HOUR = "open time is not an hour mark"
SHAPE = "row of another shape"
SECOND_COPY = "second, different copy of the same bar"
SAME_AGAIN = "the same row again"
OUTSIDE = "outside the window"
UNFINISHED = "unfinished bar"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# Instants that a price can have: a time in another unit lies far outside.
_FIRST, _LAST = datetime(2009, 1, 1, tzinfo=timezone.utc), datetime(2100, 1, 1, tzinfo=timezone.utc)


class Reading:
    """What the answers about one coin held that is no row: set aside, or surplus.

    Args:
        subject: the coin's symbol.
        start: the first day that was asked for.
        end: the last day that was asked for, included.
        now: the clock that says which bars are finished.
    """

    def __init__(self, subject: str, start: date, end: date, now: datetime) -> None:
        self.subject, self.start, self.end, self.now = subject, start, end, now
        self.log = SetAsideLog()
        self.surplus: Counter[str] = Counter()
        self._doubts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def aside(
        self, reason: str, example: object, at: datetime | None = None, column: str = "", *, doubt: bool = True
    ) -> None:
        """Set one observation aside, under its own day where that was asked for, else under the first day.

        A whole row counts as a doubt about its answer (see :meth:`judge`), unless ``doubt`` is false.
        """
        day = at.date() if at is not None and self.start <= at.date() <= self.end else self.start
        self.log.add(self.subject, day, reason, example, column)
        if doubt and not column:
            self._doubts[reason] += 1
            self._examples.setdefault(reason, str(example)[:60])

    def spare(self, reason: str, count: int = 1) -> None:
        """Count observations that are not wrong and no row of the table."""
        if count:
            self.surplus[reason] += count

    def judge(self, what: str, rows: int, must: str) -> None:
        """Refuse an answer of which more than half of the rows cannot be trusted: the rest is doubtful as well.

        Args:
            what: provider, route, coin and window.
            rows: how many rows the answer has.
            must: what would have to change before its rows can be stored.

        Raises:
            SourceError: more than half of the rows were set aside since the last call.
        """
        doubts, examples = self._doubts, self._examples
        self._doubts, self._examples = Counter(), {}
        if doubts.total() * 2 > rows:
            reason = doubts.most_common(1)[0][0]
            raise SourceError(
                f"{what}: {doubts.total()} of {rows} rows cannot be trusted ({reason}, e.g. "
                f"{' '.join(examples[reason].split())}), so that the others are doubtful as well; nothing was written; {must}"
            )

    def inside(self, ts: datetime) -> bool:
        """Whether the instant is in the days that were asked for."""
        return midnight(self.start) <= ts < midnight(self.end + DAY)

    def instant(self, raw: object, unit: timedelta, example: object) -> datetime | None:
        """The instant of a count of ``unit`` since 1970; None, set aside, where it is no instant a price can have."""
        try:
            value = number(raw, "time")
            at = _EPOCH + int(value) * unit if value is not None else None
        except (SourceError, OverflowError):
            at = None
        if at is None or not _FIRST <= at < _LAST:
            name = "milliseconds" if unit < timedelta(seconds=1) else "seconds"
            self.aside(f"time is not in {name}", example)
            return None
        return at

    def prices(self, raw: Sequence[object], ts: datetime, example: object) -> tuple[float, float, float, float] | None:
        """Open, high, low, close of a bar; None, set aside, where they are no bar."""
        try:
            values = [number(value, "price") for value in raw]
        except SourceError:
            self.aside("price is not a number", example, ts)
            return None
        opened, high, low, close = (value or 0.0 for value in values)
        if min(opened, high, low, close) <= 0:
            self.aside("price is not above zero", example, ts)
            return None
        if high < max(opened, close, low) or low > min(opened, close):
            self.aside("high or low inside open and close", example, ts)
            return None
        return opened, high, low, close

    def cell(self, raw: object, column: str, ts: datetime) -> float | None:
        """A number of zero or more; None where there is none, and set aside where it is no such number."""
        try:
            value = number(raw, column)
        except SourceError:
            self.aside("value is not a number", raw, ts, column)
            return None
        if value is not None and value < 0:
            self.aside("value is below zero", raw, ts, column)
            return None
        return value


def gathered(readings: Iterable[Reading]) -> tuple[tuple[SetAside, ...], dict[str, int]]:
    """(what was set aside, surplus by reason) of several coins."""
    records: list[SetAside] = []
    surplus: Counter[str] = Counter()
    for reading in readings:
        records += reading.log.records()
        surplus.update(reading.surplus)
    return tuple(sorted(records)), dict(sorted(surplus.items()))


def refuse_coarse(times: Iterable[datetime], what: str, advice: str) -> None:
    """Raise :class:`SourceError` where bars of four hours or more would pass as hours with gaps."""
    found = sorted(set(times))
    if len(found) > 1 and all(later - earlier >= COARSE for earlier, later in pairwise(found)):
        raise SourceError(
            f"{what} has bars of four hours or more where hourly ones were asked; nothing was written; {advice}"
        )


@dataclass
class Bars:
    """Finished hourly bars of one coin from one source.

    Attributes:
        rows: (ts, open, high, low, close, volume, source) in order of time; ``ts`` is the open.
        digests: SHA-256 of each answer.
        ended: from this hour on the source has no bars and will have none: the next source is asked.
        why: what the source answered where it has no bars in the whole range.
    """

    rows: list[tuple[Any, ...]]
    digests: list[str]
    ended: datetime | None = None
    why: str = ""


@dataclass
class BarTable:
    """Bars by their open, one an hour, of what an answer gives in any order and more than once."""

    reading: Reading
    rows: dict[datetime, tuple[Any, ...]] = field(default_factory=dict)

    def add(self, bar: tuple[Any, ...], volume: int) -> None:
        """Keep a finished bar of the window; count every other.

        Of two different copies of one bar the one with more volume stays, then the one with the wider range: a bar
        only grows while it is made, so that is its later state, whichever came first in the answer.

        Args:
            bar: (ts, open, high, low, close, …).
            volume: the position of the volume in ``bar``.
        """
        ts, reading = bar[0], self.reading
        if ts > reading.now + DAY:
            return reading.aside(FUTURE, ts.isoformat(), ts)
        if ts + HOUR > reading.now:
            return reading.spare(UNFINISHED)
        if not reading.inside(ts):
            return reading.spare(OUTSIDE)
        known = self.rows.setdefault(ts, bar)
        if known is bar:
            return None
        if known == bar:
            return reading.spare(SAME_AGAIN)
        self.rows[ts] = max(known, bar, key=lambda copy: _grown(copy, volume))
        other = bar if self.rows[ts] is known else known
        return reading.aside(SECOND_COPY, list(other[1:]), ts, doubt=False)

    def in_order(self) -> list[tuple[Any, ...]]:
        return [self.rows[ts] for ts in sorted(self.rows)]


def _grown(bar: tuple[Any, ...], volume: int) -> tuple[Any, ...]:
    plain = tuple(str(value) for value in bar[1:])
    return (-1.0 if bar[volume] is None else bar[volume], bar[2] - bar[3], plain)
