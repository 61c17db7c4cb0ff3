"""Columns about posts on a coin, hour by hour, from ``social_sentiment``.

Votes and comments are counted when a file is made, which is later than the post, so that no column uses them.
"""

from __future__ import annotations

from functools import partial

from crypto_assets.features.own_hour import of_own_hour

POSTED_OF = "social_posts_24h > 0"  # without a post there is no tone and no novelty
_post = partial(of_own_hour, "social_sentiment")

POST_FEATURES = (
    _post("social_posts_24h", "posts", "Posts of the last 24 hours that name the coin; null where no post at all was seen.",
          "post_count_24h", 0),
    _post("social_texts_24h", "texts", "Different texts among them.", "distinct_text_count_24h", 0),
    _post("social_posts_share_24h", "fraction", "Their share of all posts.", "market_share_24h", 0, 1),
    _post("social_tone_24h", "-1 to 1", "Mean tone of the different texts; null without.", "tone_24h", -1, 1, POSTED_OF),
    _post("social_tone_zscore_30d", "sigma", "z-score of social_tone_24h over the last 720 hours, ddof 1.", "tone_zscore_30d", where=POSTED_OF),
    _post("social_novelty_24h", "fraction", "Share of the texts that were not posted in the 7 days before.", "novelty_7d", 0, 1, POSTED_OF),
)  # fmt: skip
