"""Columns that many tables share, and a short form for value columns."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.tables.contract import TIMESTAMP, Column

DECISION_DELAY = timedelta(minutes=5)  # a features row labelled ts decides at ts + 5 minutes


def day() -> Column:
    """Return ``date``, the partition: the UTC day of the key's time."""
    return Column("date", pl.Date, "UTC day", "Partition: the UTC day of the key's time.", nullable=False)


def available_at(rule: str) -> Column:
    """Return ``available_at``, the UTC instant from which a row could be known; ``rule`` says when that is."""
    return Column(
        "available_at", TIMESTAMP, "UTC", f"Instant from which the row could be known: {rule}", nullable=False
    )


def source() -> Column:
    """Return ``source``, the name of the provider."""
    return Column(
        "source", pl.String, "name", "Provider of the row; starts with 'sandbox' for sandbox data.", nullable=False
    )


def key(name: str, description: str) -> Column:
    """Return a text column of the key; it is never null."""
    return Column(name, pl.String, "name", description, nullable=False)


def symbol(extra: str = "") -> Column:
    """Return ``symbol``, the coin's exact symbol in the catalogue; ``extra`` is added to its description."""
    return key("symbol", f"Coin of the catalogue, exact symbol{extra}.")


def ts(description: str) -> Column:
    """Return ``ts``, the UTC timestamp of the key; it is never null."""
    return Column("ts", TIMESTAMP, "UTC", description, nullable=False)


def value(name: str, unit: str, description: str, **more: object) -> Column:
    """Return a nullable Float64 column.

    Args:
        name: Its name.
        unit: Its unit, for example ``USD``.
        description: One sentence.
        **more: Other attributes of :class:`Column`, for example ``lower``.

    Returns:
        The column.
    """
    return Column(name, pl.Float64, unit, description, **more)  # type: ignore[arg-type]
