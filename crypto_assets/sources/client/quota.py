"""The quota store: it reserves calls, counts the calls of a month, and records how calls ended.

With a Postgres (Dagster's own) all processes that share a key share the quota, and the counts survive a kill. Without
one, the store belongs to this process. Calls are reserved before they are made, so that two processes cannot both take
the last one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.client.limits import Limit
from crypto_assets.storage.shared_state import SharedState

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor


class BudgetError(SourceError):
    """The month's budget is used up; the call was not made."""


@dataclass
class CallStats:
    """Counts of the calls to one endpoint in one hour. ``bytes`` is the size of the answers as downloaded."""

    calls: int = 0
    premium_calls: int = 0
    retries: int = 0
    rate_limited: int = 0
    errors: int = 0
    bytes: int = 0


COUNTS = tuple(field.name for field in fields(CallStats))
Entries: TypeAlias = Mapping[tuple[str, str, datetime], CallStats]  # provider, endpoint, hour


class QuotaStore(Protocol):
    """The interface of a quota store. A bucket is one provider, plan and key (see ``limits.Limit``)."""

    def reserve(self, limit: Limit, count: int) -> list[float]:
        """Reserve up to ``count`` calls under a limit.

        Args:
            limit: the limit and its bucket.
            count: how many calls; fewer are reserved where the month's budget ends.

        Returns:
            For each reserved call, the seconds from now until it may start.

        Raises:
            BudgetError: the month's budget is used up.
        """

    def postpone(self, limit: Limit, seconds: float) -> None:
        """Let no call of the limit start before ``seconds`` from now, because the provider asked for a pause."""

    def give_back(self, limit: Limit, count: int) -> None:
        """Return ``count`` reserved calls that were not made to the month's budget."""

    def record(self, entries: Entries) -> None:
        """Add the counts of calls that were made."""

    def used(self, bucket: str) -> int:
        """Return the number of calls reserved in the current UTC month."""

    def calls(self, start: date, end: date) -> list[tuple[Any, ...]]:
        """Return (provider, endpoint, hour, counts…) of the UTC days ``start``..``end``.

        The counts are those of ``COUNTS``, in its order.
        """


def this_month() -> str:
    """Return the current UTC month as ``YYYY-MM``."""
    return datetime.now(timezone.utc).strftime("%Y-%m")


