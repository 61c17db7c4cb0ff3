"""A share of disagreements that moves is seen; one that stays, too few texts and other weights are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.checks.shells import every_measure
from crypto_assets.dates import days
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import ARTICLE_NARRATIVES

FIRST, END = date(2024, 4, 1), date(2024, 5, 7)
RECENT = END - timedelta(days=6)


@pytest.fixture
def scope(tmp_path: Path) -> Scope:
    settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path), "OLLAMA_MODEL": "llm"})
    now = datetime(2024, 5, 8, tzinfo=timezone.utc)
    return Scope(Warehouse(settings.warehouse), settings, END, END, now)


def write(scope: Scope, before: float, recent: float, *, a_day: int = 20, weights: str = "b" * 64) -> Outcome:
    """Texts of 37 days, of which these shares differ; ``weights`` are those of the days before."""
    rows = []
    for day in days(FIRST, END):
        share, digest = (recent, "b" * 64) if day >= RECENT else (before, weights)
        for n in range(a_day):
            for analyzer, tone in (("lexicon-3", 0.5), ("llm", -0.5 if n < share * a_day else 0.5)):
                rows.append(
                    {
                        "article_id": f"{day}-{n}", "analyzer": analyzer, "date": day, "source": "derived", "sentiment": tone,
                        "available_at": datetime(day.year, day.month, day.day, tzinfo=timezone.utc), "status": "ok",
                        "drivers": [], "affected_symbols": [], "model_digest": digest if analyzer == "llm" else None,
                    }
                )  # fmt: skip
    frame = ARTICLE_NARRATIVES.conform(
        pl.DataFrame(rows, schema_overrides=ARTICLE_NARRATIVES.polars_schema, infer_schema_length=None)
    )
    scope.warehouse.write(ARTICLE_NARRATIVES, frame, days(FIRST, END))
    return every_measure()["article_narratives"]["model_agreement"](scope)


def test_a_share_that_moves_warns(scope: Scope) -> None:
    outcome = write(scope, 0.2, 0.6)
    assert (outcome.passed, outcome.severity) == (False, "WARN")
    assert "84 of 140 articles" in outcome.description and "60%, 20% in the 30 days before" in outcome.description
    assert outcome.numbers["recent"]["opposite"] == 84


def test_a_share_that_stays_passes(scope: Scope) -> None:
    assert write(scope, 0.3, 0.3).passed


def test_too_few_texts_are_not_judged(scope: Scope) -> None:
    outcome = write(scope, 0.0, 1.0, a_day=1)
    assert outcome.passed and "too few" in outcome.description


def test_other_weights_begin_anew(scope: Scope) -> None:
    outcome = write(scope, 0.0, 1.0, weights="a" * 64)
    assert outcome.passed and outcome.numbers["before"]["texts"] == 0


def test_without_a_model_nothing_is_judged(scope: Scope) -> None:
    outcome = write(replace(scope, settings=Settings.from_env({"OLLAMA_MODEL": "another"})), 0.0, 1.0)
    assert outcome.passed and "no text" in outcome.description
