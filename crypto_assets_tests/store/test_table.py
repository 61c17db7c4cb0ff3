"""A table is read now or as it was, by days, instants, coins and columns; what makes no sense is refused by a sentence."""

from __future__ import annotations

import shutil
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import crypto_assets as ca
from crypto_assets.errors import UsageError, WarehouseError
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.store.store import Store
from crypto_assets.tables.schemas import ML_FEATURES, PRICES
from crypto_assets_tests.store.conftest import FIRST, HOURS, MIDNIGHT, days, feature_rows, price_rows

BERLIN = timezone(timedelta(hours=1))


def test_all_rows_in_the_contracts_shape(store: Store) -> None:
    found = store.table("prices").read()
    assert_frame_equal(found, price_rows().sort("symbol", "ts"))
    assert found.schema == PRICES.polars_schema


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        (date(2024, 1, 2), date(2024, 1, 2), 24, 47),
        ("2024-01-02", "2024-01-02", 24, 47),
        ("2024-01-02T03:00", "2024-01-02T05:00", 27, 29),
        (MIDNIGHT + timedelta(hours=27), None, 27, HOURS - 1),
        (None, "2024-01-01T02:59:59", 0, 2),
        (datetime(2024, 1, 2, 4, tzinfo=BERLIN), datetime(2024, 1, 2, 5, tzinfo=BERLIN), 27, 28),
        (pd.Timestamp("2024-01-02 03:00"), pd.Timestamp("2024-01-02 05:00", tz="UTC"), 27, 29),
    ],
)
def test_a_span_has_both_ends_and_a_day_counts_whole(
    store: Store, start: object, end: object, first: int, last: int
) -> None:
    found = store.table("prices").read(start, end, symbols="BTC")  # type: ignore[arg-type]
    assert found["price_usd"].to_list() == [hour + 1.0 for hour in range(first, last + 1)]


def test_symbols_are_coins_or_tickers_in_any_case_and_the_key_is_always_there(store: Store) -> None:
    found = store.table("prices").read(symbols=["btcusdt", "eth"], columns="price_usd")
    assert found.columns == ["symbol", "ts", "price_usd"]
    assert found["symbol"].unique().sort().to_list() == ["BTC", "ETH"]
    assert store.table("prices").read(symbols="BTC")["symbol"].unique().to_list() == ["BTC"]
    assert store.table("prices").read(symbols=[]).is_empty()


def test_known_at_leaves_out_what_was_not_known_yet(store: Store) -> None:
    found = store.table("prices").read(symbols="BTC", known_at="2024-01-01T05:09")
    assert found["ts"].max() == MIDNIGHT + timedelta(hours=4)  # the row of 05:00 was known at 05:10


def test_pandas_arrow_and_scan_hold_the_same_rows(store: Store) -> None:
    table, asked = store.table("prices"), {"start": "2024-01-02", "symbols": "BTC", "columns": ["price_usd"]}
    rows = table.read(**asked)  # type: ignore[arg-type]
    assert_frame_equal(pl.DataFrame(table.arrow(**asked)), rows)  # type: ignore[arg-type]
    assert table.pandas(**asked)["price_usd"].tolist() == rows["price_usd"].to_list()  # type: ignore[arg-type]
    assert str(table.pandas(**asked)["ts"].dtype.tz) == "UTC"  # type: ignore[arg-type]
    assert_frame_equal(table.scan(**asked).collect().sort("symbol", "ts"), rows)  # type: ignore[arg-type]


def test_a_scan_passes_filters_and_columns_to_the_files(store: Store) -> None:
    plan = store.table("prices").scan("2024-01-02", "2024-01-02").filter(pl.col("symbol") == "BTC").select("price_usd")
    said = plan.explain()
    assert "date=2024-01-02" in said and "date=2024-01-01" not in said
    assert "SELECTION" in said and "PROJECT" in said


