"""Backup and restore: whole versions, between folders and stores, again without copying twice, never over other tables."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.fs as arrow_fs
import pytest
from deltalake import DeltaTable, write_deltalake

from crypto_assets.errors import WarehouseError
from crypto_assets.storage import copies
from crypto_assets.storage.copies import copy_tables
from crypto_assets.storage.files import table_files
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import NEWS_ARTICLES, PRICES
from crypto_assets_tests import warm
from crypto_assets_tests.storage.conftest import Place
from crypto_assets_tests.storage.test_warehouse import DAY, START, articles, rows


@pytest.fixture
def warehouse(place: Place) -> Warehouse:
    found = Warehouse(place("warehouse with a blank"))
    found.write(PRICES, rows(START), [START])
    found.write(PRICES, rows(START, price=7.0), [START])
    found.write(NEWS_ARTICLES, articles(START, "a"), [START])
    return found


def test_there_and_back_again(warehouse: Warehouse, place: Place) -> None:
    backup, restored = Warehouse(place("backup")), Warehouse(place("restored"))
    first = copy_tables(warehouse, backup)
    assert set(first.versions) == {"prices", "news_articles"}
    warehouse.write(PRICES, rows(START + DAY), [START + DAY])
    assert copy_tables(warehouse, backup).files == 2, "a data file and a log entry: the rest is there"
    assert copy_tables(warehouse, backup).files == 0
    copy_tables(backup, restored, only_into_empty=True)
    for table in ("prices", "news_articles"):
        assert restored.content_hash(table) == warehouse.content_hash(table)
        assert restored.version(table) == warehouse.version(table)
    assert restored.read("prices", version=1)["price_usd"][0] == 100.0, "its history too"
    assert restored.write(PRICES, rows(START, price=9.0), [START]).changed, "it can be written to"


def test_what_must_not_be_overwritten_is_not(warehouse: Warehouse, place: Place) -> None:
    other = Warehouse(place("other"))
    with pytest.raises(WarehouseError, match="holds no table"):
        copy_tables(other, warehouse)
    other.write(PRICES, rows(START, price=3.0), [START])
    with pytest.raises(WarehouseError, match=r"already holds prices; nothing was restored"):
        copy_tables(warehouse, other, only_into_empty=True)
    with pytest.raises(WarehouseError, match="is no backup"):
        copy_tables(other, warehouse)
    assert not other.exists("news_articles")
    assert other.read("prices")["price_usd"][0] == 3.0


def _refill(place: Warehouse, price: float, commits: int) -> None:
    for number in range(commits):
        place.write(PRICES, rows(START, price=price + number), [START])


def _drop(place: Warehouse) -> None:
    """Move the table away, as the messages advise for one that cannot be read."""
    files = table_files(place, "prices")
    for info in files.get_file_info(arrow_fs.FileSelector("", recursive=True, allow_not_found=True)):
        if info.type == arrow_fs.FileType.File:
            files.delete_file(info.path.removeprefix("/"))


def _put_back(place: Warehouse, files: dict[str, bytes]) -> None:
    _drop(place)
    there = table_files(place, "prices")
    for path, content in files.items():
        if place.is_local:
            there.create_dir(path.rpartition("/")[0])
        with there.open_output_stream(path) as opened:
            opened.write(content)


def _contents(place: Warehouse, table: str = "prices") -> dict[str, bytes]:
    files, found = table_files(place, table), {}
    for info in files.get_file_info(arrow_fs.FileSelector("", recursive=True, allow_not_found=True)):
        if info.type == arrow_fs.FileType.File:
            with files.open_input_file(info.path.removeprefix("/")) as opened:
                found[info.path.removeprefix("/")] = opened.read()
    return found


def _table(place: Warehouse) -> DeltaTable:
    found = place.for_writing("prices")
    assert found is not None
    return found


def _refilled(commits: int) -> Callable[[Warehouse, dict[str, bytes]], None]:
    def replace(place: Warehouse, earlier: dict[str, bytes]) -> None:
        _drop(place)
        _refill(place, 500.0, commits)

    return replace


def _older_and_on(place: Warehouse, earlier: dict[str, bytes]) -> None:
    _put_back(place, earlier)
    _refill(place, 300.0, 4)


def _restored(place: Warehouse, earlier: dict[str, bytes]) -> None:
    """In a process of its own: the call holds the interpreter, and with it a store that this process serves."""
    code = "import sys; from deltalake import DeltaTable; from crypto_assets.storage.warehouse import Warehouse;"
    code += "Warehouse(sys.argv[1]).for_writing('prices').restore(1)"
    subprocess.run([sys.executable, "-c", code, place.uri], check=True, timeout=120)


def _created_over(place: Warehouse, earlier: dict[str, bytes]) -> None:
    empty = PRICES.empty().to_arrow().schema
    DeltaTable.create(
        place.path("prices"), empty, "overwrite", partition_by=["date"], storage_options=place.storage_options
    )
    place.write(PRICES, rows(START, price=40.0), [START])


def _column_added(place: Warehouse, earlier: dict[str, bytes]) -> None:
    wider = rows(START + DAY).with_columns(pl.lit(1.0).alias("extra")).to_arrow()
    write_deltalake(_table(place), wider, mode="append", schema_mode="merge")


def _rewritten(place: Warehouse, earlier: dict[str, bytes]) -> None:
    write_deltalake(_table(place), rows(START + DAY, 3).to_arrow(), mode="append", schema_mode="merge")
    write_deltalake(_table(place), rows(START + DAY, 2, symbol="ETH").to_arrow(), mode="append", schema_mode="merge")
    _table(place).optimize.compact()
    _table(place).vacuum(0, dry_run=False, enforce_retention_duration=False)


def _log_cut(place: Warehouse, earlier: dict[str, bytes]) -> None:
    _table(place).create_checkpoint()
    place.write(PRICES, rows(START + DAY), [START + DAY])
    files = table_files(place, "prices")
    for number in (0, 1):
        files.delete_file(f"_delta_log/{number:020}.json")


WAYS: dict[str, tuple[bool, Callable[[Warehouse, dict[str, bytes]], object]]] = {
    # name: (is the backup's copy another table than that of the source?, what happens between two backups)
    "refilled to fewer versions": (True, _refilled(1)),
    "refilled to the same version": (True, _refilled(3)),
    "refilled to more versions": (True, _refilled(5)),
    "replaced by an older copy": (True, lambda place, earlier: _put_back(place, earlier)),
    "replaced by an older copy and written": (True, _older_and_on),
    "restored to an older version": (False, _restored),
    "created over with the mode overwrite": (False, _created_over),
    "a column added": (False, _column_added),
    "files joined and vacuumed": (False, _rewritten),
    "the log cut behind a checkpoint": (False, _log_cut),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_restore_is_the_source_however_the_table_was_replaced_between_two_backups(place: Place, way: str) -> None:
    """The version and the sizes of files say nothing: both may agree while the rows are of two tables."""
    is_other, replace = WAYS[way]
    source, backup, restored = (Warehouse(place(name)) for name in ("source", "backup", "restored"))
    _refill(source, 100.0, 2)
    earlier = _contents(source)
    _refill(source, 102.0, 1)
    source.write(NEWS_ARTICLES, articles(START, "a"), [START])
    copy_tables(source, backup)
    before = backup.content_hash("prices")
    replace(source, earlier)
    done = copy_tables(source, backup)
    assert set(done.set_aside) == ({"prices"} if is_other else set())
    assert copy_tables(source, backup).files == 0, "a second time there is nothing to do"
    copy_tables(backup, restored, only_into_empty=True)
    for table in ("prices", "news_articles"):
        assert backup.content_hash(table) == source.content_hash(table)
        assert restored.content_hash(table) == source.content_hash(table)
    assert restored.version("prices") == source.version("prices")
    if is_other:
        name = done.set_aside["prices"].rpartition("/")[2]
        kept = DeltaTable(backup.path(name), storage_options=backup.storage_options)
        assert kept.version() == 3, "the earlier copy is whole under its other name"
        _drop(restored)
        _put_back(restored, _contents(backup, name))
        assert restored.content_hash("prices") == before


def test_a_table_that_the_warehouse_no_longer_has_stays_in_the_backup_and_is_named(place: Place) -> None:
    source, backup = Warehouse(place("source")), Warehouse(place("backup"))
    _refill(source, 100.0, 1)
    source.write(NEWS_ARTICLES, articles(START, "a"), [START])
    copy_tables(source, backup)
    _drop(source)
    assert copy_tables(source, backup).kept == ("prices",)
    assert backup.exists("prices")


def test_a_backup_into_the_warehouse_itself_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="is the warehouse itself"):
        copy_tables(warehouse, Warehouse(warehouse.uri + "/"))


def test_what_a_killed_copy_left_is_finished_by_a_backup_and_by_a_restore(place: Place) -> None:
    """Half a data file, half a commit, a log that ends early: each is what ``kill -9`` may leave in a store or folder."""
    source = Warehouse(place("source"))
    _refill(source, 100.0, 4)
    whole = _contents(source)
    log = sorted(path for path in whole if path.startswith("_delta_log/"))
    data = sorted(set(whole) - set(log))
    states: list[dict[str, bytes]] = [
        {data[0]: whole[data[0]][:100]},
        {path: whole[path] for path in data},
        {**{path: whole[path] for path in data}, log[0]: whole[log[0]][:50]},
        {**{path: whole[path] for path in data}, log[0]: b""},
        {**{path: whole[path] for path in [*data, *log[:3]]}, log[3]: whole[log[3]][:70]},
        {path: whole[path] for path in [*data, *log[:3]]},
    ]
    for number, state in enumerate(states):
        for restore in (False, True):
            target = Warehouse(place(f"target-{number}-{restore}"))
            _put_back(target, state)
            assert not copy_tables(source, target, only_into_empty=restore).set_aside
            assert target.content_hash("prices") == source.content_hash("prices")
            assert target.version("prices") == source.version("prices")
    with pytest.raises(WarehouseError, match="already holds prices"):
        copy_tables(source, target, only_into_empty=True)


COPY = (
    "import sys; from crypto_assets.storage.copies import copy_tables; from crypto_assets.storage.warehouse import Warehouse;"
    "print('ready', flush=True); copy_tables(Warehouse(sys.argv[1]), Warehouse(sys.argv[2]))"
)


def _copying(source: Warehouse, target: Warehouse, said: Path) -> warm.Process:
    """A process that begins to copy, and says into a file why it fails."""
    reader, writer = os.pipe()
    with open(reader) as begun, open(writer, "w") as out, said.open("w") as err:
        found = warm.start(os.environ, "-c", COPY, source.uri, target.uri, stdout=out, stderr=err)
        out.close()
        begun.readline()
    return found


def _many_files(place: Place) -> Warehouse:
    source = Warehouse(place("source"))
    for number in range(8):
        day = START + DAY * 10 * number
        wanted = [day + DAY * n for n in range(10)]
        source.write(PRICES, pl.concat([rows(d, price=number + 1.0) for d in wanted]), wanted)
    return source


def test_a_backup_that_is_killed_at_any_moment_holds_whole_versions_and_the_next_one_finishes_it(
    place: Place, tmp_path: Path
) -> None:
    source, backup = _many_files(place), Warehouse(place("backup"))
    by_version = [source.read("prices", version=n) for n in range(9)]
    for pause in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3):
        running = _copying(source, backup, tmp_path / "said")
        time.sleep(pause)
        running.kill()
        running.wait()
        version = backup.version("prices") if backup.exists("prices") else None
        if version is not None:
            assert backup.read("prices").equals(by_version[version])
    copy_tables(source, backup)
    assert backup.content_hash("prices") == source.content_hash("prices")


def test_two_backups_at_once_leave_one_whole_copy(place: Place, tmp_path: Path) -> None:
    source, backup = _many_files(place), Warehouse(place("backup"))
    said = [tmp_path / "first", tmp_path / "second"]
    both = [_copying(source, backup, file) for file in said]
    source.write(PRICES, rows(START, price=9.0), [START])  # and the table is written to meanwhile
    for running, file in zip(both, said, strict=True):
        assert running.wait(120) == 0, file.read_text()
    copy_tables(source, backup)
    assert backup.content_hash("prices") == source.content_hash("prices")
    assert backup.version("prices") == source.version("prices")


def test_a_table_that_is_replaced_under_a_backup_makes_it_fail_and_the_next_one_is_right(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, backup = Warehouse(place("source")), Warehouse(place("backup"))
    _refill(source, 100.0, 3)
    list_pair = copies._Pair.__init__

    def then_replaced(self: copies._Pair, *args: object) -> None:
        list_pair(self, *args)
        monkeypatch.undo()
        _refilled(3)(source, {})

    monkeypatch.setattr(copies._Pair, "__init__", then_replaced)
    with pytest.raises(WarehouseError, match="replaced while it was copied"):
        copy_tables(source, backup)
    copy_tables(source, backup)
    assert backup.content_hash("prices") == source.content_hash("prices")
