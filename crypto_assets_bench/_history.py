"""Years of Dagster's history out of one day of it: its runs with all that they left, copied by SQL and moved in time.

``python -m crypto_assets_bench._history URL`` takes a database with a day of a platform (the simulated one:
``crypto_assets_tests.simulation``) and lets two years pass in it. Days far from the two that are compared have one tick, and the
duty once a week: what stays of a day is the newest of each partition, however many ticks it had.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta, timezone
from typing import Any

import psycopg2
from dagster import DagsterInstance

from crypto_assets.automation.prune import prune

DAYS, QUARTER = 730, 91
# What is copied is remembered, since the duty frees it.
REMEMBERED = """
CREATE TEMPORARY TABLE day_runs AS SELECT * FROM runs WHERE run_id = ANY(%(runs)s);
CREATE TEMPORARY TABLE day_tags AS SELECT * FROM run_tags WHERE run_id = ANY(%(runs)s);
CREATE TEMPORARY TABLE day_events AS SELECT * FROM event_logs WHERE run_id = ANY(%(runs)s);
CREATE TEMPORARY TABLE day_event_tags AS SELECT run_id, tags.* FROM asset_event_tags AS tags JOIN day_events ON day_events.id = event_id;
CREATE TEMPORARY TABLE day_checks AS SELECT * FROM asset_check_executions WHERE run_id = ANY(%(runs)s);
CREATE TEMPORARY TABLE day_ticks AS SELECT * FROM job_ticks;
"""
COPIED = """
INSERT INTO runs (run_id, snapshot_id, pipeline_name, status, run_body, partition, create_timestamp, update_timestamp,
  start_time, end_time)
SELECT made.run_id, snapshot_id, pipeline_name, status, replace(run_body, old.run_id, made.run_id), partition,
  create_timestamp + made.later, update_timestamp + made.later, start_time + extract(epoch FROM made.later),
  end_time + extract(epoch FROM made.later)
