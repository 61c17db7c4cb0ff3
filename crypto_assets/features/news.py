"""News features at each hour mark, of the coin and of the market, and how they changed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crypto_assets.features.all_features import Change, Feature
from crypto_assets.features.feature import column_of, entity_of
from crypto_assets.features.grid import Arrays, Floats
from crypto_assets.features.news_columns import NEWS_FEATURES
from crypto_assets.features.windows import earlier

MARKET = "MARKET"
OWN = tuple(feature for feature in NEWS_FEATURES if entity_of(feature.inputs[0]) is None)
OF_MARKET = tuple(feature for feature in NEWS_FEATURES if entity_of(feature.inputs[0]) == MARKET)
NEWS_COLUMNS = tuple(dict.fromkeys(column_of(feature.inputs[0]) for feature in NEWS_FEATURES))


def news_features(values: Mapping[str, Floats]) -> Arrays:
    """Compute the columns of the coins' own news.

    Args:
        values: columns of ``narratives``; coins x hours. An hour without a row is NaN, because nothing was seen.

    Returns:
        Column -> coins x hours.
    """
    return {feature.name: _value(feature, values) for feature in OWN}


def _value(feature: Feature, values: Mapping[str, Floats]) -> Floats:
    value = values[column_of(feature.inputs[0])]
    return value - earlier(value, feature.hours - 1) if feature.change is Change.DIFFERENCE else value.copy()


def market_news(at_own_hour: Mapping[str, Floats], count: int) -> Arrays:
    """Copy the market's columns to each of ``count`` rows.

    Args:
        at_own_hour: columns of ``narratives`` for MARKET; one row of hours.
        count: the number of rows.

    Returns:
        Column -> rows x hours.
    """
    return {
        feature.name: np.broadcast_to(row := at_own_hour[column_of(feature.inputs[0])], (count, row.shape[1]))
        for feature in OF_MARKET
    }
