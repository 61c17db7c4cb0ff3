"""Do the tables of derivatives agree with the snapshot, and does each venue answer: on rows in a real warehouse."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crypto_assets.checks.derivatives import MEASURES
from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS

DAY = date(2024, 5, 2)
OPENED = datetime(2024, 5, 2, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


@pytest.fixture
def scope(tmp_path: Path) -> Scope:
    settings = Settings.from_env({"CRYPTO_ASSETS_WAREHOUSE": str(tmp_path), "CRYPTO_ASSETS_COINS": "BTC,ETH"})
    return Scope(Warehouse(str(tmp_path)), settings, DAY, DAY, OPENED + 40 * HOUR)


def store(scope: Scope, table: str, rows: list[dict[str, Any]]) -> None:
    contract = CONTRACTS[table]
    full = [{name: ({"date": DAY, "source": "test"} | row).get(name) for name in contract.names} for row in rows]
    scope.warehouse.write(contract, contract.validate(pl.DataFrame(full, schema=contract.polars_schema)), [DAY])


def snapshots(scope: Scope, **values: float) -> None:
    hours = [OPENED + n * HOUR for n in range(24)]
    store(
        scope,
        "derivatives",
        [{"symbol": "BTC", "ts": ts, "available_at": ts + HOUR / 20, "contracts": 5, **values} for ts in hours],
    )


def funding(scope: Scope, rate: float, venue: str = "binance") -> None:
    stamps = [OPENED + 8 * n * HOUR for n in range(3)]
    rows = [{"symbol": "BTC", "venue": venue, "ts": ts, "available_at": ts, "funding_rate": rate} for ts in stamps]
    store(scope, "funding_rates", rows)


def check(scope: Scope, table: str, name: str) -> Outcome:
    return MEASURES[table][name](scope)


@pytest.mark.parametrize(("rate", "passed"), [(1e-4, True), (3e-4, True), (1e-2, False)])
def test_a_rate_in_another_unit_does_not_agree(scope: Scope, rate: float, passed: bool) -> None:
    snapshots(scope, funding_rate=1.5e-4)
    funding(scope, rate)
    found = check(scope, "funding_rates", "agrees_with_snapshot")
    assert found.passed is passed and found.numbers["compared"] == 24, found.description
    assert ("BTC" in found.description) is not passed


@pytest.mark.parametrize(("usd", "passed"), [(4e9, True), (4e12, False)])
def test_a_venue_cannot_have_more_than_all_venues(scope: Scope, usd: float, passed: bool) -> None:
    snapshots(scope, open_interest_usd=9e9)
    where = {"symbol": "BTC", "venue": "binance"}
    rows = [
        {**where, "ts": (ts := OPENED + n * HOUR), "available_at": ts + HOUR / 12, "open_interest_usd": usd}
        for n in range(24)
    ]
    store(scope, "open_interest", rows)
    found = check(scope, "open_interest", "agrees_with_snapshot")
    assert found.passed is passed, found.description


def test_nothing_to_compare_is_said(scope: Scope) -> None:
    funding(scope, 1e-4)
    assert "no hour" in check(scope, "funding_rates", "agrees_with_snapshot").description


def test_a_silent_venue_is_named(scope: Scope) -> None:
    funding(scope, 1e-4)
    found = check(scope, "funding_rates", "venues_answer")
    assert not found.passed and "bybit gave none" in found.description
    funding(scope, 1e-4, "bybit")
    assert check(scope, "funding_rates", "venues_answer").passed
