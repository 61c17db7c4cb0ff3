"""Group ``derivatives``: funding, open interest, perpetual bars and implied volatility, with their history."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import TypeAlias

import dagster as dg
import pandas as pd
import polars as pl

from crypto_assets.assets import day_in_progress, shell
from crypto_assets.assets.providers import Providers
from crypto_assets.catalog import Coin
from crypto_assets.dates import DAY
from crypto_assets.settings import Settings
from crypto_assets.sources import deribit
from crypto_assets.sources import derivatives as source
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables import schemas
from crypto_assets.tables.contract import Contract

Fetch: TypeAlias = Callable[[Client, Settings, Sequence[Coin], date, date, datetime], Awaitable[Fetched]]
LONGEST_INTERVAL = 8.0  # hours between two settlements
COMPARED = 30 * DAY  # the stored days before a range, with whose level its funding is compared


@dg.asset(**shell.asset_kwargs("funding_rates"))
def funding_rates(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Settlements of perpetual futures; of the day in progress, of the coins whose interval is over."""
    start, end = shell.days_of(context)
    coins, now = _contracts(shell.coins_of(context, providers)), providers.now()
    warehouse = Warehouse(providers.settings().warehouse)
    if day_in_progress.covers_only_today(context, now):
        names = ["symbol", "ts", "interval_hours"]
        stored = warehouse.read(schemas.FUNDING_RATES, start=end - DAY, end=end, columns=names)
        coins = _settled_since(coins, stored, now)
    names = ["symbol", "venue", "date", "funding_rate", "interval_hours"]
    weeks = warehouse.read(schemas.FUNDING_RATES, start=start - COMPARED, end=start - DAY, columns=names)
    fetch = partial(source.fetch_funding, earlier=weeks.select(names).rows())
    fetched = _fetch(context, providers, schemas.FUNDING_RATES, fetch, coins, start, end, now)
    return fetched.frame


@dg.asset(**shell.asset_kwargs("open_interest"))
def open_interest(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Open interest and ratios of each hour."""
    return _hourly(context, providers, schemas.OPEN_INTEREST, source.fetch_open_interest, timedelta(minutes=10))


@dg.asset(**shell.asset_kwargs("perpetual_bars"))
def perpetual_bars(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Hourly bars of perpetual futures and of their index."""
    return _hourly(context, providers, schemas.PERPETUAL_BARS, source.fetch_bars, day_in_progress.HOUR)


@dg.asset(**shell.asset_kwargs("implied_volatility"))
def implied_volatility(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Hourly candles of DVOL."""
    return _hourly(context, providers, schemas.IMPLIED_VOLATILITY, deribit.fetch_volatility, day_in_progress.HOUR)


def _hourly(
    context: dg.AssetExecutionContext, providers: Providers, contract: Contract, fetch: Fetch, known_after: timedelta
) -> pd.DataFrame:
    """Rows of a range; of the day in progress, of the coins that lack an hour which is known by now.

    ``known_after``: how long after its ``ts`` a row is known.
    """
    start, end = shell.days_of(context)
    coins, now = shell.coins_of(context, providers), providers.now()
    coins = tuple(c for c in coins if c.deribit) if contract is schemas.IMPLIED_VOLATILITY else _contracts(coins)
    today = day_in_progress.covers_only_today(context, now)
    as_bars = (
        now - known_after + day_in_progress.HOUR
    )  # the clock by which an hour's row is known when its bar would close
    if today:
        stored = day_in_progress.known_hours(context, Warehouse(providers.settings().warehouse), contract, end)
        coins = tuple(day_in_progress.coins_lacking_bars(coins, stored, end, as_bars))
    fetched = _fetch(context, providers, contract, fetch, coins, start, end, now)
    if today:
        gone = day_in_progress.unavailable_bars(coins, fetched.frame, fetched.failed, end, as_bars)
        day_in_progress.record_unavailable(context, contract.table, end, gone)
    return fetched.frame


def _fetch(
    context: dg.AssetExecutionContext, providers: Providers, contract: Contract, fetch: Fetch, coins: Sequence[Coin],
    start: date, end: date, now: datetime,
) -> Fetched:  # fmt: skip
    fetched = shell.fetch(
        context, providers, lambda client, settings: fetch(client, settings, coins, start, end, now), contract
    )
    shell.note(context, fetched)
    return fetched


def _contracts(coins: Sequence[Coin]) -> tuple[Coin, ...]:
    return tuple(coin for coin in coins if coin.binance_perpetual or coin.bybit_perpetual)


def _settled_since(coins: Sequence[Coin], stored: pl.DataFrame, now: datetime) -> tuple[Coin, ...]:
    """Coins that have settled since their newest stored settlement, as its interval tells, or that have none stored."""
    due = pl.col("ts") + pl.duration(hours=pl.col("interval_hours").fill_null(LONGEST_INTERVAL)) <= now
    newest = stored.sort("ts").group_by("symbol").last()
    waiting = set(newest.filter(~due)["symbol"])
    return tuple(coin for coin in coins if coin.symbol not in waiting)


ASSETS = [funding_rates, open_interest, perpetual_bars, implied_volatility]
