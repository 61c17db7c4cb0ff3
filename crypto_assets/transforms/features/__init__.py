"""``ml_features``: point-in-time features of every coin and hour, as pure functions over the input tables.

Price, bars, news and context each have a module; the hourly grid and its windows are shared. Definitions are in
``feature_columns/``. No reading or writing here.
"""

from crypto_assets.transforms.features.build import build_features
from crypto_assets.transforms.features.lookback import LOOKBACK_DAYS

__all__ = ["LOOKBACK_DAYS", "build_features"]
