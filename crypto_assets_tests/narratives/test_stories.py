"""Near-duplicates: linked to the earliest known one, never to a later one, however the days are cut."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_assets.catalog import all_coins
from crypto_assets.narratives.stories import WINDOW_DAYS
from crypto_assets.narratives.tagging import tag_articles

DAY = timedelta(days=1)
START = datetime(2024, 1, 10, tzinfo=timezone.utc)
TITLE = "Lender halts withdrawals after run on deposits"


def feed_items(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    """(feed, title, url, hours after START)."""
    frame = pd.DataFrame([row[:3] for row in rows], columns=["feed", "title", "url"])
    moments = [START + timedelta(hours=row[3]) for row in rows]
    frame["published_at"] = pd.Series(moments, dtype="datetime64[us, UTC]")
    return frame.assign(summary="", source="rss", language=None, out_by=frame["published_at"])


def linked(frame: pd.DataFrame, start: date | None = None, end: date | None = None) -> dict[str, str | None]:
    """Address -> address of the article that it repeats."""
    first, last = start or START.date(), end or START.date() + 9 * DAY
    found = tag_articles(frame, all_coins(), first, last)
    url = dict(zip(found["article_id"], found["url"], strict=True))
    return {row.url: url.get(row.duplicate_of) for row in found.itertuples()}


@pytest.mark.parametrize(
    ("title", "hours"),
    [
        (TITLE, 1),
        ("LENDER HALTS WITHDRAWALS AFTER A RUN ON ITS DEPOSITS", 1),
        ("Lender halts withdrawals after run on deposits: report", 20),
        ("Lender halts withdrawals after the run on deposits", 24 * WINDOW_DAYS),
    ],
)
def test_a_repeat_is_linked_to_the_first(title: str, hours: float) -> None:
    frame = feed_items(("a", TITLE, "https://a.com/1", 0), ("b", title, "https://b.com/1", hours))
    assert linked(frame) == {"https://a.com/1": None, "https://b.com/1": "https://a.com/1"}


@pytest.mark.parametrize(
    ("first", "second", "hours"),
    [
        (TITLE, "Lender resumes withdrawals a week later", 1),
        (TITLE, TITLE, 24 * WINDOW_DAYS + 1),  # too long ago
        ("Price of the day falls under 30,000 dollars", "Price of the day falls under 40,000 dollars", 1),
        ("Fund adds Bitcoin to its long term holdings", "Fund adds Ethereum to its long term holdings", 1),
        ("Markets fall", "Markets rise", 1),  # short titles must be equal
        ("Markets fall", "Markets fall today", 1),
    ],
)
def test_another_story_is_not(first: str, second: str, hours: float) -> None:
    frame = feed_items(("a", first, "https://a.com/1", 0), ("b", second, "https://b.com/1", hours))
    assert set(linked(frame).values()) == {None}


def test_a_column_with_a_standing_title_is_not_a_repeat_of_itself() -> None:
    frame = feed_items(("a", "What happened in crypto today", "https://a.com/1", 0),
                       ("a", "What happened in crypto today", "https://a.com/2", 24))  # fmt: skip
    assert set(linked(frame.assign(summary=["A court ruled.", "A bridge was drained."])).values()) == {None}
    assert linked(frame.assign(summary="The same."))["https://a.com/2"] == "https://a.com/1"


def test_an_edited_headline_is_the_same_article() -> None:
    frame = feed_items(("a", "Lender halts withdrawals", "https://a.com/1", 0),
                       ("a", "Lender halts all withdrawals, shares fall", "https://a.com/1", 1),
                       ("a", "An unrelated headline at the address of the front page", "https://a.com/1", 2))  # fmt: skip
    found = tag_articles(frame, all_coins(), START.date(), START.date())
    titles = dict(zip(found["article_id"], found["title"], strict=True))
    assert {row.title: titles.get(row.duplicate_of) for row in found.itertuples()} == {
        "Lender halts withdrawals": None,
        "Lender halts all withdrawals, shares fall": "Lender halts withdrawals",
        "An unrelated headline at the address of the front page": None,
    }


WORDS = ["court", "bank", "fund", "rally", "hack", "bridge", "vote", "fork", "miner", "lender"]
ITEMS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=7).map(" ".join),
        st.integers(0, 30).map(lambda n: f"https://x.com/{n}"),
        st.integers(0, 24 * 6),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(rows=ITEMS)
def test_the_days_can_be_cut_anywhere(rows: list[tuple[str, str, str, float]]) -> None:
    frame = feed_items(*rows)
    whole = tag_articles(frame, all_coins(), START.date(), START.date() + 6 * DAY)
    parts = [tag_articles(frame, all_coins(), day, day) for day in (START.date() + DAY * n for n in range(7))]
    again = pd.concat(parts).sort_values("article_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(whole, again, check_dtype=False)


@settings(max_examples=60, deadline=None)
@given(rows=ITEMS, cut=st.integers(0, 24 * 6))
def test_what_becomes_known_later_changes_nothing_before(rows: list[tuple[str, str, str, float]], cut: int) -> None:
    frame = feed_items(*rows)
    moment = START + timedelta(hours=cut)
    whole = tag_articles(frame, all_coins(), START.date(), START.date() + 6 * DAY)
    early = tag_articles(frame[frame["published_at"] <= moment], all_coins(), START.date(), START.date() + 6 * DAY)
    before = whole[whole["available_at"] <= moment].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, early, check_dtype=False)
    known = dict(zip(whole["article_id"], whole["available_at"], strict=True))
    for row in whole.dropna(subset=["duplicate_of"]).itertuples():
        assert known[row.duplicate_of] <= row.available_at
