"""What of an event is analysed: the first article of each outlet, in the order in which they became known.

The number of outlets that is read grows in steps (``OUTLETS_READ``). So an event is analysed again when it has doubled, and
an outlet that repeats itself costs nothing. An article that takes the story back is always read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, cast

import pandas as pd
import polars as pl

from crypto_assets.narratives.boilerplate import cleaned
from crypto_assets.narratives.event_rows import turns
from crypto_assets.narratives.llm.rows import Subject
from crypto_assets.narratives.llm.text import Article, Reports
from crypto_assets.tables.derived_source import SANDBOX_PREFIX
from crypto_assets.tables.event_narratives import OUTLETS_READ


def subjects(news_events: pd.DataFrame, news_articles: pd.DataFrame) -> list[Subject]:
    """Build one subject per row of ``news_events``.

    Args:
        news_events: rows of the table.
        news_articles: rows of the table, ``tables.events.EVENT_DAYS`` and ``tables.news.SEEN_LATE_DAYS`` back.

    Returns:
        The subjects, in the order of the rows. An event none of whose articles is stored any more has none.
    """
    wanted = {name for names in news_events["articles"] for name in names}
    known = cleaned(news_articles[news_articles["article_id"].isin(wanted)])
    by_id = {row.article_id: row for row in cast(Iterable[Any], known.itertuples())}
    found = []
    for event in cast(Iterable[Any], news_events.itertuples()):
        read = _read([by_id[name] for name in event.articles if name in by_id], event.turned_at)
        if read:
            cells = {
                "event_id": event.event_id,
                "date": event.date,
                "available_at": event.available_at,
                "outlet_count": int(event.outlet_count),
                "articles_read": [article.article_id for article in read],
            }
            sandbox = str(event.source).startswith(SANDBOX_PREFIX)
            texts = Reports.of([Article.of(article.title, article.summary) for article in read])
            found.append(Subject(cells, sandbox, texts, tuple(cells["articles_read"])))
    return found


def _read(articles: Sequence[Any], turned_at: Any) -> list[Any]:
    """Return the articles that are read: of the first outlets, as many as the last step, and the one that turned the story."""
    by_outlet: dict[str, Any] = {}
    for article in articles:
        by_outlet.setdefault(article.feed, article)
    firsts = list(by_outlet.values())
    read = firsts[: max((step for step in OUTLETS_READ if step <= len(firsts)), default=0)]
    turn = next((one for one in articles if one.available_at == turned_at and turns(one.title)), None)
    return read if turn is None or turn in read else [*read, turn]


def lexicon_rows(
    subjects: Sequence[Subject], article_narratives: pl.DataFrame, symbols: Mapping[tuple[date, str], Sequence[str]]
) -> list[dict[str, Any]]:
    """Sum up what the lexicon says of the articles that are read.

    Args:
        subjects: the events.
        article_narratives: rows of the table, those of one version of the lexicon.
        symbols: the coins of each event, by day and id.

    Returns:
        One row per event: the theme of most articles (of a tie the earliest), the mean of tone and confidence, and the
        drivers that most articles have.
    """
    by_id = {row["article_id"]: row for row in article_narratives.rows(named=True)}
    found = []
    for subject in subjects:
        rows = [by_id[name] for name in subject.article_ids if name in by_id]
        drivers = _drivers(rows)
        found.append(
            {
                **subject.cells,
                "theme": _most([row["theme"] for row in rows]),
                "sentiment": _mean([row["sentiment"] for row in rows]),
                "confidence": _mean([row["confidence"] for row in rows]),
                "drivers": list(drivers),
                "driver_quotes": list(drivers),
                "driver_articles": list(drivers.values()),
                "affected_symbols": list(symbols[subject.cells["date"], subject.cells["event_id"]]),
                "status": "ok",
                "content_hash": subject.article.content_hash,
            }
        )
    return found


def _drivers(rows: Sequence[Mapping[str, Any]], most: int = 5) -> dict[str, str]:
    """Return the drivers that most articles have, with the first article that has each; of a tie the earliest."""
    first: dict[str, str] = {}
    counts: dict[str, int] = {}
    for row in rows:
        for driver in row["drivers"]:
            first.setdefault(driver, row["article_id"])
            counts[driver] = counts.get(driver, 0) + 1
    chosen = sorted(first, key=lambda driver: -counts[driver])[:most]
    return {driver: first[driver] for driver in chosen}


def _most(names: Sequence[str | None]) -> str | None:
    counts: dict[str, int] = {}
    for name in names:
        if name is not None:
            counts[name] = counts.get(name, 0) + 1
    return max(counts, key=lambda name: counts[name]) if counts else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
