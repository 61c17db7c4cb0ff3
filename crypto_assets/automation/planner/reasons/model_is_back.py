"""The model is back: days whose articles it owes an answer are analysed again, and what is built on them derived."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.wanted_days import WantedDay
from crypto_assets.automation.staleness import horizon
from crypto_assets.dates import days, runs_of
from crypto_assets.narratives.llm.analyst import GIVE_UP_AFTER
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse

RECENT = timedelta(days=30)  # articles that no model was offered are made up for this far back


@dataclass(frozen=True)
class Unanswered:
    """Days with articles that wait for an answer; ``state`` changes with each answer or try."""

    days: list[date]
    newest: date  # of all stored days: nobody asked for what is derived later
    articles: int
    state: str


def unanswered(warehouse: Warehouse, settings: Settings, now: datetime) -> Unanswered:
    """Articles whose row of the model is not ok and not given up, of any day; of the last month also those without one."""
    rows = warehouse.read(
        "article_narratives", columns=["article_id", "analyzer", "date", "status", "attempts", "failures"]
    )
    model = rows.filter(pl.col("analyzer") == settings.ollama_model)
    failed = model.filter(pl.col("status") != "ok", pl.col("failures").fill_null(0) < GIVE_UP_AFTER)
    silent = rows.filter(pl.col("date") >= (now - RECENT).date()).join(model, on="article_id", how="anti")
    waiting = pl.concat([failed.select("article_id", "date"), silent.select("article_id", "date")]).unique()
    tries = int(model["attempts"].sum())
    found = sorted(set(waiting["date"]))
    newest = max(rows["date"], default=now.date())
    return Unanswered(found, newest, waiting.height, f"{waiting.height}/{tries}/{found[0] if found else ''}")


def wanted_days(found: Unanswered, specs: Specs, model: str) -> list[WantedDay]:
    """The days owed, and those after them whose windows reach back into them, of everything that rests on answers."""
    wanted = {
        day
        for first, last in runs_of(found.days)
        for day in days(first, max(last, min(horizon(["article_narratives"], last), found.newest)))
    }
    reason = f"model is back: {found.articles} article(s) wait for an answer of {model}"
    return [WantedDay(table, day, reason) for table in specs.downstream("article_narratives") for day in sorted(wanted)]
