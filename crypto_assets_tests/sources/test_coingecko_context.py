"""CoinGecko's derivatives and communities over real sockets: one bad contract or count is set aside alone."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest

from crypto_assets.catalog import by_symbol
from crypto_assets.errors import SourceError
from crypto_assets.sources import coingecko_context
from crypto_assets.sources.fetched import Fetched
from crypto_assets.tables.schemas import DERIVATIVES, DEVELOPER_ACTIVITY, SOCIAL_METRICS
from crypto_assets_tests.sources.wire_server import fetch, serve

BTC, ETH = by_symbol()["BTC"], by_symbol()["ETH"]
NOW = datetime(2024, 2, 1, 9, 30, tzinfo=timezone.utc)
DAY = date(2024, 1, 30)
PRO = {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "analyst", "RATE_LIMITS": "coingecko=1000000/1"}


def contract(symbol: str, venue: str, **more: Any) -> dict[str, Any]:
    return {
        "market": venue, "symbol": f"{symbol}USDT", "index_id": symbol, "contract_type": "perpetual", "expired_at": None,
        "open_interest": 100.0, "volume_24h": 10.0, "funding_rate": 1.0, "basis": 2.0, **more,
    }  # fmt: skip


def derivatives(*rows: Any) -> Fetched:
    with serve(lambda request: list(rows)) as server:
        return fetch(
            lambda client: coingecko_context.fetch_derivatives(client, server.settings(**PRO), (BTC, ETH), NOW)
        )


def of(frame: pd.DataFrame, symbol: str) -> dict[str, Any]:
    (row,) = frame[frame["symbol"] == symbol].to_dict("records")
    return {name: row[name] for name in ("funding_rate", "open_interest_usd", "basis", "volume_24h_usd", "contracts")}


WHOLE = {"funding_rate": 0.01, "open_interest_usd": 200.0, "basis": 0.02, "volume_24h_usd": 20.0, "contracts": 2}
BAD_VALUES = [
    ("n/a", "not a number"),
    ([1], "not a number"),
    ("-inf", "not finite"),
    (10**400, "too large for a number"),
]


@pytest.mark.parametrize(
    ("name", "column", "left"),
    [
        ("open_interest", "open_interest_usd", {"open_interest_usd": 100.0, "volume_24h_usd": 10.0, "contracts": 1}),
        ("volume_24h", "volume_24h_usd", {"volume_24h_usd": 10.0}),
        ("funding_rate", "funding_rate", {}),
        ("basis", "basis", {}),
    ],
)
def test_a_bad_number_of_one_contract_is_missing_from_its_sum_alone(
    name: str, column: str, left: dict[str, Any]
) -> None:
    signed = name in ("funding_rate", "basis")
    for value, why in [*BAD_VALUES, *([] if signed else [(-1.0, "below 0")])]:
        rows = [contract(s, v) for s in ("BTC", "ETH") for v in ("one", "two")]
        rows[3][name] = value
        result = derivatives(*rows)
        DERIVATIVES.validate(result.frame)
        assert of(result.frame, "BTC") == WHOLE
        assert of(result.frame, "ETH") == {**WHOLE, **left}
        (record,) = result.set_aside
        assert (record.subject, record.day, record.column) == ("ETH", NOW.date(), column)
        assert record.reason == f"{name} of a contract is {why}" and record.example.startswith("two ETHUSDT: ")


def test_contracts_that_say_nothing_of_these_coins_are_counted() -> None:
    result = derivatives(
        contract("BTC", "one"), contract("BTC", "one"), contract("BTC", "two", open_interest=None),
        contract("SOL", "one"), contract("BTC", "three", contract_type="futures"), "row",
        contract("ETH", "one"), contract("ETH", "one", open_interest=9e9), contract("ETH", "two"),
    )  # fmt: skip
    assert of(result.frame, "BTC")["contracts"] == of(result.frame, "ETH")["contracts"] == 1
    assert {(r.subject, r.reason) for r in result.set_aside} == {
        ("coingecko", "the row is no object"), ("ETH", "a contract is given twice with different values"),
    }  # fmt: skip
    assert result.surplus == {
        "a contract given twice": 2, "a contract without open interest": 1, "of another coin": 1, "not perpetual": 1,
    }  # fmt: skip


def test_where_no_contract_is_left_the_look_fails_and_says_why() -> None:
    with pytest.raises(SourceError, match=r"no contract of any coin \(open_interest_usd of BTC on 2024-02-01"):
        derivatives(contract("BTC", "one", open_interest=-5))


GOOD = {
    "community_data": {"reddit_subscribers": 7, "reddit_average_posts_48h": 0.5, "twitter_followers": 9},
    "developer_data": {"forks": 3, "stars": 4, "code_additions_deletions_4_weeks": {"additions": 5, "deletions": -6}},
}


def community(bad: dict[str, Any]) -> tuple[Fetched, Fetched]:
    found: list[Fetched] = []

    async def both(client: Any, settings: Any) -> Fetched:
        found.extend(await coingecko_context.fetch_community(client, settings, (BTC, ETH), DAY, DAY, NOW))
        return found[0]

    with serve(lambda request: {**GOOD, **bad} if "ethereum" in request.path else GOOD) as server:
        fetch(lambda client: both(client, server.settings(**PRO)))
    return found[0], found[1]


@pytest.mark.parametrize(("value", "why"), [*BAD_VALUES, (-1, "below 0")])
def test_a_count_that_is_none_is_null_in_its_own_table(value: Any, why: str) -> None:
    social, developer = community({"community_data": {**GOOD["community_data"], "twitter_followers": value}})
    assert [None if pd.isna(v) else v for v in social.frame["twitter_followers"]] == [9, None]
    assert list(social.frame["reddit_subscribers"]) == [7, 7] and developer.set_aside == ()
    assert [(r.subject, r.day, r.column, r.reason) for r in social.set_aside] == [
        ("ETH", DAY, "twitter_followers", why)
    ]

    social, developer = community({"developer_data": {**GOOD["developer_data"], "forks": value}})
    assert [None if pd.isna(v) else v for v in developer.frame["forks"]] == [3, None]
    assert list(developer.frame["code_deletions_4w"]) == [6, 6] and social.set_aside == ()
    assert [(r.subject, r.column, r.reason) for r in developer.set_aside] == [("ETH", "forks", why)]
    for table, fetched in ((SOCIAL_METRICS, social), (DEVELOPER_ACTIVITY, developer)):
        table.validate(fetched.frame)


def test_a_day_names_its_own_answers_only() -> None:
    found: list[Fetched] = []

    async def both(client: Any, settings: Any) -> Fetched:
        found.extend(
            await coingecko_context.fetch_community(client, settings, (BTC, ETH), DAY - timedelta(days=1), DAY, NOW)
        )
        return found[0]

    with serve(lambda request: {**GOOD, "id": request.path, "date": request.query["date"]}) as server:
        fetch(lambda client: both(client, server.settings(**PRO)))
    social, developer = found
    before, after = (set(social.digests_of(day)) for day in (DAY - timedelta(days=1), DAY))
    assert len(before) == len(after) == 2 and not before & after, "an answer for each coin and day"
    assert [set(developer.digests_of(day)) for day in (DAY - timedelta(days=1), DAY)] == [before, after]


def test_data_of_another_shape_are_set_aside_as_a_whole() -> None:
    social, developer = community({"community_data": "soon", "developer_data": {"forks": 1, "code_additions_deletions_4_weeks": 5}})  # fmt: skip
    assert list(social.frame["symbol"]) == ["BTC"] and len(developer.frame) == 2
    assert [(r.subject, r.reason) for r in social.set_aside] == [("ETH", "community_data is no object")]
    assert [(r.subject, r.reason) for r in developer.set_aside] == [
        ("ETH", "code_additions_deletions_4_weeks is no object")
    ]
