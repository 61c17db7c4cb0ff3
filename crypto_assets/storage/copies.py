"""Copy whole tables between folders and object stores: backup and restore.

Delta files never change, so a copy is consistent while the table is written to. The version is fixed first, then the
data files are copied, then the log in order. A reader of the copy sees only whole versions. The next copy finishes one
that was interrupted.

Names and version numbers do not prove that two tables are the same: a table that was moved away and filled again has
the same ones. So a copy continues only where the newest commit of the copy is, byte for byte, a commit of the source. A
commit names its files and its instant, so two histories never share one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import pyarrow.fs as arrow_fs
from deltalake.exceptions import DeltaError

from crypto_assets.errors import WarehouseError, free_space_note
from crypto_assets.storage import artefacts
from crypto_assets.storage.files import table_files
from crypto_assets.storage.object_store import reason
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS

_LOG = re.compile(r"_delta_log/(\d{20})\.")
_COMMIT = re.compile(r"_delta_log/(\d{20})\.json")
_DRAFT = re.compile(r"(?:^|/)\.[^/]*\.draft$")
DRAFT_LIFE_S = 3600.0  # a draft without writes for this long belongs to a copy that was killed
BLOCK = 8 * 1024 * 1024
MARK = "_backup.json"  # marks a backup, as opposed to a warehouse in use: its tables may be set aside


@dataclass
class Copied:
    """What a copy did.

    Attributes:
        versions: table -> version that was copied.
        files: the number of files that were not there yet.
        bytes: the size of these files.
        set_aside: table -> address where the copy of a different table of this name was moved to.
        kept: tables of the backup that the source no longer has; they stay as they are.
    """

    versions: dict[str, int] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    set_aside: dict[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()


def copy_tables(source: Warehouse, target: Warehouse, *, only_into_empty: bool = False) -> Copied:
    """Copy every table of the source, each at one version, with its history.

    The backup may hold a copy that is not an earlier state of the source's table (the table was moved away and filled
    again, or replaced by an older copy of itself). That copy is kept under another name, and a new one begins.

    Args:
        source: the warehouse to copy from.
        target: the warehouse to copy to; made if need be.
        only_into_empty: for a restore: a table in the target is continued if an earlier copy was interrupted, and
            otherwise refused.

    Returns:
        What was copied.

    Raises:
        WarehouseError: before any write where the target holds a table that must not be touched; later where one of the
            two cannot be read or written, or was replaced meanwhile. The same command continues where it stopped.
    """
    if _same_place(source, target):
        raise WarehouseError(f"{target.uri} is the warehouse itself; nothing was copied; name another place")
    wanted = {table: version for table in CONTRACTS if (version := source.version(table)) is not None}
    if not wanted:
        raise WarehouseError(f"{source.uri} holds no table; give the address of a warehouse or of a backup")
    done = Copied(versions=wanted)
    try:
        pairs = [_Pair(source, target, table, version) for table, version in wanted.items()]
        others = [pair for pair in pairs if pair.is_other()]
        if only_into_empty:
            _refuse_restore(target, pairs, others)
        else:
            if others and not _is_marked(target):
                raise WarehouseError(
                    f"{', '.join(pair.table for pair in others)} in {target.uri} is no earlier state of the table in "
                    f"{source.uri}, and {target.uri} is no backup of it; nothing was copied; choose an empty place"
                )
            _mark(target)
            done.kept = tuple(table for table in CONTRACTS if table not in wanted and _commits_in(target, table))
        for pair in others:
            done.set_aside[pair.table] = pair.set_aside()
        _copy_models(source, target, done)  # before the rows that name them
        for pair in pairs:
            pair.copy(done)
    except (DeltaError, OSError) as error:
        space = free_space_note(error, target.uri) if target.is_local else ""
        raise WarehouseError(
            f"{source.uri} cannot be copied to {target.uri} ({reason(error)}){space}; run the same command again to go on"
        ) from error
    return done


def _copy_models(source: Warehouse, target: Warehouse, done: Copied) -> None:
    """Copy the files of trained models that the target lacks. A file is named by what it holds and never changes."""
    found, there = (dict(_sizes(table_files(one, artefacts.FOLDER, make=False))) for one in (source, target))
    for path, size in found.items():
        if there.get(path) != size:
            artefacts.write(target, f"{artefacts.FOLDER}/{path}", artefacts.read(source, f"{artefacts.FOLDER}/{path}"))
            done.files += 1
            done.bytes += size


def _refuse_restore(target: Warehouse, pairs: list[_Pair], others: list[_Pair]) -> None:
    """Refuse to restore over a warehouse in use; a restore that was interrupted may continue."""
    taken = others or ([pair for pair in pairs if pair.there] if all(pair.is_whole() for pair in pairs) else [])
    if taken:
        raise WarehouseError(
            f"{target.uri} already holds {', '.join(pair.table for pair in taken)}; nothing was restored; point "
            "CRYPTO_ASSETS_WAREHOUSE at an empty place, or move these tables away"
        )


class _Pair:
    """One table in the source and its copy in the target, as they were listed."""

    def __init__(self, source: Warehouse, target: Warehouse, table: str, version: int) -> None:
        self.table, self.version = table, version
        self._warehouses = source, target
        self.source, self.target = table_files(source, table), table_files(target, table, make=False)
        # The source is listed last, so that its list has everything that another backup copied meanwhile.
        self.there = dict(_sizes(self.target))
        self.found = dict(_sizes(self.source))
        newest = f"_delta_log/{version:020}.json"
        self._newest = newest, _bytes(self.source, newest) if newest in self.found else b""

    def is_other(self) -> bool:
        """Whether the target holds something else than an earlier state of the source's table."""
        copied = _commits(self.there)
        if not copied:
            return False
        if max(copied) > max(_commits(self.found), default=self.version):
            return True
        for number in sorted(copied, reverse=True):
            path = copied[number]
            if path not in self.found:  # not in the source's log, so nothing proves that they are one table
                return True
            ours, copy = _bytes(self.source, path), _bytes(self.target, path)
            if ours == copy:
                return False
            if not ours.startswith(copy):
                return True
            # a killed copy has left half a commit: the one before it decides
        return False

    def is_whole(self) -> bool:
        """Whether the target has every file that a copy would bring."""
        return all(self.there.get(path) == size for path, size in self.found.items() if self._belongs(path))

    def set_aside(self) -> str:
        """Move what the target holds to another name, and return its address."""
        newest = _commits(self.there)
        digest = hashlib.sha256(_bytes(self.target, newest[max(newest)])).hexdigest()[:12]
        name = f"{self.table}.replaced-{digest}"
        _, target = self._warehouses
        if target.is_local:
            place, count = Path(target.path(name)), 1
            while place.exists():
                count += 1
                place = Path(target.path(f"{name}-{count}"))
            Path(target.path(self.table)).rename(place)
            self.there = {}
            return str(place)
        aside = table_files(target, name)
        ordered = sorted(self.there.items(), key=_order)
        for path, _ in ordered:
            aside.base_fs.copy_file(self.target.base_path + path, aside.base_path + path)
        for path, _ in reversed(ordered):  # the log first, newest commit first: at each moment an older state is left
            self.target.delete_file(path)
        self.there = {}
        return target.path(name)

    def copy(self, done: Copied) -> None:
        """Copy what the target lacks. Raises :class:`WarehouseError` where the table was replaced meanwhile."""
        source, target = self._warehouses
        self.target = table_files(target, self.table)
        _clear_drafts(target, self.table)
        lost: set[str] = set()
        copied = False
        for path, size in sorted(self.found.items(), key=_order):
            if not self._belongs(path) or self.there.get(path) == size:
                continue
            try:
                self._bring(path)
            except FileNotFoundError:  # removed by maintenance meanwhile: only older versions needed it
                lost.add(path)
                continue
            copied = True
            done.files += 1
            done.bytes += size
        if not copied and not lost:
            return
        whole = dict(_sizes(self.target))
        short = [path for path, size in self.found.items() if self._belongs(path) and whole.get(path) != size]
        needed = {unquote(path) for path in source.files(self.table, self.version)["path"]} if lost else set()
        if set(short) - lost or lost & needed or self._was_replaced():
            raise WarehouseError(
                f"{self.table} in {source.uri} or its copy in {target.uri} was replaced while it was copied (another "
                "backup, or the table was moved away); the copy is not whole; run the same command again to go on"
            )

    def _was_replaced(self) -> bool:
        """Whether the newest commit is no longer the one that was listed, in the source or the target."""
        path, commit = self._newest
        try:
            return not commit == _bytes(self.source, path) == _bytes(self.target, path)
        except FileNotFoundError:
            return True

    def _belongs(self, path: str) -> bool:
        numbered = _LOG.match(path)
        if numbered:
            return int(numbered[1]) <= self.version
        return not path.startswith("_delta_log/")  # _last_checkpoint is a hint; without it readers list the log

    def _bring(self, path: str) -> None:
        """Copy one file atomically: readers and other copies see none of it or all of it."""
        _, target = self._warehouses
        with self.source.open_input_file(path) as opened:
            block = opened.read(BLOCK)  # before the target is opened: a failing source leaves no empty file
            if not target.is_local:
                with self.target.open_output_stream(path) as written:
                    while block:
                        written.write(block)
                        block = opened.read(BLOCK)
                return
            place = Path(target.path(self.table), path)
            place.parent.mkdir(parents=True, exist_ok=True)
            draft = place.with_name(f".{place.name}.{secrets.token_hex(8)}.draft")
            try:
                with draft.open("wb") as file:
                    while block:
                        file.write(block)
                        block = opened.read(BLOCK)
                draft.replace(place)
            finally:
                draft.unlink(missing_ok=True)


