"""Which articles report the same happening: one pass over articles in the order in which they became known.

An article joins the event that it is most like, if it is like enough, and else it founds one. An event takes articles for
:data:`LIFE` after its first one. Its id is the hash of its founding article, so it says nothing that was not known then.

What an article joins depends on earlier articles alone. To be the same for each chunking, a pass does not begin where a run
begins: days lie in blocks of :data:`BLOCK_DAYS`, counted since 1970, and the pass for a block begins :data:`WARM_DAYS`
before it. So an event that lives over the border of two blocks is founded by the same article in both passes, and a day
needs articles of at most ``tables.events.EVENTS_LOOKBACK_DAYS`` before it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from crypto_assets.narratives import evergreen
from crypto_assets.narratives.story_matching import Frequencies, Story, as_story, likeness
from crypto_assets.narratives.story_words import story_words
from crypto_assets.tables.events import BLOCK_DAYS, WARM_DAYS

LIFE = timedelta(hours=72)
JOINS = 0.35  # likeness to the nearest of an event's articles from which an article joins it
ON_AVERAGE = 0.26  # and its mean likeness to those that are compared, so that an event does not drift
OFF_TOPIC = 0.15  # more is asked of an article that names neither a coin nor this market
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
        founded: When its first article was known.
        members: Positions of its articles in the pass, in order.
        compared: The first :data:`COMPARED` of them, as stories.
    """

    event_id: str
    founded: datetime
    members: list[int] = field(default_factory=list)
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
        articles: article_id, available_at, feed, title, summary and symbols; also of the WARM_DAYS + BLOCK_DAYS - 1 days before ``start``.
        start: the first UTC day.
        end: the last UTC day, included.

    Returns:
        block (the first day of the block whose pass says it), article_id, event_id. Articles that report no happening are
        absent. An article has a row in the pass of its own block, and one in the next where that looks back over it.
    """
    known = articles.sort_values(["available_at", "article_id"], kind="stable")
    day = known["available_at"].dt.date
    found = []
    block = block_start(start)
    while block <= end:
        last = min(end, block + timedelta(days=BLOCK_DAYS - 1))
        part = known[(day >= block - timedelta(days=WARM_DAYS)) & (day <= last)]
        found.append(pd.DataFrame({"block": block, "article_id": part["article_id"], "event_id": one_pass(part)}))
        block += timedelta(days=BLOCK_DAYS)
    return pd.concat(found).dropna(subset=["event_id"]).reset_index(drop=True)


def one_pass(articles: pd.DataFrame) -> list[str | None]:
    """Find the event of each article, in the order given.

    Args:
        articles: as in :func:`assign`, sorted by available_at and article_id.

    Returns:
        For each article the id of its event; None where it reports no happening.
    """
    index = _Index()
    return [index.add(row) for row in articles.itertuples()]


class _Index:
    """The events of a pass, by the rare stems of their compared articles."""

    def __init__(self) -> None:
        self._frequencies = Frequencies()
        self._by_stem: dict[str, list[tuple[Event, Story]]] = defaultdict(list)

    def add(self, row: Any) -> str | None:
        """Return the id of the event of the next article."""
        summary = row.summary if isinstance(row.summary, str) else None
        flag = evergreen.flag(str(row.title), summary, names_coin=len(row.symbols) > 0)
        if flag == evergreen.GUIDE:
            return None
        words = story_words(str(row.title), summary)
        story = as_story(row.feed, row.symbols, words, self._frequencies)
        self._frequencies.add(sorted(words.title | words.summary))
        event = self._nearest(story, row.available_at, JOINS + (OFF_TOPIC if flag else 0.0))
        if event is None:
            if flag is not None:  # it joins an event of this market, but founds none
                return None
            event = Event(event_id(row.article_id), row.available_at)
        if len(event.compared) < COMPARED:
            event.compared.append(story)
            for stem in story.rare:
                self._by_stem[stem].append((event, story))
        return event.event_id

    def _nearest(self, story: Story, at: datetime, least: float) -> Event | None:
        scores: dict[int, tuple[float, Event]] = {}
        for event, other in self._candidates(story, at):
            score = likeness(story, other)
            if score >= least and score > scores.get(id(event), (0.0, event))[0]:
                scores[id(event)] = (score, event)
        for _, event in sorted(scores.values(), key=lambda one: (-one[0], one[1].founded, one[1].event_id)):
            if sum(likeness(story, other) for other in event.compared) / len(event.compared) >= ON_AVERAGE:
                return event
        return None

    def _candidates(self, story: Story, at: datetime) -> list[tuple[Event, Story]]:
        """Return the articles that share most with a story, of events that still take articles."""
        shared: dict[int, float] = defaultdict(float)
        found: dict[int, tuple[Event, Story]] = {}
        for stem in story.rare[:LOOKED_UP]:
            held = self._by_stem.get(stem)
            if not held:
                continue
            alive = [pair for pair in held if at - pair[0].founded <= LIFE]
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
