"""Funding over real sockets: intervals on both sides of a change, venues that refuse, pages that lie, units that change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta, timezone
from itertools import combinations
from typing import Any

import polars as pl
import pytest

from crypto_assets.catalog import select
from crypto_assets.dates import chunks
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources import binance_futures, bybit, derivatives, funding_units
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.client.quota import LocalQuotaStore
from crypto_assets.sources.contracts import coins_of, intervals
from crypto_assets.sources.fetched import Fetched
from crypto_assets.tables.derivatives import FUNDING_CHUNK_DAYS
from crypto_assets.tables.schemas import FUNDING_RATES
from crypto_assets_tests.sources.venues import DAY, HOUR, UTC, Venues, at, every, ms
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve, shared

D1, D2, D3 = date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 3)
NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
SPAN = every(8, at(D1) - 5 * DAY, at(D3, 32))
Answer = Callable[[Request], Any]


def ask(
    answer: Answer, coins: str = "BTC", start: date = D1, end: date = D3, **env: str
) -> tuple[Fetched, list[Request]]:
    with serve(answer) as server:
        settings = server.settings(**{"DERIVATIVE_SOURCES": "binance", **env})
        found = fetch(lambda c: derivatives.fetch_funding(c, settings, select(coins), start, end, NOW))
        return found, server.requests


def rows(found: Fetched, *columns: str) -> list[tuple[Any, ...]]:
    return FUNDING_RATES.validate(found.frame).select(columns or ("ts", "funding_rate", "interval_hours")).rows()


def settled(stamps: Sequence[datetime]) -> list[tuple[datetime, float]]:
    return [(stamp, round(1e-4 + n * 1e-7, 10)) for n, stamp in enumerate(stamps)]


@pytest.mark.parametrize(
    ("contract", "coins"),
    [("BTCUSDT", 1), ("1000SHIBUSDT", 1000), ("SHIB1000USDT", 1000), ("1MBABYDOGEUSDT", 10**6), ("1INCHUSDT", 1),
     ("1000000MOGUSDT", 10**6), ("10000SATSUSDT", 10_000), ("C98USDT", 1), ("BROCCOLI714USDT", 1), ("1000XUSDT", 1000)],
)  # fmt: skip
def test_a_contract_says_of_how_many_coins_it_is(contract: str, coins: int) -> None:
    assert coins_of(contract) == coins


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([0, 8, 16, 24], [8, 8, 8, 8]),
        ([0, 8, 16, 17, 18], [8, 8, 8, 1, 1]),  # 8 hours to 1: the settlement at 16 covers 8 hours, the next one 1
        ([14, 15, 16, 24, 32], [1, 1, 1, 8, 8]),  # and back
        ([0, 8, 12, 16], [8, 8, 4, 4]),
        ([4, 12, 16], [4, 4, 4]),  # 8 is missing: no 8-hour settlement is at 12
        ([16], [None]),
        ([0, 8, 200, 208], [8, 8, 8, 8]),  # after a long hole the next distance tells it
    ],
)
def test_the_interval_is_right_on_both_sides_of_a_change(hours: list[int], expected: list[int | None]) -> None:
    assert intervals([at(D1, hour) for hour in hours]) == expected


def test_a_change_from_eight_hours_to_one_in_the_middle_of_the_range() -> None:
    change = at(D2, 16)
    stamps = [*every(8, at(D1) - DAY, change), *every(1, change + HOUR, at(D3, 24))]
    found, _ = ask(Venues({"BTCUSDT": settled(stamps)}))
    got = dict(FUNDING_RATES.validate(found.frame).select("ts", "interval_hours").rows())
    assert [got[at(D2, hour)] for hour in (0, 8, 16, 17, 18)] == [8, 8, 8, 1, 1]
    raw = FUNDING_RATES.validate(found.frame)
    assert (raw["funding_rate_hourly"] * raw["interval_hours"] - raw["funding_rate"]).abs().max() < 1e-18
    for day in (D1, D2, D3):  # a day alone sees the same intervals
        alone, _ = ask(Venues({"BTCUSDT": settled(stamps)}), start=day, end=day)
        assert rows(alone) == [row for row in rows(found) if row[0].date() == day]


def test_stamps_that_jitter_are_snapped_and_others_set_aside() -> None:
    listed = [(stamp + timedelta(milliseconds=n % 47), 1e-4) for n, stamp in enumerate(SPAN)]
    listed[20] = (listed[20][0] + timedelta(minutes=20), 1e-4)
    found, _ = ask(Venues({"BTCUSDT": listed}))
    lost = SPAN[20]
    assert {row[0] for row in rows(found)} == {ts for ts in SPAN if D1 <= ts.date() <= D3} - {lost}
    known = dict(FUNDING_RATES.validate(found.frame).select("ts", "available_at").rows())
    assert all(timedelta() <= instant - ts < timedelta(seconds=1) for ts, instant in known.items())
    (record,) = found.set_aside
    assert (record.subject, record.day, record.count) == ("BTC", lost.date(), 1)


def test_the_mark_price_is_of_one_coin_and_empty_in_old_rows() -> None:
    found, _ = ask(Venues({"1000SHIBUSDT": settled(SPAN)}, mark="0.025"), "SHIB")
    assert {row[0] for row in rows(found, "mark_price")} == {0.000025}
    found, _ = ask(Venues({"BTCUSDT": settled(SPAN)}))
    assert {row[0] for row in rows(found, "mark_price")} == {None}


def test_a_rate_at_its_cap_is_a_real_value_and_an_impossible_one_is_not() -> None:
    listed = settled(SPAN)
    listed[16], listed[17] = (SPAN[16], -0.03), (SPAN[17], 3.0)
    found, _ = ask(Venues({"BTCUSDT": listed}))
    got = dict(FUNDING_RATES.validate(found.frame).select("ts", "funding_rate").rows())
    assert got[SPAN[16]] == -0.03 and SPAN[17] not in got
    assert [record.reason for record in found.set_aside] == ["funding rate is beyond 0.1"]


@pytest.mark.parametrize("status", [451, 403])
def test_a_venue_that_refuses_this_place_names_the_other_and_goes_on_to_it(status: int) -> None:
    venues = Venues(bybit={"BTCUSDT": settled(SPAN)})

    def answer(request: Request) -> Any:
        return (
            Reply({"code": 0, "msg": "restricted location"}, status) if "binance" in request.path else venues(request)
        )

    found, requests = ask(answer, DERIVATIVE_SOURCES="binance,bybit")
    assert set(row[0] for row in rows(found, "venue")) == {"bybit"} and not found.failed
    assert "DERIVATIVE_SOURCES=bybit" in found.missing["binance"]
    assert sum("binance" in request.path for request in requests) == 1
    with pytest.raises(SourceError, match=r"DERIVATIVE_SOURCES=bybit"):
        ask(answer)


def test_a_refusal_is_an_error_where_the_other_venue_has_no_contract_of_these_coins() -> None:
    """XEM has a contract at Binance only."""
    with pytest.raises(SourceError, match="DERIVATIVE_SOURCES=bybit"):
        ask(lambda request: Reply({"code": 0, "msg": "restricted"}, 451), "XEM", DERIVATIVE_SOURCES="binance,bybit")


def test_a_venue_that_is_down_fails_its_coins_by_name_and_the_other_is_stored() -> None:
    venues = Venues({"BTCUSDT": settled(SPAN), "ETHUSDT": settled(SPAN)})

    def answer(request: Request) -> Any:
        return Reply({"error": "no"}, 500) if "bybit" in request.path else venues(request)

    found, _ = ask(answer, "BTC,ETH", DERIVATIVE_SOURCES="binance,bybit")
    assert set(found.failed) == {"BTC", "ETH"} and "bybit" in found.failed["BTC"]
    assert len(rows(found)) == 18


def test_a_contract_that_one_venue_does_not_know_is_no_failure_and_one_that_none_knows_is() -> None:
    venues = Venues({"BTCUSDT": settled(SPAN)}, {"ETHUSDT": settled(SPAN)})
    found, _ = ask(venues, "BTC,ETH,SOL", DERIVATIVE_SOURCES="binance,bybit")
    assert set(rows(found, "symbol", "venue")) == {("BTC", "binance"), ("ETH", "bybit")}
    assert set(found.failed) == {"SOL"} and "SOLUSDT" in found.failed["SOL"]


def test_a_contract_that_is_listed_after_these_days_is_missing_and_not_failed() -> None:
    """Binance knows SOL and has no settlement yet; Bybit does not know it."""
    later = [ts for ts in SPAN if ts >= at(D3)]
    venues = Venues({"BTCUSDT": settled(SPAN), "SOLUSDT": settled(later)}, {"BTCUSDT": settled(SPAN)})
    found, _ = ask(venues, "BTC,SOL", end=D2, DERIVATIVE_SOURCES="binance,bybit")
    assert not found.failed and "no settlement of SOLUSDT" in found.missing["SOL"]


def test_a_page_that_repeats_fails_its_coin_alone() -> None:
    venues = Venues({"BTCUSDT": settled(every(1, at(D1) - 60 * DAY, at(D3, 24))), "ETHUSDT": settled(SPAN)})
    first: list[Any] = []

    def answer(request: Request) -> Any:
        if request.query.get("symbol") != "BTCUSDT":
            return venues(request)
        first.append(venues(request)) if not first else None
        return first[0]

    start = D1 - 55 * DAY
    found, requests = ask(answer, "BTC,ETH", start=start)
    assert set(found.failed) == {"BTC"} and "repeats a page" in found.failed["BTC"]
    assert {row[0] for row in rows(found, "symbol")} == {"ETH"}
    assert sum(request.query.get("symbol") == "BTCUSDT" for request in requests) == 2


def test_rows_that_a_page_skipped_are_asked_for_once_more() -> None:
    venues = Venues({"BTCUSDT": settled(SPAN)})

    def skipping(request: Request) -> Any:
        page = venues(request)
        return [row for n, row in enumerate(page) if len(page) < 6 or n not in (4, 5)]

    found, requests = ask(skipping)
    assert [row[0] for row in rows(found)] == [ts for ts in SPAN if D1 <= ts.date() <= D3]
    assert len(requests) == 2


def test_rows_given_twice_with_different_rates_are_both_left_out() -> None:
    listed = [*settled(SPAN), (SPAN[17], 0.02)]
    found, _ = ask(Venues({"BTCUSDT": sorted(listed)}))
    assert SPAN[17] not in {row[0] for row in rows(found)} and len(rows(found)) == 8
    assert found.set_aside[0].reason == "given twice with different values"


def test_rates_that_become_percents_overnight_are_set_aside_and_the_days_before_stay() -> None:
    def listed(base: float) -> list[tuple[datetime, float]]:
        return [(ts, base * (100 if ts >= at(D3) else 1)) for ts in SPAN]

    bases = {"BTCUSDT": 1e-4, "ETHUSDT": 8e-5, "SOLUSDT": -6e-5, "XRPUSDT": 1e-5}
    found, _ = ask(Venues({name: listed(base) for name, base in bases.items()}), "BTC,ETH,SOL,XRP")
    assert {row[0].date() for row in rows(found)} == {D1, D2}
    assert {(record.subject, record.day, record.reason) for record in found.set_aside} == {
        (coin, D3, funding_units.PERCENT) for coin in ("BTC", "ETH", "SOL", "XRP")
    }


def test_a_tick_compares_with_the_stored_weeks() -> None:
    """A day of low rates as percents is below what a level alone can tell."""
    venues = Venues({name: [(ts, 0.002) for ts in SPAN] for name in ("BTCUSDT", "ETHUSDT", "SOLUSDT")})
    earlier = [(coin, "binance", D1 - DAY, 2e-5, 8.0) for coin in ("BTC", "ETH", "SOL")]
    with serve(venues) as server:
        settings = server.settings(DERIVATIVE_SOURCES="binance")
        found, alone = (
            fetch(lambda c, e=e: derivatives.fetch_funding(c, settings, select("BTC,ETH,SOL"), D1, D1, NOW, e))
            for e in (earlier, [])
        )
    assert found.frame.empty and {one.reason for one in found.set_aside} == {funding_units.PERCENT}
    assert len(alone.frame) == 9 and not alone.set_aside


def test_a_squeeze_of_one_coin_is_no_change_of_units() -> None:
    squeezed = [(ts, -0.02) for ts in SPAN]
    calm = {name: settled(SPAN) for name in ("BTCUSDT", "ETHUSDT", "XRPUSDT")}
    found, _ = ask(Venues({**calm, "SOLUSDT": squeezed}), "BTC,ETH,SOL,XRP")
    assert not found.set_aside and len(rows(found)) == 36


def test_a_clock_in_another_time_zone_is_refused() -> None:
    with pytest.raises(SourceError, match="another time zone"):
        ask(Venues({"BTCUSDT": settled([ts + 3 * HOUR for ts in SPAN])}))


@pytest.mark.parametrize("source", ["binance", "bybit"])
def test_a_clock_that_is_eight_hours_ahead_is_refused_as_soon_as_it_passes_ours(source: str) -> None:
    """UTC+8 keeps the hours of the settlements. The newest one then lies in the future."""
    today = NOW.date()
    ahead = settled([ts + 8 * HOUR for ts in every(8, at(today) - 5 * DAY, NOW)])
    both = {"binance": Venues({"BTCUSDT": ahead}), "bybit": Venues(bybit={"BTCUSDT": ahead})}
    with pytest.raises(SourceError, match="lies in the future"):
        ask(both[source], start=today, end=today, DERIVATIVE_SOURCES=source)
    right = {"binance": Venues({"BTCUSDT": ahead[:-1]}), "bybit": Venues(bybit={"BTCUSDT": ahead[:-1]})}
    found, requests = ask(right[source], start=today, end=today, DERIVATIVE_SOURCES=source)
    assert len(found.frame) == 2 and len(requests) == 1


def test_html_with_200_and_an_error_object_are_sentences() -> None:
    with pytest.raises(SourceError, match="HTML instead of JSON"):
        ask(lambda request: b"<html>maintenance</html>")
    with pytest.raises(SourceError, match="retCode 10016"):
        ask(lambda request: {"retCode": 10016, "retMsg": "Server error", "result": {}}, DERIVATIVE_SOURCES="bybit")


def test_days_before_every_listing_need_no_row_and_days_after_it_do() -> None:
    venues = Venues({"BTCUSDT": settled([ts for ts in SPAN if ts >= at(D3)])})
    found, _ = ask(venues)
    assert {row[0].date() for row in rows(found)} == {D3}
    found, _ = ask(venues, start=D1, end=D1)
    assert found.frame.empty
    with pytest.raises(SourceError, match="2024-03-05"):
        ask(venues, start=D3, end=D3 + 2 * DAY)


def test_five_years_of_fifty_coins_are_the_fewest_requests() -> None:
    """5,479 settlements a contract are six pages of 1,000: 300 requests."""
    first, last = date(2019, 9, 9), date(2024, 9, 6)
    days, now = (last - first).days + 1, at(last, 24 * 7)
    listed = settled(every(8, at(first) - DAY, now))
    coins = [coin for coin in select("all") if coin.binance_perpetual][:50]
    venues = Venues({str(coin.binance_perpetual): listed for coin in coins})
    with serve(venues) as server:
        settings = server.settings(DERIVATIVE_SOURCES="binance")
        for start, end in chunks(first, last, FUNDING_CHUNK_DAYS):
            found = fetch(lambda c, a=start, b=end: derivatives.fetch_funding(c, settings, coins, a, b, now))
            assert len(found.frame) == 50 * 3 * ((end - start).days + 1)
        assert len(server.requests) == 50 * -(-days // FUNDING_CHUNK_DAYS)
        assert len(server.requests) == 50 * -(-days * 3 // binance_futures.FUNDING_LIMIT)


def test_bybit_pages_backwards_and_gives_the_same_rows() -> None:
    listed = settled(every(8, at(D1) - 150 * DAY, at(D3, 24)))
    start = D1 - 140 * DAY
    mine, requests = ask(Venues(bybit={"BTCUSDT": listed}), start=start, DERIVATIVE_SOURCES="bybit")
    theirs, _ = ask(Venues({"BTCUSDT": listed}), start=start)
    assert rows(mine) == rows(theirs) and len(rows(mine)) == 143 * 3
    assert len(requests) == -(-len(rows(mine)) // bybit.LIMIT) == 3


def test_recorded_settlements_of_two_venues_equal_the_recording() -> None:
    """Every settlement of five coins that are recorded whole; none of them looks like a percent."""
    recorded = pl.read_parquet(shared("series", "funding", "binance_perp_funding_2019-09_2023-12.parquet"))
    names = {
        "BTC": "BTCUSDT",
        "ETH": "ETHUSDT",
        "ADA": "ADAUSDT",
        "LTC": "LTCUSDT",
        "XRP": "XRPUSDT",
        "PEPE": "1000PEPEUSDT",
    }
    by_contract = {
        contract: recorded.filter(pl.col("symbol") == contract)
        .sort("funding_time")
        .select("funding_time", "funding_rate")
        .rows()
        for contract in names.values()
    }
    start, end = date(2023, 1, 1), date(2023, 12, 31)
    found, _ = ask(Venues(by_contract), ",".join(names), start=start, end=end)
    got = FUNDING_RATES.validate(found.frame)
    expected = {
        (coin, datetime.fromtimestamp(round(ms(stamp) / 3_600_000) * 3600, timezone.utc)): rate
        for coin, contract in names.items()
        for stamp, rate in by_contract[contract]
        if start <= (stamp + HOUR / 2).date() <= end
    }
    assert {(symbol, ts): rate for symbol, ts, rate in got.select("symbol", "ts", "funding_rate").rows()} == expected
    assert got["interval_hours"].unique().to_list() == [8.0] and not found.set_aside


def test_no_recorded_day_looks_like_percents() -> None:
    recorded = pl.read_parquet(shared("series", "funding", "binance_perp_funding_2019-09_2023-12.parquet"))
    listed = [
        (symbol.removesuffix("USDT"), "binance", ts.date(), rate, 8.0)
        for symbol, ts, rate in recorded.select("symbol", "funding_time", "funding_rate").rows()
    ]
    whole = ("BTC", "ETH", "XRP", "LTC", "ADA")
    some = [set(names) for many in (3, 4, 5) for names in combinations(whole, many)]
    for names in ({row[0] for row in listed}, {"BTC"}, {"ETH"}, {"BTC", "ETH"}, {"XRP"}, *some):
        mine = [row for row in listed if row[0] in names]
        assert not funding_units.percent_days(mine), names


@pytest.mark.parametrize("names", [{"BTC"}, {"ETH"}, {"BTC", "ETH"}, {"BTC", "ETH", "ADA"}, {"LTC", "XRP", "ADA"}])
def test_recorded_rates_as_percents_are_noticed(names: set[str]) -> None:
    """The last two years as percents: a day whose rates are near zero passes as fractions, and few are."""
    recorded = pl.read_parquet(shared("series", "funding", "binance_perp_funding_2019-09_2023-12.parquet"))
    change = date(2022, 1, 1)
    listed = [
        (symbol.removesuffix("USDT"), "binance", ts.date(), rate * (100 if ts.date() >= change else 1), 8.0)
        for symbol, ts, rate in recorded.select("symbol", "funding_time", "funding_rate").rows()
        if symbol.removesuffix("USDT") in names
    ]
    found = funding_units.percent_days(listed)
    days = {row[2] for row in listed if row[2] >= change}
    assert min(day for _, day in found) == change
    assert len(found) > 0.8 * len(days)


def test_calls_keep_the_pace_that_is_asked_for_and_meet_no_429() -> None:
    """The documented 500 calls in 5 minutes, scaled to 32 in 4 seconds, at a server that counts and refuses."""
    calls, seconds, coins = 32, 4.0, [coin for coin in select("all") if coin.binance_perpetual][:50]
    enforced = seconds - 1  # connecting takes a busy machine longer: the server forgives that
    venues = Venues({str(coin.binance_perpetual): settled(SPAN) for coin in coins})
    seen: list[float] = []

    def limited(request: Request) -> Any:
        now = time.monotonic()
        seen.append(now)
        if sum(now - enforced < moment for moment in seen) > calls:
            return Reply({"code": -1003, "msg": "Too many requests."}, 429)
        return venues(request)

    async def go(settings: Settings) -> Fetched:
        async with Client(max_attempts=1, settings=settings, quota=LocalQuotaStore()) as client:
            return await derivatives.fetch_funding(client, settings, coins, D1, D3, NOW)

    with serve(limited) as server:
        pace = f"binance_funding={calls}/{seconds:.0f}"
        found = asyncio.run(go(server.settings(DERIVATIVE_SOURCES="binance", RATE_LIMITS=pace)))
    assert len(found.frame) == 50 * 9 and len(seen) == 50
    assert max(seen) - min(seen) > 0.9 * 49 * seconds / calls


def test_a_contract_is_asked_for_under_the_name_of_each_day() -> None:
    """LUNAUSDT was Terra's first coin until 2022-05-13, whose contract of today is 1000LUNCUSDT."""
    before, after = datetime(2022, 5, 10, tzinfo=UTC), datetime(2022, 9, 12, tzinfo=UTC)
    span = every(8, before, after)

    def answer(request: Request) -> Any:
        first, last = (int(request.query[name]) for name in ("startTime", "endTime"))
        rate = {"LUNAUSDT": "0.0001", "1000LUNCUSDT": "0.0002"}[request.query["symbol"]]
        return [
            {"symbol": request.query["symbol"], "fundingTime": ms(stamp), "fundingRate": rate, "markPrice": "1"}
            for stamp in span
            if first <= ms(stamp) <= last
        ][:1000]

    found, requests = ask(answer, "LUNC", before.date(), after.date() - DAY)
    given = dict(rows(found, "ts", "funding_rate"))
    old = [stamp for stamp in span if stamp < datetime(2022, 5, 13, 1, tzinfo=UTC)]
    new = [stamp for stamp in span if datetime(2022, 9, 9, tzinfo=UTC) <= stamp < after]
    assert given == {**dict.fromkeys(old, 0.0001), **dict.fromkeys(new, 0.0002)}
    assert {request.query["symbol"] for request in requests} == {"LUNAUSDT", "1000LUNCUSDT"}
