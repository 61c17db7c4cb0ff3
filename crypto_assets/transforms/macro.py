"""Macro series as they stood: combined series, and the reading that is in force at each instant.

A reading is made of the values that were in force at its instant: of each observation the newest vintage that was known
then. So a base year that changes and a whole re-estimation are vintages like others, and never mix.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, NamedTuple

import polars as pl

from crypto_assets.catalog.business_days import published
from crypto_assets.catalog.macro import BY_NAME, SERIES, MacroSeries
from crypto_assets.tables.macro import MACRO_INDICATORS, MACRO_SERIES
from crypto_assets.tables.pit_quality import BACKFILLED, PIT_QUALITY

SPANS = (1, 5, 20)  # observations
WINDOW = 20  # observations of the z-score
_KEPT = WINDOW + 1


class _Value(NamedTuple):
    """A value as it was published."""

    observed: date
    vintage: date
    known: datetime
    value: float | None
    source: str
    quality: str


@dataclass
class _State:
    """The values of a series in force at an instant, and its newest release."""

    series: MacroSeries
    values: dict[date, _Value] = field(default_factory=dict)  # by the period of the observation
    released: _Value | None = None
    surprise: float | None = None

    def publish(self, given: Sequence[_Value]) -> None:
        """Take over what was published at one instant."""
        before, newest = dict(self.values), self._newest()
        for one in given:
            period = self.series.frequency.period(one.observed)
            if one.value is None:
                self.values.pop(period, None)
            else:
                self.values[period] = one
        now = self._newest()
        if now is None or (newest is not None and now == newest):
            return
        self.released = self.values[now[0]]
        if newest is not None:
            self.surprise = self._surprise(before, newest, now)

    def _newest(self) -> tuple[date, float] | None:
        period = max(self.values, default=None)
        value = None if period is None else self.values[period].value
        return None if period is None or value is None else (period, value)

    def _surprise(
        self, before: Mapping[date, _Value], last: tuple[date, float], now: tuple[date, float]
    ) -> float | None:
        if not self.series.relative:
            return now[1] - last[1]
        both = [(before[p].value, one.value) for p, one in self.values.items() if p in before and p != now[0]]
        ratios = [new / old for old, new in both if old and new is not None]
        restated = statistics.median(ratios) if ratios else 1.0
        return _ratio(now[1], last[1] * restated)

    def reading(self, at: datetime) -> dict[str, Any] | None:
        """Return the reading in force at an instant; None where no value is in force, or the newest serves no longer."""
        released = self.released
        if released is None or self._newest() is None or at - released.known > self.series.frequency.serves:
            return None
        newest = [self.values[p].value for p in sorted(self.values)[-_KEPT:]]
        levels = [value for value in newest if value is not None]
        change = _ratio if self.series.relative else _difference
        changes = {f"change_{n}": change(levels[-1], levels[-1 - n]) if len(levels) > n else None for n in SPANS}
        return {
            "series": self.series.name, "ts": at, "date": at.date(), "available_at": at, "source": released.source,
            "observation_date": released.observed, "released_at": released.known, "level": levels[-1], **changes,
            "zscore_20": _zscore(levels[-WINDOW:]), "surprise": self.surprise, PIT_QUALITY: released.quality,
        }  # fmt: skip


def _difference(now: float, then: float) -> float:
    return now - then


def _ratio(now: float, then: float) -> float | None:
    return now / then - 1.0 if then else None


def _zscore(levels: Sequence[float]) -> float | None:
    if len(levels) < WINDOW:
        return None
    spread = statistics.stdev(levels)
    return (levels[-1] - statistics.fmean(levels)) / spread if spread > 0 else None


def with_combined(vintages: pl.DataFrame) -> pl.DataFrame:
    """Add the combined series, e.g. net liquidity, to the rows of the others.

    A value of a combined series is published whenever one of its parts is, where it changes then. Its vintage is the UTC
    day on which it is known: parts of one day of publication may be known on two. Its observations are those of its first
    part; of another part the newest observation up to that day counts.

    Args:
        vintages: rows of ``macro_series``, each part as far back as its observations reach.

    Returns:
        The rows, and those of the combined series.
    """
    given = _by_series(vintages)
    rows = [row for series in SERIES if series.parts for row in _combined(series, given)]
    made = pl.DataFrame(rows, schema=MACRO_SERIES.polars_schema)
    # Parts may be published at several hours of a day: the last value is that day's vintage.
    made = made.sort("available_at").unique(list(MACRO_SERIES.key), keep="last", maintain_order=True)
    return pl.concat([vintages.select(MACRO_SERIES.names), made])


def _combined(series: MacroSeries, given: Mapping[str, list[_Value]]) -> Iterator[dict[str, Any]]:
    states = {name: _State(BY_NAME[name]) for _, name in series.parts}
    events = sorted((one.known, name, one) for _, name in series.parts for one in given.get(name, ()))
    stood: dict[date, float | None] = {}
    changed: set[date] = set()
    for n, (known, name, one) in enumerate(events):
        states[name].publish([one])
        changed.add(one.observed)
        if n + 1 < len(events) and events[n + 1][0] == known:
            continue
        about, changed = changed, set()
        for observed, parts in _complete(series, states, about):
            value = math.fsum(
                factor * (part.value or 0.0) for (factor, _), part in zip(series.parts, parts, strict=True)
            )
            if stood.get(observed) == value:
                continue
            stood[observed] = value
            worst = max(parts, key=lambda part: part.quality == BACKFILLED)
            yield {
                "series": series.name, "observation_date": observed, "vintage_date": known.date(), "date": known.date(),
                "available_at": known, PIT_QUALITY: worst.quality, "source": worst.source, "value": value, "unit": series.unit,
            }  # fmt: skip


def _complete(
    series: MacroSeries, states: Mapping[str, _State], changed: set[date]
) -> Iterator[tuple[date, list[_Value]]]:
    """The observations of the first part for which each other part has a value, not older than it may serve.

    Those that none of the changed observations can belong to are left out.
    """
    first, *others = (states[name].values for _, name in series.parts)
    for observed, value in first.items():
        if not any(timedelta() <= observed - day <= series.frequency.serves for day in changed):
            continue
        parts = [value]
        for other in others:
            period = max((p for p in other if p <= observed), default=None)
            if period is None or observed - period > series.frequency.serves:
                break
            parts.append(other[period])
        else:
            yield observed, parts


def indicators(
    vintages: pl.DataFrame, releases: Mapping[int, Sequence[date]], start: date, end: date, now: datetime
) -> pl.DataFrame:
    """Compute the readings of the days ``start``..``end``.

    Args:
        vintages: rows of ``macro_series`` with the combined series, as far back as readings look.
        releases: number of a release -> its dates in the publisher's calendar.
        start: the first UTC day.
        end: the last UTC day, included.
        now: readings that would begin later are left out.

    Returns:
        Rows of contract ``macro_indicators``: one for the beginning of each day, and one for each publication in it.
    """
    rows: list[dict[str, Any]] = []
    first = datetime.combine(start, time(), timezone.utc)
    given = _by_series(vintages.filter(pl.col(PIT_QUALITY) != BACKFILLED))
    for name, values in given.items():
        state, done = _State(BY_NAME[name]), 0
        ordered = sorted(values, key=lambda one: one.known)
        dates = releases.get(BY_NAME[name].release or 0, ())
        calendar = [published(day, BY_NAME[name].published) for day in dates]
        instants = {first + timedelta(days=n) for n in range((end - start).days + 1)}
        instants |= {one.known for one in ordered if start <= one.known.date() <= end}
        for at in sorted(at for at in instants if at <= now):
            done = _advance(state, ordered, done, at)
            if (row := state.reading(at)) is not None:
                rows.append({**row, "next_release_at": next((next_ for next_ in calendar if next_ > at), None)})
    return MACRO_INDICATORS.conform(pl.DataFrame(rows, schema=MACRO_INDICATORS.polars_schema))


def _advance(state: _State, ordered: Sequence[_Value], done: int, at: datetime) -> int:
    """Publish what was known by an instant, instant by instant; returns how many values are done."""
    while done < len(ordered) and ordered[done].known <= at:
        until = done
        while until < len(ordered) and ordered[until].known == ordered[done].known:
            until += 1
        state.publish(ordered[done:until])
        done = until
    return done


def _by_series(vintages: pl.DataFrame) -> dict[str, list[_Value]]:
    found: dict[str, list[_Value]] = {}
    names = ["series", "observation_date", "vintage_date", "available_at", "value", "source", PIT_QUALITY]
    for name, observed, vintage, known, value, source, quality in vintages.select(names).iter_rows():
        one = _Value(observed, vintage, known.astimezone(timezone.utc), value, source, quality)
        found.setdefault(name, []).append(one)
    return found
