"""DefiLlama's snapshots over real sockets: one bad protocol or pool of many is set aside alone."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pandas as pd
import pytest

from crypto_assets.catalog import by_symbol
from crypto_assets.errors import SourceError
from crypto_assets.sources import defillama_snapshots
from crypto_assets.sources.fetched import Fetched
from crypto_assets.tables.schemas import DEFI_PROTOCOLS, DEFI_YIELDS
from crypto_assets_tests.sources.wire_server import fetch, serve

NOW = datetime(2024, 2, 1, 9, tzinfo=timezone.utc)
DAY = NOW.date()


def protocol(n: int, **more: Any) -> dict[str, Any]:
    return {"name": f"P{n}", "slug": f"p{n}", "tvl": 5e7, "category": "Lending", **more}


def pool(n: int, **more: Any) -> dict[str, Any]:
    return {
        "pool": f"p{n}", "project": "aave", "chain": "Ethereum", "symbol": "USDC", "tvlUsd": 5e7, "apy": 3.0,
        "apyBase": 2.0, "stablecoin": True, **more,
    }  # fmt: skip


def protocols(*rows: Any) -> Fetched:
    coins = (by_symbol()["BTC"],)
    with serve(lambda request: list(rows)) as server:
        return fetch(lambda client: defillama_snapshots.fetch_protocols(client, server.settings(), coins, NOW))


def pools(*rows: Any) -> Fetched:
    with serve(lambda request: {"status": "success", "data": list(rows)}) as server:
        settings = server.settings()
        return fetch(lambda client: defillama_snapshots.fetch_pools(client, settings, NOW))


BAD_VALUES = [("n/a", "not a number"), ({"usd": 1}, "not a number"), (True, "not a number"), ("inf", "not finite"),
              (10**400, "too large for a number")]  # fmt: skip


@pytest.mark.parametrize(("tvl", "why"), [*BAD_VALUES, (-3e6, "below 0")])
def test_a_value_locked_that_is_no_number_leaves_out_its_row_alone(tvl: Any, why: str) -> None:
    for result in (protocols(protocol(1), protocol(2, tvl=tvl)), pools(pool(1), pool(2, tvlUsd=tvl))):
        assert list(result.frame.iloc[:, 0]) == ["p1"]
        (record,) = result.set_aside
        assert (record.subject, record.day, record.column) == ("p2", DAY, "")
        assert record.reason == f"value locked is {why}" and result.surplus == {}


@pytest.mark.parametrize(("apy", "why"), BAD_VALUES)
def test_a_yield_that_is_no_number_is_null(apy: Any, why: str) -> None:
    result = pools(pool(1), pool(2, apy=apy))
    DEFI_YIELDS.validate(result.frame)
    assert [None if pd.isna(v) else v for v in result.frame["apy"]] == [0.03, None]
    assert list(result.frame["apy_base"]) == [0.02, 0.02]
    assert [(r.subject, r.column, r.reason) for r in result.set_aside] == [("p2", "apy", why)]


def test_rows_that_cannot_be_rows_are_counted_by_reason() -> None:
    result = protocols(
        protocol(1), protocol(2), protocol(2), protocol(3), protocol(3, tvl=6e7), "row", protocol(4, name=None),
        protocol(5, tvl=10), protocol(6, tvl=None),
    )  # fmt: skip
    DEFI_PROTOCOLS.validate(result.frame)
    assert list(result.frame["protocol"]) == ["p1", "p2"]
    assert {(r.subject, r.reason) for r in result.set_aside} == {
        ("defillama", "the row is no object"), ("p3", "given twice with different values"), ("p4", "it has no name"),
    }  # fmt: skip
    assert result.surplus == {"a row given twice": 1, "below the table's 1e+06 USD": 1, "no value locked": 1}
    assert [(r.subject, r.reason) for r in pools(pool(1), pool(2, chain="")).set_aside] == [("p2", "it has no chain")]


def test_where_most_is_wrong_or_nothing_is_left_the_look_fails_and_says_why() -> None:
    with pytest.raises(SourceError, match=r"2 of 3 row\(s\) cannot be read.*the format must be the documented one"):
        protocols(protocol(1), "a", "b")
    with pytest.raises(
        SourceError, match=r"no row above the floor \(p1 on 2024-02-01: value locked is below 0 \(-1\)\)"
    ):
        pools(pool(1, tvlUsd=-1))