FROM made JOIN day_runs AS old ON old.run_id = made.of ORDER BY made.later, old.id;
INSERT INTO run_tags (run_id, key, value) SELECT made.run_id, key, value FROM made JOIN day_tags AS old ON old.run_id = made.of;
INSERT INTO event_logs (id, run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
SELECT made.base + old.id, made.run_id,
  CASE WHEN partition IS NULL THEN replace(event, old.run_id, made.run_id)
       ELSE replace(replace(event, old.run_id, made.run_id), partition, to_char(partition::date + made.days, 'YYYY-MM-DD')) END,
  dagster_event_type, timestamp + made.later, step_key, asset_key, to_char(partition::date + made.days, 'YYYY-MM-DD')
FROM made JOIN day_events AS old ON old.run_id = made.of ORDER BY 1;
INSERT INTO asset_event_tags (event_id, asset_key, key, value, event_timestamp)
SELECT made.base + event_id, old.asset_key, key, value, event_timestamp + made.later
FROM made JOIN day_event_tags AS old ON old.run_id = made.of;
INSERT INTO asset_check_executions (asset_key, check_name, partition, run_id, execution_status, evaluation_event,
  evaluation_event_timestamp, evaluation_event_storage_id, materialization_event_storage_id, create_timestamp)
SELECT asset_key, check_name, to_char(partition::date + made.days, 'YYYY-MM-DD'), made.run_id, execution_status,
  replace(evaluation_event, old.run_id, made.run_id), evaluation_event_timestamp + made.later,
  made.base + evaluation_event_storage_id, made.base + materialization_event_storage_id, create_timestamp + made.later
FROM made JOIN day_checks AS old ON old.run_id = made.of ORDER BY made.later, old.id;
UPDATE asset_keys SET last_run_id = newest.run_id FROM (
  SELECT DISTINCT ON (asset_key) asset_key, event_logs.run_id FROM event_logs JOIN made ON made.run_id = event_logs.run_id
  WHERE asset_key IS NOT NULL AND dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED' ORDER BY asset_key, event_logs.id DESC
) AS newest WHERE newest.asset_key = asset_keys.asset_key;
INSERT INTO job_ticks (job_origin_id, selector_id, status, type, timestamp, tick_body, create_timestamp, update_timestamp)
SELECT job_origin_id, selector_id, status, type, timestamp + later.by, tick_body, create_timestamp + later.by,
  update_timestamp + later.by
FROM day_ticks CROSS JOIN (SELECT DISTINCT later AS by FROM made WHERE %(ticks)s) AS later;
SELECT setval(pg_get_serial_sequence('event_logs', 'id'), (SELECT max(id) FROM event_logs));
"""


@contextmanager
def connected(url: str) -> Iterator[Any]:
    connection = psycopg2.connect(url.replace("+psycopg2", "", 1))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        yield cursor
    connection.close()


def remember(cursor: Any, runs: Mapping[str, int]) -> None:
    """Remember runs and the ticks of schedules and sensors, to be copied by this cursor."""
    cursor.execute(REMEMBERED, {"runs": list(runs)})


def copy_day(cursor: Any, runs: Mapping[str, int], days: int, *, ticks: bool = False) -> int:
    """Copy remembered runs to another day.

    Args:
        cursor: of a connection that commits each statement.
        runs: run id -> how many copies of it the day has, spread over a day.
        days: how many days later.
        ticks: whether the ticks of schedules and sensors are copied too, once an instant.

    Returns:
        How many runs were made.
    """
    cursor.execute("DROP TABLE IF EXISTS made")
    cursor.execute(
        """CREATE TEMPORARY TABLE made AS SELECT of, md5(of || '/' || %(days)s || '/' || n)::uuid::text AS run_id,
             %(days)s AS days, make_interval(days => %(days)s) + n * interval '1 day' / copies AS later,
             (SELECT max(id) FROM event_logs) + (row_number() OVER (ORDER BY n * 1.0 / copies, of) - 1)
               * (SELECT max(id) - min(id) + 1 FROM day_events) - (SELECT min(id) - 1 FROM day_events) AS base
           FROM unnest(%(runs)s::text[], %(copies)s::int[]) AS given (of, copies), generate_series(0, copies - 1) AS n""",
        {"days": days, "runs": list(runs), "copies": list(runs.values())},
    )
    cursor.execute(COPIED, {"ticks": ticks})
    return sum(runs.values())


def sizes(cursor: Any) -> dict[str, float]:
    """MB of each of Dagster's tables with its indexes, the largest first, and of all together."""
    cursor.execute(
        """SELECT relname, pg_total_relation_size(c.oid) / 1e6 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
           WHERE relkind = 'r' AND nspname = 'public' ORDER BY 2 DESC"""
    )
    found = {name: round(float(size), 2) for name, size in cursor.fetchall()}
    return {"all": round(sum(found.values()), 2), **found}


def two_years(instance: DagsterInstance, url: str, runs: Mapping[str, int], kept: tuple[int, int, int]) -> None:
    """Let two years pass, with the duty once a day; prints what the tables take every 30 days and at both ends.

    Args:
        instance: the instance of the database.
        url: the database, with the runs of a day.
        runs: run id -> how many copies of it a day has.
        kept: days of all that runs left, of runs, and of results by day, as the duty has them.
    """
    window = kept[0] + 3
    with connected(url) as cursor:
        remember(cursor, runs)
        cursor.execute("SELECT max(timestamp) FROM day_events")
        (first,) = cursor.fetchone()
        began, made, freed = time.monotonic(), 0, 0
        for day in range(1, DAYS + 1):
            whole = day > DAYS - window or DAYS - QUARTER - window < day <= DAYS - QUARTER
            made += copy_day(cursor, runs if whole else {run: 1 for run in runs}, day, ticks=whole)
            if not whole and day % 7:  # the duty frees the same a few days later
                continue
            now = first.replace(tzinfo=timezone.utc) + timedelta(days=day + 1)  # the day's last tick
            done = prune(instance, *(now - timedelta(days=days) for days in kept), rebuild=day % 7 == 0)
            assert done is not None
            freed += done.rows["events"]
            if whole or day % 35 == 0:
                print(day, made, freed, f"{time.monotonic() - began:.0f} s", sizes(cursor), flush=True)


def main() -> None:
    """``URL DAYS,RUNS,RESULTS RUN=COPIES…``."""
    url, kept, *chosen = sys.argv[1:]
    whole, listed, results = (int(days) for days in kept.split(","))
    runs = {run: int(copies) for run, _, copies in (text.partition("=") for text in chosen)}
    with DagsterInstance.get() as instance:
        two_years(instance, url, runs, (whole, listed, results))


if __name__ == "__main__":
    main()
