"""Check ``analysis_health``: how many texts (articles, events) the model analysed, and how the other analyses ended."""

from __future__ import annotations

import polars as pl

from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.narratives.sent_events import sent_to_model
from crypto_assets.tables.news import LEXICON

COLUMNS = ["date", "analyzer", "status", "detail", "ungrounded", "summary", "duration_s", "answer_tokens", "attempts"]


def analysis_health(scope: Scope) -> Outcome:
    """Count articles by how the model's analysis ended.

    WARN where articles have no answer of the model: the lexicon's result is used, and the model is asked again. Without
    OLLAMA_HOST and OLLAMA_MODEL no model is expected, and the check passes.
    """
    stored = scope.warehouse.read(
        "article_narratives", start=scope.start, end=scope.end, columns=["article_id", *COLUMNS]
    )
    return _health(scope, stored, stored["article_id"].n_unique(), "article")


def event_health(scope: Scope) -> Outcome:
    """Count the events that are sent to the model by how its analysis ended. WARN as for articles."""
    stored = scope.warehouse.read(
        "event_narratives", start=scope.start, end=scope.end, columns=["event_id", "outlet_count", *COLUMNS]
    )
    lexicon = stored.filter(pl.col("analyzer").str.starts_with(LEXICON)).unique(["date", "event_id"])
    sent = sent_to_model(lexicon.select("date", "event_id", "outlet_count").iter_rows())
    return _health(scope, stored, len(sent), "event")


def _health(scope: Scope, stored: pl.DataFrame, texts: int, what: str) -> Outcome:
    model = scope.settings.ollama_model
    rows = stored.filter(pl.col("analyzer") == model)
    counts = dict(rows.group_by("status").len().sort("status").rows())
    good, silent = counts.get("ok", 0), max(0, texts - rows.height)
    numbers = {
        f"{what}s": texts,
        "by_status": counts,
        "without_an_answer": max(0, texts - good),
        "calls": int(rows["attempts"].sum()),
        "mean_seconds": round(float(rows["duration_s"].mean() or 0.0), 3),  # type: ignore[arg-type]
        "answer_tokens": int(rows["answer_tokens"].sum()),
        "summaries_withheld": rows.filter(pl.col("status") == "ok", pl.col("summary").is_null()).height,
        "with_ungrounded_claims": rows.filter(pl.col("ungrounded").list.len() > 0).height,
    }
    if f"{what}s" not in scope.settings.ollama_reads:
        return Outcome(True, f"OLLAMA_READS leaves {what}s out; the lexicon analysed {texts}", "WARN", numbers)
    if not scope.settings.ollama_set and rows.is_empty():
        return Outcome(True, f"no model is configured; the lexicon analysed {texts} {what}(s)", "WARN", numbers)
    text = f"{good} of {texts} {what}(s) analysed by {model}"
    failed = {status: count for status, count in counts.items() if status != "ok"}
    if silent:
        failed["not sent yet"] = silent
    if failed:
        why = rows.filter(pl.col("status") != "ok")["detail"].drop_nulls()
        text += f"; {', '.join(f'{count} {status}' for status, count in failed.items())}; for these the lexicon's result is used"
        text += f"; e.g. {why[0]}" if len(why) else ""
    return Outcome(not failed, text, "WARN", numbers)


MEASURES = {
    "article_narratives": {"analysis_health": analysis_health},
    "event_narratives": {"analysis_health": event_health},
}
