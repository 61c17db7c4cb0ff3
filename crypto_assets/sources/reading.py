"""Read the answers about one coin leniently: set aside what cannot be trusted, keep the rest.

The meaning of a provider's columns does not belong here.
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
# The instants that a price can have. A time in another unit lies far outside.
_FIRST, _LAST = datetime(2009, 1, 1, tzinfo=timezone.utc), datetime(2100, 1, 1, tzinfo=timezone.utc)


class Reading:
    """Collects what the answers about one coin held that is not a row: set aside, or surplus.

    Args:
        subject: the coin's symbol.
        start: the first day that was asked for.
        end: the last day that was asked for, included.
        now: bars that close later are unfinished.
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

        Args:
            reason: a short fixed phrase.
            example: the observation as given.
            at: its instant; None where it cannot be read.
            column: the column whose cell is null; empty for a whole row.
            doubt: whether a whole row counts against its answer (see :meth:`judge`).
        """
        day = at.date() if at is not None and self.start <= at.date() <= self.end else self.start
        self.log.add(self.subject, day, reason, example, column)
        if doubt and not column:
            self._doubts[reason] += 1
            self._examples.setdefault(reason, str(example)[:60])

    def spare(self, reason: str, count: int = 1) -> None:
        """Count observations that are correct but not a row of the table.

        Args:
            reason: a short fixed phrase.
            count: the number of observations.
        """
        if count:
            self.surplus[reason] += count

    def include(self, part: Reading) -> None:
        """Count what another reading of the same coin, of some of these days, set aside or found spare."""
        for one in part.log.records():
            self.log.add(one.subject, one.day, one.reason, one.example, one.column, one.count)
        self.surplus += part.surplus

    def judge(self, what: str, rows: int, must: str) -> None:
        """Refuse an answer of which more than half of the rows cannot be trusted, because the rest is doubtful as well.

        Args:
            what: the provider, route, coin and window.
            rows: the number of rows in the answer.
            must: what has to change before the rows can be stored.

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
        """Whether the instant lies in the days that were asked for."""
        return midnight(self.start) <= ts < midnight(self.end + DAY)

    def instant(self, raw: object, unit: timedelta, example: object) -> datetime | None:
        """Read a time stamp.

        Args:
            raw: the number of units since 1970.
            unit: the unit, e.g. one millisecond.
            example: the whole row, for the log.

        Returns:
            The UTC instant; None where no price can have that time (the row is then set aside).
        """
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
        """Read the prices of a bar.

        Args:
            raw: open, high, low and close, in this order.
            ts: the open time of the bar.
            example: the whole row, for the log.

        Returns:
            Open, high, low, close; None where they are not a valid bar (the row is then set aside).
        """
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
        """Read a number of zero or more.

        Args:
            raw: the value as given.
            column: the column's name, for the log.
            ts: the instant of the row.

        Returns:
            The number; None where there is none, and where it is set aside.
        """
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
    """Combine the readings of several coins.

    Args:
        readings: the readings.

    Returns:
        What was set aside, and the surplus by reason.
    """
    records: list[SetAside] = []
    surplus: Counter[str] = Counter()
    for reading in readings:
        records += reading.log.records()
        surplus.update(reading.surplus)
    return tuple(sorted(records)), dict(sorted(surplus.items()))


def refuse_coarse(times: Iterable[datetime], what: str, advice: str) -> None:
    """Refuse bars of four hours or more, which would pass as hours with gaps.

    Args:
        times: the open times of the bars.
        what: the provider, route and coin, for error messages.
        advice: what to do, for error messages.

    Raises:
        SourceError: the bars are that coarse.
    """
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
        ended: the hour from which the source has no bars and will have none; the next source is asked from there. None
            where the pair has not ended.
        why: what the source answered, where it has no bars in the whole range.
        failed: why a later source could not be asked for the hours that an earlier one lacks; empty where none failed.
    """

    rows: list[tuple[Any, ...]]
    digests: list[str]
    ended: datetime | None = None
    why: str = ""
    failed: str = ""


@dataclass
class BarTable:
    """Bars by their open time, one per hour. An answer may give them in any order and more than once."""

    reading: Reading
    rows: dict[datetime, tuple[Any, ...]] = field(default_factory=dict)

    def add(self, bar: tuple[Any, ...], volume: int) -> None:
        """Keep a finished bar of the window; count every other bar.

        Of two different copies of one bar the one with more volume stays, then the one with the wider range. A bar only
        grows while it is made, so this is the later state, in whatever order the answer gives them.

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
        """Return the bars in order of time."""
        return [self.rows[ts] for ts in sorted(self.rows)]


def _grown(bar: tuple[Any, ...], volume: int) -> tuple[Any, ...]:
    plain = tuple(str(value) for value in bar[1:])
    return (-1.0 if bar[volume] is None else bar[volume], bar[2] - bar[3], plain)
