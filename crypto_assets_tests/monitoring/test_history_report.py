"""How much of the history is there: counted from rows and from Dagster, kept with each look, shown on the page and to Prometheus."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest import mock

import dagster as dg
import httpx
import polars as pl
import pytest
from dagster import DagsterInstance
from prometheus_client.parser import text_string_to_metric_families

from crypto_assets.assets.providers import Providers
from crypto_assets.checks import expected_history as counting
from crypto_assets.checks.outcome import Scope
from crypto_assets.checks.shells import every_measure
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.monitoring import history_report
from crypto_assets.monitoring.metrics import serve
from crypto_assets.monitoring.page import render
from crypto_assets.monitoring.quality import figures, gather
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS, PRICES

NOW = datetime(2024, 5, 11, 13, 20, tzinfo=timezone.utc)
START, LAST = NOW.date() - DAY * 10, NOW.date() - DAY
HOUR = timedelta(hours=1)


@pytest.fixture
def settings(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CRYPTO_ASSETS_START", START.isoformat())
    monkeypatch.setenv("CRYPTO_ASSETS_COINS", "BTC,ETH")
    return Settings.from_env()


def prices(warehouse: Warehouse, symbol: str, first: datetime, hours: int, without: tuple[int, ...] = ()) -> None:
    """One coin's hours from the first on, some of them missing."""
    marks = [first + HOUR * n for n in range(hours) if n not in without]
    frame = pl.DataFrame(
        {name: [None] * len(marks) for name in PRICES.names} | {"ts": marks}, schema=PRICES.polars_schema
    ).with_columns(
        symbol=pl.lit(symbol), date=pl.col("ts").dt.date(), available_at=pl.col("ts"), source=pl.lit("test"),
        price_usd=pl.lit(1.0),
    )  # fmt: skip
    wanted = sorted(set(frame["date"]))
    stored = warehouse.read(PRICES, start=wanted[0], end=wanted[-1])
    warehouse.write(PRICES, pl.concat([stored.join(frame, on=["symbol", "ts"], how="anti"), frame]), wanted)


def onchain(warehouse: Warehouse, table: str, count: int) -> None:
    contract = CONTRACTS[table]
    wanted = days(START, START + DAY * (count - 1))
    frame = pl.DataFrame(
        {name: [None] * count for name in contract.names} | {"date": wanted}, schema=contract.polars_schema
    )
    at = pl.Series([midnight(day + DAY) for day in wanted], dtype=pl.Datetime("us", "UTC"))
    warehouse.write(contract, frame.with_columns(symbol=pl.lit("BTC"), source=pl.lit("test"), available_at=at), wanted)


def look(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, now: datetime) -> dict[str, object]:
    """Metadata of the asset, materialised at this instant."""
    monkeypatch.setattr(Providers, "now", lambda self: now)
    done = dg.materialize(history_report.ASSETS, instance=instance, resources={"providers": Providers()})
    return {k: v.value for k, v in done.get_asset_materialization_events()[0].materialization.metadata.items()}


