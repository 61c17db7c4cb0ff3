"""The columns of ``ml_features`` in table order, and those of ``onchain_enhanced``: each is defined once.

The other modules of this folder and ``transforms/onchain.py`` compute them, and tests compare both. Arithmetic on
frames does not belong here.
"""

from crypto_assets.features.context_columns import (
    CALENDAR_FEATURES,
    CONTEXT_FEATURES,
    DERIVATIVES_FEATURES,
    DEVELOPER_FEATURES,
    SOCIAL_FEATURES,
)
from crypto_assets.features.event_columns import EVENT_FEATURES
from crypto_assets.features.feature import Change, Coins, Feature
from crypto_assets.features.futures_columns import FUTURES_FEATURES, VOLATILITY_FEATURES
from crypto_assets.features.macro_columns import MACRO_FEATURES
from crypto_assets.features.network_columns import NETWORK_FEATURES
from crypto_assets.features.news_columns import NEWS_FEATURES
from crypto_assets.features.onchain_columns import DERIVED, ONCHAIN_FEATURES
from crypto_assets.features.price_columns import MARKET_FEATURES, PRICE_FEATURES
from crypto_assets.features.social_columns import POST_FEATURES
from crypto_assets.features.technical_columns import TECHNICAL_FEATURES

GROUPS: dict[str, tuple[Feature, ...]] = {
    "price": PRICE_FEATURES,
    "market": MARKET_FEATURES,
    "technical": TECHNICAL_FEATURES,
    "onchain": ONCHAIN_FEATURES,
    "context": CONTEXT_FEATURES,
    "derivatives": (*DERIVATIVES_FEATURES, *FUTURES_FEATURES),
    "volatility": VOLATILITY_FEATURES,
    "social": (*SOCIAL_FEATURES, *POST_FEATURES),
    "developer": DEVELOPER_FEATURES,
    "network": NETWORK_FEATURES,
    "macro": MACRO_FEATURES,
    "news": NEWS_FEATURES,
    "events": EVENT_FEATURES,
    "calendar": CALENDAR_FEATURES,
}
FEATURES: dict[str, Feature] = {feature.name: feature for group in GROUPS.values() for feature in group}
FEATURE_COLUMNS = tuple(feature.column for feature in FEATURES.values())

__all__ = ["DERIVED", "FEATURES", "FEATURE_COLUMNS", "GROUPS", "Change", "Coins", "Feature"]
