"""Which of several analyses of an article counts."""

from __future__ import annotations

from datetime import datetime, timezone

import pandas as pd

from crypto_assets.narratives.analyses import best_analysis


def rows(*found: tuple[str, str, str, int | None]) -> pd.DataFrame:
    frame = pd.DataFrame(found, columns=["article_id", "analyzer", "status", "at"])
    at = [None if h is None or pd.isna(h) else datetime(2024, 1, 1, int(h), tzinfo=timezone.utc) for h in frame["at"]]
    frame["analyzed_at"] = pd.Series(at, dtype="datetime64[us, UTC]")
    return frame.drop(columns="at")


def chosen(*found: tuple[str, str, str, int | None]) -> list[tuple[str, str]]:
    best = best_analysis(rows(*found))
    return list(zip(best["article_id"], best["analyzer"], strict=True))


def test_a_models_good_row_comes_before_the_lexicons() -> None:
    assert chosen(("a", "lexicon-1", "ok", None), ("a", "llama", "ok", 3)) == [("a", "llama")]


def test_the_lexicon_fills_in_where_the_model_failed() -> None:
    assert chosen(
        ("a", "llama", "timeout", 3), ("a", "lexicon-1", "ok", None), ("b", "lexicon-1", "ok", None)
    ) == [("a", "lexicon-1"), ("b", "lexicon-1")]  # fmt: skip


def test_of_two_models_the_newer_answer_and_of_two_lexicons_the_higher_version() -> None:
    assert chosen(("a", "old", "ok", 1), ("a", "new", "ok", 2)) == [("a", "new")]
    assert chosen(("a", "lexicon-9", "ok", None), ("a", "lexicon-10", "ok", None)) == [("a", "lexicon-10")]
    assert chosen(("a", "y", "ok", 2), ("a", "x", "ok", 2)) == [("a", "x")]


def test_no_good_row_no_answer() -> None:
    assert chosen(("a", "llama", "invalid", 3)) == []
    assert best_analysis(rows()).empty


def test_order_of_rows_does_not_matter() -> None:
    found = [("a", "m", "ok", 1), ("a", "n", "ok", 2), ("a", "lexicon-2", "ok", None), ("b", "lexicon-1", "ok", None)]
    assert chosen(*found) == chosen(*reversed(found))
