"""Check ``analysis_health``: how many articles the model analysed, and how the other analyses ended."""

from __future__ import annotations

import polars as pl

from crypto_assets.checks.outcome import Outcome, Scope

COLUMNS = [
    "article_id",
    "analyzer",
    "status",
    "detail",
    "ungrounded",
    "summary",
    "duration_s",
    "answer_tokens",
    "attempts",
]


def analysis_health(scope: Scope) -> Outcome:
    """Count articles by how the model's analysis ended.

    WARN where articles have no answer of the model: the lexicon's result is used, and the model is asked again. Without
    OLLAMA_HOST and OLLAMA_MODEL no model is expected, and the check passes.
    """
    stored = scope.warehouse.read("article_narratives", start=scope.start, end=scope.end, columns=COLUMNS)
    model = scope.settings.ollama_model
    rows = stored.filter(pl.col("analyzer") == model)
    articles = stored["article_id"].n_unique()
    counts = dict(rows.group_by("status").len().sort("status").rows())
    good, silent = counts.get("ok", 0), articles - rows.height
    wanted = scope.settings.ollama_set or rows.height > 0
    numbers = {
        "articles": articles,
        "by_status": counts,
        "without_an_answer": articles - good,
        "calls": int(rows["attempts"].sum()),
        "mean_seconds": round(float(rows["duration_s"].mean() or 0.0), 3),  # type: ignore[arg-type]
        "answer_tokens": int(rows["answer_tokens"].sum()),
        "summaries_withheld": rows.filter(pl.col("status") == "ok", pl.col("summary").is_null()).height,
        "with_ungrounded_claims": rows.filter(pl.col("ungrounded").list.len() > 0).height,
    }
    if not wanted:
        return Outcome(True, f"no model is configured; the lexicon analysed {articles} article(s)", "WARN", numbers)
    text = f"{good} of {articles} article(s) analysed by {model}"
    failed = {status: count for status, count in counts.items() if status != "ok"}
    if silent:
        failed["not sent yet"] = silent
    if failed:
        why = rows.filter(pl.col("status") != "ok")["detail"].drop_nulls()
        text += f"; {', '.join(f'{count} {status}' for status, count in failed.items())}; for these the lexicon's result is used"
        text += f"; e.g. {why[0]}" if len(why) else ""
    return Outcome(not failed, text, "WARN", numbers)


MEASURES = {"article_narratives": {"analysis_health": analysis_health}}
