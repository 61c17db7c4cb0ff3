"""Delta tables: atomic per range, idempotent, merged by key where the contract says, safe with many writers."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from crypto_assets.dates import DAY, days
from crypto_assets.errors import ContractError, WarehouseError
from crypto_assets.storage.compaction import tidy
from crypto_assets.storage.copies import copy_tables
from crypto_assets.storage.sql import query
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Column, Contract, WriteMode
from crypto_assets.tables.schemas import MARKET_SENTIMENT, NEWS_ARTICLES, ONCHAIN_ENHANCED, PRICES
from crypto_assets_tests.storage.conftest import Place

START = date(2024, 1, 1)
HOUR = timedelta(hours=1)
BY_MODE = {mode: replace(PRICES, write_mode=mode) for mode in WriteMode}
REPLACING, KEEPING = BY_MODE[WriteMode.REPLACE], BY_MODE[WriteMode.KEEP]


@pytest.fixture
def warehouse(place: Place) -> Warehouse:
    return Warehouse(place("warehouse"))


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


def articles(day: date, *names: str, title: str = "Title") -> pl.DataFrame:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc)
    known = {"date": day, "available_at": noon, "published_at": noon, "source": "sandbox", "feed": "f", "title": title}
    return pl.DataFrame(
        [{**known, "article_id": name, "symbols": ["BTC", "ETH"] if name == "a" else []} for name in names],
        schema=NEWS_ARTICLES.polars_schema,
    )


def test_a_range_is_one_commit_and_reads_back(warehouse: Warehouse) -> None:
    wanted = days(START, START + DAY * 4)
    report = warehouse.write(PRICES, pl.concat(rows(day) for day in wanted), wanted)
    assert (report.rows, report.version, report.changed) == (120, 1, True)
    assert report.null_shares["market_cap_usd"] == 1.0
    assert report.bytes > 0
    assert (report.first, report.last) == ("2024-01-01 00:00:00+00:00", "2024-01-05 23:00:00+00:00")
    assert warehouse.days_with_rows("prices", START, START + DAY * 9) == dict.fromkeys(wanted, 24)
    folders = sorted(path.split("/")[0] for path in warehouse.files("prices")["path"])
    assert folders == [f"date={day}" for day in wanted], "one Dagster partition is one Delta partition"


def test_a_rewritten_day_leaves_the_files_of_the_others(warehouse: Warehouse) -> None:
    wanted = days(START, START + DAY * 2)
    warehouse.write(PRICES, pl.concat(rows(day) for day in wanted), wanted)
    before = {row["day"]: row["path"] for row in warehouse.files("prices").to_dicts()}
    warehouse.write(PRICES, rows(START + DAY, price=7.0), [START + DAY])
    after = {row["day"]: row["path"] for row in warehouse.files("prices").to_dicts()}
    assert {day for day in wanted if before[day] != after[day]} == {START + DAY}
    assert warehouse.read("prices", start=START + DAY, end=START + DAY)["price_usd"][0] == 7.0


def test_a_write_opens_the_commit_log_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open it takes as long as the write of a day, once a table has years of days."""
    opened: list[str] = []

    class Counted(DeltaTable):
        def __init__(self, table_uri: str, **options: Any) -> None:
            opened.append(table_uri)
            super().__init__(table_uri, **options)

    Warehouse(place("warehouse")).write(PRICES, rows(START), [START])
    monkeypatch.setattr("crypto_assets.storage.warehouse.DeltaTable", Counted)
    warehouse = Warehouse(place("warehouse"))
    for price, changed in ((100.0, False), (7.0, True)):
        opened.clear()
        report = warehouse.write(PRICES, rows(START, price=price), [START])
        assert (len(opened), report.changed) == (1, changed)
        stored = warehouse.files("prices")
        assert (report.bytes, report.version) == (stored["bytes"].sum(), warehouse.version("prices"))


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


def test_keep_never_changes_what_was_known(warehouse: Warehouse) -> None:
    warehouse.write(KEEPING, rows(START, count=3), [START])
    later = warehouse.write(KEEPING, rows(START, count=5, price=7.0), [START])
    assert warehouse.read("prices")["price_usd"].to_list() == [100.0, 101.0, 102.0, 10.0, 11.0]
    assert later.rows == 5
    assert not warehouse.write(KEEPING, rows(START, price=9.0, count=5), [START]).changed


