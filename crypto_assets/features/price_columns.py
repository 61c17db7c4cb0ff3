"""Columns about price, market value and volume of a coin, and about the coin in the market, from ``prices`` alone.

Levels and volumes are known from the instant of their observation. At their own hour mark they count only if that is no
later than the decision; in windows of later hours they always count. Returns, and everything derived from returns,
leave out a price that was observed more than ``NEAR_MARK`` after its mark.
"""

from typing import Any

from crypto_assets.features.feature import DAY_HOURS, MONTH_HOURS, WEEK_HOURS, Coins, Feature, Need, ends, share

SPANS = {"1h": 1, "4h": 4, "24h": DAY_HOURS, "7d": WEEK_HOURS, "30d": MONTH_HOURS}  # hours
PRICE = ("prices.price_usd",)
CAP = ("prices.market_cap_usd",)
VOLUME = ("prices.volume_24h_usd",)
WITH_BTC = (*PRICE, "prices[BTC].price_usd")


def _price(
    name: str, unit: str, formula: str, needs: tuple[Need, ...] = (), inputs: tuple[str, ...] = PRICE, **more: Any
) -> Feature:
    return Feature(name, unit, formula, inputs, needs, coins=Coins.PRICED, **more)


_LEVELS = (
    _price(
        "price_usd", "USD", "Price observed at the hour mark; null where it was not known by the decision.", lower=0
    ),
    _price(
        "market_cap_usd",
        "USD",
        "Market capitalisation observed at the hour mark; null where it was not known by the decision.",
        inputs=CAP,
        lower=0,
    ),
    _price("volume_24h_usd", "USD", "Rolling 24 h volume over all venues at the hour mark.", inputs=VOLUME, lower=0),
)
_RETURNS = tuple(
    _price(f"return_{span}", "fraction", f"p(ts) / p(ts - {hours} h) - 1.", ends(PRICE, hours), lower=-1)
    for span, hours in SPANS.items()
)  # fmt: skip
_LOG_RETURNS = tuple(
    _price(f"log_return_{span}", "log", f"ln(p(ts) / p(ts - {hours} h)).", ends(PRICE, hours))
    for span, hours in SPANS.items()
)  # fmt: skip
_VOLATILITY = (
    *(
        _price(f"volatility_{span}", "per hour", f"Sample std of hourly log returns in (ts - {SPANS[span]} h, ts], ddof 1.",
               share(PRICE, SPANS[span], steps=True), lower=0)
        for span in ("24h", "7d", "30d")
    ),
    _price("volatility_ratio_24h_30d", "ratio", "volatility_24h / volatility_30d; null where the latter is 0.",
           (*share(PRICE, DAY_HOURS, steps=True), *share(PRICE, MONTH_HOURS, steps=True)), lower=0),
    *(
        _price(f"risk_adjusted_return_{span}", "ratio",
               "Mean / sample std of the window's hourly log returns, not annualised; null where the std is 0.",
               share(PRICE, SPANS[span], steps=True), reference="Sharpe 1966, without the riskless rate")
        for span in ("7d", "30d")
    ),
)  # fmt: skip
_EXTREMES = (
    _price("drawdown_30d", "fraction", "p / highest p of the last 720 hours - 1.", share(PRICE, MONTH_HOURS, own=True),
           lower=-1, upper=0),
    _price("max_drawdown_30d", "fraction", "Deepest fall from a running high within the last 720 hours.", share(PRICE, MONTH_HOURS),
           lower=-1, upper=0, reference="Magdon-Ismail and Atiya 2004"),
    _price("distance_from_high_7d", "fraction", "p / highest p of the last 168 hours - 1.", share(PRICE, WEEK_HOURS, own=True),
           lower=-1, upper=0),
    _price("distance_from_low_7d", "fraction", "p / lowest p of the last 168 hours - 1.", share(PRICE, WEEK_HOURS, own=True),
           lower=0),
    _price("distance_from_low_30d", "fraction", "p / lowest p of the last 720 hours - 1.", share(PRICE, MONTH_HOURS, own=True),
           lower=0),
)  # fmt: skip
_VOLUMES = (
    _price("volume_change_24h", "fraction", "volume_24h_usd(ts) / volume_24h_usd(ts - 24 h) - 1.",
           ends(VOLUME, DAY_HOURS), VOLUME, lower=-1),
    _price("volume_zscore_30d", "sigma", "z-score of volume_24h_usd over the last 720 hours incl. this one, ddof 1.",
           share(VOLUME, MONTH_HOURS, own=True), VOLUME),
    _price("turnover_24h", "fraction a day", "volume_24h_usd / market_cap_usd.", inputs=(*VOLUME, *CAP), lower=0),
)  # fmt: skip
_BESIDE = (
    _price("market_cap_rank", "rank", "1 + number of coins of CRYPTO_ASSETS_COINS with a larger market_cap_usd at ts.",
           inputs=CAP, lower=1),
    _price("market_cap_dominance", "fraction",
           "market_cap_usd / its sum over the coins of CRYPTO_ASSETS_COINS that have one at ts.", inputs=CAP, lower=0, upper=1),
    *(
        feature
        for span in ("7d", "30d")
        for feature in (
            _price(f"beta_btc_{span}", "ratio", "Covariance of hourly log returns with BTC's / variance of BTC's, over hours with both; null without BTC among the coins.",
                   share(WITH_BTC, SPANS[span], steps=True), WITH_BTC),
            _price(f"correlation_btc_{span}", "-1 to 1", "Pearson correlation of hourly log returns with BTC's, over hours with both; null without BTC among the coins.",
                   share(WITH_BTC, SPANS[span], steps=True), WITH_BTC, lower=-1, upper=1),
        )
    ),
    *(
        _price(f"relative_return_btc_{span}", "fraction", f"return_{span} - return_{span} of BTC; null without BTC among the coins.",
               ends(WITH_BTC, SPANS[span]), WITH_BTC)
        for span in ("24h", "7d")
    ),
)  # fmt: skip

PRICE_FEATURES = (*_LEVELS, *_RETURNS, *_LOG_RETURNS, *_VOLATILITY, *_EXTREMES, *_VOLUMES)
MARKET_FEATURES = _BESIDE
