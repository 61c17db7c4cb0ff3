"""Narratives by hand: counts, confidence-weighted tone and theme shares, seen only from when they were known."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_assets.narratives.narratives import MARKET, aggregate
from crypto_assets.narratives.relative_tone import LEAST_STORIES
from crypto_assets.tables.news import NARRATIVES_LOOKBACK_DAYS
from crypto_assets.tables.registry import LOOK_BACK
from crypto_assets.tables.schemas import NARRATIVES, THEMES

DAY = date(2024, 1, 2)
START = datetime(2024, 1, 2, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def news(*rows: tuple[str, datetime, list[str], str, float, float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(id, known at, coins, theme, sentiment, confidence)."""
    frame = pd.DataFrame(rows, columns=["article_id", "available_at", "symbols", "theme", "sentiment", "confidence"])
    frame["available_at"] = frame["available_at"].astype("datetime64[us, UTC]")
    frame = frame.assign(
        source="rss", feed="a", analyzer="lexicon-1", status="ok", published_at=frame["available_at"], duplicate_of=None
    ).assign(title=frame["article_id"])
    names = ["article_id", "available_at", "published_at", "symbols", "source", "feed", "title", "duplicate_of"]
    return frame[names], frame.drop(columns=["symbols"])


def alone(articles: pd.DataFrame) -> pd.DataFrame:
    """``news_events`` in which each article that repeats none is an event, together with its repeats."""
    founder = articles["duplicate_of"].where(articles["duplicate_of"].notna(), articles["article_id"])
    found = articles.assign(event_id=founder, day=articles["available_at"].dt.date)
    days = found.sort_values(["available_at", "article_id"]).groupby(["event_id", "day"], as_index=False)
    found = days.agg(articles=("article_id", list), new_article_count=("article_id", "count"))
    return found.rename(columns={"day": "date"})


def narratives(articles: pd.DataFrame, analyses: pd.DataFrame, **more) -> pd.DataFrame:
    events = more.get("events", alone(articles))
    found = aggregate(articles, analyses, events, ["BTC", "ETH"], more.get("start", DAY), more.get("end", DAY))
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


def test_a_repeat_counts_as_an_article_and_not_as_a_story() -> None:
    again = ("c", START + HOUR * 5, ["BTC"], "security", -1.0, 1.0)
    articles, analyses = news(*TWO, again)
    articles.loc[articles["article_id"] == "c", "duplicate_of"] = "a"
    row, alone = (narratives(*both).loc[("BTC", START + HOUR * 6)] for both in ((articles, analyses), news(*TWO)))
    assert (row["article_count_24h"], row["story_count_24h"]) == (3, 2)
    same = [name for name in row.index if name != "article_count_24h"]
    pd.testing.assert_series_equal(row[same], alone[same])


def test_stories_are_events_whose_newest_article_is_in_the_window() -> None:
    reports = [
        (str(n), START + HOUR * at, ["BTC"] if n else ["ETH"], "security", 0.1, 0.5)
        for n, at in enumerate((1, 5, 20, 22))
    ]
    articles, analyses = news(*reports)
    events = pd.DataFrame(
        [("x", DAY, ["0", "1", "2"], 3)], columns=["event_id", "date", "articles", "new_article_count"]
    )  # article 3 is a guide and in no event
    found = narratives(articles, analyses, events=events, end=DAY + timedelta(days=1))["story_count_24h"]
    assert [found[(MARKET, START + HOUR * h)] for h in (1, 5, 20, 22, 29, 43)] == [1] * 6
    assert found[(MARKET, START + HOUR * 44)] == found[(MARKET, START + HOUR * 45)] == 0, "the guide alone is left"
    assert [found[("ETH", START + HOUR * h)] for h in (1, 24, 25)] == [1, 1, 0]
    assert [found[("BTC", START + HOUR * h)] for h in (4, 5, 43, 44)] == [0, 1, 1, 0]


def test_weights_halve_every_six_hours() -> None:
    row = narratives(*news(*TWO)).loc[("BTC", START + HOUR * 16)]
    old, young = 0.8 * 0.5 ** (13 / 6), 0.2 * 0.5 ** ((12 - 1 / 60) / 6)
    assert row["sentiment_decayed_24h"] == pytest.approx((-0.5 * old + 1.0 * young) / (old + young))
    assert row["sentiment_24h"] == pytest.approx(-0.2)
    assert list(row["top_articles"]) == ["a", "b"]


