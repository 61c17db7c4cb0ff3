"""Columns about the news on a coin and on the market, hour by hour, from ``narratives``."""

from crypto_assets.features.feature import DAY_HOURS, WEEK_HOURS, Change, Feature, ends
from crypto_assets.tables.news import THEMES

COUNT, TONE = "article_count_24h", "sentiment_24h"
LOOKBACKS = {"24h": DAY_HOURS, "7d": WEEK_HOURS}
_SEEN = "null where no news at all was seen"


WRITTEN_OF = "news_count_24h > 0"  # without an article there is no tone and no theme


def _momentum(name: str, unit: str, column: str, where: str = "") -> tuple[Feature, ...]:
    return tuple(
        Feature(f"{name}_change_{span}", unit, f"{column} at ts minus {column} {hours} hours before.",
                (f"narratives.{column}",), needs=ends((f"narratives.{column}",), hours), change=Change.DIFFERENCE, where=where.format(span=span))
        for span, hours in LOOKBACKS.items()
    )  # fmt: skip


NEWS_FEATURES = (
    Feature("news_count_24h", "articles", f"article_count_24h of the coin at ts; {_SEEN}.", (f"narratives.{COUNT}",), lower=0),
    Feature("news_sentiment_24h", "-1 to 1", "sentiment_24h of the coin at ts; null without articles.", (f"narratives.{TONE}",),
            lower=-1, upper=1, where=WRITTEN_OF),
    *_momentum("news_count", "articles", COUNT),
    *_momentum(
        "news_sentiment", "-2 to 2", TONE, f"{WRITTEN_OF} and news_count_24h - news_count_change_{{span}} > 0"
    ),
    Feature("market_news_count_24h", "articles", f"article_count_24h of MARKET at ts; {_SEEN}.", (f"narratives[MARKET].{COUNT}",),
            lower=0),
    Feature("market_news_sentiment_24h", "-1 to 1", "sentiment_24h of MARKET at ts.", (f"narratives[MARKET].{TONE}",),
            lower=-1, upper=1),
    *(
        Feature(f"news_{theme}_share_24h", "fraction", f"Share of the coin's articles with theme {theme}; null without articles.",
                (f"narratives.theme_{theme}_share_24h",), lower=0, upper=1, where=WRITTEN_OF)
        for theme in THEMES
    ),
)  # fmt: skip
