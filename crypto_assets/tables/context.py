"""Contracts of what surrounds prices: a second venue, derivatives, communities, developers, protocols and yields.

Snapshot tables hold what a provider shows of the present: a day that was not fetched when it was cannot be had later.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.tables.columns import available_at, day, key, source, symbol, ts, value
from crypto_assets.tables.contract import Column, Contract, WriteMode

COMMUNITY_LAG = timedelta(minutes=35)  # docs.coingecko.com/reference/coins-id-history: after the end of the day
KRAKEN_WINDOW = timedelta(hours=720)  # docs.kraken.com get-ohlc-data: the newest 720 candles, whatever is asked

KRAKEN_OHLC = Contract(
    table="kraken_ohlc",
    description="Hourly bars of Kraken in USD, the second opinion on prices; merged, since Kraken shows 720 hours only.",
    grain="coin x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(),
        ts("Open of the bar."),
        day(),
        available_at("the bar's close, one hour after ts"),
        source(),
        value("open", "USD", "First price.", nullable=False, above=0),
        value("high", "USD", "Highest price.", nullable=False, above=0),
        value("low", "USD", "Lowest price.", nullable=False, above=0),
        value("close", "USD", "Last price.", nullable=False, above=0),
        value("vwap", "USD", "Volume-weighted average price; null where nothing traded.", above=0, placeholder="0"),
        value("volume", "base units", "Volume in the bar.", lower=0),
        Column("trades", pl.Int64, "trades", "Number of trades.", lower=0),
    ),
    available_at_rule="the bar's close",
    ordered=(("low", "open"), ("low", "close"), ("open", "high"), ("close", "high")),
    write_mode=WriteMode.MERGE,
    reference="https://docs.kraken.com/api/docs/rest-api/get-ohlc-data",
)

DERIVATIVES = Contract(
    table="derivatives",
    description="Perpetual futures over all venues: funding, open interest and basis as first seen in each hour.",
    grain="coin x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(),
        ts("Hour in which the snapshot was taken."),
        day(),
        available_at("the instant of the snapshot"),
        source(),
        value("funding_rate", "fraction per funding interval", "Mean over contracts, weighted by open interest."),
        value("open_interest_usd", "USD", "Sum of the contracts' open interest.", lower=0),
        value(
            "basis", "fraction of the index", "(futures - index) / index as the provider gives it, weighted likewise."
        ),
        value("volume_24h_usd", "USD", "Sum of the contracts' volume in 24 hours.", lower=0),
        Column(
            "contracts", pl.Int64, "contracts", "Contracts counted: those with open interest.", nullable=False, lower=1
        ),
    ),
    available_at_rule="the instant of the snapshot",
    write_mode=WriteMode.KEEP,
    reference="https://docs.coingecko.com/reference/derivatives-tickers",
)


def _count(name: str, unit: str, description: str) -> Column:
    return value(name, unit, description, lower=0)


SOCIAL_METRICS = Contract(
    table="social_metrics",
    description="Each coin's community at the end of a day. Free plans give the last two closed days only.",
    grain="coin x day",
    key=("symbol", "date"),
    columns=(
        symbol(),
        day(),
        available_at("35 minutes after the end of the day"),
        source(),
        _count("reddit_subscribers", "accounts", "Subscribers of the coin's subreddit."),
        _count("reddit_active_accounts_48h", "accounts", "Accounts active there; null where it has no subreddit."),
        _count("reddit_posts_48h", "posts an hour", "Mean of new hot posts; null where it has no subreddit."),
        _count("reddit_comments_48h", "comments an hour", "Mean of new comments; null where it has no subreddit."),
        _count("twitter_followers", "accounts", "Followers; the provider stopped giving it in 2025."),
        _count("facebook_likes", "accounts", "Likes."),
    ),
    available_at_rule="35 minutes after the end of the day",
    write_mode=WriteMode.MERGE,
    reference="https://docs.coingecko.com/reference/coins-id-history (community_data)",
    time_column=None,
)

DEVELOPER_ACTIVITY = Contract(
    table="developer_activity",
    description="Each coin's public repositories at the end of a day. Free plans give the last two closed days only.",
    grain="coin x day",
    key=("symbol", "date"),
    columns=(
        symbol(),
        day(),
        available_at("35 minutes after the end of the day"),
        source(),
        _count("forks", "forks", "Forks."),
        _count("stars", "stars", "Stars."),
        _count("repo_subscribers", "accounts", "Watchers."),
        _count("total_issues", "issues", "Issues ever opened."),
        _count("closed_issues", "issues", "Issues closed."),
        _count("pull_requests_merged", "requests", "Pull requests merged."),
        _count("pull_request_contributors", "accounts", "People whose pull requests were merged."),
        _count("code_additions_4w", "lines", "Lines added in four weeks."),
        _count("code_deletions_4w", "lines", "Lines deleted in four weeks (the provider writes them below zero)."),
        _count("commits_4w", "commits", "Commits in four weeks."),
    ),
    available_at_rule="35 minutes after the end of the day",
    write_mode=WriteMode.MERGE,
    reference="https://docs.coingecko.com/reference/coins-id-history (developer_data)",
    time_column=None,
)

DEFI_PROTOCOLS = Contract(
    table="defi_protocols",
    description="Value locked by protocol as first seen on each day; protocols above 1 M USD.",
    grain="protocol x day",
    key=("protocol", "date"),
    columns=(
        key("protocol", "The provider's slug."),
        day(),
        available_at("the instant of the snapshot"),
        source(),
        key("name", "Name."),
        Column("category", pl.String, "name", "Category as the provider has it."),
        Column("symbol", pl.String, "name", "Coin of the catalogue whose CoinGecko identifier the provider names."),
        value("tvl_usd", "USD", "Value locked.", nullable=False, lower=1e6),
    ),
    available_at_rule="the instant of the snapshot",
    write_mode=WriteMode.KEEP,
    reference="https://api-docs.defillama.com (protocols)",
    time_column=None,
)

DEFI_YIELDS = Contract(
    table="defi_yields",
    description="Yield by pool as first seen on each day; pools above 10 M USD.",
    grain="pool x day",
    key=("pool", "date"),
    columns=(
        key("pool", "The provider's identifier."),
        day(),
        available_at("the instant of the snapshot"),
        source(),
        key("project", "Protocol."),
        key("chain", "Chain."),
        key("pool_symbol", "What is deposited, as the provider writes it."),
        value("tvl_usd", "USD", "Value locked.", nullable=False, lower=1e7),
        value("apy", "fraction a year", "Yield with rewards; the provider's percent divided by 100."),
        value("apy_base", "fraction a year", "Yield without rewards."),
        Column("stablecoin", pl.Boolean, "yes or no", "Whether only stablecoins are deposited."),
    ),
    available_at_rule="the instant of the snapshot",
    write_mode=WriteMode.KEEP,
    reference="https://api-docs.defillama.com (yields/pools)",
    time_column=None,
)
