"""A coin that had rows last month and has none now is named, at every table of bars and prices."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from crypto_assets.checks.outcome import Scope
from crypto_assets.checks.shells import every_measure
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS

TABLES = ("prices", "ohlc", "kraken_ohlc")
NOW = datetime(2024, 6, 1, 6, 30, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def scope_of(home: Path, table: str, days: dict[str, list[date]], coins: str = "BTC,ETH,XMR") -> Scope:
    """A table with one hour of each coin's days."""
    settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(home), "CRYPTO_ASSETS_COINS": coins})
    contract = CONTRACTS[table]
    values = {
        column.name: 1.0 for column in contract.columns if column.name in ("open", "high", "low", "close", "price_usd")
    }
    rows = [
        {"symbol": symbol, "ts": ts, "date": day, "available_at": ts + timedelta(hours=1), "source": "kraken", **values}
        for symbol, found in days.items()
        for day in found
        for ts in [datetime(day.year, day.month, day.day, 5, tzinfo=timezone.utc)]
    ]
    frame = pl.DataFrame(rows, schema={name: contract.polars_schema[name] for name in rows[0]})
    warehouse = Warehouse(settings.warehouse)
    warehouse.write(contract, frame, sorted(set(frame["date"])))
    yesterday = (NOW - DAY).date()
    return Scope(warehouse, settings, yesterday, yesterday, NOW, live=True)


def span(first: int, last: int) -> list[date]:
    """Days before today, from the farthest to the nearest, both included."""
    return [NOW.date() - DAY * n for n in range(first, last - 1, -1)]


@pytest.mark.parametrize("table", TABLES)
def test_a_coin_with_rows_last_month_and_none_now_is_named(tmp_path: Path, table: str) -> None:
    scope = scope_of(tmp_path, table, {"BTC": span(40, 1), "ETH": span(20, 2), "XMR": span(30, 5)})
    outcome = every_measure()[table]["coins_kept"](scope)
    assert not outcome.passed and outcome.severity == "WARN"
    assert "XMR (last 2024-05-27)" in outcome.description
    assert outcome.numbers["coins_lost"] == 1
    assert "ETH" not in outcome.description, "one closed day without a row is not lost"


@pytest.mark.parametrize("table", TABLES)
def test_it_passes_where_every_coin_is_there_is_new_or_is_not_configured(tmp_path: Path, table: str) -> None:
    days = {"BTC": span(40, 0), "ETH": span(1, 0), "XMR": span(30, 5), "LTC": span(60, 40)}
    scope = scope_of(tmp_path, table, days, coins="BTC,ETH,LTC")
    assert every_measure()[table]["coins_kept"](scope).passed, "ETH is new, LTC left long ago, XMR is not asked for"


def test_the_only_coin_can_be_lost(tmp_path: Path) -> None:
    scope = scope_of(tmp_path, "ohlc", {"XMR": span(30, 5)}, coins="XMR")
    assert "XMR" in every_measure()["ohlc"]["coins_kept"](scope).description


def test_a_range_of_the_past_is_judged_by_itself(tmp_path: Path) -> None:
    scope = scope_of(tmp_path, "ohlc", {"BTC": span(400, 360), "XMR": span(400, 380)})
    past = NOW.date() - DAY * 360
    for live in (True, False):
        outcome = every_measure()["ohlc"]["coins_kept"](replace(scope, start=past, end=past, live=live))
        assert not outcome.passed and "XMR" in outcome.description
