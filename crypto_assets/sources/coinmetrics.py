"""Coin Metrics: daily on-chain metrics, several coins per request, page by page, with the provider's numbers unchanged.

Format: https://docs.coinmetrics.io/api/v4 (timeseries/asset-metrics). Numbers are strings. A metric that an asset does
not have is an absent key; a day without a value is null. ``end_time`` is inclusive. The community tier allows 10
requests per 6 s without a key. Ratios and rolling measures do not belong here (see ``transforms/onchain.py``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.errors import ShortAnswerError, SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.cells import CONTRADICTED, NO_OBJECT, UNREADABLE_TIME, Cells, require_readable, summary
from crypto_assets.sources.client.hidden_key import hidden
from crypto_assets.sources.client.http import Answer, Client, ResponseError
from crypto_assets.sources.fetched import Fetched, SetAsideLog, about, named, number, require_days, source_name, utc
from crypto_assets.tables.schemas import (
    COINMETRICS_LAG,
    COINMETRICS_METRICS,
    COINMETRICS_PAID,
    COINMETRICS_PLAUSIBLE,
    ONCHAIN_BASE,
)

NAME = "coinmetrics"
ENDPOINT = "/timeseries/asset-metrics"
BATCH = 100  # assets per request: the address stays far below the length that answers 414
PAGE = 10_000  # rows per page, the documented maximum
COMPLETION = "AssetEODCompletionTime"  # when the provider completed the day, in epoch seconds
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T00:00:00(?:\.0+)?Z")
_UNKNOWN = re.compile(r"Bad parameter 'assets'\. Value '([^']+)' is not supported")
_COLUMNS = ["symbol", "date", "available_at", "source", *COINMETRICS_METRICS]
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_REFUSED = (400, 403)  # the request names a metric that does not exist or that the key may not have
OTHER_ASSET = "of an asset that was not asked for"
METRIC_REFUSED = "the provider refuses the metric"


class _BadRow(SourceError):
    """A row that says nothing about the coins and days that were asked for."""

    def __init__(self, subject: str, reason: str, example: object) -> None:
        super().__init__(f"{NAME} gave {subject} a row that cannot be used: {reason} ({str(example)[:40]!r})")
        self.subject, self.reason, self.example = subject, reason, example


@dataclass
class _Harvest:
    """What the pages have given so far."""

    rows: dict[tuple[str, date], tuple[Any, ...]] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    log: SetAsideLog = field(default_factory=SetAsideLog)
    contradicted: set[tuple[str, date, str]] = field(default_factory=set)
    surplus: Counter[str] = field(default_factory=Counter)
    timeless: list[_BadRow] = field(default_factory=list)  # rows of a coin whose day cannot be read

    def finish(self, start: date, last: date) -> None:
        """Drop rows without any value, and log rows with an unreadable time.

        The latter are logged under the coin's first day without a row.
        """
        for error in self.timeless:
            taken = {day for symbol, day in self.rows if symbol == error.subject}
            taken |= {record.day for record in self.log.records() if record.subject == error.subject}
            day = next((day for day in days(start, last) if day not in taken), start)
            self.log.add(error.subject, day, error.reason, error.example)
        self.rows = {key: row for key, row in self.rows.items() if any(value is not None for value in row[4:])}

    def add(self, row: tuple[Any, ...]) -> None:
        """Add the values of one row.

        If a coin and day are given twice, a cell with two different values is null, and the later ``available_at``
        counts.
        """
        key = row[:2]
        known = self.rows.get(key)
        if known is None:
            self.rows[key] = row
            return
        self.surplus["a row given twice"] += 1
        values = []
        for name, old, new in zip(COINMETRICS_METRICS, known[4:], row[4:], strict=True):
            if old is not None and new is not None and old != new:
                self.log.add(row[0], row[1], CONTRADICTED, f"{old:g} and {new:g}", name)
                self.contradicted.add((*key, name))
            values.append(None if (*key, name) in self.contradicted else new if old is None else old)
        self.rows[key] = (*key, max(known[2], row[2]), known[3], *values)


async def fetch_onchain(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> Fetched:
    """Fetch the rows of contract ``onchain_base`` for the closed days of ``start``..``end``.

    ``available_at`` follows the rule of the contract and never ``now``, so that a second request changes nothing
    (idempotent). A cell that the contract does not allow is null and in ``set_aside``. The same holds for a metric that
    the provider refuses.

    Args:
        client: makes the requests.
        settings: base address and key.
        coins: the coins.
        start: the first UTC day.
        end: the last UTC day, included.
        now: days that end later are not closed, and are left out.

    Returns:
        The rows. ``missing`` names coins without rows.

    Raises:
        ShortAnswerError: a closed day has no row of any coin.
        SourceError: the answers cannot be had, or most of them cannot be trusted.
    """
    before = client.calls
    symbols = {coin.coinmetrics: coin.symbol for coin in coins if coin.coinmetrics}
    found = _Harvest(missing={c.symbol: "coinmetrics does not list it" for c in coins if not c.coinmetrics})
    last = min(end, now.astimezone(timezone.utc).date() - DAY)  # the day in progress has no metrics yet
    if symbols and start <= last:
        assets = list(symbols)
        for first in range(0, len(assets), BATCH):
            batch = {asset: symbols[asset] for asset in assets[first : first + BATCH]}
            await _fetch_batch(client, settings, batch, start, last, found)
        what = f"{NAME} asset-metrics of {named([coin for coin in coins if coin.coinmetrics])}"
        found.finish(start, last)
        given_days = {day for _, day in found.rows}
        if given_days:  # the provider did give a day whose values were all set aside
            given_days |= {record.day for record in found.log.records() if record.reason != METRIC_REFUSED}
        why = summary(found.log.records())
        _require_published(given_days, start, last, now, what, {"set aside": why} if why else {})
        given = {symbol for symbol, _ in found.rows}
        for symbol in symbols.values():
            if symbol not in given:
                found.missing.setdefault(symbol, f"coinmetrics has no row from {start} to {last}")
    frame = pd.DataFrame([found.rows[key] for key in sorted(found.rows)], columns=_COLUMNS)
    frame[list(COINMETRICS_METRICS)] = frame[list(COINMETRICS_METRICS)].astype("float64")
    return Fetched(
        utc(frame, "available_at"),
        tuple(found.digests),
        found.missing,
        client.calls - before,
        set_aside=found.log.records(),
        surplus=dict(found.surplus),
    )


def _require_published(
    present: Set[date], start: date, last: date, now: datetime, what: str, why: Mapping[str, str]
) -> None:
    require_days(present, start, last, now, what, lag=COINMETRICS_LAG, missing=why)
    late = [day for day in days(start, last) if day not in present]
    if late:
        raise ShortAnswerError(
            f"{what} has not published {late[0]} yet, which takes some hours after the day's end; nothing was written; "
            f"run again after {midnight(late[-1] + DAY) + COINMETRICS_LAG:%Y-%m-%d %H:%M} UTC",
            [day.isoformat() for day in late],
        )


def _asked(settings: Settings) -> tuple[str, ...]:
    """Return the metrics to ask for: what is sold only, with a key only."""
    paid = settings.coinmetrics_api_key is not None
    return (*(metric for metric in COINMETRICS_METRICS.values() if paid or metric not in COINMETRICS_PAID), COMPLETION)


async def _fetch_batch(
    client: Client, settings: Settings, batch: Mapping[str, str], start: date, last: date, found: _Harvest
) -> None:
    """Fetch every page for these assets, and ask again without what the provider does not have.

    An unknown asset is noted and left out. The flags that ask the provider to ignore what it does not have do not cover
    a metric that it retired or removed from the plan: it refuses the request and names the metric. The assets that it
    names are asked for again without that metric.
    """
    waiting: dict[tuple[str, ...], dict[str, str]] = {_asked(settings): dict(batch)}
    while waiting:
        metrics = next(iter(waiting))
        asked = waiting.pop(metrics)
        while asked:
            try:
                await _fetch_pages(client, settings, asked, metrics, (start, last), found)
                break
            except _FirstPageError as refusal:
                error = refusal.error
            unknown, refused = _unknown_asset(error), _refused_metrics(error, metrics)
            if unknown in asked:
                found.missing[asked.pop(unknown)] = f"coinmetrics does not know {unknown!r}"
                continue
            left = tuple(metric for metric in metrics if metric not in refused)
            if not refused or not set(left) - {COMPLETION}:
                raise error
            assets = [asset for asset in asked if asset in _quoted(error)] or list(asked)
            whom = NAME if len(assets) == len(asked) > 1 else asked[assets[0]]
            _note_refused(refused, whom, error, days(start, last), found)
            waiting.setdefault(left, {}).update({asset: asked.pop(asset) for asset in assets})


def _note_refused(
    refused: Sequence[str], whom: str, error: ResponseError, window: Sequence[date], found: _Harvest
) -> None:
    names = {metric: name for name, metric in COINMETRICS_METRICS.items()}
    for metric in refused:
        subject = metric if whom == NAME else f"{whom} {metric}"
        found.missing[subject] = f"{METRIC_REFUSED} (HTTP {error.status}); it was asked again without it"
        for day in window if metric in names else ():
            found.log.add(whom, day, METRIC_REFUSED, f"{metric}: HTTP {error.status}", names[metric])


class _FirstPageError(Exception):
    """The provider refused the request for a first page; its message may tell how to ask again."""

    def __init__(self, error: ResponseError) -> None:
        super().__init__(str(error))
        self.error = error


async def _fetch_pages(
    client: Client,
    settings: Settings,
    asked: Mapping[str, str],
    metrics: Sequence[str],
    window: tuple[date, date],
    found: _Harvest,
) -> None:
    """Fetch all pages of one request. Raises :class:`_FirstPageError` where the first page is refused."""
    token: str | None = None
    seen: set[str] = set()
    # A page holds at least one row, so a correct answer cannot have more pages than rows.
    budget = len(asked) * ((window[1] - window[0]).days + 1) + 1
    while True:
        try:
            answer = await _get(client, settings, asked, metrics, window, token)
        except ResponseError as error:
            if token is None:
                raise _FirstPageError(error) from error
            raise
        found.digests.append(answer.digest)
        what = f"{NAME} asset-metrics of {_subject(asked, *window)}"
        with about(what):
            token = _take_page(answer, what, asked, window, found)
        if token is None:
            return
        if token in seen or len(seen) >= budget:
            raise SourceError(f"{what} repeats its pages without end; nothing was written; try again later")
        seen.add(token)


async def _get(
    client: Client,
    settings: Settings,
    asked: Mapping[str, str],
    metrics: Sequence[str],
    window: tuple[date, date],
    token: str | None,
) -> Answer:
    """Fetch one page, and keep the key out of everything that could show the address.

    The key travels in the query, because the provider documents no other way (https://coinmetrics.io/api-v4-2/:
    '"api_key" query parameter is the only authentication'). ``hidden`` masks it in errors and
    in the request log of httpx.
    """
    params = {
        "assets": ",".join(asked),
        "metrics": ",".join(metrics),
        "frequency": "1d",
        "start_time": window[0].isoformat(),
        "end_time": window[1].isoformat(),
        "page_size": str(PAGE),
        "paging_from": "start",
        "ignore_unsupported_errors": "true",
        "ignore_forbidden_errors": "true",
    }
    if token is not None:
        # The answer's ``next_page_url`` is not used: it could name another host, and it contains the key.
        params["next_page_token"] = token
    url = f"{settings.coinmetrics_base_url}{ENDPOINT}"
    subject = _subject(asked, *window)
    if settings.coinmetrics_api_key is None:
        return await client.get_json(NAME, url, params=params, subject=subject, endpoint=ENDPOINT)
    key = settings.coinmetrics_api_key.get_secret_value()
    with hidden(key):
        return await client.get_json(NAME, url, params={**params, "api_key": key}, subject=subject, endpoint=ENDPOINT)


def _said(error: ResponseError) -> str:
    """Return the message of an error of the documented shape; empty for any other error."""
    said = error.body.get("error") if isinstance(error.body, dict) else None
    text = said.get("message") if isinstance(said, dict) else None
    return text if isinstance(text, str) else ""


def _quoted(error: ResponseError) -> set[str]:
    """Return the names that the message puts between quotes; lists are split."""
    return {name.strip() for text in re.findall(r"['\"]([^'\"]+)['\"]", _said(error)) for name in text.split(",")}


def _unknown_asset(error: ResponseError) -> str:
    """Return the asset that a 400 names as not supported; empty for every other error."""
    match = _UNKNOWN.search(_said(error)) if error.status == 400 else None
    return match.group(1) if match else ""


def _refused_metrics(error: ResponseError, metrics: Sequence[str]) -> tuple[str, ...]:
    """Return those of the metrics asked for that a refusal names."""
    words = set(re.findall(r"\w+", _said(error))) if error.status in _REFUSED else set()
    return tuple(metric for metric in metrics if metric in words)


def _subject(asked: Mapping[str, str], start: date, last: date) -> str:
    first, *others = asked.values()
    return f"{first}{f' and {len(others)} more' if others else ''}, {start} to {last}"


def _take_page(
    answer: Answer, what: str, asked: Mapping[str, str], window: tuple[date, date], found: _Harvest
) -> str | None:
    """Add the rows of a page; return the token of the next page, None on the last one."""
    body = answer.body
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise SourceError(f"{what} has no data list; nothing was written; check COINMETRICS_BASE_URL")
    source = source_name(NAME, answer)
    bad: list[_BadRow] = []
    for item in body["data"]:
        try:
            row = parse_row(item, asked, source, found.log, window)
        except _BadRow as error:
            bad.append(error)
            continue
        if row is None:
            found.surplus["a row without any metric"] += 1
        elif window[0] <= row[1] <= window[1]:
            found.add(row)
        else:
            found.surplus["outside the days asked for"] += 1
    if bad:
        require_readable(len(bad), len(body["data"]), what, str(bad[0]))
    for one in bad:
        if one.reason == UNREADABLE_TIME:
            found.timeless.append(one)
        else:
            found.log.add(one.subject, window[0], one.reason, one.example)
    token = body.get("next_page_token")
    if token is not None and not (isinstance(token, str) and token):
        raise SourceError(f"{what} has an unreadable next_page_token; nothing was written; try again later")
    return token


def parse_row(
    item: object,
    symbols: Mapping[str, str],
    source: str,
    log: SetAsideLog | None = None,
    window: tuple[date, date] | None = None,
) -> tuple[Any, ...] | None:
    """Read one row of an answer.

    A value that the contract does not allow is null and noted in ``log`` if its day lies in ``window``.

    Args:
        item: the row, an object of strings.
        symbols: the provider's asset name -> symbol, for the assets asked for.
        source: the value of the ``source`` column.
        log: collects what is set aside; None to collect nothing.
        window: the first and last day asked for; None for all days.

    Returns:
        The values in the order of the contract's columns; None where the provider has none of the metrics that day.

    Raises:
        SourceError: the row has another shape, an asset that was not asked for, or a time that is not midnight.
    """
    if not isinstance(item, dict):
        raise _BadRow(NAME, NO_OBJECT, item)
    asset, time = item.get("asset"), item.get("time")
    if not isinstance(asset, str) or asset not in symbols:
        raise _BadRow(str(asset)[:40], OTHER_ASSET, time)
    symbol = symbols[asset]
    day = _day(time, symbol)
    cells = Cells(ONCHAIN_BASE, SetAsideLog() if log is None or (window and not window[0] <= day <= window[1]) else log)
    values = tuple(cells.read(item.get(metric), name, symbol, day) for name, metric in COINMETRICS_METRICS.items())
    if all(item.get(metric) in (None, "", "NaN") for metric in COINMETRICS_METRICS.values()):
        return None
    return (symbol, day, available_at(day, item.get(COMPLETION)), source, *values)


def _day(time: object, symbol: str) -> date:
    match = _TIME.fullmatch(time) if isinstance(time, str) else None
    try:
        if match:
            return date.fromisoformat(match.group(1))
    except ValueError:
        pass
    raise _BadRow(symbol, UNREADABLE_TIME, time)


def available_at(day: date, completed: object) -> datetime:
    """Compute when the row of a day became available.

    The provider states when it completed the day. This is used where it is plausible. A completion before the end of
    the day, much later (a re-computation) or unreadable is replaced by the end of the day plus the documented lag.

    Args:
        day: the UTC day of the row.
        completed: the provider's completion time, in epoch seconds.

    Returns:
        The UTC instant.
    """
    over = midnight(day + DAY)
    try:
        stated = _EPOCH + timedelta(seconds=number(completed, COMPLETION) or 0)
    except (SourceError, OverflowError):
        return over + COINMETRICS_LAG
    return stated if over <= stated <= over + COINMETRICS_PLAUSIBLE else over + COINMETRICS_LAG