@pytest.fixture
def rewritten(home: Path, tmp_path: Path) -> tuple[Store, datetime]:
    """A store whose prices were written again a little later, and the instant between both writes."""
    shutil.copytree(home, tmp_path / "copy")
    store = ca.open(tmp_path / "copy")
    between = store.table("prices").versions()["committed_at"][0] + timedelta(milliseconds=1)
    while datetime.now(timezone.utc) <= between + timedelta(milliseconds=2):
        pass
    again = price_rows().with_columns(pl.col("price_usd") * 2)
    Warehouse(store.warehouse).write(PRICES, again, days())
    return store, between


def test_as_of_a_version_or_an_instant_is_what_was_stored_then(rewritten: tuple[Store, datetime]) -> None:
    store, between = rewritten
    table = store.table("prices")
    then = price_rows().sort("symbol", "ts")
    assert table.versions()["version"].to_list() == [2, 1, 0]  # 0 created the table
    for as_of in (1, between, between.isoformat()):
        assert_frame_equal(table.read(as_of=as_of), then)
    assert_frame_equal(table.read(), then.with_columns(pl.col("price_usd") * 2))
    assert_frame_equal(table.read(as_of=2), table.read())
    assert store.sql("select max(price_usd) from prices", as_of=between).item() == then["price_usd"].max()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda store: store.table("price"), "no table 'price' (did you mean prices?)"),
        (lambda store: store.table("prices").read(columns="prise_usd"), "prise_usd not in prices (did you mean price_usd?)"),
        (lambda store: store.table("prices").read(symbols="BTX"), "BTX not in the catalogue"),
        (lambda store: store.table("prices").read("2024-01-02", "2024-01-01"), "is after end"),
        (lambda store: store.table("prices").read("Tuesday"), "start 'Tuesday' is not an instant"),
        (lambda store: store.table("prices").read("2024-02-30"), "not a calendar date"),
        (lambda store: store.table("prices").read(3), "start 3 is a int"),
        (lambda store: store.table("prices").read(pd.NaT), "not an instant"),
        (lambda store: store.table("prices").read(as_of="2999-01-01"), "in the future"),
        (lambda store: store.table("defi_metrics").read(symbols="BTC"), "leave symbols out"),
        (lambda store: store.features("rsi"), "rsi not among the features"),
        (lambda store: store.features("source"), "source not among the features"),
        (lambda store: store.table("news_articles").plot(), "holds no numbers"),
        (lambda store: store.table("prices").plot("BTC", "market_cap_usd"), "nothing to draw"),
        (lambda store: store.sql("delete from prices"), "only one reading statement"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_a_sentence(store: Store, call: object, said: str) -> None:
    with pytest.raises(UsageError) as error:
        call(store)  # type: ignore[operator]
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda store: store.table("prices").read(as_of=99), "prices has no version 99"),
        (lambda store: store.table("prices").read(as_of="2020-01-01"), "did not exist at 2020-01-01"),
        (lambda store: store.table("ohlc").read(as_of=0), "ohlc has no version 0 (the table does not exist)"),
    ],
)
def test_a_past_that_is_not_there_is_refused_by_a_sentence(store: Store, call: object, said: str) -> None:
    with pytest.raises(WarehouseError) as error:
        call(store)  # type: ignore[operator]
    assert said in str(error.value)


def test_a_table_without_rows_is_empty_and_complete(store: Store) -> None:
    found = store.table("ohlc").read()
    assert found.is_empty() and found.schema == ca.open(warehouse=store.warehouse).table("ohlc").contract.polars_schema
    assert store.table("ohlc").versions().is_empty()


def test_a_place_without_a_warehouse_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="there is no warehouse in"):
        ca.open(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="names no bucket"):
        ca.open(warehouse="s3://")


