"""Every table's contract: grain, key, columns, units, bounds, nullability, and when a value becomes known.

Add a table by adding a :class:`Contract` here; validation, the contract check, the UI's column metadata and
``docs/data-dictionary.md`` follow. The columns of ``ml_features`` and ``onchain_enhanced`` come from ``features/definitions/``.
"""

from __future__ import annotations

from datetime import timedelta

from crypto_assets.features.definitions import DERIVED, FEATURE_COLUMNS
from crypto_assets.features.feature import DAILY_STALENESS
from crypto_assets.tables.columns import available_at, day, key, source, symbol, ts, value
from crypto_assets.tables.context import (
    DEFI_PROTOCOLS,
    DEFI_YIELDS,
    DERIVATIVES,
    DEVELOPER_ACTIVITY,
    KRAKEN_OHLC,
    SOCIAL_METRICS,
)
from crypto_assets.tables.contract import Contract, WriteMode
from crypto_assets.tables.news import ARTICLE_NARRATIVES, NARRATIVES, NEWS_ARTICLES, THEME_DIGESTS, THEME_TRENDS
from crypto_assets.tables.news import THEMES as THEMES
from crypto_assets.tables.operations import (
    API_USAGE,
    FRESHNESS_OBSERVATIONS,
    HISTORY_REPORT,
    QUARANTINE,
    SET_ASIDE,
    SLO_REPORT,
)

ONCHAIN_STALENESS = DAILY_STALENESS

# Lags from the end of a day until a provider has it, where the provider does not say so itself.
COINMETRICS_LAG = timedelta(hours=6)  # docs.coinmetrics.io: daily metrics are computed in the hours after midnight UTC
COINMETRICS_PLAUSIBLE = timedelta(days=7)  # a completion time later than this is a re-computation, not the first one
DEFILLAMA_LAG = timedelta(hours=1)  # api-docs.defillama.com: the daily point is final once the UTC day is over
FEAR_GREED_LAG = timedelta(minutes=15)  # alternative.me: "updated daily" at 00:00 UTC of the stamped day
DECISION_DELAY = timedelta(minutes=5)  # a features row labelled ts decides at ts + 5 minutes


PRICES = Contract(
    table="prices",
    description="Hourly observations of price, market capitalisation and rolling 24 h volume.",
    grain="coin x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(),
        ts("Hour mark whose observation this is: the first one at or after it, however late (see available_at)."),
        day(),
        available_at("the provider's own instant of the observation"),
        source(),
        value("price_usd", "USD", "Price.", nullable=False, above=0),
        value("market_cap_usd", "USD", "Market capitalisation.", above=0, placeholder="0"),
        value("volume_24h_usd", "USD", "Volume of the last 24 hours over all venues.", above=0, placeholder="0"),
    ),
    available_at_rule="the provider's own instant of the observation",
    write_mode=WriteMode.MERGE,
    reference="https://docs.coingecko.com/reference/coins-id-market-chart-range",
)

OHLC = Contract(
    table="ohlc",
    description="Hourly bars, each coin from the first source in OHLC_SOURCES that lists it.",
    grain="coin x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(),
        ts("Open of the bar."),
        day(),
        available_at("the bar's close, one hour after ts"),
        source(),
        value("open", "quote", "First price; quote is USD, USDT where the source says so.", nullable=False, above=0),
        value("high", "quote", "Highest price.", nullable=False, above=0),
        value("low", "quote", "Lowest price.", nullable=False, above=0),
        value("close", "quote", "Last price.", nullable=False, above=0),
        value("volume", "base units", "Volume in the bar; null where the source has none (CoinGecko).", lower=0),
    ),
    available_at_rule="the bar's close",
    ordered=(("low", "open"), ("low", "close"), ("open", "high"), ("close", "high")),
    write_mode=WriteMode.MERGE,
    reference="https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints",
)

# Our name -> the provider's metric: Coin Metrics' numbers, unchanged.
COINMETRICS_METRICS = {
    "active_addresses": "AdrActCnt",
    "transaction_count": "TxCnt",
    "transfer_volume_usd": "TxTfrValAdjUSD",
    "transfer_volume_native": "TxTfrValAdjNtv",
    "fees_usd": "FeeTotUSD",
    "hash_rate": "HashRate",
    "difficulty": "DiffMean",
    "supply_current": "SplyCur",
    "market_cap_usd": "CapMrktCurUSD",
    "realized_cap_usd": "CapRealUSD",
    "exchange_inflow_usd": "FlowInExUSD",
    "exchange_outflow_usd": "FlowOutExUSD",
    "price_usd": "PriceUSD",
    "mvrv_provider": "CapMVRVCur",
    "nvt_provider": "NVTAdj",
}
_ONCHAIN_UNITS = {
    "active_addresses": ("addresses", "Distinct addresses active in the day"),
    "transaction_count": ("transactions", "Transactions in the day"),
    "transfer_volume_usd": ("USD", "Adjusted value transferred in the day"),
    "transfer_volume_native": ("native units", "Adjusted value transferred in the day"),
    "fees_usd": ("USD", "Fees paid in the day"),
    "hash_rate": ("TH/s", "Mean hash rate"),
    "difficulty": ("dimensionless", "Mean difficulty"),
    "supply_current": ("native units", "Supply visible on chain at the day's end"),
    "market_cap_usd": ("USD", "Supply times price at the day's end"),
    "realized_cap_usd": ("USD", "Each unit at the price of its last move"),
    "exchange_inflow_usd": ("USD", "Sent to exchanges in the day"),
    "exchange_outflow_usd": ("USD", "Withdrawn from exchanges in the day"),
    "price_usd": ("USD", "Price at the day's end"),
    "mvrv_provider": ("ratio", "The provider's own MVRV"),
    "nvt_provider": ("ratio", "The provider's own NVT (adjusted)"),
}
_ONCHAIN_AVAILABLE = (
    "AssetEODCompletionTime where it lies within 7 days after the day's end, else the day's end plus 6 hours"
)

