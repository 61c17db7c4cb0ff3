"""CoinGecko: hour marks, windows, keys and refusals, over real sockets in the provider's wire format."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.catalog import by_symbol
from crypto_assets.errors import SourceError
from crypto_assets.sources import coingecko
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests.sources import parsed
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve, shared

BTC, ETH = by_symbol()["BTC"], by_symbol()["ETH"]
HOUR = timedelta(hours=1)
NOW = datetime(2024, 6, 1, tzinfo=timezone.utc)
DAY = date(2024, 1, 2)
PRO = {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "analyst"}


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def chart(first: datetime, hours: int, late: timedelta = timedelta(seconds=17), price: float = 100.0) -> dict:
    stamps = [ms(first + HOUR * n + late) for n in range(hours)]
    return {
        "prices": [[stamp, price + n] for n, stamp in enumerate(stamps)],
        "market_caps": [[stamp, 1e9] for stamp in stamps],
        "total_volumes": [[stamp, 0] for stamp in stamps],
    }


def answer(request: Request) -> Reply:
    """Hours as asked, one price an hour."""
    first = datetime.fromtimestamp(int(request.query["from"]), timezone.utc)
    hours = (int(request.query["to"]) + 1 - int(request.query["from"])) // 3600
    return Reply(chart(first, hours))


def prices(server, coins=(BTC,), start=DAY, end=DAY, now=NOW, **env):
    return fetch(lambda client: coingecko.fetch_prices(client, server.settings(**env), coins, start, end, now))


def test_a_point_is_its_hour_mark_and_known_when_it_was_seen() -> None:
    with serve(answer) as server:
        frame = prices(server).frame
    assert len(frame) == 24
    first = frame.iloc[0]
    assert first["ts"] == datetime(2024, 1, 2, tzinfo=timezone.utc)
    assert first["available_at"] == first["ts"] + timedelta(seconds=17)
    assert first["market_cap_usd"] == 1e9
    assert frame["volume_24h_usd"].isna().all(), "0 is the provider's placeholder"
    CONTRACTS["prices"].validate(frame)


def test_five_minutely_answers_give_the_point_on_the_mark() -> None:
    start = datetime(2024, 1, 2, tzinfo=timezone.utc)
    stamps = [ms(start + timedelta(minutes=5 * n, seconds=3)) for n in range(288)]
    body = {"prices": [[stamp, 1 + n] for n, stamp in enumerate(stamps)], "market_caps": [], "total_volumes": []}
    with serve(lambda _: body) as server:
        frame = prices(server).frame
    assert list(frame["price_usd"]) == [1 + 12 * n for n in range(24)]


def test_a_late_point_is_its_hours_row_and_known_from_its_own_instant() -> None:
    body = chart(datetime(2024, 1, 2, tzinfo=timezone.utc), 24)
    for series in body.values():
        series[5][0] += 40 * 60 * 1000  # 05:40:17
    with serve(lambda _: body) as server:
        frame = prices(server).frame
    assert len(frame) == 24
    late = frame.iloc[5]
    assert late["available_at"] - late["ts"] == timedelta(minutes=40, seconds=17)


@pytest.mark.parametrize(
    "literal",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "9" * 400,
        "9" * 5000,
        '"1_000"',
        '"\u0661\u0662"',
        '"\u22125"',
        "true",
        "{}",
        "[1]",
    ],
)
def test_a_cell_that_is_no_number_costs_its_own_hour_even_where_it_is_no_json(literal: str) -> None:
    """Python's own json writes NaN; a whole answer must not be refused for good because of one of its cells."""
    body = json.dumps(chart(datetime(2024, 1, 2, tzinfo=timezone.utc), 24, price=0.5)).replace("5.5]", f"{literal}]", 1)
    with serve(lambda _: Reply(body.encode())) as server:
        found = prices(server)
    assert list(found.frame["price_usd"]) == [0.5 + n for n in range(24) if n != 5]
    assert sum(record.count for record in found.set_aside) + found.surplus.get("no price at the instant", 0) == 1


