"""Delta tables: atomic per range, idempotent, merged by key where the contract says, safe with many writers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from crypto_assets.contract import Column, Contract, WriteMode
from crypto_assets.errors import ContractError, WarehouseError
from crypto_assets.partitions import DAY, days
from crypto_assets.schemas import MARKET_SENTIMENT, ONCHAIN_ENHANCED, PRICES
from crypto_assets.storage.warehouse import Warehouse

START = date(2024, 1, 1)
HOUR = timedelta(hours=1)
REPLACING = replace(PRICES, write_mode=WriteMode.REPLACE)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path / "warehouse"))


def rows(day: date, count: int = 24, price: float = 100.0, symbol: str = "BTC") -> pl.DataFrame:
    first = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
    marks = [first + HOUR * n for n in range(count)]
    return pl.DataFrame(
        {
            "symbol": symbol,
            "ts": marks,
            "date": [day] * count,
            "available_at": [mark + timedelta(seconds=9) for mark in marks],
            "source": "sandbox",
            "price_usd": [price + n for n in range(count)],
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC"), "available_at": pl.Datetime("us", "UTC")},
    )


def test_a_range_is_one_commit_and_reads_back(warehouse: Warehouse) -> None:
    wanted = days(START, START + DAY * 4)
    report = warehouse.write(PRICES, pl.concat(rows(day) for day in wanted), wanted)
    assert (report.rows, report.version, report.changed) == (120, 1, True)
    assert report.null_shares["market_cap_usd"] == 1.0
    assert report.bytes > 0
    assert (report.first, report.last) == ("2024-01-01 00:00:00+00:00", "2024-01-05 23:00:00+00:00")
    assert warehouse.days_with_rows("prices", START, START + DAY * 9) == dict.fromkeys(wanted, 24)
    folders = {path.name for path in Path(warehouse.path("prices")).iterdir() if path.name.startswith("date=")}
    assert folders == {f"date={day}" for day in wanted}, "one Dagster partition is one Delta partition"


def test_a_rewritten_day_leaves_the_files_of_the_others(warehouse: Warehouse) -> None:
    wanted = days(START, START + DAY * 2)
    warehouse.write(PRICES, pl.concat(rows(day) for day in wanted), wanted)
    before = {row["day"]: row["path"] for row in warehouse.files("prices").to_dicts()}
    warehouse.write(PRICES, rows(START + DAY, price=7.0), [START + DAY])
    after = {row["day"]: row["path"] for row in warehouse.files("prices").to_dicts()}
    assert {day for day in wanted if before[day] != after[day]} == {START + DAY}
    assert warehouse.read("prices", start=START + DAY, end=START + DAY)["price_usd"][0] == 7.0


def test_the_same_rows_again_make_no_commit(warehouse: Warehouse) -> None:
    warehouse.write(PRICES, rows(START), [START])
    again = warehouse.write(PRICES, rows(START).sample(fraction=1, shuffle=True, seed=1), [START])
    assert (again.version, again.changed, again.rows) == (1, False, 24)


def test_replace_forgets_and_merge_keeps(warehouse: Warehouse) -> None:
    warehouse.write(PRICES, rows(START), [START])
    warehouse.write(PRICES, rows(START, count=3, price=7.0), [START])
    merged = warehouse.read("prices")
    assert merged.height == 24
    assert merged["price_usd"][:4].to_list() == [7.0, 8.0, 9.0, 103.0]
    warehouse.write(REPLACING, rows(START, count=3, price=7.0), [START])
    assert warehouse.read("prices").height == 3
    warehouse.write(REPLACING, rows(START, count=0), [START])
    assert warehouse.read("prices").is_empty(), "a day may become empty"


def test_columns_symbols_and_versions(warehouse: Warehouse) -> None:
    both = pl.concat([rows(START), rows(START, symbol="ETH", price=5.0)])
    warehouse.write(PRICES, both, [START])
    warehouse.write(PRICES, rows(START, price=1.0), [START])
    assert warehouse.read("prices", columns=["ts", "price_usd"]).columns == ["ts", "price_usd"]
    assert set(warehouse.read("prices", symbols=["ETH"])["symbol"]) == {"ETH"}
    assert warehouse.read("prices", symbols=["BTC"], version=1)["price_usd"][0] == 100.0
    assert warehouse.read("prices", symbols=["BTC"])["price_usd"][0] == 1.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (pl.col("price_usd") * -1, "price_usd"),
        (pl.lit(None, pl.Float64).alias("price_usd"), "price_usd"),
        (pl.lit(float("inf")).alias("price_usd"), "price_usd"),
        (pl.lit("x").alias("price_usd"), "type"),
        (pl.col("ts") + timedelta(days=3), "UTC day"),
        (pl.lit(1).alias("surprise"), "surprise"),
    ],
)
def test_a_broken_rule_writes_nothing(warehouse: Warehouse, change: pl.Expr, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        warehouse.write(PRICES, rows(START).with_columns(change), [START])
    assert not warehouse.exists("prices")


def test_rows_outside_the_days_and_double_keys_are_refused(warehouse: Warehouse) -> None:
    with pytest.raises(ContractError, match="outside the requested days"):
        warehouse.write(PRICES, rows(START + DAY), [START])
    with pytest.raises(ContractError, match="symbol"):
        warehouse.write(PRICES, pl.concat([rows(START), rows(START)]), [START])
    assert not warehouse.exists("prices")


def test_a_new_nullable_column_is_additive_and_a_changed_type_refused(warehouse: Warehouse) -> None:
    warehouse.write(PRICES, rows(START), [START])
    wider = replace(PRICES, columns=(*PRICES.columns, Column("rank", pl.Float64, "rank", "Rank.")))
    warehouse.write(wider, rows(START + DAY).with_columns(rank=pl.lit(1.0)), [START + DAY])
    found = warehouse.read(wider)
    assert found.filter(pl.col("date") == START)["rank"].null_count() == 24
    assert found.filter(pl.col("date") == START + DAY)["rank"].sum() == 24
    columns = tuple(replace(c, dtype=pl.Int64) if c.name == "price_usd" else c for c in PRICES.columns)
    other = Contract(**{**vars_of(PRICES), "columns": columns})
    with pytest.raises(WarehouseError, match="price_usd"):
        warehouse.write(
            other, rows(START + DAY * 2).with_columns(pl.col("price_usd").cast(pl.Int64)), [START + DAY * 2]
        )


def vars_of(contract: Contract) -> dict[str, object]:
    return {name: getattr(contract, name) for name in contract.__dataclass_fields__}


def test_unreadable_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match="not a folder"):
        Warehouse(str(tmp_path / "file")).read("prices")
    broken = tmp_path / "w" / "prices" / "_delta_log"
    broken.mkdir(parents=True)
    (broken / "00000000000000000000.json").write_text("{ not json")
    with pytest.raises(WarehouseError, match="cannot be read") as caught:
        Warehouse(str(tmp_path / "w")).read("prices")
    assert "\n" not in str(caught.value)


WRITER = """
import sys
from datetime import date
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.schemas import PRICES
from crypto_assets.partitions import DAY, days
from crypto_assets_tests.storage.test_warehouse import rows, REPLACING
import polars as pl
root, mode, first, count, price = sys.argv[1], sys.argv[2], date.fromisoformat(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
warehouse, wanted = Warehouse(root), days(first, first + DAY * (count - 1))
print("ready", flush=True)
if mode == "loop":
    while True:
        price += 1000
        warehouse.write(REPLACING, pl.concat(rows(day, price=price) for day in wanted), wanted)
for day in wanted:
    warehouse.write(PRICES, rows(day, price=price, symbol=f"C{int(price)}"), [day])
"""


def writer(warehouse: Warehouse, mode: str, first: date, count: int, price: float) -> subprocess.Popen[str]:
    args = [sys.executable, "-c", WRITER, warehouse.uri, mode, str(first), str(count), str(price)]
    return subprocess.Popen(args, stdout=subprocess.PIPE, text=True)


def test_killed_in_the_middle_a_range_is_wholly_old_or_wholly_new(warehouse: Warehouse) -> None:
    wanted = days(START, START + DAY * 3)
    warehouse.write(REPLACING, pl.concat(rows(day, price=0.5) for day in wanted), wanted)
    for pause in (0.02, 0.05, 0.09, 0.14):
        process = writer(warehouse, "loop", START, 4, 0.5)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(pause)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        found = warehouse.read("prices")
        assert found.height == 96
        levels = set((found["price_usd"] - found["ts"].dt.hour()).round(6))
        assert len(levels) == 1, "all four days are of one write"
    warehouse.write(REPLACING, pl.concat(rows(day, price=3.0) for day in wanted), wanted)
    assert warehouse.read("prices")["price_usd"].min() == 3.0


def test_many_writers_of_adjacent_and_of_the_same_days_lose_nothing(warehouse: Warehouse) -> None:
    processes = [writer(warehouse, "days", START + DAY * (3 * n), 3, 1.0) for n in range(2)]
    processes += [writer(warehouse, "days", START, 6, float(n)) for n in (2, 3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0, 0]
    for process in processes:
        process.communicate()
    found = warehouse.read("prices")
    assert found.height == 3 * 6 * 24
    assert found.group_by("symbol").len().sort("symbol")["len"].to_list() == [144, 144, 144]


Days = st.integers(0, 3)
Write = st.tuples(
    st.booleans(),
    st.dictionaries(st.tuples(Days, st.integers(0, 2)), st.integers(1, 9), max_size=5),
    st.sets(Days, min_size=1),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(Write, max_size=5))
def test_any_sequence_of_writes_gives_what_a_dictionary_gives(writes) -> None:
    model: dict[tuple[int, int], int] = {}
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(folder)
        for merge, content, touched in writes:
            content = {key: value for key, value in content.items() if key[0] in touched}
            model = {key: v for key, v in model.items() if merge or key[0] not in touched} | content
            frames = [
                rows(START + DAY * day, price=value, symbol=f"C{coin}", count=1)
                for (day, coin), value in content.items()
            ]
            frame = pl.concat(frames) if frames else rows(START, count=0)
            warehouse.write(PRICES if merge else REPLACING, frame, [START + DAY * day for day in touched])
        found = warehouse.read("prices", columns=["date", "symbol", "price_usd"]).rows()
        assert {((day - START).days, int(name[1:])): price for name, day, price in reorder(found)} == model


def reorder(found: list[tuple]) -> list[tuple[str, date, float]]:
    return [(row[0], row[1], row[2]) for row in found]


def test_hash_and_clock(warehouse: Warehouse, tmp_path: Path) -> None:
    other = Warehouse(str(tmp_path / "other"))
    warehouse.write(PRICES, pl.concat([rows(START), rows(START + DAY)]), [START, START + DAY])
    for day in (START + DAY, START):
        other.write(PRICES, rows(day), [day])
    assert warehouse.content_hash("prices") == other.content_hash("prices")
    written = other.written_at("prices", START, START + DAY)
    assert written[START] >= written[START + DAY]
    other.write(PRICES, rows(START, price=1.0), [START])
    assert warehouse.content_hash("prices") != other.content_hash("prices")
    newest = warehouse.newest_available_at("prices", START, START + DAY * 5)
    assert newest == datetime(2024, 1, 2, 23, 0, 9, tzinfo=timezone.utc)
    assert warehouse.newest_available_at("prices", START + DAY * 3, START + DAY * 5) is None


@pytest.mark.parametrize("contract", [MARKET_SENTIMENT, ONCHAIN_ENHANCED])
def test_an_unwritten_table_reads_as_no_rows(warehouse: Warehouse, contract: Contract) -> None:
    assert_frame_equal(warehouse.read(contract), contract.empty())
