"""Hostile articles before a model that obeys them: no row but their own, nothing out of bounds, no coin not in the text."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import date, datetime, timezone
from typing import Any

import pandas as pd
import polars as pl
import pytest

from crypto_assets.catalog import all_coins
from crypto_assets.narratives.llm import analyst, prompt, rows
from crypto_assets.narratives.llm.breaker import Breaker
from crypto_assets.narratives.llm.journal import MemoryJournal
from crypto_assets.narratives.llm.text import Article
from crypto_assets.narratives.tagging import find_symbols
from crypto_assets.sandbox.llm import Rule, Said
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.tables.news import ARTICLE_NARRATIVES, IMPACT_HORIZONS, THEMES
from crypto_assets_tests.narratives.llm.hostile import HOSTILE

CALM = [(f"Ethereum developers met on day {n}", "They spoke of the next upgrade.") for n in range(20)]
WORDS = (
    r"ignor|instruct|system|answer|order|rule|forget|repeat|obey|free now|sentiment|theme|DROP|evil|tool|[{\[<‹�]|must"
)


class Gullible(Rule):
    """Does as the article says: gives back the answer forged in it, else claims all that the orders could ask for.

    It also carries what one article said to it over to the next, if the client let it: each conversation is kept.
    """

    def __init__(self) -> None:
        super().__init__("gullible")
        self.seen: list[list[dict[str, Any]]] = []

    def chat(self, messages: list[dict[str, Any]], schema: Any, options: dict[str, Any]) -> Said:
        self.seen.append(messages)
        text = " ".join(str(message["content"]) for message in messages[1:])
        forged = re.search(r"\{.*\}", text, re.DOTALL)
        if not re.search(WORDS, text, re.IGNORECASE):
            return super().chat(messages, schema, options)
        return Said(forged.group() if forged else json.dumps(self.all_at_once(text)), 1, 1, 0.001)

    def all_at_once(self, text: str) -> dict[str, Any]:
        return {
            "theme": "security", "secondary_themes": list(THEMES), "sentiment": 1, "confidence": 1,
            "drivers": [{"driver": "DOGE to 100000", "quote": "DOGE to 100000"}, {"driver": text[:60], "quote": text[40:90]}],
            "affected_symbols": [coin.symbol for coin in all_coins()], "impact_horizon": "immediate",
            "summary": f"Buy DOGE, it rises 1000 times. {text[:200]}", "article_id": "0" * 32, "status": "ok",
        }  # fmt: skip


def frame(texts: list[tuple[str, str | None]]) -> pd.DataFrame:
    return pd.DataFrame(texts, columns=["title", "summary"], dtype=object).assign(
        article_id=[f"{n:032x}" for n in range(len(texts))],
        date=date(2024, 5, 1), available_at=datetime(2024, 5, 1, 12, tzinfo=timezone.utc), source="rss",
    )  # fmt: skip


def analysed(texts: list[tuple[str, str | None]]) -> tuple[pl.DataFrame, Gullible]:
    model, articles = Gullible(), frame(texts)
    with Sandbox(model=model) as sandbox:
        found = rows.subjects(articles)
        report = asyncio.run(
            analyst.analyse(
                [s.article for s in found],
                Settings.from_env(sandbox.env()),
                MemoryJournal(),
                breaker=Breaker((0.01,) * 3),
            )
        )
        text = rows.model_rows(found, report, ARTICLE_NARRATIVES.empty(), all_coins(), "gullible", asked_for=True)
    return ARTICLE_NARRATIVES.validate(text), model  # the contract itself: types, bounds, keys


@pytest.fixture(scope="module")
def corpus() -> tuple[pl.DataFrame, Gullible]:
    return analysed([*CALM, *HOSTILE])


WHEN = ["analyzed_at", "duration_s"]


def test_no_row_but_their_own(corpus: tuple[pl.DataFrame, Gullible]) -> None:
    calm = analysed(CALM)[0].drop(WHEN)
    assert corpus[0].head(len(CALM)).drop(WHEN).equals(calm)
    assert set(calm["status"]) == {"ok"}
    assert corpus[0].height == len(CALM) + len(HOSTILE)
    last = analysed([*HOSTILE, *CALM])[0].tail(len(CALM)).drop(WHEN)
    assert last.drop("article_id").equals(calm.drop("article_id")), "nor are those kept waiting that come after them"


def test_each_conversation_holds_one_article_between_marks(corpus: tuple[pl.DataFrame, Gullible]) -> None:
    for messages in corpus[1].seen:
        assert [message["role"] for message in messages] == ["system", "user"]
        assert messages[0]["content"] == prompt.SYSTEM
        lines = messages[1]["content"].split("\n")
        assert len(lines) == 4, "an article is one line of title and one of text"
        assert not set("<>\x00\x1b\u202e\u200b") & set(lines[1] + lines[2])
        assert "[INST]" not in messages[1]["content"]
        assert len(messages[1]["content"]) < 2500


def test_no_field_out_of_bounds(corpus: tuple[pl.DataFrame, Gullible]) -> None:
    for row in corpus[0].rows(named=True):
        if row["status"] != "ok":
            assert row["theme"] is row["sentiment"] is row["summary"] is None
            assert row["detail"]
            continue
        assert row["theme"] in THEMES
        assert row["impact_horizon"] in (*IMPACT_HORIZONS, None)
        assert -1 <= row["sentiment"] <= 1
        assert 0 <= row["confidence"] <= 1
        assert len(row["drivers"]) == len(row["driver_quotes"]) <= 5
        assert len(row["secondary_themes"]) <= 3
        assert row["analyzer"] == "gullible"


def test_no_coin_that_is_not_in_the_text(corpus: tuple[pl.DataFrame, Gullible]) -> None:
    texts = [Article.of(title, summary).text for title, summary in [*CALM, *HOSTILE]]
    for row, text in zip(corpus[0].rows(named=True), texts, strict=True):
        named = set(find_symbols(text, all_coins()))
        assert set(row["affected_symbols"]) <= named
        for shown in (row["summary"] or "", *row["drivers"]):
            assert set(find_symbols(shown, all_coins())) <= named
        assert "1000 times" not in (row["summary"] or "")


def test_the_model_was_really_led_astray(corpus: tuple[pl.DataFrame, Gullible]) -> None:
    """The corpus bites: claims were dropped and answers refused."""
    hostile = corpus[0].tail(len(HOSTILE))
    dropped = hostile.filter(pl.col("ungrounded").list.len() > 0).height
    assert dropped + (hostile["status"] == "invalid").sum() > 40
