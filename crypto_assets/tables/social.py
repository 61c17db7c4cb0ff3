"""Tables of posts: what people write in feeds and files that a user names, and its tone by coin and hour.

No name and no handle is stored: authors and addresses are hashes, and handles in a text are masked.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.tables.contract import TEXTS, Column, Contract, WriteMode
from crypto_assets.tables.pit_quality import SeenInTime, WorstOfInputs
from crypto_assets.tables.shared_columns import available_at, day, key, source, symbol, ts, value
from crypto_assets.tables.spec import (
    COINGECKO_RANGE_DAYS,
    NO_HISTORY,
    OWNER,
    AsOf,
    Chunk,
    DerivedFrom,
    Freshness,
    FromFirstRow,
    FromProvider,
    TableSpec,
    When,
)

KNOWN_AT = "its publication; the end of its stated minute or day where the text leaves it open"
NOVELTY_DAYS, TONE_DAYS = 7, 30
LOOKBACK_DAYS = TONE_DAYS + 1

SOCIAL_POSTS = Contract(
    table="social_posts",
    description="Posts of the feeds in SOCIAL_FEEDS and the files in SOCIAL_FOLDER, as plain text with handles masked.",
    grain="post",
    key=("post_id",),
    columns=(
        key("post_id", "First 32 hex digits of SHA-256 over feed, time and text."),
        Column("published_at", pl.Datetime("us", "UTC"), "UTC", "As the feed or file says.", nullable=False),
        day(),
        available_at(KNOWN_AT),
        source(),
        key("feed", "Name of the feed, or of the file without its ending."),
        key("text", "Title and text, at most 2,000 characters; handles are @…."),
        key("text_hash", "SHA-256 of its words: equal for posts that differ in case, spaces and punctuation only."),
        Column("author_hash", pl.String, "SHA-256", "Of the author's name; null where none is given."),
        Column("url_hash", pl.String, "SHA-256", "Of the address; null where none is given."),
        Column("language", pl.String, "RFC 5646 tag", "As stated, or 'und' where most letters are not Latin; else null."),
        Column("symbols", TEXTS, "coins", "Coins that the text names: whole words and cashtags only.", nullable=False),
        value("score_at_crawl", "points", "Votes when the file was made: later than the post, so no feature uses it."),
        value("comments_at_crawl", "comments", "Comments when the file was made; no feature uses it."),
    ),
    available_at_rule=KNOWN_AT,
    pit_quality=SeenInTime(timedelta(hours=1), "posts are edited and deleted, and a file shows what was left of them"),
    write_mode=WriteMode.MERGE,
    keeps=("date", "available_at", "source", "published_at", "text", "pit_quality"),
    reference="docs/sources.md#posts",
    time_column="published_at",
)  # fmt: skip

SOCIAL_SENTIMENT = Contract(
    table="social_sentiment",
    description="Posts by coin and hour: counts, distinct texts and their tone in the last 24 hours. A text that is posted many "
    "times counts once for tone. Beside narratives, and never mixed with them.",
    grain="coin (or MARKET) x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(", or MARKET for all posts"),
        ts("Hour mark; posts with available_at in (ts - 24 h, ts] count."),
        day(),
        available_at("ts"),
        source(),
        value("post_count_24h", "posts", "Posts in the window.", lower=0),
        value("distinct_text_count_24h", "texts", "Different texts among them.", lower=0),
        value("market_share_24h", "fraction", "post_count_24h / that of MARKET.", lower=0, upper=1),
        value("tone_24h", "-1 to 1", "Mean tone of the distinct texts that are English; null without.", lower=-1, upper=1),
        value("tone_zscore_30d", "sigma", "tone_24h against its values of the last 720 hours that have one, ddof 1; null below 576."),
        value("novelty_7d", "fraction", "Share of the distinct texts that were not posted in the 7 days before.", lower=0, upper=1),
    ),
    available_at_rule="ts",
    pit_quality=WorstOfInputs(by=None),
)  # fmt: skip

FRESH = Freshness(warn_after=timedelta(hours=36), late_after=timedelta(hours=48), by_coin=False)
SETTLES_AFTER = timedelta(minutes=15)
SPECS = (
    TableSpec(
        contract=SOCIAL_POSTS,
        group="news",
        kinds=frozenset({"rss"}),
        owner=OWNER,
        rows_from=FromProvider(pool="news", settles_after=SETTLES_AFTER, history=NO_HISTORY, newest_only=True),
        when=frozenset({When.TICK, When.SETTLE}),
        freshness=FRESH,
        expected=FromFirstRow(),
        chunk=Chunk(days=COINGECKO_RANGE_DAYS, hourly_rows=None),
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
    TableSpec(
        contract=SOCIAL_SENTIMENT,
        group="news",
        kinds=frozenset({"polars"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={"social_posts": LOOKBACK_DAYS + 1},
            required=("social_posts",),
            dry_run=True,
            columns={
                "post_count_24h": ("social_posts.symbols",),
                "tone_24h": ("social_posts.text", "social_posts.language"),
                "novelty_7d": ("social_posts.text_hash",),
            },
            history=NO_HISTORY,
        ),
        when=frozenset({When.TICK, When.SETTLE}),
        freshness=FRESH,
        expected=FromFirstRow(),
        chunk=Chunk(days=None, hourly_rows=None),
        read_by_features=AsOf(known_within=timedelta()),
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
)
