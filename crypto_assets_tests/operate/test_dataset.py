"""Training sets: what is in them, that they can be made again byte for byte, and what happens when they cannot."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from polars.testing import assert_frame_equal
from pyarrow import parquet

from crypto_assets.cli.dataset import dataset
from crypto_assets.dates import DAY, days
from crypto_assets.errors import CryptoAssetsError, UsageError, WarehouseError
from crypto_assets.features.all_features import FEATURES
from crypto_assets.features.build import build_features
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.pit_quality import SeenInTime
from crypto_assets.tables.registry import trained_on
from crypto_assets.tables.schemas import CONTRACTS, ML_FEATURES, ONCHAIN_BASE, PRICES
from crypto_assets_tests import scenario

START, END = scenario.START, scenario.END
HOUR = timedelta(hours=1)


def prices_at(factor: float = 1.0) -> pl.DataFrame:
    midnight = datetime(2021, 3, 1, tzinfo=timezone.utc)
    rows = [
        (
            coin,
            ts,
            ts.date(),
            ts + timedelta(seconds=20),
            "final",
            "test",
            scenario.level(coin, ts) * factor,
            None,
            None,
        )
        for coin in ("BTC", "ETH")
        for ts in (midnight + HOUR * n for n in range(6 * 24))
        if not (coin == "BTC" and ts in scenario.GAP)
    ]
    return pl.DataFrame(rows, schema=PRICES.polars_schema, orient="row")


def fill(warehouse: Warehouse, factor: float = 1.0) -> None:
    """Prices, and the features that follow from them, as the graph would write them."""
    warehouse.write(PRICES, prices_at(factor), days(START, END))
    others = {table: CONTRACTS[table].empty() for table in _features_inputs() if table != "prices"}
    features = build_features(prices=warehouse.read(PRICES), **others, symbols=["BTC", "ETH"], start=START, end=END)
    warehouse.write(ML_FEATURES, features, days(START, END))


def _features_inputs() -> Sequence[str]:
    from crypto_assets.tables.registry import LOOK_BACK

    return list(LOOK_BACK["ml_features"])


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", str(tmp_path / "warehouse"))
    found = Warehouse(str(tmp_path / "warehouse"))
    fill(found)
    return found


def make(out: Path, *more: str, start: str = "2021-03-02", end: str = "2021-03-06T12:00") -> dict:
    """The command's JSON document."""
    done = CliRunner().invoke(
        dataset, ["--start", start, "--end", end, "--out", str(out), "--json", *more], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_features_are_the_table_and_labels_are_plain_pandas(warehouse: Warehouse, tmp_path: Path) -> None:
    report = make(tmp_path / "set.parquet")
    found = pl.read_parquet(tmp_path / "set.parquet")
    assert found.height == report["rows"] > 100
    begin, end = datetime(2021, 3, 2, tzinfo=timezone.utc), datetime(2021, 3, 6, 12, tzinfo=timezone.utc)

    stored = warehouse.read(ML_FEATURES, version=report["as_of"])
    assert_frame_equal(
        found.select(ML_FEATURES.names),
        stored.join(found.select("symbol", "ts"), on=["symbol", "ts"], how="semi").sort("ts", "symbol"),
    )
    price = prices_at().to_pandas().pivot(index="ts", columns="symbol", values="price_usd").asfreq("h")
    forward = (price.shift(-24) / price - 1).stack()
    known = forward[(forward.index.get_level_values("ts") >= begin)].dropna()
    known = known[known.index.get_level_values("ts") + 24 * HOUR + timedelta(seconds=20) <= end]
    got = found.to_pandas().set_index(["ts", "symbol"])["forward_return_24h"]
    assert len(got) == len(known)
    assert (got - known.reindex(got.index)).abs().max() < 1e-12
    assert not set(found.columns) & {"_now", "_then"}
    assert not {name for name in found.columns if "forward" in name or "barrier" in name} & set(ML_FEATURES.names)


def test_the_end_is_purged(warehouse: Warehouse, tmp_path: Path) -> None:
    """Prices after --end are another market: the file does not move."""
    make(tmp_path / "a.parquet", end="2021-03-05")
    found = pl.read_parquet(tmp_path / "a.parquet")
    end = datetime(2021, 3, 5, tzinfo=timezone.utc)
    assert found["ts"].max() + 24 * HOUR <= end
    assert found["label_available_at"].max() <= end
    later = prices_at(7.0).filter(pl.col("available_at") > end)
    warehouse.write(PRICES, later, days(END - DAY * 2, END))
    warehouse.write(ML_FEATURES, warehouse.read(ML_FEATURES).filter(pl.col("date") < END), days(START, END))
    make(tmp_path / "b.parquet", end="2021-03-05")
    assert_frame_equal(pl.read_parquet(tmp_path / "b.parquet"), found)


def test_the_same_bytes_after_the_tables_changed(warehouse: Warehouse, tmp_path: Path) -> None:
    first = make(tmp_path / "a.parquet")
    before = (tmp_path / "a.parquet").read_bytes()
    instant = datetime.now(timezone.utc)
    time.sleep(0.01)
    fill(warehouse, 1.1)
    now = make(tmp_path / "b.parquet")
    assert now["as_of"] == first["as_of"] + 1
    assert now["delta_versions"]["prices"] > first["delta_versions"]["prices"]
    assert (tmp_path / "b.parquet").read_bytes() != before
    for as_of in (str(first["as_of"]), instant.isoformat()):
        make(tmp_path / "c.parquet", "--as-of", as_of)
        assert (tmp_path / "c.parquet").read_bytes() == before, as_of
    written = parquet.read_schema(tmp_path / "a.parquet").metadata
    assert json.loads(written[b"delta_versions"]) == first["delta_versions"]
    assert set(first["delta_versions"]) >= {"ml_features", "prices", "ohlc", "onchain_base"}
    call = json.loads(written[b"crypto_assets"])
    assert (call["as_of"], call["horizon"], call["barrier"]) == (first["as_of"], "24h", 1.0)


def test_coins_columns_and_horizon_are_chosen(warehouse: Warehouse, tmp_path: Path) -> None:
    make(tmp_path / "a.parquet", "--symbols", "eth", "--columns", "return_24h,price_usd", "--horizon", "2d")
    found = pl.read_parquet(tmp_path / "a.parquet")
    assert found["symbol"].unique().to_list() == ["ETH"]
    assert found.columns == [
        *("symbol", "ts", "date", "available_at", "pit_quality", "source", "price_usd", "return_24h"),
        "forward_return_2d",
        *("triple_barrier_2d", "triple_barrier_2d_ts", "label_available_at"),
    ]
    assert set(found["triple_barrier_2d"].drop_nulls()) <= {-1, 0, 1}


def test_wholly_empty_columns_are_named_and_can_be_left_out(warehouse: Warehouse, tmp_path: Path) -> None:
    said = make(tmp_path / "a.parquet")
    found = pl.read_parquet(tmp_path / "a.parquet")
    features = [name for name in found.columns if name in ML_FEATURES.value_columns]
    assert said["empty"] == [name for name in features if found[name].null_count() == found.height]
    assert said["empty"], "the scenario has columns without any source"
    less = make(tmp_path / "b.parquet", "--without-empty")
    assert less["left_out"] == said["empty"]
    assert less["empty"] == []
    assert_frame_equal(pl.read_parquet(tmp_path / "b.parquet"), found.drop(said["empty"]))
    again = make(tmp_path / "c.parquet", "--without-empty", "--as-of", str(less["as_of"]))
    assert again["left_out"] == less["left_out"]
    assert (tmp_path / "b.parquet").read_bytes() == (tmp_path / "c.parquet").read_bytes()


def onchain(quality: str, *, lag: timedelta = 6 * HOUR) -> pl.DataFrame:
    """Two coins' on-chain days, known this long after their end."""
    rows = [
        {
            "symbol": coin, "date": day, "source": "test", "pit_quality": quality, "transaction_count": 5.0,
            "available_at": datetime(day.year, day.month, day.day, tzinfo=timezone.utc) + DAY + lag,
        }
        for coin in ("BTC", "ETH")
        for day in days(START, END)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"available_at": ONCHAIN_BASE.polars_schema["available_at"]})


