"""Chain data without a key: blockchain.info's charts and mempool.space for Bitcoin, DefiLlama's overviews by chain.

Formats: https://www.blockchain.com/explorer/api/charts_api (``/charts/NAME?timespan=all&sampled=false``, without which some
1,500 points are given; ``values`` of ``x`` in seconds and ``y``); https://mempool.space/docs/api/rest
(``/api/v1/mining/blocks/fee-rates/3y``); https://api-docs.defillama.com (``/overview/{dexs|fees}/{chain}``,
``totalDataChart`` of [seconds, USD], values may be null). Each answers a whole history.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timezone
from functools import partial
from typing import Any
from urllib.parse import quote

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.dates import DAY, midnight
from crypto_assets.errors import ShortAnswerError, SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.cells import UNREADABLE_TIME, Cells
from crypto_assets.sources.client.http import Answer, Client
from crypto_assets.sources.day_series import by_day
from crypto_assets.sources.fetched import Fetched, NeverListedError, SetAsideLog, each, rows_of, source_name, utc
from crypto_assets.tables.network import CHARTS, DIMENSIONS, NETWORK_LAG, NETWORK_METRICS

NAME, MEMPOOL, LLAMA = "blockchain", "mempool", "defillama"
BITCOIN = "BTC"
FEE_RATES = "/api/v1/mining/blocks/fee-rates/3y"
OPTIONS = {"excludeTotalDataChart": "false", "excludeTotalDataChartBreakdown": "true"}
_UNKNOWN = (400, 404)


class _Columns:
    """The values of all coins as they come in: coin -> column -> day -> value."""

    def __init__(self, window: tuple[date, date]) -> None:
        self.window, self.log = window, SetAsideLog()
        self.found: dict[str, dict[str, dict[date, float]]] = {}
        self.sources: dict[str, set[str]] = {}
        self.digests: list[str] = []

    def add(self, coin: str, column: str, answer: Answer, provider: str, values: dict[date, float]) -> None:
        self.digests.append(answer.digest)
        if values:
            self.sources.setdefault(coin, set()).add(source_name(provider, answer))
        self.found.setdefault(coin, {})[column] = values

    def frame(self) -> pd.DataFrame:
        rows = [
            (coin, day, midnight(day + DAY) + NETWORK_LAG, "+".join(sorted(self.sources[coin])),
             *(columns.get(name, {}).get(day) for name in NETWORK_METRICS.value_columns))
            for coin, columns in sorted(self.found.items())
            for day in sorted({day for values in columns.values() for day in values})
        ]  # fmt: skip
        frame = pd.DataFrame(rows, columns=NETWORK_METRICS.given_names)
        return utc(frame, "available_at").astype(dict.fromkeys(NETWORK_METRICS.value_columns, "float64"))


async def fetch_network(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> Fetched:
    """Fetch the rows of contract ``network_metrics`` for the closed days of ``start``..``end``.

    Args:
        client: makes the requests: one for each chart of Bitcoin, and two for each chain.
        settings: the base addresses.
        coins: the coins; Bitcoin, and those with a chain at DefiLlama, have rows.
        start: the first UTC day.
        end: the last UTC day, included.
        now: days that are not known by now are left out.

    Returns:
        The rows. A chart or chain that fails is in ``failed``, one that the provider does not have in ``missing``.

    Raises:
        ShortAnswerError: Bitcoin has no value at all of a day that is over.
        SourceError: the providers cannot be asked.
    """
    before = client.calls
    last = min(end, (now - NETWORK_LAG).astimezone(timezone.utc).date() - DAY)
    found = _Columns((start, last))
    if start > last:
        return Fetched(found.frame())
    missing: dict[str, str] = {}
    calls: dict[str, Callable[[], Awaitable[None]]] = {}
    if any(coin.symbol == BITCOIN for coin in coins):
        calls |= {f"{BITCOIN} {name}": partial(_chart, client, settings, name, found) for name in CHARTS}
        calls[f"{BITCOIN} median_fee_rate"] = partial(_fee_rates, client, settings, found)
    for coin in coins:
        if coin.defillama:
            calls |= {
                f"{coin.symbol} {name}": partial(_overview, client, settings, coin, name, found) for name in DIMENSIONS
            }
    _, failures = await each(calls, missing)
    failed = {name.partition(" ")[0]: why for name, why in failures.items()}
    _require_bitcoin(found, calls.keys() - failures.keys() - missing.keys(), start, last)
    return Fetched(
        found.frame(),
        tuple(found.digests),
        missing,
        client.calls - before,
        failed=failed,
        set_aside=found.log.records(),
    )


def _require_bitcoin(found: _Columns, answered: set[str], start: date, last: date) -> None:
    charts = [name for name in CHARTS if f"{BITCOIN} {name}" in answered]
    given = {day for name in charts for day in found.found.get(BITCOIN, {}).get(name, {})}
    given |= {record.day for record in found.log.records() if record.subject == BITCOIN}
    absent = [day for n in range((last - start).days + 1) if (day := start + n * DAY) not in given] if charts else []
    if absent:
        raise ShortAnswerError(
            f"{NAME} /charts gave no value of {BITCOIN} for {absent[0]} in {start} to {last}; nothing was written; try again later",
            [day.isoformat() for day in absent],
        )


async def _chart(client: Client, settings: Settings, column: str, found: _Columns) -> None:
    route = f"/charts/{CHARTS[column]}"
    what = f"{NAME} {route} for {BITCOIN} {found.window[0]} to {found.window[1]}"
    answer = await _ask(
        client, NAME, f"{settings.blockchain_base_url}{route}", what, timespan="all", format="json", sampled="false"
    )
    rows = rows_of(answer.body.get("values") if isinstance(answer.body, dict) else answer.body, what)
    points = [(row.get("x"), row.get("y")) if isinstance(row, dict) else (None, None) for row in rows]
    found.add(
        BITCOIN, column, answer, NAME, by_day(points, NETWORK_METRICS, column, BITCOIN, found.window, what, found.log)
    )


async def _fee_rates(client: Client, settings: Settings, found: _Columns) -> None:
    """Ask for the fee rates of blocks, and average them by day."""
    what = f"{MEMPOOL} {FEE_RATES} for {BITCOIN} {found.window[0]} to {found.window[1]}"
    answer = await _ask(client, MEMPOOL, f"{settings.mempool_base_url}{FEE_RATES}", what)
    cells, of_day = Cells(NETWORK_METRICS, found.log), dict[date, list[float]]()
    for row in rows_of(answer.body, what):
        try:
            day = datetime.fromtimestamp(row["timestamp"], timezone.utc).date()
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            found.log.add(BITCOIN, found.window[0], UNREADABLE_TIME, row, "median_fee_rate")
            continue
        if found.window[0] <= day <= found.window[1]:
            value = cells.read(row.get("avgFee_50"), "median_fee_rate", BITCOIN, day)
            of_day.setdefault(day, []).extend([] if value is None else [value])
    means = {day: math.fsum(values) / len(values) for day, values in of_day.items() if values}
    found.add(BITCOIN, "median_fee_rate", answer, MEMPOOL, means)


async def _overview(client: Client, settings: Settings, coin: Coin, column: str, found: _Columns) -> None:
    route = f"/overview/{DIMENSIONS[column]}"
    what = f"{LLAMA} {route} for {coin.symbol} ({coin.defillama}) {found.window[0]} to {found.window[1]}"
    url = f"{settings.defillama_base_url}{route}/{quote(coin.defillama or '', safe='')}"
    answer = await _ask(client, LLAMA, url, what, **OPTIONS)
    rows = rows_of(answer.body.get("totalDataChart") if isinstance(answer.body, dict) else answer.body, what)
    points = [(row[0], row[1]) if isinstance(row, list) and len(row) > 1 else (None, None) for row in rows]
    values = by_day(points, NETWORK_METRICS, column, coin.symbol, found.window, what, found.log)
    found.add(coin.symbol, column, answer, LLAMA, values)


async def _ask(client: Client, provider: str, url: str, what: str, **query: Any) -> Answer:
    """Ask for one history; one that the provider does not have is a reason and no failure."""
    route = what.split(" ")[1]
    try:
        return await client.get_json(provider, url, params=query, subject=what.partition(" for ")[2], endpoint=route)
    except SourceError as error:
        if error.status in _UNKNOWN:
            # Many chains have no exchange, so that it says nothing about the catalogue.
            raise NeverListedError(f"{what}: not there (HTTP {error.status})", status=error.status) from error
        raise
