"""Articles with the analysis that counts for each, whether they repeat another article, and how new their words are.

The aggregates by hour (``narratives.py``) and by day (``trends.py``) use this frame. An article that was first seen
more than ``LATE`` after its publication stays in ``news_articles``, but is no longer news and counts nowhere.
"""

from __future__ import annotations

from datetime import timedelta

import pandas as pd

from crypto_assets.narratives.analyses import best_analysis
from crypto_assets.narratives.boilerplate import cleaned
from crypto_assets.narratives.stories import words

LATE = timedelta(hours=48)
MEMORY = timedelta(days=7)  # a word that no article used for this long is new
COLUMNS = [
    "article_id", "available_at", "feed", "symbols", "source", "theme", "sentiment", "confidence", "repeat", "novelty",
]  # fmt: skip


def join_analyses(articles: pd.DataFrame, analyses: pd.DataFrame) -> pd.DataFrame:
    """Join articles with the analysis that counts, one row per article that is news.

    Args:
        articles: rows of ``news_articles``.
        analyses: rows of ``article_narratives``.

    Returns:
        Rows in order of ``article_id``. Theme, sentiment and confidence are null without an analysis. ``repeat`` is
        True where the article repeats one that was available before. ``novelty`` is the share of the title's words that
        no article used in the ``MEMORY`` before it; null where there was no article at all.
    """
    news = articles[articles["available_at"] - articles["published_at"] <= LATE]
    best = best_analysis(analyses)[["article_id", "theme", "sentiment", "confidence"]]
    joined = news.merge(best, on="article_id", how="left").sort_values("article_id").reset_index(drop=True)
    joined["repeat"] = joined["duplicate_of"].notna().to_numpy(bool)
    joined["novelty"] = _novelty(cleaned(joined)["title"], joined["available_at"])
    return joined[COLUMNS]


def _novelty(titles: pd.Series, known: pd.Series) -> pd.Series:
    """Return the share of each title's words that are absent from the titles available in the ``MEMORY`` before."""
    spoken = pd.DataFrame({"word": [sorted(words(str(title))) for title in titles], "known": known})
    spoken = spoken.explode("word").dropna(subset=["word"])
    uses = spoken.drop_duplicates(["word", "known"]).sort_values(["word", "known"])
    uses["before"] = uses.groupby("word")["known"].shift()
    spoken = spoken.reset_index().merge(uses, on=["word", "known"], how="left")
    fresh = ~(spoken["known"] - spoken["before"] <= MEMORY)
    share = fresh.groupby(spoken["index"]).mean().reindex(titles.index)
    moments = known.drop_duplicates().sort_values()
    heard = (moments - moments.shift() <= MEMORY).set_axis(moments)
    return share.where(known.map(heard).to_numpy(bool))
