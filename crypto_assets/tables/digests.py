"""The table of digests: the day in words, put together from its events and from what prices did after such events."""

from __future__ import annotations

import polars as pl

from crypto_assets.tables.contract import TEXTS, Column, Contract
from crypto_assets.tables.events import EVENT_DAYS, SIMILAR_DAYS
from crypto_assets.tables.news import DAILY, DERIVED, SEEN_LATE_DAYS, THEMES
from crypto_assets.tables.pit_quality import WorstOfInputs
from crypto_assets.tables.shared_columns import available_at, day, source
from crypto_assets.tables.spec import OWNER, DaysOf, DerivedFrom, TableSpec, When

LARGEST_THEMES, EVENTS_SHOWN = 3, 3
_DAY_END = "the day's end"

THEME_DIGESTS = Contract(
    table="theme_digests",
    description="The day in three paragraphs: for each of its largest themes the numbers, and the events that most outlets reported on "
    f"that day, with what prices did after such events of the {SIMILAR_DAYS} days before. The text is put together from tables, quotes "
    "titles, and has a model's summary of an event under the model's name; nothing else in it is made up.",
    grain=f"theme (the {LARGEST_THEMES} largest) x day",
    key=("theme", "date"),
    columns=(
        Column("theme", pl.String, "name", "Theme.", nullable=False, allowed=THEMES),
        day(),
        available_at(_DAY_END),
        source(),
        Column("rank", pl.Int64, "place", "1 for the theme whose events most outlets reported that day, the first outlet of each not counted; of a tie the "
               "one of most events, then by name. 'other' only where it is alone.", lower=1, upper=LARGEST_THEMES),
        Column("digest", pl.String, "text", f"Counts, tone, coins and at most {EVENTS_SHOWN} events: the title, since when, how many outlets, "
               "which coins, how it turned, the summary of a model where one ran, and what followed such events.", nullable=False),
        Column("article_ids", TEXTS, "article_id", "The articles it quotes, in its order.", nullable=False),
        Column("links", TEXTS, "address", "Their addresses, in the same order; empty where a feed gave none.", nullable=False),
    ),
    available_at_rule=_DAY_END,
    pit_quality=WorstOfInputs(by=None),
    time_column=None,
)  # fmt: skip

_EVENTS = tuple(f"news_events.{name}" for name in ("event_id", "theme", "outlets", "articles", "new_article_count"))
_SHOWN = (*_EVENTS, "news_events.first_seen", "news_articles.feed")
_OF_A_DIGEST = {
    "theme": ("news_events.theme",),
    "rank": ("news_events.theme", "news_events.outlet_count"),
    "digest": (
        *_SHOWN,
        *(f"news_events.{name}" for name in ("headline", "symbols", "tone", "turned_at")),
        *(f"news_events.{name}" for name in ("first_symbols", "first_theme", "first_tone")),
        "news_articles.clean_title",
        "theme_trends.share_change_7d",
        "event_narratives.summary",
        *(f"event_reactions.{name}" for name in ("theme", "direction", "return", "abnormal_return")),
    ),
    "article_ids": (*_SHOWN, "news_events.turned_at", "news_events.headline"),
    "links": (*_SHOWN, "news_events.turned_at", "news_events.headline", "news_articles.url"),
}

SPECS = (
    TableSpec(
        contract=THEME_DIGESTS,
        group="news",
        kinds=frozenset({"pandas"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={
                "news_events": 0,
                "theme_trends": 0,
                "news_articles": EVENT_DAYS + SEEN_LATE_DAYS,
                "event_reactions": SIMILAR_DAYS,
                "event_narratives": 0,
            },
            required=("news_events",),
            dry_run=False,
            columns=_OF_A_DIGEST,
        ),
        when=frozenset({When.SETTLE}),
        freshness=DAILY,
        expected=DaysOf(
            table="news_events", positive="article_count", note="days on which news_events has events count"
        ),
        chunk=DERIVED,
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
)
