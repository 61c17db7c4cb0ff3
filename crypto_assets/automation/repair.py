"""The sensors, the schedule and the jobs of repairs. Each looks, asks the planner, and hands its runs to Dagster.

Why something is repaired is in ``planner/reasons/``, how wishes become runs in ``planner/plan.py``, and how often and in
what order in ``planner/rules.py``.
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
from crypto_assets.automation.planner import rules, specs, state
from crypto_assets.automation.planner.plan import Plan, plan
from crypto_assets.automation.planner.reasons import gaps, late_values, model_is_back, rest_of_run
from crypto_assets.automation.planner.requests import requests
from crypto_assets.automation.planner.rules import LATE_VALUES, MODEL_IS_BACK, REFILL, REST_OF_RUN
from crypto_assets.automation.planner.wishes import UnderWay, Wish
from crypto_assets.narratives.llm.client import ModelAwayError, Ollama
from crypto_assets.settings import Settings
from crypto_assets.storage import warehouse as storage
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import LOOK_BACK

LATE_INTERVAL_S, REST_INTERVAL_S, MODEL_INTERVAL_S = 30, 15, 60
OVERLAP_S = 3600.0  # a commit may become visible this long after its files were written
INPUTS = sorted({name for inputs in LOOK_BACK.values() for name in inputs})

refill_job = dg.define_asset_job(
    "refill",
    AssetSelection.all(),
    partitions_def=DAILY,
    tags={"dagster/priority": str(REFILL.priority)},
    description="Ask again for days that are missing, failed, unsettled or incomplete.",
    **documented(OPERATIONS),
)
reanalyse = dg.define_asset_job(
    "reanalyse",
    AssetSelection.assets("article_narratives").downstream(),
    partitions_def=DAILY,
    description="Ask the model about articles that it did not answer yet, and derive what is built on the answers.",
    **documented("narratives.md"),
)


def planned(
    instance: DagsterInstance,
    wishes: Iterable[Wish],
    kind: rules.Rules,
    *,
    now: datetime,
    under_way: UnderWay | None = None,
    cause: str = "",
) -> Plan:
    """The plan for these wishes, with what this instance has under way and has tried."""
    known = specs.current()
    busy = under_way if under_way is not None else state.under_way(instance, known, now)
    since = now - kind.retry.within if kind.retry.within is not None else None

    def attempts(digest: str) -> list[datetime]:
        return state.attempts(instance, digest, since)

    return plan(wishes, kind, known, now=now, under_way=busy, tried=attempts, cause=cause)


def refills(instance: DagsterInstance, now: datetime) -> Plan:
    """Every range that should be asked for again now, newest first; closed days only."""
    known = specs.current()
    busy = state.under_way(instance, known, now)
    wishes = gaps.wishes(gaps.observe(instance, known, now), known, now, busy)
    return planned(instance, wishes, REFILL, now=now, under_way=busy)


@dg.schedule(
    job=refill_job,
    cron_schedule="5,20,35,50 * * * *",
    execution_timezone="UTC",
    description="Between the ticks: days of the last week that are missing, failed, unsettled or incomplete. Off by "
    "default, because it asks providers.",
    **documented(OPERATIONS),
)
def refill_gaps(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    """Between the ticks. Looks at the tables of now, however late it is evaluated."""
    now = datetime.now(timezone.utc)
    if unfinished := state.still_running(context.instance, REFILL, now):
        return dg.SkipReason(f"a refill still waits or runs (run {unfinished})")
    found = refills(context.instance, now)
    if not found.runs:
        stopped = len(found.exhausted) + len(found.paused)
        tried = f"; {stopped} range(s) were tried often enough today" if stopped else ""
        return dg.SkipReason(f"nothing to refill in the last {gaps.WINDOW_DAYS} days{tried}")
    return requests(found.runs, REFILL)


@dg.sensor(
    name="late_values",
    target=dg.AssetSelection.assets(*LOOK_BACK),
    minimum_interval_seconds=LATE_INTERVAL_S,
    default_status=DefaultSensorStatus.RUNNING,  # it asks no provider for anything
    description=late_values.__doc__,
    **documented("training.md"),
)
def late_values_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """A tick costs a look at the tables' versions while nothing changes."""
    instance, providers, now = context.instance, Providers(), datetime.now(timezone.utc)
    warehouse = Warehouse(providers.settings().warehouse)
    if state.still_running(instance, LATE_VALUES, now):
        return dg.SkipReason("What the last tick asked for is still being derived.")
    settled = json.loads(context.cursor or "{}")  # the last tick that left nothing to do
    began, versions = storage.now(), {name: warehouse.version(name) for name in INPUTS}
    if settled.get("versions") == versions:
        return dg.SkipReason("No input has changed.")
    findings = late_values.look(instance, warehouse, providers, specs.current(), settled.get("since", 0.0))
    cause = f"{findings.newest_write}"
    found = planned(instance, findings.wishes, LATE_VALUES, now=now, under_way=findings.busy, cause=cause)
    if found.runs:
        said = ", ".join(f"{len(days)} day(s) of {table}" for table, days in findings.wanted.items())
        context.log.info(f"Inputs changed after they were read: {said}")
        return dg.SensorResult(run_requests=requests(found.runs, LATE_VALUES))
    if found.under_way:
        return dg.SkipReason(f"{len(found.under_way)} stale partition(s) are left to runs that are under way.")
    if found.exhausted:
        context.log.error(
            f"{findings.wanted} failed {LATE_VALUES.retry.most} times after the same change and stays as it is; see the "
            f"failed runs tagged {LATE_VALUES.tag}, then materialise these partitions"
        )
    cursor = json.dumps({"since": began - OVERLAP_S, "versions": versions})
    return dg.SensorResult(skip_reason="No stored value would come out different.", cursor=cursor)


