"""CoinGecko beyond prices: derivatives, communities and developers, the key's credits, the list of coins.

https://docs.coingecko.com/reference/derivatives-tickers, /coins-id-history, /api-usage, /coins-list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.errors import SourceError
from crypto_assets.partitions import DAY, days, midnight
from crypto_assets.schemas_context import COMMUNITY_LAG
from crypto_assets.settings import Settings
from crypto_assets.sources.client import Answer, Client
from crypto_assets.sources.coingecko import FREE_PLANS, NAME, get
from crypto_assets.sources.fetched import Fetched, about, each, number, rows_of, source_name, utc

FREE_DAYS = 2  # closed days that free plans ask communities for: one call a coin and day is dear there
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
    """Rows of contract ``derivatives`` for the present hour, from one request for all contracts of all venues."""
    answer = await get(client, settings, "/derivatives", {}, f"all contracts, {now:%Y-%m-%d %H:%M}")
    with about(f"coingecko /derivatives of {now:%Y-%m-%d %H:%M}"):
        return _derivatives(answer, coins, now)


def _derivatives(answer: Answer, coins: Sequence[Coin], now: datetime) -> Fetched:
    by_coin: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {coin.symbol: {} for coin in coins}
    for item in rows_of(answer.body, "coingecko /derivatives"):
        if not isinstance(item, dict):
            raise SourceError(
                "coingecko /derivatives has a row that is no object; nothing was written; try again later"
            )
        perpetual = item.get("contract_type") == "perpetual" and item.get("expired_at") is None
        symbol = item.get("index_id")
        if perpetual and isinstance(symbol, str) and symbol in by_coin:
            by_coin[symbol].setdefault((str(item.get("market")), str(item.get("symbol"))), item)
    ts = now.replace(minute=0, second=0, microsecond=0)
    source = source_name(NAME, answer)
    sums = {symbol: _sums(symbol, list(items.values())) for symbol, items in by_coin.items()}
    rows = [(symbol, ts, ts.date(), now, source, *values) for symbol, values in sums.items() if values is not None]
    if not rows:
        raise SourceError("coingecko /derivatives has no contract of any coin; nothing was written; try again later")
    missing = {symbol: "no perpetual contract with open interest" for symbol, values in sums.items() if values is None}
    frame = utc(pd.DataFrame(rows, columns=DERIVATIVES), "ts", "available_at")
    return Fetched(frame, (answer.digest,), missing, 1)


def _sums(
    symbol: str, items: Sequence[Mapping[str, Any]]
) -> tuple[float | None, float, float | None, float | None, int] | None:
    """Funding, open interest, basis, volume and number of the contracts with open interest; None without any.

    Percents become fractions. A contract whose open interest is unknown counts nowhere: a sum must say what is in it.
    """
    what = f"coingecko /derivatives {symbol}"
    interest = [number(item.get("open_interest"), f"{what} open interest") for item in items]
    volume = [number(item.get("volume_24h"), f"{what} volume") for item in items]
    if any(value is not None and value < 0 for value in [*interest, *volume]):
        raise SourceError(f"{what} has an open interest or volume below zero; nothing was written; try again later")
    if not any(interest):
        return None
    weighted = {}
    for name in ("funding_rate", "basis"):
        pairs = [
            (value / 100, weight)
            for item, weight in zip(items, interest, strict=True)
            if weight and (value := number(item.get(name), f"{what} {name}")) is not None
        ]
        total = sum(weight for _, weight in pairs)
        weighted[name] = sum(value * weight for value, weight in pairs) / total if total else None
    known = [value for value in interest if value]
    traded = [value for value, weight in zip(volume, interest, strict=True) if weight and value is not None]
    return (
        weighted["funding_rate"], sum(known), weighted["basis"], sum(traded) if traded else None, len(known),
    )  # fmt: skip


async def fetch_community(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> tuple[Fetched, Fetched]:
    """Rows of ``social_metrics`` and ``developer_activity``: one request a coin and closed day for both."""
    before = client.calls
    closed = [day for day in days(start, end) if midnight(day + DAY) + COMMUNITY_LAG <= now]
    if settings.coingecko_plan in FREE_PLANS:
        closed = [day for day in closed if midnight(day + DAY * (FREE_DAYS + 1)) > now]
    missing: dict[str, str] = {}
    asked = [coin for coin in coins if coin.coingecko is not None] if closed else []
    answers, failed = await each(
        {coin.symbol: partial(_history, client, settings, coin, closed) for coin in asked}, missing
    )
    social, developer, digests = [], [], []
    for found in answers.values():
        for one in found:
            digests.append(one.digest)
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
        Fetched(frames[0], tuple(digests), missing, calls, failed),
        Fetched(frames[1], tuple(digests), missing, calls, failed),
    )


@dataclass(frozen=True)
class _Day:
    head: tuple[Any, ...]
    social: list[float | None]
    developer: list[float | None]
    digest: str


async def _history(client: Client, settings: Settings, coin: Coin, wanted: Sequence[date]) -> list[_Day]:
    found = []
    for day in wanted:
        params = {"date": f"{day:%d-%m-%Y}", "localization": "false"}
        subject = f"{coin.symbol} {day}"
        answer = await get(client, settings, f"/coins/{coin.coingecko}/history", params, subject)
        if not isinstance(answer.body, dict):
            raise SourceError(f"coingecko history of {subject} is no object; nothing was written; try again later")
        known_at = midnight(day + DAY) + COMMUNITY_LAG
        social, developer = parse_history(answer.body, subject)
        head = (coin.symbol, day, known_at, source_name(NAME, answer))
        found.append(_Day(head, social, developer, answer.digest))
    return found


def parse_history(body: Mapping[str, Any], subject: str) -> tuple[list[float | None], list[float | None]]:
    """Community and developer values in the contracts' order; None where the provider has none.

    A coin without subreddit has 0.0 posts there: the provider's placeholder, which is null here.
    """
    what = f"coingecko history of {subject}"
    community, developer = (body.get(f"{name}_data") or {} for name in ("community", "developer"))
    if not isinstance(community, dict) or not isinstance(developer, dict):
        raise SourceError(f"{what} has community or developer data of another shape; nothing was written")
    social = {ours: _count(community.get(theirs), f"{what} {theirs}") for ours, theirs in SOCIAL.items()}
    if not social["reddit_subscribers"]:
        social |= {name: None for name in social if name.startswith("reddit_")}
    lines = developer.get("code_additions_deletions_4_weeks") or {}
    if not isinstance(lines, dict):
        raise SourceError(f"{what} has code changes of another shape; nothing was written; try again later")
    counts = [_count(developer.get(theirs), f"{what} {theirs}") for theirs in DEVELOPER.values()]
    deletions = number(lines.get("deletions"), f"{what} deletions")
    changes = [_count(lines.get("additions"), f"{what} additions"), None if deletions is None else abs(deletions)]
    return list(social.values()), [*counts, *changes]


def _count(value: object, what: str) -> float | None:
    found = number(value, what)
    if found is not None and found < 0:
        raise SourceError(f"{what} is {found:g}, below zero; nothing was written; report it to the provider")
    return found


@dataclass(frozen=True)
class KeyUsage:
    """What the provider says about a key: calls a minute, credits a month, used and left."""

    plan: str
    calls_per_minute: int
    credits: int
    used: int
    left: int


async def fetch_key(client: Client, settings: Settings) -> KeyUsage:
    """``/key`` (paid plans): the provider's own count. Raises :class:`SourceError`."""
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
    """Identifiers of every coin that the provider lists (``/coins/list``)."""
    answer = await get(client, settings, "/coins/list", {}, "all coins")
    return frozenset(
        str(item["id"])
        for item in rows_of(answer.body, "coingecko /coins/list")
        if isinstance(item, dict) and "id" in item
    )
