"""Narratives by hand: counts, confidence-weighted tone and theme shares, seen only from when they were known."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest

from crypto_assets.schemas import NARRATIVES, THEMES
from crypto_assets.transforms.narratives import MARKET, aggregate

DAY = date(2024, 1, 2)
START = datetime(2024, 1, 2, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def news(*rows: tuple[str, datetime, list[str], str, float, float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(id, known at, coins, theme, sentiment, confidence)."""
    frame = pd.DataFrame(rows, columns=["article_id", "available_at", "symbols", "theme", "sentiment", "confidence"])
    frame["available_at"] = frame["available_at"].astype("datetime64[us, UTC]")
    frame = frame.assign(source="rss", analyzer="lexicon-1", status="ok")
    return frame[["article_id", "available_at", "symbols", "source"]], frame.drop(columns=["symbols"])


def narratives(articles: pd.DataFrame, analyses: pd.DataFrame, **more) -> pd.DataFrame:
    found = aggregate(articles, analyses, ["BTC", "ETH"], more.get("start", DAY), more.get("end", DAY))
    NARRATIVES.validate(found)
    return found.set_index(["symbol", "ts"])


TWO = (
    ("a", START + HOUR * 3, ["BTC"], "security", -0.5, 0.8),
    ("b", START + HOUR * 4 + timedelta(minutes=1), ["BTC", "ETH"], "adoption", 1.0, 0.2),
)


def test_an_article_counts_from_the_first_mark_at_which_it_was_known() -> None:
    found = narratives(*news(*TWO))
    count = found["article_count_24h"]
    assert (MARKET, START + HOUR * 2) not in found.index, "nothing was seen yet"
    assert count[(MARKET, START + HOUR * 3)] == 1
    assert count[(MARKET, START + HOUR * 4)] == 1
    assert count[(MARKET, START + HOUR * 5)] == 2
    assert count[("ETH", START + HOUR * 4)] == 0


def test_tone_is_weighted_by_confidence_and_null_where_nothing_was_said() -> None:
    found = narratives(*news(*TWO))
    assert found.loc[("BTC", START + HOUR * 5), "sentiment_24h"] == pytest.approx((-0.5 * 0.8 + 1.0 * 0.2) / 1.0)
    assert pd.isna(found.loc[("ETH", START + HOUR * 4), "sentiment_24h"])


def test_theme_shares_and_the_dominant_one() -> None:
    row = narratives(*news(*TWO)).loc[("BTC", START + HOUR * 6)]
    shares = {theme: row[f"theme_{theme}_share_24h"] for theme in THEMES}
    assert shares == {theme: 0.5 if theme in ("security", "adoption") else 0.0 for theme in THEMES}
    assert row["dominant_theme"] == "security", "at a tie the theme of more confidence"


def test_an_article_leaves_the_window_after_24_hours() -> None:
    found = narratives(*news(TWO[0]), start=DAY, end=DAY + timedelta(days=1))
    count = found["article_count_24h"]
    assert count[(MARKET, START + HOUR * 26)] == 1
    assert (MARKET, START + HOUR * 27) not in found.index


def test_yesterdays_article_is_seen_when_only_today_is_asked() -> None:
    early = ("z", START - HOUR * 2, ["BTC"], "defi", 0.1, 0.5)
    both = narratives(*news(early), start=DAY - timedelta(days=1), end=DAY)
    today = narratives(*news(early))
    pd.testing.assert_frame_equal(today, both.loc[both.index.get_level_values("ts") >= START])


def test_what_becomes_known_later_changes_only_later_hours() -> None:
    late = ("c", START + HOUR * 10, ["BTC"], "regulation", -1.0, 1.0)
    before, after = narratives(*news(*TWO)), narratives(*news(*TWO, late))
    early = before.index.get_level_values("ts") < START + HOUR * 10
    pd.testing.assert_frame_equal(before[early], after[after.index.get_level_values("ts") < START + HOUR * 10])
    assert after.loc[("BTC", START + HOUR * 10), "article_count_24h"] == 3


def test_a_models_analysis_goes_before_the_lexicons() -> None:
    articles, analyses = news(TWO[0])
    model = analyses.assign(analyzer="ollama/llama3.2:3b", theme="defi", sentiment=0.9, confidence=1.0)
    found = narratives(articles, pd.concat([analyses, model]))
    assert found.loc[("BTC", START + HOUR * 5), "dominant_theme"] == "defi"
    failed = model.assign(status="timeout", theme=None, sentiment=None, confidence=None)
    found = narratives(articles, pd.concat([analyses, failed]))
    assert found.loc[("BTC", START + HOUR * 5), "dominant_theme"] == "security"


def test_no_news_no_rows() -> None:
    articles, analyses = news(TWO[0])
    assert narratives(articles.iloc[:0], analyses.iloc[:0]).empty
