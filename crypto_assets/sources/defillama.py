"""DefiLlama: total value locked and stablecoin supply by day, for all chains together and by chain.

https://api-docs.defillama.com: ``/v2/historicalChainTvl[/{chain}]`` and, on a host of their own,
``/stablecoincharts/{all|chain}``. Each call answers the whole history. Dates are seconds, as numbers or as strings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Any
from urllib.parse import quote

import pandas as pd

from crypto_assets.errors import SourceError
from crypto_assets.partitions import DAY, midnight
from crypto_assets.schemas import DEFILLAMA_LAG
from crypto_assets.settings import Settings
from crypto_assets.sources.client import Client
from crypto_assets.sources.fetched import Fetched, gather, number, require_days, rows_of, source_name, utc

NAME = "defillama"
ALL = "all"  # the entity of every chain together
_COLUMNS = ["entity", "date", "available_at", "source", "tvl_usd", "stablecoin_supply_usd"]
_UNKNOWN_CHAIN = (400, 404)  # documented: 404; clients report 400 for a chain it does not track

Point = Mapping[str, Any]


async def fetch_defi(
    client: Client, settings: Settings, chains: Sequence[str], start: date, end: date, now: datetime
) -> Fetched:
    """Rows of contract ``defi_metrics`` for the closed days of ``start``..``end`` (inclusive, UTC).

    Both totals must hold every closed day since their own first day, else :class:`SourceError`; a chain that the
    provider does not know, or has nothing of, is in ``missing``. Every other fault fails the whole.
    """
    before = client.calls
    last = min(end, now.astimezone(timezone.utc).date() - DAY)  # the point of the day in progress still moves
    if start > last:
        return Fetched(_frame([]))
    entities = list(dict.fromkeys([ALL, *chains]))
    series = await gather(
        _series(client, settings, entity, kind, f"{entity} {start} to {last}")
        for entity in entities
        for kind in ("tvl", "stablecoins")
    )
    rows: list[tuple[Any, ...]] = []
    digests: list[str] = []
    missing: dict[str, str] = {}
    for index, entity in enumerate(entities):
        tvl, stable = series[2 * index], series[2 * index + 1]
        digests += [one.digest for one in (tvl, stable) if one.digest]
        reasons = [one.reason for one in (tvl, stable) if one.reason]
        if entity == ALL:
            for one in (tvl, stable):
                one.require(start, last, now)
        given = _rows_of(entity, tvl, stable, start, last)
        if not given and not reasons:
            reasons = [f"no value from {start} to {last}"]
        if reasons:
            missing[entity] = "; ".join(reasons)
        rows += given
    return Fetched(_frame(rows), tuple(digests), missing, client.calls - before)


class _Series:
    """One entity's history of one measure: points by day, parsed when the window asks for them."""

    def __init__(self, what: str, read: Callable[[Point, str], float | None]) -> None:
        self.what = what
        self.points: dict[date, Point] = {}
        self.digest = self.source = self.reason = ""
        self._read = read

    def load(self, body: object) -> None:
        """Keep each day's earliest point: the one at 00:00 where there is one; later ones are the moving present."""
        earliest: dict[date, int] = {}
        for row in rows_of(body, self.what):
            if not isinstance(row, dict):
                raise SourceError(f"{self.what} has a point of another shape; nothing was written; try again later")
            seconds = _seconds(row.get("date"), self.what)
            day = datetime.fromtimestamp(seconds, timezone.utc).date()
            if day not in earliest or seconds < earliest[day]:
                earliest[day], self.points[day] = seconds, row
            elif seconds == earliest[day] and self._value_of(row, day) != self._value_of(self.points[day], day):
                raise SourceError(f"{self.what} has two values on {day}; nothing was written; try again later")

    def value(self, day: date) -> float | None:
        point = self.points.get(day)
        return None if point is None else self._value_of(point, day)

    def require(self, start: date, last: date, now: datetime) -> None:
        """Raises :class:`SourceError` unless every closed day since the history's first has a point."""
        first = min(self.points, default=start)  # before it the provider has nothing; an empty history covers nothing
        if first <= last:
            require_days(self.points, max(start, first), last, now, self.what)

    def _value_of(self, point: Point, day: date) -> float | None:
        value = self._read(point, f"{self.what} on {day}")
        if value is not None and value < 0:
            raise SourceError(
                f"{self.what} is {value:g} on {day}, below 0; nothing was written; report it to the provider"
            )
        # The provider writes 0 where it tracks nothing yet (before the first protocol or coin of a chain).
        return value or None


async def _series(client: Client, settings: Settings, entity: str, kind: str, subject: str) -> _Series:
    """One call. A chain that the provider does not know comes back without points and with a reason."""
    if kind == "tvl":
        path = "" if entity == ALL else f"/{quote(entity, safe='')}"
        url = f"{settings.defillama_base_url}/v2/historicalChainTvl{path}"
        series = _Series(f"{NAME} TVL of {subject}", lambda point, what: number(point.get("tvl"), what))
    else:
        url = f"{settings.stablecoins_base_url}/stablecoincharts/{quote(entity, safe='')}"
        series = _Series(f"{NAME} stablecoin supply of {subject}", _pegged)
    try:
        endpoint = "/v2/historicalChainTvl" if kind == "tvl" else "/stablecoincharts"
        answer = await client.get_json(NAME, url, subject=subject, endpoint=endpoint)
    except SourceError as error:
        if entity == ALL or error.status not in _UNKNOWN_CHAIN:
            raise
        series.reason = f"{kind}: the provider does not know this chain (HTTP {error.status})"
        return series
    series.digest, series.source = answer.digest, source_name(NAME, answer)
    series.load(answer.body)
    if not series.points:
        if entity == ALL:
            raise SourceError(f"{series.what} answered an empty list; nothing was written; try again later")
        series.reason = f"{kind}: the provider has nothing of this chain"
    return series


def _seconds(value: object, what: str) -> int:
    seconds = number(value, f"{what} date")
    if seconds is None or not 10**9 <= seconds < 10**10 or seconds % 1:
        raise SourceError(f"{what} has the date {str(value)[:40]!r}, not seconds; nothing was written; try again later")
    return int(seconds)


def _pegged(point: Point, what: str) -> float | None:
    """US dollars over all pegs. Answers carry ``totalCirculatingUSD``; the documented shape has only
    ``totalCirculating``, of which the dollar-pegged part alone is in dollars.
    """
    usd, units = point.get("totalCirculatingUSD"), point.get("totalCirculating")
    if isinstance(usd, dict):
        parts = [number(value, f"{what} ({peg[:40]!r})") for peg, value in usd.items()]
        known = [value for value in parts if value is not None]
        return math.fsum(known) if known else None
    if usd is None and isinstance(units, dict):
        return number(units.get("peggedUSD"), what)
    if usd is None and units is None:
        return None
    raise SourceError(f"{what} has another shape; nothing was written; try again later")


def _rows_of(entity: str, tvl: _Series, stable: _Series, start: date, last: date) -> list[tuple[Any, ...]]:
    rows = []
    for day in sorted({day for day in (*tvl.points, *stable.points) if start <= day <= last}):
        values = tvl.value(day), stable.value(day)
        if values != (None, None):
            source = tvl.source or stable.source
            rows.append((entity, day, midnight(day + DAY) + DEFILLAMA_LAG, source, *values))
    return rows


def _frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    return utc(frame, "available_at").astype({"tvl_usd": "float64", "stablecoin_supply_usd": "float64"})
