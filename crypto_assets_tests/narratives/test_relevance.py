"""Relevance: evergreen titles, outlets' habits, and that nothing later and no cut of the days counts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest

from crypto_assets.narratives.evergreen import is_evergreen
from crypto_assets.narratives.relevance import relevance
from crypto_assets.tables.news import EVERGREEN, HABIT_DAYS, NEWS, OFF_TOPIC

START = datetime(2025, 7, 11, tzinfo=timezone.utc)
ABOUT, OTHER, UNCLEAR = "Bitcoin miners move to Texas", "Mayor opens a bridge", "Harbor loses 84 million to attackers"


def articles(*rows: tuple[float, str, str]) -> pd.DataFrame:
    """(days after START, feed, title) as rows of ``news_articles``."""
    frame = pd.DataFrame(rows, columns=["days", "feed", "title"])
    at = pd.Series([START + timedelta(days=days) for days in frame["days"]], dtype="datetime64[us, UTC]")
    symbols = pd.Series([["BTC"] if "Bitcoin" in title else [] for title in frame["title"]], dtype=object)
    return frame.assign(available_at=at, date=at.dt.date, summary=None, symbols=symbols)


def habits() -> pd.DataFrame:
    """A week of an outlet of this market and of a general one, and then one unclear article of each and of a new outlet."""
    week = [(day + n / 10, feed, title) for day in range(HABIT_DAYS) for n in range(3)
            for feed, title in (("wire", ABOUT), ("daily", ABOUT if n == 0 else OTHER))]  # fmt: skip
    return articles(*week, *((HABIT_DAYS + 0.5, feed, UNCLEAR) for feed in ("wire", "daily", "new")))


def test_an_outlets_habit_decides_where_the_text_does_not() -> None:
    found = relevance(habits())
    assert found[-3:] == [NEWS, OFF_TOPIC, OFF_TOPIC], "an outlet without articles has the habit of all of them"
    assert relevance(articles((0, "new", UNCLEAR))) == [NEWS], "without any article before, an outlet is trusted"
    assert relevance(articles((0, "new", "Manchester derby ends in a draw"))) == [OFF_TOPIC]


def test_neither_later_articles_nor_the_order_nor_the_cut_of_the_days_count() -> None:
    known = habits()
    later = pd.concat(
        [known, articles(*((HABIT_DAYS + 1.0, feed, OTHER) for feed in ("wire", "new") for _ in range(30)))]
    )
    assert relevance(later.reset_index(drop=True))[: len(known)] == relevance(known)
    mixed = known.sample(frac=1.0, random_state=1)
    assert dict(zip(mixed.index, relevance(mixed), strict=True)) == dict(enumerate(relevance(known)))
    cut = known[known["date"] >= START.date() + timedelta(days=1)]
    assert relevance(cut)[-1] == relevance(known)[-1]
    older = pd.concat([articles(*((-20.0, "daily", ABOUT) for _ in range(50))), known]).reset_index(drop=True)
    assert relevance(older)[-3:] == relevance(known)[-3:]


def test_an_article_that_was_seen_late_does_not_count_before() -> None:
    known = habits()
    hidden = known.assign(
        available_at=known["available_at"].where(known["feed"] != "daily", known["available_at"].max())
    )
    assert relevance(hidden)[-2] == NEWS, "the general outlet was not known to be general"


def test_a_stored_value_stands_and_a_missing_one_is_computed() -> None:
    rows = articles((0, "wire", ABOUT), (0, "wire", "How to buy Bitcoin: a guide"))
    assert relevance(rows.assign(relevance=pd.Series([OFF_TOPIC, None], dtype=object))) == [OFF_TOPIC, EVERGREEN]


@pytest.mark.parametrize(
    ("title", "evergreen"),
    [
        ("Verge Trading Down 5 . 2 % Over Last 7 Days ( XVG )", True),
        ("Celo Price Tops $1.20 on Top Exchanges (CELO)", True),
        ("Cardano (ADA) One Day Trading Volume Reaches $243.38 Million", True),
        ("Bitcoin price hits $50,000", False),
        ("Bitcoin (BTC) price hits $50K as ETF nears approval", False),
        ("CLASS ACTION UPDATE for ARBK and RVYL: law firm reminds investors of class actions", True),
        ("Investors file class action against Coinbase", False),
        ("Twitter board urges investors to vote in favor of the deal", False),
        ("First Mover Asia: Bitcoin steadies", True),
        ("Tag: Cryptocurrency – City Television", True),
        ("XLM Price Index and Live Chart", True),
    ],
)
def test_titles_that_report_no_happening(title: str, evergreen: bool) -> None:
    assert is_evergreen(title) is evergreen
