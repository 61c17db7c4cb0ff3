"""News by coin and hour: the 24 hours up to each hour mark, from articles available by then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crypto_assets.narratives import relative_tone
from crypto_assets.narratives.event_rows import event_of
from crypto_assets.narratives.judged_articles import join_analyses
from crypto_assets.tables.derived_source import DERIVED, SANDBOX_DERIVED, SANDBOX_PREFIX
from crypto_assets.tables.news import ATTENTION_DAYS as PAST_DAYS
from crypto_assets.tables.news import THEMES, USUAL_DAYS

MARKET = "MARKET"
WINDOW = 24  # hours
HALF_LIFE = 6.0  # hours after which an article weighs half in sentiment_decayed_24h and in the order of top_articles
TOP = 5
HISTORY = 2 * USUAL_DAYS * WINDOW  # hours before the first one that is shown, for what is usual
PRIOR = 10  # stories with the shares of the market that a coin's own history starts from
OTHER = THEMES.index("other")
_SHARES = [f"theme_{theme}_share_24h" for theme in THEMES]
COLUMNS = [
    "symbol", "ts", "date", "available_at", "source", "article_count_24h", "story_count_24h", "sentiment_24h",
    "sentiment_decayed_24h", "sentiment_momentum_24h", "sentiment_relative_24h", "sentiment_zscore_30d", "attention_7d",
    "novelty_7d", "dominant_theme", "top_articles",
    *_SHARES,
]  # fmt: skip
HOUR = timedelta(hours=1)
HOUR_US = 3_600_000_000
Array = NDArray[np.float64]


def aggregate(
    news_articles: pd.DataFrame,
    article_narratives: pd.DataFrame,
    news_events: pd.DataFrame,
    symbols: Sequence[str],
    start: date,
    end: date,
) -> pd.DataFrame:
    """Build the rows of ``narratives`` for MARKET and each symbol, for every hour in which news was seen.

    An article counts at ts when its ``available_at`` lies in (ts - 24 h, ts]; tone, themes and novelty are those of
    articles that repeat no other. A coin that no article names has count 0 and null sentiment. Hours in which no article
    of the whole market is in the window have no rows: nothing was seen, which is not the same as nothing said.
    ``news_articles`` and ``article_narratives`` reach ``tables.news.NARRATIVES_LOOKBACK_DAYS`` back, ``news_events`` the days before
    with which attention is compared.
    """
    opened = datetime(start.year, start.month, start.day, tzinfo=timezone.utc) - HISTORY * HOUR
    hours = ((end - start).days + 1) * 24 + HISTORY
    news = join_analyses(news_articles, article_narratives)
    news["relative"] = relative_tone.against_outlet(news)
    news["event"] = pd.factorize(news["article_id"].map(event_of(news_events)))[0]  # -1: in none
    first = _marks(news["available_at"]) - int(opened.timestamp()) // 3600
    inside = (first < hours) & (first + WINDOW > 0)
    heard = _Heard(news[inside].reset_index(drop=True), first[inside], [MARKET, *symbols], hours)
    return heard.frame(opened)


def _micros(moments: pd.Series) -> NDArray[np.int64]:
    return moments.to_numpy("datetime64[us]").astype(np.int64)


def _marks(moments: pd.Series) -> NDArray[np.int64]:
    """Return the first hour mark at or after each instant, in hours since the epoch."""
    return -(-_micros(moments) // HOUR_US)


class _Heard:
    """Every article in each of the 24 hours whose window has it, under MARKET and each coin that it names.

    Sums run in the order of ``article_id``, so that they are the same to the last bit for every chunking.
    """

    def __init__(self, news: pd.DataFrame, first: NDArray[np.int64], names: list[str], hours: int) -> None:
        position = {name: n for n, name in enumerate(names)}
        pairs = [
            (n, position[name])
            for n, named in enumerate(news["symbols"])
            for name in (MARKET, *named)
            if name in position
        ]
        article, name = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        self.news, self.names, self.hours = news, names, hours
        self.events = self._distinct(name, news["event"].to_numpy(np.int64)[article], first[article])
        step = np.arange(WINDOW)
        hour = (first[article][:, None] + step).ravel()
        shown = (hour >= 0) & (hour < hours)
        self.article = np.repeat(article, WINDOW)[shown]
        self.cell = (np.repeat(name, WINDOW) * hours + hour)[shown]
        # Hours since the article became available, from whole microseconds: the same to the last bit in each chunking.
        waited = (_marks(news["available_at"]) * HOUR_US - _micros(news["available_at"])) / HOUR_US
        self.age = (waited[article][:, None] + step).ravel()[shown]

    def frame(self, opened: datetime) -> pd.DataFrame:
        news, hours = self.news, self.hours
        story = ~news["repeat"].to_numpy(bool)
        sandbox = news["source"].astype(str).str.startswith(SANDBOX_PREFIX).to_numpy(bool)
        count, stories = self._sum(np.ones(len(news))), self.events
        tone, decayed = self._tones(story)
        relative = self._relative(story)
        zscore = relative_tone.zscores(relative)
        seen = np.flatnonzero(count[0, HISTORY:] > 0) + HISTORY
        n, h = (part.ravel() for part in np.meshgrid(np.arange(len(self.names)), seen, indexing="ij"))
        before = np.stack([stories[n, h - WINDOW * day] for day in range(1, PAST_DAYS + 1)]).sum(axis=0)
        # Articles of the market that were known 7 days before the hour, and at most 60.
        heard = np.cumsum(count[0])
        old_enough = heard[h - PAST_DAYS * WINDOW] - heard[h - HISTORY] + count[0, h - HISTORY] > 0
        shares, dominant = self._themes(story, n, h)
        with_novelty = news["novelty"].notna().to_numpy(bool) & story
        novelty = self._mean(news["novelty"].fillna(0.0).to_numpy(float), with_novelty.astype(float))
        ts = pd.Series(pd.to_datetime([opened] * len(h), utc=True)).astype("datetime64[us, UTC]")
        ts = (ts + pd.to_timedelta(h, unit="h")).astype("datetime64[us, UTC]")
        partly = self._sum(sandbox.astype(float))[0, h] > 0
        frame = pd.DataFrame(
            {
                "symbol": np.array(self.names, dtype=object)[n],
                "ts": ts,
                "date": ts.dt.date,
                "available_at": ts,
                "source": np.where(partly, SANDBOX_DERIVED, DERIVED),
                "article_count_24h": count[n, h].astype(np.int64),
                "story_count_24h": stories[n, h],
                "sentiment_24h": tone[n, h],
                "sentiment_decayed_24h": decayed[n, h],
                "sentiment_momentum_24h": tone[n, h] - tone[n, h - WINDOW],
                "sentiment_relative_24h": relative[n, h],
                "sentiment_zscore_30d": zscore[n, h],
                "attention_7d": np.where(old_enough, _ratio(stories[n, h].astype(float), before / PAST_DAYS), np.nan),
                "novelty_7d": novelty[n, h],
                "dominant_theme": pd.Series(dominant, dtype=object),
                "top_articles": pd.Series(self._top(story, n * hours + h), dtype=object),
            }
        )
        return pd.concat([frame, pd.DataFrame(shares, columns=_SHARES)], axis=1)[COLUMNS]

    def _distinct(
        self, name: NDArray[np.int64], event: NDArray[np.int64], mark: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Count the events that have an article in the window (names x hours).

        An article stands for its event for 24 hours, or until the next article of the same name and event.
        """
        order = np.lexsort((mark, event, name))
        order = order[event[order] >= 0]
        name, event, mark = name[order], event[order], mark[order]
        until = mark + WINDOW
        same = (name[1:] == name[:-1]) & (event[1:] == event[:-1])
        until[:-1] = np.where(same, np.minimum(until[:-1], mark[1:]), until[:-1])
        change = np.zeros((len(self.names), self.hours + 1), dtype=np.int64)
        np.add.at(change, (name, np.clip(mark, 0, self.hours)), 1)
        np.add.at(change, (name, np.clip(until, 0, self.hours)), -1)
        return change.cumsum(axis=1)[:, : self.hours]

    def _tones(self, story: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return the confidence-weighted mean sentiment (names x hours).

        It is plain, and with weights halved every HALF_LIFE.
        """
        judged = self.news[["sentiment", "confidence"]].notna().all(axis=1).to_numpy(bool) & story
        sentiment = self.news["sentiment"].fillna(0.0).to_numpy(float)
        weight = np.where(judged, self.news["confidence"].fillna(0.0).to_numpy(float), 0.0)
        return self._mean(sentiment, weight), self._mean(sentiment, weight, np.exp2(-self.age / HALF_LIFE))

    def _relative(self, story: NDArray[np.bool_]) -> Array:
        """Return the mean tone against the outlets (names x hours), with weights halved every HALF_LIFE."""
        relative = self.news["relative"].to_numpy(float)
        judged = story & ~np.isnan(relative)
        fading = np.exp2(-self.age / HALF_LIFE)
        value, weight = np.where(judged, relative, 0.0), judged.astype(float)
        return np.clip(_ratio(self._sum(value, fading), self._sum(weight, fading)), -2.0, 2.0)

    def _mean(self, value: Array, weight: Array, fading: Array | float = 1.0) -> Array:
        total = self._sum(weight, fading)
        return np.clip(_ratio(self._sum(weight * value, fading), total), -1.0, 1.0)

    def _sum(self, value: Array, fading: Array | float = 1.0) -> Array:
        cells = np.bincount(self.cell, value[self.article] * fading, minlength=len(self.names) * self.hours)
        return cells.astype(float).reshape(len(self.names), self.hours)

    def _themes(
        self, story: NDArray[np.bool_], n: NDArray[np.int64], h: NDArray[np.int64]
    ) -> tuple[Array, list[str | None]]:
        """Return the shares of the themes by row, and the theme that exceeds what is usual most.

        Ties: most confidence, then the order of THEMES.
        """
        theme = self.news["theme"].map({name: t for t, name in enumerate(THEMES)}).fillna(-1).to_numpy(int)
        trust = self.news["confidence"].fillna(0.0).to_numpy(float)
        counts, excess, trusts = (np.empty((len(h), len(THEMES))) for _ in range(3))
        every = self._sum(((theme >= 0) & story).astype(float))
        total, past = every[n, h], _before(every)
        for t in range(len(THEMES)):
            cells = self._sum(((theme == t) & story).astype(float))
            own = _before(cells)
            market = (own[0, h] + 1) / (past[0, h] + len(THEMES))
            expected = total * (own[n, h] + PRIOR * market) / (past[n, h] + PRIOR)
            counts[:, t] = cells[n, h]
            trusts[:, t] = self._sum(((theme == t) & story) * trust)[n, h]
            with np.errstate(invalid="ignore", divide="ignore"):
                excess[:, t] = np.where(counts[:, t] > 0, (counts[:, t] - expected) / np.sqrt(expected), -np.inf)
        alone = counts[:, OTHER] == total
        excess[~alone, OTHER] = -np.inf
        best = np.lexsort((-np.arange(len(THEMES)) + np.zeros_like(counts), trusts, excess), axis=1)[:, -1]
        dominant = [THEMES[b] if any_ > 0 else None for b, any_ in zip(best, total, strict=True)]
        return _ratio(counts, total[:, None]), dominant

    def _top(self, story: NDArray[np.bool_], rows: NDArray[np.int64]) -> list[list[str]]:
        """Return the TOP stories of each row by confidence, halved every HALF_LIFE.

        This gives the same order at every hour that sees them.
        """
        trust = np.where(story, self.news["confidence"].fillna(0.0).to_numpy(float), 0.0)
        with np.errstate(divide="ignore"):
            strength = np.log2(trust) + _micros(self.news["available_at"]) / HOUR_US / HALF_LIFE
        rank = np.empty(len(trust), dtype=np.int64)
        rank[np.lexsort((self.news["article_id"].to_numpy(str), -strength))] = np.arange(len(trust))
        kept = story[self.article]
        cell, article = self.cell[kept], self.article[kept]
        order = np.lexsort((rank[article], cell))
        cell, article = cell[order], article[order]
        ids = self.news["article_id"].to_numpy(object)[article]
        low, high = np.searchsorted(cell, rows, "left"), np.searchsorted(cell, rows, "right")
        return [list(ids[a : min(b, a + TOP)]) for a, b in zip(low, high, strict=True)]


def _before(cells: Array) -> Array:
    """Sum, at each hour, the windows of 24 hours that ended 1 to USUAL_DAYS days before; each story counts once."""
    by_day = cells.reshape(len(cells), -1, WINDOW)  # whole days, so that each hour of the day has a column
    days = (np.cumsum(by_day, axis=1) - by_day).reshape(cells.shape)
    shifted = np.zeros_like(cells)
    shifted[:, USUAL_DAYS * WINDOW :] = days[:, : -USUAL_DAYS * WINDOW]
    return days - shifted


def _ratio(top: Array, bottom: Array) -> Array:
    """Return top / bottom, NaN where the bottom is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(bottom > 0, top / bottom, np.nan)
