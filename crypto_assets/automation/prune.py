"""Pruning: what Dagster keeps of runs beyond the last days, as far as nothing rests on it.

What stays is found first, in temporary tables: the newest materialisation of each partition, the newest result of each
check, also of each day, the runs behind failed partitions, and what else ``dagster_internals/run_history.py`` names. The
rest goes page by page. Each page is a transaction of its own, so a tick waits for none, and a duty that is
killed or runs out of time has lost nothing: the next one finds the rest.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dagster import DagsterInstance

from crypto_assets.dagster_internals import run_history
from crypto_assets.errors import InstanceError, first_line
from crypto_assets.lazy import lazy

if TYPE_CHECKING:
    import psycopg2
    import psycopg2.errors
    from psycopg2.extensions import cursor as Cursor
else:
    psycopg2 = lazy("psycopg2")

LOCK = 0x63_61_70_72_75_6E  # of one duty at a time on a database
SECONDS = 900.0  # a duty's time; a database that was never pruned takes several days
# The table of a kind of rows -> its name in the report.
NAMES = {
    "runs": "runs",
    "event_logs": "events",
    "asset_check_executions": "check_results",
    "asset_event_tags": "event_tags",
    "bulk_actions": "backfills",
    "backfill_tags": "backfill_tags",
    "job_ticks": "ticks",
    "snapshots": "snapshots",
}


@dataclass
class Pruned:
    """What a duty freed.

    Attributes:
        rows: Kind of rows -> how many.
        bytes: Kind of rows -> bytes of their bodies, as stored.
        log_folders: Folders of what steps of freed runs printed.
        database_bytes: Size of the whole database afterwards.
        done: Whether nothing is left to free; else the next duty goes on.
    """

    rows: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    log_folders: int = 0
    database_bytes: int = 0
    done: bool = True

    def metadata(self) -> dict[str, int | float | bool]:
        """The numbers, flat, as metadata of a run."""
        numbers: dict[str, int | float | bool] = {f"{name}_freed": count for name, count in self.rows.items()}
        numbers |= {"bytes_freed": sum(self.bytes.values()), "log_folders_freed": self.log_folders}
        return {**numbers, "database_mb": round(self.database_bytes / 1e6, 1), "done": self.done}


def prune(
    instance: DagsterInstance,
    before: datetime,
    runs_before: datetime | None = None,
    results_before: datetime | None = None,
    *,
    rebuild: bool = False,
    seconds: float = SECONDS,
) -> Pruned | None:
    """Free what is older than an instant, except on what something rests.

    Args:
        instance: Has runs, events and ticks.
        before: Everything since then stays, UTC.
        runs_before: Runs since then stay, with their start and end, and failed ones whole; by default ``before``.
        results_before: The newest result of each check on each day stays if it was made since then; by default always.
        rebuild: Whether the indexes are built anew, while everybody goes on writing: what is kept lies far apart in them, so
            they keep pages that are nearly empty.
        seconds: How long it may take, up to the page, vacuum or index that it is in.

    Returns:
        What was freed; None where another duty is at it, or the history does not lie in one Postgres.

    Raises:
        InstanceError: Postgres cannot be reached or refuses to delete. What was freed until then stays freed.
    """
    url = run_history.history_url(instance)
    if url is None:
        return None
    ends = time.monotonic() + seconds
    runs, results = runs_before or before, results_before or datetime.min
    instant = {"before": _stored(before), "runs_before": _stored(min(runs, before)), "results_before": _stored(results)}
    with _alone(url) as cursor:
        if cursor is None:
            return None
        found = Pruned()
        for name, query in run_history.KEPT.items():
            cursor.execute(f"CREATE TEMPORARY TABLE {name} AS {query}", instant)
            cursor.execute(f"ANALYZE {name}")
        for kind in run_history.FREED:
            if kind.table == "snapshots":
                run_history.keep_parents(cursor)  # of the runs that are left
            _free(cursor, kind, instant, ends, found)
            if rebuild and time.monotonic() < ends:
                _rebuild(cursor, kind.table)
        _remove_logs(instance, cursor, before, found)
        cursor.execute("SELECT pg_database_size(current_database())")
        (found.database_bytes,) = cursor.fetchone() or (0,)
        return found


def _stored(moment: datetime) -> datetime:
    """As Dagster's tables have it: UTC without saying so."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment


@contextmanager
def _alone(url: str) -> Iterator[Cursor | None]:
    """A connection that commits each statement, as the only duty of this database; None where there is another."""
    try:
        connection = psycopg2.connect(url.replace("+psycopg2", "", 1))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))
                yield cursor if cursor.fetchone() == (True,) else None
                cursor.execute(
                    "SELECT pg_advisory_unlock_all()"
                )  # now: the server sees a closed connection a moment later
        finally:
            connection.close()  # after an error, and the lock with it
    except psycopg2.Error as error:
        raise InstanceError(
            f"old runs and events could not be deleted from Dagster's Postgres ({first_line(error)}); nothing that counts is "
            "lost; see that the server runs and takes writes; the next tidy_up goes on"
        ) from error


def _free(cursor: Cursor, kind: run_history.Freed, instant: dict[str, Any], ends: float, found: Pruned) -> None:
    """Delete rows of one kind, page by page, and give their space back to the table."""
    name, after, stop = NAMES[kind.table], 0, None
    found.rows[name] = found.bytes[name] = 0
    if kind.begins:
        cursor.execute(kind.begins, instant)
        stop = next(iter(cursor.fetchone() or ()), None)
    while True:
        if time.monotonic() > ends:
            found.done = False
            break
        cursor.execute(kind.last_of_page, {"after": after})
        (last,) = cursor.fetchone() or (None,)
        if last is None or (stop is not None and after >= stop):
            break
        cursor.execute(kind.statement, {**instant, "after": after, "last": last})
        rows, size = cursor.fetchone() or (0, 0)
        found.rows[name] += rows
        found.bytes[name] += int(size)
        after = last
    if found.rows[name]:
        cursor.execute(f"VACUUM (ANALYZE, SKIP_LOCKED) {kind.table}")  # so that the next events fill the space


def _rebuild(cursor: Cursor, table: str) -> None:
    """Build the indexes of a table anew without a lock that would hold anybody up. Where others hold it up, it is left."""
    cursor.execute(run_history.UNFINISHED_INDEXES, (table,))
    for (index,) in cursor.fetchall():  # of a duty that was killed
        cursor.execute(f'DROP INDEX IF EXISTS "{index}"')
    cursor.execute("SET lock_timeout = '30s'")
    with suppress(psycopg2.errors.LockNotAvailable):
        cursor.execute(f"REINDEX TABLE CONCURRENTLY {table}")
    cursor.execute("RESET lock_timeout")


def _remove_logs(instance: DagsterInstance, cursor: Cursor, before: datetime, found: Pruned) -> None:
    """Remove the folders of what steps printed, of runs that are gone. A young folder may be that of a run of elsewhere."""
    cursor.execute("SELECT run_id FROM runs")
    for folder in run_history.logs_of_gone_runs(instance, [run for (run,) in cursor.fetchall()]):
        if folder.stat().st_mtime < before.timestamp():
            shutil.rmtree(folder, ignore_errors=True)  # two duties, or a person
            found.log_folders += 1
