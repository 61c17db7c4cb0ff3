"""Events before a model: the same proofs as for articles. Nothing crashes, nothing is asked twice, nothing is invented."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timezone
from typing import Any

import polars as pl
import pytest

from crypto_assets.catalog import all_coins
from crypto_assets.narratives.llm import analyst, prompt, rows
from crypto_assets.narratives.llm.answer import Answer
from crypto_assets.narratives.llm.breaker import Breaker
from crypto_assets.narratives.llm.grounding import ground
from crypto_assets.narratives.llm.journal import Journal, MemoryJournal
from crypto_assets.narratives.llm.rows import Subject
from crypto_assets.narratives.llm.text import Article, Reports
from crypto_assets.narratives.tagging import find_symbols
from crypto_assets.sandbox.llm import Rule, Said
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.tables.event_narratives import EVENT_NARRATIVES
from crypto_assets_tests.narratives.llm.hostile import HOSTILE
from crypto_assets_tests.narratives.llm.test_injection import CALM, Gullible

CHAT = "/api/chat"
QUICK = (0.01, 0.01, 0.01)
FAULTS = ";".join(
    f"route=api/chat,{fault}"
    for fault in ("status=500,rate=0.1", "cut=1,rate=0.1", "malformed=1,rate=0.1", "nonsense=1,rate=0.1", "status=400,rate=0.05")
)  # fmt: skip
ROUNDS = (FAULTS, None, "route=api/chat,status=500", "route=api/chat,malformed=1", "route=api/tags,status=503", FAULTS)


def event(n: int, *articles: tuple[str, str | None]) -> Subject:
    ids = tuple(f"{n:04d}-{place}" for place in range(len(articles)))
    cells = {
        "event_id": f"{n:032x}", "date": date(2024, 5, 1), "available_at": datetime(2024, 5, 1, 12, tzinfo=timezone.utc),
        "outlet_count": len(articles), "articles_read": list(ids),
    }  # fmt: skip
    return Subject(cells, False, Reports.of([Article.of(*article) for article in articles]), ids)


EVENTS = [
    event(n, (f"Bitcoin fund opens on day {n}", "It holds 500 BTC."), (f"A fund for BTC, day {n}", None))
    for n in range(40)
]


def run(
    found: list[Subject],
    host: str,
    journal: Journal,
    stored: pl.DataFrame | None = None,
    model: str = "sandbox",
    **env: str,
) -> tuple[analyst.Report, pl.DataFrame]:
    """One materialisation of the model's rows: what the asset does, without Dagster around it."""
    stored = EVENT_NARRATIVES.empty() if stored is None else stored
    settings = Settings.from_env({"OLLAMA_HOST": host, "OLLAMA_MODEL": model, **env})
    report = asyncio.run(
        analyst.analyse(
            [one.article for one in found], settings, journal, answered=rows.answered(stored, model),
            breaker=Breaker(QUICK), request=prompt.EVENTS,
        )
    )  # fmt: skip
    answered = rows.model_rows(found, report, stored, all_coins(), model, asked_for=True, table=EVENT_NARRATIVES)
    return report, EVENT_NARRATIVES.validate(answered)


def test_every_fault_at_random() -> None:
    journal, stored, calls, ids = (
        MemoryJournal(),
        EVENT_NARRATIVES.empty(),
        0,
        {one.cells["event_id"] for one in EVENTS},
    )
    for number, fault in enumerate(ROUNDS):
        good = set(stored.filter(pl.col("status") == "ok")["event_id"])
        if fault is None:
            _, stored = run(EVENTS, "http://127.0.0.1:9", journal, stored)
        else:
            with Sandbox(fault=fault, seed=number) as sandbox:
                _, stored = run(EVENTS, sandbox.url, journal, stored)
                calls += sandbox.requests[CHAT]
        assert sorted(stored["event_id"]) == sorted(ids), "no event is lost, none is there twice"
        bad = stored.filter(pl.col("status") != "ok")
        assert bad["detail"].null_count() == 0, "each status is explained"
        assert not good & set(bad["event_id"]), "what was good stays good"
    with Sandbox() as sandbox:
        _, stored = run(EVENTS, sandbox.url, journal, stored)
        assert set(stored["status"]) == {"ok"}, "all is well after recovery"
        calls += sandbox.requests[CHAT]
        before = sandbox.requests[CHAT]
        again, same = run(EVENTS, sandbox.url, journal, stored)
        assert (again.calls, sandbox.requests[CHAT]) == (0, before)
        assert same.equals(stored), "the same bytes"
        lost, same = run(EVENTS, sandbox.url, MemoryJournal(), stored)
        assert (lost.calls, same.equals(stored)) == (0, True), "the table stands in for a journal that was lost"
    assert calls == int(stored["attempts"].sum()), "each call is counted"


