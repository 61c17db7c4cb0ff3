"""The sensors, the schedule and the jobs of repairs. Each reads the state, calls the planner, and requests its runs.

The reasons are in ``planner/reasons/``, the making of runs in ``planner/plan.py``, their number and order in
``planner/rules.py``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from datetime import datetime, timezone

import dagster as dg
from dagster import AssetSelection, DagsterInstance, DefaultSensorStatus

from crypto_assets.assets.documented import OPERATIONS, documented, page
from crypto_assets.assets.providers import Providers
from crypto_assets.assets.shell import DAILY
from crypto_assets.automation.planner import observed_state, rules, specs
from crypto_assets.automation.planner.plan import Plan, plan
from crypto_assets.automation.planner.reasons import gaps, late_values, model_is_back, rest_of_run
from crypto_assets.automation.planner.requests import requests
from crypto_assets.automation.planner.rules import LATE_VALUES, MODEL_IS_BACK, REFILL, REST_OF_RUN
from crypto_assets.automation.planner.wanted_days import UnderWay, WantedDay
from crypto_assets.narratives.llm.client import ModelAwayError, Ollama
from crypto_assets.settings import Settings
from crypto_assets.storage import warehouse as storage
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import LOOK_BACK, monthly

LATE_INTERVAL_S, REST_INTERVAL_S, MODEL_INTERVAL_S = 30, 15, 60
OVERLAP_S = 3600.0  # a commit may become visible up to this long after its files were written
INPUTS = sorted({name for inputs in LOOK_BACK.values() for name in inputs})

refill_job = dg.define_asset_job(
    "refill",
    AssetSelection.all()
    - AssetSelection.assets(*monthly()),  # a job has one calendar; the job ``train`` has the months
    partitions_def=DAILY,
    tags={"dagster/priority": str(REFILL.priority)},
    description="Fetch or derive again the days that are missing, failed, unsettled or incomplete.",
    **documented(OPERATIONS),
)
reanalyse = dg.define_asset_job(
    "reanalyse",
    AssetSelection.assets("article_narratives").downstream() - AssetSelection.assets(*monthly()),
    partitions_def=DAILY,
    description="Ask the model about articles and events without an answer, and derive the tables that use its answers.",
    **documented("narratives.md"),
)


def planned(
    instance: DagsterInstance,
    wanted_days: Iterable[WantedDay],
    kind: rules.Rules,
    *,
    now: datetime,
    under_way: UnderWay | None = None,
    cause: str = "",
) -> Plan:
    """Plan wanted days with the runs under way and the earlier attempts of this instance.

    Args:
        instance: Has the runs.
        wanted_days: The days, of one kind of repair.
        kind: The rules of this kind.
        now: The instant, UTC.
        under_way: What is under way, where it is already read.
        cause: The event that made the days wanted, see :func:`plan`.

    Returns:
        The plan.
    """
    known = specs.current()
    busy = under_way if under_way is not None else observed_state.under_way(instance, known, now)
    since = now - kind.retry.within if kind.retry.within is not None else None

    def attempts(digest: str) -> list[datetime]:
        return observed_state.attempts(instance, digest, since)

    return plan(wanted_days, kind, known, now=now, under_way=busy, tried=attempts, cause=cause)


def refills(instance: DagsterInstance, now: datetime) -> Plan:
    """Plan every missing, failed, unsettled or incomplete day, the newest first.

    Args:
        instance: Has the runs.
        now: The instant, UTC.

    Returns:
        The plan.
    """
    known = specs.current()
    busy = observed_state.under_way(instance, known, now)
    wanted_days = gaps.wanted_days(gaps.observe(instance, known, now), known, now, busy)
    return planned(instance, wanted_days, REFILL, now=now, under_way=busy)


@dg.schedule(
    job=refill_job,
    cron_schedule="5,20,35,50 * * * *",
    execution_timezone="UTC",
    description="Between the ticks: days of the last week that are missing, failed, unsettled or incomplete. Off by "
    "default, because it asks providers.",
    **documented(OPERATIONS),
)
def refill_gaps(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    """Request refills between the ticks. It reads the current state, also where it is evaluated late."""
    now = datetime.now(timezone.utc)
    if unfinished := observed_state.still_running(context.instance, REFILL, now):
        return dg.SkipReason(f"a refill still waits or runs (run {unfinished})")
    found = refills(context.instance, now)
    if not found.runs:
        stopped = len(found.exhausted) + len(found.paused)
        tried = f"; {stopped} range(s) wait for their next attempt or had the last one today" if stopped else ""
        return dg.SkipReason(f"nothing to refill in the last {gaps.WINDOW_DAYS} days{tried}")
    return requests(found.runs, REFILL)


@dg.sensor(
    name="late_values",
    target=dg.AssetSelection.assets(*(table for table in LOOK_BACK if table not in monthly())),
    minimum_interval_seconds=LATE_INTERVAL_S,
    default_status=DefaultSensorStatus.RUNNING,  # it calls no provider
    description="Late values: an input was written after a derived partition had read it. Only days whose rows would change "
    "are derived again. It makes no provider calls.",
    **documented("training.md"),
)
def late_values_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request derived days that late values change. While nothing changes, a tick only reads the versions of the tables."""
    instance, providers, now = context.instance, Providers(), datetime.now(timezone.utc)
    warehouse = Warehouse(providers.settings().warehouse)
    if observed_state.still_running(instance, LATE_VALUES, now):
        return dg.SkipReason("The runs of the last tick have not ended.")
    settled = json.loads(context.cursor or "{}")  # the state at the last tick without anything to do
    began, versions = storage.now(), {name: warehouse.version(name) for name in INPUTS}
    if settled.get("versions") == versions:
        return dg.SkipReason("No input has changed.")
    findings = late_values.find_late_values(instance, warehouse, providers, specs.current(), settled.get("since", 0.0))
    cause = f"{findings.newest_write}"
    found = planned(instance, findings.wanted_days, LATE_VALUES, now=now, under_way=findings.busy, cause=cause)
    if found.runs:
        said = ", ".join(f"{len(days)} day(s) of {table}" for table, days in findings.wanted.items())
        context.log.info(f"Inputs changed after they were read: {said}")
        return dg.SensorResult(run_requests=requests(found.runs, LATE_VALUES))
    if found.under_way:
        return dg.SkipReason(f"{len(found.under_way)} stale partition(s) will be derived by runs that are under way.")
    if found.exhausted:
        context.log.error(
            f"{findings.wanted} failed {LATE_VALUES.retry.most} times after the same change and is not tried again; see the "
            f"failed runs tagged {LATE_VALUES.tag}, then materialise these partitions"
        )
    cursor = json.dumps({"since": began - OVERLAP_S, "versions": versions})
    return dg.SensorResult(skip_reason="No stored value would change.", cursor=cursor)


