"""DefiLlama's current state: value locked by protocol, yield by pool. Neither route gives history.

Format: https://api-docs.defillama.com: ``/protocols``, and ``/pools`` on the yields host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.cells import CONTRADICTED, NO_OBJECT, Cells, parsed, require_readable, summary
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched, SetAsideLog, rows_of, source_name, utc
from crypto_assets.tables.context import DEFI_PROTOCOLS, DEFI_YIELDS
from crypto_assets.tables.contract import Contract

NAME = "defillama"
PROTOCOL_FLOOR_USD, POOL_FLOOR_USD = 1e6, 1e7
PROTOCOLS = ["protocol", "date", "available_at", "source", "name", "category", "symbol", "tvl_usd"]
POOLS = [
    "pool", "date", "available_at", "source", "project", "chain", "pool_symbol", "tvl_usd", "apy", "apy_base",
    "stablecoin",
]  # fmt: skip


async def fetch_protocols(client: Client, settings: Settings, coins: Sequence[Coin], now: datetime) -> Fetched:
    """Fetch the rows of ``defi_protocols`` for the current day.

    Args:
        client: makes the request.
        settings: the base address.
        coins: the coins of the catalogue, to find the symbol of a protocol's coin.
        now: the instant of the request.

    Returns:
        The rows, in USD. ``set_aside`` names protocols whose value is not a number.

    Raises:
        SourceError: the answer cannot be had, or most of it cannot be read.
    """
    what = f"{NAME} /protocols of {now.date()}"
    url = f"{settings.defillama_base_url}/protocols"
    answer = await client.get_json(NAME, url, subject=str(now.date()), endpoint="/protocols")
    by_id = {coin.coingecko: coin.symbol for coin in coins if coin.coingecko}
    found = _Snapshot(DEFI_PROTOCOLS, PROTOCOLS, what, now)
    items = rows_of(answer.body, what)
    for item in found.objects(items):
        name = item.get("name")
        slug = item.get("slug") or (name.lower().replace(" ", "-") if isinstance(name, str) else "")
        tvl = found.locked(item.get("tvl"), PROTOCOL_FLOOR_USD, str(slug or name))
        if tvl is None or not found.named(str(slug or name), name=name, slug=slug):
            continue
        symbol = by_id.get(str(item.get("gecko_id")))
        category = _text(item.get("category"))
        found.add((slug, now.date(), now, source_name(NAME, answer), name, category, symbol, tvl))
    return found.fetched(answer.digest)


async def fetch_pools(client: Client, settings: Settings, now: datetime) -> Fetched:
    """Fetch the rows of ``defi_yields`` for the current day.

    A yield that is not a number is null. A pool whose locked value is not a number is left out. ``set_aside`` names
    both.

    Args:
        client: makes the request.
        settings: the base address.
        now: the instant of the request.

    Returns:
        The rows; values in USD, yields as fractions a year.

    Raises:
        SourceError: the answer cannot be had, or most of it cannot be read.
    """
    what = f"{NAME} /pools of {now.date()}"
    url = f"{settings.yields_base_url}/pools"
    answer = await client.get_json(NAME, url, subject=str(now.date()), endpoint="/pools")
    body = answer.body
    if not isinstance(body, dict) or body.get("status") != "success":
        raise SourceError(f"{what} did not say success; nothing was written; try again later")
    found = _Snapshot(DEFI_YIELDS, POOLS, what, now)
    for item in found.objects(rows_of(body.get("data"), what)):
        pool, project, chain, symbol = names = [item.get(name) for name in ("pool", "project", "chain", "symbol")]
        subject = next((text for text in map(_text, names) if text), "a pool without a name")
        tvl = found.locked(item.get("tvlUsd"), POOL_FLOOR_USD, subject)
        if tvl is None or not found.named(subject, pool=pool, project=project, chain=chain, symbol=symbol):
            continue
        apy, base = (
            found.cells.read(item.get(theirs), ours, subject, now.date(), scale=0.01)
            for ours, theirs in (("apy", "apy"), ("apy_base", "apyBase"))
        )
        stable = item.get("stablecoin") if isinstance(item.get("stablecoin"), bool) else None
        head = (pool, now.date(), now, source_name(NAME, answer))
        found.add((*head, project, chain, symbol, tvl, apy, base, stable))
    return found.fetched(answer.digest)


class _Snapshot:
    """The rows of one snapshot by the identifier in their first column, and what is left out of them."""

    def __init__(self, contract: Contract, columns: list[str], what: str, now: datetime) -> None:
        self.log, self.surplus = SetAsideLog(), Counter[str]()
        self.cells = Cells(contract, self.log)
        self._columns, self._what, self._day = columns, what, now.date()
        self._rows: dict[str, tuple[Any, ...]] = {}
        self._contradicted: set[str] = set()

    def objects(self, items: Sequence[object]) -> list[Mapping[str, Any]]:
        """Return the rows that are objects. Raises :class:`SourceError` where most are not."""
        bad = [item for item in items if not isinstance(item, dict)]
        require_readable(len(bad), len(items), self._what, f"no objects, e.g. {str(bad[:1])[:60]}")
        for item in bad:
            self.log.add(NAME, self._day, NO_OBJECT, item)
        return [item for item in items if isinstance(item, dict)]

    def locked(self, raw: object, floor: float, subject: str) -> float | None:
        """Return the locked value in USD; None below the table's floor, and where it is not a number of at least 0."""
        try:
            value = parsed(raw)
            reason = "value locked is below 0" if value is not None and value < 0 else ""
        except ValueError as error:
            value, reason = None, f"value locked is {error}"
        if reason:
            self.log.add(subject, self._day, reason, raw)
        elif value is None or value < floor:
            self.surplus["no value locked" if value is None else f"below the table's {floor:g} USD"] += 1
        return None if reason or value is None or value < floor else value

    def named(self, subject: str, **names: object) -> bool:
        """Whether the row has every name that the table needs."""
        lacking = [name for name, value in names.items() if not _text(value)]
        if lacking:
            self.log.add(subject, self._day, f"it has no {' and no '.join(lacking)}", "")
        return not lacking

    def add(self, row: tuple[Any, ...]) -> None:
        """Add a row. If two different rows have the same identifier, both are left out."""
        known = self._rows.setdefault(row[0], row)
        if known is row:
            return
        if known == row:
            self.surplus["a row given twice"] += 1
        else:
            self._contradicted.add(row[0])
            self.log.add(row[0], self._day, CONTRADICTED, f"{known[4:]} and {row[4:]}", count=1)

    def fetched(self, digest: str) -> Fetched:
        """Return the rows and what was left out. Raises :class:`SourceError` where no row is left."""
        rows = [row for name, row in self._rows.items() if name not in self._contradicted]
        if not rows:
            why = summary(self.log.records())
            raise SourceError(
                f"{self._what} has no row above the floor{f' ({why})' if why else ''}; nothing was written; "
                "try again later"
            )
        frame = utc(pd.DataFrame(rows, columns=self._columns), "available_at")
        return Fetched(frame, (digest,), {}, 1, set_aside=self.log.records(), surplus=dict(self.surplus))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
