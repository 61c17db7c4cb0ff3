"""The checks of names over time, on tables in a folder: coins_delisted, coins_suspected, units."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crypto_assets.checks.every_measure import every_measure
from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.monitoring.watch.suspected_changes import suspected_changes
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS

NOW = datetime(2024, 6, 1, 6, 30, tzinfo=timezone.utc)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LISTED = {"state": "listed", "venues": [], "tickers": [], "factor": 1.0, "evidence": "ohlc"}
BAR = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "source": "binance_usdt", "factor": 1.0}


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path)}).warehouse)


def put(warehouse: Warehouse, table: str, rows: list[dict[str, Any]]) -> None:
    contract = CONTRACTS[table]
    full = [{"source": "derived", "available_at": NOW, "pit_quality": "final"} | row for row in rows]
    names = [name for name in contract.names if name in full[0]]
    frame = pl.DataFrame(full, schema={name: contract.polars_schema[name] for name in names})
    warehouse.write(contract, frame, sorted(set(frame["date"])))


def outcome(warehouse: Warehouse, check: str, start: date, end: date, coins: str, table: str = "universe") -> Outcome:
    settings = Settings.from_env({"CRYPTO_ASSETS_COINS": coins})
    return every_measure()[table][check](Scope(warehouse, settings, start, end, NOW))


def test_each_delisted_coin_is_named_with_its_day(warehouse: Warehouse) -> None:
    day = date(2024, 3, 1)
    gone = {
        "state": "suspected",
        "evidence": "silence: no row of ohlc since 2024-02-20",
        "delisted_on": date(2024, 2, 20),
    }
    put(
        warehouse,
        "universe",
        [{"symbol": "XMR", "date": day, **LISTED, **gone}, {"symbol": "BTC", "date": day, **LISTED}],
    )
    found = outcome(warehouse, "coins_delisted", day, day, "BTC,XMR,SRM,HNT,LUNC")
    assert found.passed and found.numbers["coins"] == 3
    for said in ("XMR on 2024-02-20 (silence", "SRM on 2022-11-28", "HNT on 2022-10-14 (binance delisted HNTUSDT)"):
        assert said in found.description
    assert "LUNC" not in found.description and "BTC" not in found.description
    then = outcome(warehouse, "coins_delisted", date(2022, 6, 1), date(2022, 6, 3), "BTC,LUNC,SRM")
    assert "LUNC on 2022-05-13" in then.description and "SRM" not in then.description
    assert outcome(warehouse, "coins_delisted", day, day, "BTC").numbers["coins"] == 0


def test_a_suspected_coin_fails_coins_suspected_and_opens_an_incident_until_it_is_explained(
    warehouse: Warehouse,
) -> None:
    day = date(2024, 3, 1)
    jump = {"state": "suspected", "evidence": "jump: ohlc jump by a factor of 1000 at 2024-02-28 04:00"}
    put(
        warehouse,
        "universe",
        [{"symbol": "XRP", "date": day, **LISTED, **jump}, {"symbol": "BTC", "date": day, **LISTED}],
    )
    found = outcome(warehouse, "coins_suspected", day, day, "BTC,XRP")
    assert (
        not found.passed
        and found.severity == "WARN"
        and "XRP: jump: ohlc jump by a factor of 1000" in found.description
    )
    (sighting,) = suspected_changes(warehouse, [])
    assert sighting.subject == "XRP" and "factor of 1000" in str(sighting.trouble)
    put(warehouse, "universe", [{"symbol": "XRP", "date": day, **LISTED}, {"symbol": "BTC", "date": day, **LISTED}])
    assert outcome(warehouse, "coins_suspected", day, day, "BTC,XRP").passed
    (over,) = suspected_changes(warehouse, ["XRP"])
    assert over.trouble is None and over.why_over
    assert suspected_changes(warehouse, []) == []


def test_bars_in_an_old_unit_or_of_another_coin_fail_units(warehouse: Warehouse) -> None:
    hours = [datetime(2021, 6, 13, 20, tzinfo=timezone.utc) + HOUR * n for n in range(3)]
    reused = datetime(2022, 6, 2, tzinfo=timezone.utc)
    rows = [{"symbol": "SUN", "ts": ts, "date": ts.date(), **BAR, "factor": 1000.0} for ts in hours]
    put(warehouse, "ohlc", rows)
    start, end = date(2021, 6, 1), date(2022, 7, 1)
    assert outcome(warehouse, "units", start, end, "BTC,SUN,LUNC", "ohlc").passed
    put(warehouse, "ohlc", [{**rows[0], "factor": 1.0}, {"symbol": "LUNC", "ts": reused, "date": reused.date(), **BAR}])
    found = outcome(warehouse, "units", start, end, "BTC,SUN,LUNC", "ohlc")
    assert not found.passed and found.severity == "ERROR"
    assert "SUN from 2021-06-13 to 2021-06-13" in found.description and "LUNC from 2022-06-02" in found.description
    assert "backfill --start 2021-06-13 --end 2022-06-02" in found.description


def test_rows_are_not_due_after_a_delisting_and_the_coin_is_not_lost(warehouse: Warehouse) -> None:
    first = datetime(2022, 11, 27, tzinfo=timezone.utc)
    count = 24 + 3
    rows = [{"symbol": "SRM", "ts": first + HOUR * n, "date": (first + HOUR * n).date(), **BAR} for n in range(count)]
    rows += [{"symbol": "BTC", "ts": first + HOUR * n, "date": (first + HOUR * n).date(), **BAR} for n in range(24 * 6)]
    put(warehouse, "ohlc", rows)
    found = outcome(warehouse, "rows_expected", date(2022, 11, 27), date(2022, 12, 2), "BTC,SRM", "ohlc")
    assert found.passed and found.numbers["rows_expected"] == count + 24 * 6
    kept = outcome(warehouse, "coins_kept", date(2022, 12, 2), date(2022, 12, 2), "BTC,SRM", "ohlc")
    assert kept.passed and "delisted as the catalogue says: SRM" in kept.description
    without = outcome(warehouse, "rows_expected", date(2022, 11, 27), date(2022, 11, 28), "BTC,SRM", "ohlc")
    assert without.passed
