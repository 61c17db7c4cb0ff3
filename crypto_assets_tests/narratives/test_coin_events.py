"""Events by coin and hour against plain loops over the articles; cuts of the days and later rows do not show."""

from __future__ import annotations

import random
import statistics
from datetime import date, datetime, timedelta, timezone

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crypto_assets.narratives.coin_events import coin_events
from crypto_assets.tables.events import COIN_EVENTS, EVENT_REACTIONS, NEWS_EVENTS
from crypto_assets.tables.news import ARTICLE_NARRATIVES, NEWS_ARTICLES
from crypto_assets.tables.registry import LOOK_BACK

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
OPENED = datetime(2024, 1, 1, tzinfo=timezone.utc)
START, END = date(2024, 3, 5), date(2024, 3, 10)
COINS = ("BTC", "ETH", "DOT")
Tables = dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def tables() -> Tables:
    """Seventy days of events of one to three articles, and reactions to them."""
    roll = random.Random(2)
    events, articles, analyses, reactions = [], [], [], []
    for n in range(350):
        seen = OPENED + roll.uniform(0, 70 * 24) * HOUR
        coins = roll.sample(COINS[:2], roll.randrange(3))
        theme, tone = roll.choice(["security", "regulation", "defi"]), roll.choice([-0.5, 0.0, 0.5, None])
        reports = [(f"a{n}-{k}", seen + k * roll.uniform(0, 20) * HOUR) for k in range(roll.randrange(1, 4))]
        for name, at in reports:
            articles.append({"article_id": name, "date": at.date(), "available_at": at, "published_at": at, "source": "rss",
                             "feed": roll.choice("xyz"), "title": "t", "symbols": coins})  # fmt: skip
            analyses.append({"article_id": name, "analyzer": "lexicon-1", "date": at.date(), "available_at": at, "source": "rss",
                             "sentiment": tone, "status": "ok", "drivers": [], "affected_symbols": []})  # fmt: skip
        for day in sorted({at.date() for _, at in reports}):
            ids = [name for name, at in sorted(reports, key=lambda one: one[1]) if at.date() <= day]
            events.append({"event_id": f"e{n:03d}", "date": day, "available_at": max(at for _, at in reports if at.date() <= day),
                           "source": "derived", "first_seen": seen, "headline": "h", "outlets": ["x"], "outlet_count": 1,
                           "articles": ids, "article_count": len(ids), "new_article_count": 1, "symbols": coins,
                           "first_symbols": coins, "first_theme": theme, "first_tone": tone})  # fmt: skip
        for symbol in coins:
            known = seen + 25 * HOUR
            reactions.append({"event_id": f"e{n:03d}", "symbol": symbol, "horizon": 24, "date": known.date(), "available_at": known,
                              "source": "derived", "first_seen": seen, "theme": theme, "similar_count": 0,
                              "direction": None if tone is None else int((tone > 0) - (tone < 0)), "return": roll.gauss(0, 0.1),
                              "abnormal_return": None if symbol == "BTC" else roll.gauss(0, 0.1)})  # fmt: skip
    made = {NEWS_EVENTS: events, NEWS_ARTICLES: articles, ARTICLE_NARRATIVES: analyses, EVENT_REACTIONS: reactions}
    return {
        contract.table: contract.conform(pl.DataFrame(rows, infer_schema_length=None))
        for contract, rows in made.items()
    }


def rows(tables: Tables, start: date, end: date) -> pl.DataFrame:
    back = LOOK_BACK["coin_events"]
    shown = {
        name: frame.filter(pl.col("date").is_between(start - back[name] * DAY, end)) for name, frame in tables.items()
    }
    return coin_events(shown, COINS, start, end)


@pytest.fixture(scope="module")
def found(tables: Tables) -> pl.DataFrame:
    return rows(tables, START, END)


