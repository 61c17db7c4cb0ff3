"""How a table stands: which days are due, which have rows, which failed, and whether it is fresh. The one definition.

Checks, ``status``, the report, the service level, the metrics and the alerts all read it here, so that none of them calls
well what another calls late or empty. Empty, failed and not due are three words, and none of them is "whole".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl
from dagster import DagsterInstance

from crypto_assets.assets.partition_states import left_failed
from crypto_assets.catalog import select
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables import registry
from crypto_assets.tables.registry import CONTRACTS, TABLES

KEPT_DAYS = 40  # a table without any row of the last 40 days is history, not kept up to date
REPLAY = "sandbox-replay"  # the sandbox's mark on recorded data
NEIGHBOURS = DAY * 2  # a day's rows may become known later than those of the day after it

FRESHNESS = registry.freshness()
# Table -> how far back its rows can be had. Days before that are due from the table's first row on.
HISTORY: dict[str, timedelta | None] = {table: TABLES[table].history for table in FRESHNESS}
RECORDS = registry.records()
SNAPSHOTS = registry.snapshots()
BY_COIN = registry.each_coin()
# Of the snapshots, those of which a day that is over cannot be asked for at all.
PRESENT_ONLY = tuple(name for name in SNAPSHOTS if name not in registry.settles_after())

# The words for the days of a range, and for freshness.
FAILED, EMPTY, GAPS, WHOLE, NOT_DUE, NOT_SHOWN = "failed", "empty", "gaps", "whole", "none due", "not shown"
FRESH, LATE, NOT_KEPT, NO_ROWS, RECORDED = "fresh", "late", "not kept up", "no rows", "recorded"


@dataclass(frozen=True)
class Freshness:
    """The newest row of a table at an instant. ``newest`` is its ``available_at``; None where no row is known yet.

    A row that claims to become known after ``at`` is not known: it makes nothing fresh.
    """

    table: str
    at: datetime
    newest: datetime | None
    late_after: timedelta
    recorded: bool = False
    readable: bool = True

    @property
    def age(self) -> timedelta | None:
        return None if self.newest is None else self.at - self.newest

    @property
    def kept_up(self) -> bool:
        """Does anybody fill the table? It has a row of the last 40 days."""
        return self.age is not None and self.age <= DAY * KEPT_DAYS

    @property
    def word(self) -> str:
        if self.newest is None or self.age is None:
            return NO_ROWS
        if self.recorded:
            return RECORDED
        if self.age <= self.late_after:
            return FRESH
        return LATE if self.kept_up else NOT_KEPT

    @property
    def fresh(self) -> bool | None:
        """None: recorded data is not late, whatever its age."""
        return None if self.word == RECORDED else self.word == FRESH


def freshness_of(warehouse: Warehouse, table: str, now: datetime) -> Freshness:
    """The table's freshness at ``now`` (UTC), from its rows. Raises :class:`WarehouseError`."""
    limit = FRESHNESS[table].late_after
    newest, sources = _newest_known(warehouse, table, now)
    if newest is None:
        return Freshness(table, now, None, limit)
    old = now - newest > DAY * KEPT_DAYS
    mark = "sandbox" if old else REPLAY  # the sandbox's own rows of long ago were a demonstration
    return Freshness(table, now, newest, limit, recorded=bool(sources.str.starts_with(mark).any()))


def _newest_known(warehouse: Warehouse, table: str, now: datetime) -> tuple[datetime | None, pl.Series]:
    """The newest ``available_at`` up to ``now``, and the sources of the rows beside it."""
    written = sorted(warehouse.days_with_rows(table, date.min, now.date() + DAY), reverse=True)
    columns = ["available_at", *(["source"] if "source" in CONTRACTS[table].by_name else [])]
    for day in written:  # the newest days may hold only what becomes known later; the first is nearly always enough
        rows = warehouse.read(table, start=day - NEIGHBOURS, end=day, columns=columns)
        known = rows.filter(pl.col("available_at") <= now)
        newest = known["available_at"].max()
        if isinstance(newest, datetime):
            return newest, known["source"] if "source" in known.columns else pl.Series([], dtype=pl.String)
    return None, pl.Series([], dtype=pl.String)


