"""Choose, of several analyses of one article, the one that counts. All aggregates use this choice and no other."""

from __future__ import annotations

import re

import pandas as pd

from crypto_assets.tables.news import LEXICON

_LEXICON = re.compile(rf"{LEXICON}(\d+)$")


def best_analysis(analyses: pd.DataFrame) -> pd.DataFrame:
    """Choose one analysis per article: a model's if its status is ok, else the newest of the lexicon.

    Of several models, the one that answered last counts, then the first by name.

    Args:
        analyses: rows of ``article_narratives``.

    Returns:
        The same columns, sorted by ``article_id``; articles without an ok row are absent.
    """
    rows = analyses[analyses["status"] == "ok"]
    versions = rows["analyzer"].astype(str).str.extract(_LEXICON.pattern, expand=False)
    order = pd.DataFrame(
        {
            "article_id": rows["article_id"],
            "lexicon": versions.notna(),
            "version": -pd.to_numeric(versions).fillna(0),
            "age": -_seconds(rows),
            "analyzer": rows["analyzer"],
        }
    ).sort_values(["article_id", "lexicon", "version", "age", "analyzer"])
    return rows.loc[order.drop_duplicates("article_id").index].reset_index(drop=True)


def newest_lexicon(analyses: pd.DataFrame) -> pd.DataFrame:
    """Choose the row of the lexicon's newest version per article.

    Args:
        analyses: rows of ``article_narratives``.

    Returns:
        The same columns; articles without a row of the lexicon are absent.
    """
    return best_analysis(analyses[analyses["analyzer"].astype(str).str.match(_LEXICON)])


def _seconds(rows: pd.DataFrame) -> pd.Series:
    """Return when each analysis was made, in epoch seconds; 0 where this is not known."""
    if "analyzed_at" not in rows:
        return pd.Series(0.0, index=rows.index)
    moments = pd.to_datetime(rows["analyzed_at"], utc=True)
    return ((moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).fillna(0.0)