ON_BASE = [name for name, feature in FEATURES.items() if "onchain_base" in feature.tables]


def said_of(out: Path) -> dict:
    return json.loads(parquet.read_schema(out).metadata[b"crypto_assets"])


def test_what_rests_on_backfilled_rows_is_kept_and_named(warehouse: Warehouse, tmp_path: Path) -> None:
    """The tables of today: their columns stay, as before, and the set says which may have been revised."""
    out = tmp_path / "a.parquet"
    assert make(out)["backfilled"] == {}
    for factor, quality, named in ((1.1, "first_seen", {}), (1.2, "backfilled", {"onchain_base": ON_BASE})):
        warehouse.forget(ONCHAIN_BASE, onchain(quality).select("symbol", "date"))
        warehouse.write(ONCHAIN_BASE, onchain(quality), days(START, END))
        fill(warehouse, factor)
        said = make(out)
        assert said["backfilled"] == said_of(out)["backfilled"] == named
        assert said["left_out_backfilled"] == said_of(out)["left_out_backfilled"] == []
        assert set(ON_BASE) <= set(pl.read_parquet_schema(out))
    assert make(out, "--columns", "rsi_14")["backfilled"] == {}, "it rests on bars"
    assert make(out, "--columns", f"rsi_14,{ON_BASE[0]}")["backfilled"] == {"onchain_base": [ON_BASE[0]]}
    assert make(out, "--without-empty")["backfilled"] == {}, "no feature has a value here"
    assert make(out, "--symbols", "BTC")["backfilled"] == {"onchain_base": ON_BASE}


