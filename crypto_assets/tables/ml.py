"""The feature table. Columns, inputs and look-back follow from the definitions in ``features/all_features.py``."""

from __future__ import annotations

from crypto_assets.features.all_features import FEATURE_COLUMNS, FEATURES
from crypto_assets.features.feature import column_of, table_of
from crypto_assets.features.lookback import LOOKBACK_DAYS
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.pit_quality import WorstOfInputs
from crypto_assets.tables.prices import EVERY_COIN_HOURLY
from crypto_assets.tables.shared_columns import available_at, day, source, symbol, ts
from crypto_assets.tables.spec import OWNER, Chunk, DerivedFrom, HoursOf, TableSpec, When

WORST = WorstOfInputs(by="symbol")

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
    pit_quality=WORST,
)

# Ten on-chain columns that the population report names one by one.
TEN_ONCHAIN_FIELDS = (
    "transaction_count_24h", "onchain_market_cap_usd", "onchain_volume_24h", "onchain_price_volatility_7d",
    "onchain_active_addresses", "onchain_transaction_volume", "onchain_avg_transaction_value", "onchain_nvt_ratio",
    "onchain_mvrv_ratio", "onchain_whale_transactions",
)  # fmt: skip

# Largest number of rows of one run: a copy of the frame takes 0.8 GB, and a run holds a few copies.
CHUNK_ROWS = 300 * 24 * 40

SPECS = (
    TableSpec(
        contract=ML_FEATURES,
        group="ml",
        kinds=frozenset({"polars"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs=LOOKBACK_DAYS,
            required=("prices", "ohlc"),
            dry_run=True,
            columns={
                name: tuple(dict.fromkeys(f"{table_of(origin)}.{column_of(origin)}" for origin in feature.inputs))
                for name, feature in FEATURES.items()
            },
        ),
        when=frozenset({When.TICK, When.SETTLE, When.NOON}),
        freshness=EVERY_COIN_HOURLY,
        expected=HoursOf(tables=("prices", "ohlc")),
        chunk=Chunk(days=None, hourly_rows=CHUNK_ROWS),
        read_by_features=None,
        own_pod_from_days=180,  # features of a year take gigabytes of memory
        demo_warm_up=False,
    ),
)
