"""Read-only SQL (DuckDB) over the warehouse: one view per table, on exactly the files of its newest snapshot.

The connection may open those files and nothing else, and its configuration is locked. In an object store delta-rs opens
the files, and gives DuckDB the columns and row groups that a query needs. DuckDB's own client for object stores would
be a download at run time.
"""

from __future__ import annotations

import re

import duckdb
import polars as pl

from crypto_assets.errors import UsageError, WarehouseError
from crypto_assets.storage.object_store import reason
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import TIMESTAMP, Contract
from crypto_assets.tables.pit_quality import PIT_QUALITY
from crypto_assets.tables.schemas import CONTRACTS

_MISSING = re.compile(r'Table with name "?(\w+)"? does not exist')
# What a statement may say to see tables that it does not name.
_CATALOGUE = re.compile(r"show|\bdesc|summarize|schema|catalog|duckdb_|pg_|sqlite_|pragma|query")
_UNOPENED = "crypto_assets: this table is not opened yet"
_UNLIKE = "schema mismatch in glob"  # DuckDB, of a file that lacks a column of the first one
_TYPES: dict[pl.DataType, str] = {
    pl.Boolean(): "BOOLEAN",
    pl.Date(): "DATE",
    pl.Float32(): "FLOAT",
    pl.Float64(): "DOUBLE",
    pl.Int32(): "INTEGER",
    pl.Int64(): "BIGINT",
    pl.String(): "VARCHAR",
    TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
}
_PLAIN_TYPES = {*_TYPES.values(), "VARCHAR[]"}
_READING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


def query(warehouse: Warehouse, sql: str) -> pl.DataFrame:
    """Run one SELECT (or WITH, DESCRIBE, SHOW, EXPLAIN).

    Args:
        warehouse: its tables are the views; a table that does not exist yet is empty, as long as some other table
            exists. A :class:`~crypto_assets.storage.snapshot.WarehouseAsOf` answers as of its instant.
        sql: one statement.

    Returns:
        The result.

    Raises:
        UsageError: the statement is of another kind, or it fails.
        WarehouseError: there is no warehouse, or a table that the statement reads is broken.
    """
    named, alike = {name for name in CONTRACTS if name in sql.lower()}, True
    visible = named if _CATALOGUE.search(sql.lower()) is None else set(CONTRACTS)
    while True:
        try:
            return _run(warehouse, sql, named, visible, alike=alike)
        except _InvisibleTableError:  # DuckDB's message names what is like the name
            visible = set(CONTRACTS)
        except _UnopenedTableError:  # the text puts the table's name together, e.g. query_table('pri' || 'ces')
            named = set(CONTRACTS)
        except _UnlikeFilesError:
            alike = False


class _InvisibleTableError(Exception):
    """The statement reads something that is not there while not every table has a view."""


class _UnopenedTableError(Exception):
    """The statement reads a table whose files were not listed."""


class _UnlikeFilesError(Exception):
    """A file of the statement's tables lacks a column that was added later."""


def _run(warehouse: Warehouse, sql: str, named: set[str], visible: set[str], *, alike: bool) -> pl.DataFrame:
    """Run the statement; only the ``named`` tables are opened, because each costs a read of its commit log.

    ``visible``: the tables that have a view. To make one for each takes longer than most statements, and only what reads the
    catalogue sees the others.

    ``alike``: the files of a table are expected to have the same columns. Else DuckDB opens all files several times to
    compare them, which for five years of features takes four times the time and five times the memory.
    """
    statement = _only_statement(sql)
    connection = duckdb.connect()
    broken: dict[str, WarehouseError] = {}
    try:
        connection.execute("SET TimeZone = 'UTC'")
        files = _views(connection, warehouse, named, visible, broken, alike=alike)
        local = files.items() if warehouse.is_local else ()
        _lock(connection, [f"{warehouse.path(name)}/{path}" for name, paths in local for path in paths])
        return _frame(connection.sql(statement))
    except duckdb.PermissionException as error:
        raise UsageError(
            f"the query reaches outside the warehouse ({_one_line(error)}); query the tables only"
        ) from error
    except duckdb.IOException as error:
        raise WarehouseError(f"the warehouse cannot be read ({_one_line(error)}); run crypto-assets doctor") from error
    except OSError as error:  # the object store went away during the query
        raise WarehouseError(f"the warehouse cannot be read ({reason(error)}); run crypto-assets doctor") from error
    except pl.exceptions.PolarsError as error:  # a DuckDB type that Polars does not have, e.g. INTERVAL
        raise UsageError(
            f"the result cannot be shown ({_one_line(error)}); cast its columns, e.g. to VARCHAR"
        ) from error
    except duckdb.Error as error:
        if _UNOPENED in str(error) and named != set(CONTRACTS):
            raise _UnopenedTableError from error
        if isinstance(error, duckdb.CatalogException) and visible != set(CONTRACTS):
            raise _InvisibleTableError from error
        if _UNLIKE in str(error) and alike:
            raise _UnlikeFilesError from error
        missing = _MISSING.search(str(error)) if isinstance(error, duckdb.CatalogException) else None
        if missing and missing[1].lower() in broken:
            raise broken[missing[1].lower()] from error
        raise UsageError(f"the query fails ({_one_line(error)}); tables: {', '.join(CONTRACTS)}") from error
    finally:
        connection.close()


def _only_statement(sql: str) -> duckdb.Statement:
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise UsageError(f"the query cannot be read ({_one_line(error)}); write one SELECT") from error
    if len(statements) != 1 or statements[0].type not in _READING:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise UsageError(f"only one reading statement is allowed, not {kinds}; the warehouse is written by assets only")
    return statements[0]


