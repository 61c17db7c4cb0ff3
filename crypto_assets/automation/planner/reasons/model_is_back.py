"""Reason: the model answers again. Days with unanswered texts are analysed again, and derived tables after them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.wanted_days import WantedDay
from crypto_assets.automation.staleness import last_affected_day
from crypto_assets.dates import days, runs_of
from crypto_assets.narratives.llm.analyst import GIVE_UP_AFTER
from crypto_assets.narratives.sent_events import sent_to_model
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.news import LEXICON

RECENT = timedelta(days=30)  # how far back texts are sent that were never sent to the model
_READ = ["date", "analyzer", "status", "attempts", "failures"]


@dataclass(frozen=True)
class Unanswered:
    """Articles and events without an answer of the model.

    Attributes:
        days: Their days, in order.
        newest: The newest stored day; later days are not derived.
        texts: Their number.
        state: A text that changes with each answer and each attempt.
    """

    days: list[date]
    newest: date
    texts: int
    state: str


def unanswered(warehouse: Warehouse, settings: Settings, now: datetime) -> Unanswered:
    """Find the articles and events that the model should be asked about again.

    These are texts of any day whose analysis failed fewer than ``GIVE_UP_AFTER`` times, and texts of the last 30 days
    without an analysis of the model. What OLLAMA_READS leaves out does not count.

    Args:
        warehouse: The tables.
        settings: The name of the model, and what it reads.
        now: The instant, UTC.

    Returns:
        The texts, as days and numbers.

    Raises:
        WarehouseError: A table cannot be read.
    """
    waiting, tries, newest = [], 0, []
    for what, table, key in (
        ("articles", "article_narratives", "article_id"),
        ("events", "event_narratives", "event_id"),
    ):
        if what in settings.ollama_reads:
            more = ["outlet_count"] if what == "events" else []
            rows = warehouse.read(table, columns=[key, *_READ, *more])
            model = rows.filter(pl.col("analyzer") == settings.ollama_model)
            waiting += _waiting(rows, model, key, (now - RECENT).date(), events=what == "events")
            tries += int(model["attempts"].sum())
            newest += [day for day in [rows["date"].max()] if isinstance(day, date)]
    found = sorted({day for _, day in waiting})
    state = f"{len(waiting)}/{tries}/{found[0] if found else ''}"
    return Unanswered(found, max(newest, default=now.date()), len(waiting), state)


def _waiting(rows: pl.DataFrame, model: pl.DataFrame, key: str, since: date, *, events: bool) -> list[tuple[str, date]]:
    """Return (id, day) of the texts that wait for the model."""
    failed = model.filter(pl.col("status") != "ok", pl.col("failures").fill_null(0) < GIVE_UP_AFTER)
    recent = rows.filter(pl.col("date") >= since)
    if events:
        lexicon = recent.filter(pl.col("analyzer").str.starts_with(LEXICON)).unique(["date", key])
        sent = sent_to_model(lexicon.select("date", key, "outlet_count").iter_rows())
        recent = pl.DataFrame(sorted(sent), schema={"date": pl.Date, key: pl.String}, orient="row")
    silent = recent.join(model, on=[key, "date"], how="anti")
    return pl.concat([failed.select(key, "date"), silent.select(key, "date")]).unique().rows()


def wanted_days(found: Unanswered, specs: Specs, model: str) -> list[WantedDay]:
    """Return the days with unanswered texts and the later days whose look-back contains them, for all derived tables.

    Args:
        found: The unanswered texts.
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
    reason = f"model is back: {found.texts} article(s) or event(s) wait for an answer of {model}"
    tables = [table for table in specs.downstream("article_narratives") if table not in specs.monthly]
    return [WantedDay(table, day, reason) for table in tables for day in sorted(wanted)]
