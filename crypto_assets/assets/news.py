"""Assets of the group ``news``: articles, their analyses, and the themes of the market by hour and day."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl

from crypto_assets.assets import analysis, derived, event_plot, feed_log, plots, shell
from crypto_assets.assets.providers import Providers
from crypto_assets.catalog import all_coins, symbols
from crypto_assets.dates import DAY, days
from crypto_assets.errors import SourceError
from crypto_assets.narratives import coin_events as coin_hours
from crypto_assets.narratives import digests, tagging, trends
from crypto_assets.narratives import narratives as aggregates
from crypto_assets.sources import news_files, rss
from crypto_assets.sources.fetched import Fetched
from crypto_assets.sources.news_files import news_folder
from crypto_assets.storage.io_manager import to_pandas
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables import schemas
from crypto_assets.tables.news import RELEVANCE
from crypto_assets.tables.pit_quality import FIRST_SEEN, PIT_QUALITY
from crypto_assets.transforms import reactions

PLOTTED = timedelta(days=60)  # of theme shares in the chart, before the first day of a run


@dg.asset(**shell.asset_kwargs("news_articles"))
def news_articles(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Read the feeds and NEWS_FOLDER, and keep the articles of the run's days; stored articles keep what was first seen."""
    start, end = shell.days_of(context)
    first, last = start - DAY * tagging.STORED_DAYS, end + DAY * tagging.STORED_DAYS
    warehouse = Warehouse(providers.settings().warehouse)
    files = news_files.read_folder(news_folder(providers.settings()), first, end, providers.now())
    fetched = _feeds(context, providers, files)
    seen_at = providers.now()
    before = feed_log.feeds_read_before(context.instance, warehouse, schemas.NEWS_ARTICLES, first, last)
    # Retention keeps each day's newest materialisation only, so that one names what earlier ones have read as well.
    always = frozenset.intersection(*(frozenset(before.get(day, ())) for day in days(start, end)))
    shell.note(context, fetched, feeds_read=feed_log.feeds_metadata({*fetched.frame["feed"], *always}))
    known: list[str] = []
    if not fetched.frame["dated"].all():  # an item without a date belongs to the day on which it was first listed
        known = warehouse.read(schemas.NEWS_ARTICLES, columns=["article_id", "date"])["article_id"].to_list()
    rows = tagging.tag_articles(
        fetched.frame,
        all_coins(),
        start,
        end,
        stored=to_pandas(warehouse.read(schemas.NEWS_ARTICLES, start=first, end=last)),
        read_before=before,
        seen_at=seen_at,
        known=known,
        imported=news_files.as_items(files),
    )
    parts = rows["boilerplate"].map(len)
    kinds = {f"{kind}_articles": int((rows["relevance"] == kind).sum()) for kind in RELEVANCE}
    context.add_output_metadata(
        {"boilerplate_parts": int(parts.sum()), "articles_stripped": int((parts > 0).sum()), **kinds}
    )
    return _with_quality(rows, files, seen_at)


def _feeds(context: dg.AssetExecutionContext, providers: Providers, files: news_files.NewsRows) -> Fetched:
    """Fetch the feeds, and note what files could not give. Where files have articles, feeds that all fail are missing."""
    try:
        found = providers.fetch(
            lambda client, settings: rss.fetch_articles(client, settings, providers.now()), context.log.info
        )
    except SourceError as error:
        if files.frame.is_empty():
            raise
        found = Fetched(rss.no_articles(), missing=dict.fromkeys(providers.settings().news_feeds, str(error)))
    aside = (*found.set_aside, *files.set_aside)
    return replace(found, missing={**found.missing, **dict(files.missing)}, set_aside=aside)


def _with_quality(rows: pd.DataFrame, files: news_files.NewsRows, seen_at: datetime) -> pd.DataFrame:
    """Add ``pit_quality``: a file says when it saw an article, a feed only what it shows now."""
    rows = shell.with_quality(schemas.NEWS_ARTICLES, rows, seen_at)
    said = rows["first_seen_at"].notna() & (rows["source"] == news_files.FILE)
    return rows.assign(**{PIT_QUALITY: rows[PIT_QUALITY].where(~said, FIRST_SEEN)})


@dg.asset(**shell.asset_kwargs("article_narratives"))
def article_narratives(
    context: dg.AssetExecutionContext, providers: Providers, news_articles: pd.DataFrame
) -> pl.DataFrame:
    """Analyse each article of the run's days."""
    start, end = shell.days_of(context)
    shell.show_lineage(context)
    frame, metadata = analysis.analyse(providers, news_articles, start, end, context.log.info)
    context.add_output_metadata(metadata)
    return shell.with_worst("article_narratives", frame, {"news_articles": news_articles})


