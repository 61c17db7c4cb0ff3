"""The limits of each provider's plans, with the address of their documentation, and the limit of a call.

A limit belongs to the provider's server or to a key. A replaced base address without a key is somebody's own server,
which has no documented limit. There the client keeps no pace unless ``RATE_LIMITS`` asks for one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crypto_assets.settings import Settings

if TYPE_CHECKING:
    from pydantic import SecretStr

# The share of the documented rate that we use. The rest absorbs the jitter of two clocks and a network.
SAFETY = 0.98


@dataclass(frozen=True)
class Plan:
    """One plan of one provider: ``calls`` per ``seconds``, credits a month (None: no cap), and days of history.

    ``history_days`` is None where the plan gives all of the history.
    """

    calls: int
    seconds: float
    credits_per_month: int | None
    history_days: int | None
    host: str
    reference: str


_GECKO = "https://www.coingecko.com/en/api/pricing"
_PRO, _PUBLIC = "pro-api.coingecko.com", "api.coingecko.com"
_FAPI = "fapi.binance.com"
_USDM = "https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api"
PLANS: dict[str, dict[str, Plan]] = {
    "coingecko": {
        "public": Plan(5, 60, None, 365, _PUBLIC, "https://docs.coingecko.com/v3.0.1/docs/common-errors-rate-limit"),
        "demo": Plan(30, 60, 10_000, 365, _PUBLIC, _GECKO),
        "basic": Plan(250, 60, 100_000, 730, _PRO, _GECKO),
        "analyst": Plan(500, 60, 500_000, None, _PRO, _GECKO),
        "lite": Plan(500, 60, 2_000_000, None, _PRO, _GECKO),
        "enterprise": Plan(1_000, 60, None, None, _PRO, _GECKO),
    },
    "coinmetrics": {
        "community": Plan(10, 6, None, None, "community-api.coinmetrics.io", "https://docs.coinmetrics.io/api/v4/#tag/Rate-limits"),
        "paid": Plan(6_000, 20, None, None, "api.coinmetrics.io", "https://docs.coinmetrics.io/api/v4/#tag/Rate-limits"),
    },
    "binance": {  # 6,000 weight a minute; klines of 1,000 rows weigh 2
        "public": Plan(3_000, 60, None, None, "api.binance.com", "https://developers.binance.com/docs/binance-spot-api-docs/rest-api/limits"),
    },
    # Binance's futures host counts its routes apart, so that each has a name of its own here.
    "binance_funding": {
        "public": Plan(500, 300, None, None, _FAPI, f"{_USDM}/Get-Funding-Rate-History"),
    },
    "binance_statistics": {
        "public": Plan(1_000, 300, None, 30, _FAPI, f"{_USDM}/Open-Interest-Statistics"),
    },
    "binance_perpetual": {  # 2,400 weight a minute; klines of 1,001 to 1,500 rows weigh 10
        "public": Plan(240, 60, None, None, _FAPI, f"{_USDM}/Kline-Candlestick-Data"),
    },
    "binance_archive": {  # no limit is documented for the files; this one is our choice
        "public": Plan(3_000, 60, None, None, "data.binance.vision", "https://github.com/binance/binance-public-data"),
    },
    "bybit": {
        "public": Plan(600, 5, None, None, "api.bybit.com", "https://bybit-exchange.github.io/docs/v5/rate-limit"),
    },
    "deribit": {  # 500 credits a request, 10,000 credits a second with a key; half of it without one is our choice
        "public": Plan(10, 1, None, None, "www.deribit.com", "https://docs.deribit.com/articles/rate-limits"),
    },
    "kraken": {
        "public": Plan(1, 1, None, 30, "api.kraken.com", "https://docs.kraken.com/api/docs/guides/spot-rest-ratelimits"),
    },
    "defillama": {  # no limit is documented for the free host; this one is our choice
        "public": Plan(300, 60, None, None, "api.llama.fi", "https://api-docs.defillama.com"),
    },
    "fred": {  # the API documents no figure any more; more than 120 requests a minute are answered with 429
        "public": Plan(2, 1, None, None, "api.stlouisfed.org", "https://fred.stlouisfed.org/docs/api/fred/errors.html"),
    },
    # The four document no limit; these are our choice.
    "cboe": {
        "public": Plan(30, 60, None, None, "cdn.cboe.com", "https://www.cboe.com/tradable_products/vix/vix_historical_data/"),
    },
    "nyfed": {
        "public": Plan(60, 60, None, None, "markets.newyorkfed.org", "https://markets.newyorkfed.org/static/docs/markets-api.html"),
    },
    "treasury": {
        "public": Plan(30, 60, None, None, "home.treasury.gov", "https://home.treasury.gov/treasury-daily-interest-rate-xml-feed"),
    },
    "ecb": {
        "public": Plan(60, 60, None, None, "data-api.ecb.europa.eu", "https://data.ecb.europa.eu/help/api/overview"),
    },
    "blockchain": {  # no limit is documented; this one is our choice
        "public": Plan(60, 60, None, None, "api.blockchain.info", "https://www.blockchain.com/explorer/api/charts_api"),
    },
    "mempool": {  # a limit is not disclosed, and going on after a 429 ends in a ban; this one is our choice
        "public": Plan(10, 60, None, None, "mempool.space", "https://mempool.space/docs/faq#rate-limits"),
    },
    "alternative_me": {
        "public": Plan(60, 60, None, None, "api.alternative.me", "https://alternative.me/crypto/fear-and-greed-index/#api"),
    },
}  # fmt: skip
PROVIDERS = (*PLANS, "rss")  # the providers that may be given a limit or a budget
_ANY_PACE = (1_000_000, 1.0)  # the pace of a provider that has a budget and no limit
PREMIUM_PLANS = frozenset({"basic", "analyst", "lite", "enterprise"})


@dataclass(frozen=True)
class Limit:
    """The limit of one bucket: ``calls`` per ``seconds``, and a monthly budget where there is one.

    ``bucket`` names provider, plan and key (by a digest), so that all users of one key share one bucket.
    """

    bucket: str
    calls: int
    seconds: float
    budget: int | None

    @property
    def interval(self) -> float:
        """Seconds between two calls at an even pace."""
        return self.seconds / self.calls / SAFETY


def plan_of(provider: str, settings: Settings) -> tuple[str, Plan] | None:
    """Find the plan of a provider under these settings.

    Args:
        provider: the provider's name.
        settings: plans and keys.

    Returns:
        The plan's name and its limits; None for a provider without a documented limit.
    """
    plans = PLANS.get(provider)
    if plans is None:
        return None
    if provider == "coingecko":
        name = settings.coingecko_plan
    elif provider == "coinmetrics":
        name = "paid" if settings.coinmetrics_api_key else "community"
    else:
        name = "public"
    return name, plans[name]


def limit_of(provider: str, settings: Settings) -> Limit | None:
    """Find the limit for calls to a provider.

    Args:
        provider: the provider's name.
        settings: plans, keys, base addresses, ``RATE_LIMITS`` and ``API_BUDGETS``.

    Returns:
        The limit; None where there is none (see the module's docstring).
    """
    found = plan_of(provider, settings)
    pace, budget = settings.rate_limits.get(provider), settings.api_budgets.get(provider)
    key = _key(provider, settings)
    if found is None:
        return Limit(f"{provider}:own", *(pace or _ANY_PACE), budget) if pace or budget is not None else None
    name, plan = found
    own_server = urlsplit(_base(provider, settings)).hostname not in (plan.host, "stablecoins.llama.fi")
    bucket = f"{provider}:{name}" + (f":{_digest(key)}" if key else "")
    if budget is None and (key or not own_server):
        budget = plan.credits_per_month
    if pace is None and own_server and key is None:
        return Limit(bucket, *_ANY_PACE, budget) if budget is not None else None
    return Limit(bucket, *(pace or (plan.calls, plan.seconds)), budget)


def _key(provider: str, settings: Settings) -> SecretStr | None:
    keys: Mapping[str, SecretStr | None] = {
        "coingecko": settings.coingecko_api_key,
        "coinmetrics": settings.coinmetrics_api_key,
    }  # FRED's key has no plan: another server has no documented limit, with or without it
    return keys.get(provider)


def _digest(key: SecretStr) -> str:
    return hashlib.sha256(key.get_secret_value().encode()).hexdigest()[:12]


def _base(provider: str, settings: Settings) -> str:
    """Read the provider's address: the setting that has its name, except where the variable is called after the data."""
    usdm = dict.fromkeys(("binance_funding", "binance_statistics", "binance_perpetual"), "binance_futures")
    name = {"alternative_me": "fear_greed", **usdm}.get(provider, provider)
    return str(getattr(settings, f"{name}_base_url"))
