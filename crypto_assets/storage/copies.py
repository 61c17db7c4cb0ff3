"""Copies of whole tables between folders and object stores: backup and restore.

Delta files never change, so a copy is consistent while the table is written to: the version is fixed first, then data
files go over, then the log in order. A reader of the copy sees whole versions only, and a copy that broke off is
finished by the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.fs as arrow_fs
from deltalake.exceptions import DeltaError

from crypto_assets.errors import WarehouseError
from crypto_assets.schemas import CONTRACTS
from crypto_assets.storage.object_store import options, reason
from crypto_assets.storage.warehouse import Warehouse

_LOG = re.compile(r"_delta_log/(\d{20})\.")
BLOCK = 8 * 1024 * 1024


@dataclass
class Copied:
    """Table -> version that was copied; files and bytes that were not there yet."""

    versions: dict[str, int] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0


def copy_tables(source: Warehouse, target: Warehouse, *, only_into_empty: bool = False) -> Copied:
    """Bring every table of the source over. Raises :class:`WarehouseError` before anything is written if it must not."""
    wanted = {table: version for table in CONTRACTS if (version := source.version(table)) is not None}
    if not wanted:
        raise WarehouseError(f"{source.uri} holds no table; give the address of a warehouse or of a backup")
    taken = [table for table in wanted if target.exists(table)]
    if only_into_empty and taken:
        raise WarehouseError(
            f"{target.uri} already holds {', '.join(taken)}; nothing was restored; point CRYPTO_ASSETS_WAREHOUSE at an "
            "empty place, or move these tables away"
        )
    for table in taken:
        if (ahead := target.version(table) or 0) > wanted[table]:
            raise WarehouseError(
                f"{table} in {target.uri} is at version {ahead}, beyond {wanted[table]} of {source.uri}: it is no backup "
                "of it; choose an empty place"
            )
    done = Copied(versions=wanted)
    try:
        for table, version in wanted.items():
            _copy(table_files(source, table), table_files(target, table), version, done)
    except (DeltaError, OSError) as error:
        raise WarehouseError(
            f"{source.uri} cannot be copied to {target.uri} ({reason(error)}); run the same command again to go on"
        ) from error
    return done


def _copy(source: arrow_fs.SubTreeFileSystem, target: arrow_fs.SubTreeFileSystem, version: int, done: Copied) -> None:
    there = dict(_sizes(target))
    for path, size in sorted(_sizes(source), key=_order):
        numbered = _LOG.match(path)
        if (numbered and int(numbered[1]) > version) or there.get(path) == size:
            continue
        if path.startswith("_delta_log/") and not numbered:
            continue  # _last_checkpoint is a hint: without it the log is listed
        if isinstance(target.base_fs, arrow_fs.LocalFileSystem):  # a store has no folders
            target.create_dir(path.rpartition("/")[0])
        with source.open_input_file(path) as opened, target.open_output_stream(path) as written:
            while block := opened.read(BLOCK):
                written.write(block)
        done.files += 1
        done.bytes += size


def _order(found: tuple[str, int]) -> tuple[bool, str]:
    """Data before the log, the log from its first version on."""
    return found[0].startswith("_delta_log/"), found[0]


def _sizes(system: arrow_fs.FileSystem) -> Iterator[tuple[str, int]]:
    for info in system.get_file_info(arrow_fs.FileSelector("", recursive=True, allow_not_found=True)):
        if info.type == arrow_fs.FileType.File:
            yield info.path.removeprefix("/"), info.size


def table_files(warehouse: Warehouse, table: str) -> arrow_fs.SubTreeFileSystem:
    """The table's folder as a file system of its own."""
    if warehouse.is_local:
        folder = Path(warehouse.path(table))
        folder.mkdir(parents=True, exist_ok=True)
        return arrow_fs.SubTreeFileSystem(str(folder), arrow_fs.LocalFileSystem())
    found = options(warehouse.uri)
    endpoint = urlsplit(found["aws_endpoint_url"]) if "aws_endpoint_url" in found else None
    where = {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme} if endpoint else {}
    store = arrow_fs.S3FileSystem(region=found["aws_region"], connect_timeout=5, request_timeout=60, **where)
    return arrow_fs.SubTreeFileSystem(warehouse.path(table).split("://", 1)[1], store)