def refuse(limit: Limit, used: int) -> BudgetError:
    """Build the error for a budget that is used up.

    Args:
        limit: the limit, whose budget is not None.
        used: the calls of this month.

    Returns:
        The error, to be raised; it says when the budget is renewed.
    """
    now = datetime.now(timezone.utc)
    renewed = date(now.year + now.month // 12, now.month % 12 + 1, 1)
    provider = limit.bucket.split(":")[0]
    return BudgetError(
        f"{provider}'s budget of {limit.budget:,} calls a month is used up ({used:,} made); no call was made and nothing "
        f"was written; wait until {renewed}, or raise API_BUDGETS or the plan"
    )


class LocalQuotaStore:
    """The quota store of one process, in memory; the methods are those of :class:`QuotaStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free_at: dict[str, float] = {}
        self._used: dict[tuple[str, str], int] = {}
        self.entries: dict[tuple[str, str, datetime], CallStats] = {}

    def reserve(self, limit: Limit, count: int) -> list[float]:
        """Reserve up to ``count`` calls. Returns seconds until each may start. Raises :class:`BudgetError`."""
        with self._lock:
            key = (limit.bucket, this_month())
            used = self._used.get(key, 0)
            if limit.budget is not None and used + count > limit.budget:
                if used >= limit.budget:
                    raise refuse(limit, used)
                count = limit.budget - used
            now = time.monotonic()
            first = max(self._free_at.get(limit.bucket, 0.0), now)
            self._free_at[limit.bucket] = first + count * limit.interval
            self._used[key] = used + count
            return [first - now + n * limit.interval for n in range(count)]

    def postpone(self, limit: Limit, seconds: float) -> None:
        """Let no call of the limit start before ``seconds`` from now."""
        with self._lock:
            until = time.monotonic() + seconds
            self._free_at[limit.bucket] = max(self._free_at.get(limit.bucket, 0.0), until)

    def give_back(self, limit: Limit, count: int) -> None:
        """Return ``count`` reserved calls that were not made."""
        with self._lock:
            key = (limit.bucket, this_month())
            self._used[key] = max(0, self._used.get(key, 0) - count)

    def record(self, entries: Entries) -> None:
        """Add the counts of calls that were made."""
        with self._lock:
            for key, stats in entries.items():
                into = self.entries.setdefault(key, CallStats())
                for name in COUNTS:
                    setattr(into, name, getattr(into, name) + getattr(stats, name))

    def used(self, bucket: str) -> int:
        """Return the number of calls reserved in the current UTC month."""
        return self._used.get((bucket, this_month()), 0)

    def calls(self, start: date, end: date) -> list[tuple[Any, ...]]:
        """Return (provider, endpoint, hour, counts…) of the UTC days ``start``..``end``."""
        return [
            (*key, *(getattr(stats, name) for name in COUNTS))
            for key, stats in sorted(self.entries.items())
            if start <= key[2].date() <= end
        ]


_SCHEMA = f"""
CREATE SCHEMA IF NOT EXISTS crypto_assets;
CREATE TABLE IF NOT EXISTS crypto_assets.pace (bucket text PRIMARY KEY, free_at double precision NOT NULL);
CREATE TABLE IF NOT EXISTS crypto_assets.budget (
    bucket text, month text, used bigint NOT NULL, PRIMARY KEY (bucket, month));
CREATE TABLE IF NOT EXISTS crypto_assets.calls (
    provider text, endpoint text, ts timestamptz, {", ".join(f"{name} bigint NOT NULL" for name in COUNTS)},
    PRIMARY KEY (provider, endpoint, ts));
"""
_NOW = "extract(epoch FROM clock_timestamp())"
_MONTH = "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM')"
_RESERVE = f"""
INSERT INTO crypto_assets.pace AS p SELECT %(bucket)s, {_NOW} + %(span)s
ON CONFLICT (bucket) DO UPDATE SET free_at = greatest(p.free_at, {_NOW}) + %(span)s
RETURNING free_at - %(span)s - {_NOW}
"""
_POSTPONE = f"""
INSERT INTO crypto_assets.pace AS p SELECT %(bucket)s, {_NOW} + %(seconds)s
ON CONFLICT (bucket) DO UPDATE SET free_at = greatest(p.free_at, excluded.free_at)
"""
_GIVE_BACK = f"UPDATE crypto_assets.budget SET used = greatest(0, used - %s) WHERE bucket = %s AND month = {_MONTH}"
_USED = "SELECT used FROM crypto_assets.budget WHERE bucket = %s AND month = %s"
_USED_NOW = f"SELECT used FROM crypto_assets.budget WHERE bucket = %s AND month = {_MONTH}"
_RECORD = f"""
INSERT INTO crypto_assets.calls AS c (provider, endpoint, ts, {", ".join(COUNTS)}) VALUES %s
ON CONFLICT (provider, endpoint, ts) DO UPDATE SET {", ".join(f"{name} = c.{name} + excluded.{name}" for name in COUNTS)}
"""
_CALLS = f"""
SELECT provider, endpoint, ts, {", ".join(COUNTS)} FROM crypto_assets.calls WHERE ts >= %s AND ts < %s ORDER BY 1, 2, 3
"""


class PostgresQuotaStore(SharedState):
    """The quota store that all processes on one Postgres share; the methods are those of :class:`QuotaStore`.

    Times are the server's, so that the clocks of the processes need not agree. Every method raises
    :class:`InstanceError` when the server stays away.
    """

    what, schema, lock = "the quota store", _SCHEMA, 0x63_61_62_6F_6F_6B

    def reserve(self, limit: Limit, count: int) -> list[float]:
        """Reserve up to ``count`` calls. Returns seconds until each may start. Raises :class:`BudgetError`."""
        return self._transaction(lambda cursor: _reserve(cursor, limit, count))

    def postpone(self, limit: Limit, seconds: float) -> None:
        """Let no call of the limit start before ``seconds`` from now."""
        self._transaction(lambda cursor: cursor.execute(_POSTPONE, {"bucket": limit.bucket, "seconds": seconds}))

    def give_back(self, limit: Limit, count: int) -> None:
        """Return ``count`` reserved calls that were not made."""
        self._transaction(lambda cursor: cursor.execute(_GIVE_BACK, (count, limit.bucket)))

    def record(self, entries: Entries) -> None:
        """Add the counts of calls that were made."""
        rows = [(*key, *(getattr(stats, name) for name in COUNTS)) for key, stats in sorted(entries.items())]
        from psycopg2.extras import execute_values

        self._transaction(lambda cursor: execute_values(cursor, _RECORD, rows))

    def used(self, bucket: str) -> int:
        """Return the number of calls reserved in the current UTC month."""
        rows = self._ask(_USED_NOW, (bucket,))
        return int(str(rows[0][0])) if rows else 0

    def calls(self, start: date, end: date) -> list[tuple[Any, ...]]:
        """Return (provider, endpoint, hour, counts…) of the UTC days ``start``..``end``."""
        midnight = [
            datetime.combine(day, datetime.min.time(), timezone.utc) for day in (start, end + timedelta(days=1))
        ]
        return self._ask(_CALLS, tuple(midnight))


def _reserve(cursor: Cursor, limit: Limit, count: int) -> list[float]:
    cursor.execute(f"SELECT {_MONTH}")
    (month,) = cursor.fetchone() or (this_month(),)
    cursor.execute("INSERT INTO crypto_assets.budget VALUES (%s, %s, 0) ON CONFLICT DO NOTHING", (limit.bucket, month))
    cursor.execute(f"{_USED} FOR UPDATE", (limit.bucket, month))  # other processes wait here
    (used,) = cursor.fetchone() or (0,)
    if limit.budget is not None and used + count > limit.budget:
        if used >= limit.budget:
            raise refuse(limit, used)
        count = limit.budget - used
    cursor.execute(
        "UPDATE crypto_assets.budget SET used = used + %s WHERE bucket = %s AND month = %s",
        (count, limit.bucket, month),
    )
    cursor.execute(_RESERVE, {"bucket": limit.bucket, "span": count * limit.interval})
    (wait,) = cursor.fetchone() or (0.0,)
    return [float(wait) + n * limit.interval for n in range(count)]


_LOCAL = LocalQuotaStore()
_SHARED: dict[str, PostgresQuotaStore] = {}


def quota_store_of(settings: Settings) -> QuotaStore:
    """Open the quota store of this platform: Dagster's Postgres, which all its processes share.

    Args:
        settings: the address of the Postgres.

    Returns:
        The store; without a Postgres, the one of this process.
    """
    return open_quota_store(settings.postgres_url.get_secret_value() if settings.postgres_url else None)


def open_quota_store(url: str | None) -> QuotaStore:
    """Open the quota store on a Postgres, or the one of this process.

    Args:
        url: the address of the Postgres; None for this process's own store.

    Returns:
        The store; one connection per process and address.
    """
    if url is None:
        return _LOCAL
    return _SHARED.setdefault(url, PostgresQuotaStore(url))