ONCHAIN_BASE = Contract(
    table="onchain_base",
    description="Daily on-chain activity and valuation: the provider's numbers, unchanged.",
    grain="coin x day",
    key=("symbol", "date"),
    columns=(
        symbol(),
        day(),
        available_at(_ONCHAIN_AVAILABLE),
        source(),
        *(
            value(
                name,
                _ONCHAIN_UNITS[name][0],
                f"{_ONCHAIN_UNITS[name][1]} ({metric}).",
                lower=None if name.endswith("_provider") else 0,
                placeholder="0" if name in ("price_usd", "market_cap_usd") else None,
                max_staleness=ONCHAIN_STALENESS,
            )
            for name, metric in COINMETRICS_METRICS.items()
        ),
    ),
    available_at_rule=_ONCHAIN_AVAILABLE,
    write_mode=WriteMode.MERGE,
    reference="https://docs.coinmetrics.io/api/v4 (timeseries/asset-metrics)",
    time_column=None,
)

ONCHAIN_ENHANCED = Contract(
    table="onchain_enhanced",
    description="Ratios and rolling measures derived from onchain_base; its rows are base's rows, all of them.",
    grain="coin x day",
    key=("symbol", "date"),
    columns=(
        symbol(),
        day(),
        available_at("that of the base row; windows use only base rows known by then"),
        source(),
        *(
            value(c.name, c.unit, c.described(), max_staleness=ONCHAIN_STALENESS, lower=c.lower, upper=c.upper)
            for c in DERIVED
        ),
    ),
    available_at_rule="that of the base row",
    reference="https://docs.coinmetrics.io/asset-metrics (NVT, MVRV); Kalichkin 2018 (NVT signal)",
    time_column=None,
)

DEFI_METRICS = Contract(
    table="defi_metrics",
    description="Total value locked and stablecoin supply, for all chains together (entity 'all') and by chain.",
    grain="chain or protocol group x day",
    key=("entity", "date"),
    columns=(
        key("entity", "'all', or a chain as DefiLlama spells it."),
        day(),
        available_at("the day's end plus 1 hour"),
        source(),
        value("tvl_usd", "USD", "Total value locked.", lower=0, placeholder="0", max_staleness=DAILY_STALENESS),
        value(
            "stablecoin_supply_usd",
            "USD",
            "Stablecoins in circulation.",
            lower=0,
            placeholder="0",
            max_staleness=DAILY_STALENESS,
        ),
    ),
    available_at_rule="the day's end plus 1 hour",
    write_mode=WriteMode.MERGE,
    reference="https://api-docs.defillama.com (historicalChainTvl, stablecoincharts)",
    time_column=None,
)

MARKET_SENTIMENT = Contract(
    table="market_sentiment",
    description="Crypto Fear & Greed index.",
    grain="day",
    key=("date",),
    columns=(
        day(),
        available_at("the stamped midnight plus 15 minutes"),
        source(),
        value(
            "fear_greed_index", "0 (fear) to 100 (greed)", "Index value.",
            nullable=False, lower=0, upper=100, max_staleness=DAILY_STALENESS,
        ),
    ),
    available_at_rule="the stamped midnight plus 15 minutes",
    write_mode=WriteMode.MERGE,
    reference="https://alternative.me/crypto/fear-and-greed-index/#api",
    time_column=None,
)  # fmt: skip

ML_FEATURES = Contract(
    table="ml_features",
    description="Point-in-time features: every value was known at ts + 5 minutes.",
    grain="coin x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(),
        ts("Hour mark the row is labelled with; it decides at ts + 5 minutes."),
        day(),
        available_at("ts + 5 minutes"),
        source(),
        *FEATURE_COLUMNS,
    ),
    available_at_rule="ts + 5 minutes",
)

CONTRACTS: dict[str, Contract] = {
    contract.table: contract
    for contract in (
        PRICES, OHLC, ONCHAIN_BASE, ONCHAIN_ENHANCED, DEFI_METRICS, MARKET_SENTIMENT,
        NEWS_ARTICLES, ARTICLE_NARRATIVES, NARRATIVES, THEME_TRENDS, THEME_DIGESTS, ML_FEATURES,
        KRAKEN_OHLC, DERIVATIVES, SOCIAL_METRICS, DEVELOPER_ACTIVITY, DEFI_PROTOCOLS, DEFI_YIELDS,
        API_USAGE, QUARANTINE, SET_ASIDE, FRESHNESS_OBSERVATIONS, SLO_REPORT, HISTORY_REPORT,
    )
}  # fmt: skip

# The ten on-chain fields the old system was judged by.
TEN_ONCHAIN_FIELDS = (
    "transaction_count_24h", "onchain_market_cap_usd", "onchain_volume_24h", "onchain_price_volatility_7d",
    "onchain_active_addresses", "onchain_transaction_volume", "onchain_avg_transaction_value", "onchain_nvt_ratio",
    "onchain_mvrv_ratio", "onchain_whale_transactions",
)  # fmt: skip
