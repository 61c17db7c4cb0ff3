"""Delta tables, one per contract, partitioned by ``date``: atomic per range, idempotent, safe with many writers.

One Dagster partition is one Delta partition ``date=YYYY-MM-DD``. A write touches only the days that it names, in one
commit. Delta detects a concurrent commit to the same days, and the write starts again from the new snapshot.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl
from deltalake import ColumnProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from crypto_assets.errors import ContractError, UsageError, WarehouseError, free_space_note
from crypto_assets.lazy import lazy
from crypto_assets.settings import Settings
from crypto_assets.storage import object_store, opened, origin
from crypto_assets.storage.memory import give_back
from crypto_assets.tables.contract import Contract, Frame, WriteMode
from crypto_assets.tables.order import in_order
from crypto_assets.tables.pit_quality import PIT_QUALITY, SeenInTime
from crypto_assets.tables.schemas import CONTRACTS

if TYPE_CHECKING:
    import pyarrow as arrow
    import pyarrow.dataset as arrow_dataset
else:
    arrow = lazy("pyarrow")
    arrow_dataset = lazy("pyarrow.dataset")

_FILES = {"path": pl.String, "day": pl.Date, "rows": pl.Int64, "bytes": pl.Int64, "written_at": pl.Float64}
ATTEMPTS = 25  # of a commit; each failure means that another writer committed


@dataclass(frozen=True)
class DayReport:
    """What one day of a table holds after a write.

    Attributes:
        rows: the number of rows.
        bytes: the size of the day's files.
        changed: whether the write changed the day's rows.
        first: the earliest time of a row (UTC); None without rows, and in a table whose rows are days.
        last: the latest time of a row.
        available_at: the latest instant at which a row of the day became known; None without rows.
        null_shares: the share of null cells, by value column; empty without rows.
    """

    rows: int = 0
    bytes: int = 0
    changed: bool = False
    first: datetime | None = None
    last: datetime | None = None
    available_at: datetime | None = None
    null_shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class WriteReport:
    """What a write did.

    ``changed`` is False where the table already held exactly these rows; then there was no commit. ``by_day`` has every
    day of the write, those without rows too.
    """

    rows: int
    bytes: int
    version: int
    changed: bool
    first: str
    last: str
    null_shares: Mapping[str, float]
    by_day: Mapping[date, DayReport]


class Warehouse:
    """Tables under one root: a folder, or an ``s3://`` address (see ``object_store.py``).

    Rows of a sandbox and of real providers are never under one root (``origin.py``). ``accepts`` names the only origin
    whose rows may be written, as a demo's home has it; None: the first rows decide.
    """

    as_of: datetime | None = None  # instant at which tables are read; None: now

    def __init__(self, uri: str, *, accepts: str | None = None) -> None:
        self.accepts = accepts
        self.uri = uri.rstrip("/")
        if not self.is_local and set("#?") & set(uri):
            raise UsageError(f"CRYPTO_ASSETS_WAREHOUSE {uri!r} has a # or ? in it; write s3://BUCKET/FOLDER")
        self.storage_options = object_store.options(self.uri) or None

    def path(self, table: str) -> str:
        """Return the address of a table, whether it exists or not."""
        return f"{self.uri}/{table}"

    @cached_property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return "://" not in self.uri

    @property
    def _what_to_check(self) -> str:
        return "check CRYPTO_ASSETS_WAREHOUSE" + ("" if self.is_local else ", AWS_ENDPOINT_URL, the credentials")

    # Reading

    def snapshot(self, table: str, version: int | None = None) -> DeltaTable | None:
        """Open a table for reading.

        Args:
            table: the table's name.
            version: the version; None for the newest.

        Returns:
            The table, which other readers of this process may share; None while it does not exist.

        Raises:
            WarehouseError: the table cannot be read, or the log does not have the version.
        """
        return self._or_damaged(table, self._open(table, version))

    def for_writing(self, table: str) -> DeltaTable | None:
        """Open the newest version of a table for one writer: what is opened moves on to the version that is written.

        Args:
            table: the table's name.

        Returns:
            The table, which nobody shares; None while it does not exist.

        Raises:
            WarehouseError: the table cannot be read.
        """
        return self._or_damaged(table, self._read_log(table))

    def _or_damaged(self, table: str, found: DeltaTable | None) -> DeltaTable | None:
        if found is None and self.is_local and any(Path(self.path(table)).glob("date=*/*.parquet")):  # damaged
            raise self.unreadable(table, FileNotFoundError("its files are there, its commit log _delta_log is not"))
        return found

    def _open(self, table: str, version: int | None = None) -> DeltaTable | None:
        mark = self.commit_mark(table) if version is None else None
        if mark is None:
            return self._read_log(table, version)
        return opened.newest(self.path(table), mark, lambda: self._read_log(table))

    def _read_log(self, table: str, version: int | None = None) -> DeltaTable | None:
        if self.is_local and not Path(self.path(table)).exists():
            self._check_root()
            return None
        try:
            return DeltaTable(self.path(table), version=version, storage_options=self.storage_options)
        except TableNotFoundError as error:
            if version is not None and self.snapshot(table) is not None:  # its commit was removed
                raise WarehouseError(
                    f"{table} in {self.uri} no longer has version {version} (the commit log does not reach back to it); "
                    "choose a later one, or restore the table from a backup"
                ) from error
            return None
        except (DeltaError, OSError, ValueError) as error:
            raise self.unreadable(table, error) from error

    def read(
        self,
        table: Contract | str,
        *,
        start: date | None = None,
        end: date | None = None,
        columns: Sequence[str] | None = None,
        symbols: Sequence[str] | None = None,
        version: int | None = None,
        in_order: bool = True,
    ) -> pl.DataFrame:
        """Read the rows of a range of days.

        Args:
            table: the contract, or the table's name.
            start: the first day; None for no bound.
            end: the last day, included; None for no bound.
            columns: the columns; None for all of the contract.
            symbols: the coins; None for all.
            version: the version; None for the newest.
            in_order: whether to sort the rows: of wide rows this takes longer than to read them, and twice the memory.

        Returns:
            The rows, sorted by key or as the files have them, in the types and column order of the contract; empty while
            there are none.

        Raises:
            WarehouseError: the table cannot be read.
        """
        contract = CONTRACTS[table] if isinstance(table, str) else table
        lazy = self.scan(contract, start=start, end=end, columns=columns, symbols=symbols, version=version)
        return self.collect(contract, lazy, by=None if in_order else ())

    def scan(
        self,
        table: Contract | str,
        *,
        start: date | None = None,
        end: date | None = None,
        columns: Sequence[str] | None = None,
        symbols: Sequence[str] | None = None,
        version: int | None = None,
    ) -> pl.LazyFrame:
        """Plan to read a range of days: only the commit log is read until the frame is collected.

        Only the files of the days are opened, and of them only the columns, and the row groups that further filters on
        the frame leave.

        Args:
            table: the contract, or the table's name.
            start: the first day; None for no bound.
            end: the last day, included; None for no bound.
            columns: the columns; None for all of the contract.
            symbols: the coins; None for all.
            version: the version; None for the newest at this moment.

        Returns:
            The rows, in no order, in the types and column order of the contract. Polars raises its own errors when a
            file cannot be read.

        Raises:
            WarehouseError: the table cannot be read.
        """
        contract = CONTRACTS[table] if isinstance(table, str) else table
        return self._plan(contract, self.snapshot(contract.table, version), start, end, columns, symbols)

    def _plan(
        self,
        contract: Contract,
        snapshot: DeltaTable | None,
        start: date | None = None,
        end: date | None = None,
        columns: Sequence[str] | None = None,
        symbols: Sequence[str] | None = None,
    ) -> pl.LazyFrame:
        wanted = [name for name in contract.names if columns is None or name in columns]
        if snapshot is None:
            return contract.empty().lazy().select(wanted)
        try:
            lazy = self._scan(contract, snapshot, start, end)
            stored = self._stored_schema(snapshot)
            if symbols is not None:
                lazy = lazy.filter(pl.col("symbol").is_in(list(symbols)))
        except (pl.exceptions.PolarsError, DeltaError, OSError) as error:
            raise self.unreadable(contract.table, error) from error
        return lazy.select(_as_in(contract, name, stored) for name in wanted)

    def collect(self, contract: Contract, lazy: pl.LazyFrame, by: Sequence[str] | None = None) -> pl.DataFrame:
        """Read what :meth:`scan` planned, with further conditions or without.

        Args:
            contract: the contract of the table.
            lazy: the plan.
            by: the columns to sort by, none of them for rows as the files have them; None for the columns of the key that
                it has.

        Returns:
            Its rows, sorted.

        Raises:
            WarehouseError: a file cannot be read.
        """
        try:
            rows = lazy.collect()
        except (pl.exceptions.PolarsError, DeltaError, OSError) as error:
            raise self.unreadable(contract.table, error) from error
        if by is not None and (not by or in_order(rows, by)):  # by date and key, as the files have them
            return rows
        return rows.sort(by or [name for name in contract.key if name in rows.columns] or rows.columns[:1])

    def _scan(self, contract: Contract, snapshot: DeltaTable, start: date | None, end: date | None) -> pl.LazyFrame:
        # Polars' Delta reader uses the encoded address as the path, and does not find a folder with a blank in it.
        stored = self._stored_schema(snapshot)
        within = pl.col("day").is_between(start or date.min, end or date.max)
        paths = self._list(snapshot).filter(within)["path"]
        if paths.is_empty():
            return pl.LazyFrame(schema=stored)
        return pl.scan_parquet(
            [f"{self.path(contract.table)}/{path}" for path in paths],
            schema=stored,
            hive_schema={"date": pl.Date},
            missing_columns="insert",
            glob=False,
            storage_options=object_store.for_polars(self.uri),
            credential_provider=None,  # the default one looks for boto3, which is not needed to read the environment
        )

    def summarise(
        self,
        table: Contract | str,
        how: Callable[[pl.LazyFrame], pl.LazyFrame],
        *,
        start: date,
        end: date,
        columns: Sequence[str],
    ) -> pl.DataFrame:
        """Compute a small result from the rows of a range of days, of which only some are in memory at a time.

        Args:
            table: the contract, or the table's name.
            how: the aggregation of the rows, e.g. a group_by with minima.
            start: the first day.
            end: the last day, included.
            columns: the columns that it needs.

        Returns:
            The result, in no order.

        Raises:
            WarehouseError: the table cannot be read.
        """
        contract = CONTRACTS[table] if isinstance(table, str) else table
        lazy = how(self.scan(contract, start=start, end=end, columns=columns))
        try:
            return lazy.collect(engine="streaming")
        except (pl.exceptions.PolarsError, DeltaError, OSError) as error:
            raise self.unreadable(contract.table, error) from error

    def dataset(self, contract: Contract) -> arrow_dataset.Dataset:
        """Open the newest snapshot as an Arrow dataset, without reading rows.

        Args:
            contract: the contract of the table.

        Returns:
            The dataset with the contract's columns; a column that was added later is null in older files.

        Raises:
            WarehouseError: the table cannot be read.
        """
        snapshot = self.snapshot(contract.table)
        schema = contract.empty().to_arrow().schema
        return (
            arrow_dataset.dataset(schema.empty_table())
            if snapshot is None
            else snapshot.to_pyarrow_dataset(schema=schema)
        )

    def exists(self, table: str) -> bool:
        """Whether the table exists; False for the remains of an interrupted restore."""
        return self._open(table) is not None  # None for the remains of an interrupted restore

    def version(self, table: str) -> int | None:
        """Return the newest version of a table; None while it does not exist."""
        snapshot = self.snapshot(table)
        return None if snapshot is None else snapshot.version()

    def commit_mark(self, table: str) -> tuple[str, int, int] | None:
        """Identify the newest commit of a table in a folder, without opening its log.

        Args:
            table: the table's name.

        Returns:
            Name, inode and modification time (ns) of its file: another commit, or another table in its place, has
            another mark. None in an object store, for a read of the past, and where there is no commit.
        """
        if not self.is_local or self.as_of is not None:
            return None
        try:
            with os.scandir(f"{self.path(table)}/_delta_log") as entries:
                newest = max((entry for entry in entries if entry.name.endswith(".json")), key=lambda entry: entry.name)
                found = newest.stat()
        except (OSError, ValueError):  # ValueError: a log without a commit
            return None
        return newest.name, found.st_ino, found.st_mtime_ns

    def folder_mark(self, table: str, day: date) -> tuple[int, int] | None:
        """Identify the files of a day in a folder: inode and modification time (ns) of the day's folder.

        Args:
            table: the table's name.
            day: the partition.

        Returns:
            Another mark once a file is added or removed; None in an object store and where the folder is not there.
        """
        if not self.is_local:
            return None
        try:
            found = os.stat(f"{self.path(table)}/date={day.isoformat()}")
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def versions(self) -> dict[str, int | None]:
        """Return table -> newest version for every contract; None where the table does not exist."""
        return {table: self.version(table) for table in CONTRACTS}

    def files(self, table: str, version: int | None = None) -> pl.DataFrame:
        """List the data files of a snapshot.

        Args:
            table: the table's name.
            version: the version; None for the newest.

        Returns:
            One row per file, by day: path, day, rows, bytes, written_at (epoch seconds).

        Raises:
            WarehouseError: the table cannot be read.
        """
        snapshot = self.snapshot(table, version)
        return pl.DataFrame(schema=_FILES) if snapshot is None else self._list(snapshot)

    def _list(self, snapshot: DeltaTable) -> pl.DataFrame:
        return _adds(snapshot)

    def _stored_schema(self, snapshot: DeltaTable) -> pl.Schema:
        return _schema(snapshot)

    def _files_between(self, table: str, start: date, end: date) -> pl.DataFrame:
        return self.files(table).filter(pl.col("day").is_between(start, end))

    def days_with_rows(self, table: str, start: date, end: date) -> dict[date, int]:
        """Count the rows of each day, from the commit log alone.

        Args:
            table: the table's name.
            start: the first day.
            end: the last day, included.

        Returns:
            Day -> rows, for days that have rows.
        """
        found = self._files_between(table, start, end).group_by("day").agg(pl.col("rows").sum())
        return {day: rows for day, rows in found.rows() if rows}

    def written_at(self, table: str, start: date, end: date) -> dict[date, float]:
        """Find the newest write to each day, from the commit log alone.

        Args:
            table: the table's name.
            start: the first day.
            end: the last day, included.

        Returns:
            Day -> epoch seconds.
        """
        found = self._files_between(table, start, end).group_by("day").agg(pl.col("written_at").max())
        return dict(found.rows())

    def content_hash(self, table: str, start: date | None = None, end: date | None = None) -> str:
        """Compute a SHA-256 of the rows of a range: equal rows give an equal hash, however they were written.

        Args:
            table: the table's name.
            start: the first day; None for no bound.
            end: the last day, included; None for no bound.

        Returns:
            The hash of the rows in key order, in hex.
        """
        frame = self.read(table, start=start, end=end)
        return hashlib.sha256(frame.write_json().encode()).hexdigest()

    # Writing

    def write(self, contract: Contract, frame: Frame, days: Sequence[date]) -> WriteReport:
        """Bring days to the rows of a frame, as the contract's write mode says, in at most one commit.

        Args:
            contract: the contract of the table.
            frame: the rows.
            days: the days to write; where the write mode replaces days, a day without rows in the frame becomes empty.

        Returns:
            What was done.

        Raises:
            ContractError: a rule is broken, a row lies outside ``days``, or it comes from a sandbox where the rows of
                real providers are or the other way round; nothing was written.
            WarehouseError: the store cannot be written, or other writers of the same days won every attempt.
        """
        data = contract.validate(frame)
        wanted = sorted(set(days))
        outside = data.filter(~pl.col("date").is_in(wanted))
        if outside.height:
            raise ContractError(
                f"{contract.table}: {outside.height} row(s) lie outside the requested days, e.g. "
                f"{outside['date'][0]}; nothing was written; cut them off in the asset"
            )
        for attempt in range(ATTEMPTS):
            try:
                give_back(data.height)  # memory that building the rows has freed
                report = self._write_once(contract, data, wanted)
                give_back(data.height)
                return report
            except CommitFailedError:
                time.sleep(random.uniform(0.01, 0.05) * (attempt + 1))
            except (DeltaError, OSError) as error:
                raise self._unwritable(contract, error) from error
        raise WarehouseError(
            f"{contract.table}: {ATTEMPTS} commits in a row lost to other writers of the same days; nothing was "
            "written; run again when they are done"
        )

    def forget(self, contract: Contract, keys: pl.DataFrame) -> int:
        """Remove rows by key, in one commit.

        Args:
            contract: the contract of the table.
            keys: the keys of the rows, with their ``date``.

        Returns:
            The number of rows that were removed.

        Raises:
            WarehouseError: the store cannot be written.
        """
        wanted = sorted(set(keys["date"]))
        if not wanted or not self.exists(contract.table):
            return 0
        for attempt in range(ATTEMPTS):
            snapshot = self.for_writing(contract.table)
            stored = self.collect(contract, self._plan(contract, snapshot, wanted[0], wanted[-1])).filter(
                pl.col("date").is_in(wanted)
            )
            left = stored.join(keys, on=list(contract.key), how="anti", nulls_equal=True)
            if snapshot is None or left.height == stored.height:
                return 0
            try:
                write_deltalake(
                    snapshot,
                    left.to_arrow(),
                    mode="overwrite",
                    predicate=_predicate(wanted),
                    writer_properties=_properties(contract),
                    schema_mode=_schema_mode(left, snapshot),
                )
            except CommitFailedError:
                time.sleep(random.uniform(0.01, 0.05) * (attempt + 1))
            except (DeltaError, OSError) as error:
                raise self._unwritable(contract, error) from error
            else:
                return stored.height - left.height
        raise WarehouseError(f"{contract.table}: {ATTEMPTS} commits in a row lost to other writers; run again")

    def _write_once(self, contract: Contract, data: pl.DataFrame, days: list[date]) -> WriteReport:
        snapshot = self._open_or_create(contract, data)
        stored = self.collect(contract, self._plan(contract, snapshot, days[0], days[-1])).filter(
            pl.col("date").is_in(days)
        )
        if contract.write_mode is WriteMode.MERGE:
            kept = stored.join(data, on=list(contract.key), how="anti", nulls_equal=True)
            data = _as_first_known(contract, _as_first_stored(contract, data, stored), stored)
            data = pl.concat([kept, data]).sort(contract.key)
        elif contract.write_mode is WriteMode.KEEP:
            fresh = data.join(stored, on=list(contract.key), how="anti", nulls_equal=True)
            data = pl.concat([stored, fresh]).sort(contract.key)
        if data.equals(stored):
            return self._report(contract, data, days, snapshot, changed=())
        touched = _changed_days(data, stored, days)
        write_deltalake(
            snapshot,
            data.filter(pl.col("date").is_in(touched)).to_arrow(),
            mode="overwrite",
            predicate=_predicate(touched),
            writer_properties=_properties(contract),
            schema_mode=_schema_mode(data, snapshot),
        )
        return self._report(contract, data, days, snapshot, changed=touched)

    def origins(self) -> dict[str, str]:
        """Find whether rows of a sandbox or of real providers are stored.

        Returns:
            ``sandbox`` or ``live`` -> one of the sources that say so; empty while no provider's row is stored.

        Raises:
            WarehouseError: a table cannot be read.
        """
        found: dict[str, str] = {}
        for table in CONTRACTS:  # all of them: each table has its own
            found = {**origin.of_table(self.snapshot(table)), **found}
        return found

    def _check_origin(self, contract: Contract, data: pl.DataFrame, snapshot: DeltaTable | None) -> None:
        """Refuse rows of a sandbox among those of real providers, and the other way round.

        A demo's home decides for all of its tables. In another home each table decides for itself, because a base address
        may name a sandbox for one provider and the provider for another.
        """
        new = origin.of_rows(data)
        if not new:
            return
        stored = {self.accepts: "a demo's home"} if self.accepts else origin.of_table(snapshot)
        if len({*new, *stored}) > 1:
            kind = next((one for one in new if one not in stored), next(iter(new)))
            here = "a sandbox's" if kind == origin.LIVE else "real providers'"
            raise ContractError(
                f"{contract.table}: rows from {new[kind]} cannot go to {self.path(contract.table)}, which is for {here} rows "
                f"({', '.join(stored.values()) or 'the other rows of this write'}); nothing was written; give each its own "
                "home with --home (live: crypto-assets dev --home NEW), and its own CRYPTO_ASSETS_WAREHOUSE where that is set"
            )

    def _open_or_create(self, contract: Contract, data: pl.DataFrame) -> DeltaTable:
        snapshot = self.for_writing(contract.table)
        self._check_origin(contract, data, snapshot)
        if snapshot is None:
            if self.is_local:
                Path(self.uri).mkdir(parents=True, exist_ok=True)
            DeltaTable.create(
                self.path(contract.table),
                schema=contract.empty().to_arrow().schema,
                partition_by=["date"],
                mode="ignore",
                storage_options=self.storage_options,
            )
            snapshot = self.for_writing(contract.table)
            if snapshot is None:
                raise CommitFailedError(f"{contract.table} vanished while it was created")
        self._check_types(contract, snapshot)
        return snapshot

    def _check_types(self, contract: Contract, snapshot: DeltaTable) -> None:
        """Allow a new nullable column; refuse a changed type, and say what to do."""
        stored = _schema(snapshot)
        changed = [n for n, kind in contract.polars_schema.items() if n in stored and stored[n] != kind]
        if changed:
            raise WarehouseError(
                f"{contract.table}: the stored type of {', '.join(changed)} differs from the contract; nothing was "
                f"written; move {self.path(contract.table)} away and backfill, or give the column a new name"
            )

    def _report(
        self, contract: Contract, data: pl.DataFrame, days: list[date], snapshot: DeltaTable, *, changed: Sequence[date]
    ) -> WriteReport:
        time_column = contract.time_column or "date"
        # The snapshot has our commit. To open the table once more takes as long as the write of a day to five years.
        files = self._list(snapshot).filter(pl.col("day").is_between(days[0], days[-1]))
        return WriteReport(
            rows=data.height,
            bytes=int(files["bytes"].sum() or 0),
            version=snapshot.version(),
            changed=bool(changed),
            first=str(data[time_column].min()) if data.height else "",
            last=str(data[time_column].max()) if data.height else "",
            null_shares={
                name: round(data[name].null_count() / data.height, 6) if data.height else 0.0
                for name in contract.value_columns
            },
            by_day=_by_day(contract, data, days, files, set(changed)),
        )

    def _check_root(self) -> None:
        root = Path(self.uri)
        if root.exists() and not root.is_dir():
            raise WarehouseError(f"the warehouse {self.uri} is not a folder; set CRYPTO_ASSETS_WAREHOUSE to one")

    def _unwritable(self, contract: Contract, error: Exception) -> WarehouseError:
        space = free_space_note(error, self.uri) if self.is_local else ""
        return WarehouseError(
            f"{contract.table} cannot be written to {self.uri} ({object_store.reason(error)}){space}; nothing was written; "
            f"{self._what_to_check}, its rights and its space"
        )

    def unreadable(self, table: str, error: Exception) -> WarehouseError:
        """Build the error for a table that cannot be read.

        Args:
            table: the table's name.
            error: what went wrong.

        Returns:
            The error, to be raised; it says what to check.
        """
        if self.as_of is not None:
            return WarehouseError(
                f"{table} in {self.uri} cannot be read as of {self.as_of:%Y-%m-%d %H:%M:%S} UTC "
                f"({object_store.reason(error)}); files of that time may have been vacuumed: choose a later --as-of"
            )
        return WarehouseError(
            f"{table} in {self.uri} cannot be read ({object_store.reason(error)}); {self._what_to_check} and its rights, "
            "or restore the table from a backup, or move its folder away and backfill"
        )


def _as_first_stored(contract: Contract, data: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return the new rows, with the stored values of the columns that the contract never changes."""
    if not contract.keeps or stored.is_empty():
        return data
    key = list(contract.key)
    first = stored.select(*key, *contract.keeps)
    known = data.drop(contract.keeps).join(first, on=key, how="inner", nulls_equal=True).select(data.columns)
    return pl.concat([known, data.join(first, on=key, how="anti", nulls_equal=True)])


