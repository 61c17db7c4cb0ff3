"""Posts of the group ``news``: what feeds and files hold, and its tone by coin and hour."""

import dagster as dg
import pandas as pd
import polars as pl

from crypto_assets.assets import derived, shell
from crypto_assets.assets.providers import Providers
from crypto_assets.catalog import all_coins, symbols
from crypto_assets.narratives.mentions import find_posted_symbols
from crypto_assets.narratives.posts import social_sentiment as by_hour
from crypto_assets.sources import social
from crypto_assets.tables import schemas


@dg.asset(**shell.asset_kwargs("social_posts"))
def social_posts(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Read the posts of SOCIAL_FEEDS and SOCIAL_FOLDER; without both there are none."""
    start, end = shell.days_of(context)
    now = providers.now()
    fetched = shell.fetch(
        context,
        providers,
        lambda client, settings: social.fetch_posts(
            client, settings, start, end, now, find_posted_symbols, all_coins()
        ),
        schemas.SOCIAL_POSTS,
    )
    shell.note(context, fetched)
    return fetched.frame


@dg.asset(**shell.asset_kwargs("social_sentiment"), ins=derived.polars_inputs("social_sentiment"))
def social_sentiment(
    context: dg.AssetExecutionContext, providers: Providers, social_posts: pl.DataFrame
) -> pl.DataFrame:
    """Count the posts of the last 24 hours by coin and hour, and average the tone of their texts."""
    start, end = shell.days_of(context)
    shell.show_lineage(context)
    rows = by_hour(social_posts, symbols(providers.coins()), start, end)
    rows = rows.filter(pl.col("ts") <= providers.now())  # hours in the future have no row
    return shell.with_worst("social_sentiment", rows, {"social_posts": social_posts})


ASSETS = [social_posts, social_sentiment]
