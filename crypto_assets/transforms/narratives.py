"""News by coin and hour: what was said in the 24 hours up to each hour mark, from articles known by then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pandas as pd

from crypto_assets.schemas import THEMES

MARKET = "MARKET"
WINDOW = timedelta(hours=24)
LOOKBACK_DAYS = 1
_SHARES = [f"theme_{theme}_share_24h" for theme in THEMES]
COLUMNS = [
    "symbol", "ts", "date", "available_at", "source", "article_count_24h", "sentiment_24h", "dominant_theme", *_SHARES,
]  # fmt: skip


def aggregate(
    articles: pd.DataFrame, analyses: pd.DataFrame, symbols: Sequence[str], start: date, end: date
) -> pd.DataFrame:
    """Rows of ``narratives`` for MARKET and each symbol, for every hour of the inclusive days in which news was seen.

    An article counts at ts when its ``available_at`` lies in (ts - 24 h, ts]. A coin that no article names has count
    0 and null sentiment. Hours in which no article of the whole market is in the window have no rows: nothing was
    seen, which is not the same as nothing said.
    """
    opened = datetime(start.year, start.month, start.day, tzinfo=timezone.utc)
    hours = ((end - start).days + 1) * 24
    joined = _one_analysis_each(articles, analyses)
    if joined.empty:
        return _empty()
    at = (joined["available_at"] - opened) / timedelta(hours=1)
    first = np.ceil(at.to_numpy()).astype(int)  # the first hour mark at or after the article
    inside = (first < hours) & (first + 24 > 0)
    joined, first = joined[inside], first[inside]
    if joined.empty:
        return _empty()
    names = [MARKET, *symbols]
    grid = _Grid(names, hours)
    for (_, row), begin in zip(joined.iterrows(), first, strict=True):
        grid.add(row, begin)
    sandbox = bool(joined["source"].astype(str).str.startswith("sandbox").any())
    return grid.frame(opened, "sandbox/derived" if sandbox else "derived")


def _empty() -> pd.DataFrame:
    kinds = {"ts": "datetime64[us, UTC]", "available_at": "datetime64[us, UTC]", "article_count_24h": "int64"}
    return pd.DataFrame(columns=COLUMNS).astype(kinds)


def _one_analysis_each(articles: pd.DataFrame, analyses: pd.DataFrame) -> pd.DataFrame:
    """Each article with its best analysis: a model's where it is ok, else the lexicon's; null where there is none."""
    ranked = analyses.assign(
        _rank=(analyses["status"] != "ok").astype(int) * 2 + analyses["analyzer"].astype(str).str.startswith("lexicon")
    )
    best = ranked.sort_values(["article_id", "_rank", "analyzer"]).drop_duplicates("article_id")
    best = best[best["status"] == "ok"]
    columns = ["article_id", "theme", "sentiment", "confidence"]
    joined = articles[["article_id", "available_at", "symbols", "source"]].merge(
        best[columns], on="article_id", how="left"
    )
    return joined.sort_values("article_id").reset_index(drop=True)


class _Grid:
    """Sums over names x hours; every article is added to the 24 hours that see it."""

    def __init__(self, names: list[str], hours: int) -> None:
        self._names = names
        self._position = {name: n for n, name in enumerate(names)}
        shape = (len(names), hours)
        self._count = np.zeros(shape, dtype=np.int64)
        self._weight = np.zeros(shape)
        self._tone = np.zeros(shape)
        self._themes = np.zeros((*shape, len(THEMES)))
        self._trust = np.zeros((*shape, len(THEMES)))  # breaks ties between themes

    def add(self, row: pd.Series, begin: int) -> None:
        span = slice(max(begin, 0), max(begin + 24, 0))
        for name in [MARKET, *row["symbols"]]:
            n = self._position.get(name)
            if n is None:
                continue
            self._count[n, span] += 1
            if pd.notna(row["confidence"]) and pd.notna(row["sentiment"]):
                self._weight[n, span] += row["confidence"]
                self._tone[n, span] += row["confidence"] * row["sentiment"]
            if pd.notna(row["theme"]):
                self._themes[n, span, THEMES.index(row["theme"])] += 1
                self._trust[n, span, THEMES.index(row["theme"])] += (
                    row["confidence"] if pd.notna(row["confidence"]) else 0
                )

    def frame(self, opened: datetime, source: str) -> pd.DataFrame:
        seen = np.flatnonzero(self._count[0] > 0)
        names, hours = np.meshgrid(np.arange(len(self._names)), seen, indexing="ij")
        n, h = names.ravel(), hours.ravel()
        count, weight, themes = self._count[n, h], self._weight[n, h], self._themes[n, h]
        with np.errstate(invalid="ignore", divide="ignore"):
            tone = np.where(weight > 0, np.clip(self._tone[n, h] / weight, -1, 1), np.nan)
            total = themes.sum(axis=1, keepdims=True)
            shares = np.where(total > 0, themes / total, np.nan)
        # Most articles, then most trust, then the order of THEMES.
        best = np.lexsort((-np.arange(len(THEMES)) + np.zeros_like(themes), self._trust[n, h], themes), axis=1)[:, -1]
        ts = pd.Series(pd.to_datetime([opened] * len(h), utc=True)).astype("datetime64[us, UTC]")
        ts = ts + pd.to_timedelta(h, unit="h")
        ts = ts.astype("datetime64[us, UTC]")
        dominant = [THEMES[b] if t > 0 else None for b, t in zip(best, total[:, 0], strict=True)]
        frame = pd.DataFrame(
            {
                "symbol": np.array(self._names, dtype=object)[n],
                "ts": ts,
                "date": ts.dt.date,
                "available_at": ts,
                "source": source,
                "article_count_24h": count,
                "sentiment_24h": tone,
                "dominant_theme": dominant,
            }
        )
        return pd.concat([frame, pd.DataFrame(shares, columns=_SHARES)], axis=1)
