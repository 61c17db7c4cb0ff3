"""When the model is back, days whose articles it owes an answer are analysed again, and what is built on them derived."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta, timezone

import dagster as dg
import polars as pl
from dagster import DagsterRunStatus, RunsFilter

from crypto_assets.assets.shell import DAILY
from crypto_assets.automation.staleness import horizon
from crypto_assets.checks.shells import RANGE
from crypto_assets.dates import chunks, days, runs_of
from crypto_assets.narratives.llm.analyst import GIVE_UP_AFTER
from crypto_assets.narratives.llm.client import ModelAwayError, Ollama
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse

EVERY_S = 60
RECENT = timedelta(days=30)  # articles that no model was offered are made up for this far back
CHUNK_DAYS, RUNS_A_TICK = 31, 3
FIRST_WAIT_S, LONGEST_WAIT_S = 120, 3600  # between two tries that changed nothing
_UNFINISHED = [
    DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED,
]  # fmt: skip

reanalyse = dg.define_asset_job(
    "reanalyse",
    dg.AssetSelection.assets("article_narratives").downstream(),
    partitions_def=DAILY,
    description="Ask the model about articles that it did not answer yet, and derive what is built on the answers.",
)


@dataclass(frozen=True)
class Owed:
    """Days with articles that wait for an answer; ``state`` changes with each answer or try."""

    days: list[date]
    newest: date  # of all stored days: nobody asked for what is derived later
    articles: int
    state: str


@dataclass(frozen=True)
class Memory:
    """What the last request was for, when it was made (epoch seconds), and how long to wait before the same again."""

    state: str = ""
    at: float = 0.0
    wait_s: float = 0.0


def owed(warehouse: Warehouse, settings: Settings, now: datetime) -> Owed:
    """Articles whose row of the model is not ok and not given up, of any day; of the last month also those without one."""
    rows = warehouse.read(
        "article_narratives", columns=["article_id", "analyzer", "date", "status", "attempts", "failures"]
    )
    model = rows.filter(pl.col("analyzer") == settings.ollama_model)
    failed = model.filter(pl.col("status") != "ok", pl.col("failures").fill_null(0) < GIVE_UP_AFTER)
    silent = rows.filter(pl.col("date") >= (now - RECENT).date()).join(model, on="article_id", how="anti")
    waiting = pl.concat([failed.select("article_id", "date"), silent.select("article_id", "date")]).unique()
    tries = int(model["attempts"].sum())
    owed_days = sorted(set(waiting["date"]))
    newest = max(rows["date"], default=now.date())
    return Owed(owed_days, newest, waiting.height, f"{waiting.height}/{tries}/{owed_days[0] if owed_days else ''}")


def requests(found: Owed) -> list[tuple[date, date]]:
    """Ranges to run, newest first: the days owed, and those after them whose windows reach back into them."""
    wanted = {
        day
        for first, last in runs_of(found.days)
        for day in days(first, max(last, min(horizon(["article_narratives"], last), found.newest)))
    }
    ranges = [chunk for first, last in runs_of(wanted) for chunk in chunks(first, last, CHUNK_DAYS)]
    return ranges[::-1][:RUNS_A_TICK]


@dg.sensor(
    job=reanalyse,
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Watches for articles that a model owes an answer, and asks again once it is back.",
)
def model_is_back(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    settings, now = Settings.from_env(), datetime.now(timezone.utc)
    found = owed(Warehouse(settings.warehouse), settings, now)
    if not found.days:
        return dg.SkipReason("no article waits for a model")
    memory = Memory(**json.loads(context.cursor)) if context.cursor else Memory()
    if found.state == memory.state and now.timestamp() < memory.at + memory.wait_s:
        return dg.SkipReason(f"{found.articles} article(s) wait; the last try changed nothing, the next is later")
    if context.instance.get_runs_count(RunsFilter(job_name=reanalyse.name, statuses=_UNFINISHED)):
        return dg.SkipReason("a run that asks the model is under way")
    away = asyncio.run(_away(settings))
    if away:
        return dg.SkipReason(f"{found.articles} article(s) wait for a model: {away}")
    same = found.state == memory.state
    wait = min(LONGEST_WAIT_S, max(FIRST_WAIT_S, memory.wait_s * 2)) if same else FIRST_WAIT_S
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(tags={RANGE[0]: first.isoformat(), RANGE[1]: last.isoformat()})
            for first, last in requests(found)
        ],
        cursor=json.dumps(asdict(Memory(found.state, now.timestamp(), float(wait)))),
    )


async def _away(settings: Settings) -> str:
    """Why no model answers; empty if one does."""
    async with Ollama(settings) as client:
        try:
            await client.probe()
        except ModelAwayError as error:
            return str(error)
    return ""


SENSORS = [model_is_back]
JOBS = [reanalyse]