def test_momentum_is_today_against_yesterday() -> None:
    before = ("y", START - HOUR * 20, ["BTC"], "defi", 0.4, 0.5)
    first = ("x", START - HOUR * 24 * 9, ["XRP"], "defi", 0.4, 0.5)
    assert narratives(*news(before, *TWO))["attention_7d"].isna().all(), "a week before nothing was known"
    found = narratives(*news(before, first, *TWO))
    row = found.loc[("BTC", START + HOUR * 5)]
    assert row["sentiment_momentum_24h"] == pytest.approx(-0.2 - 0.4)
    assert row["attention_7d"] == pytest.approx(2 / (1 / 7))
    assert pd.isna(found.loc[("ETH", START + HOUR * 5), "sentiment_momentum_24h"])
    assert pd.isna(found.loc[("ETH", START + HOUR * 5), "attention_7d"]), "nobody spoke of it in the week before"


def test_novelty_is_the_share_of_words_not_heard_for_a_week() -> None:
    moments = [START - timedelta(days=8), START - timedelta(days=3), START + HOUR]
    articles, analyses = news(*((str(n), at, ["BTC"], "defi", 0.1, 0.5) for n, at in enumerate(moments)))
    articles["title"] = ["bridge drained overnight", "court ruling", "bridge ruling appealed today"]
    row = narratives(articles, analyses).loc[(MARKET, START + HOUR)]
    assert row["novelty_7d"] == pytest.approx(3 / 4), "'ruling' was heard three days ago, 'bridge' eight days ago"
    (only,) = narratives(articles.iloc[2:], analyses).loc[MARKET].head(1)["novelty_7d"]
    assert pd.isna(only), "nothing was heard before that could be compared"


def test_what_is_seen_two_days_late_is_no_news() -> None:
    articles, analyses = news(*TWO)
    articles["published_at"] = articles["available_at"] - timedelta(hours=48, minutes=1)
    assert narratives(articles, analyses).empty