@dg.asset(**shell.asset_kwargs("event_narratives"), ins=shell.inputs_of("event_narratives"))
def event_narratives(context: dg.AssetExecutionContext, providers: Providers, **inputs: pd.DataFrame) -> pl.DataFrame:
    """Analyse each event of the run's days, by all of its outlets together."""
    start, end = shell.days_of(context)
    shell.show_lineage(context)
    frame, metadata = analysis.analyse_events(providers, inputs, start, end, context.log.info)
    context.add_output_metadata(metadata)
    return shell.with_worst("event_narratives", frame, inputs)


@dg.asset(**shell.asset_kwargs("narratives"), ins=shell.inputs_of("narratives"))
def narratives(context: dg.AssetExecutionContext, providers: Providers, **inputs: pd.DataFrame) -> pd.DataFrame:
    """Aggregate the news of the last 24 hours by coin and hour."""
    start, end = shell.days_of(context)
    shell.show_lineage(context)
    frame = aggregates.aggregate(**inputs, symbols=symbols(providers.coins()), start=start, end=end)
    frame = frame[frame["ts"] <= providers.now()]  # hours in the future have no row
    plots.show(context, "sentiment", lambda: plots.sentiment(frame))
    return shell.with_worst("narratives", frame, inputs)


@dg.asset(**shell.asset_kwargs("event_reactions"), ins=derived.polars_inputs("event_reactions"))
def event_reactions(context: dg.AssetExecutionContext, news_events: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """Measure what prices did after events, with a chart of the newest events over the price line."""
    start, end = shell.days_of(context)
    shell.show_lineage(context)
    rows = reactions.event_reactions(news_events=news_events, prices=prices, start=start, end=end)
    plots.show(context, "events_and_price", lambda: event_plot.events_over_price(news_events, prices, end))
    return shell.with_worst("event_reactions", rows, {"news_events": news_events, "prices": prices})


@dg.asset(**shell.asset_kwargs("coin_events"), ins=derived.polars_inputs("coin_events"))
def coin_events(context: dg.AssetExecutionContext, providers: Providers, **inputs: Any) -> pl.DataFrame:
    """Count the events of the last 24 hours by coin and hour, beside what was usual and what followed before."""
    start, end = shell.days_of(context)
    shell.show_lineage(context)
    rows = coin_hours.coin_events(inputs, symbols(providers.coins()), start, end)
    rows = rows.filter(pl.col("ts") <= providers.now())  # hours in the future have no row
    return shell.with_worst("coin_events", rows, inputs)


@dg.asset(**shell.asset_kwargs("theme_trends"), ins=shell.inputs_of("theme_trends"))
def theme_trends(
    context: dg.AssetExecutionContext,
    providers: Providers,
    news_articles: pd.DataFrame,
    article_narratives: pd.DataFrame,
) -> pd.DataFrame:
    """Compute the share of each theme by day, with a chart of the last 60 days."""
    start, end = shell.days_of(context)
    shell.show_lineage(context)
    frame = trends.theme_trends(news_articles, article_narratives, start, end)
    frame = frame[frame["available_at"] <= providers.now()]  # the day in progress has no row yet
    warehouse = Warehouse(providers.settings().warehouse)
    columns = ["theme", "date", "share"]
    stored = to_pandas(warehouse.read(schemas.THEME_TRENDS, start=start - PLOTTED, end=start - DAY, columns=columns))
    shares = trends.by_theme(pd.concat([stored, frame[columns]]))
    plots.show(
        context,
        "theme_shares",
        lambda: plots.line_chart(shares, title="Themes, share of the day's stories", unit="%"),
    )
    inputs = {"news_articles": news_articles, "article_narratives": article_narratives}
    return shell.with_worst("theme_trends", frame, inputs)


@dg.asset(**shell.asset_kwargs("theme_digests"), ins=shell.inputs_of("theme_digests"))
def theme_digests(context: dg.AssetExecutionContext, providers: Providers, **inputs: pd.DataFrame) -> pd.DataFrame:
    """Write the digest of the largest themes of each day."""
    shell.show_lineage(context)
    frame = digests.theme_digests(**inputs)
    frame = frame[frame["available_at"] <= providers.now()]  # the day in progress has no row yet
    newest = frame[frame["date"] == frame["date"].max()] if len(frame) else frame
    plots.show(context, "newest_digest", lambda: digests.as_markdown(newest))
    return shell.with_worst("theme_digests", frame, inputs)


ASSETS = [
    news_articles,
    article_narratives,
    event_narratives,
    narratives,
    event_reactions,
    coin_events,
    theme_trends,
    theme_digests,
]
