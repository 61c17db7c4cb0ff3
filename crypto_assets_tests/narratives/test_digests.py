"""The day in words: by hand, from events that real articles give, cut anywhere, with nothing that no table says."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest

from crypto_assets.narratives.digest_entries import TITLE_CHARS
from crypto_assets.narratives.digests import as_markdown, theme_digests
from crypto_assets.narratives.event_rows import news_events
from crypto_assets.narratives.past_reactions import LEAST
from crypto_assets.tables.digests import EVENTS_SHOWN
from crypto_assets.tables.events import EVENT_REACTIONS, NEWS_EVENTS
from crypto_assets.tables.schemas import THEME_DIGESTS, THEME_TRENDS
from crypto_assets_tests.narratives.test_events import analyses, articles

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FIRST = date(2025, 7, 11)
START = datetime(2025, 7, 11, tzinfo=timezone.utc)
HOSTILE = "Bridge “drained” [x](http://evil) <script>"


def empty(contract: Any) -> pd.DataFrame:
    return contract.empty().to_pandas()


def listed(*rows: tuple[float, str, str, str | None]) -> pd.DataFrame:
    """(hours after START, feed, title, address) as articles a0, a1, …"""
    frame = pd.DataFrame(rows, columns=["hours", "feed", "title", "url"])
    at = pd.Series([START + hours * HOUR for hours in frame["hours"]], dtype="datetime64[us, UTC]")
    return frame.assign(article_id=[f"a{n}" for n in frame.index], available_at=at, summary=None)


def event(name: str, members: list[str], news: pd.DataFrame, **more: Any) -> dict[str, Any]:
    of = news.set_index("article_id").loc[members]
    first, last = of["available_at"].iloc[0], of["available_at"].iloc[-1]
    outlets = list(dict.fromkeys(of["feed"]))
    return {
        "event_id": name, "date": FIRST, "available_at": last, "source": "derived", "first_seen": first,
        "headline": of["title"].iloc[0], "outlets": outlets, "outlet_count": len(outlets), "articles": members,
        "article_count": len(members), "new_article_count": sum(of["available_at"] >= START), "symbols": ["ETH"],
        "theme": "security", "tone": -0.5, "velocity": 0.1, "turned_at": pd.NaT, "first_symbols": ["ETH"],
        "first_theme": "security", "first_tone": -0.5, "pit_quality": "final", **more,
    }  # fmt: skip


def reactions(*returns: float, known: datetime = START, symbol: str = "ETH") -> pd.DataFrame:
    """Reactions to bad security news of the weeks before."""
    return pd.DataFrame(
        {
            "symbol": symbol, "horizon": 24, "theme": "security", "direction": -1, "available_at": known,
            "first_seen": known - 2 * DAY, "return": 0.5, "abnormal_return": returns,
        }
    )  # fmt: skip


NEWS = listed(
    (-20, "wire", "Exchange drained of 40 million", "https://n.example/0"),
    (3, "desk", "Exchange loses 40 million to hackers", "https://n.example/1>"),
    (5, "wire", HOSTILE, None),
    (6, "wire", "Fund approved", "https://n.example/3"),
    (7, "desk", "Regulator denies that fund was approved", "https://n.example/4"),
)
EVENTS = pd.DataFrame(
    [
        event("x", ["a0", "a1"], NEWS),
        event("y", ["a2"], NEWS, symbols=["BTC", "ETH"], tone=0.1, first_symbols=[]),
        event("z", ["a3", "a4"], NEWS, theme="regulation", headline=NEWS["title"][4], turned_at=START + 7 * HOUR),
    ]
)


def written(events: pd.DataFrame = EVENTS, past: pd.DataFrame | None = None, **changes: float) -> pd.DataFrame:
    trends = empty(THEME_TRENDS)
    if changes:
        trends = pd.DataFrame([{"date": FIRST, "theme": name, "share_change_7d": by} for name, by in changes.items()])
    found = theme_digests(events, trends, NEWS, empty(EVENT_REACTIONS) if past is None else past)
    THEME_DIGESTS.validate(found)
    return found


def test_a_day_by_hand() -> None:
    found = written(past=reactions(-0.03, -0.02, -0.01, 0.01, 0.02), security=0.05)
    assert list(found["theme"]) == ["regulation", "security"], (
        "two outlets reported one event of regulation on that day"
    )
    first = found.iloc[1]
    assert first["digest"] == (
        "Security: 2 of 3 events. Share of stories +5 points against 7 days before. Tone -0.20. Coins: ETH, BTC. "
        "“Bridge ‘drained’ [x](http://evil) <script>” (new; wire; BTC, ETH). "
        "“Exchange drained of 40 million” (since 2025-07-10; 2 outlets, first wire; ETH). "
        "After such events of the 60 days before, coins against BTC: -1.0% in 24 hours (median of 5); "
        "60% went the way of the tone."
    )
    assert (first["article_ids"], first["links"]) == (["a2", "a0"], ["", "https://n.example/0"])
    assert first["available_at"] == START + DAY


def test_what_is_said_already_is_not_said_again_and_questions_come_last() -> None:
    news = listed(
        (1, "wire", "El Salvador adopts Bitcoin amid glitches", None),
        (2, "desk", "Glitches plague Bitcoin rollout in El Salvador", None),
        (3, "desk", "Exchange hacked for 40 million", None),
        (4, "post", "Exchange hacked for 90 million", None),
        (5, "post", "Is Bitcoin dead?", None),
        (6, "wire", "Is Bitcoin dead?", None),
    )
    members = (["a0"], ["a1"], ["a2"], ["a3"], ["a4", "a5"])
    events = pd.DataFrame([event(f"e{n}", names, news) for n, names in enumerate(members)])
    past = reactions(-0.03, -0.02, -0.01, 0.01, 0.02)
    (row,) = theme_digests(events, empty(THEME_TRENDS), news, past).itertuples()
    assert row.article_ids == ["a0", "a2", "a3"], "the rollout once, two hacks are two, and the question is left out"
    assert row.digest.count("After such events") == 1


def test_headlines_that_contradict_each_other_are_one_entry() -> None:
    regulation = written().set_index("theme").loc["regulation"]
    assert regulation["digest"].endswith(
        "“Fund approved” (new; 2 outlets, first wire; ETH). Then: “Regulator denies that fund was approved” (desk)."
    )
    assert regulation["article_ids"] == ["a3", "a4"]


@pytest.mark.parametrize(
    "past",
    [
        reactions(*[-0.01] * (LEAST - 1)),
        reactions(*[-0.01] * LEAST, known=START + DAY + timedelta(seconds=1)),
        reactions(*[-0.01] * LEAST, known=START - 60 * DAY),
        reactions(*[-0.01] * LEAST, symbol="BTC"),
        reactions(*[-0.01] * LEAST).assign(direction=1),
    ],
    ids=["too few", "known later", "too old", "of BTC", "of good news"],
)
def test_what_followed_is_said_of_enough_reactions_of_the_kind_that_were_known(past: pd.DataFrame) -> None:
    assert not written(past=past)["digest"].str.contains("After such events").any()


def test_without_a_week_of_stories_nothing_is_said_of_a_change() -> None:
    for found in (written(), written(security=float("nan"))):
        assert not found["digest"].str.contains("points").any()


def test_a_title_cannot_make_a_link_or_a_tag_of_its_own() -> None:
    text = as_markdown(written())
    assert r"\[x\](http://evil) \<script\>" in text
    assert "[2](<https://n.example/0>)" in text
    assert as_markdown(written().iloc[:0]) == ""


def test_other_stands_alone_or_not_at_all() -> None:
    alone = EVENTS.assign(theme=None)
    assert list(written(alone)["theme"]) == ["other"]
    assert "other" not in set(written(EVENTS.assign(theme=["other", "other", "defi"]))["theme"])


@pytest.fixture(scope="module")
def busy() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three days of 400 articles: each happening in five outlets, guides, and titles that nobody would write."""
    reports = ("{coin} exchange hacked for {n} million", "Hackers drain {n} million from {coin} exchange",
            "{n} million stolen in {coin} exchange hack", "{coin} exchange loses {n} million to hackers",
            "{coin} exchange: report of {n} million hack was false")  # fmt: skip
    coins = ("Bitcoin", "Ethereum", "Solana", "Cardano", "Polkadot", "Dogecoin", "Litecoin", "Uniswap")
    odd = ("", "x" * 5000, "‮ “”“” \\ [](", "🚀" * 300, "比特币 Биткоин ビットコイン بيتكوين", "None", "<b>&amp;</b>")
    rows: list[tuple[float, str, str, str]] = []
    for day in range(3):
        for n in range(360):
            title = reports[n % 5].format(coin=coins[n // 5 % 8], n=20 + n // 5 * 7 + day)
            rows.append((24 * day + n / 16, f"outlet{n % 5}", title, ""))
        rows += [(24 * day + n / 2, "guides", f"How to buy {coins[n % 8]} in 2025: a guide", "") for n in range(33)]
        rows += [(24 * day + 20, f"odd{n}", title, "") for n, title in enumerate(odd)]
    news = articles(*rows).assign(url=None)
    start, end = FIRST, FIRST + 2 * DAY
    found = news_events(news_articles=news, article_narratives=analyses(news, theme="security"), start=start, end=end)
    return news, found


def test_a_day_of_400_articles_is_a_few_events_each_once(busy: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    news, events = busy
    NEWS_EVENTS.validate(events.assign(pit_quality="final"))
    past = pd.concat([reactions(*[-0.01, 0.02] * 3000, symbol=symbol) for symbol in ("ETH", "BTC", "SOL")])
    found = theme_digests(events, empty(THEME_TRENDS), news, past)
    THEME_DIGESTS.validate(found.assign(pit_quality="final"))
    assert list(found["date"]) == [FIRST + DAY * n for n in range(3)]
    of = {article: row.event_id for row in events.itertuples() for article in row.articles}
    for row in found.itertuples():
        shown = [of[article] for article in row.article_ids]
        assert len(set(shown)) == EVENTS_SHOWN, "an event is shown once, and its turn right behind it"
        assert shown == sorted(shown, key=shown.index)
        assert "guide" not in row.digest and len(row.digest) < 20 * TITLE_CHARS
        assert "Then: " in row.digest


def test_the_days_can_be_cut_anywhere_and_nothing_later_is_looked_at(busy: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    news, events = busy
    past = pd.concat([reactions(*[-0.01 * n] * LEAST, known=START + n * 12 * HOUR) for n in range(8)])
    whole = theme_digests(events, empty(THEME_TRENDS), news, past)
    for n in range(3):
        day, end = FIRST + n * DAY, START + (n + 1) * DAY
        alone = theme_digests(
            events[events["date"] == day], empty(THEME_TRENDS), news[news["available_at"] < end],
            past[past["available_at"] <= end],
        )  # fmt: skip
        expected = whole[whole["date"] == day].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, expected, check_exact=True)
