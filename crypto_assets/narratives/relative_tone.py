"""Tone relative to what is usual: of an article against its outlet, and of a coin's hour against its last 30 days.

Outlets differ in their habits, and most of them write kindly of what they report on. What moves is the difference. Sums
run over whole numbers of millionths, so that they are the same to the last bit for every chunk of a backfill.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crypto_assets.tables.news import USUAL_DAYS

LEAST_STORIES = 20  # of the outlet in the days before, without which its usual tone is unknown
LEAST_HOURS = 240  # of the coin in the last days that have a tone, without which the z-score is unknown
MILLIONTH = 1_000_000
_WINDOW = np.timedelta64(USUAL_DAYS, "D")
Array = NDArray[np.float64]


def against_outlet(news: pd.DataFrame) -> Array:
    """Compute the tone of each article less the usual tone of its outlet.

    Args:
        news: a frame with feed, available_at, sentiment (null where unknown) and repeat, from ``USUAL_DAYS`` before the
            first article of interest on.

    Returns:
        sentiment less the mean over the feed's stories that became available in the ``USUAL_DAYS`` before the article;
        NaN where it has no tone, or its feed fewer than ``LEAST_STORIES`` of them.
    """
    found = np.full(len(news), np.nan)
    tone = news["sentiment"].to_numpy(float)
    known = news["available_at"].to_numpy("datetime64[us]")
    counts = ~np.isnan(tone) & ~news["repeat"].to_numpy(bool)
    for place in news.groupby("feed").indices.values():
        kept = place[counts[place]]
        kept = kept[np.argsort(known[kept], kind="stable")]
        moments = known[kept]
        sums = np.concatenate([[0], np.cumsum(_whole(tone[kept]))])
        first = np.searchsorted(moments, known[place] - _WINDOW, "left")
        last = np.searchsorted(moments, known[place], "left")
        number = last - first
        with np.errstate(invalid="ignore", divide="ignore"):
            usual = (sums[last] - sums[first]) / number / MILLIONTH
        found[place] = np.where(number >= LEAST_STORIES, tone[place] - usual, np.nan)
    return found


def zscores(values: Array) -> Array:
    """Compute the z-score of each hour against the last ``USUAL_DAYS``, itself included.

    Args:
        values: names x hours; NaN where unknown.

    Returns:
        The same shape; NaN where fewer than ``LEAST_HOURS`` of the window are known, or all are equal.
    """
    hours = USUAL_DAYS * 24
    known = ~np.isnan(values)
    whole = _whole(np.where(known, values, 0.0))
    number = _window_sums(known.astype(np.int64), hours)
    total, squares = _window_sums(whole, hours), _window_sums(whole * whole, hours)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / number
        variance = (squares - total * mean) / (number - 1)
        score = (whole - mean) / np.sqrt(variance)
    return np.where(known & (number >= LEAST_HOURS) & (variance > 0), score, np.nan)


def _whole(values: Array) -> NDArray[np.int64]:
    return np.rint(values * MILLIONTH).astype(np.int64)


def _window_sums(values: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Sum the last ``width`` values of each row, at each place."""
    sums = np.cumsum(values, axis=1)
    return sums - np.concatenate([np.zeros((len(values), width), dtype=np.int64), sums], axis=1)[:, : values.shape[1]]
