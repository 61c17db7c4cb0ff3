"""Checks of the platform itself: failed partitions, free disk space, connections to Postgres, clocks, retention."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from crypto_assets.assets.partition_states import one_look
from crypto_assets.assets.shell import DAILY
from crypto_assets.checks.outcome import Outcome
from crypto_assets.checks.state import FRESHNESS, failed_days
from crypto_assets.lazy import lazy
from crypto_assets.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy
else:
    sqlalchemy = lazy("sqlalchemy")

PlatformCheck = Callable[[DagsterInstance, Settings], Outcome]
DISK_WARN, DISK_ERROR = 0.15, 0.05  # free share
CONNECTIONS_WARN = 0.8
CLOCKS_WARN_S, CLOCKS_ERROR_S = 10.0, 120.0
RUNS_DAYS = 30  # how long runs are kept in the list
RETENTION, UNPRUNED_PATIENCE = "tidy_up", timedelta(days=3)  # the job of automation/tidy.py; it runs once a day


def nothing_failed(instance: DagsterInstance, settings: Settings) -> Outcome:
    """Check that no partition of any table is failed, however old. The refill repeats it; one that stays needs a person."""
    first, last = DAILY.start.date(), datetime.now(timezone.utc).date()
    with one_look(instance, FRESHNESS):
        looked_at = {table: failed_days(instance, table, first, last) for table in FRESHNESS}
    failed = {table: [day.isoformat() for day in found] for table, found in looked_at.items() if found}
    counted = {table: len(found) for table, found in failed.items()}
    named = "; ".join(
        f"{table} {found[-1]}" + (f" and {len(found) - 1} more" if found[1:] else "") for table, found in failed.items()
    )
    return Outcome(
        not failed,
        f"left failed: {named}" if failed else "no partition is left failed",
        "WARN",
        {"partitions_failed": sum(counted.values()), "by_table": counted},
    )


def disk_space(instance: DagsterInstance, settings: Settings) -> Outcome:
    """Check the free disk space of the state folder: WARN below 15 %, ERROR below 5 %. Postgres and Delta need space to write."""
    return free_space(settings.home)


def free_space(home: Path) -> Outcome:
    """Do the check ``disk_space`` without a Dagster instance, which does not start on a full disk."""
    used = shutil.disk_usage(next(folder for folder in (home, *home.absolute().parents) if folder.exists()))
    share = used.free / used.total
    return Outcome(
        share >= DISK_WARN,
        f"{used.free / 1e9:.1f} GB free of {used.total / 1e9:.1f} GB ({share:.0%}) under {home}",
        "ERROR" if share < DISK_ERROR else "WARN",
        {"free_gb": round(used.free / 1e9, 2), "free_share": round(share, 4)},
    )


def database(instance: DagsterInstance, settings: Settings) -> Outcome:
    """Compare the connections in use with the server's limit, and report the size of the database. WARN from 80 %."""
    if settings.postgres_url is None:
        return Outcome(True, "DAGSTER_POSTGRES_URL is not set: Postgres was not checked")
    engine = sqlalchemy.create_engine(settings.postgres_url.get_secret_value(), poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        used, allowed, size = connection.execute(
            sqlalchemy.text(
                "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
                "current_setting('max_connections')::int, pg_database_size(current_database())"
            )
        ).one()
    return Outcome(
        used <= allowed * CONNECTIONS_WARN,
        f"{used} of {allowed} connections in use; the database holds {size / 1e6:.0f} MB",
        "WARN",
        {"connections": int(used), "connections_allowed": int(allowed), "database_mb": round(size / 1e6, 1)},
    )


def clocks_agree(instance: DagsterInstance, settings: Settings) -> Outcome:
    """Compare this machine's clock with that of Dagster's Postgres: WARN from 10 seconds apart, ERROR from 2 minutes."""
    if settings.postgres_url is None:
        return Outcome(True, "DAGSTER_POSTGRES_URL is not set: the clocks were not compared")
    engine = sqlalchemy.create_engine(settings.postgres_url.get_secret_value(), poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        before = datetime.now(timezone.utc)
        theirs = connection.execute(sqlalchemy.text("SELECT clock_timestamp()")).scalar_one()
        after = datetime.now(timezone.utc)
    # The answer took some time; the clocks are surely apart only by what lies outside it.
    apart = max((theirs - after).total_seconds(), (before - theirs).total_seconds(), 0.0)
    side = "ahead of" if theirs > after else "behind"
    return Outcome(
        apart < CLOCKS_WARN_S,
        f"the clock of Dagster's Postgres is {apart:.0f} s {side} this machine's; let both follow a time server (NTP)"
        if apart >= CLOCKS_WARN_S
        else "this machine and Dagster's Postgres have the same time",
        "ERROR" if apart >= CLOCKS_ERROR_S else "WARN",
        {"seconds_apart": round(apart, 1)},
    )


def history_pruned(instance: DagsterInstance, settings: Settings) -> Outcome:
    """Check that the daily retention runs: WARN where old runs are there and it has not ended well for three days."""
    now = datetime.now(timezone.utc)
    days = max(RUNS_DAYS, settings.history_days)
    cutoff = now - timedelta(days=days) - UNPRUNED_PATIENCE
    old = instance.get_runs_count(RunsFilter(created_before=cutoff))
    ended = instance.get_run_records(RunsFilter(job_name=RETENTION, statuses=[DagsterRunStatus.SUCCESS]), limit=1)
    last = datetime.fromtimestamp(ended[0].end_time or 0, timezone.utc) if ended else None
    passed = not old or (last is not None and now - last <= UNPRUNED_PATIENCE)
    when = f"{RETENTION} ended well at {last:%Y-%m-%d %H:%M} UTC" if last else f"{RETENTION} never ended well"
    return Outcome(
        passed,
        when
        if passed
        else f"{when}, so {old} run(s) older than {days} days and their events are kept; see that the "
        "schedule tidy_daily is on, and why its last run failed",
        "WARN",
        {"old_runs": old, **({"last_pruned_at": last} if last else {})},
    )


MEASURES: dict[str, PlatformCheck] = {
    "nothing_failed": nothing_failed,
    "disk_space": disk_space,
    "database": database,
    "clocks_agree": clocks_agree,
    "history_pruned": history_pruned,
}
