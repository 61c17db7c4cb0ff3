"""The fewest calls for the data, counted at a server: the day in progress, a closed day, a year; and the page that says so."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from crypto_assets.assets.providers import Providers
from crypto_assets.catalog import Coin, by_symbol, select
from crypto_assets.operate import runs
from crypto_assets.sandbox.generator import Generator
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.sources import coingecko, coingecko_today
from crypto_assets.sources.fetched import Fetched
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests.sources.wire_server import Reply, Request, Server, fetch, serve

UTC, HOUR = timezone.utc, timedelta(hours=1)
DAY = date(2024, 6, 1)
PRO = {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "analyst", "RATE_LIMITS": "coingecko=1000000/1"}
PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
TICKS = tuple(range(2, 60, 15))  # minutes of the hour, as automation/schedules.py has them
MONTH = 30


def many(count: int) -> list[Coin]:
    return [replace(by_symbol()["BTC"], symbol=f"C{n}", coingecko=f"coin-{n}") for n in range(count)]


def at(hour: int, minute: int = 2, second: int = 0) -> datetime:
    return datetime(2024, 6, 1, hour, minute, second, tzinfo=UTC)


class Gecko:
    """Answers pages and charts as of ``updated``; charts hold the first two hours of each day, and ``skip`` is a gap."""

    def __init__(self, updated: datetime, skip: tuple[int, ...] = (), pages: bool = True) -> None:
        self.updated, self.skip, self.pages = updated, skip, pages

    def __call__(self, request: Request) -> object:
        if request.path.endswith("/coins/markets"):
            return self.page(request) if self.pages else Reply({"error": "not found"}, 404)
        first, last = int(request.query["from"]), int(request.query["to"])
        marks = [
            t for t in range(first, min(last, int(self.updated.timestamp())), 3600) if t // 3600 % 24 not in self.skip
        ]
        whole = last - first < 2 * 86_400
        stamps = [(t + 9) * 1000 for t in marks if whole or t // 3600 % 24 < 2]
        return {"prices": [[t, 5.0] for t in stamps], "market_caps": [[t, 1e9] for t in stamps], "total_volumes": []}

    def page(self, request: Request) -> list[dict[str, object]]:
        stamp = self.updated.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        ids = request.query["ids"].split(",")
        assert len(ids) <= coingecko.PAGE
        return [
            {"id": i, "current_price": 7.0, "market_cap": 1e9, "total_volume": 0, "last_updated": stamp} for i in ids
        ]


def tick(server: Server, coins: list[Coin], now: datetime, have: dict[str, set[datetime]] | None = None) -> Fetched:
    return fetch(
        lambda client: coingecko_today.fetch_today(client, server.settings(**PRO), coins, DAY, now, have or {})
    )


def stored(coins: list[Coin], hours: range) -> dict[str, set[datetime]]:
    return {coin.symbol: {at(hour, 0) for hour in hours} for coin in coins}


@pytest.mark.parametrize(("count", "pages"), [(130, 1), (250, 1), (251, 2), (300, 2)])
def test_a_page_of_250_coins_gives_their_newest_hour(count: int, pages: int) -> None:
    coins = many(count)
    with serve(Gecko(at(5, 1, 40))) as server:
        found = tick(server, coins, at(5), stored(coins, range(5)))
        assert [request.path for request in server.requests] == ["/api/v3/coins/markets"] * pages
        assert {request.headers["x-cg-pro-api-key"] for request in server.requests} == {"planted"}
    assert len(found.frame) == count
    row = found.frame.iloc[0]
    assert (row["ts"], row["date"], row["available_at"]) == (at(5, 0), DAY, at(5, 1, 40))
    assert (row["price_usd"], row["market_cap_usd"]) == (7.0, 1e9)
    assert found.frame["volume_24h_usd"].isna().all(), "0 is the provider's placeholder"


def test_what_is_there_costs_nothing() -> None:
    coins = many(130)
    with serve(Gecko(at(5, 16))) as server:
        for minute in TICKS:
            assert tick(server, coins, at(5, minute), stored(coins, range(6))).frame.empty
        assert server.requests == []


def test_a_page_from_before_the_mark_is_not_the_hours_observation() -> None:
    coins = many(2)
    with serve(Gecko(at(4, 59, 50))) as server:
        found = tick(server, coins, at(5), stored(coins, range(5)))
        assert len(server.requests) == 1
    assert found.frame.empty
    assert set(found.missing) == {"C0", "C1"}, "said, and left to the next tick"


def test_a_quarter_of_an_hour_after_the_mark_a_page_is_too_late_and_a_range_is_asked() -> None:
    coins = many(3)
    have = stored(coins, range(5)) | {"C2": {at(hour, 0) for hour in range(6)}}
    with serve(Gecko(at(5, 17))) as server:
        found = tick(server, coins, at(5, 17), have)
        assert sorted(request.path.split("/")[4] for request in server.requests) == ["coin-0", "coin-1"]
    newest = found.frame[found.frame["ts"] == at(5, 0)]
    assert list(newest["symbol"]) == ["C0", "C1"]
    assert set(newest["available_at"]) == {at(5, 0, 9)}, "the point after the mark, not what a page shows now"


def test_hours_that_are_missing_cost_one_call_a_coin_and_the_others_a_page() -> None:
    coins = many(40)
    have = stored(coins, range(5)) | {"C7": {at(4, 0)}}
    with serve(Gecko(at(5, 1))) as server:
        found = tick(server, coins, at(5), have)
        assert Counter(request.path.split("/")[-1] for request in server.requests) == {"markets": 1, "range": 1}
    assert len(found.frame) == 39 + 6


def test_an_hour_that_will_not_come_is_asked_for_once() -> None:
    coins = many(2)
    with serve(Gecko(at(5, 32), skip=(3, 5))) as server:
        found = tick(server, coins, at(5, 32))
    assert set(found.frame["ts"].dt.hour) == {0, 1, 2, 4}
    assert found.gone == {symbol: [at(3, 0)] for symbol in ("C0", "C1")}, "05:00 may have a late point until 06:00"
    with serve(Gecko(at(6, 4), skip=(3, 5))) as server:
        assert tick(server, coins, at(6, 4)).gone["C0"] == [at(3, 0)], "a cache may still hold 05:00 back"
    with serve(Gecko(at(6, 17), skip=(3, 5))) as server:
        assert tick(server, coins, at(6, 17)).gone["C0"] == [at(3, 0), at(5, 0)]


def test_a_coin_that_fails_is_not_given_up() -> None:
    coins, gecko = many(20), Gecko(at(5, 32), skip=(3,))
    with serve(lambda request: Reply("", 404) if "coin-3/" in request.path else gecko(request)) as server:
        found = tick(server, coins, at(5, 32))
    assert set(found.failed) == {"C3"}, "an identifier that is not known (any more) fails by name"
    assert "C3" not in {*found.gone, *found.missing}
    with serve(lambda request: {"prices": 1} if "coin-3/" in request.path else gecko(request)) as server:
        found = tick(server, coins, at(5, 32))
    assert set(found.failed) == {"C3"}
    assert "C3" not in found.gone
    assert set(found.gone) == {coin.symbol for coin in coins} - {"C3"}


def test_a_server_without_pages_is_asked_by_range() -> None:
    coins = many(2)
    with serve(Gecko(at(5, 1), pages=False)) as server:
        assert len(tick(server, coins, at(5), stored(coins, range(5))).frame) == 2 * 6


def test_one_broken_entry_of_a_page_fails_alone() -> None:
    coins, gecko = many(20), Gecko(at(5, 1))

    def broken(request: Request) -> object:
        entries = gecko.page(request)
        entries[4]["current_price"] = -1
        return entries

    with serve(broken) as server:
        found = tick(server, coins, at(5), stored(coins, range(5)))
    assert set(found.failed) == {"C4"}
    assert len(found.frame) == 19


@pytest.mark.parametrize(("days", "windows"), [(1, 1), (100, 1), (101, 2), (365, 4)])
def test_a_backfill_asks_each_coin_once_a_hundred_days(days: int, windows: int) -> None:
    coins = many(5)
    start = DAY - timedelta(days=days)
    with serve(Gecko(at(5))) as server:
        fetch(
            lambda client: coingecko.fetch_prices(
                client, server.settings(**PRO), coins, start, DAY - timedelta(days=1), at(5)
            )
        )
        assert len(server.requests) == 5 * windows == 5 * -(-days // coingecko.CHART_DAYS)


def documented() -> dict[str, list[int]]:
    """Row -> (130 coins, 300 coins) of the page's table."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d,]+) \| ([\d,]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name.split(":")[0].strip(): [int(cell.replace(",", "")) for cell in cells] for name, *cells in rows}


