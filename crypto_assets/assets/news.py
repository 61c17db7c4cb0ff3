"""Group ``news``: articles, what each one says, and what the market is talking about hour by hour."""

import dagster as dg
import pandas as pd
import polars as pl

from crypto_assets import schemas
from crypto_assets.assets import analysis, shell
from crypto_assets.assets.access import Providers
from crypto_assets.catalog import all_coins, symbols
from crypto_assets.sources import rss
from crypto_assets.transforms import narratives as aggregates
from crypto_assets.transforms import news as tagging


@dg.asset(
    **shell.of(schemas.NEWS_ARTICLES, group="news", kinds={"rss"}, layer="source", policy=shell.FROM_PROVIDER),
    pool="news",
)
def news_articles(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    start, end = shell.days_of(context)
    fetched = providers.fetch(lambda client, settings: rss.fetch_articles(client, settings, providers.now()))
    shell.note(context, fetched)
    return tagging.tag_articles(fetched.frame, all_coins(), start, end)


@dg.asset(
    **shell.of(
        schemas.ARTICLE_NARRATIVES, group="news", kinds={"ollama", "vader"}, layer="derived", policy=shell.DERIVED
    ),
    pool="ollama",
)
def article_narratives(
    context: dg.AssetExecutionContext, providers: Providers, news_articles: pd.DataFrame
) -> pl.DataFrame:
    start, end = shell.days_of(context)
    frame, said = analysis.analyse(providers, news_articles, start, end, context.log.info)
    context.add_output_metadata(said)
    return frame


@dg.asset(
    **shell.of(schemas.NARRATIVES, group="news", kinds={"pandas"}, layer="derived", policy=shell.DERIVED),
    ins={
        "news_articles": shell.look_back(aggregates.LOOKBACK_DAYS),
        "article_narratives": shell.look_back(aggregates.LOOKBACK_DAYS),
    },
)
def narratives(
    context: dg.AssetExecutionContext,
    providers: Providers,
    news_articles: pd.DataFrame,
    article_narratives: pd.DataFrame,
) -> pd.DataFrame:
    start, end = shell.days_of(context)
    frame = aggregates.aggregate(news_articles, article_narratives, symbols(providers.coins()), start, end)
    return frame[frame["ts"] <= providers.now()]  # hours of the day in progress that are still to come say nothing


ASSETS = [news_articles, article_narratives, narratives]
