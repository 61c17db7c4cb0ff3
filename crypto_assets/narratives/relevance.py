"""What an article is to this market: news of it, evergreen, or off-topic. Only news takes part in events.

A title decides whether an article is evergreen (``evergreen.py``). An article is off-topic where it names neither a coin nor
this market and its outlet mostly writes about other things. The outlet's habit is its share over the :data:`HABIT_DAYS` days
before the article's date, of articles that were available before that day; of an outlet with few of them, the share of
all outlets counts too. So nothing later counts, and the chunks of a backfill do not show.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from crypto_assets.narratives.evergreen import is_elsewhere, is_evergreen, names_market
from crypto_assets.tables.news import EVERGREEN, HABIT_DAYS, NEWS, OFF_TOPIC

SPECIALISED = (
    0.8  # share of an outlet's articles that name this market, from which its others are taken to be about it too
)
TRUST = 3  # articles of all outlets that count for an outlet, beside its own


def relevance(articles: pd.DataFrame) -> list[str]:
    """Say what articles are to this market.

    Args:
        articles: date, available_at, feed, title, summary and symbols, from ``HABIT_DAYS`` before the first day of interest
            on. Where the column ``relevance`` has a value, it stands.

    Returns:
        For each article, NEWS, EVERGREEN or OFF_TOPIC.
    """
    stored = list(articles["relevance"]) if "relevance" in articles else [None] * len(articles)
    given = [value for value in stored if isinstance(value, str)]
    if len(given) == len(stored):
        return given
    evergreen = np.array([is_evergreen(str(title)) for title in articles["title"]], dtype=bool)
    texts = [
        (str(title), summary if isinstance(summary, str) else None)
        for title, summary in zip(articles["title"], articles["summary"], strict=True)
    ]
    clear = np.array(
        [len(coins) > 0 or names_market(*text) for text, coins in zip(texts, articles["symbols"], strict=True)],
        dtype=bool,
    )
    habit = _habits(articles, evergreen, clear)
    found = []
    for n, value in enumerate(stored):
        on_topic = clear[n] or (habit[n] >= SPECIALISED and not is_elsewhere(*texts[n]))
        found.append(
            value if isinstance(value, str) else EVERGREEN if evergreen[n] else NEWS if on_topic else OFF_TOPIC
        )
    return found


def _habits(articles: pd.DataFrame, evergreen: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Return, for each article, the share of its outlet's articles before its date that name this market."""
    days = articles["date"].to_numpy("datetime64[D]")
    known = articles["available_at"].to_numpy("datetime64[D]")
    feeds, _ = pd.factorize(articles["feed"])
    counted = np.flatnonzero(~evergreen)
    counted = counted[np.argsort(days[counted], kind="stable")]
    ordered = days[counted]
    share = np.ones(len(articles))
    for day in np.unique(days):
        first, last = np.searchsorted(ordered, [day - np.timedelta64(HABIT_DAYS, "D"), day])
        before = counted[first:last]
        before = before[known[before] < day]
        usual = clear[before].mean() if len(before) else 1.0
        number = np.bincount(feeds[before], minlength=feeds.max() + 1)
        about = np.bincount(feeds[before], weights=clear[before], minlength=feeds.max() + 1)
        today = np.flatnonzero(days == day)
        share[today] = ((about + TRUST * usual) / (number + TRUST))[feeds[today]]
    return share