def test_counts_tones_and_kinds_are_those_of_a_plain_loop(found: pl.DataFrame, tables: Tables) -> None:
    articles = {row["article_id"]: row for row in tables["news_articles"].to_dicts()}
    tone = dict(tables["article_narratives"].select("article_id", "sentiment").rows())
    events: dict[str, dict] = {}
    for event in tables["news_events"].sort("date").to_dicts():
        events[event["event_id"]] = event  # the last row has all articles
    assert not COIN_EVENTS.violations(found) and set(found["symbol"]) == {"MARKET", *COINS}
    for row in found.sample(80, seed=3).to_dicts():
        ts, symbol = row["ts"], row["symbol"]
        heard: dict[str, list[dict]] = {}
        for name, event in events.items():
            for article in (articles[article] for article in event["articles"]):
                if ts - 24 * HOUR < article["available_at"] <= ts and symbol in ("MARKET", *article["symbols"]):
                    heard.setdefault(name, []).append(article)
        assert row["event_count_24h"] == len(heard)
        assert row["outlet_count_24h"] == len({article["feed"] for reports in heard.values() for article in reports})
        votes = [vote for reports in heard.values() if (vote := tone[reports[0]["article_id"]]) is not None]
        assert row["tone_24h"] == (pytest.approx(statistics.fmean(votes)) if votes else None)
        new = [ts - events[name]["first_seen"] < 24 * HOUR for name in heard]
        assert row["novelty_24h"] == (pytest.approx(statistics.fmean(new)) if new else None)
        own = [e for e in events.values() if e["first_seen"] <= ts and symbol in ("MARKET", *e["first_symbols"])]
        last = max((mark(e["first_seen"]) for e in own if e["first_theme"] == "security"), default=None)
        assert row["hours_since_security"] == (None if last is None else (ts - last) / HOUR)


def mark(moment: datetime) -> datetime:
    """The first hour mark at or after an instant."""
    return moment + (OPENED - moment) % HOUR


def test_typical_reactions_are_those_known_when_the_event_was(found: pl.DataFrame, tables: Tables) -> None:
    reactions, judged = tables["event_reactions"].to_dicts(), 0
    events = {event["event_id"]: event for event in tables["news_events"].sort("date", descending=True).to_dicts()}
    for row in found.filter(pl.col("symbol") == "ETH").sample(60, seed=4).to_dicts():
        own = [e for e in events.values() if "ETH" in e["first_symbols"] and mark(e["first_seen"]) <= row["ts"]]
        newest = max(own, key=lambda e: (mark(e["first_seen"]), e["event_id"]))
        at = mark(newest["first_seen"])
        said = newest["first_tone"] and int(newest["first_tone"] / abs(newest["first_tone"]))
        past = [
            r["abnormal_return"] for r in reactions
            if r["symbol"] != "BTC" and r["theme"] == newest["first_theme"] and said is not None and r["direction"] == said
            and r["available_at"] <= at and r["first_seen"] >= at - 60 * DAY
        ]  # fmt: skip
        wanted = statistics.median(past) if past and row["ts"] - at <= 23 * HOUR else None
        assert row["typical_reaction_24h"] == (None if wanted is None else pytest.approx(wanted))
        judged += wanted is not None
    assert judged > 10


def test_the_cut_of_the_days_does_not_show(found: pl.DataFrame, tables: Tables) -> None:
    parts = [rows(tables, START + n * DAY, START + n * DAY) for n in range((END - START).days + 1)]
    assert_frame_equal(pl.concat(parts).sort("symbol", "ts"), found, rel_tol=1e-9, abs_tol=0)


def test_later_articles_and_reactions_change_nothing(found: pl.DataFrame, tables: Tables) -> None:
    moment = datetime(2024, 3, 8, 13, 20, tzinfo=timezone.utc)
    events = tables["news_events"].filter(pl.col("first_seen") <= moment)
    shown = events.explode("articles").join(
        tables["news_articles"].filter(pl.col("available_at") <= moment).select(articles="article_id"), on="articles"
    )
    known = {name: frame.filter(pl.col("available_at") <= moment) for name, frame in tables.items()}
    known["news_events"] = events.drop("articles").join(
        shown.group_by("event_id", "date", maintain_order=True).agg("articles"), on=["event_id", "date"]
    ).select(events.columns)  # fmt: skip
    same = pl.col("ts") <= moment
    assert_frame_equal(rows(known, START, END).filter(same), found.filter(same), rel_tol=1e-9, abs_tol=0)


def test_no_events_no_rows(tables: Tables) -> None:
    assert rows({name: frame.clear() for name, frame in tables.items()}, START, END).is_empty()
