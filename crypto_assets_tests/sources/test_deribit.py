"""DVOL and the bars of perpetuals over real sockets: pages backwards, unfinished candles, an index that is not there."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from crypto_assets.catalog import select
from crypto_assets.errors import SourceError
from crypto_assets.sources import deribit, derivatives
from crypto_assets.tables.schemas import IMPLIED_VOLATILITY, PERPETUAL_BARS
from crypto_assets_tests.sources.venues import DAY, HOUR, UTC, at, every, ms
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve

D1, D2 = date(2024, 1, 1), date(2024, 3, 31)
NOW = datetime(2024, 4, 10, 12, 30, tzinfo=UTC)
HOURS = every(1, at(D1) - DAY, NOW)


def candle(ts: datetime) -> list[float]:
    level = 50 + ts.hour / 10
    return [ms(ts), level, level + 1.25, level - 1.5, level + 0.5]


def dvol(request: Request) -> Any:
    """At most 1,000 candles, the newest of the window, and where to go on."""
    first, last = int(request.query["start_timestamp"]), int(request.query["end_timestamp"])
    rows = [candle(ts) for ts in HOURS if first <= ms(ts) <= last]
    more = rows[-1000][0] - 1 if len(rows) > 1000 else None
    return {"jsonrpc": "2.0", "result": {"data": rows[-1000:], "continuation": more}}


def ask(answer: Any, coins: str = "BTC", start: date = D1, end: date = D2) -> Any:
    with serve(answer) as server:
        found = fetch(lambda c: deribit.fetch_volatility(c, server.settings(), select(coins), start, end, NOW))
        return found, server.requests


def test_pages_go_backwards_until_the_first_hour() -> None:
    found, requests = ask(dvol, "BTC,SOL")
    got = IMPLIED_VOLATILITY.validate(found.frame)
    assert got["ts"].to_list() == every(1, at(D1), at(D2, 23)) and len(requests) == 3
    assert [tuple(row) for row in got.select("open", "high", "low", "close").rows()] == [
        tuple(candle(ts)[1:]) for ts in got["ts"]
    ]
    assert (got["available_at"] - got["ts"] == HOUR).all()
    assert set(found.missing) == {"SOL"}


def test_the_candle_in_progress_is_left_out() -> None:
    found, _ = ask(dvol, start=NOW.date(), end=NOW.date())
    assert IMPLIED_VOLATILITY.validate(found.frame)["ts"].max() == at(NOW.date(), 11)
    assert found.surplus == {"unfinished bar": 1}


def test_a_continuation_that_does_not_go_back_is_an_error_and_no_endless_loop() -> None:
    def stuck(request: Request) -> Any:
        body = dvol(request)
        body["result"]["continuation"] = int(request.query["end_timestamp"])
        return body

    with pytest.raises(SourceError, match="repeats a page"):
        ask(stuck)


def test_days_before_the_index_began_are_not_asked_for() -> None:
    found, requests = ask(dvol, start=date(2019, 1, 1), end=date(2019, 1, 3))
    assert found.frame.empty and not requests


def klines(request: Request) -> Any:
    first, last = int(request.query["startTime"]), int(request.query["endTime"])
    if "pair" in request.query:
        return [
            [ms(t), "9", "12", "8", "10", "0", ms(t) + 3_599_999, "0"]
            for t in HOURS
            if first <= ms(t) <= last and t.hour != 7
        ]
    return [[ms(t), "9", "12", "8", "10.5", "4", ms(t) + 3_599_999, "42"] for t in HOURS if first <= ms(t) <= last]


def bars(answer: Any, coins: str = "BTC", start: date = D2, end: date = D2) -> Any:
    with serve(answer) as server:
        settings = server.settings(DERIVATIVE_SOURCES="binance")
        found = fetch(lambda c: derivatives.fetch_bars(c, settings, select(coins), start, end, NOW))
        return found, server.requests


def test_the_basis_is_the_close_over_the_index_and_null_without_it() -> None:
    found, requests = bars(klines)
    got = PERPETUAL_BARS.validate(found.frame)
    assert got.height == 24 and len(requests) == 2
    assert {row["ts"].hour: row["basis"] for row in got.rows(named=True)} == {
        h: None if h == 7 else 10.5 / 10 - 1 for h in range(24)
    }
    assert set(got.select("volume", "volume_usd").rows()) == {(4.0, 42.0)}


def test_a_contract_of_a_thousand_coins_has_prices_of_one() -> None:
    found, _ = bars(klines, "SHIB")
    got = PERPETUAL_BARS.validate(found.frame)
    assert set(got.filter(got["ts"].dt.hour() != 7).select("close", "index_close", "volume").rows()) == {
        (0.0105, 0.01, 4000.0)
    }


def test_three_hundred_and_ten_days_are_five_full_pages_of_each_route() -> None:
    days = (NOW.date() - D1).days
    _, requests = bars(klines, start=D1, end=NOW.date())
    assert len(requests) == 2 * -(-(days * 24 + 13) // 1500)


def test_an_index_that_is_not_served_is_an_error_of_its_coin() -> None:
    def without(request: Request) -> Any:
        return Reply({"error": "no"}, 404) if "pair" in request.query else klines(request)

    with pytest.raises(SourceError, match="indexPriceKlines"):
        bars(without)