def test_rows_that_no_feature_of_the_range_could_rest_on_do_not_count(warehouse: Warehouse, tmp_path: Path) -> None:
    late = onchain("backfilled", lag=DAY * 30)
    warehouse.write(ONCHAIN_BASE, late, days(START, END))
    fill(warehouse, 1.1)
    assert make(tmp_path / "a.parquet")["backfilled"] == {}, "known after the end"
    warehouse.write(ONCHAIN_BASE, onchain("backfilled").filter(pl.col("symbol") == "ETH"), days(START, END))
    fill(warehouse, 1.2)
    assert make(tmp_path / "a.parquet", "--symbols", "BTC")["backfilled"] == {}, "of the other coin"
    assert make(tmp_path / "a.parquet", "--symbols", "ETH")["backfilled"] == {"onchain_base": ON_BASE}


def test_of_a_later_table_they_are_left_out_unless_asked_for(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that says trained_on=False, as each new one does."""
    rule = ONCHAIN_BASE.pit_quality
    assert isinstance(rule, SeenInTime)
    later = replace(ONCHAIN_BASE, pit_quality=replace(rule, trained_on=False))
    monkeypatch.setitem(CONTRACTS, ONCHAIN_BASE.table, later)
    out = tmp_path / "a.parquet"
    warehouse.write(later, onchain("first_seen"), days(START, END))
    fill(warehouse, 1.1)
    assert make(out)["left_out_backfilled"] == []
    warehouse.write(later, onchain("backfilled").with_columns(transaction_count=6.0), days(START, END))
    fill(warehouse, 1.2)
    said = make(out)
    assert said["left_out_backfilled"] == said_of(out)["left_out_backfilled"] == ON_BASE
    assert said["backfilled"] == {}
    assert not set(ON_BASE) & set(pl.read_parquet_schema(out))
    assert said["features"] == len(FEATURES) - len(ON_BASE)
    asked = make(out, "--allow-backfilled")
    assert (asked["left_out_backfilled"], asked["backfilled"]) == ([], {"onchain_base": ON_BASE})
    assert said_of(out)["allow_backfilled"] is True
    assert set(ON_BASE) <= set(pl.read_parquet_schema(out))
    refuse(tmp_path / "b.parquet", UsageError, "add --allow-backfilled", "--columns", f"rsi_14,{ON_BASE[0]}")
    assert make(out, "--columns", "rsi_14")["left_out_backfilled"] == []
    done = CliRunner().invoke(dataset, ["--start", "2021-03-02", "--end", "2021-03-06T12:00", "--out", str(out)])
    assert f"left out, because they rest on backfilled rows: {', '.join(ON_BASE)}" in done.stderr


def test_a_derived_table_is_later_if_one_of_its_inputs_is(monkeypatch: pytest.MonkeyPatch) -> None:
    later_tables = {"network_metrics", "macro_series", "social_posts"}  # added since pit_quality
    resting = {"social_sentiment", "ml_features", "trained_models", "predictions", "signals"}
    assert {table for table in CONTRACTS if not trained_on(table)} == later_tables | resting, "sets keep what they had"
    rule = ONCHAIN_BASE.pit_quality
    assert isinstance(rule, SeenInTime)
    later = replace(ONCHAIN_BASE, pit_quality=replace(rule, trained_on=False))
    monkeypatch.setitem(CONTRACTS, ONCHAIN_BASE.table, later)
    assert not {table for table in ("onchain_base", "onchain_enhanced", "ml_features") if trained_on(table)}
    assert trained_on("narratives")


def refuse(out: Path, kind: type[CryptoAssetsError], words: str, *more: str, **span: str) -> None:
    """Refused in one sentence with these words, and nothing is left behind."""
    before = sorted(out.parent.iterdir()) if out.parent.is_dir() else None
    with pytest.raises(kind, match=words) as refused:
        make(out, *more, **span)
    assert "\n" not in str(refused.value)
    assert before is None or sorted(out.parent.iterdir()) == before


def test_what_makes_no_sense_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    refuse(out, UsageError, "not after", start="2021-03-05", end="2021-03-04")
    refuse(out, UsageError, "not an instant", start="yesterday")
    refuse(out, UsageError, "--horizon", "--horizon", "0h")
    refuse(out, UsageError, "not among the features", "--columns", "magic")
    refuse(out, UsageError, r"did you mean rsi_14\?", "--columns", "rsi14")
    refuse(out, UsageError, "not in the catalogue", "--symbols", "NOPE")
    refuse(out, UsageError, r"did you mean DOGE\?", "--symbols", "DOGEE")
    refuse(out, UsageError, "future", "--as-of", "2999-01-01")
    refuse(out, CryptoAssetsError, "has no rows", start="2020-03-01", end="2020-03-04")
    refuse(out, CryptoAssetsError, "none of the .* has its price", start="2021-03-05", end="2021-03-05T12:00")
    refuse(out, WarehouseError, "no version 99", "--as-of", "99")
    refuse(out, WarehouseError, "did not exist at", "--as-of", "2020-01-01")
    refuse(tmp_path / "nowhere" / "x.parquet", CryptoAssetsError, "cannot be written")
    refuse(tmp_path, CryptoAssetsError, "folder")


def test_a_file_that_was_there_survives_a_failure(warehouse: Warehouse, tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    make(out)
    before = out.read_bytes()
    refuse(out, WarehouseError, "no version", "--as-of", "77")
    assert out.read_bytes() == before


def test_a_vacuumed_version_is_named(warehouse: Warehouse, tmp_path: Path) -> None:
    first = make(tmp_path / "a.parquet")
    fill(warehouse, 1.1)
    DeltaTable(warehouse.path("ml_features")).vacuum(0, dry_run=False, enforce_retention_duration=False)
    refuse(tmp_path / "b.parquet", WarehouseError, "vacuumed", "--as-of", str(first["as_of"]))


def test_a_column_added_later_does_not_change_old_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warehouse: Warehouse
) -> None:
    """The file has the columns that were stored at its version."""
    older = Warehouse(str(tmp_path / "older"))
    monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", older.uri)
    older.write(PRICES, prices_at(), days(START, END))
    without = replace(ML_FEATURES, columns=tuple(c for c in ML_FEATURES.columns if c.name != "rsi_14"))
    full = warehouse.read(ML_FEATURES)
    older.write(without, full.drop("rsi_14"), days(START, END))
    first = make(tmp_path / "a.parquet")
    older.write(ML_FEATURES, full.with_columns(rsi_14=50.0), days(START, END))
    assert "rsi_14" in pl.read_parquet_schema(_made(tmp_path / "b.parquet"))
    make(tmp_path / "c.parquet", "--as-of", str(first["as_of"]))
    assert (tmp_path / "c.parquet").read_bytes() == (tmp_path / "a.parquet").read_bytes()


def _made(out: Path) -> Path:
    make(out)
    return out


def test_an_empty_warehouse_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", str(tmp_path / "none"))
    refuse(tmp_path / "x.parquet", WarehouseError, "did not exist")
