"""Which feeds earlier fetches read for a day: from there on, what turns up was not listed before.

Every materialisation of ``news_articles`` notes the feeds that answered. Notes older than the table do not count: a
table that was moved away and is filled again starts afresh.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Set
from datetime import date

import dagster as dg

from crypto_assets.dates import days
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract

FEEDS_READ = "feeds_read"  # metadata of a materialisation: the feeds whose answer it holds
_PAGE = 1000


def feeds_metadata(feeds: Iterable[str]) -> dg.MetadataValue:  # type: ignore[type-arg]
    """What a materialisation notes under ``FEEDS_READ``."""
    return dg.MetadataValue.json(sorted(set(feeds)))


def feeds_read_before(
    instance: dg.DagsterInstance, warehouse: Warehouse, contract: Contract, start: date, end: date
) -> dict[date, Set[str]]:
    """Day -> feeds whose list was read for it by an earlier run, or of which it holds articles."""
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
