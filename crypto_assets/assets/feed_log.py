"""Which feeds earlier runs have read for a day. An article that a later run finds in such a feed was not listed before.

Every materialisation of ``news_articles`` records the feeds that answered. Records older than the table do not count, so
that a table that is filled again after it was moved away starts without them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Set
from datetime import date

import dagster as dg

from crypto_assets.dates import days
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract

FEEDS_READ = "feeds_read"  # metadata of a materialisation: the feeds that it and earlier ones of its day have read
_PAGE = 1000


def feeds_metadata(feeds: Iterable[str]) -> dg.MetadataValue:  # type: ignore[type-arg]
    """Build the metadata that a materialisation records under ``FEEDS_READ``."""
    return dg.MetadataValue.json(sorted(set(feeds)))


def feeds_read_before(
    instance: dg.DagsterInstance, warehouse: Warehouse, contract: Contract, start: date, end: date
) -> dict[date, Set[str]]:
    """Find the feeds that earlier runs have read.

    Args:
        instance: Has the materialisations.
        warehouse: The tables.
        contract: The contract of ``news_articles``.
        start: First day, UTC, included.
        end: Last day, included.

    Returns:
        Day -> feeds that a run has read for it, or whose articles are stored on it.

    Raises:
        WarehouseError: The table cannot be read.
    """
    found: dict[date, set[str]] = defaultdict(set)
    snapshot = warehouse.snapshot(contract.table)
    if snapshot is None:
        return {}
    stored = warehouse.read(contract, start=start, end=end, columns=["date", "feed"]).unique()
    for day, feed in stored.select("date", "feed").rows():
        found[day].add(feed)
    created = (snapshot.metadata().created_time or 0) / 1000
    keys = [day.isoformat() for day in days(start, end)]
    cursor = None
    while True:
        wanted = dg.AssetRecordsFilter(dg.AssetKey(contract.table), asset_partitions=keys, after_timestamp=created)
        page = instance.fetch_materializations(wanted, limit=_PAGE, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            if event is not None and event.partition is not None and FEEDS_READ in event.metadata:
                found[date.fromisoformat(event.partition)].update(_names(event.metadata[FEEDS_READ].value))
        if not page.has_more:
            return dict(found)
        cursor = page.cursor


def _names(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []
