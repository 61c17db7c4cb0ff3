"""Freshness is about the rows that are there: not about runs, nor about the days that a run was for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from dagster import AssetCheckKey, AssetKey, DagsterInstance

from crypto_assets.automation.schedules import FRESHNESS
from crypto_assets.checks import health
from crypto_assets.checks.freshness import MEASURES
from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.checks.shells import every_measure
from crypto_assets.checks.state import FROM_FIRST_ROW
from crypto_assets.dates import DAY, days
from crypto_assets.definitions import defs
from crypto_assets.monitoring.freshness import observe
from crypto_assets.operate import runs
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS

NOW = datetime(2024, 5, 10, 12, 20, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


@pytest.fixture
def scope(tmp_path: Path) -> Scope:
    settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path), "CRYPTO_ASSETS_COINS": "BTC,ETH"})
    old = date(2021, 1, 1)  # the run is about a day of old
    return Scope(Warehouse(settings.warehouse), settings, old, old, NOW, live=True)


def write(scope: Scope, newest: dict[str, datetime], source: str = "coingecko") -> None:
    """Ten days of prices of each coin, up to its newest hour."""
    rows = [
        {"symbol": coin, "ts": ts, "date": ts.date(), "available_at": ts, "source": source, "price_usd": 1.0}
        for coin, last in newest.items()
        for ts in (last - HOUR * n for n in range(240))
    ]
    schema = CONTRACTS["prices"].polars_schema
    frame = pl.DataFrame(rows, schema={name: schema[name] for name in rows[0]})
    scope.warehouse.write(CONTRACTS["prices"], frame, sorted(set(frame["date"])))


def look(scope: Scope) -> Outcome:
    return MEASURES["prices"]["fresh"](scope)


def hour(ago: int) -> datetime:
    return NOW.replace(minute=0) - HOUR * ago


def test_green_while_rows_come_and_red_when_they_stop(scope: Scope) -> None:
    write(scope, {"BTC": hour(1), "ETH": hour(0)})
    assert look(scope).passed
    assert look(scope).numbers["age_minutes"] == 20
    assert look(replace(scope, now=NOW + HOUR)).passed
    later = look(replace(scope, now=NOW + HOUR + timedelta(minutes=15)))
    assert not later.passed
    assert later.severity == "ERROR"
    assert "limit is 90 min" in later.description


@pytest.mark.parametrize("table", ["prices", "ohlc", "kraken_ohlc", "derivatives", "narratives", "ml_features"])
def test_an_hour_that_its_tick_owes_is_red_before_the_next(table: str) -> None:
    """Ticks come 2, 17 and 32 minutes past. The first may be too early for the provider; the second owes the row."""
    hour = timedelta(hours=1)
    ticks = [timedelta(minutes=minute) for minute in (2, 17, 32)]
    assert hour + ticks[1] < FRESHNESS[table].late_after < hour + ticks[2]


def test_a_coin_that_stopped_is_named(scope: Scope) -> None:
    write(scope, {"BTC": hour(0), "ETH": hour(5), "UNI": hour(24 * 9)})
    found = look(scope)
    assert (found.passed, found.severity) == (False, "WARN")
    assert "ETH" in found.description
    assert "UNI" not in found.description, "it left its venue more than a week ago"
    assert found.numbers["coins_behind"] == 1


def test_a_wrong_clock_of_many_days_does_not_hide_how_old_the_rest_is(scope: Scope) -> None:
    table, wrong = CONTRACTS["market_sentiment"], datetime(2100, 1, 1, tzinfo=timezone.utc)
    last = NOW.date() - DAY * 6
    rows = [
        {"date": day, "available_at": wrong if day > last else datetime(*day.timetuple()[:3], 1, tzinfo=timezone.utc)}
        for day in days(last - DAY * 9, NOW.date())
    ]
    frame = pl.DataFrame(rows, schema_overrides={"available_at": table.polars_schema["available_at"]})
    frame = frame.with_columns(fear_greed_index=pl.lit(50.0), source=pl.lit("alternative_me"))
    scope.warehouse.write(table, frame, frame["date"].to_list())
    found = MEASURES["market_sentiment"]["fresh"](scope)
    assert (found.passed, found.severity) == (False, "ERROR")
    assert f"at {last} 01:00" in found.description
    seen = {one.table: one for one in observe(scope.warehouse, NOW)}["market_sentiment"]
    assert (seen.fresh, seen.newest) == (False, datetime(2024, 5, 4, 1, tzinfo=timezone.utc))


def test_rows_from_the_future_make_nothing_fresh(scope: Scope) -> None:
    write(scope, {"BTC": hour(-30)})
    known = look(scope)
    assert known.numbers["newest_available_at"] <= NOW


def test_history_is_not_called_fresh_and_recordings_are_not_called_late(scope: Scope) -> None:
    assert look(scope).severity == "WARN"
    assert not look(scope).passed
    write(scope, {"BTC": hour(24 * 365)})
    assert not look(scope).passed
    recorded = replace(scope, warehouse=Warehouse(f"{scope.warehouse.uri}-recorded"))
    write(recorded, {"BTC": hour(24 * 300)}, source="sandbox-replay/coingecko")
    assert look(recorded).passed
    ended = replace(recorded, live=False)
    assert "not judged" in look(ended).description


def test_a_run_of_old_days_sees_that_the_last_days_are_behind(scope: Scope) -> None:
    """``fresh_partitions`` of a backfill of 2021 is red while last week's days are not whole."""
    write(scope, {"BTC": hour(24 * 3)})
    backfilled = replace(scope, start=date(2024, 5, 1), end=date(2024, 5, 1))
    measure = every_measure()["prices"]["fresh_partitions"]
    assert measure(replace(backfilled, live=False)).passed
    found = measure(backfilled)
    assert not found.passed
    assert "2024-05-08" in found.description