class Nonsense(Rule):
    """Answers nonsense wherever one word stands."""

    def chat(self, messages: list[dict[str, Any]], schema: Any, options: dict[str, Any]) -> Said:
        if "day 3" in str(messages[1]["content"]).split("\n")[1]:
            return Said('{"theme": "banana"}', 1, 1, 0.001)
        return super().chat(messages, schema, options)


def test_an_event_that_fails_while_others_do_not_is_given_up() -> None:
    journal, few = MemoryJournal(), EVENTS[:8]
    with Sandbox(model=Nonsense()) as sandbox:
        for _ in range(analyst.GIVE_UP_AFTER):
            _, stored = run(few, sandbox.url, journal)
        (bad,) = stored.filter(pl.col("status") != "ok").rows(named=True)
        assert (bad["event_id"], bad["failures"]) == (few[3].cells["event_id"], analyst.GIVE_UP_AFTER)
        calls = sandbox.requests[CHAT]
        report, _ = run(few, sandbox.url, journal)
        assert (report.given_up, sandbox.requests[CHAT]) == (1, calls)


def test_an_article_and_an_event_of_the_same_words_are_two_questions() -> None:
    journal, alone = MemoryJournal(), event(1, ("Bitcoin fund opens", None))
    with Sandbox() as sandbox:
        settings = Settings.from_env(sandbox.env())
        asyncio.run(analyst.analyse([Article.of("Bitcoin fund opens", None)], settings, journal))
        report, _ = run([alone], sandbox.url, journal)
        assert (report.calls, sandbox.requests[CHAT]) == (1, 2)


@pytest.fixture(scope="module")
def hostile() -> tuple[list[Subject], pl.DataFrame, Gullible]:
    """Calm events, and events in which every second article is written to be obeyed."""
    found = [event(n, article, CALM[-1]) for n, article in enumerate(CALM)]
    found += [event(100 + n, ("Bitcoin fund opens in Paris", None), article) for n, article in enumerate(HOSTILE)]
    model = Gullible()
    with Sandbox(model=model) as sandbox:
        _, stored = run(found, sandbox.url, MemoryJournal(), model="gullible")
    return found, stored, model


def test_hostile_articles_change_only_their_own_event(hostile: tuple[list[Subject], pl.DataFrame, Gullible]) -> None:
    found, stored, _ = hostile
    with Sandbox(model=Gullible()) as sandbox:
        _, calm = run(found[: len(CALM)], sandbox.url, MemoryJournal(), model="gullible")
    when = ["analyzed_at", "duration_s"]
    assert stored.head(len(CALM)).drop(when).equals(calm.drop(when))
    assert set(calm["status"]) == {"ok"}
    attacked = stored.tail(len(HOSTILE))
    dropped = attacked.filter(pl.col("ungrounded").list.len() > 0).height
    assert dropped + (attacked["status"] == "invalid").sum() > 40, "the corpus bites"


def test_nothing_that_no_article_says(hostile: tuple[list[Subject], pl.DataFrame, Gullible]) -> None:
    by_id = {one.cells["event_id"]: one for one in hostile[0]}
    for row in hostile[1].rows(named=True):
        subject = by_id[row["event_id"]]
        named = set(find_symbols(subject.article.text, all_coins()))
        assert set(row["affected_symbols"]) <= named
        for shown in (row["summary"] or "", *row["drivers"]):
            assert set(find_symbols(shown, all_coins())) <= named
        assert set(row["driver_articles"] or ()) <= set(subject.article_ids)
        assert len(row["driver_articles"] or ()) == len(row["drivers"])


def test_each_article_stands_between_marks(hostile: tuple[list[Subject], pl.DataFrame, Gullible]) -> None:
    for messages in hostile[2].seen:
        assert [message["role"] for message in messages] == ["system", "user"]
        assert messages[0]["content"] == prompt.EVENT_SYSTEM
        lines = messages[1]["content"].split("\n")
        marks = {line for line in lines if line.startswith(("<article", "</article"))}
        assert (len(lines), len(marks)) == (8, 2), "two articles of four lines, under one mark"
        assert not set("<>\x00\x1b\u202e\u200b") & set("".join(lines[n] for n in (1, 2, 5, 6)))


def test_a_quote_must_stand_in_one_article() -> None:
    text = Reports.of([Article.of("Kraken opens in Paris", None), Article.of("Regulator waits for papers", None)])
    drivers = [
        {"driver": "opens", "quote": "opens in Paris"},
        {"driver": "across", "quote": "in Paris Regulator waits"},
        {"driver": "waits", "quote": "Regulator waits"},
    ]
    answer = Answer.model_validate({"theme": "other", "sentiment": 0, "confidence": 1, "drivers": drivers})
    found = ground(answer, text, all_coins())
    assert (found.drivers, found.quoted) == (["opens", "waits"], [0, 1])
    assert len(found.ungrounded) == 1