@dg.run_failure_sensor(
    request_job=refill_job,
    default_status=DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=REST_INTERVAL_S,
    description=rest_of_run.__doc__,
    metadata={"docs": page(OPERATIONS)},
)
def derive_without_what_failed(context: dg.RunFailureSensorContext) -> dg.SensorResult | dg.SkipReason:
    """Asks for the rest of a failed run, once."""
    run = context.dagster_run
    if REST_OF_RUN.tag in run.tags or state.days_of_run(run) is None:
        return dg.SkipReason(f"run {run.run_id} is itself such a rest, or has no days")
    wishes = rest_of_run.wishes(context.instance, run, specs.current())
    now = datetime.now(timezone.utc)
    found = planned(context.instance, wishes, REST_OF_RUN, now=now, cause=run.run_id)
    if not found.runs:
        return dg.SkipReason(f"nothing of run {run.run_id} can be derived without what failed, or another run does it")
    return dg.SensorResult(run_requests=requests(found.runs, REST_OF_RUN))


@dg.sensor(
    job=reanalyse,
    name="model_is_back",
    minimum_interval_seconds=MODEL_INTERVAL_S,
    default_status=DefaultSensorStatus.RUNNING,
    description="Watches for articles that a model owes an answer, and asks again once it is back.",
    **documented("narratives.md"),
)
def model_is_back_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Asks the model nothing but whether it is there, and only while articles wait."""
    settings, now = Settings.from_env(), datetime.now(timezone.utc)
    owed = model_is_back.owed(Warehouse(settings.warehouse), settings, now)
    if not owed.days:
        return dg.SkipReason("no article waits for a model")
    if state.still_running(context.instance, MODEL_IS_BACK, now):
        return dg.SkipReason("a run that asks the model is under way")
    wishes = model_is_back.wishes(owed, specs.current(), settings.ollama_model)
    found = planned(context.instance, wishes, MODEL_IS_BACK, now=now, cause=owed.state)
    if not found.runs:
        return dg.SkipReason(f"{owed.articles} article(s) wait; the last try changed nothing, the next is later")
    if away := asyncio.run(_away(settings)):
        return dg.SkipReason(f"{owed.articles} article(s) wait for a model: {away}")
    return dg.SensorResult(run_requests=requests(found.runs, MODEL_IS_BACK))


async def _away(settings: Settings) -> str:
    """Why no model answers; empty if one does."""
    async with Ollama(settings) as client:
        try:
            await client.probe()
        except ModelAwayError as error:
            return str(error)
    return ""


SENSORS = [late_values_sensor, model_is_back_sensor, derive_without_what_failed]
JOBS = [refill_job, reanalyse]
SCHEDULES = [refill_gaps]
