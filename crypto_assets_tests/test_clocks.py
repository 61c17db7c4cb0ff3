"""Clocks that disagree by minutes, and hosts in zones with daylight saving: nothing early, nothing twice, nothing lost.

Processes run under libfaketime, so that each has a clock of its own; Postgres keeps the real one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRunStatus, DefaultScheduleStatus
from sqlalchemy import text

from crypto_assets.checks import health
from crypto_assets.definitions import defs
from crypto_assets.monitoring.watch import failed_runs
from crypto_assets.monitoring.watch.watcher import WatchContext
from crypto_assets.settings import Settings
from crypto_assets.sources.client.limits import Limit
from crypto_assets.sources.client.quota import PostgresQuotaStore

faketime = pytest.importorskip("crypto_assets_tests.simulation.clock")
pytestmark = pytest.mark.skipif(not faketime.LIBRARY.is_file(), reason="libfaketime is for Linux on x86-64")
# Around the hours that a zone has not at all, or twice.
CHANGES = [
    ("America/New_York", "2026-03-08 06:55:00"),
    ("America/New_York", "2026-11-01 05:55:00"),
    ("Europe/Berlin", "2026-03-29 00:55:00"),
    ("Europe/Berlin", "2026-10-25 00:55:00"),
]
TICKS = 110  # of a schedule, more than a day has
# What a process with this clock and zone takes for due: partitions, ticks, the day, the month, files' times.
DUE = """
import json, sys
from datetime import datetime, timedelta, timezone
from dagster._utils.schedules import cron_string_iterator
from crypto_assets.assets.calendar import daily
from crypto_assets.checks.state import days_due
from crypto_assets.dates import midnight, today, yesterday
from crypto_assets.settings import Settings
from crypto_assets.sources.client.quota import this_month
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import TABLES
now, found = datetime.now(timezone.utc), {}
for schedule, cron in json.loads(sys.argv[1]).items():
    ticks = cron_string_iterator((now - timedelta(hours=12)).timestamp(), cron, "UTC")
    found[schedule] = [next(ticks).isoformat() for _ in range(int(sys.argv[2]))]
