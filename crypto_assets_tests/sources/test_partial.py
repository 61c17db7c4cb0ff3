"""When few of many coins fail: the others are stored, the few are named, asked for again alone, and complete the day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crypto_assets.automation.planner.observed_state import lacking_coins
from crypto_assets.catalog import Coin, by_symbol, select
from crypto_assets.errors import SourceError
from crypto_assets.operate.backfill import backfill
from crypto_assets.sandbox.faults import parse
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.sources import coingecko
from crypto_assets.sources.fetched import Fetched
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve

DAY = date(2024, 5, 30)
NOW = datetime(2024, 6, 1, 12, tzinfo=timezone.utc)
PRO = {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "analyst", "RATE_LIMITS": "coingecko=1000000/1"}


def many(count: int) -> list[Coin]:
    return [replace(by_symbol()["BTC"], symbol=f"C{n}", coingecko=f"coin-{n}") for n in range(count)]


def ask(broken: dict[int, Reply], count: int = 300) -> Fetched:
    first = int(datetime(2024, 5, 30, tzinfo=timezone.utc).timestamp())

    def answer(request: Request) -> object:
        number = int(request.path.split("/")[4].removeprefix("coin-"))
        return broken.get(number) or {"prices": [[(first + 3600 * n) * 1000, 1.0 + number] for n in range(24)]}

    with serve(answer) as server:
        return fetch(lambda client: coingecko.fetch_prices(client, server.settings(**PRO), many(count), DAY, DAY, NOW))


def test_three_of_three_hundred() -> None:
    found = ask({7: Reply({}, 400), 100: Reply({"prices": [[1, 2]]}), 299: Reply(b"<html>", 200)})
    assert len(found.frame) == 297 * 24
    assert set(found.failed) == {"C7", "C100", "C299"}
    assert all(symbol in reason for symbol, reason in found.failed.items())


def test_too_many_failures_are_everyones() -> None:
    with pytest.raises(SourceError):
        ask({n: Reply({}, 400) for n in range(4)}, count=30)


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refused_key_is_everyones(status: int) -> None:
    with pytest.raises(SourceError, match=str(status)):
        ask({5: Reply({"error": "no"}, status)}, count=30)


def test_a_later_success_completes_the_day_without_touching_the_rest(instance, tmp_path: Path, monkeypatch) -> None:
    broken = select("top:30")[4:7]
    rules = ";".join(f"route=/coins/{coin.coingecko}/market_chart,status=400" for coin in broken)
    with Sandbox(now=NOW, fault=rules) as sandbox:
        for name, value in {
            **sandbox.env(),
            "CRYPTO_ASSETS_HOME": str(tmp_path),
            "CRYPTO_ASSETS_COINS": "top:30",
        }.items():
            monkeypatch.setenv(name, value)
        warehouse = Warehouse(str(tmp_path / "warehouse"))
        report = backfill(instance, warehouse, ["prices"], DAY, DAY)
        assert not report.ok, "not hidden"
        assert all(coin.symbol in report.failures["prices"] for coin in broken)
        before = warehouse.read("prices")
        assert before["symbol"].n_unique() == 27, "not lost"
        ((coins, *_),) = lacking_coins(instance, "prices", DAY, DAY)
        assert set(coins) == {coin.symbol for coin in broken}

        sandbox.faults.rules[:] = parse(None)
        sandbox.requests.clear()
        assert backfill(instance, warehouse, ["prices"], DAY, DAY, missing_only=True).ok
        asked = {path for path in sandbox.requests if "market_chart" in path}
        assert asked == {f"/api/v3/coins/{coin.coingecko}/market_chart/range" for coin in broken}
        assert sum(sandbox.requests.values()) == 3, "just those"
        after = warehouse.read("prices")
        assert after.height == 30 * 24
        rest = after.filter(~pl.col("symbol").is_in([coin.symbol for coin in broken]))
        assert_frame_equal(rest.sort("symbol", "ts"), before.sort("symbol", "ts"))
        assert lacking_coins(instance, "prices", DAY, DAY) == []
        sandbox.requests.clear()
        assert backfill(instance, warehouse, ["prices"], DAY, DAY, missing_only=True).ok
        assert not sandbox.requests, "nothing is left to ask for"
        assert timedelta(0) <= after["available_at"].max() - after["ts"].max() < timedelta(minutes=15)