@pytest.mark.parametrize(
    ("offsets", "beside"),
    [
        ([-3 if hour % 24 == 0 else 20 for hour in range(97)], 0),  # the clock runs ahead at midnight
        ([-3 if hour % 24 in (22, 23, 0) else 20 for hour in range(97)], 0),  # and in the hours before
        ([(hour * 7919) % 26 - 5 for hour in range(97)], 0),
        ([3598] * 96, 4),  # market caps stamped some seconds after their price: in the next day
    ],
)
def test_points_around_midnight_give_the_same_rows_in_one_run_and_day_by_day(offsets: list[int], beside: int) -> None:
    first = datetime(2024, 1, 2, tzinfo=timezone.utc)
    stamps = [ms(first + HOUR * n) + 1000 * late for n, late in enumerate(offsets)]

    def asked(request: Request) -> Reply:
        low, high = int(request.query["from"]) * 1000, int(request.query["to"]) * 1000 + 999
        series = {"prices": 0, "market_caps": 1000 * beside, "total_volumes": 0}
        given = {name: [[at + more, 1e9 + n] for n, at in enumerate(stamps)] for name, more in series.items()}
        return Reply({name: [point for point in points if low <= point[0] <= high] for name, points in given.items()})

    with serve(asked) as server:
        whole = prices(server, end=DAY + 3 * timedelta(days=1))
        days = [prices(server, start=day, end=day) for day in (DAY + n * timedelta(days=1) for n in range(4))]
    pd.testing.assert_frame_equal(whole.frame, pd.concat([day.frame for day in days], ignore_index=True))
    assert sum(whole.surplus.values()) == sum(sum(day.surplus.values()) for day in days)


def test_paid_plans_ask_100_days_free_ones_90_with_automatic_granularity() -> None:
    start, end = date(2023, 1, 1), date(2023, 7, 19)  # 200 days
    with serve(answer) as server:
        assert len(prices(server, start=start, end=end, **PRO).frame) == 200 * 24
        paid = [request.query for request in server.requests]
        server.requests.clear()
        assert len(prices(server, start=start, end=end).frame) == 200 * 24
        free = [request.query for request in server.requests]
    assert len(paid) == 2
    assert {query["interval"] for query in paid} == {"hourly"}
    assert len(free) == 3
    assert all("interval" not in query for query in free)
    assert all(int(query["to"]) - int(query["from"]) < 90 * 86_400 for query in free)


def test_daily_points_are_not_hours() -> None:
    days = [ms(datetime(2024, 1, 2, tzinfo=timezone.utc) + timedelta(days=n)) for n in range(5)]
    body = {"prices": [[stamp, 1.0] for stamp in days]}
    with serve(lambda _: body) as server, pytest.raises(SourceError, match="daily points"):
        prices(server, end=date(2024, 1, 6))


@pytest.mark.parametrize(
    ("plan", "header"), [("demo", "x-cg-demo-api-key"), ("analyst", "x-cg-pro-api-key"), ("basic", "x-cg-pro-api-key")]
)
def test_the_key_travels_in_the_header_of_its_plan_and_nowhere_else(plan: str, header: str) -> None:
    with serve(answer) as server:
        prices(server, COINGECKO_API_KEY="planted", COINGECKO_PLAN=plan)
    (request,) = server.requests
    assert request.headers[header] == "planted"
    assert "planted" not in json.dumps(request.query) + request.path


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("400_10010_pro_key_on_demo_host", 400, "COINGECKO_PLAN"),
        ("400_10011_demo_key_on_pro_host", 400, "COINGECKO_PLAN=demo"),
        ("401_10002_key_missing", 401, "COINGECKO_API_KEY"),
        ("401_10005_pro_only", 401, "plan does not include"),
        ("401_10012_range_over_365d", 401, "older than the plan's history"),
    ],
)
def test_recorded_refusals_say_what_to_change(name: str, status: int, words: str) -> None:
    body = shared("wire", "coingecko", "errors", f"{name}.json").read_bytes()
    with serve(lambda _: Reply(body, status)) as server:
        with pytest.raises(SourceError, match=words) as caught:
            prices(server)
        assert len(server.requests) == 1, "a refusal is not retried"
    assert "BTC" in str(caught.value)


def test_a_coin_it_does_not_know_any_more_fails_by_name_and_the_others_are_there() -> None:
    def some(request: Request) -> Reply:
        return Reply({"error": "coin not found"}, 404) if "/ethereum/" in request.path else answer(request)

    with serve(some) as server:
        fetched = prices(server, coins=(BTC, ETH))
    assert set(fetched.frame["symbol"]) == {"BTC"}
    assert "correct the catalogue" in fetched.failed["ETH"]
    assert "ETH" not in fetched.missing


