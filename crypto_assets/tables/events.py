"""Tables of events: what happened by the news, from how many outlets, and what prices did afterwards."""

from __future__ import annotations

import polars as pl

from crypto_assets.tables.contract import TEXTS, TIMESTAMP, Column, Contract
from crypto_assets.tables.news import DERIVED, NEWS, SEEN_LATE_DAYS, THEMES, TICKS
from crypto_assets.tables.pit_quality import WorstOfInputs
from crypto_assets.tables.shared_columns import available_at, day, key, source, value
from crypto_assets.tables.spec import OWNER, DaysWithRows, DerivedFrom, TableSpec

# See narratives/events.py and story_reading.py, which say what they are for.
BLOCK_DAYS, WARM_DAYS, USED_DAYS = 4, 4, 7
EVENTS_LOOKBACK_DAYS = USED_DAYS + WARM_DAYS + BLOCK_DAYS - 1 + SEEN_LATE_DAYS

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

_TEXT = ("news_articles.title", "news_articles.summary", "news_articles.feed", "news_articles.symbols")
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
        freshness=NEWS,
        expected=DaysWithRows(note="days with at least one event count; guides and price predictions are none"),
        chunk=DERIVED,
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
)
