"""What a quarter of an hour costs beside its tick: sensors, plans and standing jobs, seconds each, on one warehouse.

The calendar is six years long and materialised, and a run over its newest month is under way: what is slow on long
calendars shows here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
from dagster import DagsterInstance, DagsterRunStatus

from crypto_assets.checks.shells import RANGE
from crypto_assets_bench._books import hollow_graph

YEARS_DAYS = 2_191
RUNNING_DAYS = 30
QUARTER_S = 900


def book_history(instance: DagsterInstance, first: date, last: date) -> None:
    """Materialise every table over first..last in the books alone, and begin a run that never gets far."""
    from crypto_assets.assets.shell import DAILY
    from crypto_assets.automation.schedules import FRESHNESS

    keys = [dg.AssetKey(table) for table in FRESHNESS]
    job = hollow_graph(DAILY).resolve_implicit_global_asset_job_def().get_subset(asset_selection=set(keys))
    result = job.execute_in_process(
        instance=instance,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags={RANGE[0]: first.isoformat(), RANGE[1]: last.isoformat()},
    )
    if not result.success:
        raise RuntimeError("the books of the years before could not be written; the messages are above")
    newest = last - timedelta(days=RUNNING_DAYS - 1)
    instance.create_run_for_job(
        job,
        status=DagsterRunStatus.STARTED,
        tags={RANGE[0]: newest.isoformat(), RANGE[1]: last.isoformat()},
    )


def seconds(instance: DagsterInstance, definitions: dg.Definitions, quiet: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of one evaluation each, and ``quarter``: all that a quarter of an hour evaluates."""
    repository = definitions.get_repository_def()
    found: dict[str, float] = {}
    quarter = 0.0
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        if isinstance(sensor, dg.RunStatusSensorDefinition):
            continue  # evaluated with a failed run only
        context = dg.build_sensor_context(instance=instance, repository_def=repository)
        found[sensor.name] = _timed(lambda sensor=sensor, context=context: sensor.evaluate_tick(context))  # type: ignore[misc]
        quarter += found[sensor.name] * QUARTER_S / max(sensor.minimum_interval_seconds or 30, 30)
    # Dagster reads the whole history of a table's events once after a backfill, and what is new from then on.
    for name in ("refill_gaps_after_a_backfill", "refill_gaps"):
        gaps = dg.build_schedule_context(instance=instance, repository_def=repository)
        found[name] = _timed(lambda gaps=gaps: repository.get_schedule_def("refill_gaps").evaluate_tick(gaps))  # type: ignore[misc]
    quarter += found["refill_gaps"]
    for name in ("observe", "look"):
        job = definitions.resolve_job_def(name)
        found[name] = _timed(lambda job=job: job.execute_in_process(instance=instance, run_config=dict(quiet)))  # type: ignore[misc]
        quarter += found[name]
    return {**{name: round(value, 3) for name, value in found.items()}, "quarter": round(quarter, 1)}


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
