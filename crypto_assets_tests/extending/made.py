"""In a copy in which docs/how-to was carried out: each of the things is made by the real platform."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from crypto_assets.automation.schedules import SETTLED_TABLES
from crypto_assets.dates import DAY, today
from crypto_assets.definitions import defs
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets.operate.backfill import backfill
from crypto_assets.operate.doctor import examine
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import CONTRACTS

TABLES = ("prices", "ohlc", "page_views", "dominance", "ml_features")
DAYS = 4
END = today() - DAY * 3
START = END - DAY * (DAYS - 1)


def test_the_recipes_on_the_sandbox(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox() as sandbox:
        for name, value in {**sandbox.env(), "CRYPTO_ASSETS_COINS": "BTC,ETH,TEL"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CRYPTO_ASSETS_HOME", str(tmp_path / "home"))
        warehouse = Warehouse(Settings.from_env().warehouse)
        report = backfill(instance, warehouse, TABLES, START, END)
        assert not report.failures, report.failures
        assert {finding.name: finding.state for finding in examine()}["wikimedia"] == "ok"
    _a_derived_table(warehouse)
    _a_feature(warehouse)
    _a_coin(warehouse)
    _a_source_and_its_table(warehouse)
    _a_check(instance)
    _an_alert(instance, warehouse)


def _a_derived_table(warehouse: Warehouse) -> None:
    assert "dominance" in SETTLED_TABLES
    last = warehouse.read("prices").filter(pl.col("ts").dt.hour() == 23)
    whole = dict(last.group_by("date").agg(pl.col("market_cap_usd").sum()).rows())
    wanted = {(row["symbol"], row["date"]): row["market_cap_usd"] / whole[row["date"]] for row in last.to_dicts()}
    found = {(row["symbol"], row["date"]): row["share"] for row in warehouse.read("dominance").to_dicts()}
    assert found == pytest.approx(wanted)
    assert len(found) == 3 * DAYS


def _a_feature(warehouse: Warehouse) -> None:
    rows = warehouse.read("ml_features", symbols=["BTC"]).filter(pl.col("sma_50").is_not_null())
    assert rows.height == 24 * DAYS - 49 - 1  # of the 96 bars the first 49 make no window, and the last closes later
    wanted = rows["sma_20"] / rows["sma_50"] - 1
    assert rows["sma_cross_20_50"].to_list() == pytest.approx(wanted.to_list(), abs=1e-12)
    assert rows["sma_cross_20_50"].n_unique() > 1


def _a_coin(warehouse: Warehouse) -> None:
    assert warehouse.read("prices", symbols=["TEL"]).height == 24 * DAYS


def _a_source_and_its_table(warehouse: Warehouse) -> None:
    rows = warehouse.read("page_views")
    assert rows["date"].to_list() == [START + DAY * n for n in range(DAYS)]
    assert set(rows["source"]) == {"sandbox/wikimedia"}
    assert rows["views"].min() >= 4000  # type: ignore[operator]


def _a_check(instance: dg.DagsterInstance) -> None:
    key = dg.AssetCheckKey(dg.AssetKey("dominance"), "shares_sum_to_one")
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key].evaluation
    assert found.passed
    assert found.metadata["days"].value == DAYS


def _an_alert(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    """An article of 30 hours ago, and none since: the sensor opens an incident, an article of now closes it."""
    now, articles = datetime.now(timezone.utc), CONTRACTS["news_articles"]
    ledger = Ledger(os.environ["DAGSTER_POSTGRES_URL"])
    for age, count in ((timedelta(hours=30), 1), (timedelta(minutes=5), 0)):
        at = now - age
        row = {
            "article_id": str(age), "feed": "newsroom", "published_at": at, "date": at.date(), "available_at": at,
            "source": "sandbox/rss", "title": "t", "url": f"https://n.example/{count}", "symbols": [],
        }  # fmt: skip
        cells = {name: [row.get(name)] for name in articles.names}
        warehouse.write(articles, pl.DataFrame(cells, schema=articles.polars_schema), [at.date()])
        with dg.build_sensor_context(instance=instance, repository_def=defs.get_repository_def()) as context:
            defs.resolve_sensor_def("alert_feed_silent").evaluate_tick(context)
        assert [incident.subject for incident in ledger.open("feed_silent")] == ["newsroom"] * count