def test_a_table_and_a_store_say_what_they_are(store: Store) -> None:
    table = store.table("prices")
    assert repr(table) == f"Table('prices': coin x hour, {len(PRICES.names)} columns)"
    said = repr(table.describe())
    assert "One row:" in said and all(name in said for name in PRICES.names)
    page = table._repr_html_()
    assert page.count("<tr>") == len(PRICES.names) + 1 and "price_usd" in page
    assert "prices" in store._repr_html_() and store.warehouse in repr(store)


def test_a_plot_is_a_picture_with_a_line_a_coin(store: Store, tmp_path: Path) -> None:
    plot = store.table("prices").plot(["BTC", "ETH"])
    assert repr(plot) == "Plot(prices.price_usd: BTC, ETH)"
    assert plot._repr_png_().startswith(b"\x89PNG")
    assert [len(line.get_xdata()) for line in plot.figure.axes[0].lines] == [HOURS, HOURS - 6]
    plot.save(tmp_path / "prices.svg")
    assert (tmp_path / "prices.svg").read_text().startswith("<?xml")


def test_the_catalogue_counts_what_is_there(store: Store) -> None:
    rows = {row["table"]: row for row in store.catalog().to_dicts()}
    assert list(rows) == store.tables
    prices = rows["prices"]
    assert (prices["rows"], prices["first_day"], prices["last_day"]) == (price_rows().height, FIRST, days()[-1])
    assert prices["newest"] == price_rows()["available_at"].max() and prices["fresh"] is False
    assert prices["units"] == ["USD"] and prices["pit_quality"] == ["final"] and prices["version"] == 1
    assert rows["ohlc"]["rows"] == 0 and rows["ohlc"]["newest"] is None
    assert rows["ml_features"]["rows"] == feature_rows().height


def test_coverage_is_days_with_rows_over_days_due(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted here from the calendar, not by the checks."""
    monkeypatch.setenv("CRYPTO_ASSETS_START", "2024-01-01")
    due = (datetime.now(timezone.utc).date() - FIRST).days
    covered = {row["table"]: row["coverage"] for row in ca.open(home).catalog().to_dicts()}
    assert covered["prices"] == pytest.approx(3 / due)
    assert covered["ohlc"] == 0


def test_features_are_the_rows_of_ml_features(store: Store) -> None:
    found = store.features(["rsi_14", "price_usd"], "ETH", "2024-01-02", "2024-01-02")
    assert found.columns == ["symbol", "ts", "price_usd", "rsi_14"]
    assert found["rsi_14"].to_list() == [float(hour % 24) for hour in range(24, 48) if not 30 <= hour < 36]
    assert store.features().columns == ["symbol", "ts", *ML_FEATURES.value_columns]


def test_the_newest_row_of_each_coin(store: Store) -> None:
    found = store.latest(columns="price_usd")
    assert found.columns == ["symbol", "ts", "available_at", "price_usd"]
    assert found.select("symbol", "price_usd").rows() == [("BTC", float(HOURS)), ("ETH", 1000.0 + HOURS)]
    assert store.signals().is_empty() and "weight" in store.signals("BTC").columns
    assert store.latest("eth")["symbol"].to_list() == ["ETH"]
    empty = ca.open(warehouse=str(Path(store.warehouse) / "prices"))  # a folder without tables
    assert empty.latest().is_empty()


def test_a_training_set_is_that_of_the_command(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "set.parquet"
    asked = {"horizon": "4h", "columns": "rsi_14", "symbols": "BTC"}
    found = store.dataset("2024-01-01", "2024-01-03", **asked, out=out)  # type: ignore[arg-type]
    assert_frame_equal(found, pl.read_parquet(out))
    assert_frame_equal(found, store.dataset("2024-01-01", "2024-01-03", **asked))  # type: ignore[arg-type]
    label = found.filter(pl.col("ts") == MIDNIGHT + timedelta(hours=9))
    assert label["forward_return_4h"].item() == pytest.approx(14 / 10 - 1)
    with pytest.raises(UsageError, match="--end"):
        store.dataset("2024-01-03", "2024-01-01")