calendar, settings = daily((now - timedelta(days=9)).date()), Settings.from_env()
found["partitions"] = calendar.get_partition_keys()
found["windows"] = [[w.start.timestamp(), w.end.timestamp()] for w in map(calendar.time_window_for_partition_key, found["partitions"])]
first = today() - timedelta(days=9)
found["due"] = {name: str(days_due(name, first, first, yesterday(), now, settings)) for name, spec in TABLES.items() if spec.by_day}
found["days"] = [str(today()), str(yesterday()), this_month(), midnight(today()).timestamp()]
print(json.dumps(found))
"""


def under(offset: str, code: str, *arguments: str, zone: str = "UTC") -> str:
    """What a Python prints whose clock is off by ``offset`` (``+300s``) or begins at a UTC instant, in a time zone."""
    env = {**os.environ, "LD_PRELOAD": str(faketime.LIBRARY), "FAKETIME": offset, "TZ": zone}
    env |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "FAKETIME_FMT": "%s" if offset[0] == "@" else ""}
    env = {name: value for name, value in env.items() if value}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_every_schedule_counts_in_utc() -> None:
    schedules = [*defs.schedules]  # type: ignore[misc]
    assert len(schedules) > 5
    assert {(one.name, one.execution_timezone) for one in schedules} == {(one.name, "UTC") for one in schedules}
    assert any(one.default_status == DefaultScheduleStatus.RUNNING for one in schedules)


def test_daylight_saving_of_the_host_changes_nothing() -> None:
    """The same instant in the zone and in UTC: partitions, ticks, days and months are the same, none twice."""
    crons = json.dumps({one.name: str(one.cron_schedule) for one in defs.schedules})  # type: ignore[union-attr]
    for zone, change in CHANGES:
        instant = datetime.fromisoformat(change).replace(tzinfo=timezone.utc)
        offset = f"{(instant - datetime.now(timezone.utc)).total_seconds():+.0f}s"
        there, utc = (json.loads(under(offset, DUE, crons, str(TICKS), zone=name)) for name in (zone, "UTC"))
        assert there == utc, change
        for name in json.loads(crons):
            assert len(set(utc[name])) == TICKS, name
        assert {end - start for start, end in utc["windows"]} == {86_400.0}


RESERVE = """
import json, sys
from crypto_assets.sources.client.limits import Limit
from crypto_assets.sources.client.quota import PostgresQuotaStore
store = PostgresQuotaStore(sys.argv[1])
limit = Limit("x:demo", calls=1, seconds=2.0, budget=10)
waits = store.reserve(limit, 3)
print(json.dumps([waits, store.used("x:demo")]))
"""


def test_machines_with_other_clocks_share_a_pace_and_a_month(url: str) -> None:
    """Ten minutes ahead, ten behind, and one that is in another month already: one pace, one budget, none of it twice."""
    first = [json.loads(under(offset, RESERVE, url)) for offset in ("+600s", "-600s", "+40d")]
    used = [count for _, count in first]
    assert used == [3, 6, 9]
    store, limit = PostgresQuotaStore(url), Limit("x:demo", calls=1, seconds=2.0, budget=10)
    assert store.used("x:demo") == 9
    (last,) = store.reserve(limit, 5)
    assert last <= 9 * limit.interval, "it waits for nine calls at most, not for a clock"
    store.give_back(limit, 1)
    assert store.used("x:demo") == 9


CLOCKS = """
import json, sys
from crypto_assets.checks.health import clocks_agree
from crypto_assets.settings import Settings
found = clocks_agree(None, Settings.from_env())
print(json.dumps([found.passed, found.severity, found.description, found.numbers["seconds_apart"]]))
"""


@pytest.mark.parametrize(("offset", "severity", "side"), [("+60s", "WARN", "behind"), ("-300s", "ERROR", "ahead of")])
def test_clocks_that_disagree_are_found(url: str, offset: str, severity: str, side: str) -> None:
    passed, how, said, apart = json.loads(under(offset, CLOCKS))
    assert (passed, how) == (False, severity)
    assert f"s {side} this machine's" in said
    assert abs(apart - abs(int(offset[:-1]))) < 8


def test_clocks_that_agree_pass(instance: DagsterInstance) -> None:
    assert health.clocks_agree(instance, Settings.from_env()).passed


def failed_run(instance: DagsterInstance, minutes_off: int) -> str:
    """A run that failed just now, on a machine whose clock is off."""

    @dg.job(name="job_of_elsewhere")
    def job() -> None: ...

    run = instance.create_run_for_job(job, status=DagsterRunStatus.FAILURE).run_id
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        at = datetime.now(timezone.utc) + timedelta(minutes=minutes_off)
        values = {"update_timestamp": at.replace(tzinfo=None), "end_time": at.timestamp(), "run_id": run}
        connection.execute(
            text("UPDATE runs SET update_timestamp = :update_timestamp, end_time = :end_time WHERE run_id = :run_id"),
            values,
        )
    return run


def test_a_run_of_a_machine_with_another_clock_hides_no_other(instance: DagsterInstance) -> None:
    """One fails on a machine that is ten minutes ahead, the next on one that is ten behind: each is seen, and once."""
    settings, now = Settings.from_env(), datetime.now(timezone.utc)
    cursor = None
    for minutes_off in (10, 0, -10):
        run = failed_run(instance, minutes_off)
        found, cursor = failed_runs.failed_runs(WatchContext(instance, settings, now, {}, cursor))
        assert [str(sighting.trouble)[-9:-1] for sighting in found] == [run[:8]], minutes_off
        now += timedelta(seconds=30)
    found, _ = failed_runs.failed_runs(WatchContext(instance, settings, now, {}, cursor))
    assert found == [], "none is seen twice"