def newest_in(warehouse: Warehouse, table: str, start: date, end: date, now: datetime) -> datetime | None:
    """The newest ``available_at`` of the range's rows that are known by ``now``."""
    for day in sorted(warehouse.days_with_rows(table, start, end), reverse=True):
        rows = warehouse.read(table, start=max(start, day - NEIGHBOURS), end=day, columns=["available_at"])
        newest = rows.filter(pl.col("available_at") <= now)["available_at"].max()
        if isinstance(newest, datetime):
            return newest
    return None


def closed_days(start: date, end: date, now: datetime) -> list[date]:
    """The days of start..end that are over: the day in progress is not due."""
    return days(start, min(end, now.date() - DAY))


def first_day(warehouse: Warehouse, table: str, now: datetime) -> date | None:
    """The first day with rows, of all that are stored."""
    return min(warehouse.days_with_rows(table, date.min, now.date()), default=None)


def days_due(
    table: str, first: date | None, start: date, end: date, now: datetime, settings: Settings | None = None
) -> list[date]:
    """The closed days of start..end on which the table is to have rows.

    Args:
        table: A table with days (a key of ``HISTORY``).
        first: Its first day with rows, of all that are stored; None while it has none.
        start: First day of the range, included.
        end: Last day of the range, included.
        now: The instant of the look, UTC.
        settings: Whose coins are looked at: a table of coins that its provider lists none of is not due.

    Returns:
        All closed days; of a table whose provider does not show its past, those that it shows now and those from the
        first row on.
    """
    closed = closed_days(start, end, now)
    if settings is not None and not _listed(table, settings):
        return []
    shown = HISTORY[table]
    if shown is None:
        return closed
    return [day for day in closed if midnight(day) >= now - shown or (first is not None and day >= first)]


def _listed(table: str, settings: Settings) -> bool:
    source = BY_COIN[table].identifier if table in BY_COIN else None
    return source is None or any(getattr(coin, source) for coin in select(settings.coins))


def failed_days(instance: DagsterInstance, table: str, start: date, end: date) -> list[date]:
    """Days of start..end whose newest run that ended failed, in order, the day in progress with them."""
    return sorted(left_failed(instance, table, start, end)) if start <= end else []


@dataclass(frozen=True)
class TableState:
    """The days of a range. ``failed`` is None where Dagster was not asked."""

    table: str
    closed: list[date]
    due: list[date]
    with_rows: list[date]  # of those due
    rows: int  # of the whole range
    failed: list[date] | None = None

    @property
    def coverage(self) -> float | None:
        """Days with rows ÷ days due; None where none is due."""
        return len(self.with_rows) / len(self.due) if self.due else None

    @property
    def word(self) -> str:
        """failed, empty, gaps, whole, none due, or not shown (by the provider)."""
        if self.failed:
            return FAILED
        if not self.due:
            return NOT_SHOWN if self.closed and HISTORY[self.table] is not None else NOT_DUE
        if not self.with_rows:
            return EMPTY
        return GAPS if len(self.with_rows) < len(self.due) else WHOLE


def state_of(
    warehouse: Warehouse,
    settings: Settings,
    table: str,
    start: date,
    end: date,
    now: datetime,
    instance: DagsterInstance | None = None,
) -> TableState:
    """How the days of start..end (both included) stand at ``now`` (UTC). Raises :class:`WarehouseError`."""
    stored = warehouse.days_with_rows(table, start, end)
    due = days_due(table, first_day(warehouse, table, now), start, end, now, settings)
    return TableState(
        table,
        closed_days(start, end, now),
        due,
        [day for day in due if day in stored],
        sum(stored.values()),
        None if instance is None else failed_days(instance, table, start, end),
    )
