"""Ten days of ticks, 60 days old: the pruning duty against Dagster's own ``delete_run`` for each of their runs.

Both begin with the same rows: a run of the hollow graph for one day, and copies of it. ``delete_run`` also deletes the
events from which the states of partitions are read; the duty keeps them, and what it kept is counted.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone

from dagster import DagsterInstance

from crypto_assets.automation.prune import prune
from crypto_assets.dates import DAY
from crypto_assets_bench import _books, _history
from crypto_assets_bench.result import Result, peak_mb

DAYS, TICKS, AGE = 10, 24, 60  # a tick an hour: enough for a ratio


def run() -> Result:
    with _books.books() as instances:
        for instance in instances.values():
            _fill(instance)
        began = time.perf_counter()
        done = prune(instances["ours"], datetime.now(timezone.utc) - DAY * 30)
        ours_s = time.perf_counter() - began
        if done is None or done.rows["runs"] < DAYS * TICKS - 1:
            raise RuntimeError(f"the duty did not free the old runs: {done}")
        old = [run.run_id for run in instances["stock"].get_runs()][1 : done.rows["runs"] + 1]
        began = time.perf_counter()
        for run_id in old:
            instances["stock"].delete_run(run_id)
        baseline_s = time.perf_counter() - began
        notes = {"runs": len(old), "events": done.rows["events"], "days_kept_by_ours": _days(instances["ours"]),
                 "days_kept_by_baseline": _days(instances["stock"])}  # fmt: skip
    return Result(ours_s, baseline_s, baseline_s / ours_s, peak_mb(), notes)


def _fill(instance: DagsterInstance) -> None:
    """One run now, and its copies on ten days of long ago."""
    _books.book(instance, 1)
    (run,) = instance.get_runs()
    with _history.connected(instance.event_log_storage.postgres_url) as cursor:  # type: ignore[attr-defined]
        _history.remember(cursor, {run.run_id: TICKS})
        for day in range(AGE, AGE - DAYS, -1):
            _history.copy_day(cursor, {run.run_id: TICKS}, -day)


def _days(instance: DagsterInstance) -> int:
    """How many days are materialised of any one table."""
    key = next(iter(instance.all_asset_keys()))
    return len(instance.get_materialized_partitions(key))


if __name__ == "__main__":
    print(run().as_json())