RANDOM = st.lists(
    st.tuples(
        st.integers(-11 * 24 * 60, 4 * 24 * 60).map(lambda m: START + timedelta(minutes=m)),
        st.sets(st.sampled_from(["BTC", "ETH", "XRP"])).map(sorted),
        st.sampled_from(THEMES),
        st.floats(-1, 1),
        st.floats(0, 1),
        st.integers(0, 60),  # hours until it was seen
        st.sampled_from(["court", "bank", "fund", "rally", "hack", "bridge"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=30,
)


def made(rows: list) -> tuple[pd.DataFrame, pd.DataFrame]:
    articles, analyses = news(*((f"{n:02}", *row[:5]) for n, row in enumerate(rows)))
    articles["title"] = [f"{row[6]} {n % 5}" for n, row in enumerate(rows)]
    articles["published_at"] = articles["available_at"] - pd.to_timedelta([row[5] for row in rows], unit="h")
    articles["date"] = articles["published_at"].dt.date
    articles["duplicate_of"] = ["00" if row[7] and n else None for n, row in enumerate(rows)]
    return articles, analyses


def loaded(articles: pd.DataFrame, start: date, end: date, reach: int) -> pd.DataFrame:
    """The rows that a run of these days loads: by day of publication, so many days back."""
    return articles[(articles["date"] >= start - timedelta(days=reach)) & (articles["date"] <= end)]


def recent(articles: pd.DataFrame, start: date, end: date) -> pd.DataFrame:
    """The rows of ``news_events`` that a run of these days loads."""
    events = alone(articles)
    back = LOOK_BACK["narratives"]["news_events"]
    return events[(events["date"] >= start - timedelta(days=back)) & (events["date"] <= end)]


@settings(max_examples=40, deadline=None)
@given(rows=RANDOM)
def test_the_days_can_be_cut_anywhere(rows: list) -> None:
    articles, analyses = made(rows)
    every = [DAY + timedelta(days=n) for n in range(4)]

    def run(start: date, end: date) -> pd.DataFrame:
        return aggregate(
            loaded(articles, start, end, NARRATIVES_LOOKBACK_DAYS),
            analyses,
            recent(articles, start, end),
            ["BTC", "ETH"],
            start,
            end,
        )

    key = ["symbol", "ts"]
    whole = run(every[0], every[-1]).sort_values(key).reset_index(drop=True)
    NARRATIVES.validate(whole)
    parts = pd.concat([run(day, day) for day in every]).sort_values(key).reset_index(drop=True)
    pd.testing.assert_frame_equal(whole, parts, check_exact=True, check_dtype=False)


@settings(max_examples=40, deadline=None)
@given(rows=RANDOM, cut=st.integers(0, 4 * 24))
def test_nothing_later_is_looked_at(rows: list, cut: int) -> None:
    articles, analyses = made(rows)
    moment, end = START + HOUR * cut, DAY + timedelta(days=3)
    whole = aggregate(articles, analyses, alone(articles), ["BTC", "ETH"], DAY, end)
    known = articles[articles["available_at"] <= moment]
    early = aggregate(known, analyses, alone(known), ["BTC", "ETH"], DAY, end)
    pd.testing.assert_frame_equal(
        whole[whole["ts"] <= moment].sort_values(["symbol", "ts"]).reset_index(drop=True),
        early[early["ts"] <= moment].sort_values(["symbol", "ts"]).reset_index(drop=True),
        check_exact=True,
        check_dtype=False,
    )


@pytest.fixture(scope="module")
def outlets() -> tuple[pd.DataFrame, pd.DataFrame]:
    """70 days of a cheerful outlet and a gloomy one, an article of each an hour, with a day that differs at the end."""
    rng, rows = np.random.default_rng(3), []
    for hour in range(-66 * 24, 4 * 24):
        for feed, habit in (("cheerful", 0.6), ("gloomy", -0.4)):
            tone = float(np.clip(habit + rng.normal(0, 0.1) + (0.3 if 0 <= hour < 12 else 0.0), -1, 1))
            theme = "market_structure" if rng.random() < 0.7 or not 0 <= hour < 24 else "security"
            rows.append((f"{feed}{hour + 2000}", START + HOUR * hour, ["BTC"], theme, tone, float(rng.random()), feed))
    articles, analyses = news(*(row[:6] for row in rows))
    articles["feed"], articles["date"] = [row[6] for row in rows], articles["published_at"].dt.date
    return articles, analyses


def test_tone_is_against_the_habit_of_the_outlet(outlets: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = narratives(*outlets, end=DAY + timedelta(days=3)).loc["BTC"]
    good, plain = found.loc[START + HOUR * 11], found.loc[START + HOUR * 80]
    assert good["sentiment_relative_24h"] == pytest.approx(0.3 * (1 - 0.5**2), abs=0.08)
    assert plain["sentiment_relative_24h"] == pytest.approx(0.0, abs=0.06)
    assert good["sentiment_zscore_30d"] > 3
    assert found["sentiment_zscore_30d"].notna().all()
    assert (found["sentiment_relative_24h"] > 0).any() and (found["sentiment_relative_24h"] < 0).any()


def test_relative_tone_is_null_where_history_is_short(outlets: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    articles, analyses = outlets
    recent = articles[articles["available_at"] >= START - HOUR * 30]
    found = narratives(recent, analyses).loc["BTC"]
    assert found["sentiment_zscore_30d"].isna().all()
    assert found["attention_7d"].isna().all()
    first = narratives(articles[articles["available_at"] >= START], analyses).loc["BTC"]
    assert first["sentiment_relative_24h"].isna()[: LEAST_STORIES - 1].all()
    assert first["sentiment_relative_24h"].notna().iloc[-1]


def test_the_dominant_theme_is_the_unusual_one(outlets: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = narratives(*outlets, end=DAY + timedelta(days=3)).loc["BTC"]
    row = found.loc[START + HOUR * 20]
    assert row["theme_market_structure_share_24h"] > row["theme_security_share_24h"]
    assert row["dominant_theme"] == "security"
    assert found.loc[START + HOUR * 90, "dominant_theme"] == "market_structure"


def test_relative_columns_are_the_same_however_the_days_are_cut(outlets: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    articles, analyses = outlets
    key, every = ["symbol", "ts"], [DAY + timedelta(days=n) for n in range(3)]

    def run(start: date, end: date) -> pd.DataFrame:
        return aggregate(
            loaded(articles, start, end, NARRATIVES_LOOKBACK_DAYS),
            analyses,
            recent(articles, start, end),
            ["BTC"],
            start,
            end,
        )

    whole = run(every[0], every[-1]).sort_values(key, ignore_index=True)
    parts = pd.concat([run(day, day) for day in every]).sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(whole, parts, check_exact=True, check_dtype=False)


def test_no_news_no_rows() -> None:
    articles, analyses = news(TWO[0])
    assert narratives(articles.iloc[:0], analyses.iloc[:0]).empty
