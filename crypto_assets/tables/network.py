"""The table of chain data that needs no key: Bitcoin's charts, and what is traded and paid on each coin's chain."""

from __future__ import annotations

from datetime import timedelta

from crypto_assets.features.feature import DAILY_STALENESS
from crypto_assets.tables.contract import Column, Contract, WriteMode
from crypto_assets.tables.pit_quality import SeenInTime
from crypto_assets.tables.shared_columns import available_at, day, source, symbol, value
from crypto_assets.tables.spec import (
    COINGECKO_RANGE_DAYS,
    FULL_HISTORY,
    OWNER,
    AsOf,
    Chunk,
    DaysWithRows,
    Freshness,
    FromProvider,
    TableSpec,
    When,
)

NETWORK_LAG = timedelta(hours=6)  # none of the three documents one; the fetch in the morning found the day so far
KNOWN_AT = "the day's end plus 6 hours"

# Column -> chart of blockchain.info.
CHARTS = {
    "transactions": "n-transactions",
    "unique_addresses": "n-unique-addresses",
    "transfer_volume_usd": "estimated-transaction-volume-usd",
    "fees_usd": "transaction-fees-usd",
    "miners_revenue_usd": "miners-revenue",
    "hash_rate": "hash-rate",
    "difficulty": "difficulty",
}
# Column -> dimension of DefiLlama's overview.
DIMENSIONS = {"dex_volume_usd": "dexs", "chain_fees_usd": "fees"}


def _cell(name: str, unit: str, description: str, **more: object) -> Column:
    return value(name, unit, description, lower=0, max_staleness=DAILY_STALENESS, **more)


NETWORK_METRICS = Contract(
    table="network_metrics",
    description="Chain data of providers without a key. Bitcoin: blockchain.info and mempool.space; other coins: what DefiLlama "
    "counts on their chain. Stablecoins by chain are in defi_metrics.",
    grain="coin x day",
    key=("symbol", "date"),
    columns=(
        symbol(),
        day(),
        available_at(KNOWN_AT),
        source(),
        _cell("transactions", "transactions", "Confirmed transactions of the day (blockchain.info n-transactions)."),
        _cell("unique_addresses", "addresses", "Addresses used in the day (n-unique-addresses)."),
        _cell("transfer_volume_usd", "USD", "Estimated value transferred, without change (estimated-transaction-volume-usd); the "
              "provider revises its estimate."),
        _cell("fees_usd", "USD", "Fees paid to miners (transaction-fees-usd)."),
        _cell("miners_revenue_usd", "USD", "Block rewards and fees (miners-revenue)."),
        _cell("hash_rate", "TH/s", "Estimated hash rate (hash-rate)."),
        _cell("difficulty", "dimensionless", "Difficulty (difficulty)."),
        _cell("median_fee_rate", "satoshi a virtual byte", "Mean over the day of the blocks' median fee rates (mempool.space avgFee_50); "
              "three years back."),
        _cell("dex_volume_usd", "USD", "Volume of decentralised exchanges on the coin's chain (DefiLlama dexs)."),
        _cell("chain_fees_usd", "USD", "Fees that users paid on the coin's chain (DefiLlama fees)."),
    ),
    available_at_rule=KNOWN_AT,
    pit_quality=SeenInTime(
        timedelta(days=1), "the estimates of blockchain.info and the totals of DefiLlama are revised backwards"
    ),
    write_mode=WriteMode.MERGE,
    reference="https://www.blockchain.com/explorer/api/charts_api; https://mempool.space/docs/api/rest; https://api-docs.defillama.com",
    time_column=None,
)  # fmt: skip

SPECS = (
    TableSpec(
        contract=NETWORK_METRICS,
        group="network",
        kinds=frozenset({"blockchain"}),
        owner=OWNER,
        rows_from=FromProvider(pool="blockchain", settles_after=NETWORK_LAG, history=FULL_HISTORY, newest_only=False),
        when=frozenset({When.SETTLE, When.NOON}),
        freshness=Freshness(warn_after=timedelta(hours=36), late_after=timedelta(hours=60), by_coin=False),
        expected=DaysWithRows(note="each day has Bitcoin", after=NETWORK_LAG),
        chunk=Chunk(days=COINGECKO_RANGE_DAYS, hourly_rows=None),
        read_by_features=AsOf(known_within=timedelta(days=1) + NETWORK_LAG),
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
)
