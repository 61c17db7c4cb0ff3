"""Bars of perpetual contracts of two venues over real sockets: the same rows from both, in the fewest requests."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from crypto_assets.catalog import select
from crypto_assets.dates import chunks
from crypto_assets.sources import binance_futures, bybit, derivatives
from crypto_assets.tables.derivatives import HOURLY_CHUNK_DAYS
from crypto_assets.tables.schemas import PERPETUAL_BARS
from crypto_assets_tests.sources.venues import UTC, at
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve

D1, D2 = date(2024, 3, 1), date(2024, 3, 2)
NOW = datetime(2024, 3, 10, 12, 30, tzinfo=UTC)


def venues(request: Request) -> Any:
    """Both venues, with a row for each hour of the window and a price that tells its hour."""
    theirs = request.path.startswith("/bybit")
    index = "ndex" in request.path
    first, last = (int(request.query[name]) for name in (("start", "end") if theirs else ("startTime", "endTime")))
    marks = [t for t in range(-(-first // 3_600_000) * 3_600_000, last + 1, 3_600_000)]
    limit = int(request.query["limit"])
    if theirs:
        price = "20" if index else "21"
        rows = [[str(t), "20", "30", "9", price, *([] if index else ["4", "84"])] for t in marks]
        body = {"category": "linear", "symbol": request.query["symbol"], "list": rows[::-1][:limit]}
        return {"retCode": 0, "retMsg": "OK", "result": body}
    price = "20" if index else "21"
    bars: list[list[Any]] = [
        [t, "20", "30", "9", price, "0" if index else "4", t + 3_599_999, "0" if index else "84"] for t in marks
    ]
    return bars[:limit]


def ask(answer: Any, coins: str, start: date, end: date, sources: str = "binance,bybit") -> Any:
    with serve(answer) as server:
        settings = server.settings(DERIVATIVE_SOURCES=sources)
        found = fetch(lambda c: derivatives.fetch_bars(c, settings, select(coins), start, end, NOW))
        return found, server.requests


def test_both_venues_give_the_same_bars() -> None:
    found, requests = ask(venues, "BTC", D1, D2)
    got = PERPETUAL_BARS.validate(found.frame)
    assert got.height == 2 * 48 and len(requests) == 4 and not found.set_aside
    one, other = (got.filter(got["venue"] == venue).drop("venue", "source") for venue in ("binance", "bybit"))
    assert one.equals(other)
    assert set(one.select("close", "index_close", "basis", "volume", "volume_usd").rows()) == {
        (21, 20, 21 / 20 - 1, 4, 84)
    }
    assert set(got["source"]) == {"binance_usdm", "bybit_linear"}


def test_a_contract_of_a_thousand_coins_has_prices_of_one() -> None:
    """SHIB1000USDT at Bybit, 1000SHIBUSDT at Binance."""
    found, requests = ask(venues, "SHIB", D1, D1)
    got = PERPETUAL_BARS.validate(found.frame)
    assert {r.query.get("symbol") or r.query["pair"] for r in requests} == {"1000SHIBUSDT", "SHIB1000USDT"}
    assert set(got.select("close", "volume", "volume_usd").rows()) == {(0.021, 4000, 84)}


def test_the_bar_in_progress_is_left_out() -> None:
    found, _ = ask(venues, "BTC", NOW.date(), NOW.date())
    assert PERPETUAL_BARS.validate(found.frame)["ts"].max() == at(NOW.date(), 11)
    assert found.surplus["unfinished bar"] == 4


@pytest.mark.parametrize("status", [451, 403])
def test_a_venue_that_refuses_this_place_names_the_other_and_goes_on_to_it(status: int) -> None:
    def refusing(request: Request) -> Any:
        return venues(request) if request.path.startswith("/bybit") else Reply({"code": 0, "msg": "restricted"}, status)

    found, _ = ask(refusing, "BTC", D1, D1)
    assert set(found.frame["venue"]) == {"bybit"} and len(found.frame) == 24
    assert "DERIVATIVE_SOURCES=bybit" in found.missing["binance"]


@pytest.mark.parametrize(("venue", "page"), [("binance", binance_futures.BARS_LIMIT), ("bybit", bybit.BARS_LIMIT)])
def test_five_years_are_the_fewest_requests(venue: str, page: int) -> None:
    first, last = date(2019, 9, 9), date(2024, 9, 7)
    hours = ((last - first).days + 1) * 24
    now = at(last) + timedelta(days=2)
    with serve(venues) as server:
        settings = server.settings(DERIVATIVE_SOURCES=venue)
        for start, end in chunks(first, last, HOURLY_CHUNK_DAYS):
            found = fetch(lambda c, a=start, b=end: derivatives.fetch_bars(c, settings, select("BTC"), a, b, now))
            assert len(found.frame) == ((end - start).days + 1) * 24
        assert len(server.requests) == 2 * -(-hours // page)
