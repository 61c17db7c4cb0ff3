"""Analyse articles and events: the lexicon analyses all of them, and a model those that it answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl

from crypto_assets.assets.providers import Providers
from crypto_assets.catalog import all_coins
from crypto_assets.narratives import disagreement, event_texts, lexicon, sent_events
from crypto_assets.narratives.analyses import newest_lexicon
from crypto_assets.narratives.llm import analyst, client, prompt, rows
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.derived_source import DERIVED, SANDBOX_DERIVED
from crypto_assets.tables.news import LEXICON
from crypto_assets.tables.schemas import ARTICLE_NARRATIVES, EVENT_NARRATIVES

SAY_EVERY_S = 15.0


@dataclass(frozen=True)
class _Kind:
    """What is analysed: its name in OLLAMA_READS, its table, and what a model is asked about it."""

    name: str
    table: Contract
    request: prompt.Request


_ARTICLES = _Kind("articles", ARTICLE_NARRATIVES, prompt.ARTICLES)
_EVENTS = _Kind("events", EVENT_NARRATIVES, prompt.EVENTS)


def analyse(
    providers: Providers, articles: pd.DataFrame, start: date, end: date, say: Callable[[str], None]
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Analyse articles with the lexicon and the model.

    Args:
        providers: Settings and the journal of model answers.
        articles: Rows of ``news_articles``.
        start: First day of the run, UTC; stored answers of start..end are used again.
        end: Last day of the run, included.
        say: Writes one line to the run's log.

    Returns:
        Rows of ``article_narratives``, and metadata of the run.

    Raises:
        WarehouseError: The stored answers cannot be read.
        InstanceError: The journal cannot be reached.
    """
    subjects = rows.subjects(articles)
    report, answered = _ask(_ARTICLES, providers, subjects, start, end, say)
    judged = ARTICLE_NARRATIVES.conform(_lexicon(articles, subjects))
    found = pl.concat([judged, answered])
    return found, _metadata(_ARTICLES, report, found, providers.settings())


def analyse_events(
    providers: Providers, inputs: dict[str, pd.DataFrame], start: date, end: date, say: Callable[[str], None]
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Analyse events with the lexicon and the model: one call for the articles of an event.

    Args:
        providers: Settings and the journal of model answers.
        inputs: Rows of ``news_events``, ``news_articles`` and ``article_narratives``, with their look-back.
        start: First day of the run, UTC; stored answers of start..end are used again.
        end: Last day of the run, included.
        say: Writes one line to the run's log.

    Returns:
        Rows of ``event_narratives``, and metadata of the run.

    Raises:
        WarehouseError: The stored answers cannot be read.
        InstanceError: The journal cannot be reached.
    """
    events = inputs["news_events"]
    subjects = event_texts.subjects(events, inputs["news_articles"])
    cells = [subject.cells for subject in subjects]
    sent = sent_events.sent_to_model((one["date"], one["event_id"], one["outlet_count"]) for one in cells)
    asked = [subject for subject in subjects if (subject.cells["date"], subject.cells["event_id"]) in sent]
    report, answered = _ask(_EVENTS, providers, asked, start, end, say)
    judged = pl.from_pandas(
        newest_lexicon(inputs["article_narratives"]), schema_overrides=ARTICLE_NARRATIVES.polars_schema
    )
    coins = dict(zip(zip(events["date"], events["event_id"], strict=True), events["symbols"], strict=True))
    summed = event_texts.lexicon_rows(subjects, judged, coins)
    for row, subject in zip(summed, subjects, strict=True):
        row |= {"analyzer": lexicon.ANALYZER, "source": SANDBOX_DERIVED if subject.sandbox else DERIVED}
    schema = EVENT_NARRATIVES.polars_schema
    filled = [{name: row.get(name) for name in schema} for row in summed]
    found = pl.concat([pl.DataFrame(filled, schema=schema), answered])
    return found, _metadata(_EVENTS, report, found, providers.settings())


def _ask(
    kind: _Kind,
    providers: Providers,
    subjects: Sequence[rows.Subject],
    start: date,
    end: date,
    say: Callable[[str], None],
) -> tuple[analyst.Report, pl.DataFrame]:
    """Ask the model, unless OLLAMA_READS leaves this kind out; then only what it said before is kept."""
    settings = providers.settings()
    model = settings.ollama_model
    stored = Warehouse(settings.warehouse).read(kind.table, start=start, end=end)
    reads = kind.name in settings.ollama_reads
    if reads:
        report = asyncio.run(
            analyst.analyse(
                [subject.article for subject in subjects],
                settings,
                providers.journal(),
                answered=rows.answered(stored, model),
                progress=_progress(say, kind.name),
                request=kind.request,
            )
        )
    else:
        report = analyst.Report(reason=f"OLLAMA_READS leaves {kind.name} out")
    if report.reason:
        say(report.reason)
    asked_for = settings.ollama_set and reads
    answered = rows.model_rows(subjects, report, stored, all_coins(), model, asked_for=asked_for, table=kind.table)
    return report, answered


def _lexicon(articles: pd.DataFrame, subjects: list[rows.Subject]) -> pd.DataFrame:
    """Return the rows of the lexicon. Its drivers are words of the article, so they are their own quotes."""
    frame = lexicon.analyse(articles).set_index("article_id")
    hashes = {subject.cells["article_id"]: subject.article.content_hash for subject in subjects}
    more: dict[str, Any] = {"content_hash": frame.index.map(hashes)}
    if "driver_quotes" not in frame:
        more["driver_quotes"] = frame["drivers"]
    return frame.assign(**more).reset_index()


def _progress(say: Callable[[str], None], what: str) -> analyst.Progress:
    last = time.monotonic()

    def progress(done: int, total: int, seconds: float) -> None:
        nonlocal last
        if time.monotonic() - last >= SAY_EVERY_S:
            last = time.monotonic()
            left = seconds / done * (total - done)
            say(f"{done} of {total} {what} analysed, {seconds / done:.2f} s each, about {left / 60:.0f} min left")

    return progress


def _metadata(kind: _Kind, report: analyst.Report, found: pl.DataFrame, settings: Settings) -> dict[str, Any]:
    by_model = found.filter(~pl.col("analyzer").str.starts_with(LEXICON))
    counts = dict(by_model.group_by("status").len().sort("status").rows())
    compared = disagreement.compared(found, kind.table.key, settings.ollama_model)
    return {
        "model": dg.MetadataValue.json(client.as_options(settings, kind.request)),
        "model_answers": report.model is not None,
        "model_calls": report.calls,
        "model_retries": report.retries,
        "reused": report.reused,
        "given_up": report.given_up,
        "analysis_seconds": round(report.seconds, 3),
        "statuses": dg.MetadataValue.json(counts),
        "disagreements": dg.MetadataValue.json(disagreement.counts(compared).as_numbers()),
        **({"model_reason": report.reason} if report.reason else {}),
    }
