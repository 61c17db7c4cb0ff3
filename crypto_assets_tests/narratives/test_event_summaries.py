"""Which summary of an event a digest shows."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pandas as pd

from crypto_assets.narratives.event_summaries import summaries

DAY = date(2024, 5, 1)


def rows(*said: tuple[str, str, str | None, str, int | None]) -> pd.DataFrame:
    """(event, analyser, summary, status, hour of the answer)."""
    frame = pd.DataFrame(said, columns=["event_id", "analyzer", "summary", "status", "hour"])
    at = [pd.NaT if pd.isna(hour) else datetime(2024, 5, 1, int(hour), tzinfo=timezone.utc) for hour in frame["hour"]]
    return frame.assign(date=DAY, analyzed_at=pd.Series(at, dtype="datetime64[us, UTC]"))


def test_the_last_answer_counts_then_the_name() -> None:
    found = summaries(
        rows(
            ("a", "lexicon-3", None, "ok", None), ("a", "old", "Old.", "ok", 1), ("a", "new", "New.", "ok", 2),
            ("b", "x", "X.", "ok", 3), ("b", "y", "Y.", "ok", 3),
        )
    )  # fmt: skip
    assert found == {(DAY, "a"): "Summary by new: New.", (DAY, "b"): "Summary by x: X."}


def test_what_has_no_summary_is_absent() -> None:
    assert summaries(rows(("a", "llm", None, "ok", 1), ("b", "llm", None, "timeout", None))) == {}
