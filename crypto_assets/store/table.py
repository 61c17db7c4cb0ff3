"""One table as a reader sees it: its rows now or as they were, its versions, its contract, a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from crypto_assets.errors import UsageError, WarehouseError
from crypto_assets.lazy import lazy
from crypto_assets.storage import versions
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.store.description import Description, describe
from crypto_assets.store.plot import Plot, line_plot
from crypto_assets.store.selection import Selection, select
from crypto_assets.store.times import AsOf, When, past_instant
from crypto_assets.tables.contract import Contract

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as arrow
else:
    arrow = lazy("pyarrow")


class Table:
    """A table of the warehouse. Get one by :meth:`Store.table`.

    Times are UTC. A span includes both ends, and a day counts whole. ``as_of`` is a version of the table, or an instant,
    which stands for the newest version that was committed then; so an answer can be had again after the table has changed.
    ``known_at`` keeps only rows whose ``available_at`` is not after it.

    Examples:
        >>> prices = ca.open().table("prices")
        >>> prices.read("2024-01-01", "2024-01-31", symbols=["BTC", "ETH"], columns=["price_usd"])
    """

    def __init__(self, warehouse: Warehouse, contract: Contract) -> None:
        self.contract = contract
        self._warehouse = warehouse

    @property
    def name(self) -> str:
        """The table's name; also its asset key."""
        return self.contract.table

    def read(
        self,
        start: When | None = None,
        end: When | None = None,
        symbols: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        as_of: AsOf | None = None,
        *,
        known_at: When | None = None,
    ) -> pl.DataFrame:
        """Read rows as a Polars frame.

        Args:
            start: the first day or instant of the key's time (UTC); None for the first row.
            end: the last day or instant, included; None for the last row.
            symbols: coins (catalogue symbols, or tickers of venues in these days); None for all.
            columns: columns; the key's are always there. None for all.
            as_of: a version of the table, or an instant; None for the newest version.
            known_at: only rows that were known at this instant; None for all.

        Returns:
            The rows, sorted by key, in the contract's types, units and column order; empty where there are none.

        Raises:
            UsageError: a name or a time makes no sense.
            WarehouseError: the table cannot be read, or does not have this version any more.
        """
        asked = select(self.contract, start, end, symbols, columns, known_at)
        return self._warehouse.collect(self.contract, self._plan(asked, as_of))

    def scan(
        self,
        start: When | None = None,
        end: When | None = None,
        symbols: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        as_of: AsOf | None = None,
        *,
        known_at: When | None = None,
    ) -> pl.LazyFrame:
        """Plan to read rows. Only the commit log is read until the frame is collected.

        Filters and selections of the frame reach the files: only the days, columns and row groups that they need are read.

        Args:
            start: as :meth:`read` has it.
            end: as :meth:`read` has it.
            symbols: as :meth:`read` has it.
            columns: as :meth:`read` has it.
            as_of: as :meth:`read` has it; None: the version that is the newest now.
            known_at: as :meth:`read` has it.

        Returns:
            The rows, in no order.

        Raises:
            UsageError: a name or a time makes no sense.
            WarehouseError: the commit log cannot be read, or does not have this version any more.
        """
        return self._plan(select(self.contract, start, end, symbols, columns, known_at), as_of)

    def pandas(
        self,
        start: When | None = None,
        end: When | None = None,
        symbols: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        as_of: AsOf | None = None,
        *,
        known_at: When | None = None,
    ) -> pd.DataFrame:
        """Read rows as a pandas frame; arguments, order and errors are those of :meth:`read`."""
        return self.read(start, end, symbols, columns, as_of, known_at=known_at).to_pandas()

    def arrow(
        self,
        start: When | None = None,
        end: When | None = None,
        symbols: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        as_of: AsOf | None = None,
        *,
        known_at: When | None = None,
    ) -> arrow.Table:
        """Read rows as an Arrow table; arguments, order and errors are those of :meth:`read`."""
        return self.read(start, end, symbols, columns, as_of, known_at=known_at).to_arrow()

    def versions(self) -> pl.DataFrame:
        """List the table's versions.

        Returns:
            version, committed_at (UTC); newest first; empty while the table does not exist.

        Raises:
            WarehouseError: the commit log cannot be read.
        """
        found = versions.commits(self._warehouse, self.name)
        return pl.DataFrame(
            {"version": list(found), "committed_at": list(found.values())},
            schema={"version": pl.Int64, "committed_at": pl.Datetime("us", "UTC")},
        )

    def describe(self) -> Description:
        """Return what a row is, when it is known, whether it is revised, and each column's unit and meaning."""
        return describe(self.contract)

    def plot(
        self,
        symbols: str | Sequence[str] | None = None,
        column: str | None = None,
        start: When | None = None,
        end: When | None = None,
        as_of: AsOf | None = None,
    ) -> Plot:
        """Draw a column over time, one line a coin (or entity, venue, theme: whatever the key has beside its time).

        Args:
            symbols: coins; None for the first ones.
            column: the column; None for the first number among the values.
            start: as :meth:`read` has it.
            end: as :meth:`read` has it.
            as_of: as :meth:`read` has it.

        Returns:
            The picture; a notebook shows it.

        Raises:
            UsageError: the column holds no numbers, or there are no rows.
            WarehouseError: the table cannot be read.
        """
        numbers = [name for name in self.contract.value_columns if self.contract.polars_schema[name].is_numeric()]
        chosen = column or next(iter(numbers), None)
        if chosen not in numbers:
            raise UsageError(
                f"column: {chosen} of {self.name} holds no numbers; draw one of {', '.join(numbers[:12]) or 'none'}"
            )
        time = self.contract.time_column or "date"
        return line_plot(self.contract, self.read(start, end, symbols, [time, chosen], as_of), chosen)

    def _plan(self, asked: Selection, as_of: AsOf | None) -> pl.LazyFrame:
        planned = self._warehouse.scan(
            self.contract,
            start=asked.first_day,
            end=asked.last_day,
            columns=asked.read,
            symbols=asked.symbols,
            version=None if as_of is None else self.version(as_of),
        )
        return asked.of(planned)

    def version(self, as_of: AsOf | None = None) -> int | None:
        """Find the version that an ``as_of`` means.

        Args:
            as_of: a version, or an instant; None for the newest.

        Returns:
            The version; None while the table does not exist.

        Raises:
            UsageError: the instant is in the future, or ``as_of`` is no version and no instant.
            WarehouseError: the table did not exist then, or its log does not have the version.
        """
        if as_of is None:
            return self._warehouse.version(self.name)
        if isinstance(as_of, int):
            versions.committed_at(self._warehouse, self.name, as_of)  # refuses an unknown one
            return as_of
        instant = past_instant(as_of, "as_of")
        found = versions.version_at(self._warehouse, self.name, instant)
        if found is None:
            raise WarehouseError(
                f"{self.name} did not exist at {instant:%Y-%m-%d %H:%M:%S} UTC in {self._warehouse.uri}; choose a later "
                "as_of, or fill the table with crypto-assets backfill"
            )
        return found

    def __repr__(self) -> str:
        return f"Table({self.name!r}: {self.contract.grain}, {len(self.contract.names)} columns)"

    def _repr_html_(self) -> str:
        return self.describe()._repr_html_()
