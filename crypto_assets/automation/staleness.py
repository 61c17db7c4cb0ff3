"""Which materialised partitions of derived tables are older than the inputs they rest on.

A derived partition looks back over days of its inputs. When one of those days is written later (another order of
backfill, a second process on the neighbouring range, a late value), the derived partition is stale and must be
materialised again, else the order of runs would show in the values (chunking does not show).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import date

from dagster import AssetKey, AssetRecordsFilter, DagsterEventType, DagsterInstance, EventLogRecord, MetadataValue

from crypto_assets.dates import DAY, days
from crypto_assets.storage.io_manager import INPUTS_READ_AT
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import LOOK_BACK

PAGE = 1000  # records a query


def horizon(tables: Iterable[str], end: date) -> date:
    """The last day that new rows of these tables up to ``end`` can reach, through every derived table."""
    reached = {table: end for table in tables}
    for derived, inputs in LOOK_BACK.items():
        ends = [reached[table] + DAY * reach for table, reach in inputs.items() if table in reached]
        if ends:
            reached[derived] = max([*ends, reached.get(derived, end)])
    return max(reached.values())


def stale_days(instance: DagsterInstance, warehouse: Warehouse, table: str, start: date, end: date) -> list[date]:
    """Days of start..end whose materialisation of this derived table began before an input in its window was written."""
    read_at = inputs_read_at(instance, table, start, end)
    if not read_at:
        return []
    found: set[date] = set()
    for name, reach in LOOK_BACK[table].items():
        written = warehouse.written_at(name, start - DAY * reach, end)
        ordered = sorted(written)
        for day, moment in read_at.items():
            low, high = bisect_right(ordered, day - DAY * (reach + 1)), bisect_right(ordered, day)
            if any(written[other] > moment for other in ordered[low:high]):
                found.add(day)
    return sorted(found)


def newest_records(instance: DagsterInstance, table: str, start: date, end: date) -> dict[date, EventLogRecord]:
    """Day -> the record of its newest materialisation; a day that was filled every 15 minutes costs no more than another."""
    keys = {day.isoformat() for day in days(start, end)}
    kind = DagsterEventType.ASSET_MATERIALIZATION
    numbers = sorted(instance.get_latest_storage_id_by_partition(AssetKey(table), kind, keys).values())
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
    """Day -> metadata of its newest materialisation."""
    return {
        day: materialization.metadata
        for day, record in newest_records(instance, table, start, end).items()
        if (materialization := record.asset_materialization) is not None
    }


def inputs_read_at(instance: DagsterInstance, table: str, start: date, end: date) -> dict[date, float]:
    """Day -> epoch seconds at which its newest materialisation began to read its inputs."""
    return {
        day: float(str(note.value)) if (note := metadata.get(INPUTS_READ_AT)) is not None else 0.0
        for day, metadata in newest_metadata(instance, table, start, end).items()
    }
