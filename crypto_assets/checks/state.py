"""The one definition of a table's state: which days are due, have rows or failed, and whether the table is fresh.

Checks, ``status``, the report, the service level, the metrics and the alerts read it here, so that they agree. Empty,
failed and not due are three different states, and none of them is "whole".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from crypto_assets.catalog import select
from crypto_assets.catalog.business_days import is_business_day
from crypto_assets.dagster_internals.known_states import KnownStates
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables import registry
from crypto_assets.tables.registry import CONTRACTS, REQUIRED_INPUTS, TABLES
from crypto_assets.tables.spec import BusinessDays, DaysWithRows

if TYPE_CHECKING:
    from dagster import DagsterInstance

KEPT_DAYS = 40  # a table without a row of the last 40 days is not kept up to date
REPLAY = "sandbox-replay"  # the start of ``source`` in recorded data that the sandbox replays
NEIGHBOURS = DAY * 2  # the rows of a day may become known later than those of the next day

FRESHNESS = registry.freshness()
# Table -> how far back rows can be obtained. Older days are due only from the first stored row on.
HISTORY: dict[str, timedelta | None] = {table: TABLES[table].history for table in FRESHNESS}
RECORDS = registry.records()
SNAPSHOTS = registry.snapshots()
BY_COIN = registry.each_coin()
_OF_PROVIDERS = registry.provider_tables()
# Derived tables that are due from their first row on, e.g. predictions: nothing says when a first model is there.
FROM_FIRST_ROW = tuple(name for name in REQUIRED_INPUTS if HISTORY.get(name) is not None)
# Snapshots of which a past day cannot be requested at all.
PRESENT_ONLY = tuple(n for n in SNAPSHOTS if n in registry.provider_tables() and n not in registry.settles_after())

# The states of the days of a range, and of freshness.
FAILED, EMPTY, GAPS, WHOLE, NOT_DUE, NOT_SHOWN = "failed", "empty", "gaps", "whole", "none due", "not shown"
FRESH, LATE, NOT_KEPT, NO_ROWS, RECORDED = "fresh", "late", "not kept up", "no rows", "recorded"


@dataclass(frozen=True)
class TableFreshness:
    """The freshness of a table at an instant. Rows whose ``available_at`` is later than the instant do not count.

    Attributes:
        table: The table.
        at: The instant, UTC.
        newest: The newest ``available_at``, UTC; None where no row is known yet.
        late_after: The limit of the table.
        recorded: Whether the rows are recorded data, which are never late.
        readable: Whether the table could be read.
    """

    table: str
    at: datetime
    newest: datetime | None
    late_after: timedelta
    recorded: bool = False
    readable: bool = True

    @property
    def due(self) -> bool:
        """Whether a row is due: of a table that is due from its first row on, only once it has one."""
        return self.newest is not None or self.table not in FROM_FIRST_ROW

    @property
    def age(self) -> timedelta | None:
        """The time since the newest row was known; None without one."""
        return None if self.newest is None else self.at - self.newest

    @property
    def kept_up(self) -> bool:
        """Whether the table has a row of the last 40 days."""
        return self.age is not None and self.age <= DAY * KEPT_DAYS

    @property
    def status(self) -> str:
        """One of fresh, late, not kept up, no rows, recorded, none due."""
        if self.newest is None or self.age is None:
            return NO_ROWS if self.due else NOT_DUE
        if self.recorded:
            return RECORDED
        if self.age <= self.late_after:
            return FRESH
        return LATE if self.kept_up else NOT_KEPT

    @property
    def fresh(self) -> bool | None:
        """Whether the table is fresh; None for recorded data, which is never late, and where no row is due."""
        return None if self.status in (RECORDED, NOT_DUE) else self.status == FRESH


def freshness_of(warehouse: Warehouse, table: str, now: datetime) -> TableFreshness:
    """Read the freshness of a table from its rows.

    Args:
        warehouse: The tables.
        table: A table with a freshness limit.
        now: The instant, UTC.

    Returns:
        The freshness at the instant.

    Raises:
        WarehouseError: The table cannot be read.
    """
    limit = FRESHNESS[table].late_after
    newest, sources = _newest_known(warehouse, table, now)
    if newest is None:
        return TableFreshness(table, now, None, limit)
    old = now - newest > DAY * KEPT_DAYS
    mark = "sandbox" if old else REPLAY  # old rows of the sandbox come from a demo
    return TableFreshness(table, now, newest, limit, recorded=any(source.startswith(mark) for source in sources))


def _newest_known(warehouse: Warehouse, table: str, now: datetime) -> tuple[datetime | None, frozenset[str]]:
    """Return the newest ``available_at`` up to ``now``, and the sources of the rows around it.

    An alert asks it of every table every few minutes, and nearly always nothing was written since. Where the newest
    commit and the folders of the days that were read are the same, and all rows were known then, the answer is too.
    """
    place, mark = (warehouse.uri, table), warehouse.commit_mark(table)
    kept = _NEWEST.get(place)
    if kept and mark and kept.at <= now and (kept.commit, kept.folders) == (mark, _folders(warehouse, table, kept.day)):
        return kept.newest, kept.sources
    written = sorted(warehouse.days_with_rows(table, date.min, now.date() + DAY), reverse=True)
    columns = ["available_at", *(["source"] if "source" in CONTRACTS[table].by_name else [])]
    for day in written:  # the newest day may only have rows that become known later; nearly always it is enough
        folders = _folders(warehouse, table, day)  # before the read: what vanishes meanwhile is noticed next time
        rows = warehouse.read(table, start=day - NEIGHBOURS, end=day, columns=columns)
        known = rows.filter(pl.col("available_at") <= now)
        newest = known["available_at"].max()
        if isinstance(newest, datetime):
            sources = (
                frozenset(known["source"].drop_nulls().unique().to_list()) if "source" in known.columns else frozenset()
            )
            if mark and day == written[0] and known.height == rows.height:
                _NEWEST[place] = _Newest(mark, folders, day, now, newest, sources)
            return newest, sources
    return None, frozenset()


def _folders(warehouse: Warehouse, table: str, day: date) -> tuple[tuple[int, int] | None, ...]:
    return tuple(warehouse.folder_mark(table, one) for one in days(day - NEIGHBOURS, day))


@dataclass(frozen=True)
class _Newest:
    commit: tuple[str, int, int]
    folders: tuple[tuple[int, int] | None, ...]
    day: date
    at: datetime
    newest: datetime
    sources: frozenset[str]


_NEWEST: dict[tuple[str, str], _Newest] = {}  # (warehouse, table) -> what was read last


def newest_in(warehouse: Warehouse, table: str, start: date, end: date, now: datetime) -> datetime | None:
    """Return the newest ``available_at`` of a range.

    Args:
        warehouse: The tables.
        table: The table.
        start: First day, included.
        end: Last day, included.
        now: The instant, UTC; rows that become known later do not count.

    Returns:
        The newest one; None where no row is known.

    Raises:
        WarehouseError: The table cannot be read.
    """
    for day in sorted(warehouse.days_with_rows(table, start, end), reverse=True):
        rows = warehouse.read(table, start=max(start, day - NEIGHBOURS), end=day, columns=["available_at"])
        newest = rows.filter(pl.col("available_at") <= now)["available_at"].max()
        if isinstance(newest, datetime):
            return newest
    return None


def closed_days(start: date, end: date, now: datetime) -> list[date]:
    """Return the days of start..end (both included) that are over at ``now``. The day in progress is not."""
    return days(start, min(end, now.date() - DAY))


def closed_partitions(table: str, start: date, end: date, now: datetime) -> list[date]:
    """Return the closed days of start..end on which a partition of the table begins: all, or the first of each month."""
    return [day for day in closed_days(start, end, now) if TABLES[table].cadence.has(day)]


def first_day(warehouse: Warehouse, table: str, now: datetime) -> date | None:
    """Return the first stored day with rows; None without any."""
    return min(warehouse.days_with_rows(table, date.min, now.date()), default=None)


def days_due(
    table: str, first: date | None, start: date, end: date, now: datetime, settings: Settings | None = None
) -> list[date]:
    """Return the closed days of start..end on which the table must have rows.

    Args:
        table: A table with days (a key of ``HISTORY``).
        first: Its first stored day with rows; None while it has none.
        start: First day of the range, included.
        end: Last day of the range, included.
        now: The instant, UTC.
        settings: The configured coins. If the provider lists none of them, no day is due. None: coins do not matter.

    Returns:
        All closed days; only those after a business day of a table that owes no others. For a provider that does not show the past:
        the days that it shows now, and those from the first row on. For a table that is due from its first row on, these.
        For a table of months: first days of months.
    """
    closed = closed_partitions(table, start, end, now)
    if settings is not None and not _listed(table, settings):
        return []
    expected = TABLES[table].expected
    if isinstance(expected, BusinessDays):
        closed = [day for day in closed if is_business_day(day - DAY)]
    if isinstance(expected, DaysWithRows):
        closed = [day for day in closed if midnight(day + DAY) + expected.after <= now]
    shown = HISTORY[table]
    if shown is None:
        return closed
    return [day for day in closed if midnight(day) >= now - shown or (first is not None and day >= first)]


def _listed(table: str, settings: Settings) -> bool:
    source = BY_COIN[table].identifier if table in BY_COIN else None
    return source is None or any(getattr(coin, source) for coin in select(settings.coins))


def failed_days(instance: DagsterInstance | KnownStates, table: str, start: date, end: date) -> list[date]:
    """Return the days of start..end (both included) whose newest finished run failed, in order."""
    if isinstance(instance, KnownStates):
        cadence = TABLES[table].cadence
        return sorted(day for day in instance.failed[table] if start <= day <= end and cadence.has(day))
    from crypto_assets.assets.partition_states import left_failed  # loads Dagster

    return sorted(left_failed(instance, table, start, end)) if start <= end else []


def materialized_days(instance: DagsterInstance | KnownStates, table: str, start: date, end: date) -> set[date]:
    """Return the days of start..end (both included) that are materialised, and neither failed nor run again since."""
    if isinstance(instance, KnownStates):
        known, cadence = instance.materialized[table] - instance.failed[table], TABLES[table].cadence
        return {day for day in known if start <= day <= end and cadence.has(day)}
    from crypto_assets.assets.partition_states import states_of  # loads Dagster

    return {day for day, found in states_of(instance, table, start, end).items() if found == "MATERIALIZED"}


@dataclass(frozen=True)
class TableState:
    """The state of the days of a range.

    Attributes:
        table: The table.
        closed: Days that are over.
        due: Closed days on which the table must have rows.
        with_rows: Due days with rows.
        rows: Rows of the whole range.
        failed: Failed days; None where Dagster was not asked.
    """

    table: str
    closed: list[date]
    due: list[date]
    with_rows: list[date]
    rows: int
    failed: list[date] | None = None

    @property
    def coverage(self) -> float | None:
        """Days with rows ÷ days due; None where none is due."""
        return len(self.with_rows) / len(self.due) if self.due else None

    @property
    def status(self) -> str:
        """One of failed, empty, gaps, whole, none due, not shown (by the provider)."""
        if self.failed:
            return FAILED
        if not self.due:
            shown = HISTORY[self.table] is None or self.table not in _OF_PROVIDERS
            return NOT_DUE if shown or not self.closed else NOT_SHOWN
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
    instance: DagsterInstance | KnownStates | None = None,
) -> TableState:
    """Determine the state of a range of days.

    Args:
        warehouse: The tables.
        settings: The configured coins.
        table: A table with days.
        start: First day, included.
        end: Last day, included.
        now: The instant, UTC.
        instance: Knows the failed days; None: they are not asked for.

    Returns:
        The state.

    Raises:
        WarehouseError: The table cannot be read.
    """
    stored = warehouse.days_with_rows(table, start, end)
    due = days_due(table, first_day(warehouse, table, now), start, end, now, settings)
    return TableState(
        table,
        closed_partitions(table, start, end, now),
        due,
        [day for day in due if day in stored],
        sum(stored.values()),
        None if instance is None else failed_days(instance, table, start, end),
    )
