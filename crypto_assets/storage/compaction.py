"""One table made tidy: a day's files joined, files that no kept version needs removed. Pinned versions stay readable."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from crypto_assets.errors import WarehouseError
from crypto_assets.storage import versions
from crypto_assets.storage.warehouse import Warehouse

LOG_RETENTION = "delta.logRetentionDuration"
LOG_DAYS = 30  # Delta's own default: the commit log is cut behind it when a checkpoint is written


@dataclass(frozen=True)
class Tidied:
    """What was done to a table, and what is there now."""

    files: int
    bytes: int
    joined_days: int
    removed_files: int
    versions_kept: int


def tidy(warehouse: Warehouse, table: str, keep: timedelta, pinned: Collection[int]) -> Tidied | None:
    """Join the files of days that have several, then remove what only versions older than ``keep`` need.

    Versions in ``pinned`` keep their files and their place in the commit log. Returns None where there is no table.
    A commit that another writer's overtakes is left for the next time. Raises :class:`WarehouseError`.
    """
    snapshot = warehouse.snapshot(table)
    if snapshot is None:
        return None
    try:
        _keep_log(warehouse, snapshot, table, pinned)
        joined = _join(warehouse, snapshot, table)
        known = versions.commits(warehouse, table)
        current = warehouse.snapshot(table) or snapshot
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
    """Days of which several files became one. Writers leave one a day; others, and interrupted ones, may not."""
    days = warehouse.files(table)["day"].value_counts()
    crowded = days.filter(days["count"] > 1)["day"].to_list()
    done = 0
    for day in crowded:
        try:
            snapshot.optimize.compact(partition_filters=[("date", "=", str(day))])
            done += 1
        except CommitFailedError:  # the day is being written: it is not at rest
            snapshot.update_incremental()
    return done


def _keep_log(warehouse: Warehouse, snapshot: DeltaTable, table: str, pinned: Collection[int]) -> None:
    """The commit log must reach back to the oldest pinned version, else it could not be found again."""
    known = versions.commits(warehouse, table)
    oldest = min((known[version] for version in pinned if version in known), default=None)
    if oldest is None:
        return
    # Of its age today, not at the newest commit: a table at rest is written again one day.
    needed = LOG_DAYS + (datetime.now(timezone.utc) - oldest).days + LOG_DAYS
    said = snapshot.metadata().configuration.get(LOG_RETENTION, f"interval {LOG_DAYS} days").split()
    if said[1].isdigit() and int(said[1]) < needed - LOG_DAYS:
        snapshot.alter.set_table_properties({LOG_RETENTION: f"interval {needed} days"})
