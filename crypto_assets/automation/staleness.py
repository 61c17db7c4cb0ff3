"""Which materialised partitions of derived tables are older than the inputs that they use.

A derived partition uses several days of its inputs. If one of these days is written later (another order of backfills, a
second process, a late value), the derived partition is stale. It must be materialised again, because values must not
depend on the order of runs (rule "chunking does not show").
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import date

from dagster import AssetKey, AssetRecordsFilter, DagsterEventType, DagsterInstance, EventLogRecord, MetadataValue

from crypto_assets.dates import DAY, days
from crypto_assets.storage.io_manager import INPUTS_READ_AT
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import LOOK_BACK, TABLES, monthly
from crypto_assets.tables.spec import DerivedFrom

PAGE = 1000  # records a query
NAMED = (
    100  # partitions that a query names at most: a list of years takes longer to send than all partitions to receive
)


def last_affected_day(tables: Iterable[str], end: date, *, trainings: bool = False) -> date:
    """Find the last derived day that can change when these tables are written.

    Args:
        tables: The tables that are written.
        end: The last day that is written.
        trainings: Whether models are trained again too, which look back for years.

    Returns:
        The last day of any derived table whose look-back contains a written day.
    """
    reached = {table: end for table in tables}
    for derived, inputs in LOOK_BACK.items():
        if derived in monthly() and not trainings:
            continue
        ends = [reached[table] + DAY * back for table, back in inputs.items() if table in reached]
        if ends:
            reached[derived] = max([*ends, reached.get(derived, end)])
    return max(reached.values())


def stale_days(instance: DagsterInstance, warehouse: Warehouse, table: str, start: date, end: date) -> list[date]:
    """Find the stale days of a derived table.

    Args:
        instance: Has the materialisations.
        warehouse: The tables.
        table: The derived table.
        start: First day, UTC, included.
        end: Last day, included.

    Returns:
        The days whose inputs were read before an input in their window was written, in order.

    Raises:
        WarehouseError: An input cannot be read.
    """
    read_at = inputs_read_at(instance, table, start, end)
    if not read_at:
        return []
    found: set[date] = set()
    rows = TABLES[table].rows_from
    assert isinstance(rows, DerivedFrom)
    for name, back in rows.inputs.items():
        written = warehouse.written_at(name, start - DAY * back, end)
        ordered = sorted(written)
        for day, moment in read_at.items():
            first, last = rows.window(name, day)
            low, high = bisect_right(ordered, first - DAY), bisect_right(ordered, last)
            if any(written[other] > moment for other in ordered[low:high]):
                found.add(day)
    return sorted(found)


def newest_records(instance: DagsterInstance, table: str, start: date, end: date) -> dict[date, EventLogRecord]:
    """Read the newest materialisation of each day, however often a day was materialised.

    Args:
        instance: Has the materialisations.
        table: The table.
        start: First day, UTC, included.
        end: Last day, included.

    Returns:
        Day -> the record.
    """
    keys = {day.isoformat() for day in days(start, end)}
    kind, named = DagsterEventType.ASSET_MATERIALIZATION, keys if len(keys) <= NAMED else None
    newest = instance.get_latest_storage_id_by_partition(AssetKey(table), kind, named)
    numbers = sorted(number for key, number in newest.items() if key in keys)
    found: dict[date, EventLogRecord] = {}
    for first in range(0, len(numbers), PAGE):
        wanted = AssetRecordsFilter(AssetKey(table), storage_ids=numbers[first : first + PAGE])
        for record in instance.fetch_materializations(wanted, limit=PAGE).records:
            if record.partition_key is not None:
                found[date.fromisoformat(record.partition_key)] = record
    return found


def newest_metadata(
    instance: DagsterInstance, table: str, start: date, end: date
) -> dict[date, Mapping[str, MetadataValue]]:
    """Return day -> metadata of its newest materialisation, for start..end (both included)."""
    return {
        day: materialization.metadata
        for day, record in newest_records(instance, table, start, end).items()
        if (materialization := record.asset_materialization) is not None
    }


def inputs_read_at(instance: DagsterInstance, table: str, start: date, end: date) -> dict[date, float]:
    """Return day -> epoch seconds at which its newest materialisation began to read inputs; 0 where it is unknown."""
    return {
        day: float(str(note.value)) if (note := metadata.get(INPUTS_READ_AT)) is not None else 0.0
        for day, metadata in newest_metadata(instance, table, start, end).items()
    }
