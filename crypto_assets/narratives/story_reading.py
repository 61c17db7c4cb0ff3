"""Articles as stories that can be compared: which report a happening of this market, and what their words weigh.

How usual a stem is, and whether an outlet writes about this market, is counted over the :data:`USED_DAYS` days before an
article's own day. So an article is read the same way in every pass over it, and nothing later counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd

from crypto_assets.narratives import evergreen
from crypto_assets.narratives.story_matching import Frequencies, Story, as_story
from crypto_assets.narratives.story_words import StoryWords, story_words
from crypto_assets.tables.events import USED_DAYS

SPECIALISED = (
    0.6  # share of an outlet's articles that name this market, from which its others are taken to be about it too
)
TRUST = 3  # articles that an outlet is taken to have written about this market before its first one here


@dataclass(frozen=True)
class Read:
    """An article that reports a happening.

    Attributes:
        article_id: Which.
        story: As it is compared.
        on_topic: Whether it may found an event: it names a coin or this market, or its outlet mostly does.
    """

    article_id: str
    story: Story
    on_topic: bool


@dataclass(frozen=True)
class _Said:
    words: StoryWords
    clear: bool  # whether it names a coin or this market


def read(articles: pd.DataFrame, first: date) -> list[Read | None]:
    """Read articles.

    Args:
        articles: article_id, available_at, feed, title, summary and symbols.
        first: the first UTC day that is compared; earlier articles are only counted.

    Returns:
        For each article how it is compared; None where it is evergreen, or before ``first``.
    """
    said = [_said(row) for row in articles.itertuples()]
    days = list(articles["available_at"].dt.date)
    usual = _Usual(said, days, list(articles["feed"]))
    return [
        None if heard is None or day < first else usual.read(row, heard, day)
        for row, heard, day in zip(articles.itertuples(), said, days, strict=True)
    ]


def _said(row: Any) -> _Said | None:
    title, summary = str(row.title), row.summary if isinstance(row.summary, str) else None
    if evergreen.is_evergreen(title):
        return None
    return _Said(story_words(title, summary), len(row.symbols) > 0 or evergreen.names_market(title, summary))


class _Usual:
    """What was usual in the days before a day."""

    def __init__(self, said: list[_Said | None], days: list[date], feeds: list[str]) -> None:
        self._uses: dict[date, Counter[str]] = defaultdict(Counter)
        self._told: Counter[date] = Counter()
        self._topics: dict[date, Counter[tuple[str, bool]]] = defaultdict(Counter)
        once: set[tuple[date, frozenset[str]]] = set()
        for heard, day, feed in zip(said, days, feeds, strict=True):
            if heard is not None and (day, heard.words.title) not in once:
                once.add((day, heard.words.title))  # a headline that is syndicated counts once
                self._uses[day].update(heard.words.title | heard.words.summary)
                self._told[day] += 1
                self._topics[day][feed, heard.clear] += 1
        self._before: dict[date, tuple[Frequencies, Counter[tuple[str, bool]]]] = {}

    def read(self, row: Any, said: _Said, day: date) -> Read:
        frequencies, topics = self._of(day)
        hours = row.available_at.timestamp() / 3600
        story = as_story(row.feed, hours, row.symbols, said.words, frequencies)
        clear, other = topics[row.feed, True] + TRUST, topics[row.feed, False]
        summary = row.summary if isinstance(row.summary, str) else None
        mostly = clear >= SPECIALISED * (clear + other) and not evergreen.is_elsewhere(str(row.title), summary)
        return Read(row.article_id, story, said.clear or mostly)

    def _of(self, day: date) -> tuple[Frequencies, Counter[tuple[str, bool]]]:
        if day not in self._before:
            past = [day - timedelta(days=n) for n in range(1, USED_DAYS + 1)]
            uses, topics = Counter[str](), Counter[tuple[str, bool]]()
            for earlier in past:
                uses.update(self._uses.get(earlier, ()))
                topics.update(self._topics.get(earlier, ()))
            self._before[day] = (Frequencies(uses, sum(self._told[earlier] for earlier in past)), topics)
        return self._before[day]
