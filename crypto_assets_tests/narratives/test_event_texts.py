"""What of an event is analysed: one article an outlet, in steps, and nothing that was not known."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl
import pytest

from crypto_assets.narratives.event_texts import lexicon_rows, subjects
from crypto_assets.narratives.llm.text import EVENT_CHARS, TITLE_CHARS
from crypto_assets_tests.narratives.test_events import START, analyses, articles, rows

DAY = START.date()
SUED = ("SEC sues Coinbase over staking programme", "Coinbase sued by US regulator over staking")


def reports(outlets: int, **more: Any) -> pd.DataFrame:
    """The same happening, by outlets a quarter of an hour apart."""
    reported = [(n / 4, f"outlet{n}", SUED[n % 2], f"Report {n} of the regulator's lawsuit.") for n in range(outlets)]
    return articles(*reported).assign(**more)


def read(news: pd.DataFrame, **more: Any) -> list[tuple[str, ...]]:
    return [one.article_ids for one in subjects(rows(news, DAY, DAY).assign(**more), news)]


@pytest.mark.parametrize(("outlets", "step"), [(1, 1), (2, 2), (3, 2), (4, 4), (7, 4), (8, 8), (11, 8)])
def test_an_event_is_read_again_when_it_has_doubled(outlets: int, step: int) -> None:
    assert read(reports(outlets)) == [tuple(f"{n:04d}" for n in range(step))]


def test_the_text_is_the_same_while_it_is_not_read_again() -> None:
    hashes = [subjects(rows(news, DAY, DAY), news)[0].article.content_hash for news in map(reports, (2, 3, 4))]
    assert hashes[0] == hashes[1] != hashes[2]


def test_later_articles_change_nothing_of_the_day() -> None:
    news = reports(12).assign(available_at=lambda frame: START + pd.to_timedelta(frame.index * 5, unit="h"))
    news = news.assign(published_at=news["available_at"], date=news["available_at"].dt.date)
    known = news[news["available_at"].dt.date <= DAY]
    (then,), (now,) = (subjects(rows(shown, DAY, DAY), shown) for shown in (known, news))
    assert then == now
    assert set(then.article_ids) <= set(known["article_id"])


def test_an_outlet_that_repeats_itself_is_read_once() -> None:
    news = articles(*[(n / 10, "loud", SUED[0], f"Part {n}.") for n in range(20)], (3, "calm", SUED[1], "Once."))
    event = rows(news, DAY, DAY)
    assert int(event["article_count"].iloc[0]) > 10
    assert read(news) == [("0000", "0020")]


def test_an_article_that_takes_the_story_back_is_read() -> None:
    news = reports(3)
    news.loc[2, "title"] = "SEC denies it sues Coinbase over staking"
    event = rows(news, DAY, DAY)
    assert event["turned_at"].tolist() == [news["available_at"][2]]
    assert read(news) == [("0000", "0001", "0002")]


def test_a_text_is_bounded() -> None:
    news = reports(8, title=lambda frame: frame["title"] + " word" * 1000, summary="long " * 5000)
    (one,) = subjects(rows(reports(8), DAY, DAY), news)
    assert len(one.article.passages) == 8
    assert len(one.article.text) < EVENT_CHARS + 8 * 3
    assert all(0 < len(passage.title) <= TITLE_CHARS for passage in one.article.passages)


def test_the_lexicon_sums_up_what_it_says_of_the_articles() -> None:
    news = reports(4)
    said = analyses(news).assign(
        theme=["security", "regulation", "regulation", "security"],
        sentiment=pd.Series([-1.0, -0.5, None, 0.0]),
        drivers=pd.Series([["sues"], ["sued", "staking"], ["sued"], []], dtype=object),
    )
    found = subjects(rows(news, DAY, DAY), news)
    key = (DAY, found[0].cells["event_id"])
    (row,) = lexicon_rows(found, pl.from_pandas(said), {key: ["ETH"]})
    assert (row["theme"], row["sentiment"], row["affected_symbols"]) == ("security", -0.5, ["ETH"])
    assert (row["drivers"], row["driver_articles"]) == (["sued", "sues", "staking"], ["0001", "0000", "0001"])
