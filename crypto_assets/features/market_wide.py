"""Columns of ``ml_features`` that all coins of an hour share, and whose range stays the same over the years.

They order no coins within an hour, so that a rank of them says nothing. Trees read them as they are, and can split by them
before they split by a feature of the coin. Levels that grow with the market, such as value locked, are left out: what a
tree learnt of their range does not come again. Of a macro series only the z-score is one of them: it says most of what the
changes say, and hundreds of slow columns would name the month rather than describe it.
"""

from __future__ import annotations

from crypto_assets.features.all_features import FEATURES
from crypto_assets.features.feature import Change, Feature, entity_of, table_of

SHARED_ENTITIES = ("all", "MARKET")
SHARED_TABLES = ("market_sentiment", "macro_indicators")  # no row of theirs is a coin's


def is_shared(feature: Feature) -> bool:
    """Whether all coins of an hour have the same value: no input is the coin's own."""
    return all(entity_of(name) in SHARED_ENTITIES or table_of(name) in SHARED_TABLES for name in feature.inputs)


def _keeps_its_range(feature: Feature) -> bool:
    """Whether it is a change, a z-score, or a value between two bounds."""
    bounded = feature.lower is not None and feature.upper is not None
    return bounded or feature.change is not Change.NONE or feature.unit == "sigma"


MARKET_WIDE = tuple(name for name, feature in FEATURES.items() if is_shared(feature) and _keeps_its_range(feature))
