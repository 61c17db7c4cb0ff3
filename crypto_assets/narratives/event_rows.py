"""Rows of ``news_events``: what an event looked like at the end of each day on which it had a new article."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import pandas as pd

from crypto_assets.narratives import events
from crypto_assets.narratives.analyses import best_analysis
from crypto_assets.narratives.boilerplate import cleaned
from crypto_assets.narratives.judged_articles import LATE
from crypto_assets.narratives.story_words import story_words
from crypto_assets.tables.derived_source import DERIVED, SANDBOX_DERIVED, SANDBOX_PREFIX
from crypto_assets.tables.events import NEWS_EVENTS

PACE = timedelta(hours=6)  # of velocity
CENTRAL = 16  # first articles of an event from which its headline is chosen
LEAST_NAMING = 0.5  # of an event's articles that must name a coin
# Words with which a headline takes a story back. A court that denies a motion decides and takes nothing back.
_TURN = re.compile(
    r"\b(?:den(?:y|ies|ied)(?!\s+(?:\w+\s+){0,2}(?:motion|appeal|bail|request|application|petition|approval))|refut\w+|debunk\w*"
    r"|fake|hoax|false(?:ly)?|retract\w*|walks?\s+back|backtracks?|u-turn|no\s+truth|not\s+true|untrue|dismiss(?:es|ed)\s+(?:\w+\s+){0,2}"
    r"(?:rumou?rs?|reports?|claims?|speculation)|clarif(?:y|ies|ied)|misleading|unfounded|scraps?|calls?\s+off|backs?\s+out|walks?\s+away)\b",
    re.IGNORECASE,
)


class Member(NamedTuple):
    """An article of an event."""

    article_id: str
    available_at: pd.Timestamp
    feed: str
    title: str
    symbols: list[str]
    sandbox: bool
    theme: str | None
    tone: float | None


def news_events(
    *, news_articles: pd.DataFrame, article_narratives: pd.DataFrame, start: date, end: date
) -> pd.DataFrame:
    """Build the rows of ``news_events`` of the days ``start``..``end``.

    Args:
        news_articles: rows of the table, ``tables.events.EVENTS_LOOKBACK_DAYS`` back.
        article_narratives: the same.
        start: the first UTC day.
        end: the last UTC day, included.

    Returns:
        One row for each event and day on which an article of it became available, in order of day and id.
    """
    news = cleaned(news_articles[news_articles["available_at"] - news_articles["published_at"] <= LATE])
    placed = events.assign(news, start, end)
    best = best_analysis(article_narratives)[["article_id", "theme", "sentiment"]]
    joined = placed.merge(news, on="article_id").merge(best, on="article_id", how="left")
    joined = joined.sort_values(["block", "event_id", "available_at", "article_id"])
    groups: dict[tuple[date, str], list[Member]] = {}
    for block, event, row in zip(
        joined["block"].tolist(), joined["event_id"].tolist(), joined.itertuples(), strict=True
    ):
        groups.setdefault((block, event), []).append(_member(row))
    rows = []
    for (block, event), members in groups.items():
        first, last = max(start, block), min(end, block + timedelta(days=events.BLOCK_DAYS - 1))
        for day in sorted({member.available_at.date() for member in members}):
            if first <= day <= last:
                rows.append(_row(event, day, [m for m in members if m.available_at.date() <= day]))
    frame = pd.DataFrame(rows, columns=NEWS_EVENTS.given_names).sort_values(["date", "event_id"], ignore_index=True)
    for name in ("available_at", "first_seen", "turned_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True).astype("datetime64[us, UTC]")
    return frame.astype({"tone": "float64", "first_tone": "float64", "velocity": "float64"})


def event_of(news_events: pd.DataFrame) -> dict[str, str]:
    """Return the event of each article, as the row of the day on which it became available gives it.

    Args:
        news_events: rows of the table.

    Returns:
        ``article_id`` -> ``event_id``; articles in no event are absent.
    """
    new = news_events[["event_id", "articles", "new_article_count"]].itertuples(index=False, name=None)
    return {article: event for event, articles, count in new for article in articles[-count:]}


def _member(row: Any) -> Member:
    theme = row.theme if isinstance(row.theme, str) else None
    tone = None if pd.isna(row.sentiment) else float(row.sentiment)
    sandbox = str(row.source).startswith(SANDBOX_PREFIX)
    return Member(row.article_id, row.available_at, row.feed, row.title, list(row.symbols), sandbox, theme, tone)


def _row(event_id: str, day: date, members: list[Member]) -> dict[str, Any]:
    first, newest = members[0], members[-1].available_at
    outlets = list(dict.fromkeys(member.feed for member in members))
    return {
        "event_id": event_id,
        "date": day,
        "available_at": newest,
        "source": SANDBOX_DERIVED if any(member.sandbox for member in members) else DERIVED,
        "first_seen": first.available_at,
        "headline": headline([member.title for member in members[:CENTRAL]]),
        "outlets": outlets,
        "outlet_count": len(outlets),
        "articles": [member.article_id for member in members],
        "article_count": len(members),
        "new_article_count": sum(member.available_at.date() == day for member in members),
        "symbols": _named(members),
        "theme": _theme(members),
        "tone": _tone(members),
        "velocity": sum(newest - member.available_at < PACE for member in members) / (PACE / timedelta(hours=1)),
        "turned_at": next((m.available_at for m in members[1:] if turns(m.title) and not turns(first.title)), None),
        "first_symbols": first.symbols,
        "first_theme": first.theme,
        "first_tone": first.tone,
    }


def turns(title: str) -> bool:
    """Whether a headline denies a story or takes it back."""
    return _TURN.search(title[:400]) is not None


def headline(titles: list[str]) -> str:
    """Choose the title that is most like the others by the words they share; of a tie the earliest.

    Args:
        titles: in the order in which they were known, at least one.

    Returns:
        One of them.
    """
    if len(titles) == 1:
        return titles[0]
    stems = [_stems(title) for title in titles]
    alike = [sum(len(one & other) / (len(one | other) or 1) for other in stems) for one in stems]
    return titles[alike.index(max(alike))]


@lru_cache(maxsize=4096)
def _stems(title: str) -> frozenset[str]:
    return story_words(title, None).title


def _named(members: list[Member]) -> list[str]:
    counts = Counter(symbol for member in members for symbol in member.symbols)
    named = [symbol for symbol, count in counts.items() if count >= LEAST_NAMING * len(members)]
    return sorted(named, key=lambda symbol: -counts[symbol])


def _theme(members: list[Member]) -> str | None:
    """Return the theme of most outlets; each outlet votes with the theme of its first article that has one."""
    votes = _by_outlet((member.feed, member.theme) for member in members)
    counts = Counter(found[0] for found in votes.values())
    return max(counts, key=lambda theme: counts[theme]) if counts else None


def _tone(members: list[Member]) -> float | None:
    votes = _by_outlet((member.feed, member.tone) for member in members)
    means = [sum(found) / len(found) for found in votes.values()]
    return max(-1.0, min(1.0, sum(means) / len(means))) if means else None


def _by_outlet(given: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for feed, value in given:
        if value is not None:
            found.setdefault(feed, []).append(value)
    return found