def test_articles_are_merged_by_key_and_none_is_lost(warehouse: Warehouse) -> None:
    wanted = [START, START + DAY]
    warehouse.write(NEWS_ARTICLES, pl.concat([articles(START, "a", "b"), articles(START + DAY, "c")]), wanted)
    again = warehouse.write(NEWS_ARTICLES, articles(START, "b", "d", title="Corrected"), wanted)
    assert (again.rows, again.version) == (4, 2)
    found = warehouse.read("news_articles")
    titles = {"a": "Title", "b": "Title", "c": "Title", "d": "Corrected"}
    assert dict(found.select("article_id", "title").rows()) == titles, "a stored article stays as it was first seen"
    assert found["symbols"].to_list()[:2] == [["BTC", "ETH"], []], "a list comes back, empty ones too"
    assert not warehouse.write(NEWS_ARTICLES, articles(START, "a"), wanted).changed
    assert warehouse.write(NEWS_ARTICLES, articles(START), wanted).rows == 4, "an empty answer takes nothing away"


def test_days_apart_in_one_commit_spare_the_day_between(warehouse: Warehouse) -> None:
    wanted = days(START, START + DAY * 2)
    warehouse.write(REPLACING, pl.concat(rows(day) for day in wanted), wanted)
    ends = [wanted[2], wanted[0], wanted[2]]
    report = warehouse.write(REPLACING, pl.concat(rows(day, price=7.0) for day in set(ends)), ends)
    assert (report.version, report.rows) == (2, 48)
    levels = warehouse.read("prices").group_by("date").agg(pl.col("price_usd").min()).sort("date")["price_usd"]
    assert levels.to_list() == [7.0, 100.0, 7.0]


def test_pandas_and_polars_frames_give_the_same_rows(warehouse: Warehouse, place: Place) -> None:
    other = Warehouse(place("pandas"))
    warehouse.write(PRICES, rows(START), [START])
    other.write(PRICES, rows(START).to_pandas().sample(frac=1, random_state=1), [START])
    assert_frame_equal(warehouse.read("prices"), other.read("prices"))


def test_reading_is_by_inclusive_days(warehouse: Warehouse) -> None:
    wanted = days(START, START + DAY * 4)
    warehouse.write(PRICES, pl.concat(rows(day, count=2) for day in wanted), wanted)

    def found(start: date | None = None, end: date | None = None) -> list[date]:
        frame = warehouse.read("prices", start=start, end=end)
        assert_frame_equal(frame, frame.sort("symbol", "ts"))
        assert_frame_equal(frame, warehouse.scan("prices", start=start, end=end).sort("symbol", "ts").collect())
        assert frame.schema == PRICES.polars_schema
        return frame["date"].unique().sort().to_list()

    assert found() == wanted
    assert found(start=wanted[3]) == wanted[3:]
    assert found(end=wanted[1]) == wanted[:2]
    assert found(wanted[1], wanted[3]) == wanted[1:4]
    assert found(wanted[2], wanted[2]) == [wanted[2]]
    assert found(START + DAY * 9) == []


@pytest.mark.parametrize("name", ["with a blank", "100% süß", "q'uote", "a#b&c", "a,b"])
def test_the_folder_may_have_any_ordinary_name(tmp_path: Path, name: str) -> None:
    warehouse = Warehouse(str(tmp_path / name))
    warehouse.write(PRICES, rows(START), [START])
    warehouse.write(PRICES, rows(START, price=7.0), [START])
    assert warehouse.read("prices", start=START)["price_usd"][0] == 7.0
    assert [path.name for path in tmp_path.iterdir()] == [name], "not under an encoded name beside it"


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


