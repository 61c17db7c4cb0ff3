"""Observations and the report as a run makes them, from rows in tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from crypto_assets.assets.providers import Providers
from crypto_assets.automation.schedules import FRESHNESS
from crypto_assets.checks.state import FROM_FIRST_ROW
from crypto_assets.errors import WarehouseError
from crypto_assets.monitoring import freshness, slo
from crypto_assets.monitoring.watch.error_budgets import error_budgets
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS

NOW = datetime(2024, 5, 4, 12, 8, tzinfo=timezone.utc)
SLOT = timedelta(minutes=15)


@pytest.fixture
def look(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[datetime], dict[str, dict]]]:
    """Run the observe job's assets at an instant; gives the metadata by asset."""
    with dg.DagsterInstance.ephemeral() as instance:

        def at(now: datetime) -> dict[str, dict]:
            monkeypatch.setattr(Providers, "now", lambda self: now)
            done = dg.materialize(slo.ASSETS, instance=instance, resources={"providers": Providers()})
            assert done.success
            return {
                e.asset_key.to_user_string(): {k: v.value for k, v in e.materialization.metadata.items()}
                for e in done.get_asset_materialization_events()
            }

        yield at


@pytest.fixture
def price(put) -> Callable[[datetime], None]:
    return lambda at: put(
        "prices", symbol="BTC", ts=at.replace(minute=0), date=at.date(), available_at=at, price_usd=1.0
    )


def test_what_is_seen_is_written_once_and_never_rewritten(warehouse: Warehouse, look, price) -> None:
    price(NOW - timedelta(hours=1))
    first = look(NOW)["freshness_observations"]
    observed = [
        table for table in FRESHNESS if table not in FROM_FIRST_ROW
    ]  # the others owe nothing before a first row
    assert (first["fresh"], first["observed"]) == (1, len(observed))
    assert first["age_hours/prices"] == 1.0
    rows = warehouse.read("freshness_observations")
    assert dict(rows.select("asset", "fresh").rows()) == {table: table == "prices" for table in observed}
    assert set(rows["ts"]) == {NOW.replace(minute=0)}
    price(NOW + timedelta(minutes=1))
    look(NOW + timedelta(minutes=3))
    assert warehouse.read("freshness_observations").equals(rows), "the first look at a slot is what was known then"


def test_a_table_that_cannot_be_read_is_not_fresh_and_hides_no_other(warehouse: Warehouse, look, price, put) -> None:
    price(NOW - timedelta(hours=1))
    put("market_sentiment", date=NOW.date(), available_at=NOW - timedelta(hours=1), fear_greed_index=50)
    look(NOW)
    log = max(Path(warehouse.path("market_sentiment")).glob("_delta_log/*.json"))
    log.write_bytes(log.read_bytes()[:-40])  # as a crash leaves it
    seen = look(NOW + SLOT)
    assert seen["freshness_observations"]["not_readable"] == "market_sentiment"
    assert seen["freshness_observations"]["fresh"] == 1
    assert seen["slo_report"]["share_24h/prices"] == 1.0
    assert seen["slo_report"]["share_24h/market_sentiment"] == 0.5
    max(Path(warehouse.path("prices")).glob("_delta_log/*.json")).write_bytes(b"{")
    with pytest.raises(WarehouseError, match=r"prices .* cannot be read"):
        freshness.observe(warehouse, NOW)


def test_a_table_that_stops_spends_its_budget_and_one_that_nobody_watches_too(
    warehouse: Warehouse, look, price
) -> None:
    price(NOW - timedelta(hours=1))
    for n in range(4):  # 1:00, 1:15, 1:30 old: fresh; then late
        last = look(NOW + SLOT * n)
    figures = last["slo_report"]
    assert figures["share_24h/prices"] == 0.75
    assert figures["budget_left/prices"] == pytest.approx(1 - 0.25 / 0.01)
    assert "share_30d/ohlc" not in figures, "nobody fills it: it is not late, and breaks no promise"
    assert figures["share_24h/all"] == 0.75
    price(NOW + SLOT * 7)
    figures = look(NOW + SLOT * 7)["slo_report"]
    assert figures["share_24h/prices"] == 0.5, "of eight slots: three fresh, one late, three unseen, one fresh"
    report = warehouse.read("slo_report").filter(pl.col("ts") == pl.col("ts").max())
    mine = report.row(by_predicate=(pl.col("asset") == "prices") & (pl.col("window") == "7d"), named=True)
    assert (mine["slots"], mine["fresh_slots"], mine["unobserved_slots"]) == (8, 4, 3)
    assert set(report["asset"]) == {"prices", "all"}
    for table in ("freshness_observations", "slo_report"):
        assert CONTRACTS[table].violations(warehouse.read(table)) == []


def test_a_table_counts_from_the_look_at_its_first_row_on(warehouse: Warehouse, look, price) -> None:
    for n in range(3):
        nothing = look(NOW + SLOT * n)["slo_report"]
    assert not [name for name in nothing if name.startswith("share_")]
    assert [s.subject for s in error_budgets(warehouse, NOW + SLOT * 2)] == [], "what nobody fills burns nothing"
    price(NOW + SLOT * 3)
    assert look(NOW + SLOT * 3)["slo_report"]["share_24h/prices"] == 1.0
    report = warehouse.read("slo_report")
    mine = report.row(by_predicate=(pl.col("asset") == "prices") & (pl.col("window") == "24h"), named=True)
    assert (mine["slots"], mine["fresh_slots"], mine["unobserved_slots"]) == (1, 1, 0)


def test_burning_is_seen_and_its_end(warehouse: Warehouse, look, price) -> None:
    price(NOW)
    assert error_budgets(warehouse, NOW) == [], "nothing was observed: nothing can be said"
    late = NOW + SLOT * 8
    for n in range(5, 9):  # late from 1:30 on: the slots at 1:45 and 2:00 after
        look(NOW + SLOT * n)
    found = {s.subject: s.trouble for s in error_budgets(warehouse, late)}
    assert "too fast" in (found["prices"] or "")
    assert found["observations"] is None
    price(late)
    for n in range(1, 5):
        look(late + SLOT * n)
    assert {s.subject: s.trouble for s in error_budgets(warehouse, late + SLOT * 4)}["prices"] is None
    unseen = {s.subject: s.trouble for s in error_budgets(warehouse, late + SLOT * 9)}
    assert "not observed" in (unseen["observations"] or "")
    assert "prices" not in unseen, "nobody looked, so nobody knows"
