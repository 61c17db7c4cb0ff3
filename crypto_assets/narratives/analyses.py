"""Of several analyses of one article, the one that counts. Aggregates rest on it and on nothing else."""

from __future__ import annotations

import re

import pandas as pd

LEXICON = re.compile(r"lexicon-(\d+)$")


def best_analysis(analyses: pd.DataFrame) -> pd.DataFrame:
    """One row an article: a model's where it is ok, else the newest lexicon's; articles without an ok row are absent.

    ``analyses`` are rows of ``article_narratives``; the answer has the same columns, sorted by ``article_id``. Of
    several models the one that answered last counts, then the first by name.
    """
    rows = analyses[analyses["status"] == "ok"]
    versions = rows["analyzer"].astype(str).str.extract(LEXICON.pattern, expand=False)
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


def _seconds(rows: pd.DataFrame) -> pd.Series:
    """When each analysis was made, epoch seconds; 0 where that is not said."""
    if "analyzed_at" not in rows:
        return pd.Series(0.0, index=rows.index)
    moments = pd.to_datetime(rows["analyzed_at"], utc=True)
    return ((moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).fillna(0.0)