@dg.run_failure_sensor(
    request_job=refill_job,
    default_status=DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=REST_INTERVAL_S,
    description="After a failed run: what can be derived without the table that failed is derived. Columns from that table "
    "stay null until its rows are there. It makes no provider calls.",
    metadata={"docs": page(OPERATIONS)},
)
def derive_without_what_failed(context: dg.RunFailureSensorContext) -> dg.SensorResult | dg.SkipReason:
    """Request the rest of a failed run, once."""
    run = context.dagster_run
    if REST_OF_RUN.tag in run.tags or observed_state.days_of_run(run) is None:
        return dg.SkipReason(f"run {run.run_id} is itself the rest of a failed run, or has no days")
    wanted_days = rest_of_run.wanted_days(context.instance, run, specs.current())
    now = datetime.now(timezone.utc)
    found = planned(context.instance, wanted_days, REST_OF_RUN, now=now, cause=run.run_id)
    if not found.runs:
        return dg.SkipReason(
            f"nothing of run {run.run_id} can be derived without what failed, or another run derives it"
        )
    return dg.SensorResult(run_requests=requests(found.runs, REST_OF_RUN))


@dg.sensor(
    job=reanalyse,
    name="model_is_back",
    minimum_interval_seconds=MODEL_INTERVAL_S,
    default_status=DefaultSensorStatus.RUNNING,
    description="Watches for articles and events without an answer of the model, and requests their analysis when the model answers again.",
    **documented("narratives.md"),
)
def model_is_back_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request the analysis of unanswered texts. It asks the server for its models only, and only while texts wait."""
    settings, now = Settings.from_env(), datetime.now(timezone.utc)
    waiting = model_is_back.unanswered(Warehouse(settings.warehouse), settings, now)
    if not waiting.days:
        return dg.SkipReason("no text waits for the model")
    if observed_state.still_running(context.instance, MODEL_IS_BACK, now):
        return dg.SkipReason("a run that asks the model is under way")
    wanted_days = model_is_back.wanted_days(waiting, specs.current(), settings.ollama_model)
    found = planned(context.instance, wanted_days, MODEL_IS_BACK, now=now, cause=waiting.state)
    if not found.runs:
        return dg.SkipReason(
            f"{waiting.texts} text(s) wait; the last attempt changed nothing, and the pause is not over"
        )
    if away := asyncio.run(_away(settings)):
        return dg.SkipReason(f"{waiting.texts} text(s) wait for the model: {away}")
    return dg.SensorResult(run_requests=requests(found.runs, MODEL_IS_BACK))


async def _away(settings: Settings) -> str:
    """Return why the model does not answer; empty if it does."""
    async with Ollama(settings) as client:
        try:
            await client.probe()
        except ModelAwayError as error:
            return str(error)
    return ""


SENSORS = [late_values_sensor, model_is_back_sensor, derive_without_what_failed]
JOBS = [refill_job, reanalyse]
SCHEDULES = [refill_gaps]
