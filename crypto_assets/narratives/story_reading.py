"""Articles as stories that can be compared: which of them are news, and what their words weigh.

How usual a stem is, is counted over the :data:`USED_DAYS` days before an article's own day. So an article is read the
same way in every pass over it, and nothing later counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, cast

import pandas as pd

from crypto_assets.narratives.relevance import relevance
from crypto_assets.narratives.story_matching import Frequencies, Story, as_story
from crypto_assets.narratives.story_words import StoryWords, story_words
from crypto_assets.tables.events import USED_DAYS
from crypto_assets.tables.news import EVERGREEN, NEWS


@dataclass(frozen=True)
class Read:
    """An article that is news.

    Attributes:
        article_id: Which.
        story: As it is compared.
    """

    article_id: str
    story: Story


def read(articles: pd.DataFrame, first: date) -> list[Read | None]:
    """Read articles.

    Args:
        articles: article_id, date, available_at, feed, title, summary and symbols; relevance where it is known.
        first: the first UTC day that is compared; earlier articles are only counted.

    Returns:
        For each article how it is compared; None where it is no news (``relevance.py``), or before ``first``.
    """
    kinds, days = relevance(articles), list(articles["available_at"].dt.date)
    said = [
        None if kind == EVERGREEN else story_words(str(title), summary if isinstance(summary, str) else None)
        for kind, title, summary in zip(kinds, articles["title"], articles["summary"], strict=True)
    ]
    usual = _Usual(said, days)
    found: list[Read | None] = []
    rows = cast(Iterable[Any], articles.itertuples())
    for row, kind, words, day in zip(rows, kinds, said, days, strict=True):
        if kind != NEWS or words is None or day < first:
            found.append(None)
            continue
        story = as_story(row.feed, row.available_at.timestamp() / 3600, row.symbols, words, usual.of(day))
        found.append(Read(row.article_id, story))
    return found


class _Usual:
    """How usual stems were in the days before a day."""

    def __init__(self, said: list[StoryWords | None], days: list[date]) -> None:
        self._uses: dict[date, Counter[str]] = defaultdict(Counter)
        self._articles: Counter[date] = Counter()
        once: set[tuple[date, frozenset[str]]] = set()
        for words, day in zip(said, days, strict=True):
            if words is not None and (day, words.title) not in once:
                once.add((day, words.title))  # a headline that is syndicated counts once
                self._uses[day].update(words.title | words.summary)
                self._articles[day] += 1
        self._before: dict[date, Frequencies] = {}

    def of(self, day: date) -> Frequencies:
        if day not in self._before:
            past = [day - timedelta(days=n) for n in range(1, USED_DAYS + 1)]
            uses = Counter[str]()
            for earlier in past:
                uses.update(self._uses.get(earlier, ()))
            self._before[day] = Frequencies(uses, sum(self._articles[earlier] for earlier in past))
        return self._before[day]