def test_the_page_says_what_was_counted_here() -> None:
    """A page a hour and 250 coins, a range a coin and closed day, four ranges a coin and year: as the tests above count."""
    said = documented()
    for column, coins in enumerate((130, 300)):
        hours, pages = 24 * MONTH, -(-coins // coingecko.PAGE)
        ticks, settled = hours * pages, coins * MONTH
        assert said["prices of the day in progress"][column] == ticks
        assert said["derivatives"][column] == hours
        assert said["closed days, prices"][column] == settled
        assert said["closed days, communities and developers"][column] == settled
        assert said["together"][column] == ticks + hours + 2 * settled
        assert said["a year of hourly prices"][column] == 4 * coins
        assert said["for comparison, one call a coin and tick"][column] == coins * 4 * 24 * MONTH


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """The platform's clock and the sandbox's: ``clock(sandbox, moment)`` sets both."""

    def turn(sandbox: Sandbox, moment: datetime) -> None:
        assert isinstance(sandbox.backend, Generator)
        sandbox.backend._fixed_now = moment
        monkeypatch.setattr(Providers, "now", lambda _: moment)

    return turn


def test_ticks_of_the_platform_and_the_settled_day(instance, tmp_path: Path, monkeypatch, clock) -> None:
    """A cold start, the ticks after it, and the closed day, which then holds what a backfill alone would hold."""
    tables, coins = ("prices", "ohlc", "derivatives"), select("top:12")
    listed = [coin for coin in coins if coin.binance or coin.kraken]
    with Sandbox(now=at(9, 20)) as sandbox:
        env = {**sandbox.env(), "CRYPTO_ASSETS_HOME": str(tmp_path), "CRYPTO_ASSETS_COINS": "top:12"}
        for name, value in env.items():
            monkeypatch.setenv(name, value)

        def run(moment: datetime, *which: str, day: date = DAY) -> Counter[str]:
            clock(sandbox, moment)
            before = Counter(sandbox.requests)
            outcome = runs.execute(instance, which or tables, day, day)
            assert outcome.success, outcome.failures
            return Counter({path.split("/")[-1]: n for path, n in (sandbox.requests - before).items()}) + Counter(
                {"charts": sum(n for path, n in (sandbox.requests - before).items() if "market_chart" in path)}
            )

        cold = run(at(9, 20))
        assert (cold["charts"], cold["markets"], cold["derivatives"]) == (12, 0, 1)
        assert cold["klines"] + cold["OHLC"] == len(listed)
        assert sum(run(at(9, 32)).values()) == 0, "everything of the hour is there"
        later = run(at(10))
        assert (later["charts"], later["markets"], later["derivatives"]) == (0, 1, 1)
        assert sum(run(at(10, 17)).values()) == 0
        table = Warehouse(str(tmp_path / "warehouse"))
        assert table.read("prices").height == 12 * 11
        newest = table.read("prices").filter(ts=at(10, 0))
        assert set(newest["available_at"]) == {at(10)}

        settled = run(datetime(2024, 6, 2, 6, 30, tzinfo=UTC), "prices")
        assert (settled["charts"], settled["markets"]) == (12, 0)
        ticked = table.content_hash("prices")
        assert table.read("prices").height == 12 * 24
        monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", str(tmp_path / "other"))
        run(datetime(2024, 6, 2, 6, 30, tzinfo=UTC), "prices")
        assert Warehouse(str(tmp_path / "other")).content_hash("prices") == ticked, "how it was filled does not show"
