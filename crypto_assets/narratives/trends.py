"""Themes by day: the share of the news of each theme, how it changed, and the coins and articles that it named."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pandas as pd

from crypto_assets.narratives.judged_articles import join_analyses
from crypto_assets.tables.derived_source import DERIVED, SANDBOX_DERIVED, SANDBOX_PREFIX
from crypto_assets.tables.news import ATTENTION_DAYS as PAST_DAYS
from crypto_assets.tables.news import THEMES

DAY = timedelta(days=1)
TOP = 5
COLUMNS = [
    "theme", "date", "available_at", "source", "article_count", "story_count", "share", "share_change_7d", "sentiment",
    "top_symbols", "top_articles",
]  # fmt: skip


def theme_trends(articles: pd.DataFrame, analyses: pd.DataFrame, start: date, end: date) -> pd.DataFrame:
    """Build the rows of ``theme_trends``: every theme on each day in which an analysed article became available.

    ``articles`` and ``analyses`` reach ``tables.news.TRENDS_LOOKBACK_DAYS`` back.
    """
    opened = datetime(start.year, start.month, start.day, tzinfo=timezone.utc) - PAST_DAYS * DAY
    news = join_analyses(articles, analyses).dropna(subset=["theme"])
    day = ((news["available_at"] - opened) // DAY).to_numpy(np.int64)
    days = (end - start).days + 1 + PAST_DAYS
    inside = (day >= 0) & (day < days)
    news, day = news[inside].reset_index(drop=True), day[inside]
    theme = news["theme"].map({name: t for t, name in enumerate(THEMES)}).to_numpy(np.int64)
    story = ~news["repeat"].to_numpy(bool)
    cell = day * len(THEMES) + theme
    judged = story & news[["sentiment", "confidence"]].notna().all(axis=1).to_numpy(bool)
    weight = np.where(judged, news["confidence"].fillna(0.0).to_numpy(float), 0.0)

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(cell, values, minlength=days * len(THEMES)).reshape(days, len(THEMES))

    count, stories, trust = summed(np.ones(len(news))), summed(story.astype(float)), summed(weight)
    tone = summed(weight * news["sentiment"].fillna(0.0).to_numpy(float))
    share = _ratio(stories, stories.sum(axis=1, keepdims=True))
    sandbox = news["source"].astype(str).str.startswith(SANDBOX_PREFIX).to_numpy(bool)
    partly = summed(sandbox.astype(float)).sum(axis=1) > 0
    symbols, ids = _named(news[story].assign(cell=cell[story]))
    shown = [d for d in range(PAST_DAYS, days) if count[d].sum()]
    rows = [
        (
            name, (opened + DAY * d).date(), opened + DAY * (d + 1), SANDBOX_DERIVED if partly[d] else DERIVED,
            int(count[d, t]), int(stories[d, t]), share[d, t], share[d, t] - _usual(share[d - PAST_DAYS : d, t]),
            np.clip(tone[d, t] / trust[d, t], -1, 1) if trust[d, t] > 0 else np.nan,
            symbols.get(d * len(THEMES) + t, []), ids.get(d * len(THEMES) + t, []),
        )
        for d in shown
        for t, name in enumerate(THEMES)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["available_at"] = pd.to_datetime(frame["available_at"], utc=True).astype("datetime64[us, UTC]")
    return frame


def by_theme(trends: pd.DataFrame) -> dict[str, tuple[list[date], list[float | None]]]:
    """Group trends for a chart.

    Args:
        trends: rows of ``theme_trends``.

    Returns:
        Theme -> its days and shares; themes that never had a story are left out.
    """
    series: dict[str, tuple[list[date], list[float | None]]] = {}
    for theme in THEMES:
        rows = trends[(trends["theme"] == theme) & trends["share"].notna()].sort_values("date")
        if (rows["share"] > 0).any():
            series[theme] = (list(rows["date"]), [float(share) for share in rows["share"]])
    return series


def _named(stories: pd.DataFrame) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Return, by cell, the coins that most stories name and the most confident stories.

    Ties in order of their names.
    """
    symbols: dict[int, list[str]] = {}
    ids: dict[int, list[str]] = {}
    ranked = stories.sort_values(["confidence", "article_id"], ascending=[False, True])
    for key, group in ranked.groupby("cell"):
        cell = int(str(key))
        named = Counter(symbol for found in group["symbols"] for symbol in found)
        symbols[cell] = sorted(named, key=lambda symbol: (-named[symbol], symbol))[:TOP]
        ids[cell] = list(group["article_id"][:TOP])
    return symbols, ids


def _usual(shares: np.ndarray) -> float:
    """Return the mean share of the days before; NaN where one of them had no story."""
    return float(shares.mean())  # NaN spreads


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(bottom > 0, top / bottom, np.nan)
