"""Themes by day: by hand, cut anywhere, without a look ahead."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given, settings

from crypto_assets.narratives.trends import by_theme, theme_trends
from crypto_assets.tables.news import TRENDS_LOOKBACK_DAYS
from crypto_assets.tables.schemas import THEME_TRENDS, THEMES
from crypto_assets_tests.narratives.test_narratives import RANDOM, loaded, made, news

DAY = timedelta(days=1)
FIRST = date(2024, 1, 2)
START = datetime(2024, 1, 2, tzinfo=timezone.utc)


def trends(articles: pd.DataFrame, analyses: pd.DataFrame, end: date = FIRST) -> pd.DataFrame:
    found = theme_trends(articles, analyses, FIRST, end)
    THEME_TRENDS.validate(found)
    return found.set_index(["date", "theme"])


STORIES = news(
    ("a", START + timedelta(hours=3), ["BTC"], "security", -0.5, 0.8),
    ("b", START + timedelta(hours=4), ["BTC", "ETH"], "security", 1.0, 0.2),
    ("c", START + timedelta(hours=5), [], "adoption", 0.3, 0.9),
    ("d", START + timedelta(hours=6), ["XRP"], "security", -1.0, 1.0),
    ("e", START + DAY, [], "defi", 0.0, 0.5),
)
STORIES[0].loc[3, "duplicate_of"] = "a"


def test_a_day_by_hand() -> None:
    found = trends(*STORIES, end=FIRST + DAY)
    row = found.loc[(FIRST, "security")]
    assert (row["article_count"], row["story_count"]) == (3, 2)
    assert row["share"] == pytest.approx(2 / 3)
    assert row["sentiment"] == pytest.approx(-0.5 * 0.8 + 1.0 * 0.2)
    assert (row["top_symbols"], row["top_articles"]) == (["BTC", "ETH"], ["a", "b"])
    assert row["available_at"] == START + DAY, "known when the day is over"
    assert pd.isna(row["share_change_7d"]), "there is no day before"
    assert pd.isna(found.loc[(FIRST + DAY, "security"), "share_change_7d"]), "one day is no week"
    assert len(found) == 2 * len(THEMES)
    assert set(by_theme(found.reset_index())) == {"security", "adoption", "defi"}


def test_a_change_is_against_seven_days_with_news() -> None:
    items = [(f"s{n}", START + DAY * n, [], "security" if n % 2 else "defi", 0.0, 0.5) for n in range(8)]
    found = trends(*news(*items), end=FIRST + 7 * DAY)["share_change_7d"]
    assert pd.isna(found.loc[(FIRST + 6 * DAY, "security")]), "six days are too few"
    assert found.loc[(FIRST + 7 * DAY, "security")] == pytest.approx(1 - 3 / 7)


def test_nothing_heard_no_rows() -> None:
    articles, analyses = STORIES
    assert trends(articles.iloc[:0], analyses.iloc[:0]).empty


@settings(max_examples=40, deadline=None)
@given(rows=RANDOM)
def test_the_days_can_be_cut_anywhere(rows: list) -> None:
    articles, analyses = made(rows)
    every = [FIRST + DAY * n for n in range(4)]

    def run(start: date, end: date) -> pd.DataFrame:
        return theme_trends(loaded(articles, start, end, TRENDS_LOOKBACK_DAYS), analyses, start, end)

    whole, parts = run(every[0], every[-1]), pd.concat([run(day, day) for day in every], ignore_index=True)
    THEME_TRENDS.validate(whole)
    pd.testing.assert_frame_equal(whole, parts, check_exact=True, check_dtype=False)


@settings(max_examples=40, deadline=None)
@given(rows=RANDOM)
def test_nothing_later_is_looked_at(rows: list) -> None:
    articles, analyses = made(rows)
    whole = theme_trends(articles, analyses, FIRST, FIRST + 3 * DAY)
    for day in (1, 2, 3):
        moment = START + DAY * day
        early = theme_trends(articles[articles["available_at"] < moment], analyses, FIRST, FIRST + 3 * DAY)
        before = whole[whole["available_at"] <= moment].reset_index(drop=True)
        pd.testing.assert_frame_equal(before, early, check_exact=True, check_dtype=False)