def test_the_course_of_a_restoration(
    instance: DagsterInstance, warehouse: Warehouse, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five of ten days, with two hours missing; a day later the rest; every number by hand."""
    for n in range(6):  # the UI's count: one day was materialised without rows
        event = dg.AssetMaterialization("prices", partition=(START + DAY * n).isoformat())
        instance.report_runless_asset_event(event)
    prices(warehouse, "BTC", midnight(START) + DAY * 5, 24 * 5, without=(7, 30))
    onchain(warehouse, "onchain_base", 8)
    onchain(warehouse, "onchain_enhanced", 6)
    first = look(instance, monkeypatch, NOW)
    assert (first["materialized/prices"], first["with_rows/prices"]) == (0.6, 0.5)
    assert first["rows/prices"] == round(118 / 120, 5), "due from the coin's first row on"
    assert first["enhanced_over_base"] == first["rows/onchain_enhanced"] == 0.75
    assert first["with_rows/ohlc"] == 0.0
    assert "with_rows/derivatives" not in first, "its past cannot be fetched: nothing is due before its first row"
    prices(warehouse, "BTC", midnight(START), 24 * 11)
    onchain(warehouse, "onchain_enhanced", 8)
    later = NOW + DAY
    second = look(instance, monkeypatch, later)
    assert second["with_rows/prices"] == 1.0
    assert second["rows/prices"] == 1.0
    assert second["enhanced_over_base"] == 1.0
    assert set(first) <= set(second), "the names stay, so that the UI plots them"
    again = look(instance, monkeypatch, later + timedelta(minutes=5))
    assert again == {**second, "course": again["course"]}

    kept = history_report.by_day(warehouse, later + HOUR)
    assert history_report.series(kept, "prices", "share_with_rows") == ([NOW.date(), later.date()], [0.5, 1.0])
    found = gather(settings, later + HOUR)
    assert render(found).count("Share of the expected history that is there, all tables") == 1
    assert figures(found)["history_partitions"] == second["with_rows/all"]
    assert figures(found)["history_rows"] == second["rows/all"]


def test_what_cannot_be_read_is_left_out_not_counted_as_missing(
    instance: DagsterInstance, warehouse: Warehouse, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enhanced is counted by its base; and a sum without a table would be of something else."""
    prices(warehouse, "BTC", midnight(START), 24 * 5)
    onchain(warehouse, "onchain_base", 8)
    onchain(warehouse, "onchain_enhanced", 8)
    whole = look(instance, monkeypatch, NOW)
    (Path(warehouse.path("onchain_base")) / "_delta_log").rename(warehouse.path("away"))
    seen = look(instance, monkeypatch, NOW + HOUR)
    assert seen["not_readable"] == "onchain_base"
    assert (seen["with_rows/prices"], seen["rows/prices"]) == (whole["with_rows/prices"], whole["rows/prices"])
    assert {*whole} - {*seen} >= {"enhanced_over_base", "with_rows/onchain_base", "with_rows/all"}
    kept = history_report.by_day(warehouse, NOW + DAY)
    assert history_report.newest(kept)["prices"]["share_with_rows"] == 0.5
    Path(warehouse.path("away")).rename(Path(warehouse.path("onchain_base")) / "_delta_log")
    assert look(instance, monkeypatch, NOW + HOUR * 2) == {**whole, "course": mock.ANY}


def test_prometheus_has_the_newest_look(
    instance: DagsterInstance, warehouse: Warehouse, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scraped() -> dict[tuple[str, ...], float]:
        server, _ = serve(settings, 0)
        try:
            text = httpx.get(f"http://127.0.0.1:{server.server_port}/metrics").text
        finally:
            server.shutdown()
            server.server_close()
        return {(s.name, *s.labels.values()): s.value for f in text_string_to_metric_families(text) for s in f.samples}

    today = datetime.now(timezone.utc)
    before = scraped()
    assert before["crypto_assets_up", "history"] == 1
    assert not [name for name, *_ in before if "history_share" in name or "enhanced" in name], "nobody looked yet"
    onchain(warehouse, "onchain_base", 8)
    onchain(warehouse, "onchain_enhanced", 6)
    seen = look(instance, monkeypatch, today - HOUR)
    found = scraped()
    assert found[("crypto_assets_enhanced_over_base",)] == 0.75
    assert found["crypto_assets_history_share", "rows", "onchain_enhanced"] == 0.75
    share = found["crypto_assets_history_share", "with_rows", "onchain_base"]
    assert share == pytest.approx(seen["with_rows/onchain_base"], abs=1e-5)
    looked_at = ("crypto_assets_history_looked_at_timestamp_seconds",)
    assert found[looked_at] == pytest.approx((today - HOUR).timestamp())
    (Path(warehouse.path("onchain_base")) / "_delta_log").rename(warehouse.path("away"))
    look(instance, monkeypatch, today)
    assert scraped()[looked_at] == pytest.approx(today.timestamp()), "a look without sums is one"


def test_counting_by_years_is_the_check(
    warehouse: Warehouse, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows due and present as ``rows_expected`` has for the whole range, whatever a year's length is."""
    prices(warehouse, "BTC", midnight(START) + HOUR * 30, 24 * 7, without=(*range(40, 100), 150))
    prices(warehouse, "ETH", midnight(START) + HOUR * 131, 70)
    onchain(warehouse, "onchain_base", 8)
    onchain(warehouse, "onchain_enhanced", 6)
    scope = Scope(warehouse, settings, START, LAST, NOW)
    for table in counting.TABLES:
        stored = warehouse.days_with_rows(table, START, LAST)
        counted = set()
        for length in (366, 3):
            monkeypatch.setattr(counting, "YEAR", length)
            counted.add(counting.rows(scope, table, stored))
        if "rows_expected" not in every_measure()[table]:
            assert counted == {None}
            continue
        said = every_measure()[table]["rows_expected"](scope).numbers
        assert counted == {(said["rows_expected"], said["rows_present"])}, table