def test_a_refused_write_leaves_the_stored_rows(warehouse: Warehouse) -> None:
    """Good days beside the bad one are refused with it: a range is written whole or not at all."""
    wanted = [START, START + DAY]
    warehouse.write(PRICES, pl.concat(rows(day) for day in wanted), wanted)
    version, before, files = warehouse.version("prices"), warehouse.read("prices"), warehouse.files("prices")
    broken = pl.concat([rows(START, price=7.0), rows(START + DAY, price=-3.0)])
    with pytest.raises(ContractError, match=r"prices: .*price_usd breaks greater_than\(0\) in 4 row\(s\)"):
        warehouse.write(PRICES, broken, wanted)
    with pytest.raises(ContractError, match=r"24 row\(s\) lie outside the requested days, e\.g\. 2024-01-02"):
        warehouse.write(PRICES, pl.concat(rows(day, price=7.0) for day in wanted), [START])
    assert warehouse.version("prices") == version
    assert_frame_equal(warehouse.read("prices"), before)
    assert_frame_equal(warehouse.files("prices"), files)


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
    other = replace(PRICES, columns=columns)
    with pytest.raises(WarehouseError, match="stored type of price_usd differs"):
        warehouse.write(
            other, rows(START + DAY * 2).with_columns(pl.col("price_usd").cast(pl.Int64)), [START + DAY * 2]
        )


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


