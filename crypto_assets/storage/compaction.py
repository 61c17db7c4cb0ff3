"""Maintain one table: join the files of a day, and remove files that no kept version needs.

Pinned versions stay readable.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from crypto_assets.errors import WarehouseError
from crypto_assets.storage import versions
from crypto_assets.storage.warehouse import Warehouse

LOG_RETENTION = "delta.logRetentionDuration"
JOINED_AT_ONCE = (
    100  # days of one commit: the more, the rarer the log is read, and the more is done again after a conflict
)
LOG_DAYS = 30  # Delta's default: a checkpoint removes commits older than this from the log


@dataclass(frozen=True)
class Tidied:
    """What was done to a table, and its state afterwards."""

    files: int
    bytes: int
    joined_days: int
    removed_files: int
    versions_kept: int


def tidy(warehouse: Warehouse, table: str, keep: timedelta, pinned: Collection[int]) -> Tidied | None:
    """Join the files of days that have several, then remove files that only versions older than ``keep`` need.

    If another writer commits first, the work is left for the next time.

    Args:
        warehouse: where the table is.
        table: the table's name.
        keep: versions younger than this stay readable.
        pinned: versions that keep their files and their place in the commit log.

    Returns:
        What was done; None where there is no table.

    Raises:
        WarehouseError: the table cannot be read or written.
    """
    snapshot = warehouse.for_writing(table)
    if snapshot is None:
        return None
    try:
        _keep_log(warehouse, snapshot, table, pinned)
        joined = _join(warehouse, snapshot, table)
        known = versions.commits(warehouse, table)
        current = warehouse.for_writing(table) or snapshot
        removed = current.vacuum(
            retention_hours=int(keep.total_seconds() // 3600),
            dry_run=False,
            enforce_retention_duration=False,
            keep_versions=sorted(set(pinned) & set(known)),
        )
    except (DeltaError, OSError) as error:
        raise WarehouseError(
            f"{table} in {warehouse.uri} cannot be tidied ({' '.join(str(error).split())[:160]}); its rows are whole; "
            "check CRYPTO_ASSETS_WAREHOUSE, its rights and its space"
        ) from error
    files = warehouse.files(table)
    return Tidied(files.height, int(files["bytes"].sum()), joined, len(removed), len(known))


def _join(warehouse: Warehouse, snapshot: DeltaTable, table: str) -> int:
    """Join the files of days that have several, and return those days.

    Our writers leave one file per day; other writers, and interrupted ones, may leave more. Many days are one commit,
    because each commit reads the whole list of files: a commit for each of a table's days would take days x days.
    """
    days = warehouse.files(table)["day"].value_counts()
    crowded = sorted(days.filter(days["count"] > 1)["day"])
    done = 0
    for begin in range(0, len(crowded), JOINED_AT_ONCE):
        part = crowded[begin : begin + JOINED_AT_ONCE]
        if _compacted(snapshot, part):
            done += len(part)
        else:  # which of the days it is that another writer is writing, each tells alone
            done += sum(_compacted(snapshot, [day]) for day in part)
    return done


def _compacted(snapshot: DeltaTable, days: Sequence[date]) -> bool:
    """Whether the files of each of these days could be joined; if another writer commits first, none is."""
    try:
        snapshot.optimize.compact(partition_filters=[("date", "in", [str(day) for day in days])])
    except CommitFailedError:
        snapshot.update_incremental()
        return False
    return True


def _keep_log(warehouse: Warehouse, snapshot: DeltaTable, table: str, pinned: Collection[int]) -> None:
    """Keep the commit log back to the oldest pinned version; without it that version could not be opened."""
    known = versions.commits(warehouse, table)
    oldest = min((known[version] for version in pinned if version in known), default=None)
    if oldest is None:
        return
    # The age counts from today and not from the newest commit, because the next commit may come much later.
    needed = LOG_DAYS + (datetime.now(timezone.utc) - oldest).days + LOG_DAYS
    said = snapshot.metadata().configuration.get(LOG_RETENTION, f"interval {LOG_DAYS} days").split()
    if said[1].isdigit() and int(said[1]) < needed - LOG_DAYS:
        snapshot.alter.set_table_properties({LOG_RETENTION: f"interval {needed} days"})
