"""CoinGecko beyond prices: derivatives, communities and developers, the credits of the key, the list of coins.

Format: https://docs.coingecko.com/reference/derivatives-tickers, /coins-id-history, /api-usage, /coins-list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.cells import CONTRADICTED, NO_OBJECT, Cells, parsed, require_readable, summary
from crypto_assets.sources.client.http import Answer, Client
from crypto_assets.sources.coingecko import FREE_PLANS, NAME, get
from crypto_assets.sources.fetched import Fetched, SetAsideLog, about, each, number, rows_of, source_name, utc
from crypto_assets.tables.context import COMMUNITY_LAG, DEVELOPER_ACTIVITY, SOCIAL_METRICS

FREE_DAYS = 2  # closed days for which free plans ask communities: one call per coin and day costs too much there
DERIVATIVES = ["symbol", "ts", "date", "available_at", "source", "funding_rate", "open_interest_usd", "basis",
               "volume_24h_usd", "contracts"]  # fmt: skip
SOCIAL = {
    "reddit_subscribers": "reddit_subscribers",
    "reddit_active_accounts_48h": "reddit_accounts_active_48h",
    "reddit_posts_48h": "reddit_average_posts_48h",
    "reddit_comments_48h": "reddit_average_comments_48h",
    "twitter_followers": "twitter_followers",
    "facebook_likes": "facebook_likes",
}
DEVELOPER = {
    "forks": "forks",
    "stars": "stars",
    "repo_subscribers": "subscribers",
    "total_issues": "total_issues",
    "closed_issues": "closed_issues",
    "pull_requests_merged": "pull_requests_merged",
    "pull_request_contributors": "pull_request_contributors",
    "commits_4w": "commit_count_4_weeks",
}


async def fetch_derivatives(client: Client, settings: Settings, coins: Sequence[Coin], now: datetime) -> Fetched:
    """Fetch the rows of contract ``derivatives`` for the current hour, in one request for all contracts of all venues.

    Args:
        client: makes the request.
        settings: base address, key and plan.
        coins: the coins to keep.
        now: the instant of the request; its hour is the row's ``ts``.

    Returns:
        One row per coin. ``missing`` names coins without a perpetual contract that has open interest.

    Raises:
        SourceError: the answer cannot be had, most of it cannot be trusted, or it has no contract of any coin.
    """
    answer = await get(client, settings, "/derivatives", {}, f"all contracts, {now:%Y-%m-%d %H:%M}")
    with about(f"coingecko /derivatives of {now:%Y-%m-%d %H:%M}"):
        return _derivatives(answer, coins, now)


def _derivatives(answer: Answer, coins: Sequence[Coin], now: datetime) -> Fetched:
    by_coin: dict[str, dict[tuple[str, str], list[Mapping[str, Any]]]] = {coin.symbol: {} for coin in coins}
    log, surplus = SetAsideLog(), Counter[str]()
    items = rows_of(answer.body, "coingecko /derivatives")
    bad = [item for item in items if not isinstance(item, dict)]
    require_readable(len(bad), len(items), "coingecko /derivatives", f"no objects, e.g. {str(bad[:1])[:60]}")
    for item in items:
        if not isinstance(item, dict):
            log.add(NAME, now.date(), NO_OBJECT, item)
            continue
        perpetual = item.get("contract_type") == "perpetual" and item.get("expired_at") is None
        symbol = item.get("index_id")
        if not perpetual or not isinstance(symbol, str) or symbol not in by_coin:
            surplus["of another coin" if perpetual else "not perpetual"] += 1
            continue
        by_coin[symbol].setdefault((str(item.get("market")), str(item.get("symbol"))), []).append(item)
    ts = now.replace(minute=0, second=0, microsecond=0)
    source = source_name(NAME, answer)
    sums = {
        symbol: _sums([one for key, same in found.items() for one in _read(symbol, key, same, now, log, surplus)])
        for symbol, found in by_coin.items()
    }
    rows = [(symbol, ts, ts.date(), now, source, *values) for symbol, values in sums.items() if values is not None]
    if not rows:
        why = summary(log.records())
        raise SourceError(
            f"coingecko /derivatives has no contract of any coin{f' ({why})' if why else ''}; nothing was written; "
            "try again later"
        )
    missing = {symbol: "no perpetual contract with open interest" for symbol, values in sums.items() if values is None}
    frame = utc(pd.DataFrame(rows, columns=DERIVATIVES), "ts", "available_at")
    return Fetched(frame, (answer.digest,), missing, 1, set_aside=log.records(), surplus=dict(+surplus))


@dataclass(frozen=True)
class _Perpetual:
    """One contract of one venue: percents as the provider gives them, amounts in USD.

    A number that is not credible is None.
    """

    open_interest: float | None
    volume_24h: float | None
    funding_rate: float | None
    basis: float | None


def _read(
    symbol: str,
    key: tuple[str, str],
    same: Sequence[Mapping[str, Any]],
    now: datetime,
    log: SetAsideLog,
    surplus: Counter[str],
) -> list[_Perpetual]:
    """Read one contract; None where its open interest is not credible.

    Of its other numbers it keeps the credible ones. The rest goes to the log. A contract that is given twice with
    different numbers is left out, because nothing says which of them is right.
    """
    venue = " ".join(key)

    def cell(item: Mapping[str, Any], name: str, *, signed: bool) -> float | None:
        try:
            value = parsed(item.get(name))
            reason = "below 0" if value is not None and value < 0 and not signed else ""
        except ValueError as error:
            value, reason = None, str(error)
        if reason:
            log.add(symbol, now.date(), f"{name} of a contract is {reason}", f"{venue}: {item.get(name)}", _LACKS[name])
        return None if reason else value

    found = [
        _Perpetual(
            cell(item, "open_interest", signed=False),
            cell(item, "volume_24h", signed=False),
            cell(item, "funding_rate", signed=True),
            cell(item, "basis", signed=True),
        )
        for item in same
    ]
    surplus["a contract given twice"] += len(found) - 1
    surplus["a contract without open interest"] += not same[0].get("open_interest")
    if len(set(found)) > 1:
        log.add(symbol, now.date(), f"a contract is {CONTRADICTED}", venue)
        return []
    return found[:1]


# The column of ``derivatives`` (a sum or mean) that lacks a contract when this number of the contract is missing.
_LACKS = {
    "open_interest": "open_interest_usd",
    "volume_24h": "volume_24h_usd",
    "funding_rate": "funding_rate",
    "basis": "basis",
}


def _sums(
    contracts: Sequence[_Perpetual],
) -> tuple[float | None, float, float | None, float | None, int] | None:
    """Sum up contracts: funding, open interest, basis, volume and number of contracts; None without any.

    Percents become fractions. A contract with unknown open interest counts nowhere, so that all sums cover the same
    contracts.
    """
    known = [(one, one.open_interest) for one in contracts if one.open_interest]
    if not known:
        return None

    def mean(pairs: Sequence[tuple[float | None, float]]) -> float | None:
        given = [(value / 100, weight) for value, weight in pairs if value is not None]
        total = sum(weight for _, weight in given)
        return sum(value * weight for value, weight in given) / total if total else None

    traded = [one.volume_24h for one, _ in known if one.volume_24h is not None]
    return (
        mean([(one.funding_rate, weight) for one, weight in known]),
        sum(weight for _, weight in known),
        mean([(one.basis, weight) for one, weight in known]),
        sum(traded) if traded else None,
        len(known),
    )


async def fetch_community(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> tuple[Fetched, Fetched]:
    """Fetch the rows of ``social_metrics`` and ``developer_activity``: one request per coin and closed day for both.

    A count that is not a number of at least 0 is null, and is in ``set_aside`` of its table.

    Args:
        client: makes the requests.
        settings: base address, key and plan.
        coins: the coins.
        start: the first UTC day.
        end: the last UTC day, included.
        now: days that are not settled at this instant are left out.

    Returns:
        What was fetched for ``social_metrics`` and for ``developer_activity``.

    Raises:
        SourceError: too many coins failed (see ``each``).
    """
    before = client.calls
    closed = [day for day in days(start, end) if midnight(day + DAY) + COMMUNITY_LAG <= now]
    if settings.coingecko_plan in FREE_PLANS:
        closed = [day for day in closed if midnight(day + DAY * (FREE_DAYS + 1)) > now]
    missing: dict[str, str] = {}
    logs = SetAsideLog(), SetAsideLog()
    asked = [coin for coin in coins if coin.coingecko is not None] if closed else []
    answers, failed = await each(
        {coin.symbol: partial(_history, client, settings, coin, closed, logs) for coin in asked}, missing
    )
    social, developer = [], []
    digests: dict[date, list[str]] = {}
    for found in answers.values():
        for one in found:
            digests.setdefault(one.head[1], []).append(one.digest)
            social.append((*one.head, *one.social))
            developer.append((*one.head, *one.developer))
    head = ["symbol", "date", "available_at", "source"]
    names = ([*head, *SOCIAL], [*head, *DEVELOPER, "code_additions_4w", "code_deletions_4w"])
    frames = [
        utc(pd.DataFrame([row for row in rows if any(v is not None for v in row[4:])], columns=columns), "available_at")
        for rows, columns in zip((social, developer), names, strict=True)
    ]
    calls = client.calls - before
    return (
        Fetched(frames[0], (), missing, calls, failed, set_aside=logs[0].records(), day_digests=digests),
        Fetched(frames[1], (), missing, calls, failed, set_aside=logs[1].records(), day_digests=digests),
    )


@dataclass(frozen=True)
class _Day:
    head: tuple[Any, ...]
    social: list[float | None]
    developer: list[float | None]
    digest: str


async def _history(
    client: Client, settings: Settings, coin: Coin, wanted: Sequence[date], logs: tuple[SetAsideLog, SetAsideLog]
) -> list[_Day]:
    found = []
    for day in wanted:
        params = {"date": f"{day:%d-%m-%Y}", "localization": "false"}
        subject = f"{coin.symbol} {day}"
        answer = await get(client, settings, f"/coins/{coin.coingecko}/history", params, subject)
        if not isinstance(answer.body, dict):
            raise SourceError(f"coingecko history of {subject} is no object; nothing was written; try again later")
        known_at = midnight(day + DAY) + COMMUNITY_LAG
        social, developer = parse_history(answer.body, coin.symbol, day, logs)
        head = (coin.symbol, day, known_at, source_name(NAME, answer))
        found.append(_Day(head, social, developer, answer.digest))
    return found


def parse_history(
    body: Mapping[str, Any], symbol: str, day: date, logs: tuple[SetAsideLog, SetAsideLog] | None = None
) -> tuple[list[float | None], list[float | None]]:
    """Read community and developer values from an answer of ``/coins/{id}/history``.

    For a coin without a subreddit the provider writes 0.0 posts. That is a placeholder and becomes null. A value that
    is not a count is null and noted.

    Args:
        body: the parsed JSON.
        symbol: the coin's symbol.
        day: the UTC day.
        logs: where ``social_metrics`` and ``developer_activity`` note what is set aside; by default nowhere.

    Returns:
        The values in the order of the two contracts; None where the provider has none.
    """
    to_social, to_developer = logs or (SetAsideLog(), SetAsideLog())
    community = _object(body.get("community_data"), "community_data", symbol, day, to_social)
    developer = _object(body.get("developer_data"), "developer_data", symbol, day, to_developer)
    cells = Cells(SOCIAL_METRICS, to_social)
    social = {ours: cells.read(community.get(theirs), ours, symbol, day) for ours, theirs in SOCIAL.items()}
    if not social["reddit_subscribers"]:
        social |= {name: None for name in social if name.startswith("reddit_")}
    lines = _object(
        developer.get("code_additions_deletions_4_weeks"), "code_additions_deletions_4_weeks", symbol, day, to_developer
    )
    cells = Cells(DEVELOPER_ACTIVITY, to_developer)
    counts = [cells.read(developer.get(theirs), ours, symbol, day) for ours, theirs in DEVELOPER.items()]
    changes = [
        cells.read(lines.get("additions"), "code_additions_4w", symbol, day),
        cells.read(_unsigned(lines.get("deletions")), "code_deletions_4w", symbol, day),
    ]
    return list(social.values()), [*counts, *changes]


def _object(raw: object, what: str, symbol: str, day: date, log: SetAsideLog) -> Mapping[str, Any]:
    if isinstance(raw, dict):
        return raw
    if raw:
        log.add(symbol, day, f"{what} is no object", raw)
    return {}


def _unsigned(raw: object) -> object:
    """Turn the number of deleted lines, which the provider writes below zero, into a count."""
    try:
        value = parsed(raw)
    except ValueError:
        return raw
    return None if value is None else abs(value)


@dataclass(frozen=True)
class KeyUsage:
    """What the provider says about a key: calls a minute, and credits a month with those used and left."""

    plan: str
    calls_per_minute: int
    credits: int
    used: int
    left: int


async def fetch_key(client: Client, settings: Settings) -> KeyUsage:
    """Ask ``/key`` (paid plans) for the provider's own count of calls.

    Args:
        client: makes the request.
        settings: base address, key and plan.

    Returns:
        The limits and the credits of the key.

    Raises:
        SourceError: the answer cannot be had, or lacks the credits.
    """
    answer = await get(client, settings, "/key", {}, "the key's credits")
    names = (
        "rate_limit_request_per_minute", "monthly_call_credit", "current_total_monthly_calls",
        "current_remaining_monthly_calls",
    )  # fmt: skip
    body = answer.body if isinstance(answer.body, dict) else {}
    values = [number(body.get(name), f"coingecko /key {name}") for name in names]
    if any(value is None for value in values):
        raise SourceError("coingecko /key lacks the credits; check COINGECKO_PLAN")
    return KeyUsage(str(body.get("plan", "")), *(int(value or 0) for value in values))


async def fetch_ids(client: Client, settings: Settings) -> frozenset[str]:
    """Fetch the identifiers of all coins that the provider lists (``/coins/list``).

    Args:
        client: makes the request.
        settings: base address, key and plan.

    Returns:
        The identifiers.

    Raises:
        SourceError: the answer cannot be had, or is not a list.
    """
    answer = await get(client, settings, "/coins/list", {}, "all coins")
    return frozenset(
        str(item["id"])
        for item in rows_of(answer.body, "coingecko /coins/list")
        if isinstance(item, dict) and "id" in item
    )
