"""What a table already has of the day in progress, so that a tick requests only what is missing.

A run over other days does not use this module: a backfill requests all of its days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

import dagster as dg
import pandas as pd

from crypto_assets.assets import shell
from crypto_assets.catalog import Coin
from crypto_assets.sources.coingecko_today import marks
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.schemas import QUARANTINE

GONE_HOURS = "gone_hours"  # metadata: hours by coin that the provider was asked for and does not have
HOUR = timedelta(hours=1)

Hours = Mapping[str, Iterable[datetime]]


def covers_only_today(context: dg.AssetExecutionContext, now: datetime) -> bool:
    """Return whether the run covers the day in progress and no other day."""
    return shell.days_of(context) == (now.date(), now.date())


def known_hours(
    context: dg.AssetExecutionContext, warehouse: Warehouse, contract: Contract, day: date
) -> dict[str, set[datetime]]:
    """Find the hours for which no request is needed: stored, held in quarantine, or not available.

    Args:
        context: The run.
        warehouse: The tables.
        contract: The table.
        day: The day, UTC.

    Returns:
        Symbol -> hour marks, UTC.

    Raises:
        WarehouseError: A table cannot be read.
    """
    found: dict[str, set[datetime]] = {}
    held = warehouse.read(QUARANTINE, start=day, end=day, columns=["table_name", "symbol", "ts"])
    for symbol, ts in warehouse.read(contract, start=day, end=day, columns=["symbol", "ts"]).rows():
        found.setdefault(symbol, set()).add(ts)
    for table, symbol, ts in held.rows():
        if table == contract.table:
            found.setdefault(symbol, set()).add(ts)
    for symbol, hours in _gone(context, contract.table, day).items():
        found.setdefault(symbol, set()).update(hours)
    return found


def coins_lacking_bars(
    coins: Sequence[Coin], stored: Mapping[str, set[datetime]], day: date, now: datetime
) -> list[Coin]:
    """Find the coins that lack a finished bar of the day.

    Args:
        coins: The coins.
        stored: Symbol -> opens of the bars that need no request.
        day: The day, UTC.
        now: The instant, UTC.

    Returns:
        The coins to request.
    """
    due = set(marks(day, now - HOUR))
    return [coin for coin in coins if due - stored.get(coin.symbol, set())]


def unavailable_bars(
    coins: Iterable[Coin], frame: pd.DataFrame, failed: Mapping[str, str], day: date, now: datetime
) -> Hours:
    """Find the finished bars that the venue does not have: it does not list the coin, or nothing was traded.

    Args:
        coins: The coins that were requested.
        frame: The bars of the answer.
        failed: Coins whose request failed; nothing is known about them.
        day: The day, UTC.
        now: The instant, UTC.

    Returns:
        Symbol -> opens of the bars.
    """
    due = set(marks(day, now - HOUR - timedelta(minutes=5)))  # a bar may come some seconds after its close
    given: dict[str, set[datetime]] = {}
    for symbol, ts in zip(frame["symbol"], frame["ts"], strict=True):
        given.setdefault(symbol, set()).add(ts)
    asked = [coin.symbol for coin in coins if coin.symbol not in failed]
    return {symbol: sorted(left) for symbol in asked if (left := due - given.get(symbol, set()))}


def record_unavailable(context: dg.AssetExecutionContext, table: str, day: date, gone: Hours) -> None:
    """Record the unavailable hours of this and earlier ticks in the metadata of the materialisation."""
    known = {symbol: set(hours) for symbol, hours in _gone(context, table, day).items()}
    for symbol, hours in gone.items():
        known.setdefault(symbol, set()).update(hours)
    listed = {symbol: sorted(ts.isoformat() for ts in hours) for symbol, hours in sorted(known.items())}
    context.add_output_metadata({GONE_HOURS: dg.MetadataValue.json(listed)})


def snapshot_is_stored(warehouse: Warehouse, contract: Contract, now: datetime) -> bool:
    """Return whether the snapshot of this hour (or day, by the grain) is stored. Only the first one of each is kept."""
    rows = warehouse.read(contract, start=now.date(), end=now.date(), columns=[contract.time_column or "date"])
    if contract.time_column is None:
        return not rows.is_empty()
    return now.replace(minute=0, second=0, microsecond=0) in set(rows[contract.time_column])


def _gone(context: dg.AssetExecutionContext, table: str, day: date) -> dict[str, list[datetime]]:
    records = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(table), asset_partitions=[day.isoformat()]), limit=1
    ).records
    newest = records[0].asset_materialization if records else None
    note = newest.metadata.get(GONE_HOURS) if newest is not None else None
    listed = note.value if note is not None and isinstance(note.value, dict) else {}
    return {str(symbol): [datetime.fromisoformat(str(ts)) for ts in hours] for symbol, hours in listed.items()}