def test_days_before_the_first_partition_are_not_due(scope: Scope) -> None:
    """Who starts with three days of history is not warned of the days before them."""
    write(scope, {"BTC": hour(24 * 3)})
    begun = replace(scope.settings, start=date(2024, 5, 8))
    measure = every_measure()["prices"]["fresh_partitions"]
    due = [
        measure(replace(scope, settings=settings, start=begun.start, end=begun.start)).numbers["partitions_due"]
        for settings in (scope.settings, begun)
    ]
    assert due == [7, 2]


def test_a_history_may_begin_in_the_middle_of_a_day(scope: Scope) -> None:
    """A feed's oldest article, or features whose inputs begin at noon: the first day is not late, the next is due whole."""
    rows = CONTRACTS["prices"].polars_schema
    begun = datetime(2024, 5, 6, 2, tzinfo=timezone.utc)
    hours = [begun + HOUR * n for n in range(70)]
    frame = pl.DataFrame(
        [
            {"symbol": "BTC", "ts": ts, "date": ts.date(), "available_at": ts, "source": "coingecko", "price_usd": 1.0}
            for ts in hours
            if ts.date() > begun.date() or ts == begun
        ],
        schema={n: rows[n] for n in ("symbol", "ts", "date", "available_at", "source", "price_usd")},
    )
    scope.warehouse.write(CONTRACTS["prices"], frame, sorted(set(frame["date"])))
    found = every_measure()["prices"]["fresh_partitions"](replace(scope, start=NOW.date(), end=NOW.date()))
    assert (found.numbers["first_day"], found.numbers["last_day"]) == ("2024-05-09", "2024-05-10")
    assert "2024-05-06" not in found.description
    assert "2024-05-09" in found.description, "it ends in the night of the 8th to the 9th"


@contextmanager
def provider(monkeypatch: pytest.MonkeyPatch, home: Path, silent_since: datetime | None = None) -> Iterator[None]:
    """The sandbox on the clock of now; with ``silent_since`` it answers well, but knows nothing newer."""
    with Sandbox(now=silent_since) as sandbox, monkeypatch.context() as patch:
        for name, value in {
            **sandbox.env(),
            "CRYPTO_ASSETS_HOME": str(home),
            "CRYPTO_ASSETS_COINS": "BTC,ETH",
        }.items():
            patch.setenv(name, value)
        yield


def verdict(instance: DagsterInstance) -> str:
    key = AssetCheckKey(AssetKey("prices"), "fresh")
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    return record.status.value


def test_red_within_a_tick_of_silence_although_old_days_are_backfilled(
    instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is one run on a real instance: tick, silent tick, backfill of old days, look, and the return."""
    now = datetime.now(timezone.utc)
    today = now.date()
    with provider(monkeypatch, tmp_path, silent_since=now - FRESHNESS["prices"].late_after - timedelta(minutes=1)):
        runs.execute(instance, ["prices"], today - DAY, today)
        assert verdict(instance) == "FAILED", "the tick that owed a row has brought none"
        for day in days(today - DAY * 12, today - DAY * 11):
            assert runs.execute(instance, ["prices"], day, day).success
        assert verdict(instance) == "FAILED", "old days are news to Dagster, not to the table"
        newest = instance.get_latest_materialization_event(AssetKey("prices"))
        assert newest is not None
        assert now.timestamp() - newest.timestamp < 600, "by Dagster's own freshness it would be green"
    with provider(monkeypatch, tmp_path):
        assert runs.execute(instance, ["prices"], today - DAY, today).success
        assert verdict(instance) == "SUCCEEDED"


def test_the_look_runs_on_a_real_instance(
    instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty platform: nothing is green, nothing is fetched, and the database is looked at."""
    with provider(monkeypatch, tmp_path):
        result = defs.resolve_job_def("look").execute_in_process(instance=instance)
    assert result.success
    assert not [event for event in result.all_events if event.is_step_materialization]
    found = {
        item.check_name: item
        for item in result.get_asset_check_evaluations()
        if item.asset_key == AssetKey("api_usage")
    }
    assert set(found) == {*health.MEASURES, "no_failed_partitions"}
    assert found["nothing_failed"].passed
    assert found["database"].metadata["connections"].value >= 1  # type: ignore[operator]
    late = [item for item in result.get_asset_check_evaluations() if item.check_name == "fresh"]
    assert {item.asset_key.to_user_string() for item in late} == {*MEASURES, "ml_features_latest", "signals_latest"}
    # Nothing says when a first model is there: its tables are due from their first row on.
    due = [item for item in late if item.asset_key.to_user_string().removesuffix("_latest") not in FROM_FIRST_ROW]
    assert len(due) < len(late)
    assert not any(item.passed for item in due)
    held = [item for item in result.get_asset_check_evaluations() if item.check_name == "nothing_held"]
    assert [(item.asset_key.to_user_string(), item.passed) for item in held] == [("quarantine", True)]


def test_a_partition_left_failed_is_named(platforms) -> None:
    broken = platforms(fault="route=fng,status=403,rate=1")
    yesterday = datetime.now(timezone.utc).date() - DAY
    broken.backfill(yesterday, yesterday, tables=["market_sentiment"])
    found = health.nothing_failed(broken.instance, broken.settings)
    assert not found.passed
    assert found.numbers["by_table"] == {"market_sentiment": 1}
    assert yesterday.isoformat() in found.description
