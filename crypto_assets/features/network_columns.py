"""Columns about chains, from providers without a key: the newest day known, and its change over a week.

What these providers show of past days was revised since, so that their rows are ``backfilled`` unless they were seen in
time; training sets leave such features out by default.
"""

from __future__ import annotations

from crypto_assets.features.feature import DAILY_STALENESS, WEEK_HOURS, Change, Coins, Feature, ends


def _columns(name: str, unit: str, what: str, coins: Coins) -> tuple[Feature, Feature]:
    inputs = (f"network_metrics.{name}",)
    return (
        Feature(f"network_{name}", unit, f"{what} of the newest day known.", inputs, stale=DAILY_STALENESS, coins=coins, lower=0),
        Feature(f"network_{name}_change_7d", "fraction", f"{what} as known at ts / as known {WEEK_HOURS} hours before - 1.", inputs,
                stale=DAILY_STALENESS, coins=coins, needs=ends(inputs, WEEK_HOURS), change=Change.RELATIVE, lower=-1),
    )  # fmt: skip


NETWORK_FEATURES = tuple(
    feature
    for name, unit, what, coins in (
        ("transactions", "transactions", "Confirmed transactions", Coins.BITCOIN),
        ("unique_addresses", "addresses", "Addresses used", Coins.BITCOIN),
        ("transfer_volume_usd", "USD", "Estimated value transferred", Coins.BITCOIN),
        ("fees_usd", "USD", "Fees paid to miners", Coins.BITCOIN),
        ("miners_revenue_usd", "USD", "Block rewards and fees", Coins.BITCOIN),
        ("hash_rate", "TH/s", "Estimated hash rate", Coins.BITCOIN),
        ("difficulty", "dimensionless", "Difficulty", Coins.BITCOIN),
        ("median_fee_rate", "satoshi a virtual byte", "Median fee rate of blocks", Coins.BITCOIN),
        ("dex_volume_usd", "USD", "Volume of decentralised exchanges on the coin's chain", Coins.CHAIN),
        ("chain_fees_usd", "USD", "Fees paid on the coin's chain", Coins.CHAIN),
    )
    for feature in _columns(name, unit, what, coins)
)
