"""Which columns all coins of an hour share, and which of those models read."""

from __future__ import annotations

import pytest

from crypto_assets.features.all_features import FEATURES
from crypto_assets.features.market_wide import MARKET_WIDE, is_shared


@pytest.mark.parametrize(
    ("name", "shared", "read"),
    [
        ("hour_sin", True, True),
        ("fear_greed_index", True, True),
        ("stablecoin_supply_change_30d", True, True),
        ("macro_vix_zscore_20", True, True),
        ("market_news_sentiment_24h", True, True),
        ("tvl_usd", True, False),  # levels
        ("macro_m2", True, False),
        ("market_news_count_24h", True, False),
        ("macro_cpi_days_since_release", True, False),  # it names the month
        ("chain_tvl_change_7d", False, False),  # of the coin's own chain
        ("relative_return_btc_7d", False, False),
        ("funding_venue_spread", False, False),
        ("news_sentiment_24h", False, False),
    ],
)
def test_what_all_coins_share_is_read_where_it_keeps_its_range(name: str, shared: bool, read: bool) -> None:
    assert (is_shared(FEATURES[name]), name in MARKET_WIDE) == (shared, read)
