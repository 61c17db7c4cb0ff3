"""Tables of the market around the coins: value locked, fear and greed, communities, developers, protocols and yields.

Snapshot tables hold what a provider shows of the present. A day that was not fetched in time cannot be fetched later.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.features.feature import DAILY_STALENESS
from crypto_assets.tables.contract import Column, Contract, WriteMode
from crypto_assets.tables.pit_quality import FIRST_SEEN, Always, SeenInTime
from crypto_assets.tables.shared_columns import available_at, day, key, source, symbol, value
from crypto_assets.tables.spec import (
    COINGECKO_RANGE_DAYS,
    FULL_HISTORY,
    NO_HISTORY,
    OWNER,
    AsOf,
    Chunk,
    EachDay,
    Freshness,
    FromFirstRow,
    FromProvider,
    TableSpec,
    When,
)

DEFILLAMA_LAG = timedelta(hours=1)  # api-docs.defillama.com: the daily point is final once the UTC day is over
FEAR_GREED_LAG = timedelta(minutes=15)  # alternative.me: "updated daily" at 00:00 UTC of the stamped day
COMMUNITY_LAG = timedelta(minutes=35)  # docs.coingecko.com/reference/coins-id-history: after the end of the day

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
    pit_quality=SeenInTime(
        timedelta(days=1), "DefiLlama revises its history when it adds or corrects a protocol", trained_on=True
    ),
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
    pit_quality=SeenInTime(
        timedelta(days=1), "alternative.me does not say whether it computes past days again", trained_on=True
    ),
    write_mode=WriteMode.MERGE,
    reference="https://alternative.me/crypto/fear-and-greed-index/#api",
    time_column=None,
)  # fmt: skip


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
    pit_quality=SeenInTime(
        timedelta(days=1), "CoinGecko does not say whether it corrects the counts of past days", trained_on=True
    ),
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
    pit_quality=SeenInTime(
        timedelta(days=1), "CoinGecko does not say whether it corrects the counts of past days", trained_on=True
    ),
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
    pit_quality=Always(FIRST_SEEN, "the provider shows the present only, and the first snapshot of a day stays"),
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
    pit_quality=Always(FIRST_SEEN, "the provider shows the present only, and the first snapshot of a day stays"),
    write_mode=WriteMode.KEEP,
    reference="https://api-docs.defillama.com (yields/pools)",
    time_column=None,
)

DAY = timedelta(days=1)
DAILY = Freshness(warn_after=timedelta(hours=36), late_after=timedelta(hours=48), by_coin=False)
CHUNK = Chunk(days=COINGECKO_RANGE_DAYS, hourly_rows=None)

SPECS = (
    TableSpec(
        contract=DEFI_METRICS,
        group="context",
        kinds=frozenset({"defillama"}),
        owner=OWNER,
        rows_from=FromProvider(pool="defillama", settles_after=DEFILLAMA_LAG, history=FULL_HISTORY, newest_only=False),
        when=frozenset({When.SETTLE, When.NOON}),
        freshness=DAILY,
        expected=EachDay(rows=1, where=("entity", "all"), note="one row a day for all chains together"),
        chunk=CHUNK,
        read_by_features=AsOf(known_within=DAY + DEFILLAMA_LAG),
        own_pod_from_days=None,
        demo_warm_up=True,
    ),
    TableSpec(
        contract=MARKET_SENTIMENT,
        group="context",
        kinds=frozenset({"alternative_me"}),
        owner=OWNER,
        rows_from=FromProvider(
            pool="alternative_me", settles_after=FEAR_GREED_LAG, history=FULL_HISTORY, newest_only=False
        ),
        when=frozenset({When.TICK, When.SETTLE, When.NOON}),
        freshness=DAILY,
        expected=EachDay(rows=1, where=None, note=""),
        chunk=CHUNK,
        read_by_features=AsOf(known_within=FEAR_GREED_LAG),
        own_pod_from_days=None,
        demo_warm_up=True,
    ),
    TableSpec(
        contract=SOCIAL_METRICS,
        group="context",
        kinds=frozenset({"coingecko"}),
        owner=OWNER,
        rows_from=FromProvider(pool="coingecko", settles_after=COMMUNITY_LAG, history=NO_HISTORY, newest_only=False),
        when=frozenset({When.SETTLE}),
        freshness=DAILY,
        expected=FromFirstRow(),
        chunk=CHUNK,
        read_by_features=AsOf(known_within=DAY + COMMUNITY_LAG),
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
    TableSpec(
        contract=DEVELOPER_ACTIVITY,
        group="context",
        kinds=frozenset({"coingecko"}),
        owner=OWNER,
        rows_from=FromProvider(pool="coingecko", settles_after=COMMUNITY_LAG, history=NO_HISTORY, newest_only=False),
        when=frozenset({When.SETTLE}),
        freshness=DAILY,
        expected=FromFirstRow(),
        chunk=CHUNK,
        read_by_features=AsOf(known_within=DAY + COMMUNITY_LAG),
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
    TableSpec(
        contract=DEFI_PROTOCOLS,
        group="context",
        kinds=frozenset({"defillama"}),
        owner=OWNER,
        rows_from=FromProvider(pool="defillama", settles_after=None, history=NO_HISTORY, newest_only=False),
        when=frozenset({When.TICK, When.SETTLE}),
        freshness=DAILY,
        expected=FromFirstRow(),
        chunk=CHUNK,
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
    TableSpec(
        contract=DEFI_YIELDS,
        group="context",
        kinds=frozenset({"defillama"}),
        owner=OWNER,
        rows_from=FromProvider(pool="defillama", settles_after=None, history=NO_HISTORY, newest_only=False),
        when=frozenset({When.TICK, When.SETTLE}),
        freshness=DAILY,
        expected=FromFirstRow(),
        chunk=CHUNK,
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
)
