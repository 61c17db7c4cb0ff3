"""DefiLlama's present: value locked by protocol, yield by pool. Neither route gives the past.

https://api-docs.defillama.com: ``/protocols``; ``/pools`` on the yields host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.client import Client
from crypto_assets.sources.fetched import Fetched, number, rows_of, source_name, utc

NAME = "defillama"
PROTOCOL_FLOOR_USD, POOL_FLOOR_USD = 1e6, 1e7
PROTOCOLS = ["protocol", "date", "available_at", "source", "name", "category", "symbol", "tvl_usd"]
POOLS = [
    "pool", "date", "available_at", "source", "project", "chain", "pool_symbol", "tvl_usd", "apy", "apy_base",
    "stablecoin",
]  # fmt: skip


async def fetch_protocols(client: Client, settings: Settings, coins: Sequence[Coin], now: datetime) -> Fetched:
    """Rows of ``defi_protocols`` for the present day."""
    what = f"{NAME} /protocols of {now.date()}"
    url = f"{settings.defillama_base_url}/protocols"
    answer = await client.get_json(NAME, url, subject=str(now.date()), endpoint="/protocols")
    by_id = {coin.coingecko: coin.symbol for coin in coins if coin.coingecko}
    rows: dict[str, tuple[Any, ...]] = {}
    for item in rows_of(answer.body, what):
        if not isinstance(item, dict):
            raise SourceError(f"{what} has a row that is no object; nothing was written; try again later")
        tvl = number(item.get("tvl"), f"{what} tvl")
        name = item.get("name")
        if tvl is None or tvl < PROTOCOL_FLOOR_USD or not isinstance(name, str) or not name:
            continue
        slug = str(item.get("slug") or name.lower().replace(" ", "-"))
        symbol = by_id.get(str(item.get("gecko_id")))
        category = _text(item.get("category"))
        rows.setdefault(slug, (slug, now.date(), now, source_name(NAME, answer), name, category, symbol, tvl))
    return _fetched(list(rows.values()), PROTOCOLS, what, answer.digest)


async def fetch_pools(client: Client, settings: Settings, now: datetime) -> Fetched:
    """Rows of ``defi_yields`` for the present day."""
    what = f"{NAME} /pools of {now.date()}"
    url = f"{settings.yields_base_url}/pools"
    answer = await client.get_json(NAME, url, subject=str(now.date()), endpoint="/pools")
    body = answer.body
    if not isinstance(body, dict) or body.get("status") != "success":
        raise SourceError(f"{what} did not say success; nothing was written; try again later")
    rows: dict[str, tuple[Any, ...]] = {}
    for item in rows_of(body.get("data"), what):
        if not isinstance(item, dict):
            raise SourceError(f"{what} has a row that is no object; nothing was written; try again later")
        tvl = number(item.get("tvlUsd"), f"{what} tvlUsd")
        names = [_text(item.get(name)) for name in ("pool", "project", "chain", "symbol")]
        if tvl is None or tvl < POOL_FLOOR_USD or not all(names):
            continue
        pool, project, chain, symbol = names
        apy, base = (_fraction(item, name, what) for name in ("apy", "apyBase"))
        stable = item.get("stablecoin") if isinstance(item.get("stablecoin"), bool) else None
        head = (pool, now.date(), now, source_name(NAME, answer))
        rows.setdefault(str(pool), (*head, project, chain, symbol, tvl, apy, base, stable))
    return _fetched(list(rows.values()), POOLS, what, answer.digest)


def _fetched(rows: list[tuple[Any, ...]], columns: list[str], what: str, digest: str) -> Fetched:
    if not rows:
        raise SourceError(f"{what} has no row above the floor; nothing was written; try again later")
    return Fetched(utc(pd.DataFrame(rows, columns=columns), "available_at"), (digest,), {}, 1)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _fraction(item: Mapping[str, Any], name: str, what: str) -> float | None:
    value = number(item.get(name), f"{what} {name}")
    return None if value is None else value / 100
