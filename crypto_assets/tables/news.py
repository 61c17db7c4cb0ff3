"""Tables of news: articles, what each one says, and what the market talks about by coin and hour."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.tables.contract import TEXTS, TIMESTAMP, Column, Contract, WriteMode
from crypto_assets.tables.pit_quality import SeenInTime, WorstOfInputs
from crypto_assets.tables.prices import HOURLY, SETTLES_AFTER
from crypto_assets.tables.shared_columns import available_at, day, key, source, symbol, ts, value
from crypto_assets.tables.spec import (
    COINGECKO_RANGE_DAYS,
    FULL_HISTORY,
    OWNER,
    Chunk,
    DaysWithRows,
    DerivedFrom,
    EachDay,
    Freshness,
    FromProvider,
    OnTheHour,
    RowsOf,
    TableSpec,
    When,
)

THEMES = (
    "regulation", "adoption", "technology", "macro_economic", "institutional",
    "defi", "security", "market_structure", "geopolitical", "other",
)  # fmt: skip
IMPACT_HORIZONS = ("immediate", "short_term", "medium_term", "long_term", "uncertain")
# ok: the answer keeps the bounds. invalid: the answer has another form. timeout: no answer in time. refused: the server or
# the model rejects this article. unavailable: no model answered any article.
ANALYSIS_STATUSES = ("ok", "invalid", "timeout", "refused", "unavailable")
LEXICON = "lexicon-"  # begins the analyser of the lexicon's rows
RELEVANCE = NEWS, EVERGREEN, OFF_TOPIC = "news", "evergreen", "off_topic"
HABIT_DAYS = 7  # days before an article, from which its outlet's habit is counted

_FIRST_KNOWN = (
    "first fetch of the day: published_at (a date without time or zone counts as the latest instant that it can mean, but "
    "not later than the fetch); later fetches: the fetch that first listed the article, or published_at if that is later; "
    "without a readable date: the fetch that first listed it"
)

NEWS_ARTICLES = Contract(
    table="news_articles",
    description="Articles from RSS and Atom feeds, as they were first seen; articles that a feed no longer lists are kept.",
    grain="article",
    key=("article_id",),
    columns=(
        key("article_id", "Hash of normalised address and title."),
        day(),
        available_at(_FIRST_KNOWN),
        source(),
        Column(
            "published_at", TIMESTAMP, "UTC",
            "Publication as the feed gives it, else its last change; without a zone it is UTC, without a time midnight; "
            "first_seen_at where the date is not understood.",
            nullable=False,
        ),
        Column(
            "first_seen_at", TIMESTAMP, "UTC",
            "The fetch that first listed it; null where that was the feed's first fetch of the day. "
            "Never null where the date is not understood.",
        ),
        key("feed", "Name of the feed in NEWS_FEEDS."),
        Column("language", pl.String, "RFC 5646 tag", "Language as the item or its feed says, e.g. en-us; null otherwise."),
        key("title", "Title, plain text."),
        Column("summary", pl.String, "text", "Summary, plain text, at most 2,000 characters."),
        Column("url", pl.String, "address", "Link to the article."),
        Column(
            "clean_title", pl.String, "text",
            "Title without a last part that recurs in the feed (the outlet's name): what is analysed.",
        ),
        Column(
            "clean_summary", pl.String, "text",
            "Summary without boilerplate: what is analysed. Empty where all of it is boilerplate, null without a summary.",
        ),
        Column(
            "boilerplate", TEXTS, "texts",
            "What was stripped, at most 20 parts: calls to the reader and author lines, and texts that recurred under 3 "
            "titles of the feed within the 7 days up to the article.",
        ),
        Column(
            "symbols", TEXTS, "coins", "Coins named in clean_title or clean_summary: whole words and cashtags only.",
            nullable=False,
        ),
        Column("title_symbols", TEXTS, "coins", "Those of symbols that clean_title names; the others stand in the summary only."),
        Column(
            "relevance", pl.String, "name",
            "What the article is to this market: news; evergreen (its title is that of a guide, a price prediction, a column, a "
            "market report or an advertisement); off_topic (it names neither a coin nor this market, and less than 80 % of its "
            "outlet's articles of the 7 days before do). Only news is in news_events. Null in rows from before the column.",
            allowed=RELEVANCE,
        ),
        Column(
            "duplicate_of", pl.String, "article_id",
            "The earliest article known before, of the same or the 2 days before, that this one repeats; else null.",
        ),
    ),
    available_at_rule=_FIRST_KNOWN,
    pit_quality=SeenInTime(
        timedelta(hours=1), "a feed shows the present text of an article, which may have changed since", trained_on=True
    ),
    write_mode=WriteMode.MERGE,
    keeps=(
        "date", "available_at", "source", "published_at", "first_seen_at", "feed", "language", "title", "summary", "url",
        "pit_quality",
    ),
    reference="RSS 2.0, Atom (RFC 4287)",
    time_column="published_at",
)  # fmt: skip

ARTICLE_NARRATIVES = Contract(
    table="article_narratives",
    description="What each article says: theme, sentiment, drivers, affected coins. The lexicon analyses every article, "
    "and a model those that it answers. Claims of a model that the text does not contain are in 'ungrounded' only.",
    grain="article x analyser",
    key=("article_id", "analyzer"),
    columns=(
        key("article_id", "Article."),
        key("analyzer", "Who said so: 'lexicon-<version>' or the model's name."),
        day(),
        available_at("that of the article: the analysis uses nothing later"),
        source(),
        Column("theme", pl.String, "name", "Dominant theme.", allowed=THEMES),
        Column("secondary_themes", TEXTS, "names", "Further themes, at most 3."),
        value("sentiment", "-1 to 1", "Tone towards the market.", lower=-1, upper=1),
        value("confidence", "0 to 1", "How sure the analyser is.", lower=0, upper=1),
        Column("drivers", TEXTS, "phrases", "Reasons for the result, at most 5.", nullable=False),
        Column("driver_quotes", TEXTS, "quotes", "For each driver the words of the article that support it."),
        Column("affected_symbols", TEXTS, "coins", "Coins concerned; only such as the text names.", nullable=False),
        Column("impact_horizon", pl.String, "name", "How far ahead it matters.", allowed=IMPACT_HORIZONS),
        Column("summary", pl.String, "text", "Two sentences; null unless the article has each number and coin in it."),
        Column("ungrounded", TEXTS, "claims", "What the model claimed without the text saying so; dropped above."),
        Column("status", pl.String, "name", "How the analysis ended.", nullable=False, allowed=ANALYSIS_STATUSES),
        Column("detail", pl.String, "text", "Why the status is not ok, in one sentence."),
        Column("content_hash", pl.String, "SHA-256", "Of the text that was analysed."),
        Column("model_digest", pl.String, "SHA-256", "Of the model's weights, as the server names them."),
        Column("prompt_hash", pl.String, "SHA-256", "Of instructions, schema and options."),
        Column("attempts", pl.Int64, "calls", "Calls of the model for this text so far.", lower=0),
        Column("failures", pl.Int64, "calls", "Calls that failed while the model answered others; after 8 the text is not sent again.", lower=0),
        value("duration_s", "seconds", "What the model took for the answer.", lower=0),
        Column("prompt_tokens", pl.Int64, "tokens", "Read by the model.", lower=0),
        Column("answer_tokens", pl.Int64, "tokens", "Written by the model.", lower=0),
        Column("analyzed_at", TIMESTAMP, "UTC", "When the model answered, by its server's clock."),
    ),
    available_at_rule="that of the article: an analysis is a function of its text and the model, and uses nothing "
    "later; analyzed_at says when it was made",
    pit_quality=WorstOfInputs(by="article_id"),
    time_column=None,
)  # fmt: skip

NARRATIVES = Contract(
    table="narratives",
    description="News by coin and hour: counts, sentiment and theme shares of the last 24 hours. story_count_24h counts "
    "events; for the other columns a story is an article that repeats none known before it (duplicate_of is null).",
    grain="coin (or MARKET) x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(", or MARKET for all articles"),
        ts("Hour mark; articles with available_at in (ts - 24 h, ts] count, unless first seen 48 h after publication."),
        day(),
        available_at("ts"),
        source(),
        Column("article_count_24h", pl.Int64, "articles", "Articles in the window.", nullable=False, lower=0),
        Column(
            "story_count_24h", pl.Int64, "stories", "Events of news_events that have an article in the window.", lower=0
        ),
        value(
            "sentiment_24h", "-1 to 1", "Confidence-weighted mean sentiment; null without stories.", lower=-1, upper=1
        ),
        value(
            "sentiment_decayed_24h",
            "-1 to 1",
            "The same with each weight halved every 6 hours since the article was known.",
            lower=-1,
            upper=1,
        ),
        value(
            "sentiment_momentum_24h",
            "-2 to 2",
            "sentiment_24h less that of 24 hours before; null if either is.",
            lower=-2,
            upper=2,
        ),
        value(
            "attention_7d",
            "ratio",
            "story_count_24h / mean daily stories of the 7 days before the window; null where those had none, and where no "
            "article of the market was known 7 days before.",
            lower=0,
        ),
        value(
            "sentiment_relative_24h",
            "-2 to 2",
            "Mean over the stories of sentiment less the mean of the same feed's stories of the 30 days before, each halved "
            "every 6 hours; null without a story whose feed had 20 of them.",
            lower=-2,
            upper=2,
        ),
        value(
            "sentiment_zscore_30d",
            "standard deviations",
            "sentiment_relative_24h less its mean over the coin's hours of the last 30 days, this one included, by their "
            "standard deviation; null where fewer than 240 hours have one.",
        ),
        value(
            "novelty_7d",
            "fraction",
            "Mean over the stories of the share of title words that no article used in the 7 days before; null without.",
            lower=0,
            upper=1,
        ),
        Column(
            "dominant_theme",
            pl.String,
            "name",
            "Theme whose stories exceed what is usual most: (stories - expected) / sqrt(expected), where expected is the "
            "theme's share of the coin's stories in the 30 days before, drawn towards that of the market. 'other' only where "
            "it is alone; null without stories.",
            allowed=THEMES,
        ),
        Column(
            "top_articles",
            TEXTS,
            "article_id",
            "At most 5 stories of the window, first by confidence halved every 6 hours since the article was known.",
        ),
        *(
            value(f"theme_{theme}_share_24h", "fraction", f"Share of stories with theme {theme}.", lower=0, upper=1)
            for theme in THEMES
        ),
    ),
    available_at_rule="ts",
    pit_quality=WorstOfInputs(by=None),
)

_DAY_END = "the day's end: articles with available_at in [date, date + 1 day) count"

THEME_TRENDS = Contract(
    table="theme_trends",
    description="What the market talked about, day by day: every theme on each day in which news was seen.",
    grain="theme x day",
    key=("theme", "date"),
    columns=(
        Column("theme", pl.String, "name", "Theme.", nullable=False, allowed=THEMES),
        day(),
        available_at(_DAY_END),
        source(),
        Column("article_count", pl.Int64, "articles", "Articles of the day with this theme.", nullable=False, lower=0),
        Column("story_count", pl.Int64, "stories", "Those that repeat no earlier one.", nullable=False, lower=0),
        value(
            "share", "fraction", "Share of the day's stories; null where the day had only repeats.", lower=0, upper=1
        ),
        value(
            "share_change_7d",
            "fraction",
            "share less its mean over the 7 days before; null where one of them had none.",
            lower=-1,
            upper=1,
        ),
        value(
            "sentiment",
            "-1 to 1",
            "Confidence-weighted mean sentiment of the stories; null without.",
            lower=-1,
            upper=1,
        ),
        Column("top_symbols", TEXTS, "coins", "At most 5 coins that most of the stories name.", nullable=False),
        Column("top_articles", TEXTS, "article_id", "At most 5 stories, the most confident first.", nullable=False),
    ),
    available_at_rule=_DAY_END,
    pit_quality=WorstOfInputs(by=None),
    time_column=None,
)

# A night without news is no failure.
NEWS_FRESHNESS = Freshness(warn_after=timedelta(hours=6), late_after=timedelta(hours=24), by_coin=False)
DAILY = Freshness(warn_after=timedelta(hours=36), late_after=timedelta(hours=48), by_coin=False)
TICKS = frozenset({When.TICK, When.SETTLE})
DERIVED = Chunk(days=None, hourly_rows=None)
SEEN_LATE_DAYS = 2  # a feed may list an article up to this many days after its publication
ATTENTION_DAYS = 7  # days before, with which attention and the share of a theme are compared
USUAL_DAYS = 30  # days before, with which tone and themes are compared
# 1: the window of 24 hours. Twice: the z-score's hours of 30 days each need the 30 days of their feeds.
NARRATIVES_LOOKBACK_DAYS = 1 + 2 * USUAL_DAYS + SEEN_LATE_DAYS
TRENDS_LOOKBACK_DAYS = ATTENTION_DAYS + SEEN_LATE_DAYS

# Column -> the input columns that it is computed from, for the lineage in the UI.
_TEXT = ("news_articles.clean_title", "news_articles.clean_summary")
_TIMES = ("news_articles.available_at", "news_articles.published_at")
_STORY = (*_TIMES, "news_articles.duplicate_of")
_NAMED = (*_STORY, "news_articles.symbols")
_EVENTS = (*_TIMES, "news_articles.symbols", "news_events.articles", "news_events.event_id")
_TONE = ("article_narratives.sentiment", "article_narratives.confidence")
_THEME = ("article_narratives.theme",)
_CHOSEN = ("article_narratives.confidence", "news_articles.article_id")

_OF_AN_ARTICLE = {
    "article_id": ("news_articles.article_id",),
    "sentiment": (*_TEXT, "news_articles.language"),
    "affected_symbols": (*_TEXT, "news_articles.symbols"),
    **dict.fromkeys(
        (
            "theme",
            "secondary_themes",
            "confidence",
            "drivers",
            "driver_quotes",
            "summary",
            "ungrounded",
            "content_hash",
        ),
        _TEXT,
    ),
}
_OF_AN_HOUR = {
    "article_count_24h": (*_TIMES, "news_articles.symbols"),
    **dict.fromkeys(("story_count_24h", "attention_7d"), _EVENTS),
    "novelty_7d": (*_NAMED, "news_articles.clean_title"),
    "dominant_theme": (*_NAMED, *_THEME),
    "top_articles": (*_NAMED, *_CHOSEN),
    **dict.fromkeys(("sentiment_24h", "sentiment_decayed_24h", "sentiment_momentum_24h"), (*_NAMED, *_TONE)),
    **dict.fromkeys(
        ("sentiment_relative_24h", "sentiment_zscore_30d"),
        (*_NAMED, "news_articles.feed", "article_narratives.sentiment"),
    ),
    **{f"theme_{theme}_share_24h": (*_NAMED, *_THEME) for theme in THEMES},
}
_OF_A_THEME = {
    "theme": _THEME,
    "article_count": (*_TIMES, *_THEME),
    **dict.fromkeys(("story_count", "share", "share_change_7d"), (*_STORY, *_THEME)),
    "sentiment": (*_STORY, *_THEME, *_TONE),
    "top_symbols": (*_NAMED, *_THEME),
    "top_articles": (*_STORY, *_THEME, *_CHOSEN),
}
SPECS = (
    TableSpec(
        contract=NEWS_ARTICLES,
        group="news",
        kinds=frozenset({"rss"}),
        owner=OWNER,
        rows_from=FromProvider(pool="news", settles_after=SETTLES_AFTER, history=FULL_HISTORY, newest_only=True),
        when=TICKS,
        freshness=NEWS_FRESHNESS,
        expected=DaysWithRows(note="days with at least one article count; feeds show only the newest articles"),
        chunk=Chunk(days=COINGECKO_RANGE_DAYS, hourly_rows=None),
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
    TableSpec(
        contract=ARTICLE_NARRATIVES,
        group="news",
        kinds=frozenset({"ollama", "vader"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={"news_articles": 0},
            required=("news_articles",),
            dry_run=False,
            pool="ollama",
            columns=_OF_AN_ARTICLE,
        ),
        when=TICKS,
        freshness=NEWS_FRESHNESS,
        expected=RowsOf(table="news_articles", distinct="article_id", note="each article is analysed"),
        chunk=DERIVED,
        read_by_features=None,
        own_pod_from_days=31,  # an article takes a model some seconds
        demo_warm_up=False,
    ),
    TableSpec(
        contract=NARRATIVES,
        group="news",
        kinds=frozenset({"pandas"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={
                **dict.fromkeys(("news_articles", "article_narratives"), NARRATIVES_LOOKBACK_DAYS),
                "news_events": 1 + ATTENTION_DAYS,  # the windows of 24 hours that ended up to 7 days before
            },
            required=("article_narratives",),
            dry_run=True,
            columns=_OF_AN_HOUR,
        ),
        when=TICKS,
        freshness=HOURLY,
        expected=EachDay(rows=24, where=("symbol", "MARKET"), note="hours without any news have no row"),
        chunk=DERIVED,
        read_by_features=OnTheHour(delay_hours=0),
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
    TableSpec(
        contract=THEME_TRENDS,
        group="news",
        kinds=frozenset({"pandas"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={"news_articles": TRENDS_LOOKBACK_DAYS, "article_narratives": TRENDS_LOOKBACK_DAYS},
            required=("article_narratives",),
            dry_run=False,
            columns=_OF_A_THEME,
        ),
        when=frozenset({When.SETTLE}),
        freshness=DAILY,
        expected=EachDay(rows=len(THEMES), where=None, note="a day without any story has no rows"),
        chunk=DERIVED,
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
)
