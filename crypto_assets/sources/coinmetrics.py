"""Coin Metrics: daily on-chain metrics of several coins a request, page by page, the provider's numbers unchanged.

https://docs.coinmetrics.io/api/v4 (timeseries/asset-metrics): numbers are strings; a metric that an asset lacks is an
absent key, a day without it null; ``end_time`` is inclusive; community tier 10 requests per 6 s, keyless.
What does not belong here: ratios and rolling measures (``transforms/onchain.py``).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.errors import ShortAnswerError, SourceError
from crypto_assets.partitions import DAY, days, midnight
from crypto_assets.schemas import COINMETRICS_LAG, COINMETRICS_METRICS, COINMETRICS_PLAUSIBLE, ONCHAIN_BASE
from crypto_assets.settings import Settings
from crypto_assets.sources.client import Answer, Client, ResponseError
from crypto_assets.sources.fetched import Fetched, about, named, number, require_days, source_name, utc

NAME = "coinmetrics"
ENDPOINT = "/timeseries/asset-metrics"
BATCH = 100  # assets a request: the address stays far below what answers 414
PAGE = 10_000  # rows a page, the documented maximum
COMPLETION = "AssetEODCompletionTime"  # epoch seconds at which the provider had completed the day
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T00:00:00(?:\.0+)?Z")
_UNKNOWN = re.compile(r"Bad parameter 'assets'\. Value '([^']+)' is not supported")
_COLUMNS = ["symbol", "date", "available_at", "source", *COINMETRICS_METRICS]
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass
class _Harvest:
    """What the pages have given so far."""

    rows: dict[tuple[str, date], tuple[Any, ...]] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


async def fetch_onchain(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> Fetched:
    """Rows of contract ``onchain_base`` for the closed days of ``start``..``end`` (inclusive, UTC).

    ``available_at`` follows the contract's rule and never ``now``, so that asking again changes nothing (rule 4).
    Raises :class:`SourceError` when a closed day has no row of any coin; coins without rows are in ``missing``.
    """
    before = client.calls
    symbols = {coin.coinmetrics: coin.symbol for coin in coins if coin.coinmetrics}
    found = _Harvest(missing={c.symbol: "coinmetrics does not list it" for c in coins if not c.coinmetrics})
    last = min(end, now.astimezone(timezone.utc).date() - DAY)  # the day in progress has no daily metrics yet
    if symbols and start <= last:
        assets = list(symbols)
        for first in range(0, len(assets), BATCH):
            batch = {asset: symbols[asset] for asset in assets[first : first + BATCH]}
            await _fetch_batch(client, settings, batch, start, last, found)
        what = f"{NAME} asset-metrics of {named([coin for coin in coins if coin.coinmetrics])}"
        _require_published((day for _, day in found.rows), start, last, now, what)
        given = {symbol for symbol, _ in found.rows}
        for symbol in symbols.values():
            if symbol not in given:
                found.missing.setdefault(symbol, f"coinmetrics has no row from {start} to {last}")
    frame = pd.DataFrame([found.rows[key] for key in sorted(found.rows)], columns=_COLUMNS)
    frame[list(COINMETRICS_METRICS)] = frame[list(COINMETRICS_METRICS)].astype("float64")
    return Fetched(utc(frame, "available_at"), tuple(found.digests), found.missing, client.calls - before)


def _require_published(covered: Any, start: date, last: date, now: datetime, what: str) -> None:
    present = set(covered)
    require_days(present, start, last, now, what, lag=COINMETRICS_LAG)
    late = [day for day in days(start, last) if day not in present]
    if late:
        raise ShortAnswerError(
            f"{what} has not published {late[0]} yet, which takes some hours after the day's end; nothing was written; "
            f"run again after {midnight(late[-1] + DAY) + COINMETRICS_LAG:%Y-%m-%d %H:%M} UTC",
            [day.isoformat() for day in late],
        )


async def _fetch_batch(
    client: Client, settings: Settings, batch: Mapping[str, str], start: date, last: date, found: _Harvest
) -> None:
    """Every page for these assets. An asset the provider does not know is noted and left out, the rest asked again."""
    asked = dict(batch)
    token: str | None = None
    seen: set[str] = set()
    # A page holds at least one row, so an honest answer cannot have more pages than rows.
    budget = len(asked) * ((last - start).days + 1) + 1
    while asked:
        try:
            answer = await _get(client, settings, asked, start, last, token)
        except ResponseError as error:
            unknown = _unknown_asset(error)
            if unknown not in asked or token is not None:
                raise
            found.missing[asked.pop(unknown)] = f"coinmetrics does not know {unknown!r}"
            continue
        found.digests.append(answer.digest)
        what = f"{NAME} asset-metrics of {_subject(asked, start, last)}"
        with about(what):
            token = _take_page(answer, what, asked, (start, last), found)
        if token is None:
            return
        if token in seen or len(seen) >= budget:
            raise SourceError(f"{what} repeats its pages without end; nothing was written; try again later")
        seen.add(token)


async def _get(
    client: Client, settings: Settings, asked: Mapping[str, str], start: date, last: date, token: str | None
) -> Answer:
    """One page. The key travels in the query: the provider documents no other way
    (https://coinmetrics.io/api-v4-2/: '"api_key" query parameter is the only authentication'), so it is kept out of
    everything that could show the address: errors are redacted here, and httpx's request log by ``_HideKey``.
    """
    params = {
        "assets": ",".join(asked),
        "metrics": ",".join([*COINMETRICS_METRICS.values(), COMPLETION]),
        "frequency": "1d",
        "start_time": start.isoformat(),
        "end_time": last.isoformat(),
        "page_size": str(PAGE),
        "paging_from": "start",
        "ignore_unsupported_errors": "true",
        "ignore_forbidden_errors": "true",
    }
    if token is not None:
        # Not the answer's ``next_page_url``: its host is the provider's word, and it spells out the key.
        params["next_page_token"] = token
    url = f"{settings.coinmetrics_base_url}{ENDPOINT}"
    subject = _subject(asked, start, last)
    if settings.coinmetrics_api_key is None:
        return await client.get_json(NAME, url, params=params, subject=subject, endpoint=ENDPOINT)
    key = settings.coinmetrics_api_key.get_secret_value()
    watch = _HideKey(key)
    logging.getLogger("httpx").addFilter(watch)
    try:
        return await client.get_json(NAME, url, params={**params, "api_key": key}, subject=subject, endpoint=ENDPOINT)
    except SourceError as error:
        error.args = tuple(str(part).replace(key, "***") for part in error.args)
        error.__cause__, error.__suppress_context__ = None, True  # httpx's exceptions carry the address
        raise
    finally:
        logging.getLogger("httpx").removeFilter(watch)


class _HideKey(logging.Filter):
    """httpx logs every address at INFO; this one carries a key."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if self._key in message or "api_key=" in message:
            shown = re.sub(r"api_key=[^&\s\"]*", "api_key=***", message).replace(self._key, "***")
            record.msg, record.args = shown, ()
        return True


def _unknown_asset(error: ResponseError) -> str:
    """The asset that a 400 names as not supported; empty for every other error."""
    said = error.body.get("error") if isinstance(error.body, dict) else None
    text = said.get("message") if isinstance(said, dict) else None
    match = _UNKNOWN.search(text) if error.status == 400 and isinstance(text, str) else None
    return match.group(1) if match else ""


def _subject(asked: Mapping[str, str], start: date, last: date) -> str:
    first, *others = asked.values()
    return f"{first}{f' and {len(others)} more' if others else ''}, {start} to {last}"


def _take_page(
    answer: Answer, what: str, asked: Mapping[str, str], window: tuple[date, date], found: _Harvest
) -> str | None:
    """Add the page's rows; the token of the next page, None on the last one."""
    body = answer.body
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise SourceError(f"{what} has no data list; nothing was written; check COINMETRICS_BASE_URL")
    source = source_name(NAME, answer)
    for item in body["data"]:
        row = parse_row(item, asked, source)
        if row is None or not window[0] <= row[1] <= window[1]:
            continue
        if found.rows.setdefault(row[:2], row) != row:
            raise SourceError(
                f"{NAME} gave two different rows for {row[0]} on {row[1]}; nothing was written; try again later"
            )
    token = body.get("next_page_token")
    if token is not None and not (isinstance(token, str) and token):
        raise SourceError(f"{what} has an unreadable next_page_token; nothing was written; try again later")
    return token


def parse_row(item: object, symbols: Mapping[str, str], source: str) -> tuple[Any, ...] | None:
    """One row in the order of the contract's columns; None where the provider has none of the metrics that day.

    Raises :class:`SourceError` for an asset nobody asked for, a time that is not midnight, a value out of bounds.
    """
    if not isinstance(item, dict):
        raise SourceError(f"{NAME} gave a row of another shape; nothing was written; try again later")
    asset, time = item.get("asset"), item.get("time")
    if not isinstance(asset, str) or asset not in symbols:
        raise SourceError(
            f"{NAME} gave a row of {str(asset)[:40]!r}, which was not asked for; nothing was written; try again later"
        )
    day = _day(time, symbols[asset])
    values = tuple(
        _value(item.get(metric), name, f"{NAME} {metric} of {symbols[asset]} on {day}")
        for name, metric in COINMETRICS_METRICS.items()
    )
    if all(value is None for value in values):
        return None
    return (symbols[asset], day, available_at(day, item.get(COMPLETION)), source, *values)


def _day(time: object, symbol: str) -> date:
    match = _TIME.fullmatch(time) if isinstance(time, str) else None
    try:
        if match:
            return date.fromisoformat(match.group(1))
    except ValueError:
        pass
    raise SourceError(
        f"{NAME} gave {symbol} a row at {str(time)[:40]!r}, which is not a UTC midnight; nothing was written; "
        "try again later"
    )


def _value(raw: object, name: str, what: str) -> float | None:
    value = number(raw, what)
    if name == "price_usd" and value == 0:
        return None  # no coin is worth nothing: the provider's placeholder
    lower = ONCHAIN_BASE.by_name[name].lower
    if value is not None and lower is not None and value < lower:
        raise SourceError(
            f"{what} is {value:g}, below {lower:g}; nothing was written; report it to the provider and run again later"
        )
    return value


def available_at(day: date, completed: object) -> datetime:
    """When the day's row could be known: the completion the provider states where it is plausible, else end plus lag.

    A completion before the day's end is no completion, one much later is a re-computation; an unreadable one says
    nothing. All three fall back to the documented lag.
    """
    over = midnight(day + DAY)
    try:
        stated = _EPOCH + timedelta(seconds=number(completed, COMPLETION) or 0)
    except (SourceError, OverflowError):
        return over + COINMETRICS_LAG
    return stated if over <= stated <= over + COINMETRICS_PLAUSIBLE else over + COINMETRICS_LAG
