"""Tables of events: what happened by the news, from how many outlets, and what prices did afterwards."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.tables.contract import TEXTS, TIMESTAMP, Column, Contract
from crypto_assets.tables.news import (
    DAILY,
    DERIVED,
    NEWS_FRESHNESS,
    SEEN_LATE_DAYS,
    THEMES,
    TICKS,
)
from crypto_assets.tables.pit_quality import WorstOfInputs
from crypto_assets.tables.prices import HOURLY
from crypto_assets.tables.shared_columns import available_at, day, key, source, symbol, ts, value
from crypto_assets.tables.spec import OWNER, AsOf, DaysWithRows, DerivedFrom, EachDay, TableSpec

# See narratives/events.py and story_reading.py, which say what they are for.
BLOCK_DAYS, WARM_DAYS, USED_DAYS = 4, 4, 7
EVENT_DAYS = 3  # for which an event takes articles
EVENTS_LOOKBACK_DAYS = USED_DAYS + WARM_DAYS + BLOCK_DAYS - 1 + SEEN_LATE_DAYS

HORIZONS = (1, 4, 24)  # hours after an event at which its reactions are measured
BETA_DAYS, SIMILAR_DAYS = 30, 60
REACTION_DAYS = 2  # the longest horizon, and the way to the next hour mark, end on the second day after the event's
REACTIONS_LOOKBACK_DAYS = SIMILAR_DAYS + REACTION_DAYS
REACTION_PRICES_DAYS = REACTIONS_LOOKBACK_DAYS + BETA_DAYS + 1
NEUTRAL = 0.05  # a tone of at most this size has no direction

TONE_DAYS, LEAST_TONES = 30, 168  # of the coin's usual tone: days, and hours of them that must have a tone
KINDS, KIND_DAYS = ("security", "regulation", "institutional"), 30
COIN_EVENTS_LOOKBACK_DAYS = TONE_DAYS + 1

_LAST_ARTICLE = "that of the newest article of the row"

NEWS_EVENTS = Contract(
    table="news_events",
    description="What happened, by the news: articles of one or more outlets about the same happening. Guides, price predictions, "
    "columns and articles that are not about this market are in none. An article's event is decided by earlier articles alone.",
    grain="event x day on which it has a new article",
    key=("event_id", "date"),
    columns=(
        key("event_id", "Hash of the article that founded it."),
        day(),
        available_at(_LAST_ARTICLE),
        source(),
        Column("first_seen", TIMESTAMP, "UTC", "When its first article was available.", nullable=False),
        key("headline", "Title of the article that is most like the others; of a tie the earliest."),
        Column("outlets", TEXTS, "feeds", "Feeds that had it by then, in the order in which they had it.", nullable=False),
        Column("outlet_count", pl.Int64, "feeds", "Their number.", nullable=False, lower=1),
        Column("articles", TEXTS, "article_id", "Its articles by then, the first known first.", nullable=False),
        Column("article_count", pl.Int64, "articles", "Their number.", nullable=False, lower=1),
        Column("new_article_count", pl.Int64, "articles", "Those that became available on this day.", nullable=False, lower=1),
        Column("symbols", TEXTS, "coins", "Coins that at least half of its articles name, those that most name first.", nullable=False),
        Column("theme", pl.String, "name", "Theme of most of its outlets; of a tie the earliest.", allowed=THEMES),
        value("tone", "-1 to 1", "Mean tone of its outlets, of which each has one vote: the mean of its articles.", lower=-1, upper=1),
        value("velocity", "articles an hour", "Articles of the 6 hours up to the newest one / 6.", lower=0),
        Column(
            "turned_at", TIMESTAMP, "UTC",
            "When the first article was available that denies, refutes or takes back what the first one said; null without.",
        ),
        Column("first_symbols", TEXTS, "coins", "Coins that its first article names: what was known at first_seen.", nullable=False),
        Column("first_theme", pl.String, "name", "Theme of its first article.", allowed=THEMES),
        value("first_tone", "-1 to 1", "Tone of its first article.", lower=-1, upper=1),
    ),
    available_at_rule=_LAST_ARTICLE,
    pit_quality=WorstOfInputs(by=None),
    time_column=None,
)  # fmt: skip

_PASSED = "when the price at the end of the horizon is known, of the coin and of BTC"

EVENT_REACTIONS = Contract(
    table="event_reactions",
    description="What prices did after an event was first known: the coins that its first article names, 1, 4 and 24 hours later, "
    "and what they did after similar events of the 60 days before it (same theme, same direction of tone; BTC apart).",
    grain="event x coin x horizon",
    key=("event_id", "symbol", "horizon"),
    columns=(
        key("event_id", "Event of news_events."),
        symbol(", which the event's first article names"),
        Column("horizon", pl.Int64, "hours", "From the first hour mark at or after first_seen.", nullable=False, lower=1),
        day(),
        available_at(_PASSED),
        source(),
        Column("first_seen", TIMESTAMP, "UTC", "When the event's first article was available.", nullable=False),
        Column("theme", pl.String, "name", "Theme of its first article.", allowed=THEMES),
        Column("direction", pl.Int64, "-1, 0 or 1", f"Of its first article's tone; 0 within {NEUTRAL}.", lower=-1, upper=1),
        value("return", "fraction", "Price at the end of the horizon / price at its beginning - 1; null where one is unknown.", lower=-1),
        value("abnormal_return", "fraction", "return - beta x that of BTC; null for BTC and where beta is."),
        value("beta", "ratio", "Slope of hourly log returns on BTC's over the 30 days before first_seen; null with less than 80 % of them."),
        Column("similar_count", pl.Int64, "reactions", "Reactions to similar events that were known at first_seen.", nullable=False, lower=0),
        value("similar_median", "fraction", "Their median abnormal return (of BTC: return); null without."),
        value("similar_hit_rate", "fraction", "Share of them in the direction of the tone; null where that is 0.", lower=0, upper=1),
    ),
    available_at_rule=_PASSED,
    pit_quality=WorstOfInputs(by=None),
    time_column=None,
)  # fmt: skip

COIN_EVENTS = Contract(
    table="coin_events",
    description="Events by coin and hour: how many happenings of the last 24 hours name the coin, how new they are, their tone beside "
    "the coin's usual one, and what prices did after events of their kind.",
    grain="coin (or MARKET) x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(", or MARKET for all events"),
        ts("Hour mark; articles with available_at in (ts - 24 h, ts] count."),
        day(),
        available_at("ts"),
        source(),
        value("event_count_24h", "events", "Events with an article in the window that names the coin.", lower=0),
        value("outlet_count_24h", "outlets", "Outlets of these articles.", lower=0),
        value("novelty_24h", "fraction", "Share of the events that were first seen in the window; null without.", lower=0, upper=1),
        value("tone_24h", "-1 to 1", "Mean tone of the events, of which each has one vote; null without.", lower=-1, upper=1),
        value("tone_relative_30d", "-2 to 2", f"tone_24h less its mean over the hours of the last 30 days that have one; null below {LEAST_TONES}.",
              lower=-2, upper=2),
        *(value(f"hours_since_{kind}", "hours", f"Since the newest event with the theme {kind} was first seen; null without one in {KIND_DAYS} days.",
                lower=0) for kind in KINDS),
        value("typical_reaction_24h", "fraction", "Median reaction after 24 hours to events like the newest one of the window (theme, direction; BTC "
              "apart), of those known when it was first seen; null without."),
    ),
    available_at_rule="ts",
    pit_quality=WorstOfInputs(by=None),
)  # fmt: skip

_TEXT = (
    "news_articles.clean_title",
    "news_articles.clean_summary",
    "news_articles.feed",
    "news_articles.symbols",
    "news_articles.relevance",
)
_ORDER = ("news_articles.available_at", "news_articles.article_id")
_EVENT = (*_TEXT, *_ORDER)
_OF_AN_EVENT = {
    "event_id": _EVENT,
    "first_seen": _EVENT,
    "headline": _EVENT,
    **dict.fromkeys(("outlets", "outlet_count", "articles", "article_count", "new_article_count"), _EVENT),
    "symbols": _EVENT,
    "theme": (*_EVENT, "article_narratives.theme"),
    "tone": (*_EVENT, "article_narratives.sentiment"),
    "velocity": _EVENT,
    "turned_at": _EVENT,
    "first_symbols": _EVENT,
    "first_theme": (*_EVENT, "article_narratives.theme"),
    "first_tone": (*_EVENT, "article_narratives.sentiment"),
}

_MEASURED = ("news_events.first_seen", "news_events.first_symbols", "prices.price_usd")
_KIND = ("news_events.first_theme", "news_events.first_tone")
_OF_A_REACTION = {
    "event_id": ("news_events.event_id",),
    "symbol": ("news_events.first_symbols",),
    "first_seen": ("news_events.first_seen",),
    "theme": ("news_events.first_theme",),
    "direction": ("news_events.first_tone",),
    **dict.fromkeys(("return", "abnormal_return", "beta"), _MEASURED),
    **dict.fromkeys(("similar_count", "similar_median", "similar_hit_rate"), (*_MEASURED, *_KIND)),
}

_HEARD = ("news_events.articles", "news_articles.available_at", "news_articles.symbols")
_VOTES = (*_HEARD, "news_articles.feed", "article_narratives.sentiment")
_FOUNDED = ("news_events.first_seen", "news_events.first_symbols", "news_events.first_theme")
_OF_A_COIN = {
    "event_count_24h": _HEARD,
    "outlet_count_24h": (*_HEARD, "news_articles.feed"),
    "novelty_24h": (*_HEARD, "news_events.first_seen"),
    "tone_24h": _VOTES,
    "tone_relative_30d": _VOTES,
    **{f"hours_since_{kind}": _FOUNDED for kind in KINDS},
    "typical_reaction_24h": (
        *_FOUNDED,
        "news_events.first_tone",
        "event_reactions.abnormal_return",
        "event_reactions.return",
    ),
}

SPECS = (
    TableSpec(
        contract=NEWS_EVENTS,
        group="news",
        kinds=frozenset({"pandas"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={"news_articles": EVENTS_LOOKBACK_DAYS, "article_narratives": EVENTS_LOOKBACK_DAYS},
            required=("news_articles",),
            dry_run=True,
            transform="crypto_assets.narratives.event_rows:news_events",
            columns=_OF_AN_EVENT,
        ),
        when=TICKS,
        freshness=NEWS_FRESHNESS,
        expected=DaysWithRows(note="days with at least one event count; guides and price predictions are none"),
        chunk=DERIVED,
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
    TableSpec(
        contract=EVENT_REACTIONS,
        group="news",
        kinds=frozenset({"polars"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={"news_events": REACTIONS_LOOKBACK_DAYS, "prices": REACTION_PRICES_DAYS},
            required=("news_events",),
            dry_run=True,
            columns=_OF_A_REACTION,
        ),
        when=TICKS,
        freshness=DAILY,
        expected=DaysWithRows(note="days with at least one reaction count; coins without prices have none"),
        chunk=DERIVED,
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
    TableSpec(
        contract=COIN_EVENTS,
        group="news",
        kinds=frozenset({"polars"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={
                "news_events": COIN_EVENTS_LOOKBACK_DAYS,
                "event_reactions": REACTIONS_LOOKBACK_DAYS + 1,
                "news_articles": COIN_EVENTS_LOOKBACK_DAYS + SEEN_LATE_DAYS,
                "article_narratives": COIN_EVENTS_LOOKBACK_DAYS + SEEN_LATE_DAYS,
            },
            required=("news_events",),
            dry_run=True,
            columns=_OF_A_COIN,
        ),
        when=TICKS,
        freshness=HOURLY,
        expected=EachDay(
            rows=24, where=("symbol", "MARKET"), note="hours without any event in their window have no row"
        ),
        chunk=DERIVED,
        read_by_features=AsOf(known_within=timedelta()),
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
)
