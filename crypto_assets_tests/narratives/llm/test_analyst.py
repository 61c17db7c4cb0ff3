"""Whose fault a failure is, when an article is given up, and how a failing server is left alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crypto_assets.narratives.llm import analyst
from crypto_assets.narratives.llm.breaker import Breaker
from crypto_assets.narratives.llm.client import Ollama
from crypto_assets.narratives.llm.journal import MemoryJournal
from crypto_assets.narratives.llm.text import Article
from crypto_assets.sandbox.llm import Rule, Said
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings

TEXTS = [Article.of(f"Bitcoin on day {n}", None) for n in range(12)]
QUICK = (0.01, 0.01, 0.01)
CHAT = "/api/chat"


class Particular(Rule):
    """Answers nonsense wherever one word stands; counts how many ask at once."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    def chat(self, messages: list[dict[str, Any]], schema: Any, options: dict[str, Any]) -> Said:
        if self.word in str(messages[1]["content"]):
            return Said('{"theme": "banana"}', 1, 1, 0.001)
        return super().chat(messages, schema, options)


def analyse(sandbox: Sandbox, journal: MemoryJournal, texts: list[Article] = TEXTS, **env: str) -> analyst.Report:
    settings = Settings.from_env({**sandbox.env(), "OLLAMA_TIMEOUT": "1", **env})
    return asyncio.run(analyst.analyse(texts, settings, journal, breaker=Breaker(QUICK)))


def test_an_article_that_fails_while_others_do_not_is_given_up() -> None:
    journal = MemoryJournal()
    with Sandbox(model=Particular("day 3")) as sandbox:
        for _ in range(analyst.GIVE_UP_AFTER):
            report = analyse(sandbox, journal)
        assert report.entries[TEXTS[3].content_hash].blamed == analyst.GIVE_UP_AFTER
        calls = sandbox.requests[CHAT]
        assert calls == 11 + analyst.GIVE_UP_AFTER
        report = analyse(sandbox, journal)
        assert (report.given_up, report.calls, sandbox.requests[CHAT]) == (1, 0, calls)


@pytest.mark.parametrize("fault", ["nonsense=1", "malformed=1", "status=500", "delay=1.2"])
def test_what_fails_for_all_is_nobodys_fault(fault: str) -> None:
    """A server that answers nobody well is left alone after a few calls, and no article is ever given up for it."""
    journal = MemoryJournal()
    with Sandbox(fault=f"route={CHAT},{fault}") as sandbox:
        for _ in range(2 if "delay" in fault else analyst.GIVE_UP_AFTER + 1):
            before = sandbox.requests[CHAT]
            report = analyse(sandbox, journal, [*TEXTS, *(Article.of(f"Other {n}", None) for n in range(40))])
            assert 0 < sandbox.requests[CHAT] - before <= 16, "of 52 articles"
            assert report.reason
    assert all(entry.blamed == 0 for entry in report.entries.values())
    with Sandbox() as healthy:
        assert analyse(healthy, journal).statuses == {"ok": 12}


def test_concurrency_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    busy = [0]
    ask = Ollama.ask

    async def counted(self: Ollama, *args: Any) -> Any:
        busy[0] += 1
        seen.append(busy[0])
        try:
            return await ask(self, *args)
        finally:
            busy[0] -= 1

    monkeypatch.setattr(Ollama, "ask", counted)
    with Sandbox(model=Rule(delay=0.02)) as sandbox:
        analyse(sandbox, MemoryJournal(), OLLAMA_CONCURRENCY="3")
    assert max(seen) == 3
    assert len(seen) == 12


def test_equal_texts_are_one_question() -> None:
    with Sandbox() as sandbox:
        report = analyse(sandbox, MemoryJournal(), [TEXTS[0], Article.of("Bitcoin on day 0", ""), TEXTS[1]])
        assert (sandbox.requests[CHAT], len(report.entries)) == (2, 2)


def test_an_unreachable_server_costs_one_probe() -> None:
    settings = Settings.from_env({"OLLAMA_HOST": "http://127.0.0.1:9"})
    report = asyncio.run(analyst.analyse(TEXTS, settings, MemoryJournal()))
    assert (report.model, report.calls, report.entries) == (None, 0, {})
    assert report.seconds < 5
    assert "ollama serve" in report.reason


def test_other_weights_are_another_question_and_the_old_answer_stays_meanwhile() -> None:
    journal = MemoryJournal()
    with Sandbox() as sandbox:
        analyse(sandbox, journal, TEXTS[:3])
    newer = Rule()
    newer.digest = "f" * 64
    with Sandbox(model=newer, fault=f"route={CHAT},nonsense=1") as sandbox:
        report = analyse(sandbox, journal, TEXTS[:3])
        assert {entry.status for entry in report.entries.values()} == {"ok"}, "the old weights' answers"
    with Sandbox(model=newer) as sandbox:
        report = analyse(sandbox, journal, TEXTS[:3])
        assert sandbox.requests[CHAT] == 3
        assert {entry.model_digest for entry in report.entries.values()} == {"f" * 64}
