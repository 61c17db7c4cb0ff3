"""Group ``macro``: series of the economy as published and revised, and the readings in force at each instant."""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import pandas as pd
import polars as pl

from crypto_assets.assets import day_in_progress, shell
from crypto_assets.assets.providers import Providers
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched
from crypto_assets.sources.macro import Published, fetch_macro
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables import schemas
from crypto_assets.transforms.macro import indicators, with_combined

TABLES = (schemas.MACRO_SERIES, schemas.MACRO_INDICATORS)
ASKED_UNTIL = 15  # minutes: of the ticks of an hour the first one asks, since publications are hours apart


@dg.multi_asset(**shell.asset_of_many(*(contract.table for contract in TABLES)))
def macro(context: dg.AssetExecutionContext, providers: Providers) -> Iterator[dg.Output[pd.DataFrame | pl.DataFrame]]:
    """Fetch what was published on the days, and what readings look back on; one fetch fills both tables."""
    start, end = shell.days_of(context)
    now = providers.now()
    today = Warehouse(providers.settings().warehouse).days_with_rows(schemas.MACRO_INDICATORS.table, end, end)
    if day_in_progress.covers_only_today(context, now) and now.minute >= ASKED_UNTIL and today:
        for contract in TABLES:
            if contract.table in context.selected_output_names:
                yield dg.Output(contract.empty(), output_name=contract.table, metadata={
                    "already_seen": "the publications of this hour were asked for; no request was made"})  # fmt: skip
        return
    found: list[Published] = []

    async def ask(client: Client, settings: Settings) -> Fetched:
        found.append(await fetch_macro(client, settings, start, end, now))
        return found[-1].fetched

    fetched = shell.fetch(context, providers, ask, schemas.MACRO_SERIES)
    vintages = with_combined(schemas.MACRO_SERIES.conform(fetched.frame))
    rows: dict[str, pl.DataFrame] = {
        schemas.MACRO_SERIES.table: vintages.filter(pl.col("date").is_between(start, end)),
        schemas.MACRO_INDICATORS.table: indicators(vintages, found[-1].releases if found else {}, start, end, now),
    }
    for contract in TABLES:
        if contract.table in context.selected_output_names:
            shell.note(context, replace(fetched, frame=pd.DataFrame()), output=contract.table)
            yield dg.Output(rows[contract.table], output_name=contract.table)


ASSETS = [macro]
