"""Which version of a table was the newest at an instant, by the times in the commit log.

These times are part of the table, so a copied warehouse gives the same answer. :meth:`Warehouse.read` reads the rows of
a version.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from deltalake.exceptions import DeltaError

from crypto_assets.errors import WarehouseError
from crypto_assets.storage.warehouse import Warehouse

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def commits(warehouse: Warehouse, table: str) -> dict[int, datetime]:
    """List the commits of a table.

    Args:
        warehouse: where the table is.
        table: the table's name.

    Returns:
        Version -> UTC instant of its commit, newest first, as far back as the log is kept; empty while there is no
        table.

    Raises:
        WarehouseError: the table cannot be read.
    """
    snapshot = warehouse.snapshot(table)
    if snapshot is None:
        return {}
    try:
        log = snapshot.history()
    except (DeltaError, OSError) as error:
        raise WarehouseError(
            f"the commit log of {table} in {warehouse.uri} cannot be read ({' '.join(str(error).split())[:160]}); "
            "check CRYPTO_ASSETS_WAREHOUSE and its rights"
        ) from error
    return {entry["version"]: _EPOCH + timedelta(milliseconds=entry["timestamp"]) for entry in log}


def committed_at(warehouse: Warehouse, table: str, version: int) -> datetime:
    """Find when a version was committed.

    Args:
        warehouse: where the table is.
        table: the table's name.
        version: the version.

    Returns:
        The UTC instant.

    Raises:
        WarehouseError: the log does not have the version.
    """
    known = commits(warehouse, table)
    if version not in known:
        there = f"it has {min(known)} to {max(known)}" if known else "the table does not exist"
        raise WarehouseError(
            f"{table} has no version {version} ({there}); choose one of them, or an instant, for --as-of"
        )
    return known[version]


def version_at(warehouse: Warehouse, table: str, instant: datetime) -> int | None:
    """Find the newest version that was committed at or before an instant.

    Args:
        warehouse: where the table is.
        table: the table's name.
        instant: the UTC instant.

    Returns:
        The version; None where the table did not exist yet.

    Raises:
        WarehouseError: the log no longer reaches back to the instant.
    """
    known = commits(warehouse, table)
    before = [version for version, moment in known.items() if moment <= instant]
    if before:
        return max(before)
    if known and min(known) > 0:
        raise WarehouseError(
            f"the commit log of {table} begins at {min(known.values()):%Y-%m-%d %H:%M:%S} UTC, after "
            f"{instant:%Y-%m-%d %H:%M:%S}; older versions are not kept; choose a later instant for --as-of"
        )
    return None
