"""Tone of posts against people's labels, beside VADER: the figures of docs/sources.md, where the recording is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from crypto_assets.narratives.lexicon import word_tone

NEUTRAL = 0.05  # below this VADER's authors call a text neutral


def classes(tones: list[float]) -> np.ndarray:
    return np.where(np.abs(tones) < NEUTRAL, 0, np.sign(tones)).astype(int)


def wilson(right: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z, share = 1.959964, right / of
    middle, half = share + z * z / (2 * of), z * np.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


def test_tone_of_posts_beside_vader(shared: Path) -> None:
    path = shared / "series" / "social" / "crypto_posts_labelled_no_time.csv.gz"
    if not path.exists():
        pytest.skip("the labelled posts are not there")
    posts = pd.read_csv(path).drop_duplicates("text")
    vader = SentimentIntensityAnalyzer()
    labels = posts["label"].to_numpy()
    ours = classes([word_tone(text) for text in posts["text"]]) == labels
    theirs = classes([vader.polarity_scores(text)["compound"] for text in posts["text"]]) == labels
    low, high = wilson(int(ours.sum()), len(posts))
    assert low < ours.mean() < high and ours.mean() >= 0.49
    assert ours.mean() >= theirs.mean(), "the words of the trade cost nothing on posts"
