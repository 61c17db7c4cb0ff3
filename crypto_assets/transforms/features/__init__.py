"""``ml_features``: point-in-time features of every coin and hour, as pure functions over the input tables.

Price, bars and context each have a module; the hourly grid and its windows are shared. No reading or writing here.
"""

from crypto_assets.transforms.features.build import LOOKBACK_DAYS, build_features

__all__ = ["LOOKBACK_DAYS", "build_features"]
