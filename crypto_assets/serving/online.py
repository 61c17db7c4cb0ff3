"""``ml_features_latest`` and ``signals_latest``: the newest row of each coin, in Postgres, for consumers that need current values.

Each is a table of the schema ``online`` in Dagster's database, e.g. ``online.ml_features_latest``. Its columns are those of
the table that it copies; new columns are added automatically. The newest ``ts`` wins, and an older one never overwrites it, even with several writers at
once. Training and serving read the same rows, because nothing is computed here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import polars as pl

from crypto_assets.lazy import lazy
from crypto_assets.storage.shared_state import SharedState
from crypto_assets.tables.contract import TEXTS, TIMESTAMP, Contract
from crypto_assets.tables.schemas import ML_FEATURES

if TYPE_CHECKING:
    import psycopg2.extras as extras
    import psycopg2.sql as sql
    from psycopg2.extensions import cursor as Cursor
else:
    sql = lazy("psycopg2.sql")
    extras = lazy("psycopg2.extras")

SUFFIX = "_latest"
TABLE = f"{ML_FEATURES.table}{SUFFIX}"
VERSION = "delta_version"  # the version of the table that gave the row; it decides between two rows of one hour
COLUMNS_KEPT_S = 60.0  # a column that a new version adds is served within a minute
LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)  # before any row
_KINDS = {
    pl.Float64: "double precision",
    pl.String: "text",
    pl.Date: "date",
    pl.Int64: "bigint",
    pl.Int32: "integer",
    TEXTS: "text[]",
}


class _Online(SharedState):
    schema, lock = "SET TIME ZONE 'UTC'", 0x6F6E_6C69_6E65

    def __init__(self, url: str, contract: Contract) -> None:
        super().__init__(url)
        self.contract = contract
        self.what = f"online.{contract.table}{SUFFIX}"

    def upsert(self, rows: pl.DataFrame, version: int) -> int:
        names = [name for name in self.contract.names if name in rows.columns]
        # All writers lock the rows in the same order, so that they never deadlock.
        values = [(*row, version) for row in rows.select(names).sort("symbol").rows()]
        return self._transaction(lambda cursor: _upsert(cursor, self.contract, [*names, VERSION], values))

    def latest(self, symbols: Sequence[str] | None) -> pl.DataFrame:
        return self._transaction(lambda cursor: _latest(cursor, self.contract, symbols))


class LatestRows(_Online):
    """The newest row of each coin as JSON, made by Postgres itself: for the gateway, which passes it on."""

    attempts = 2  # a connection that a restart has closed is opened again; a request does not wait for longer
    single_statements = True

    def __init__(self, url: str, contract: Contract = ML_FEATURES) -> None:
        super().__init__(url, contract)
        self._known: list[str] = []
        self._known_at = 0.0

    def as_json(self, columns: Sequence[str], symbols: Sequence[str] | None) -> tuple[int, str]:
        """Read the newest row of each coin.

        Args:
            columns: columns of the contract; one that the table does not have yet is null.
            symbols: the coins; None for all.

        Returns:
            The number of rows, and a JSON array of them, sorted by symbol.

        Raises:
            InstanceError: the server stays away.
        """
        return self._transaction(lambda cursor: self._as_json(cursor, columns, symbols))

    def check(self) -> None:
        """Ask the server for a little. Raises :class:`InstanceError` where it stays away."""
        self._ask("SELECT 1", ())

    def _as_json(self, cursor: Cursor, columns: Sequence[str], symbols: Sequence[str] | None) -> tuple[int, str]:
        if not self._known or time.monotonic() - self._known_at > COLUMNS_KEPT_S:
            self._known, self._known_at = _stored(cursor, self.contract), time.monotonic()
        if not self._known:
            return 0, "[]"
        query = sql.SQL(
            "SELECT count(*), coalesce(json_agg(one), '[]')::text FROM (SELECT {columns} FROM {place} "
            "WHERE %(coins)s IS NULL OR symbol = ANY(%(coins)s) ORDER BY symbol) one"
        )
        cursor.execute(
            query.format(
                columns=sql.SQL(", ").join(_json_column(self.contract, name, self._known) for name in columns),
                place=_place(self.contract),
            ),
            {"coins": list(symbols) if symbols is not None else None},
        )
        count, text = cursor.fetchone() or (0, "[]")
        return count, text


def upsert(url: str, rows: pl.DataFrame, version: int, contract: Contract = ML_FEATURES) -> int:
    """Update the table with these rows in one transaction.

    A row wins over a stored row with an older ``ts``, or with the same ``ts`` from an older version of its table.

    Args:
        url: the address of the Postgres.
        rows: one row per coin, with the columns of the contract.
        version: the version of the table that they come from.
        contract: of the table.

    Returns:
        The number of rows that won.

    Raises:
        InstanceError: the server stays away.
    """
    return _Online(url, contract).upsert(rows, version)


def latest(url: str, symbols: Sequence[str] | None = None, contract: Contract = ML_FEATURES) -> pl.DataFrame:
    """Read the newest row of each coin.

    Args:
        url: the address of the Postgres.
        symbols: the coins; None for all.
        contract: of the table.

    Returns:
        Rows sorted by symbol: the columns of the contract, then ``delta_version``; empty while nothing was written.

    Raises:
        InstanceError: the server stays away.
    """
    return _Online(url, contract).latest(symbols)


def newest(url: str, contract: Contract = ML_FEATURES) -> dict[str, datetime]:
    """Return coin -> ``available_at`` of its row."""
    return dict(latest(url, None, contract).select("symbol", "available_at").rows())


def _upsert(cursor: Cursor, contract: Contract, columns: list[str], values: list[tuple[object, ...]]) -> int:
    _prepare(cursor, contract)
    statement = sql.SQL(
        "INSERT INTO {place} AS stored ({columns}) VALUES %s ON CONFLICT (symbol) DO UPDATE SET {sets} WHERE "
        "(EXCLUDED.ts, EXCLUDED.{version}) > (stored.ts, stored.{version}) RETURNING symbol"
    ).format(
        place=_place(contract),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        sets=sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in columns),
        version=sql.Identifier(VERSION),
    )
    won = len(extras.execute_values(cursor, statement, values, page_size=len(values) or 1, fetch=True)) if values else 0
    if won:  # a random mark: a database that is restored or made anew never repeats one for other rows
        cursor.execute(
            "INSERT INTO online.changes (name, mark) VALUES (%s, gen_random_uuid()) "
            "ON CONFLICT (name) DO UPDATE SET mark = EXCLUDED.mark",
            (contract.table,),
        )
    return won


def _latest(cursor: Cursor, contract: Contract, symbols: Sequence[str] | None) -> pl.DataFrame:
    schema = {**contract.polars_schema, VERSION: pl.Int64()}
    stored = _stored(cursor, contract)
    if not stored:
        return pl.DataFrame(schema=schema)
    names = [name for name in schema if name in stored]
    query = sql.SQL("SELECT {columns} FROM {place} WHERE %(coins)s IS NULL OR symbol = ANY(%(coins)s) ORDER BY symbol")
    cursor.execute(
        query.format(columns=sql.SQL(", ").join(map(sql.Identifier, names)), place=_place(contract)),
        {"coins": list(symbols) if symbols is not None else None},
    )
    found = pl.DataFrame(cursor.fetchall(), schema={name: schema[name] for name in names}, orient="row")
    return found.with_columns(
        pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in names
    ).select(list(schema))


def _json_column(contract: Contract, name: str, stored: Sequence[str]) -> sql.Composable:
    if name not in stored:
        return sql.SQL("NULL AS {0}").format(sql.Identifier(name))
    if contract.polars_schema[name] == TIMESTAMP:
        return sql.SQL('to_char({0}, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\') AS {0}').format(sql.Identifier(name))
    return sql.Identifier(name)


def _place(contract: Contract) -> sql.Identifier:
    return sql.Identifier("online", f"{contract.table}{SUFFIX}")


def _prepare(cursor: Cursor, contract: Contract) -> None:
    """Create the schema, the table, and the columns that the contract has and the table does not."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_Online.lock,))  # two first writers must not both create it
    kinds = {column.name: _kind(column.dtype) for column in contract.columns} | {VERSION: "bigint"}
    stored, place = _stored(cursor, contract), _place(contract)
    cursor.execute("SELECT to_regclass('online.changes')")
    if cursor.fetchone() == (None,):
        cursor.execute("CREATE SCHEMA IF NOT EXISTS online")
        cursor.execute("CREATE TABLE online.changes (name text PRIMARY KEY, mark uuid NOT NULL)")
    if not stored:
        cursor.execute(sql.SQL("CREATE TABLE {place} (symbol text PRIMARY KEY)").format(place=place))
    for name, kind in kinds.items():
        if name not in {"symbol", *stored}:
            add = sql.SQL("ALTER TABLE {place} ADD COLUMN {name} ").format(place=place, name=sql.Identifier(name))
            cursor.execute(add + sql.SQL(kind))


def _stored(cursor: Cursor, contract: Contract) -> list[str]:
    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'online' AND table_name = %s "
        "ORDER BY ordinal_position",
        (f"{contract.table}{SUFFIX}",),
    )
    return [name for (name,) in cursor.fetchall()]


def _kind(dtype: object) -> str:
    if dtype == TIMESTAMP:
        return "timestamptz"
    found = next((kind for known, kind in _KINDS.items() if dtype == known), None)
    if found is None:
        raise ValueError(
            f"a table that is put online has a column of {dtype}; say in serving/online.py what it is in Postgres"
        )
    return found
