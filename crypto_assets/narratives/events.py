"""Which articles report the same happening: one pass over articles in the order in which they became known.

An article joins the event that it is most like, if it is like enough, and else it founds one. An event takes articles for
:data:`LIFE` after its first one. Its id is the hash of its founding article, so it says nothing that was not known then.

What an article joins depends on earlier articles alone. To be the same for each chunking, a pass does not begin where a run
begins: days lie in blocks of :data:`BLOCK_DAYS`, counted since 1970, and the pass for a block begins :data:`WARM_DAYS`
before it. How alike two articles are is the same in each pass (``story_reading.py``). So an event that lives over the border
of two blocks is founded by the same article in both passes, unless its story goes on for longer than the days before the
block. A day needs the articles of ``tables.events.EVENTS_LOOKBACK_DAYS`` before it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import pandas as pd

from crypto_assets.narratives.relevance import relevance
from crypto_assets.narratives.story_matching import Story, likeness
from crypto_assets.narratives.story_reading import Read, read
from crypto_assets.tables.events import BLOCK_DAYS, EVENT_DAYS, USED_DAYS, WARM_DAYS

LIFE = 24.0 * EVENT_DAYS  # hours
JOINS = 0.39  # likeness to the nearest of an event's articles from which an article joins it
ON_AVERAGE = 0.26  # and its mean likeness to those that are compared, so that an event does not drift
COMPARED = 12  # articles of an event that are compared: an event of 900 costs no more than one of 12
CANDIDATES = 24  # articles that an article is compared with
LOOKED_UP = 24  # rare stems by which candidates are found
CROWDED = 300  # compared articles that have a stem at most; a stem of more of them finds none
EPOCH = date(1970, 1, 1)


@dataclass
class Event:
    """A happening.

    Attributes:
        event_id: First 32 hex digits of SHA-256 of the founding article's id.
        founded: When its first article was known, in hours since 1970.
        compared: The first :data:`COMPARED` of its articles.
    """

    event_id: str
    founded: float
    compared: list[Story] = field(default_factory=list)


def event_id(article_id: str) -> str:
    """Return the id of the event that an article founds."""
    return hashlib.sha256(f"event\n{article_id}".encode()).hexdigest()[:32]


def block_start(day: date) -> date:
    """Return the first day of a day's block."""
    return day - timedelta(days=(day - EPOCH).days % BLOCK_DAYS)


def assign(articles: pd.DataFrame, start: date, end: date) -> pd.DataFrame:
    """Find the event of each article that became available by the end of ``end``.

    Args:
        articles: article_id, date, available_at, feed, title, summary and symbols; also of the WARM_DAYS + BLOCK_DAYS - 1 +
            USED_DAYS days before ``start``.
        start: the first UTC day.
        end: the last UTC day, included.

    Returns:
        block (the first day of the block whose pass says it), article_id, event_id. Articles that are no news
        (``relevance.py``) are absent. An article has a row in the pass of its own block, and one in the next where that looks back over it.
    """
    first = block_start(start)
    articles = articles.assign(relevance=relevance(articles))  # by outlets' habits, before the frame is cut
    day = articles["available_at"].dt.date
    shown = articles[(day >= first - timedelta(days=WARM_DAYS + USED_DAYS)) & (day <= end)]
    known = shown.sort_values(["available_at", "article_id"], kind="stable").reset_index(drop=True)
    day, texts = known["available_at"].dt.date, read(known, first - timedelta(days=WARM_DAYS))
    found = [pd.DataFrame({"block": [], "article_id": [], "event_id": []}, dtype=object)]
    for block in (first + timedelta(days=n) for n in range(0, (end - first).days + 1, BLOCK_DAYS)):
        last = min(end, block + timedelta(days=BLOCK_DAYS - 1))
        part = known.index[(day >= block - timedelta(days=WARM_DAYS)) & (day <= last)]
        ids = one_pass([texts[n] for n in part])
        found.append(pd.DataFrame({"block": block, "article_id": known["article_id"].loc[part], "event_id": ids}))
    return pd.concat(found).dropna(subset=["event_id"]).reset_index(drop=True)


def one_pass(articles: Sequence[Read | None]) -> list[str | None]:
    """Find the event of each article, in the order in which they became known.

    Args:
        articles: as they are read; None for one that is no news.

    Returns:
        For each article the id of its event; None where it is in none.
    """
    index = _Index()
    return [None if article is None else index.add(article) for article in articles]


class _Index:
    """The events of a pass, by the rare stems of their compared articles."""

    def __init__(self) -> None:
        self._by_stem: dict[str, list[tuple[Event, Story]]] = defaultdict(list)

    def add(self, article: Read) -> str:
        """Return the id of the event of the next article."""
        story = article.story
        event = self._nearest(story)
        if event is None:
            event = Event(event_id(article.article_id), story.hours)
        if len(event.compared) < COMPARED:
            event.compared.append(story)
            for stem in story.rare:
                self._by_stem[stem].append((event, story))
        return event.event_id

    def _nearest(self, story: Story) -> Event | None:
        scores: dict[str, tuple[float, Event]] = {}
        for event, other in self._candidates(story):
            score = likeness(story, other)
            if score >= JOINS and score > scores.get(event.event_id, (0.0, event))[0]:
                scores[event.event_id] = (score, event)
        for _, event in sorted(scores.values(), key=lambda one: (-one[0], one[1].founded, one[1].event_id)):
            if sum(likeness(story, other) for other in event.compared) / len(event.compared) >= ON_AVERAGE:
                return event
        return None

    def _candidates(self, story: Story) -> list[tuple[Event, Story]]:
        """Return the articles that share most with a story, of events that still take articles."""
        shared: dict[int, float] = defaultdict(float)
        found: dict[int, tuple[Event, Story]] = {}
        for stem in story.rare[:LOOKED_UP]:
            held = self._by_stem.get(stem)
            if not held:
                continue
            alive = [pair for pair in held if story.hours - pair[0].founded <= LIFE]
            if len(alive) < len(held):
                self._by_stem[stem] = alive
            if len(alive) > CROWDED:
                continue
            for pair in alive:
                shared[id(pair[1])] += story.whole[stem] * pair[1].whole[stem]
                found[id(pair[1])] = pair
        place = {key: n for n, key in enumerate(found)}
        best = sorted(found, key=lambda key: (-shared[key] / found[key][1].whole_norm, place[key]))[:CANDIDATES]
        return [found[key] for key in best]
