"""The columns that many tables share, said once."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.tables.contract import TIMESTAMP, Column

DECISION_DELAY = timedelta(minutes=5)  # a features row labelled ts decides at ts + 5 minutes


def day() -> Column:
    return Column("date", pl.Date, "UTC day", "Partition: the UTC day of the key's time.", nullable=False)


def available_at(rule: str) -> Column:
    return Column(
        "available_at", TIMESTAMP, "UTC", f"Instant from which the row could be known: {rule}", nullable=False
    )


def source() -> Column:
    return Column(
        "source", pl.String, "name", "Provider of the row; starts with 'sandbox' for sandbox data.", nullable=False
    )


def key(name: str, description: str) -> Column:
    return Column(name, pl.String, "name", description, nullable=False)


def symbol(extra: str = "") -> Column:
    return key("symbol", f"Coin of the catalogue, exact symbol{extra}.")


def ts(description: str) -> Column:
    return Column("ts", TIMESTAMP, "UTC", description, nullable=False)


def value(name: str, unit: str, description: str, **more: object) -> Column:
    return Column(name, pl.Float64, unit, description, **more)  # type: ignore[arg-type]
