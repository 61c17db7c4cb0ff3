"""Which rows and columns of a table a reader wants, checked against the table's contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from crypto_assets.catalog.listings import resolve
from crypto_assets.dates import midnight
from crypto_assets.errors import UsageError, suggestion
from crypto_assets.store.times import When, first_instant, last_instant
from crypto_assets.tables.contract import TIMESTAMP, Contract
from crypto_assets.tables.schemas import ML_FEATURES
from crypto_assets.tables.worst_quality import MARKET


@dataclass(frozen=True)
class Selection:
    """A checked request for rows of one table.

    Attributes:
        contract: the table.
        start: the first instant of the key's time, UTC; None for no bound.
        end: the last instant, included; None for no bound.
        symbols: the coins; None for all.
        columns: the columns, in table order: the key, then those asked for.
        known_at: only rows whose ``available_at`` is not after it; None for all.
    """

    contract: Contract
    start: datetime | None
    end: datetime | None
    symbols: tuple[str, ...] | None
    columns: tuple[str, ...]
    known_at: datetime | None = None

    @property
    def first_day(self) -> date | None:
        """The first partition that can have rows of it."""
        return None if self.start is None else self.start.date()

    @property
    def last_day(self) -> date | None:
        """The last partition that can have rows of it."""
        return None if self.end is None else self.end.date()

    @property
    def read(self) -> list[str]:
        """The columns to read: those to return, and those that its conditions look at."""
        return list(dict.fromkeys([*self.columns, self.contract.time_column or "date", "available_at"]))

    def of(
        self, rows: pl.LazyFrame, columns: Sequence[str] | None = None, days: tuple[date, date] | None = None
    ) -> pl.LazyFrame:
        """Keep the rows and columns of the selection.

        Args:
            rows: rows of the table, with the columns of :attr:`read`.
            columns: the columns to keep; None for those of the selection.
            days: the first and the last day that rows can be of; None where that is not known. A bound that leaves these days
                whole is not held against each row.

        Returns:
            The rows that meet every condition.
        """
        name = self.contract.time_column
        time = pl.col("date").cast(TIMESTAMP) if name is None else pl.col(name)
        if self.start is not None and (days is None or midnight(days[0]) < self.start):
            rows = rows.filter(time >= self.start)
        if self.end is not None and (days is None or last_instant(days[1], "end") > self.end):
            rows = rows.filter(time <= self.end)
        if self.known_at is not None:
            rows = rows.filter(pl.col("available_at") <= self.known_at)
        return rows.select(self.columns if columns is None else columns)


def select(
    contract: Contract,
    start: When | None = None,
    end: When | None = None,
    symbols: str | Sequence[str] | None = None,
    columns: str | Sequence[str] | None = None,
    known_at: When | None = None,
) -> Selection:
    """Check what a reader wants of a table.

    Args:
        contract: the table.
        start: the first day or instant; None for no bound.
        end: the last day or instant, included; a day counts whole. None for no bound.
        symbols: coins, or tickers of venues in these days; None for all.
        columns: columns; the key is always among them. None for all.
        known_at: only rows that were known at this instant; None for all.

    Returns:
        The selection.

    Raises:
        UsageError: a name or a time makes no sense for the table.
    """
    first = None if start is None else first_instant(start, "start")
    last = None if end is None else last_instant(end, "end")
    if first is not None and last is not None and first > last:
        raise UsageError(f"start ({first:%Y-%m-%d %H:%M}) is after end ({last:%Y-%m-%d %H:%M}); swap them")
    return Selection(
        contract,
        first,
        last,
        _symbols(contract, symbols, first, last),
        _columns(contract, columns),
        None if known_at is None else first_instant(known_at, "known_at"),
    )


def _symbols(
    contract: Contract, symbols: str | Sequence[str] | None, first: datetime | None, last: datetime | None
) -> tuple[str, ...] | None:
    if symbols is None:
        return None
    if "symbol" not in contract.by_name:
        raise UsageError(
            f"symbols: a row of {contract.table} is {contract.grain}, not one of a coin; leave symbols out"
        )
    names = names_of(symbols)
    market = (MARKET,) if MARKET in names else ()  # rows about the whole market; it is no coin of the catalogue
    days = [None if one is None else one.date() for one in (first, last)]
    return market + resolve([name for name in names if name != MARKET], "symbols", *days)


def _columns(contract: Contract, columns: str | Sequence[str] | None) -> tuple[str, ...]:
    if columns is None:
        return tuple(contract.names)
    wanted = names_of(columns)
    if unknown := [name for name in wanted if name not in contract.by_name]:
        raise UsageError(
            f"columns: {', '.join(unknown)} not in {contract.table}{suggestion(unknown, contract.names)}; "
            f"it has {', '.join(contract.names[:12])}{', …' if len(contract.names) > 12 else ''}"
        )
    return tuple(name for name in contract.names if name in contract.key or name in wanted)


def feature_columns(columns: str | Sequence[str] | None) -> list[str]:
    """Check names of features.

    Args:
        columns: features, or columns of the key; None for all features.

    Returns:
        The columns, in table order: the key, then the features.

    Raises:
        UsageError: a name is neither.
    """
    wanted = ML_FEATURES.value_columns if columns is None else names_of(columns)
    known = [*ML_FEATURES.key, *ML_FEATURES.value_columns]
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(
            f"columns: {', '.join(unknown)} not among the features{suggestion(unknown, known)}; "
            f"store.table({ML_FEATURES.table!r}).describe() lists them"
        )
    return [name for name in known if name in ML_FEATURES.key or name in wanted]


def names_of(given: str | Sequence[str]) -> list[str]:
    """Return the names in a sequence, or in a text with commas between them."""
    parts = given.split(",") if isinstance(given, str) else given
    return [str(part).strip() for part in parts if str(part).strip()]
