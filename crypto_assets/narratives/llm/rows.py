"""Build rows of ``article_narratives`` and ``event_narratives`` from the answers of models.

Each answer is validated and compared with its text every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import polars as pl

from crypto_assets.catalog import Coin
from crypto_assets.narratives.boilerplate import cleaned
from crypto_assets.narratives.llm.analyst import GIVE_UP_AFTER, Report
from crypto_assets.narratives.llm.answer import InvalidAnswerError, parse
from crypto_assets.narratives.llm.grounding import ground
from crypto_assets.narratives.llm.journal import Entry
from crypto_assets.narratives.llm.text import Article, Text
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.derived_source import DERIVED, SANDBOX_DERIVED, SANDBOX_PREFIX
from crypto_assets.tables.news import ARTICLE_NARRATIVES, LEXICON


@dataclass(frozen=True)
class Subject:
    """A text, with the cells of its row that an analysis repeats.

    Attributes:
        cells: The key of its row without the analyser, ``date``, ``available_at``, and what else the row says of the text.
        sandbox: Whether it is made of sandbox data.
        article: The text: an article, or the articles of an event.
        article_ids: Of its passages.
    """

    cells: Mapping[str, Any]
    sandbox: bool
    article: Text
    article_ids: tuple[str, ...]


def subjects(articles: pd.DataFrame) -> list[Subject]:
    """Build one subject per article.

    Args:
        articles: rows of ``news_articles``.

    Returns:
        The subjects, in the order of the rows.
    """
    columns = ("article_id", "date", "available_at", "source", "title", "summary")
    return [
        Subject(
            {"article_id": article_id, "date": day, "available_at": available_at},
            str(source).startswith(SANDBOX_PREFIX),
            Article.of(title, summary),
            (article_id,),
        )
        for article_id, day, available_at, source, title, summary in zip(
            *(cleaned(articles)[name] for name in columns), strict=True
        )
    ]


def answered(stored: pl.DataFrame, model: str) -> dict[str, tuple[str, str]]:
    """Find the good rows of a model in the table.

    Args:
        stored: rows of the table.
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
    table: Contract = ARTICLE_NARRATIVES,
) -> pl.DataFrame:
    """Build the rows of this model for every text, and keep what other models said of the same texts.

    A good answer stays until a better one is there, whatever fails.

    Args:
        found: the texts.
        report: the answers of this run.
        stored: rows of the table.
        coins: the coins of the catalogue.
        model: the model's name.
        asked_for: whether somebody configured a model; then a text without an answer has a row that says why.
        table: the table.

    Returns:
        The rows.
    """
    key = [name for name in table.key if name != "analyzer"]
    kept = _kept(stored, key, {_key(subject, key): subject.article.content_hash for subject in found})
    rows: list[dict[str, Any]] = []
    for subject in found:
        entry = report.entries.get(subject.article.content_hash)
        row = _answer_row(subject, entry, coins) if entry is not None and entry.answer is not None else None
        if row is None or row["status"] != "ok":
            row = kept.pop((*_key(subject, key), model), None) or row
        if row is None and entry is not None:
            row = _failure_row(subject, entry.status, entry.detail, entry)
        if row is None and (asked_for or report.model is not None):
            row = _failure_row(subject, "unavailable", f"not asked: {report.reason}", None) | {"analyzer": model}
        if row is not None:
            kept.pop((*_key(subject, key), model), None)
            rows.append(row)
    rows += kept.values()
    schema = table.polars_schema
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def _key(subject: Subject, key: Sequence[str]) -> tuple[Any, ...]:
    return tuple(subject.cells[name] for name in key)


def _kept(
    stored: pl.DataFrame, key: Sequence[str], texts: Mapping[tuple[Any, ...], str]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the stored good rows of models whose text is still the subject's, by key and analyser."""
    good = stored.filter(pl.col("status") == "ok", ~pl.col("analyzer").str.starts_with(LEXICON))
    found = {}
    for row in good.rows(named=True):
        cells = tuple(row[name] for name in key)
        if texts.get(cells) == row["content_hash"]:
            found[(*cells, row["analyzer"])] = row
    return found


def _base(subject: Subject, sandbox: bool) -> dict[str, Any]:
    return {
        **subject.cells,
        "source": SANDBOX_DERIVED if subject.sandbox or sandbox else DERIVED,
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
        "driver_articles": [subject.article_ids[place] for place in grounded.quoted],
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
