"""How far derived tables look back, and which inputs give them their rows. Staleness and backfills follow from it."""

from __future__ import annotations

from crypto_assets.features import lookback
from crypto_assets.narratives import digests, narratives, trends
from crypto_assets.transforms import onchain

# Derived table -> input table -> days it reaches back, in topological order.
LOOK_BACK: dict[str, dict[str, int]] = {
    "onchain_enhanced": {"onchain_base": onchain.LOOKBACK_DAYS},
    "article_narratives": {"news_articles": 0},
    "narratives": {
        "news_articles": narratives.LOOKBACK_DAYS,
        "article_narratives": narratives.LOOKBACK_DAYS,
    },
    "theme_trends": {"news_articles": trends.LOOKBACK_DAYS, "article_narratives": trends.LOOKBACK_DAYS},
    "theme_digests": {"theme_trends": 0, "news_articles": digests.LOOKBACK_DAYS},
    "ml_features": dict(lookback.LOOKBACK_DAYS),
}

# Derived table -> the inputs of which any one is enough for it to have rows; the others only fill columns.
REQUIRED_INPUTS: dict[str, tuple[str, ...]] = {
    "onchain_enhanced": ("onchain_base",),
    "article_narratives": ("news_articles",),
    "narratives": ("article_narratives",),
    "theme_trends": ("article_narratives",),
    "theme_digests": ("theme_trends",),
    "ml_features": ("prices", "ohlc"),
}