def _same_place(one: Warehouse, other: Warehouse) -> bool:
    if one.is_local and other.is_local:
        return Path(one.uri).resolve() == Path(other.uri).resolve()
    return one.uri.replace("s3a://", "s3://") == other.uri.replace("s3a://", "s3://")


def _is_marked(target: Warehouse) -> bool:
    place = table_files(target, "", make=False)
    return place.get_file_info(MARK).type == arrow_fs.FileType.File


def _mark(target: Warehouse) -> None:
    if _is_marked(target):
        return
    with table_files(target, "").open_output_stream(MARK) as opened:
        opened.write(json.dumps({"what": "a backup of crypto-assets tables; crypto-assets restore reads it"}).encode())


def _commits(files: dict[str, int]) -> dict[int, str]:
    """Return version -> path of its commit."""
    return {int(found[1]): path for path in files if (found := _COMMIT.fullmatch(path))}


def _commits_in(warehouse: Warehouse, table: str) -> bool:
    return bool(_commits(dict(_sizes(table_files(warehouse, table, make=False), "_delta_log"))))


def _bytes(system: arrow_fs.FileSystem, path: str) -> bytes:
    with system.open_input_file(path) as opened:
        found: bytes = opened.read()
    return found


def _order(found: tuple[str, int]) -> tuple[bool, str]:
    """Sort files: data before the log, and the log from its first version on."""
    return found[0].startswith("_delta_log/"), found[0]


def _sizes(system: arrow_fs.FileSystem, folder: str = "") -> Iterator[tuple[str, int]]:
    for info in system.get_file_info(arrow_fs.FileSelector(folder, recursive=True, allow_not_found=True)):
        path = info.path.removeprefix("/")
        if info.type == arrow_fs.FileType.File and not _DRAFT.search(path):
            yield path, info.size


def _clear_drafts(target: Warehouse, table: str) -> None:
    if target.is_local:
        for draft in Path(target.path(table)).rglob(".*.draft"):
            with contextlib.suppress(OSError):
                if time.time() - draft.stat().st_mtime > DRAFT_LIFE_S:
                    os.unlink(draft)