def _views(
    connection: duckdb.DuckDBPyConnection,
    warehouse: Warehouse,
    named: set[str],
    visible: set[str],
    broken: dict[str, WarehouseError],
    *,
    alike: bool,
) -> dict[str, list[str]]:
    """Return the files of the named tables, and create a view on every visible table.

    The view of a table that is not named has its columns, and fails when it is read. A broken table in a folder has no
    view, and ``broken`` has the reason. It matters only if DuckDB misses the view for a query. Only DuckDB knows which
    tables a query reads: a text that contains a table's name may read another table.
    """
    files: dict[str, list[str]] = {}
    there = False
    for name, contract in CONTRACTS.items():
        if name not in named and name not in visible:
            continue
        if name not in named:
            connection.execute(_bare_view(contract, f"CAST(error('{_UNOPENED}') AS BOOLEAN)"))
            continue
        try:
            there = there or warehouse.exists(name)
            listed = warehouse.files(name)
            paths = listed["path"].to_list()
            if paths:  # DuckDB takes the columns from the first file, and the newest has those of today
                paths.insert(0, paths.pop(listed["written_at"].arg_max() or 0))
            _view(connection, warehouse, contract, paths, alike=alike)
        except (WarehouseError, duckdb.Error) as error:
            found = error if isinstance(error, WarehouseError) else warehouse.unreadable(name, error)
            if not warehouse.is_local:  # the store may be away, and every table would wait for its timeout
                raise found from error
            there = True
            broken[name] = found
        else:
            files[name] = paths
    there = there or any(warehouse.exists(name) for name in CONTRACTS)
    if not there and warehouse.as_of is not None:
        raise WarehouseError(
            f"no table existed in {warehouse.uri} at {warehouse.as_of:%Y-%m-%d %H:%M:%S} UTC; choose a later --as-of"
        )
    if not there:  # an empty result would look like a fact
        raise WarehouseError(
            f"there is no warehouse in {warehouse.uri}: none of the tables was ever stored there; set CRYPTO_ASSETS_HOME "
            "or CRYPTO_ASSETS_WAREHOUSE to the place that holds them, or fill them with crypto-assets demo or backfill"
        )
    return files


def _view(
    connection: duckdb.DuckDBPyConnection, warehouse: Warehouse, contract: Contract, paths: list[str], *, alike: bool
) -> None:
    if not paths:
        connection.execute(_bare_view(contract, "false"))
        return
    if not warehouse.is_local:
        connection.register(f"_{contract.table}", warehouse.dataset(contract))
        columns = ", ".join(_as_stored(contract, name) for name in contract.names)
        connection.execute(f"CREATE VIEW {contract.table} AS SELECT {columns} FROM _{contract.table}")
        return
    quoted = ", ".join("'" + f"{warehouse.path(contract.table)}/{path}".replace("'", "''") + "'" for path in paths)
    reader, stored = _reader(connection, quoted, alike=alike)
    if alike and set(contract.names) - stored:  # written by an older version: another file may have what it lacks
        reader, stored = _reader(connection, quoted, alike=False)
    columns = ", ".join(
        _as_stored(contract, name) if name in stored else _absent(contract, name) for name in contract.names
    )
    connection.execute(f"CREATE VIEW {contract.table} AS SELECT {columns} FROM {reader}")


def _reader(connection: duckdb.DuckDBPyConnection, quoted: str, *, alike: bool) -> tuple[str, set[str]]:
    """Return DuckDB's reader of the files, and the columns that it has: of the first file, or of all of them."""
    reader = f"read_parquet([{quoted}], hive_partitioning=true, hive_types={{'date': DATE}}, union_by_name={not alike})"
    return reader, {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()}


def _as_stored(contract: Contract, name: str) -> str:
    """Return the column; in files of an older version ``pit_quality`` is the contract's own (see the warehouse)."""
    return f'coalesce("{name}", \'{contract.pit_quality.unsaid}\') AS "{name}"' if name == PIT_QUALITY else f'"{name}"'


def _absent(contract: Contract, name: str) -> str:
    """Return a column that no file has."""
    return f"'{contract.pit_quality.unsaid}' AS \"{name}\"" if name == PIT_QUALITY else _null(contract, name)


def _bare_view(contract: Contract, condition: str) -> str:
    """Return the statement that creates a view with the contract's columns and no row where ``condition`` is false."""
    columns = ", ".join(_null(contract, name) for name in contract.names)
    return f"CREATE VIEW {contract.table} AS SELECT {columns} FROM (SELECT 1) WHERE {condition}"


def _null(contract: Contract, name: str) -> str:
    return f'CAST(NULL AS {_type(contract.polars_schema[name])}) AS "{name}"'


def _type(kind: pl.DataType) -> str:
    """Return DuckDB's name of a column's type. Raises :class:`KeyError` for one that no contract has."""
    return f"{_type(kind.inner)}[]" if isinstance(kind, pl.List) else _TYPES[kind]  # type: ignore[arg-type]


def _lock(connection: duckdb.DuckDBPyConnection, files: list[str]) -> None:
    quoted = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    connection.execute(f"SET allowed_paths = [{quoted}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _frame(result: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    if {str(kind) for kind in result.types} <= _PLAIN_TYPES:
        return pl.DataFrame(result.materialize())  # without pyarrow, which takes a third of a second to import
    found = pl.from_arrow(result.to_arrow_table())  # raises where the way above would end the process
    return found if isinstance(found, pl.DataFrame) else found.to_frame()
