"""Price, returns and volatility from ``prices``. Indicators of bars are in ``technical.py``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crypto_assets.transforms.features.grid import HOURS_A_DAY, Arrays, Floats
from crypto_assets.transforms.features.windows import earlier, rolling_moments

DAY = HOURS_A_DAY
WEEK = 7 * HOURS_A_DAY
RETURNS = {"return_1h": 1, "return_24h": DAY, "return_7d": WEEK}  # hours
VOLATILITIES = {"volatility_24h": DAY, "volatility_7d": WEEK}  # hours
LEAST_SHARE = 0.8  # of a window's hourly returns, below which its volatility is unknown
WINDOW = max(*RETURNS.values(), *VOLATILITIES.values()) + 1  # hour marks: n returns need n + 1 prices


def price_features(values: Mapping[str, Floats]) -> Arrays:
    """price_usd (USD); simple returns (fractions); standard deviations (ddof 1) of hourly log returns.

    An hour without a price is NaN, so a log return exists between consecutive hours only.
    """
    price = values["price_usd"]
    out = {"price_usd": price.copy()}
    for name, hours in RETURNS.items():
        out[name] = price / earlier(price, hours) - 1.0
    moments = rolling_moments(np.log(price / earlier(price, 1)), *VOLATILITIES.values())
    for (name, hours), moment in zip(VOLATILITIES.items(), moments, strict=True):
        out[name] = moment.std(ddof=1, at_least=LEAST_SHARE * hours)
    return out
