"""The table of what analysers say of events: one analysis for the articles of all outlets together."""

from __future__ import annotations

import polars as pl

from crypto_assets.tables.contract import TEXTS, Column, Contract
from crypto_assets.tables.events import EVENT_DAYS
from crypto_assets.tables.news import ARTICLE_NARRATIVES, DERIVED, NEWS_FRESHNESS, SEEN_LATE_DAYS, TICKS
from crypto_assets.tables.pit_quality import WorstOfInputs
from crypto_assets.tables.shared_columns import available_at, day, key, source
from crypto_assets.tables.spec import OWNER, DerivedFrom, RowsOf, TableSpec

OUTLETS_READ = (1, 2, 4, 8)  # an event is analysed again when this many outlets report it

_OF_THE_EVENT = "that of the event's row of news_events"
_JUDGED = ("theme", "secondary_themes", "sentiment", "confidence", "drivers", "driver_quotes")
_STATED = ("affected_symbols", "impact_horizon", "summary", "ungrounded", "status", "detail", "content_hash")
_CALLED = (
    "model_digest",
    "prompt_hash",
    "attempts",
    "failures",
    "duration_s",
    "prompt_tokens",
    "answer_tokens",
    "analyzed_at",
)

EVENT_NARRATIVES = Contract(
    table="event_narratives",
    description="What each event is about, by all of its outlets: theme, sentiment, drivers, a summary. The lexicon analyses every "
    "event, and a model those of at least two outlets that it answers. Claims that none of the articles contains are in "
    "'ungrounded' only.",
    grain="event x day on which it has a new article x analyser",
    key=("event_id", "date", "analyzer"),
    columns=(
        key("event_id", "Event of news_events."),
        key("analyzer", "Who said so: 'lexicon-<version>' or the model's name."),
        day(),
        available_at(_OF_THE_EVENT),
        source(),
        Column("outlet_count", pl.Int64, "feeds", "Outlets that had the event by then.", nullable=False, lower=1),
        Column(
            "articles_read", TEXTS, "article_id",
            f"What was analysed: the first article of each of the first {', '.join(map(str, OUTLETS_READ))} outlets, whichever "
            "number was reached last, and the article that turned the story.",
            nullable=False,
        ),
        *(ARTICLE_NARRATIVES.by_name[name] for name in _JUDGED),
        Column("driver_articles", TEXTS, "article_id", "For each driver the article that its quote is from."),
        *(ARTICLE_NARRATIVES.by_name[name] for name in (*_STATED, *_CALLED)),
    ),
    available_at_rule=f"{_OF_THE_EVENT}: the articles that are read were known by then, and nothing later is used; analyzed_at says "
    "when the analysis was made",
    pit_quality=WorstOfInputs(by=None),
    time_column=None,
)  # fmt: skip

_READ = ("news_events.articles", "news_events.turned_at", "news_articles.feed")
_TEXT = (*_READ, "news_articles.clean_title", "news_articles.clean_summary")
_COLUMNS = {
    "event_id": ("news_events.event_id",),
    "outlet_count": ("news_events.outlet_count",),
    "articles_read": _READ,
    "affected_symbols": (*_TEXT, "news_events.symbols"),
    **{
        name: (*_TEXT, f"article_narratives.{name}")
        for name in ("theme", "sentiment", "confidence", "drivers", "driver_quotes")
    },
    **dict.fromkeys(("secondary_themes", "driver_articles", "summary", "ungrounded", "content_hash"), _TEXT),
}

SPECS = (
    TableSpec(
        contract=EVENT_NARRATIVES,
        group="news",
        kinds=frozenset({"ollama", "vader"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={
                "news_events": 0,
                **dict.fromkeys(("news_articles", "article_narratives"), EVENT_DAYS + SEEN_LATE_DAYS),
            },
            required=("news_events",),
            dry_run=False,
            pool="ollama",
            columns=_COLUMNS,
        ),
        when=TICKS,
        freshness=NEWS_FRESHNESS,
        expected=RowsOf(table="news_events", distinct="event_id", note="each event is analysed"),
        chunk=DERIVED,
        read_by_features=None,
        own_pod_from_days=31,  # an event takes a model some seconds
        demo_warm_up=False,
    ),
)
