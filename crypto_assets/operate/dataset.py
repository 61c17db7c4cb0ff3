"""Training sets: features and labels in one Parquet file that can be made again, byte for byte.

The version of ``ml_features`` decides everything: every other table is read as it was at the instant of that version's
commit. So one number, or an instant that leads to it, gives the same bytes after the tables have changed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pyarrow as arrow
from pyarrow import parquet

from crypto_assets.assets import backfilled
from crypto_assets.catalog.listings import resolve
from crypto_assets.dates import DAY, chunks
from crypto_assets.errors import CryptoAssetsError, UsageError, WarehouseError, free_space_note, suggestion
from crypto_assets.storage import versions
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.pit_quality import PIT_QUALITY
from crypto_assets.tables.registry import LOOK_BACK
from crypto_assets.tables.schemas import ML_FEATURES
from crypto_assets.tables.universe import LISTED, UNIVERSE
from crypto_assets.transforms import labels
from crypto_assets.transforms.labels import Horizon

FEATURES, PRICES = ML_FEATURES.table, "prices"
MEMBERS = UNIVERSE.table  # which coins there were on a day
CHUNK_DAYS = 31  # days in memory at once: about 250 MB for 300 coins
LONGEST_HORIZON_HOURS = 24 * 366
ALWAYS = (*ML_FEATURES.key, *ML_FEATURES.metadata_columns)
VERSIONS_KEY, CALL_KEY = b"delta_versions", b"crypto_assets"  # keys of the Parquet file's metadata


@dataclass(frozen=True)
class Request:
    """What the training set must hold.

    A row has start <= ts, and everything in it, also labels, is known by ``end``.
    """

    start: datetime
    end: datetime
    horizon: Horizon
    barrier: float = 1.0
    symbols: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None  # features; None: all
    as_of: int | datetime | None = None  # version of ml_features, or an instant; None: newest
    top: int | None = None  # only coins that ranked so on the day before, as universe has it; None: all
    without_empty: bool = False  # whether features that no row has a value of are left out
    allow_backfilled: bool = (
        False  # whether features stay that rest on backfilled rows of a table added since pit_quality
    )


@dataclass(frozen=True)
class Built:
    """What was written.

    Attributes:
        rows: Rows of the file.
        unlabelled: Feature rows that are not in it, because they had no label.
        features: Number of feature columns.
        versions: Version of every input table.
        empty: Feature columns of the file that no row has a value of.
        left_out: Such columns that were left out.
        backfilled: Input table with backfilled rows -> feature columns of the file that rest on it.
        left_out_backfilled: Feature columns that were left out, because they rest on such a table.
    """

    rows: int
    unlabelled: int
    features: int
    versions: dict[str, int | None]
    empty: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    backfilled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out_backfilled: tuple[str, ...] = ()


def parse_horizon(text: str) -> Horizon:
    """Read a horizon.

    Args:
        text: e.g. ``24h`` or ``7d``.

    Returns:
        The horizon.

    Raises:
        UsageError: the text is not a horizon.
    """
    found = re.fullmatch(r"([1-9]\d{0,5})([hd])", text.strip().lower())
    hours = int(found[1]) * (24 if found[2] == "d" else 1) if found else 0
    if not 1 <= hours <= LONGEST_HORIZON_HOURS:
        raise UsageError(f"--horizon {text!r} is not a span of hours or days up to a year; write e.g. 24h or 7d")
    return Horizon(hours, text.strip().lower())


def build(warehouse: Warehouse, request: Request, out: Path) -> Built:
    """Write the training set completely or not at all, in order of ts, then symbol.

    Args:
        warehouse: the tables.
        request: what to write.
        out: the Parquet file.

    Returns:
        What was written.

    Raises:
        UsageError: the request makes no sense.
        CryptoAssetsError: there are no rows, the version does not exist, or the file cannot be written.
    """
    if request.end <= request.start:
        raise UsageError(f"--end ({request.end:%Y-%m-%d %H:%M}) is not after --start ({request.start:%Y-%m-%d %H:%M})")
    if request.symbols is not None:
        symbols = resolve(request.symbols, "--symbols", request.start.date(), request.end.date())
        request = replace(request, symbols=symbols)
    versions = _versions(warehouse, request.as_of, {MEMBERS} if request.top else set())
    names = _columns(warehouse, versions[FEATURES], request.columns)
    resting = _resting(warehouse, request, versions, names)
    names = [name for name in names if name not in resting.left_out]
    left_out: tuple[str, ...] = ()
    if request.without_empty:  # which columns these are is known only when every row was seen
        left_out = _empty(part for part, _ in _parts(warehouse, request, versions, names))
        names = [name for name in names if name not in left_out]
        resting = resting.without(left_out)
    rows = unlabelled = 0
    empty: set[str] = {name for name in names if name not in ALWAYS}
    with _whole(out) as draft:
        writer: parquet.ParquetWriter | None = None
        for found, without_label in _parts(warehouse, request, versions, names):
            empty &= set(_empty([found]))
            table = found.to_arrow(compat_level=pl.CompatLevel.oldest())
            if writer is None:
                writer = _writer(
                    draft,
                    table.schema.with_metadata(_metadata(request, versions, resting if PIT_QUALITY in names else None)),
                )
            writer.write_table(table.cast(writer.schema))
            rows, unlabelled = rows + found.height, unlabelled + without_label
        if writer is not None:
            writer.close()
        if rows == 0:
            raise CryptoAssetsError(_nothing(request, versions, unlabelled))
    features = [name for name in names if name not in ALWAYS]
    wholly_empty = tuple(n for n in features if n in empty)
    return Built(rows, unlabelled, len(features), versions, wholly_empty, left_out, resting.kept, resting.left_out)


def _resting(
    warehouse: Warehouse, request: Request, versions: dict[str, int | None], names: Sequence[str]
) -> backfilled.Resting:
    """Find what rests on backfilled rows, as the tables were at these versions.

    Raises:
        UsageError: A column that was asked for by name would be left out.
    """

    def read(table: str, start: date, end: date, columns: Sequence[str], symbols: Sequence[str] | None) -> pl.DataFrame:
        return _read(warehouse, table, versions, start, end, columns, symbols)

    there = [table for table, version in versions.items() if version is not None]
    tables = backfilled.backfilled_tables(there, read, request.start.date(), request.end, request.symbols)
    features = [name for name in names if name not in ALWAYS]
    found = backfilled.resting(features, tables, allow=request.allow_backfilled)
    if asked := [name for name in found.left_out if name in (request.columns or ())]:
        raise UsageError(
            f"--columns: {', '.join(asked)} rest on backfilled rows, which their provider may have revised since; add "
            "--allow-backfilled to have them all the same"
        )
    return found


def _empty(parts: Iterable[pl.DataFrame]) -> tuple[str, ...]:
    """Return the feature columns that no row of these frames has a value of, in their order."""
    empty: list[str] | None = None
    for part in parts:
        nulls = [name for name in part.columns if name in ML_FEATURES.by_name and name not in ALWAYS
                 and part[name].null_count() == part.height]  # fmt: skip
        empty = nulls if empty is None else [name for name in empty if name in nulls]
    return tuple(empty or ())


def _versions(warehouse: Warehouse, as_of: int | datetime | None, more: set[str]) -> dict[str, int | None]:
    """Return table -> version at the commit of the wanted version of ml_features, for all tables behind the features.

    ``more`` names further tables.
    """
    if as_of is None:
        version = warehouse.version(FEATURES)
    elif isinstance(as_of, int):
        version = as_of
    else:
        version = versions.version_at(warehouse, FEATURES, as_of)
    if version is None:
        when = f" at {as_of:%Y-%m-%d %H:%M:%S} UTC" if isinstance(as_of, datetime) else ""
        raise WarehouseError(
            f"{FEATURES} did not exist{when} in {warehouse.uri}; materialise it with crypto-assets backfill"
        )
    moment = versions.committed_at(warehouse, FEATURES, version)
    others = {
        name: versions.version_at(warehouse, name, moment) for name in sorted(_inputs(FEATURES) | {PRICES} | more)
    }
    return {FEATURES: version, **others}


def _inputs(table: str) -> set[str]:
    direct = set(LOOK_BACK.get(table, ()))
    return direct.union(*(_inputs(name) for name in direct))


def _columns(warehouse: Warehouse, version: int | None, wanted: Sequence[str] | None) -> list[str]:
    """Return the columns to write, in the order of the table as stored then.

    Columns that were added later do not change old bytes.
    """
    snapshot = warehouse.snapshot(FEATURES, version)
    stored = [field.name for field in snapshot.schema().fields] if snapshot is not None else []
    stored = [name for name in stored if name in ML_FEATURES.by_name]
    features = [name for name in stored if name not in ALWAYS]
    if unknown := sorted(set(wanted or ()) - set(features)):
        raise UsageError(
            f"--columns: {', '.join(unknown)} not among the features of {FEATURES} version {version}"
            f"{suggestion(unknown, features)}; "
            "they are listed in docs/data-dictionary.md"
        )
    return [name for name in stored if name in ALWAYS or wanted is None or name in wanted]


def _parts(
    warehouse: Warehouse, request: Request, versions: dict[str, int | None], names: list[str]
) -> Iterator[tuple[pl.DataFrame, int]]:
    """Yield (labelled rows, how many rows had no label) for consecutive ranges of days."""
    ahead = request.horizon.span
    days = warehouse.files(FEATURES, versions[FEATURES]).filter(pl.col("rows") > 0)["day"]
    last = min(request.end.date(), days.max()) if days.len() else request.start.date() - DAY  # type: ignore[type-var]
    for first, until in chunks(request.start.date(), last, CHUNK_DAYS):  # type: ignore[arg-type]
        rows = _read(warehouse, FEATURES, versions, first, until, [*names, labels.VOLATILITY], request.symbols)
        rows = rows.filter(pl.col("ts").is_between(request.start, request.end))
        if request.top is not None:
            rows = rows.join(
                _members(warehouse, request.top, versions, first, until), on=["symbol", "date"], how="semi"
            )
        if rows.is_empty():
            continue
        prices = _read(
            warehouse, PRICES, versions, first, (until + DAY + ahead),
            ["symbol", "ts", "price_usd", "available_at"], rows["symbol"].unique().to_list(),
        )  # fmt: skip
        found = labels.label(rows, prices, request.horizon, barrier=request.barrier, known_by=request.end)
        yield found.select(*names, *request.horizon.columns), rows.height - found.height


def _members(warehouse: Warehouse, top: int, versions: dict[str, int | None], first: date, last: date) -> pl.DataFrame:
    """Return symbol, date: the largest listed coins of the day before, which was known when the day began."""
    columns = ["symbol", "date", "state", "rank"]
    rows = _read(warehouse, MEMBERS, versions, first - DAY, last - DAY, columns, None)
    members = rows.filter(pl.col("state") == LISTED, pl.col("rank") <= top)
    return members.select("symbol", pl.col("date") + pl.duration(days=1))


def _read(
    warehouse: Warehouse,
    table: str,
    versions: dict[str, int | None],
    start: date,
    end: date,
    columns: Sequence[str],
    symbols: Sequence[str] | None,
) -> pl.DataFrame:
    version = versions[table]
    if version is None:
        raise WarehouseError(
            f"{table} did not exist when version {versions[FEATURES]} of {FEATURES} was written, so nothing can be "
            "labelled; materialise it with crypto-assets backfill"
        )
    try:
        return warehouse.read(table, start=start, end=end, columns=columns, symbols=symbols, version=version)
    except WarehouseError as error:
        if version == warehouse.version(table):
            raise
        raise WarehouseError(
            f"version {version} of {table} cannot be read any more ({error.__cause__}): its files were vacuumed; "
            "choose a later --as-of"
        ) from error


def _metadata(
    request: Request, versions: dict[str, int | None], resting: backfilled.Resting | None
) -> dict[bytes, bytes]:
    """Describe how to make this file again.

    It holds no time or place of the call, so that equal calls give equal bytes. ``resting`` is None for a version of
    ``ml_features`` without ``pit_quality``, whose files keep their bytes.
    """
    call = {
        "start": request.start.isoformat(),
        "end": request.end.isoformat(),
        "horizon": request.horizon.text,
        "barrier": request.barrier,
        "symbols": list(request.symbols) if request.symbols is not None else None,
        "columns": list(request.columns) if request.columns is not None else None,
        **({"top": request.top} if request.top else {}),
        **({"without_empty": True} if request.without_empty else {}),  # absent otherwise: older files keep their bytes
        **({"allow_backfilled": True} if request.allow_backfilled else {}),
        **({"backfilled": resting.kept, "left_out_backfilled": resting.left_out} if resting is not None else {}),
        "as_of": versions[FEATURES],
        "delta_versions": versions,
        "labels": request.horizon.columns,
        "reference": labels.REFERENCE,
    }
    return {VERSIONS_KEY: json.dumps(versions).encode(), CALL_KEY: json.dumps(call, ensure_ascii=False).encode()}


def _writer(draft: Path, schema: arrow.Schema) -> parquet.ParquetWriter:
    return parquet.ParquetWriter(draft, schema, compression="zstd", compression_level=3, version="2.6")


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """Give a path that becomes ``out`` when the block succeeds, and is deleted otherwise."""
    draft = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        if out.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        draft.touch()
        yield draft
        with draft.open("rb+") as handle:
            os.fsync(handle.fileno())
        draft.replace(out)
    except OSError as error:
        raise CryptoAssetsError(
            f"--out {out} cannot be written ({error.strerror or error}){free_space_note(error, out)}; nothing was written; name a file in a folder "
            "that exists and that you may write"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _nothing(request: Request, versions: dict[str, int | None], unlabelled: int) -> str:
    when = f"between {request.start:%Y-%m-%d %H:%M} and {request.end:%Y-%m-%d %H:%M} UTC"
    if unlabelled:
        return (
            f"none of the {unlabelled} row(s) of {FEATURES} {when} has its price {request.horizon.text} later by the "
            "end; nothing was written; choose a later --end or a shorter --horizon"
        )
    return (
        f"{FEATURES} version {versions[FEATURES]} has no rows {when}; nothing was written; choose another range or "
        "fill it with crypto-assets backfill"
    )
