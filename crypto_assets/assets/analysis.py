"""Analyse articles: the lexicon analyses every article, and a model analyses those that it answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl

from crypto_assets.assets.providers import Providers
from crypto_assets.catalog import all_coins
from crypto_assets.narratives import lexicon
from crypto_assets.narratives.llm import analyst, client, rows
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import ARTICLE_NARRATIVES

SAY_EVERY_S = 15.0


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
    settings = providers.settings()
    subjects = rows.subjects(articles)
    stored = Warehouse(settings.warehouse).read(ARTICLE_NARRATIVES, start=start, end=end)
    report = asyncio.run(
        analyst.analyse(
            [subject.article for subject in subjects],
            settings,
            providers.journal(),
            answered=rows.answered(stored, settings.ollama_model),
            progress=_progress(say),
        )
    )
    answered = rows.model_rows(
        subjects, report, stored, all_coins(), settings.ollama_model, asked_for=settings.ollama_set
    )  # fmt: skip
    if report.reason:
        say(report.reason)
    judged = ARTICLE_NARRATIVES.conform(_lexicon(articles, subjects))
    return pl.concat([judged, answered]), _metadata(report, answered, settings)


def _lexicon(articles: pd.DataFrame, subjects: list[rows.Subject]) -> pd.DataFrame:
    """Return the rows of the lexicon. Its drivers are words of the article, so they are their own quotes."""
    frame = lexicon.analyse(articles).set_index("article_id")
    hashes = {subject.article_id: subject.article.content_hash for subject in subjects}
    more: dict[str, Any] = {"content_hash": frame.index.map(hashes)}
    if "driver_quotes" not in frame:
        more["driver_quotes"] = frame["drivers"]
    return frame.assign(**more).reset_index()


def _progress(say: Callable[[str], None]) -> analyst.Progress:
    last = time.monotonic()

    def progress(done: int, total: int, seconds: float) -> None:
        nonlocal last
        if time.monotonic() - last >= SAY_EVERY_S:
            last = time.monotonic()
            left = seconds / done * (total - done)
            say(f"{done} of {total} articles analysed, {seconds / done:.2f} s each, about {left / 60:.0f} min left")

    return progress


def _metadata(report: analyst.Report, answered: pl.DataFrame, settings: Any) -> dict[str, Any]:
    counts = dict(answered.group_by("status").len().sort("status").rows())
    return {
        "model": dg.MetadataValue.json(client.as_options(settings)),
        "model_answers": report.model is not None,
        "model_calls": report.calls,
        "model_retries": report.retries,
        "reused": report.reused,
        "given_up": report.given_up,
        "analysis_seconds": round(report.seconds, 3),
        "statuses": dg.MetadataValue.json(counts),
        **({"model_reason": report.reason} if report.reason else {}),
    }
