"""Prices and bars that cannot be trusted: set aside by name, day and reason; the rest stored, everything counted."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crypto_assets.catalog import select
from crypto_assets.errors import SourceError
from crypto_assets.sources import coingecko, coingecko_points, coingecko_today, kraken, ohlc
from crypto_assets.sources.fetched import Fetched
from crypto_assets.sources.reading import Reading
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests.sources import parsed
from crypto_assets_tests.sources.fault_providers import ROUTES, Route
from crypto_assets_tests.sources.test_fuzz import Canned, config
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve, shared

UTC, HOUR = timezone.utc, timedelta(hours=1)
DAY, START, NOW = date(2024, 1, 2), datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
PRO = {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "analyst", "RATE_LIMITS": "coingecko=1000000/1"}


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def chart(points: list[list[Any]], **more: Any) -> dict[str, Any]:
    return {"prices": points, "market_caps": [], "total_volumes": [], **more}


def hourly(hours: int = 24, late: timedelta = timedelta(seconds=9)) -> list[list[Any]]:
    return [[ms(START + HOUR * n + late), 100.0 + n] for n in range(hours)]


def prices(body: Any, coins: str = "BTC", end: date = DAY, now: datetime = NOW, **env: str) -> Fetched:
    answer = body if callable(body) else lambda _: body
    with serve(answer) as server:
        settings = server.settings(**{**PRO, **env})
        return fetch(lambda c: coingecko.fetch_prices(c, settings, select(coins), DAY, end, now))


# What one point of 24 can be, and how it is counted. A null is no observation and so no fault.
POINTS: list[tuple[str, Callable[[list[Any]], Any], str | None]] = [
    ("zero", lambda p: [p[0], 0], "price is not above zero"),
    ("negative", lambda p: [p[0], -0.5], "price is not above zero"),
    ("text", lambda p: [p[0], "n/a"], "value is not a number"),
    ("a number too large", lambda p: [p[0], "1e999"], "value is not a number"),
    ("true", lambda p: [p[0], True], "value is not a number"),
    ("null", lambda p: [p[0], None], None),
    ("no value", lambda p: [p[0]], "row of another shape"),
    ("no list", lambda p: "row", "row of another shape"),
    ("seconds", lambda p: [p[0] // 1000, p[1]], "time is not in milliseconds"),
    ("microseconds", lambda p: [p[0] * 1000, p[1]], "time is not in milliseconds"),
    ("no time", lambda p: [None, p[1]], "time is not in milliseconds"),
    ("the future", lambda p: [ms(datetime(2030, 1, 1, tzinfo=UTC)), p[1]], "time lies in the future"),
]


@pytest.mark.parametrize(("change", "reason"), [(c, r) for _, c, r in POINTS], ids=[name for name, _, _ in POINTS])
def test_one_bad_point_is_set_aside_and_the_other_hours_of_every_coin_stored(
    change: Callable[[list[Any]], Any], reason: str | None
) -> None:
    def answer(request: Request) -> Any:
        points = hourly()
        if "/ethereum/" in request.path:
            points[7] = change(points[7])
        return chart(points)

    found = prices(answer, "BTC,ETH")
    CONTRACTS["prices"].validate(found.frame)
    hours = {symbol: set(rows["ts"].dt.hour) for symbol, rows in found.frame.groupby("symbol")}
    assert hours == {"BTC": set(range(24)), "ETH": set(range(24)) - {7}}
    counted = [(one.subject, one.day, one.reason, one.column, one.count) for one in found.set_aside]
    assert counted == ([("ETH", DAY, reason, "", 1)] if reason else [])
    assert found.surplus == ({} if reason else {"no price at the instant": 1})


def test_two_prices_at_one_instant_are_both_set_aside_and_the_hours_next_one_counts() -> None:
    points = hourly()
    points.insert(5, [points[5][0], 999.0])
    points.append([ms(START + HOUR * 5 + timedelta(minutes=20)), 55.0])
    found = prices(chart(points))
    assert found.frame["price_usd"].iloc[5] == 55.0 and len(found.frame) == 24
    ((reason, count),) = [(one.reason, one.count) for one in found.set_aside]
    assert (reason, count) == ("two values at one instant", 2)


@pytest.mark.parametrize("cap", [-5, "n/a", "1e999", True])
def test_a_bad_market_cap_is_null_and_its_price_stored(cap: Any) -> None:
    points = hourly()
    caps = [[t, cap if n == 3 else 1e9] for n, (t, _) in enumerate(points)]
    found = prices(chart(points, market_caps=caps))
    assert list(found.frame["market_cap_usd"].isna()) == [n == 3 for n in range(24)]
    ((column, day, count),) = [(one.column, one.day, one.count) for one in found.set_aside]
    assert (column, day, count) == ("market_cap_usd", DAY, 1)


def test_a_cap_stamped_after_its_price_makes_the_row_known_that_much_later() -> None:
    points = hourly()
    found = prices(
        chart(points, market_caps=[[t + 37, 1e9] for t, _ in points], total_volumes=[[t - 40, 1e6] for t, _ in points])
    )
    assert found.frame["market_cap_usd"].notna().all() and found.frame["volume_24h_usd"].notna().all()
    assert [ms(at) for at in found.frame["available_at"]] == [t + 37 for t, _ in points]


@pytest.mark.parametrize(
    "bad", [[[n, 1.0] for n in range(1704153600, 1704240000, 3600)], [[t, 0] for t, _ in hourly()]]
)
def test_an_answer_of_mostly_bad_points_is_refused_and_says_what_must_change(bad: list[list[Any]]) -> None:
    with pytest.raises(
        SourceError, match=r"24 of 24 rows cannot be trusted .*would have to give times in milliseconds"
    ):
        prices(chart(bad))


@pytest.mark.parametrize("coins", ["BTC,ETH", "BTC,ETH,XRP,BNB"])
def test_one_coin_of_few_with_a_bad_answer_does_not_take_the_others_along(coins: str) -> None:
    def answer(request: Request) -> Any:
        return chart([[t, 0] for t, _ in hourly()]) if "/ethereum/" in request.path else chart(hourly())

    found = prices(answer, coins)
    assert set(found.failed) == {"ETH"}
    assert set(found.frame["symbol"]) == set(coins.split(",")) - {"ETH"}


def test_a_provider_that_answers_zeroes_for_most_coins_is_refused() -> None:
    with pytest.raises(SourceError, match="not above zero"):
        prices(
            lambda request: chart(hourly() if "/bitcoin/" in request.path else [[t, 0] for t, _ in hourly()]), "top:9"
        )


MINUTES = st.lists(st.integers(0, 60 * 24 * 3 - 1), min_size=20, max_size=90, unique=True)


@given(MINUTES)
@hypothesis_settings(deadline=None)
def test_an_hours_row_is_its_first_point_and_every_other_one_is_counted(minutes: list[int]) -> None:
    """No point of the last minute before a mark here: those have a test of their own."""
    points = [[ms(START + timedelta(minutes=m, seconds=13)), 1.0 + m] for m in minutes if m % 60 != 59]
    first: dict[int, int] = {}
    for m in sorted(m for m in minutes if m % 60 != 59):
        first.setdefault(m // 60, m)
    reading = Reading("BTC", DAY, DAY + timedelta(days=2), NOW)
    found = coingecko_points.points_of(chart(points), "test", reading)
    assert {(mark - ms(START)) // 3_600_000: price for mark, _, price, _, _ in found} == {
        h: 1.0 + m for h, m in first.items()
    }
    assert all(at >= mark for mark, at, *_ in found)
    assert reading.surplus.total() + len(found) == len(points)


def test_points_seconds_before_the_mark_fill_an_hour_that_has_none_of_its_own() -> None:
    early = hourly(late=timedelta(seconds=-3))  # 23:59:57 to 22:59:57: from a server that looks back a little
    found = prices(chart(early))
    assert list(found.frame["ts"].dt.hour) == list(range(24))
    assert [ms(at) for at in found.frame["available_at"]] == [t for t, _ in early], "its own instant, before the mark"
    within = [[t, v] for t, v in hourly(25, timedelta(seconds=-3)) if t >= ms(START)]
    found = prices(chart(within))
    assert list(found.frame["ts"].dt.hour) == list(range(24)), "a server that keeps to the window"
    spare = [*hourly(12), [ms(START + HOUR * 12 - timedelta(seconds=2)), 77.0], *hourly()[13:]]
    found = prices(chart(spare))
    assert len(found.frame) == 24 and found.frame["price_usd"].iloc[12] == 77.0
    late = [*hourly(11), [ms(START + HOUR * 12 - timedelta(seconds=2)), 77.0], *hourly()[12:]]
    found = prices(chart(late))
    assert found.frame["price_usd"].iloc[11] == 77.0, "the only point of its hour stays there"


@pytest.mark.parametrize(
    "points",
    [
        [[ms(START), 1.0]],
        [[ms(START), 1.0], [ms(START + HOUR * 24), 1.0]],
        [[ms(START), 1.0], [ms(START + HOUR * 13.5), 1.0]],
        [[ms(START), 1.0], [ms(START + HOUR * 24), 1.0], [ms(START + HOUR * 30.5), 1.0]],
    ],
    ids=["one", "two", "one and the present", "two and the present"],
)
def test_one_or_two_daily_points_are_not_hours(points: list[list[Any]]) -> None:
    with pytest.raises(SourceError, match="daily points where hourly ones were asked"):
        prices(chart(points), end=date(2024, 1, 4))


def test_the_first_hours_of_a_coin_are_hours() -> None:
    for hours in (1, 2, 3):
        listed = [[ms(START + HOUR * (24 - hours + n) + timedelta(seconds=9)), 1.0] for n in range(hours)]
        assert len(prices(chart(listed)).frame) == hours
    assert len(prices(chart(hourly(1)), now=START + timedelta(minutes=40)).frame) == 1, "the day has begun"


@pytest.mark.parametrize("name", ["2019_03_25-2019_04_01", "2021_01_01-2021_02_28"])
def test_every_hour_of_the_recording_that_has_a_point_has_a_row(name: str) -> None:
    """343 of the 1,390 points of 2021 come more than 15 minutes after their hour."""
    body = json.loads(shared("wire", "coingecko", "recorded_2021", f"bitcoin_eur_{name}.json").read_text())
    first: dict[int, tuple[int, float]] = {}
    for at, price in sorted(body["prices"]):
        first.setdefault(at // 3_600_000, (at, price))
    found = parsed.market_chart(body, "BTC")
    assert {ms(mark) // 3_600_000: (ms(at), price) for mark, at, price, *_ in found} == first


def kline(opened: datetime, prices: list[str] | None = None, volume: str = "5", length: int = 3_600_000) -> list[Any]:
    return [ms(opened), *(prices or ["10", "12", "9", "11"]), volume, ms(opened) + length - 1, "60", 9, "0", "0", "0"]


def binance(rows: list[list[Any]], end: date = DAY, coins: str = "BTC") -> Fetched:
    def answer(request: Request) -> Any:
        return [row for row in rows if int(request.query["startTime"]) <= row[0] <= int(request.query["endTime"])]

    with serve(answer) as server:
        settings = server.settings(OHLC_SOURCES="binance")
        return fetch(lambda c: ohlc.fetch_ohlc(c, settings, select(coins), DAY, end, NOW))


def test_hours_that_open_off_their_mark_are_left_out_however_the_range_is_cut() -> None:
    """As Binance serves the days after its outage of February 2018; a whole day of them is a day without a bar."""
    offset = timedelta(minutes=28, seconds=14, milliseconds=789)
    rows = [kline(START + HOUR * n + (offset if 30 <= n < 60 else timedelta())) for n in range(24 * 4)]
    whole = binance(rows, date(2024, 1, 5), "BTC,ETH,BNB,LTC,NEO")
    assert len(whole.frame) == 5 * (96 - 30)
    counted = {(one.subject, one.day): one.count for one in whole.set_aside}
    assert counted == {
        (c, date(2024, 1, d)): n for c in ("BTC", "ETH", "BNB", "LTC", "NEO") for d, n in ((3, 18), (4, 12))
    }
    assert {one.reason for one in whole.set_aside} == {"open time is not an hour mark"}


@pytest.mark.parametrize("volumes", [("3", "5"), ("5", "3")])
def test_of_two_copies_of_a_bar_the_later_state_stays_whichever_came_first(volumes: tuple[str, str]) -> None:
    rows = [kline(START + HOUR * n) for n in range(24)]
    rows[6:7] = [kline(START + HOUR * 6, ["10", "12", "9", "9.5" if v == "3" else "11"], v) for v in volumes]
    found = binance(rows)
    bar = found.frame.iloc[6]
    assert (len(found.frame), bar["volume"], bar["close"]) == (24, 5.0, 11.0)
    ((subject, reason, count),) = [(one.subject, one.reason, one.count) for one in found.set_aside]
    assert (subject, reason, count) == ("BTC", "second, different copy of the same bar", 1)


def test_bars_longer_than_an_hour_do_not_pass_as_hours() -> None:
    with pytest.raises(SourceError, match="longer than an hour"):
        binance([kline(START + HOUR * 24 * n, length=86_400_000) for n in range(2)], date(2024, 1, 3))
    with (
        serve(
            lambda _: {
                "error": [],
                "result": {"XXBTZUSD": [[int(START.timestamp()) + 86400 * n, *["9"] * 6, 1] for n in range(3)]},
            }
        ) as server,
        pytest.raises(SourceError, match="four hours or more"),
    ):
        fetch(lambda c: kraken.fetch_kraken(c, server.settings(), select("BTC"), DAY, DAY, START + HOUR * 80))


def test_krakens_bad_candles_and_cells_are_set_aside_alone() -> None:
    rows = [[int((START + HOUR * n).timestamp()), "10", "12", "9", "11", "10.5", "7", 3] for n in range(24)]
    rows[2][4] = "0"
    rows[3][6] = "-1"
    rows[4][5] = "x"
    rows[5][0] += 5
    rows[6] = rows[6][:4]
    with serve(lambda _: {"error": [], "result": {"XXBTZUSD": rows, "last": 0}}) as server:
        found = fetch(lambda c: kraken.fetch_kraken(c, server.settings(), select("BTC"), DAY, DAY, START + HOUR * 30))
    assert set(found.frame["ts"].dt.hour) == set(range(24)) - {2, 5, 6}
    assert {(one.reason, one.column) for one in found.set_aside} == {
        ("price is not above zero", ""), ("value is below zero", "volume"), ("value is not a number", "vwap"),
        ("open time is not an hour mark", ""), ("row of another shape", ""),
    }  # fmt: skip


def page(**changes: Any) -> list[dict[str, Any]]:
    entry = {
        "current_price": 5.0,
        "market_cap": 1e9,
        "total_volume": 1e6,
        "market_cap_rank": 1,
        "last_updated": "2024-06-01T05:01:40.000Z",
    }
    return [{"id": i, **entry, **(changes if i == "ethereum" else {})} for i in ("bitcoin", "ethereum", "ripple")]


def tick(body: Any) -> Fetched:
    now = datetime(2024, 6, 1, 5, 2, tzinfo=UTC)
    have = {coin: set(coingecko_today.marks(now.date(), now)[:-1]) for coin in ("BTC", "ETH", "XRP")}
    with serve(lambda _: body) as server:
        return fetch(
            lambda c: coingecko_today.fetch_today(
                c, server.settings(**PRO), select("BTC,ETH,XRP"), now.date(), now, have
            )
        )


@pytest.mark.parametrize(
    ("name", "column"),
    [("market_cap", "market_cap_usd"), ("total_volume", "volume_24h_usd"), ("market_cap_rank", "rank")],
)
@pytest.mark.parametrize("value", [-1, "n/a"])
def test_a_bad_cell_of_a_page_is_null_and_the_price_stored(name: str, column: str, value: Any) -> None:
    found = tick(page(**{name: value}))
    assert set(found.frame["symbol"]) == {"BTC", "ETH", "XRP"}
    assert [(one.subject, one.column) for one in found.set_aside] == [("ETH", column)]


@pytest.mark.parametrize("changes", [{"current_price": 0}, {"current_price": "x"}, {"last_updated": "soon"}])
def test_a_bad_price_of_a_page_fails_its_coin_alone(changes: dict[str, Any]) -> None:
    found = tick(page(**changes))
    assert set(found.frame["symbol"]) == {"BTC", "XRP"} and set(found.failed) == {"ETH"}


def test_an_entry_that_nobody_asked_for_is_set_aside() -> None:
    found = tick([*page(), {"id": "elsewhere", "current_price": 1}, "text"])
    assert len(found.frame) == 3 and sum(one.count for one in found.set_aside) == 2


BARS = [route for route in ROUTES if route.table in ("ohlc", "kraken_ohlc")] + [ROUTES[0]]


@pytest.mark.parametrize("route", BARS, ids=lambda route: route.name)
def test_every_row_of_an_answer_is_a_row_is_set_aside_or_is_surplus(route: Route) -> None:
    """Nothing disappears without a count, whatever is wrong with some of the rows."""
    good = route.good(Request("", {"startTime": "0"}, {}))
    total = len(route.rows(good))

    @given(
        st.lists(
            st.tuples(st.integers(0, total - 1), st.sampled_from([0, -1, "x", None, True, "1e999", 10**30])), max_size=8
        )
    )
    @hypothesis_settings(max_examples=40, deadline=None)
    def check(edits: list[tuple[int, Any]]) -> None:
        body = copy.deepcopy(good)
        rows = route.rows(body)
        for n, value in edits:
            rows[n][route.value if n % 2 else route.time] = value
        found = asyncio.run(
            route.fetch(
                Canned(lambda r: copy.deepcopy(body) if int(r.query.get("startTime", 0)) <= 1704153600000 else []),
                config(route.env),
            )
        )
        aside = sum(one.count for one in found.set_aside if not one.column)
        spare = sum(n for reason, n in found.surplus.items() if "beside no row" not in reason)
        assert len(found.frame) + aside + spare == total, (found.set_aside, found.surplus)

    check()


def test_a_broken_envelope_is_refused_whole() -> None:
    with pytest.raises(SourceError, match="nothing was written"):
        prices(lambda _: Reply({"prices": {"not": "a list"}}))
