"""Near-duplicates: find the articles that repeat an earlier one.

An article repeats another when their titles share at least ``ALIKE`` of their words (Jaccard) with the same numbers and
the same coins. It also does so when they share an address and half their words (a headline that was edited). Titles of
fewer than ``SHORT`` words must be equal. Within one feed the summary must repeat too, because "What happened in crypto
today" is a column and not a repeat.

Only articles that were available earlier, and published on the same day or one of the ``WINDOW_DAYS`` days before, are
compared. So the answer does not depend on later articles or on how a backfill is chunked.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from crypto_assets.tables.news import SEEN_LATE_DAYS as WINDOW_DAYS

ALIKE = 0.8
EDITED = 0.5
SHORT = 5
FILLERS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "for",
        "from",
        "has",
        "in",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "says",
        "that",
        "the",
        "this",
        "to",
        "was",
        "will",
        "with",
    ]
)


@dataclass(frozen=True)
class _Story:
    article_id: str
    day: date
    published: datetime
    feed: str
    address: str
    coins: tuple[str, ...]
    title: frozenset[str]
    summary: frozenset[str]
    numbers: frozenset[str]


def words(text: str) -> frozenset[str]:
    """Return the words and numbers of a text without fillers, in lower case."""
    return frozenset(re.findall(r"\w+", text.lower())) - FILLERS


def repeats(articles: pd.DataFrame) -> list[str | None]:
    """Find the earliest article that each article repeats.

    Args:
        articles: a frame with article_id, date, published_at, available_at, feed, title, summary, address (normalised,
            or "") and coins (those that the title names).

    Returns:
        For each row, the ``article_id`` of the earliest available article that it repeats, else None.
    """
    order = articles.sort_values(["available_at", "article_id"]).index
    stories = [_story(row) for row in articles.loc[order].itertuples()]
    seen = Counter(word for story in stories for word in story.title)
    by_word: dict[str, list[int]] = defaultdict(list)
    by_address: dict[str, list[int]] = defaultdict(list)
    found: dict[object, str] = {}
    for n, (index, story) in enumerate(zip(order, stories, strict=True)):
        rare = list(_rarest(story.title, seen))
        candidates = {m for word in rare for m in by_word[word]}
        candidates.update(by_address[story.address] if story.address else ())
        for m in sorted(candidates):
            if _repeats(story, stories[m]):
                found[index] = stories[m].article_id
                break
        for word in rare:
            by_word[word].append(n)
        by_address[story.address].append(n)
    return [found.get(index) for index in articles.index]


def _story(row: Any) -> _Story:
    title, summary = words(str(row.title)), row.summary if isinstance(row.summary, str) else ""
    return _Story(
        row.article_id, row.date, row.published_at, row.feed, row.address, tuple(row.coins),
        title, words(summary), frozenset(word for word in title if any(char.isdigit() for char in word)),
    )  # fmt: skip


def _rarest(title: frozenset[str], seen: Counter[str]) -> Iterator[str]:
    """Return the words of which two titles that are ``ALIKE`` must share one.

    These are all but the share ``ALIKE`` of the words, rarest first.
    """
    ranked = sorted(title, key=lambda word: (seen[word], word))
    yield from ranked[: len(ranked) - math.ceil(ALIKE * len(ranked)) + 1]


def _repeats(later: _Story, earlier: _Story) -> bool:
    gap = later.published - earlier.published
    if not timedelta() <= later.day - earlier.day <= timedelta(days=WINDOW_DAYS) or gap > timedelta(days=WINDOW_DAYS):
        return False
    if later.address and later.address == earlier.address:
        return _alike(later.title, earlier.title) >= EDITED
    if later.coins != earlier.coins or later.numbers != earlier.numbers:
        return False
    least = ALIKE if min(len(later.title), len(earlier.title)) >= SHORT else 1.0
    if _alike(later.title, earlier.title) < least:
        return False
    return later.feed != earlier.feed or _alike(later.summary, earlier.summary) >= ALIKE


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the Jaccard similarity; 1 where neither has words."""
    return len(one & other) / len(one | other) if one or other else 1.0
