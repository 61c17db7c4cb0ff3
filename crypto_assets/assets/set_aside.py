"""Record observations that were set aside in the table ``set_aside``, after every fetch.

The rows are written while the tables that they belong to are materialised.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import polars as pl

from crypto_assets.catalog import by_symbol
from crypto_assets.dates import days
from crypto_assets.sources.fetched import Fetched
from crypto_assets.sources.screen import MARKET
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.registry import newest_only
from crypto_assets.tables.schemas import SET_ASIDE

NEWEST_ONLY = newest_only()
KEY = list(SET_ASIDE.key)


def record(
    warehouse: Warehouse, contract: Contract, fetched: Fetched, start: date, end: date, seen_at: datetime
) -> int:
    """Update the record of the run's days to what the fetch set aside.

    Records of a subject and day are replaced where the answer has rows of them: a corrected observation leaves the record.
    Records of days, coins and chains that the answer does not contain stay. The records of the day in progress stay too,
    because a tick requests only a part of it. Nothing is written where nothing has changed.

    Args:
        warehouse: The tables.
        contract: The table that was fetched.
        fetched: Its rows, including those that go to quarantine, and what was set aside.
        start: First day of the run, UTC.
        end: Last day of the run, included.
        seen_at: When the provider was asked, UTC; a record keeps the instant at which it was first seen.

    Returns:
        The number of observations set aside.

    Raises:
        WarehouseError: The record cannot be read or written.
    """
    stored = warehouse.read(SET_ASIDE, start=start, end=end).filter(pl.col("table_name") == contract.table)
    new = _rows(contract, fetched, start, end, seen_at)
    if (start, end) == (seen_at.date(), seen_at.date()) or contract.table in NEWEST_ONLY:
        known = stored.select(*KEY, before="count")
        new = new.join(known, on=KEY, how="left").with_columns(pl.max_horizontal("count", "before").alias("count"))
        new = new.drop("before")
    else:
        gone = _answered(contract, fetched, stored).join(new, on=KEY, how="anti")
        if gone.height:
            warehouse.forget(SET_ASIDE, gone.select(KEY))
    if new.height:
        warehouse.write(SET_ASIDE, new, days(start, end))
    return int(new["count"].sum())


def _rows(contract: Contract, fetched: Fetched, start: date, end: date, seen_at: datetime) -> pl.DataFrame:
    """Return the records as rows. A record of a day outside the run gets the nearest day of the run."""
    rows = [
        {
            "table_name": contract.table, "subject": one.subject, "date": min(max(one.day, start), end),
            "column_name": one.column, "reason": one.reason, "available_at": seen_at, "source": "platform",
            "count": one.count, "example": one.example,
        }
        for one in fetched.set_aside
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema={name: SET_ASIDE.polars_schema[name] for name in SET_ASIDE.names})
    return frame.group_by(KEY, maintain_order=True).agg(
        pl.col("available_at", "source").first(), pl.col("count").sum(), pl.col("example").first()
    )


def _answered(contract: Contract, fetched: Fetched, stored: pl.DataFrame) -> pl.DataFrame:
    """Return the stored records of the subjects and days that the answer contains.

    A subject that is neither a row's nor a coin (a provider, an unknown asset) is matched by its day.
    """
    if stored.is_empty():
        return stored
    given = set(_given(contract, fetched))
    given |= {(one.subject, one.day) for one in fetched.set_aside}
    given_days = {day for _, day in given}
    named = {subject for subject, _ in given} | set(fetched.failed) | set(fetched.missing) | set(by_symbol())
    heard = [
        (subject, day) in given or (subject not in named and day in given_days)
        for subject, day in stored.select("subject", "date").rows()
    ]
    return stored.filter(pl.Series(heard, dtype=pl.Boolean))


def _given(contract: Contract, fetched: Fetched) -> Iterable[tuple[str, date]]:
    name = contract.key[0]
    if contract.by_name[name].dtype != pl.String:
        return ((MARKET, day) for day in fetched.frame["date"])
    return zip(fetched.frame[name], fetched.frame["date"], strict=True)
