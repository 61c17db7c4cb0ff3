"""On-chain tables: the provider's daily numbers, and the ratios derived from each of their rows."""

from __future__ import annotations

from datetime import timedelta

from crypto_assets.features.feature import DAILY_STALENESS
from crypto_assets.features.onchain_columns import DERIVED
from crypto_assets.features.onchain_columns import LOOKBACK_DAYS as ENHANCED_LOOKBACK_DAYS
from crypto_assets.tables.contract import Contract, WriteMode
from crypto_assets.tables.pit_quality import SeenInTime, WorstOfInputs
from crypto_assets.tables.shared_columns import available_at, day, source, symbol, value
from crypto_assets.tables.spec import (
    COINGECKO_RANGE_DAYS,
    FULL_HISTORY,
    OWNER,
    AsOf,
    Chunk,
    DerivedFrom,
    EachCoin,
    Freshness,
    FromProvider,
    RowsOf,
    TableSpec,
    When,
)

ONCHAIN_STALENESS = DAILY_STALENESS
# From the end of a day until the provider has its numbers, where the provider does not say when.
COINMETRICS_LAG = timedelta(hours=6)  # docs.coinmetrics.io: daily metrics are computed in the hours after midnight UTC
COINMETRICS_PLAUSIBLE = timedelta(days=7)  # a later completion time means that the provider computed the day again

# Our column -> the metric of Coin Metrics.
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
    "transfers_above_1m_usd": "TxTfrValAbUSD1MCnt",
}
# Metrics that the community API does not have: they are asked for with COINMETRICS_API_KEY only.
COINMETRICS_PAID = frozenset({"TxTfrValAbUSD1MCnt"})
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
    "transfers_above_1m_usd": (
        "transfers",
        "Transfers of at least 1 M USD in the day, change outputs included; with COINMETRICS_API_KEY only. No open source counts "
        "them: Coin Metrics sells the metric, Whale Alert and Glassnode sell counts of their own",
    ),
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
    pit_quality=SeenInTime(
        timedelta(days=1),
        "Coin Metrics computes past days again when its methods, tags of addresses or prices change",
        trained_on=True,
    ),
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
    pit_quality=WorstOfInputs(by="symbol"),
    reference="https://docs.coinmetrics.io/asset-metrics (NVT, MVRV); Kalichkin 2018 (NVT signal)",
    time_column=None,
)

DAILY = Freshness(warn_after=timedelta(hours=36), late_after=timedelta(hours=48), by_coin=True)
# 06:30 is after the usual lag of Coin Metrics; the fetch at noon finds a late day.
SETTLED = frozenset({When.SETTLE, When.NOON})

SPECS = (
    TableSpec(
        contract=ONCHAIN_BASE,
        group="onchain",
        kinds=frozenset({"coinmetrics"}),
        owner=OWNER,
        rows_from=FromProvider(
            pool="coinmetrics", settles_after=COINMETRICS_LAG, history=FULL_HISTORY, newest_only=False
        ),
        when=SETTLED,
        freshness=DAILY,
        expected=EachCoin(rows_per_day=1, identifier="coinmetrics", kept=False),
        chunk=Chunk(days=COINGECKO_RANGE_DAYS, hourly_rows=None),
        read_by_features=AsOf(known_within=timedelta(days=1) + COINMETRICS_PLAUSIBLE),
        own_pod_from_days=None,
        demo_warm_up=True,
    ),
    TableSpec(
        contract=ONCHAIN_ENHANCED,
        group="onchain",
        kinds=frozenset({"pandas"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={"onchain_base": ENHANCED_LOOKBACK_DAYS},
            required=("onchain_base",),
            dry_run=True,
            transform="crypto_assets.transforms.onchain:enhance",
            columns={c.name: tuple(f"onchain_base.{name}" for name in c.inputs) for c in DERIVED},
        ),
        when=SETTLED,
        freshness=DAILY,
        expected=RowsOf(table="onchain_base", distinct=None, note="every base row is expected"),
        chunk=Chunk(days=None, hourly_rows=None),
        read_by_features=AsOf(known_within=timedelta(days=1) + COINMETRICS_PLAUSIBLE),
        own_pod_from_days=None,
        demo_warm_up=True,
    ),
)
