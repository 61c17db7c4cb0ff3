"""The classifier's and a model's tones side by side."""

from __future__ import annotations

import math
from datetime import date, datetime, timezone

import polars as pl
import pytest

from crypto_assets.narratives.disagreement import Disagreements, compared, counts, z_score
from crypto_assets.tables.schemas import ARTICLE_NARRATIVES

KEY = ARTICLE_NARRATIVES.key


def rows(*said: tuple[str, str, float | None, str]) -> pl.DataFrame:
    """(article, analyser, sentiment, status)."""
    moment = datetime(2024, 5, 1, tzinfo=timezone.utc)
    frame = pl.DataFrame(said, schema=["article_id", "analyzer", "sentiment", "status"], orient="row")
    return ARTICLE_NARRATIVES.conform(
        frame.with_columns(
            pl.lit(date(2024, 5, 1)).alias("date"), pl.lit(moment).alias("available_at"), pl.lit("derived").alias("source"),
            pl.lit([], dtype=pl.List(pl.String)).alias("drivers"), pl.lit([], dtype=pl.List(pl.String)).alias("affected_symbols"),
        )
    )  # fmt: skip


def test_classes_are_compared_and_not_sizes() -> None:
    found = counts(
        compared(
            rows(
                ("same", "lexicon-3", 0.9, "ok"), ("same", "llm", 0.1, "ok"),
                ("near 0", "lexicon-3", 0.04, "ok"), ("near 0", "llm", -0.04, "ok"),
                ("neutral", "lexicon-3", 0.0, "ok"), ("neutral", "llm", 0.4, "ok"),
                ("opposite", "lexicon-3", -0.5, "ok"), ("opposite", "llm", 0.5, "ok"),
            ),
            KEY, "llm",
        )
    )  # fmt: skip
    assert found == Disagreements(texts=4, differ=2, opposite=1)
    assert found.as_numbers() == {"texts": 4, "differ": 2, "opposite": 1, "share": 0.5}


def test_only_texts_with_both_tones_count_and_the_newest_lexicon() -> None:
    found = compared(
        rows(
            ("a", "lexicon-2", -0.5, "ok"), ("a", "lexicon-10", 0.5, "ok"), ("a", "llm", 0.5, "ok"), ("a", "other", -1.0, "ok"),
            ("b", "lexicon-3", 0.5, "ok"), ("b", "llm", None, "timeout"),
            ("c", "lexicon-3", None, "ok"), ("c", "llm", 0.5, "ok"),
        ),
        KEY, "llm",
    )  # fmt: skip
    assert found.select("classifier", "model").rows() == [(1, 1)]


@pytest.mark.parametrize(("recent", "z"), [((100, 30), 0.0), ((100, 60), 5.4), ((100, 0), -6.3)])
def test_how_far_a_share_has_moved(recent: tuple[int, int], z: float) -> None:
    assert z_score(Disagreements(*recent, 0), Disagreements(400, 120, 0)) == pytest.approx(z, abs=0.5)


def test_without_texts_nothing_is_said() -> None:
    assert math.isnan(z_score(Disagreements(0, 0, 0), Disagreements(9, 3, 0)))
    assert Disagreements(0, 0, 0).as_numbers()["share"] is None
    assert z_score(Disagreements(9, 0, 0), Disagreements(9, 0, 0)) == 0.0
