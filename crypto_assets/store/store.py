"""The store: every table of one warehouse, for notebooks and programs. :func:`crypto_assets.open` opens it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from html import escape
from pathlib import Path

import polars as pl

from crypto_assets.dates import DAY
from crypto_assets.errors import UsageError, WarehouseError, suggestion
from crypto_assets.settings import Settings, place
from crypto_assets.storage import pins
from crypto_assets.storage.snapshot import SnapshotWarehouse, warehouse_at
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.store.catalogue import catalogue
from crypto_assets.store.historical import MAX_AGE, historical_features
from crypto_assets.store.selection import feature_columns, names_of
from crypto_assets.store.table import Table
from crypto_assets.store.times import AsOf, When, first_instant, past_instant
from crypto_assets.tables.contract import Contract, Frame
from crypto_assets.tables.schemas import CONTRACTS, ML_FEATURES, SIGNALS

LATEST_WITHIN = DAY * 7  # before the newest day of the table; a coin that is silent for longer has no current row


class Store:
    """Every table of one warehouse.

    Attributes:
        warehouse: the folder or ``s3://`` address of the tables.

    Examples:
        >>> store = ca.open()
        >>> store.catalog()
        >>> store.table("prices").read("2024-01-01", "2024-01-31", symbols="BTC")
        >>> store.historical_features(trades, columns=["rsi_14", "mvrv_ratio"])
    """

    def __init__(self, settings: Settings, warehouse: str) -> None:
        self.warehouse = warehouse
        self._settings = settings
        self._tables = Warehouse(warehouse)

    @property
    def tables(self) -> list[str]:
        """The names of all tables."""
        return list(CONTRACTS)

    def table(self, name: str) -> Table:
        """Return a table.

        Args:
            name: its name, e.g. ``prices``.

        Returns:
            The table; it has no rows while nothing was stored.

        Raises:
            UsageError: there is no such table.
        """
        if name not in CONTRACTS:
            raise UsageError(f"there is no table {name!r}{suggestion([name], CONTRACTS)}; store.tables lists them")
        return Table(self._tables, CONTRACTS[name])

    def catalog(self) -> pl.DataFrame:
        """List the tables, with what they hold now.

        Returns:
            One row a table, with table, group, grain, rows, first_day, last_day, coverage (days with rows ÷ days due; null
            where none is due), newest (``available_at``, UTC), fresh (null for recorded data, and where freshness does not
            apply), fresh_within, pit_quality (the kinds that a row can have), units, version, description.

        Raises:
            WarehouseError: a table cannot be read.
        """
        return catalogue(SnapshotWarehouse(self.warehouse), self._settings, datetime.now(timezone.utc))

    def features(
        self,
        columns: str | Sequence[str] | None = None,
        symbols: str | Sequence[str] | None = None,
        start: When | None = None,
        end: When | None = None,
        as_of: AsOf | None = None,
    ) -> pl.DataFrame:
        """Read features, a row a coin and hour.

        Args:
            columns: features; None for all.
            symbols: coins, or tickers of venues in these days; None for all.
            start: the first day or instant (UTC); None for the first row.
            end: the last day or instant, included; None for the last row.
            as_of: a version of ``ml_features``, or an instant; None for the newest version.

        Returns:
            symbol, ts and the features, sorted by symbol and ts. Each value was known at ``ts`` + 5 minutes.

        Raises:
            UsageError: a name or a time makes no sense.
            WarehouseError: the table cannot be read.
        """
        return self.table(ML_FEATURES.table).read(start, end, symbols, feature_columns(columns), as_of)

    def historical_features(
        self,
        entities: Frame,
        columns: str | Sequence[str] | None = None,
        *,
        as_of: AsOf | None = None,
        max_age: timedelta = MAX_AGE,
    ) -> pl.DataFrame:
        """Join features to entities, each as it was known at the entity's own instant (point-in-time).

        Args:
            entities: a Polars or pandas frame with ``symbol`` and ``ts`` (any instant; UTC where it has no time zone), and
                further columns.
            columns: features; None for all.
            as_of: a version of ``ml_features``, or an instant; None for the newest version.
            max_age: the longest time from the row's ``available_at`` to the instant; by default what the checks call fresh.

        Returns:
            The entities in their order, with the features, ``feature_ts`` and ``feature_available_at`` of the row that
            answers; null where no row does.

        Raises:
            UsageError: the entities lack a column or a value, or name no coin; a feature does not exist.
            WarehouseError: the table cannot be read.
        """
        wanted = [name for name in feature_columns(columns) if name not in ML_FEATURES.key]
        version = None if as_of is None else self.table(ML_FEATURES.table).version(as_of)
        return historical_features(self._tables, entities, wanted, version=version, max_age=max_age)

    def latest(
        self, symbols: str | Sequence[str] | None = None, columns: str | Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Return the newest features row of each coin, from the files.

        Args:
            symbols: coins; None for all.
            columns: features; None for all.

        Returns:
            symbol, ts, available_at (UTC) and the features, sorted by symbol. A coin without a row of the last week of the
            table is not there.

        Raises:
            UsageError: a coin or a feature does not exist.
            WarehouseError: the table cannot be read.
        """
        return self._newest(ML_FEATURES, symbols, [*ML_FEATURES.key, "available_at", *feature_columns(columns)])

    def signals(self, symbols: str | Sequence[str] | None = None) -> pl.DataFrame:
        """Return the newest signal of each coin, from the files.

        Args:
            symbols: coins; None for all.

        Returns:
            The columns of ``signals``, sorted by symbol, with the target weight in [-1, 1], the model, why. Empty while no
            model is trained.

        Raises:
            UsageError: a coin does not exist.
            WarehouseError: the table cannot be read.
        """
        return self._newest(SIGNALS, symbols, SIGNALS.names)

    def _newest(self, contract: Contract, symbols: str | Sequence[str] | None, names: Sequence[str]) -> pl.DataFrame:
        stored = self._tables.days_with_rows(contract.table, date.min, date.max)
        newest = max(stored, default=date.min)
        first = newest - LATEST_WITHIN if stored else newest
        rows = self.table(contract.table).read(first, newest, symbols, names)
        kept = list(dict.fromkeys(names))
        return rows.group_by("symbol").agg(pl.all().sort_by("ts").last()).sort("symbol").select(kept)

    def dataset(
        self,
        start: When,
        end: When,
        *,
        horizon: str = "24h",
        symbols: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        as_of: AsOf | None = None,
        out: str | Path | None = None,
        barrier: float = 1.0,
        top: int | None = None,
        without_empty: bool = False,
        allow_backfilled: bool = False,
    ) -> pl.DataFrame:
        """Build a training set: features and labels, point-in-time and reproducible, as ``crypto-assets dataset`` does.

        Args:
            start: the first ``ts``; a day means its midnight.
            end: the last instant: everything in the set, labels too, is known by then. A day means its midnight.
            horizon: how far labels look ahead, e.g. ``24h`` or ``7d``.
            symbols: coins, or tickers of venues in these days; None for all.
            columns: features; None for all.
            as_of: a version of ``ml_features``, or an instant; None for the newest version.
            out: a Parquet file to write; its versions are then kept by maintenance. None: nothing is written.
            barrier: the distance of the barriers, in volatilities of the horizon.
            top: only coins that ranked so by market capitalisation on the day before; None for all.
            without_empty: whether features that no row has a value of are left out.
            allow_backfilled: whether features stay that rest on backfilled rows of later tables.

        Returns:
            symbol, ts, date, available_at, pit_quality, source, the features and the labels, sorted by ts and symbol.

        Raises:
            UsageError: the request makes no sense.
            CryptoAssetsError: there are no rows, the version does not exist, or the file cannot be written.
        """
        from crypto_assets.operate import dataset as training

        request = training.Request(
            start=first_instant(start, "start"),
            end=first_instant(end, "end"),
            horizon=training.parse_horizon(horizon),
            barrier=barrier,
            symbols=None if symbols is None else tuple(names_of(symbols)),
            columns=None if columns is None else tuple(names_of(columns)),
            as_of=as_of if as_of is None or isinstance(as_of, int) else past_instant(as_of, "as_of"),
            top=top,
            without_empty=without_empty,
            allow_backfilled=allow_backfilled,
        )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "dataset.parquet" if out is None else Path(out)
            built = training.build(self._tables, request, file)
            if out is not None:
                pins.pin(self._tables, str(file.resolve()), built.versions)
            return pl.read_parquet(file)

    def sql(self, query: str, as_of: AsOf | None = None) -> pl.DataFrame:
        """Run one reading statement over all tables by their names (DuckDB).

        Args:
            query: one SELECT, WITH, DESCRIBE, SHOW or EXPLAIN.
            as_of: an instant, or a version of ``ml_features``, which stands for the instant of its commit; None for now.

        Returns:
            The result.

        Raises:
            UsageError: the statement is of another kind, or it fails.
            WarehouseError: there is no warehouse, or a table that the statement reads is broken.
        """
        from crypto_assets.storage.sql import query as run_query  # loads DuckDB

        then = as_of if as_of is None or isinstance(as_of, int) else past_instant(as_of, "as_of")
        return run_query(warehouse_at(self.warehouse, then), query)

    def __repr__(self) -> str:
        return f"Store({self.warehouse!r}, {len(CONTRACTS)} tables)"

    def _repr_html_(self) -> str:
        return f"<h4>{escape(self.warehouse)}</h4>{self.catalog()._repr_html_()}"


def open_store(home: str | Path | None = None, *, warehouse: str | Path | None = None) -> Store:
    """Open the tables of a home, or of a warehouse elsewhere; :func:`crypto_assets.open` is its short name.

    Args:
        home: the home folder; None for ``CRYPTO_ASSETS_HOME``, else ``./.crypto_assets``.
        warehouse: a folder or ``s3://`` address; None for ``CRYPTO_ASSETS_WAREHOUSE``, else the home's own.

    Returns:
        The store.

    Raises:
        UsageError: the environment has an invalid value, or the address is none.
        WarehouseError: there is no warehouse.
    """
    env = dict(os.environ) if home is None else {**os.environ, "CRYPTO_ASSETS_HOME": str(home)}
    settings = Settings.from_env(env)
    address = settings.warehouse if warehouse is None else place("warehouse", str(warehouse))
    if "://" not in address and not Path(address).is_dir():
        raise WarehouseError(
            f"there is no warehouse in {address}; give ca.open() the home or the warehouse that holds the tables, or fill "
            "one with crypto-assets demo or backfill"
        )
    return Store(settings, address)
