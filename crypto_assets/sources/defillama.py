"""DefiLlama: total value locked and stablecoin supply by day, for all chains together and by chain.

Format: https://api-docs.defillama.com. ``/v2/historicalChainTvl[/{chain}]``, and on another host
``/stablecoincharts/{all|chain}``. Each call answers the whole history. Dates are seconds, as numbers or as strings.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Any
from urllib.parse import quote

import pandas as pd

from crypto_assets.dates import DAY, midnight
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.cells import (
    CONTRADICTED,
    NO_OBJECT,
    TOO_LARGE,
    UNREADABLE_TIME,
    Cells,
    parsed,
    place,
    require_readable,
    summary,
)
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched, SetAsideLog, gather, require_days, rows_of, source_name, utc
from crypto_assets.tables.schemas import DEFI_METRICS, DEFILLAMA_LAG

NAME = "defillama"
ALL = "all"  # the entity for all chains together
_COLUMNS = ["entity", "date", "available_at", "source", "tvl_usd", "stablecoin_supply_usd"]
_UNKNOWN_CHAIN = (400, 404)  # 404 is documented; clients report 400 for a chain that it does not track

Point = Mapping[str, Any]


async def fetch_defi(
    client: Client, settings: Settings, chains: Sequence[str], start: date, end: date, now: datetime
) -> Fetched:
    """Fetch the rows of contract ``defi_metrics`` for the closed days of ``start``..``end``.

    Both totals must have every closed day since their own first day. A value that the contract does not allow is null
    and in ``set_aside``. The same holds for the history of a chain that has another shape. Any other fault fails the
    whole fetch.

    Args:
        client: makes the requests: two per entity.
        settings: the base addresses.
        chains: the chains, by the provider's names.
        start: the first UTC day.
        end: the last UTC day, included.
        now: days that end later are not closed, and are left out.

    Returns:
        The rows. ``missing`` names chains that the provider does not know or has nothing of.

    Raises:
        ShortAnswerError: a total lacks a closed day.
        SourceError: the answers cannot be had or read, or no value is usable.
    """
    before = client.calls
    last = min(end, now.astimezone(timezone.utc).date() - DAY)  # the day in progress still changes
    if start > last:
        return Fetched(_frame([]))
    entities = list(dict.fromkeys([ALL, *chains]))
    log, surplus = SetAsideLog(), Counter[str]()
    series = await gather(
        _series(client, settings, entity, kind, (start, last), log, surplus)
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
                one.require(now)
        given = _rows_of(entity, tvl, stable)
        if not given and not reasons:
            reasons = [f"no value from {start} to {last}"]
        if reasons:
            missing[entity] = "; ".join(reasons)
        rows += given
    if not rows and log.records():
        raise SourceError(
            f"{NAME} has no usable value from {start} to {last}: {summary(log.records())}; nothing was written; the "
            "provider must give numbers of at least 0: try again later, or report it to the provider"
        )
    return Fetched(
        _frame(rows), tuple(digests), missing, client.calls - before, set_aside=log.records(), surplus=dict(surplus)
    )


class _Series:
    """The history of one measure of one entity: the points of each day of the window, parsed on demand."""

    def __init__(
        self, entity: str, column: str, window: tuple[date, date], log: SetAsideLog, surplus: Counter[str]
    ) -> None:
        measure = "TVL" if column == "tvl_usd" else "stablecoin supply"
        self.what = f"{NAME} {measure} of {entity} {window[0]} to {window[1]}"
        self.digest = self.source = self.reason = ""
        self.given: set[date] = set()  # days that have a point, readable or not
        self._points: dict[date, list[Point]] = {}
        self._entity, self._column, self._window, self._log, self._surplus = entity, column, window, log, surplus
        self._cells = Cells(DEFI_METRICS, log)

    def load(self, body: object) -> None:
        """Keep the earliest point of each day, at best the one at 00:00; later points are intermediate values.

        A point with an unreadable day is set aside where it can belong to the window.

        Raises:
            SourceError: the answer is not a list, or most points have no readable day.
        """
        start, last = self._window
        rows = rows_of(body, self.what)
        seconds = [_seconds(row.get("date")) if isinstance(row, dict) else None for row in rows]
        stamped = [None if at is None else datetime.fromtimestamp(at, timezone.utc).date() for at in seconds]
        unreadable = [index for index, day in enumerate(stamped) if day is None]
        if unreadable:
            example = str(rows[unreadable[0]])[:80]
            require_readable(len(unreadable), len(rows), self.what, f"their dates are not seconds: {example}")
        earliest: dict[date, int] = {}
        for row, at, day in zip(rows, seconds, stamped, strict=True):
            if at is None or day is None:
                continue
            self.given.add(day)
            if not start <= day <= last:
                self._surplus["outside the days asked for"] += 1
            elif day not in earliest or at < earliest[day]:
                self._surplus["a later point of the day"] += len(self._points.get(day, []))
                earliest[day], self._points[day] = at, [row]
            elif at == earliest[day]:
                self._points[day].append(row)
            else:
                self._surplus["a later point of the day"] += 1
        for index, day in place(stamped, start, last).items():
            reason = UNREADABLE_TIME if isinstance(rows[index], dict) else NO_OBJECT
            self._log.add(self._entity, day, reason, rows[index], self._column)
            self.given.add(day)

    def days(self) -> set[date]:
        """Return the days of the window that have a readable point."""
        return set(self._points)

    def value(self, day: date) -> float | None:
        """Return the value of a day; None where there is none, and where it is set aside."""
        points = self._points.get(day, [])
        found = {value for point in points if (value := self._value_of(point, day)) is not None}
        self._surplus["a point given twice"] += max(len(points) - max(len(found), 1), 0)
        if len(found) > 1:
            self._log.add(self._entity, day, CONTRADICTED, " and ".join(f"{v:g}" for v in sorted(found)), self._column)
            return None
        return next(iter(found), None)

    def require(self, now: datetime) -> None:
        """Raise :class:`SourceError` unless every closed day since the start of the history has a point."""
        start, last = self._window
        first = min(self.given, default=start)  # the provider has nothing before its first day
        if first <= last:
            require_days(self.given, max(start, first), last, now, self.what)

    def _value_of(self, point: Point, day: date) -> float | None:
        # The provider writes 0 while it tracks nothing (before the first protocol or coin of a chain).
        try:
            raw = point.get("tvl") if self._column == "tvl_usd" else _pegged(point)
        except ValueError as error:
            shown = point.get("totalCirculatingUSD", point.get("totalCirculating"))
            self._log.add(self._entity, day, str(error), shown, self._column)
            return None
        return self._cells.read(raw, self._column, self._entity, day)


async def _series(
    client: Client,
    settings: Settings,
    entity: str,
    kind: str,
    window: tuple[date, date],
    log: SetAsideLog,
    surplus: Counter[str],
) -> _Series:
    """Make one call. A chain that the provider does not know has no points and a reason."""
    subject = f"{entity} {window[0]} to {window[1]}"
    if kind == "tvl":
        path = "" if entity == ALL else f"/{quote(entity, safe='')}"
        url = f"{settings.defillama_base_url}/v2/historicalChainTvl{path}"
        column = "tvl_usd"
    else:
        url = f"{settings.stablecoins_base_url}/stablecoincharts/{quote(entity, safe='')}"
        column = "stablecoin_supply_usd"
    series = _Series(entity, column, window, log, surplus)
    try:
        endpoint = "/v2/historicalChainTvl" if kind == "tvl" else "/stablecoincharts"
        answer = await client.get_json(NAME, url, subject=subject, endpoint=endpoint)
    except SourceError as error:
        if entity == ALL or error.status not in _UNKNOWN_CHAIN:
            raise
        series.reason = f"{kind}: the provider does not know this chain (HTTP {error.status})"
        return series
    series.digest, series.source = answer.digest, source_name(NAME, answer)
    try:
        series.load(answer.body)
    except SourceError as error:
        if entity == ALL:
            raise
        series.reason = f"{kind}: {error}"
        log.add(entity, window[0], "its history has another shape", answer.body, column)
        return series
    if not series.given:
        if entity == ALL:
            raise SourceError(f"{series.what} answered an empty list; nothing was written; try again later")
        series.reason = f"{kind}: the provider has nothing of this chain"
    return series


def _seconds(raw: object) -> int | None:
    """Read epoch seconds; None where the value is not an instant."""
    try:
        seconds = parsed(raw)
    except ValueError:
        return None
    return int(seconds) if seconds is not None and 10**9 <= seconds < 10**10 and not seconds % 1 else None


def _pegged(point: Point) -> object:
    """Sum up the US dollars over all pegs.

    Answers have ``totalCirculatingUSD``. The documented shape has only ``totalCirculating``, where only the
    dollar-pegged part is in dollars.

    Raises:
        ValueError: a part of the sum is not a credible number, so that the sum would be too small.
    """
    usd, units = point.get("totalCirculatingUSD"), point.get("totalCirculating")
    if isinstance(usd, dict):
        known = []
        for value in usd.values():
            part = parsed(value)
            if part is not None and part < 0:
                raise ValueError("a part of it is below 0")
            known += [] if part is None else [part]
        try:
            return math.fsum(known) if known else None
        except OverflowError:
            raise ValueError(TOO_LARGE) from None
    if usd is None and isinstance(units, dict):
        return units.get("peggedUSD")
    if usd is None and units is None:
        return None
    raise ValueError("not a number by peg")


def _rows_of(entity: str, tvl: _Series, stable: _Series) -> list[tuple[Any, ...]]:
    rows = []
    for day in sorted(tvl.days() | stable.days()):
        values = tvl.value(day), stable.value(day)
        if values != (None, None):
            source = tvl.source or stable.source
            rows.append((entity, day, midnight(day + DAY) + DEFILLAMA_LAG, source, *values))
    return rows


def _frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    return utc(frame, "available_at").astype({"tvl_usd": "float64", "stablecoin_supply_usd": "float64"})
