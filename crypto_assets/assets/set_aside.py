"""The record of what was set aside: table ``set_aside``, written whenever a source was asked.

Not an asset of its own run: rows get here while the tables that they are about are materialised.
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
    """Bring the record of these days up to what the fetch set aside; returns how many observations it names.

    A subject's day of which the provider gave rows now is recorded as it is now: what has healed leaves the record.
    Days, coins and chains that the answer does not hold keep theirs, since it says nothing about them; so does the day
    in progress, of which a fetch asks for a part. Nothing is written where nothing changed.

    Args:
        warehouse: where the table is.
        contract: the table that was fetched.
        fetched: its rows, before any of them is held back, and what was set aside.
        start: first day of the run (UTC).
        end: last day of the run.
        seen_at: when the provider was asked; a record keeps the instant at which it was first seen.

    Raises:
        WarehouseError: the record cannot be read or written.
    """
    stored = warehouse.read(SET_ASIDE, start=start, end=end).filter(pl.col("table_name") == contract.table)
    new = _rows(contract, fetched, start, end, seen_at)
    if (start, end) == (seen_at.date(), seen_at.date()) or contract.table in NEWEST_ONLY:
        known = stored.select(*KEY, before="count")
        new = new.join(known, on=KEY, how="left").with_columns(pl.max_horizontal("count", "before").alias("count"))
        new = new.drop("before")
    else:
        gone = _heard_of(contract, fetched, stored).join(new, on=KEY, how="anti")
        if gone.height:
            warehouse.forget(SET_ASIDE, gone.select(KEY))
    if new.height:
        warehouse.write(SET_ASIDE, new, days(start, end))
    return int(new["count"].sum())


def _rows(contract: Contract, fetched: Fetched, start: date, end: date, seen_at: datetime) -> pl.DataFrame:
    """The records as rows. What is about a day outside the run stands under the run's nearest day."""
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


def _heard_of(contract: Contract, fetched: Fetched, stored: pl.DataFrame) -> pl.DataFrame:
    """The stored records that this fetch speaks about: of subjects and days of which it gave rows or set aside something.

    What is recorded under another name than a row's (a provider, an asset that nobody asked for) goes with its day.
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