def test_a_lost_file_and_an_impossible_folder_are_one_sentence(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    warehouse.write(PRICES, rows(START), [START])
    Path(warehouse.path("prices"), warehouse.files("prices")["path"][0]).unlink()
    with pytest.raises(WarehouseError, match=r"prices .* cannot be read") as caught:
        warehouse.read("prices")
    assert "\n" not in str(caught.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match=r"cannot be written .* nothing was written") as caught:
        Warehouse(str(tmp_path / "file" / "below")).write(PRICES, rows(START), [START])
    assert "\n" not in str(caught.value)


def test_rows_without_their_log_are_not_an_empty_table(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    warehouse.write(PRICES, rows(START), [START])
    shutil.rmtree(Path(warehouse.path("prices"), "_delta_log"))
    for attempt in (
        lambda: warehouse.read("prices"),
        lambda: warehouse.days_with_rows("prices", START, START),
        lambda: warehouse.write(PRICES, rows(START), [START]),
    ):
        with pytest.raises(WarehouseError, match=r"prices .* commit log _delta_log is not.* backfill"):
            attempt()


Days = st.integers(0, 3)
Content = dict[tuple[int, int], int]  # (day, coin) -> price
Write = st.tuples(
    st.sampled_from(WriteMode),
    st.dictionaries(st.tuples(Days, st.integers(0, 2)), st.integers(1, 9), max_size=5),
    st.sets(Days, min_size=1),
)


def expected(mode: WriteMode, model: Content, content: Content, touched: set[int]) -> Content:
    if mode is WriteMode.KEEP:
        return content | model
    return {key: v for key, v in model.items() if mode is WriteMode.MERGE or key[0] not in touched} | content


@settings(max_examples=25, deadline=None)
@given(st.lists(Write, max_size=5))
def test_any_sequence_of_writes_gives_what_a_dictionary_gives(
    writes: list[tuple[WriteMode, Content, set[int]]],
) -> None:
    model: Content = {}
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(folder)
        for mode, content, touched in writes:
            content = {key: value for key, value in content.items() if key[0] in touched}
            after = expected(mode, model, content, touched)
            frames = [
                rows(START + DAY * day, price=value, symbol=f"C{coin}", count=1)
                for (day, coin), value in content.items()
            ]
            frame = pl.concat(frames) if frames else rows(START, count=0)
            report = warehouse.write(BY_MODE[mode], frame, [START + DAY * day for day in touched])
            assert report.changed == (after != model), "a commit exactly where the rows change"
            assert report.rows == sum(day in touched for day, _ in after)
            model = after
        found = warehouse.read("prices", columns=["date", "symbol", "price_usd"]).rows()
        assert sorted(((day - START).days, int(name[1:]), price) for name, day, price in found) == sorted(
            (*key, price) for key, price in model.items()
        ), "as rows, so that a key twice would show"


def test_hash_and_clock(warehouse: Warehouse, place: Place) -> None:
    other = Warehouse(place("other"))
    warehouse.write(PRICES, pl.concat([rows(START), rows(START + DAY)]), [START, START + DAY])
    for day in (START + DAY, START):
        other.write(PRICES, rows(day), [day])
    assert warehouse.content_hash("prices") == other.content_hash("prices")
    written = other.written_at("prices", START, START + DAY)
    assert written[START] >= written[START + DAY]
    other.write(PRICES, rows(START, price=1.0), [START])
    assert warehouse.content_hash("prices") != other.content_hash("prices")


def test_a_plan_reads_the_days_columns_and_coins_that_are_asked_for(warehouse: Warehouse) -> None:
    wanted = days(START, START + DAY * 2)
    warehouse.write(PRICES, pl.concat(rows(day) for day in wanted), wanted)
    part = {"start": START + DAY, "end": START + DAY, "columns": ["symbol", "price_usd"], "symbols": ["BTC"]}
    plan = warehouse.scan("prices", **part)
    assert plan.collect_schema().names() == ["symbol", "price_usd"]
    assert_frame_equal(plan.collect(), warehouse.read("prices", **part), check_row_order=False)
    asked = warehouse.scan(PRICES).filter(pl.col("price_usd") > 0).select("symbol").explain()
    assert f"PROJECT 2/{len(PRICES.names)} COLUMNS" in asked, "the file's other columns are not read"
    assert "SELECTION:" in asked, "the filter is within the scan of the files"
    assert "FILTER" not in asked


def test_a_plan_reads_no_file_until_it_is_collected(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    wanted = days(START, START + DAY)
    warehouse.write(PRICES, pl.concat(rows(day) for day in wanted), wanted)
    for file in Path(warehouse.path("prices")).glob(f"date={START}/*.parquet"):
        file.write_bytes(b"not a file of rows")
    plan = warehouse.scan("prices")
    assert warehouse.scan("prices", start=START + DAY).collect().height == 24
    with pytest.raises(pl.exceptions.PolarsError):
        plan.collect()
    with pytest.raises(WarehouseError):
        warehouse.read("prices")


@pytest.mark.parametrize("contract", [MARKET_SENTIMENT, ONCHAIN_ENHANCED])
def test_an_unwritten_table_reads_as_no_rows(warehouse: Warehouse, contract: Contract) -> None:
    assert_frame_equal(warehouse.read(contract), contract.empty())


WIDE = PRICES
NARROW = replace(PRICES, columns=tuple(c for c in PRICES.columns if c.name not in {"volume_24h_usd", "market_cap_usd"}))


@pytest.mark.parametrize(("before", "after"), [(NARROW, WIDE), (WIDE, NARROW)], ids=["added", "no longer in it"])
def test_every_way_to_read_and_write_bears_a_table_of_other_columns(
    place: Place, before: Contract, after: Contract
) -> None:
    """A column that the contract gained is null in older rows; one that it lost stays stored and is not read."""
    found, day = Warehouse(place("warehouse")), START + DAY
    found.write(before, pl.concat([rows(START), rows(day)]), [START, day])
    old = found.read(after)
    assert old.columns == after.names
    assert old["price_usd"].to_list() == [*rows(START)["price_usd"], *rows(day)["price_usd"]]
    keys = rows(START, 2).select(*after.key, *(["date"] if "date" not in after.key else []))
    assert found.forget(after, keys) == 2
    assert found.read(after, start=START, end=START).height == 22
    for mode in WriteMode:
        found.write(replace(after, write_mode=mode), rows(START, 3, price=7.0 + len(mode.value)), [START])
    found.write(replace(after, write_mode=WriteMode.REPLACE), rows(START + 2 * DAY), [START + 2 * DAY])
    newest = found.read(after)
    assert newest.columns == after.names
    assert found.forget(after, rows(day, 1).select(*keys.columns)) == 1
    if found.is_local:  # the history of a log holds the interpreter, and with it a store that this process serves
        assert tidy(found, "prices", timedelta(days=7), ()) is not None
    assert found.read(after, start=day, end=day).height == 23
    assert found.scan(after).collect().columns == after.names
    assert found.dataset(after).to_table().num_rows == found.read(after).height
    assert found.read(after, version=1).equals(old), "an older version reads as it did"
    assert query(found, "select count(*), count(volume_24h_usd) from prices").rows() == [(found.read(after).height, 0)]
    copied = Warehouse(place("copy"))
    copy_tables(found, copied)
    assert copied.read(after).equals(found.read(after))
