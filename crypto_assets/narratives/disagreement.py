"""How often the classifier and the model disagree on a tone: good, neutral or bad."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from crypto_assets.narratives.tone import NEUTRAL
from crypto_assets.tables.news import LEXICON


@dataclass(frozen=True)
class Disagreements:
    """Counts of texts that both have judged.

    Attributes:
        texts: All of them.
        differ: Those that they put in different classes.
        opposite: Those that one calls good and the other bad.
    """

    texts: int
    differ: int
    opposite: int

    @property
    def share(self) -> float:
        """``differ`` / ``texts``; NaN without texts."""
        return self.differ / self.texts if self.texts else math.nan

    def as_numbers(self) -> dict[str, Any]:
        """Return the counts and the share by name, for metadata; None for a share of nothing."""
        share = round(self.share, 4) if self.texts else None
        return {"texts": self.texts, "differ": self.differ, "opposite": self.opposite, "share": share}


def compared(rows: pl.DataFrame, key: Sequence[str], model: str) -> pl.DataFrame:
    """Join the tones of the lexicon and of a model.

    Args:
        rows: rows of ``article_narratives`` or ``event_narratives``.
        key: the key of the table.
        model: the model's name.

    Returns:
        date, model_digest, and the classes ``classifier`` and ``model`` (-1, 0 or 1) of each text with two tones. A tone
        within ``NEUTRAL`` of 0 is 0.
    """
    by = [name for name in key if name != "analyzer"]
    good = rows.filter(pl.col("status") == "ok", pl.col("sentiment").is_not_null())
    tone = pl.col("sentiment")
    sign = pl.when(tone.abs() < NEUTRAL).then(0).otherwise(tone.sign()).cast(pl.Int8)
    newest = pl.col("analyzer").str.strip_prefix(LEXICON).cast(pl.Int64, strict=False)
    lexicon = good.filter(pl.col("analyzer").str.starts_with(LEXICON)).sort(newest).unique(by, keep="last")
    judged = good.filter(pl.col("analyzer") == model)
    said = judged.select(*{*by, "date"}, "model_digest", sign.alias("model"))
    return (
        lexicon.select(*by, sign.alias("classifier"))
        .join(said, on=by)
        .select("date", "model_digest", "classifier", "model")
    )


def counts(compared: pl.DataFrame) -> Disagreements:
    """Count the disagreements of :func:`compared`."""
    differ = compared.filter(pl.col("classifier") != pl.col("model")).height
    opposite = compared.filter(pl.col("classifier") * pl.col("model") == -1).height
    return Disagreements(compared.height, differ, opposite)


def z_score(recent: Disagreements, before: Disagreements) -> float:
    """Return how many standard errors the recent share lies from the one before; NaN without texts on both sides."""
    if not recent.texts or not before.texts:
        return math.nan
    pooled = (recent.differ + before.differ) / (recent.texts + before.texts)
    error = math.sqrt(pooled * (1 - pooled) * (1 / recent.texts + 1 / before.texts))
    return (recent.share - before.share) / error if error else 0.0