def _as_first_known(contract: Contract, data: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return the new rows; one with exactly the stored values keeps its stored ``pit_quality``.

    That a later fetch gives the same values does not make them less known.
    """
    if not isinstance(contract.pit_quality, SeenInTime) or contract.keeps or stored.is_empty():
        return data
    values = [name for name in contract.names if name != PIT_QUALITY]
    known = data.join(stored, on=values, how="left", nulls_equal=True, suffix="_stored")
    return known.with_columns(pl.coalesce(f"{PIT_QUALITY}_stored", PIT_QUALITY).alias(PIT_QUALITY)).select(
        contract.names
    )


def _as_in(contract: Contract, name: str, stored: pl.Schema) -> pl.Expr:
    """Return a column in the contract's type; one that was added to the contract later is null in older files.

    ``pit_quality`` is never null: in older files each row has the one that the contract gives rows that do not say it.
    """
    wanted = contract.polars_schema[name]
    if name == PIT_QUALITY:
        unsaid = pl.lit(contract.pit_quality.unsaid)
        return pl.col(name).fill_null(unsaid) if name in stored else unsaid.alias(name)
    if name not in stored:
        return pl.lit(None, wanted).alias(name)
    return pl.col(name) if stored[name] == wanted else pl.col(name).cast(wanted)  # filters pass a cast less often


def _schema_mode(data: pl.DataFrame, snapshot: DeltaTable) -> Literal["merge"] | None:
    """Choose how a commit treats a table with other columns than the contract.

    Both keep their columns; what one of them lacks is null.
    """
    return "merge" if set(data.columns) != {field.name for field in snapshot.schema().fields} else None


def _schema(snapshot: DeltaTable) -> pl.Schema:
    return pl.Schema(snapshot.schema())  # through pyarrow's tables it would load pandas too


def _adds(snapshot: DeltaTable) -> pl.DataFrame:
    """Return one row per data file of the snapshot, by day (see :meth:`Warehouse.files`)."""
    actions = pl.DataFrame(snapshot.get_add_actions(flatten=True))
    if actions.is_empty():
        return pl.DataFrame(schema=_FILES)
    return actions.select(
        pl.col("path"),
        pl.col("partition.date").cast(pl.Date).alias("day"),
        pl.col("num_records").cast(pl.Int64).alias("rows"),
        pl.col("size_bytes").cast(pl.Int64).alias("bytes"),
        (pl.col("modification_time").cast(pl.Int64) / 1000).alias("written_at"),
    ).sort("day", maintain_order=True)


def _changed_days(data: pl.DataFrame, stored: pl.DataFrame, days: list[date]) -> list[date]:
    """Find the days whose rows differ.

    The other days keep their files, so that downstream tables do not see them as new.
    """
    if stored.is_empty():
        return days
    after, before = (
        {key[0]: part for key, part in frame.partition_by("date", as_dict=True).items()} for frame in (data, stored)
    )
    none = data.clear()
    return [day for day in days if not after.get(day, none).equals(before.get(day, none))]


def of_settings(settings: Settings) -> Warehouse:
    """Open the warehouse of these settings; that of a demo's home accepts a sandbox's rows only."""
    return Warehouse(settings.warehouse, accepts=origin.SANDBOX if settings.demo else None)


def _by_day(
    contract: Contract, data: pl.DataFrame, days: list[date], files: pl.DataFrame, changed: set[date]
) -> dict[date, DayReport]:
    """Report each day by itself: all days in two passes, however many there are."""
    time = pl.col(contract.time_column) if contract.time_column else pl.lit(None, pl.Datetime("us", "UTC"))
    values = contract.value_columns
    counted = data.group_by("date").agg(
        pl.len(), time.min().alias("first"), time.max().alias("last"), pl.col("available_at").max(),
        *(pl.col(name).null_count().alias(f"nulls of {name}") for name in values),
    )  # fmt: skip
    sizes = dict(files.group_by("day").agg(pl.col("bytes").sum()).rows())
    found = {day: DayReport(bytes=sizes.get(day, 0), changed=day in changed) for day in days}
    for day, rows, first, last, known, *nulls in counted.rows():
        shares = {name: round(count / rows, 6) for name, count in zip(values, nulls, strict=True)}
        found[day] = replace(found[day], rows=rows, first=first, last=last, available_at=known, null_shares=shares)
    return found


def now() -> float:
    """Return the current time in epoch seconds, comparable with ``written_at``."""
    return datetime.now(timezone.utc).timestamp()


def _properties(contract: Contract) -> WriterProperties:
    """Turn off dictionaries for numbers.

    Numbers hardly repeat, and trying took four fifths of the time of a write and most of its memory.
    """
    plain = ColumnProperties(dictionary_enabled=False)
    return WriterProperties(
        compression="SNAPPY", column_properties={c.name: plain for c in contract.columns if c.dtype == pl.Float64}
    )


def _predicate(days: list[date]) -> str:
    if (days[-1] - days[0]).days + 1 == len(days):
        return f"date >= '{days[0]}' AND date <= '{days[-1]}'"
    return f"date IN ({', '.join(repr(str(day)) for day in days)})"
