"""Build rows of ``article_narratives`` from the answers of models.

Each answer is validated and compared with the article every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd
import polars as pl

from crypto_assets.catalog import Coin
from crypto_assets.narratives.boilerplate import cleaned
from crypto_assets.narratives.llm.analyst import GIVE_UP_AFTER, Report
from crypto_assets.narratives.llm.answer import InvalidAnswerError, parse
from crypto_assets.narratives.llm.grounding import ground
from crypto_assets.narratives.llm.journal import Entry
from crypto_assets.narratives.llm.text import Article
from crypto_assets.tables.news import ARTICLE_NARRATIVES

LEXICON = "lexicon-"


@dataclass(frozen=True)
class Subject:
    """An article, with the cells of its row that an analysis repeats."""

    article_id: str
    date: date
    available_at: datetime
    sandbox: bool
    article: Article


def subjects(articles: pd.DataFrame) -> list[Subject]:
    """Build one subject per article.

    Args:
        articles: rows of ``news_articles``.

    Returns:
        The subjects, in the order of the rows.
    """
    columns = ("article_id", "date", "available_at", "source", "title", "summary")
    return [
        Subject(article_id, day, available_at, str(source).startswith("sandbox"), Article.of(title, summary))
        for article_id, day, available_at, source, title, summary in zip(
            *(cleaned(articles)[name] for name in columns), strict=True
        )
    ]


def answered(stored: pl.DataFrame, model: str) -> dict[str, tuple[str, str]]:
    """Find the good rows of a model in the table.

    Args:
        stored: rows of ``article_narratives``.
        model: the model's name.

    Returns:
        Content hash -> (digest, prompt hash).
    """
    good = stored.filter(pl.col("analyzer") == model, pl.col("status") == "ok").drop_nulls("content_hash")
    return {row[0]: (row[1], row[2]) for row in good.select("content_hash", "model_digest", "prompt_hash").rows()}


def model_rows(
    found: Sequence[Subject],
    report: Report,
    stored: pl.DataFrame,
    coins: Sequence[Coin],
    model: str,
    *,
    asked_for: bool,
) -> pl.DataFrame:
    """Build the rows of this model for every article, and keep what other models said of the same texts.

    A good answer stays until a better one is there, whatever fails.

    Args:
        found: the articles.
        report: the answers of this run.
        stored: rows of ``article_narratives`` in the table.
        coins: the coins of the catalogue.
        model: the model's name.
        asked_for: whether somebody configured a model; then an article without an answer has a row that says why.

    Returns:
        The rows.
    """
    kept = _kept(stored, {subject.article_id: subject.article.content_hash for subject in found})
    rows: list[dict[str, Any]] = []
    for subject in found:
        entry = report.entries.get(subject.article.content_hash)
        row = _answer_row(subject, entry, coins) if entry is not None and entry.answer is not None else None
        if row is None or row["status"] != "ok":
            row = kept.pop((subject.article_id, model), None) or row
        if row is None and entry is not None:
            row = _failure_row(subject, entry.status, entry.detail, entry)
        if row is None and (asked_for or report.model is not None):
            row = _failure_row(subject, "unavailable", f"not asked: {report.reason}", None) | {"analyzer": model}
        if row is not None:
            kept.pop((subject.article_id, model), None)
            rows.append(row)
    rows += kept.values()
    return pl.DataFrame(rows, schema=ARTICLE_NARRATIVES.polars_schema)


def _kept(stored: pl.DataFrame, texts: Mapping[str, str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the stored good rows of models whose text is still the article's."""
    good = stored.filter(pl.col("status") == "ok", ~pl.col("analyzer").str.starts_with(LEXICON))
    return {
        (row["article_id"], row["analyzer"]): row
        for row in good.rows(named=True)
        if texts.get(row["article_id"]) == row["content_hash"]
    }


def _base(subject: Subject, sandbox: bool) -> dict[str, Any]:
    return {
        "article_id": subject.article_id,
        "date": subject.date,
        "available_at": subject.available_at,
        "source": "sandbox/derived" if subject.sandbox or sandbox else "derived",
        "drivers": [],
        "affected_symbols": [],
        "content_hash": subject.article.content_hash,
    }


def _of_entry(entry: Entry) -> dict[str, Any]:
    return {
        "analyzer": entry.model,
        "model_digest": entry.model_digest,
        "prompt_hash": entry.prompt_hash,
        "attempts": entry.attempts,
        "failures": entry.blamed,
        "duration_s": entry.duration_s,
        "prompt_tokens": entry.prompt_tokens,
        "answer_tokens": entry.answer_tokens,
        "analyzed_at": entry.answered_at,
    }


def _answer_row(subject: Subject, entry: Entry, coins: Sequence[Coin]) -> dict[str, Any]:
    try:
        answer = parse(entry.answer or "")
    except InvalidAnswerError as error:
        return _failure_row(subject, "refused" if error.refused else "invalid", str(error), entry)
    grounded = ground(answer, subject.article, coins)
    return {
        **_base(subject, entry.sandbox),
        **_of_entry(entry),
        "theme": answer.theme,
        "secondary_themes": answer.further_themes(),
        "sentiment": answer.sentiment,
        "confidence": answer.confidence,
        "drivers": grounded.drivers,
        "driver_quotes": grounded.quotes,
        "affected_symbols": grounded.affected,
        "impact_horizon": answer.impact_horizon,
        "summary": grounded.summary,
        "ungrounded": grounded.ungrounded,
        "status": "ok",
    }


def _failure_row(subject: Subject, status: str, detail: str | None, entry: Entry | None) -> dict[str, Any]:
    if entry is not None and entry.blamed >= GIVE_UP_AFTER:
        detail = f"{detail}; given up after {entry.blamed} failures"
    said = {} if entry is None else _of_entry(entry)
    return {**_base(subject, entry is not None and entry.sandbox), **said, "status": status, "detail": detail}
