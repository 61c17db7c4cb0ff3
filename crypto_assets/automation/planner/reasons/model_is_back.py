"""Reason: the model answers again. Days with unanswered articles are analysed again, and derived tables after them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.wanted_days import WantedDay
from crypto_assets.automation.staleness import last_affected_day
from crypto_assets.dates import days, runs_of
from crypto_assets.narratives.llm.analyst import GIVE_UP_AFTER
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse

RECENT = timedelta(days=30)  # how far back articles are sent that were never sent to the model


@dataclass(frozen=True)
class Unanswered:
    """Articles without an answer of the model.

    Attributes:
        days: Their days, in order.
        newest: The newest stored day; later days are not derived.
        articles: Their number.
        state: A text that changes with each answer and each attempt.
    """

    days: list[date]
    newest: date
    articles: int
    state: str


def unanswered(warehouse: Warehouse, settings: Settings, now: datetime) -> Unanswered:
    """Find the articles that the model should be asked about again.

    These are articles of any day whose analysis failed fewer than ``GIVE_UP_AFTER`` times, and articles of the last 30
    days without an analysis of the model.

    Args:
        warehouse: The tables.
        settings: The name of the model.
        now: The instant, UTC.

    Returns:
        The articles, as days and numbers.

    Raises:
        WarehouseError: The table cannot be read.
    """
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
    """Return the days with unanswered articles and the later days whose look-back contains them, for all derived tables.

    Args:
        found: The unanswered articles.
        specs: The tables.
        model: The name of the model, for the reason.

    Returns:
        The wanted days.
    """
    wanted = {
        day
        for first, last in runs_of(found.days)
        for day in days(first, max(last, min(last_affected_day(["article_narratives"], last), found.newest)))
    }
    reason = f"model is back: {found.articles} article(s) wait for an answer of {model}"
    tables = [table for table in specs.downstream("article_narratives") if table not in specs.monthly]
    return [WantedDay(table, day, reason) for table in tables for day in sorted(wanted)]