def test_a_coin_whose_later_requests_are_empty_fails_by_name_beside_its_rows() -> None:
    """A retired identifier keeps its history: of a year asked in four requests, two are empty."""
    began = date(2023, 1, 1)

    def half(request: Request) -> Reply:
        retired = "bitcoin" in request.path and int(request.query["from"]) > ms(datetime(2023, 5, 1)) // 1000
        return Reply({"prices": [], "market_caps": [], "total_volumes": []}) if retired else answer(request)

    with serve(half) as server:
        found = prices(server, coins=(BTC, ETH), start=began, end=date(2023, 12, 31), **PRO)
        late = prices(server, coins=(BTC, ETH), start=date(2023, 12, 1), end=date(2023, 12, 31), **PRO)
    assert found.frame.groupby("symbol").size().to_dict() == {"BTC": 200 * 24, "ETH": 365 * 24}
    assert list(found.failed) == list(late.failed) == ["BTC"] and found.missing == {}
    assert "from 2023-07-20 to 2023-12-31" in found.failed["BTC"] and "retired" in late.failed["BTC"]


def test_a_day_without_any_point_is_a_short_answer() -> None:
    body = chart(datetime(2024, 1, 2, tzinfo=timezone.utc), 24)
    with serve(lambda _: body) as server, pytest.raises(SourceError, match="2024-01-03"):
        prices(server, end=date(2024, 1, 3))


@pytest.mark.parametrize(
    "points",
    [
        [[1704153600, 1.0]],  # seconds
        [[1704153600000, -1.0]],
        [[1704153600000, 0]],
        [[1704153600000, "abc"]],
        [[1704153600000]],
        ["row"],
        {"not": "a list"},
    ],
)
def test_wrong_values_are_refused(points) -> None:
    with serve(lambda _: {"prices": points}) as server, pytest.raises(SourceError, match="nothing was written"):
        prices(server)


def test_recorded_chart_parses_to_what_it_says() -> None:
    body = json.loads(shared("wire", "coingecko", "coins_market_chart_range.json").read_text())
    points = parsed.market_chart(body, "BTC")
    by_hour = {}
    for row, cap, volume in zip(body["prices"], body["market_caps"], body["total_volumes"], strict=True):
        by_hour.setdefault(row[0] // 3_600_000, (row[1], cap[1], volume[1]))
    assert {ms(point[0]) // 3_600_000: point[2:] for point in points} == by_hour
    assert len(by_hour) == 3


def test_recorded_markets_parse_to_what_they_say() -> None:
    body = shared("wire", "coingecko", "coins_markets.json").read_bytes()
    with serve(lambda _: Reply(body)) as server:
        fetched = fetch(lambda client: coingecko.fetch_markets(client, server.settings(), (BTC, ETH)))
    (row,) = fetched.frame.to_dict("records")
    assert (row["symbol"], row["price_usd"], row["market_cap_usd"], row["rank"]) == ("BTC", 70187, 1381651251183, 1)
    assert str(row["available_at"]) == "2024-04-07 16:49:31.736000+00:00"
    assert fetched.missing == {"ETH": "no price"}


def test_candles_are_stamped_with_their_open_and_asked_31_days_a_call() -> None:
    def candles(request: Request) -> list:
        first, last = int(request.query["from"]), int(request.query["to"])
        return [[close * 1000, 10, 12, 9, 11] for close in range(first + 3600, last + 1, 3600)]

    with serve(candles) as server:
        rows = fetch(
            lambda client: coingecko.fetch_ohlc(
                client, server.settings(**PRO), BTC, date(2024, 1, 1), date(2024, 2, 29), NOW
            )
        ).rows
        assert len(server.requests) == 2
    assert len(rows) == 60 * 24
    assert rows[0][0] == datetime(2024, 1, 1, tzinfo=timezone.utc)
    assert rows[0][1:6] == (10, 12, 9, 11, None), "CoinGecko's candles have no volume"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON | st.fixed_dictionaries({"prices": JSON, "market_caps": JSON, "total_volumes": JSON}))
def test_any_json_is_points_or_our_error(body) -> None:
    try:
        points = parsed.market_chart(body, "fuzz")
    except SourceError:
        return
    assert all(price > 0 and ts.minute == 0 for ts, _, price, _, _ in points)
