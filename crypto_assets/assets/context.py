"""Assets of the group ``context``: DeFi, stablecoins, fear and greed, communities, developers."""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from crypto_assets.assets import day_in_progress, shell
from crypto_assets.assets.providers import Providers
from crypto_assets.dates import days
from crypto_assets.settings import Settings
from crypto_assets.sources import alternative_me, coingecko_context, defillama, defillama_snapshots
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables import schemas


@dg.asset(**shell.asset_kwargs("defi_metrics"))
def defi_metrics(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Fetch value locked and stablecoin supply of all chains and of the configured coins' chains."""
    start, end = shell.days_of(context)
    chains = list(dict.fromkeys(coin.defillama for coin in providers.coins() if coin.defillama))
    fetched = shell.fetch(
        context,
        providers,
        lambda client, settings: defillama.fetch_defi(client, settings, chains, start, end, providers.now()),
        schemas.DEFI_METRICS,
    )
    shell.note(context, fetched)
    return fetched.frame


@dg.asset(**shell.asset_kwargs("market_sentiment"))
def market_sentiment(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Fetch the Fear & Greed index."""
    start, end = shell.days_of(context)
    fetched = shell.fetch(
        context,
        providers,
        lambda client, settings: alternative_me.fetch_fear_greed(client, settings, start, end, providers.now()),
        schemas.MARKET_SENTIMENT,
    )
    shell.note(context, fetched)
    return fetched.frame


@dg.asset(**shell.asset_kwargs("defi_protocols"))
def defi_protocols(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Fetch the day's snapshot of protocols, once a day; past days cannot be fetched."""
    now = providers.now()
    if now.date() not in days(*shell.days_of(context)):
        return shell.not_shown(context, schemas.DEFI_PROTOCOLS)
    if day_in_progress.snapshot_is_stored(Warehouse(providers.settings().warehouse), schemas.DEFI_PROTOCOLS, now):
        return shell.already_seen(context, schemas.DEFI_PROTOCOLS)
    fetched = shell.fetch(
        context,
        providers,
        lambda client, settings: defillama_snapshots.fetch_protocols(client, settings, providers.coins(), now),
        schemas.DEFI_PROTOCOLS,
    )
    shell.note(context, fetched)
    return fetched.frame


@dg.asset(**shell.asset_kwargs("defi_yields"))
def defi_yields(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Fetch the day's snapshot of yields, once a day; past days cannot be fetched."""
    now = providers.now()
    if now.date() not in days(*shell.days_of(context)):
        return shell.not_shown(context, schemas.DEFI_YIELDS)
    if day_in_progress.snapshot_is_stored(Warehouse(providers.settings().warehouse), schemas.DEFI_YIELDS, now):
        return shell.already_seen(context, schemas.DEFI_YIELDS)
    fetched = shell.fetch(
        context,
        providers,
        lambda client, settings: defillama_snapshots.fetch_pools(client, settings, now),
        schemas.DEFI_YIELDS,
    )
    shell.note(context, fetched)
    return fetched.frame


@dg.multi_asset(**shell.asset_of_many("social_metrics", "developer_activity"))
def community(context: dg.AssetExecutionContext, providers: Providers) -> Iterator[dg.Output[pd.DataFrame]]:
    """Fetch communities and repositories; one response of the provider fills both tables."""
    start, end = shell.days_of(context)
    coins, now = shell.coins_of(context, providers), providers.now()
    found: list[Fetched] = []

    async def both(client: Client, settings: Settings) -> Fetched:
        found.extend(await coingecko_context.fetch_community(client, settings, coins, start, end, now))
        return found[0]

    first = shell.fetch(context, providers, both, schemas.SOCIAL_METRICS)
    failed = Fetched(schemas.DEVELOPER_ACTIVITY.empty().to_pandas(), failed=first.failed)
    tables = (schemas.SOCIAL_METRICS, schemas.DEVELOPER_ACTIVITY)
    for contract, unscreened in zip(tables, found or [first, failed], strict=True):
        table, fetched = contract.table, shell.screened(contract, unscreened, now)
        if table in context.selected_output_names:
            shell.note(context, fetched, output=table)
            yield dg.Output(fetched.frame, output_name=table)


ASSETS = [defi_metrics, market_sentiment, defi_protocols, defi_yields, community]
