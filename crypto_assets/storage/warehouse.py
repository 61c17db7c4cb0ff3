"""Delta tables, one a contract, partitioned by ``date``: atomic per range, idempotent, safe with many writers.

One Dagster partition is one Delta partition ``date=YYYY-MM-DD``. A write touches only the days it names, in one
commit; a concurrent commit to the same days is noticed by Delta, and the write starts over from the new snapshot.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as arrow
from deltalake import ColumnProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from pyarrow.dataset import Dataset, dataset

from crypto_assets.errors import ContractError, UsageError, WarehouseError
from crypto_assets.storage import object_store
from crypto_assets.storage.memory import give_back
from crypto_assets.tables.contract import Contract, Frame, WriteMode
from crypto_assets.tables.schemas import CONTRACTS

_FILES = {"path": pl.String, "day": pl.Date, "rows": pl.Int64, "bytes": pl.Int64, "written_at": pl.Float64}
ATTEMPTS = 25  # of a commit; each one lost means that another writer's went through


@dataclass(frozen=True)
class WriteReport:
    """What a write did. ``changed`` is False where the table already held exactly these rows: no commit was made."""

    rows: int
    bytes: int
    version: int
    changed: bool
    first: str
    last: str
    null_shares: Mapping[str, float]


class Warehouse:
    """Tables under one root: a folder, or an ``s3://`` address that is reached as ``object_store.py`` says."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        if not self.is_local and set("#?") & set(uri):
            raise UsageError(f"CRYPTO_ASSETS_WAREHOUSE {uri!r} has a # or ? in it; write s3://BUCKET/FOLDER")
        self.storage_options = object_store.options(self.uri) or None

    def path(self, table: str) -> str:
        return f"{self.uri}/{table}"

    @cached_property
    def is_local(self) -> bool:
        return "://" not in self.uri

    @property
    def _what_to_check(self) -> str:
        return "check CRYPTO_ASSETS_WAREHOUSE" + ("" if self.is_local else ", AWS_ENDPOINT_URL, the credentials")

    # Reading

    def snapshot(self, table: str, version: int | None = None) -> DeltaTable | None:
        """The table at a version (default: newest), or None while it does not exist."""
        found = self._open(table, version)
        if found is None and self.is_local and any(Path(self.path(table)).glob("date=*/*.parquet")):  # not empty: torn
            raise self.unreadable(table, FileNotFoundError("its files are there, its commit log _delta_log is not"))
        return found

    def _open(self, table: str, version: int | None = None) -> DeltaTable | None:
        if self.is_local and not Path(self.path(table)).exists():
            self._check_root()
            return None
        try:
            return DeltaTable(self.path(table), version=version, storage_options=self.storage_options)
        except TableNotFoundError as error:
            if version is not None and self.snapshot(table) is not None:  # not empty: its place in the log was cut
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
    ) -> pl.DataFrame:
        """Rows of the inclusive day range, sorted by key, in the contract's types and order; empty while there are none."""
        contract = CONTRACTS[table] if isinstance(table, str) else table
        return self._read(contract, self.snapshot(contract.table, version), start, end, columns, symbols)

    def scan(self, table: Contract | str, **range_: date | None) -> pl.LazyFrame:
        return self.read(table, start=range_.get("start"), end=range_.get("end")).lazy()

    def _read(
        self,
        contract: Contract,
        snapshot: DeltaTable | None,
        start: date | None = None,
        end: date | None = None,
        columns: Sequence[str] | None = None,
        symbols: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        wanted = [name for name in contract.names if columns is None or name in columns]
        if snapshot is None:
            return contract.empty().select(wanted)
        try:
            lazy = self._scan(contract, snapshot, start, end)
            if symbols is not None:
                lazy = lazy.filter(pl.col("symbol").is_in(list(symbols)))
            stored = lazy.collect_schema()
            order = [name for name in contract.key if name in wanted]
            return (
                lazy.select(
                    pl.col(name).cast(contract.polars_schema[name])
                    if name in stored  # a column added to the contract later is null in older files
                    else pl.lit(None, contract.polars_schema[name]).alias(name)
                    for name in wanted
                )
                .collect()
                .sort(order or wanted[:1])
            )
        except (pl.exceptions.PolarsError, DeltaError, OSError) as error:
            raise self.unreadable(contract.table, error) from error

    def _scan(self, contract: Contract, snapshot: DeltaTable, start: date | None, end: date | None) -> pl.LazyFrame:
        within = pl.lit(value=True)
        if start is not None:
            within &= pl.col("date") >= start
        if end is not None:
            within &= pl.col("date") <= end
        # Polars' Delta reader takes the encoded address for the path: a folder with a blank in its name is not found.
        stored = _schema(snapshot)
        paths = self._list(snapshot).rename({"day": "date"}).filter(within)["path"]
        if paths.is_empty():
            return pl.LazyFrame(schema=stored)
        return pl.scan_parquet(
            [f"{self.path(contract.table)}/{path}" for path in paths],
            schema=stored,
            hive_schema={"date": pl.Date},
            missing_columns="insert",
            glob=False,
            storage_options=object_store.for_polars(self.uri),
            credential_provider=None,  # its own would look for boto3; the environment is read without it
        )

    def dataset(self, contract: Contract) -> Dataset:
        """The newest snapshot, unread, with the contract's columns: a column added later is null in older files."""
        snapshot = self.snapshot(contract.table)
        schema = contract.empty().to_arrow().schema
        return dataset(schema.empty_table()) if snapshot is None else snapshot.to_pyarrow_dataset(schema=schema)

    def exists(self, table: str) -> bool:
        return self._open(table) is not None  # no for what a restore that was cut short has left

    def version(self, table: str) -> int | None:
        snapshot = self.snapshot(table)
        return None if snapshot is None else snapshot.version()

    def versions(self) -> dict[str, int | None]:
        return {table: self.version(table) for table in CONTRACTS}

    def files(self, table: str, version: int | None = None) -> pl.DataFrame:
        """One row a data file of the snapshot (default: newest): path, day, rows, bytes, written_at (epoch seconds)."""
        snapshot = self.snapshot(table, version)
        return pl.DataFrame(schema=_FILES) if snapshot is None else self._list(snapshot)

    def _list(self, snapshot: DeltaTable) -> pl.DataFrame:
        return _adds(snapshot)

    def _files_between(self, table: str, start: date, end: date) -> pl.DataFrame:
        return self.files(table).filter(pl.col("day").is_between(start, end))

    def days_with_rows(self, table: str, start: date, end: date) -> dict[date, int]:
        """Rows by day, from the commit log alone."""
        found = self._files_between(table, start, end).group_by("day").agg(pl.col("rows").sum())
        return {day: rows for day, rows in found.rows() if rows}

    def written_at(self, table: str, start: date, end: date) -> dict[date, float]:
        """Day -> epoch seconds of the newest write to it, from the commit log alone."""
        found = self._files_between(table, start, end).group_by("day").agg(pl.col("written_at").max())
        return dict(found.rows())

    def newest_available_at(self, table: str, start: date, end: date) -> datetime | None:
        """The newest ``available_at`` among the range's rows; only the newest day with rows is opened."""
        days = self.days_with_rows(table, start, end)
        if not days:
            return None
        newest = max(days)
        value = self.read(table, start=newest, end=newest, columns=["available_at"])["available_at"].max()
        return value if isinstance(value, datetime) else None

    def content_hash(self, table: str, start: date | None = None, end: date | None = None) -> str:
        """SHA-256 of the range's rows in key order: equal rows give an equal hash however they were written."""
        frame = self.read(table, start=start, end=end)
        return hashlib.sha256(frame.write_json().encode()).hexdigest()

    # Writing

    def write(self, contract: Contract, frame: Frame, days: Sequence[date]) -> WriteReport:
        """Bring these days to the frame's rows, as the contract's write mode says, in at most one commit.

        Raises :class:`ContractError` before anything is written when a rule is broken or a row lies outside ``days``;
        :class:`WarehouseError` when the store cannot be written.
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
                give_back(data.height)  # what making the rows has left
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
        """Remove the rows of these keys (with their ``date``) in one commit; returns how many there were."""
        wanted = sorted(set(keys["date"]))
        if not wanted or not self.exists(contract.table):
            return 0
        for attempt in range(ATTEMPTS):
            snapshot = self.snapshot(contract.table)
            stored = self._read(contract, snapshot, wanted[0], wanted[-1]).filter(pl.col("date").is_in(wanted))
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
        snapshot = self._open_or_create(contract)
        stored = self._read(contract, snapshot, days[0], days[-1]).filter(pl.col("date").is_in(days))
        if contract.write_mode is WriteMode.MERGE:
            kept = stored.join(data, on=list(contract.key), how="anti", nulls_equal=True)
            data = pl.concat([kept, _as_first_stored(contract, data, stored)]).sort(contract.key)
        elif contract.write_mode is WriteMode.KEEP:
            fresh = data.join(stored, on=list(contract.key), how="anti", nulls_equal=True)
            data = pl.concat([stored, fresh]).sort(contract.key)
        if data.equals(stored):
            return self._report(contract, data, days, snapshot.version(), changed=False)
        touched = _changed_days(data, stored, days)
        write_deltalake(
            snapshot,
            data.filter(pl.col("date").is_in(touched)).to_arrow(),
            mode="overwrite",
            predicate=_predicate(touched),
            writer_properties=_properties(contract),
            schema_mode=_schema_mode(data, snapshot),
        )
        return self._report(contract, data, days, snapshot.version(), changed=True)

    def _open_or_create(self, contract: Contract) -> DeltaTable:
        snapshot = self.snapshot(contract.table)
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
            snapshot = self.snapshot(contract.table)
            if snapshot is None:
                raise CommitFailedError(f"{contract.table} vanished while it was created")
        self._check_types(contract, snapshot)
        return snapshot

    def _check_types(self, contract: Contract, snapshot: DeltaTable) -> None:
        """A new nullable column is additive; a changed type is refused with the way out."""
        stored = _schema(snapshot)
        changed = [n for n, kind in contract.polars_schema.items() if n in stored and stored[n] != kind]
        if changed:
            raise WarehouseError(
                f"{contract.table}: the stored type of {', '.join(changed)} differs from the contract; nothing was "
                f"written; move {self.path(contract.table)} away and backfill, or give the column a new name"
            )

    def _report(
        self, contract: Contract, data: pl.DataFrame, days: list[date], version: int, *, changed: bool
    ) -> WriteReport:
        time_column = contract.time_column or "date"
        size = self._files_between(contract.table, days[0], days[-1])["bytes"].sum()
        return WriteReport(
            rows=data.height,
            bytes=int(size or 0),
            version=version,
            changed=changed,
            first=str(data[time_column].min()) if data.height else "",
            last=str(data[time_column].max()) if data.height else "",
            null_shares={
                name: round(data[name].null_count() / data.height, 6) if data.height else 0.0
                for name in contract.value_columns
            },
        )

    def _check_root(self) -> None:
        root = Path(self.uri)
        if root.exists() and not root.is_dir():
            raise WarehouseError(f"the warehouse {self.uri} is not a folder; set CRYPTO_ASSETS_WAREHOUSE to one")

    def _unwritable(self, contract: Contract, error: Exception) -> WarehouseError:
        return WarehouseError(
            f"{contract.table} cannot be written to {self.uri} ({object_store.reason(error)}); nothing was written; "
            f"{self._what_to_check}, its rights and its space"
        )

    def unreadable(self, table: str, error: Exception) -> WarehouseError:
        return WarehouseError(
            f"{table} in {self.uri} cannot be read ({object_store.reason(error)}); {self._what_to_check} and its rights, "
            "or restore the table from a backup, or move its folder away and backfill"
        )


def _as_first_stored(contract: Contract, data: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """The new rows, with the columns that the contract keeps as they are in the stored row of the same key."""
    if not contract.keeps or stored.is_empty():
        return data
    key = list(contract.key)
    first = stored.select(*key, *contract.keeps)
    known = data.drop(contract.keeps).join(first, on=key, how="inner", nulls_equal=True).select(data.columns)
    return pl.concat([known, data.join(first, on=key, how="anti", nulls_equal=True)])


def _schema_mode(data: pl.DataFrame, snapshot: DeltaTable) -> Literal["merge"] | None:
    """How a commit meets a table with other columns than the contract's: both keep theirs, what one lacks is null."""
    return "merge" if set(data.columns) != {field.name for field in snapshot.schema().fields} else None


def _schema(snapshot: DeltaTable) -> pl.Schema:
    return pl.DataFrame(arrow.schema(snapshot.schema()).empty_table()).schema


def _adds(snapshot: DeltaTable) -> pl.DataFrame:
    """One row a data file of the snapshot (see :meth:`Warehouse.files`)."""
    actions = pl.DataFrame(snapshot.get_add_actions(flatten=True))
    if actions.is_empty():
        return pl.DataFrame(schema=_FILES)
    return actions.select(
        pl.col("path"),
        pl.col("partition.date").cast(pl.Date).alias("day"),
        pl.col("num_records").cast(pl.Int64).alias("rows"),
        pl.col("size_bytes").cast(pl.Int64).alias("bytes"),
        (pl.col("modification_time").cast(pl.Int64) / 1000).alias("written_at"),
    )


def _changed_days(data: pl.DataFrame, stored: pl.DataFrame, days: list[date]) -> list[date]:
    """The days whose rows differ: the others keep their files, so that nothing downstream takes them for new."""
    if stored.is_empty():
        return days
    after, before = (
        {key[0]: part for key, part in frame.partition_by("date", as_dict=True).items()} for frame in (data, stored)
    )
    none = data.clear()
    return [day for day in days if not after.get(day, none).equals(before.get(day, none))]


def now() -> float:
    """Epoch seconds, comparable with ``written_at``."""
    return datetime.now(timezone.utc).timestamp()


def _properties(contract: Contract) -> WriterProperties:
    """No dictionaries for numbers: they hardly repeat, and trying took four fifths of a write and most of its memory."""
    plain = ColumnProperties(dictionary_enabled=False)
    return WriterProperties(
        compression="SNAPPY", column_properties={c.name: plain for c in contract.columns if c.dtype == pl.Float64}
    )


def _predicate(days: list[date]) -> str:
    if (days[-1] - days[0]).days + 1 == len(days):
        return f"date >= '{days[0]}' AND date <= '{days[-1]}'"
    return f"date IN ({', '.join(repr(str(day)) for day in days)})"
