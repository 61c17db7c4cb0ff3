"""Hourly bars from Binance, Kraken and CoinGecko: preference, windows, unfinished bars, refusals."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.catalog import Coin, by_symbol
from crypto_assets.errors import NotListedError, SourceError
from crypto_assets.sources import kraken, ohlc
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests.sources import parsed
from crypto_assets_tests.sources.test_coingecko import JSON
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve, shared

BTC = by_symbol()["BTC"]
DAY = date(2024, 1, 2)
START = datetime(2024, 1, 2, tzinfo=timezone.utc)
NOW = datetime(2024, 6, 1, tzinfo=timezone.utc)


def kline(opened: datetime, **changes: str) -> list:
    row = {"open": "10", "high": "12", "low": "9", "close": "11", "volume": "5.5", **changes}
    stamp = int(opened.timestamp() * 1000)
    return [stamp, *row.values(), stamp + 3_599_999, "60", 100, "0", "0", "0"]


def klines(request: Request) -> list:
    """Binance: hours from startTime to endTime, at most limit."""
    first, last = int(request.query["startTime"]), int(request.query["endTime"])
    hours = range(-(-first // 3_600_000) * 3_600_000, last + 1, 3_600_000)
    return [kline(datetime.fromtimestamp(h / 1000, timezone.utc)) for h in hours][: int(request.query["limit"])]


def candles(first: datetime, count: int) -> dict:
    rows = [[int(first.timestamp()) + 3600 * n, "10", "12", "9", "11", "10.5", "7", 3] for n in range(count)]
    return {"error": [], "result": {"XXBTZUSD": rows, "last": rows[-2][0] if len(rows) > 1 else 0}}


def bars(server, coins: tuple[Coin, ...] = (BTC,), start=DAY, end=DAY, now=NOW, **env):
    return fetch(lambda client: ohlc.fetch_ohlc(client, server.settings(**env), coins, start, end, now))


def test_pages_of_a_thousand_to_the_last_partial_one() -> None:
    with serve(klines) as server:
        frame = bars(server, start=date(2024, 1, 1), end=date(2024, 3, 31)).frame
        assert len(server.requests) == 3
    assert len(frame) == 91 * 24
    assert frame["ts"].is_unique
    assert set(frame["source"]) == {"binance_usdt"}
    CONTRACTS["ohlc"].validate(frame)


def test_the_bar_in_progress_is_not_a_bar() -> None:
    with serve(klines) as server:
        frame = bars(server, now=START + timedelta(hours=5, minutes=30)).frame
    assert frame["ts"].max() == START + timedelta(hours=4)
    assert (frame["available_at"] - frame["ts"] == timedelta(hours=1)).all()


def test_the_first_source_that_lists_the_coin_gives_all_its_bars() -> None:
    def answer(request: Request) -> Reply | dict:
        if "klines" in request.path:
            return Reply({"code": -1121, "msg": "Invalid symbol."}, 400)
        return candles(START, 25)

    with serve(answer) as server:
        assert set(bars(server).frame["source"]) == {"kraken"}
        assert set(bars(server, OHLC_SOURCES="kraken").frame["source"]) == {"kraken"}
        with pytest.raises(SourceError, match="no row for 2024-01-02"):
            bars(server, OHLC_SOURCES="coingecko")  # hourly candles need a paid plan there


def test_a_source_that_fails_does_not_hand_over() -> None:
    """Else the bars of one coin would change their venue with the weather."""

    def answer(request: Request) -> Reply | dict:
        return Reply(b"", 403) if "klines" in request.path else candles(START, 25)

    with serve(answer) as server, pytest.raises(SourceError, match="binance"):
        bars(server)


IMPOSSIBLE = [
    ({"high": "10.5"}, "high or low inside open and close"),
    ({"low": "10.5"}, "high or low inside open and close"),
    ({"open": "0"}, "price is not above zero"),
    ({"close": "-1"}, "price is not above zero"),
    ({"close": "x"}, "price is not a number"),
    ({"close": "1e999"}, "price is not a number"),
    ({"open": "0", "high": "0", "low": "0", "close": "0", "volume": "0"}, "price is not above zero"),
]


@pytest.mark.parametrize(("changes", "reason"), IMPOSSIBLE)
def test_an_impossible_bar_is_set_aside_by_name_and_the_rest_stored(changes: dict[str, str], reason: str) -> None:
    rows = [kline(START + timedelta(hours=n), **(changes if n == 3 else {})) for n in range(24)]
    with serve(lambda _: rows) as server:
        found = bars(server)
    assert sorted(found.frame["ts"].dt.hour) == [n for n in range(24) if n != 3]
    (record,) = found.set_aside
    assert (record.subject, record.day, record.reason, record.column, record.count) == ("BTC", DAY, reason, "", 1)


@pytest.mark.parametrize("volume", ["-1", "x", "1e999"])
def test_an_impossible_volume_is_null_and_its_bar_stored(volume: str) -> None:
    rows = [kline(START + timedelta(hours=n), **({"volume": volume} if n == 3 else {})) for n in range(24)]
    with serve(lambda _: rows) as server:
        found = bars(server)
    assert list(found.frame["volume"].isna()) == [n == 3 for n in range(24)]
    ((subject, column, count),) = [(one.subject, one.column, one.count) for one in found.set_aside]
    assert (subject, column, count) == ("BTC", "volume", 1)


@pytest.mark.parametrize(("changes", "reason"), IMPOSSIBLE)
def test_an_answer_of_impossible_bars_is_refused_and_says_what_must_change(
    changes: dict[str, str], reason: str
) -> None:
    rows = [kline(START + timedelta(hours=n), **(changes if n > 3 else {})) for n in range(24)]
    with serve(lambda _: rows) as server, pytest.raises(SourceError, match="nothing was written") as caught:
        bars(server)
    assert reason in str(caught.value) and "20 of 24" in str(caught.value)
    assert "would have to give" in str(caught.value)


@pytest.mark.parametrize(("minutes", "hours"), [(9 * 60, 9), (9 * 60 + 59, 9), (10 * 60, 10), (20 * 60, 10)])
def test_the_clock_says_which_of_krakens_candles_are_finished(minutes: int, hours: int) -> None:
    """Not their place in the list: the newest finished one is not cut where Kraken has not begun the next."""
    with serve(lambda _: candles(START - timedelta(hours=2), 12)) as server:
        found = bars(server, OHLC_SOURCES="kraken", now=START + timedelta(minutes=minutes))
        same = fetch(
            lambda c: kraken.fetch_kraken(c, server.settings(), (BTC,), DAY, DAY, START + timedelta(minutes=minutes))
        )
    for one in (found, same):
        assert list(one.frame["ts"].dt.hour) == list(range(hours))
        unfinished = {"unfinished bar": 10 - hours} if hours < 10 else {}
        assert one.surplus == {"outside the window": 2, **unfinished}


@pytest.mark.parametrize("name", ["invalid_arguments", "rate_limit", "throttled", "unknown_pair"])
def test_krakens_envelope_of_errors_comes_with_http_200(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = shared("wire", "kraken", "errors", f"{name}.json").read_bytes()
    monkeypatch.setattr(kraken, "PAUSE_S", 0.01)
    with serve(lambda _: Reply(body)) as server:
        with pytest.raises(SourceError) as caught:
            fetch(lambda client: kraken.fetch_ohlc(client, server.settings(), BTC, DAY, DAY, NOW))
        calls = len(server.requests)
    assert isinstance(caught.value, NotListedError) == (name == "unknown_pair")
    assert calls == (kraken.ATTEMPTS if name in ("rate_limit", "throttled") else 1)
    assert (
        "EA" in str(caught.value) or "EG" in str(caught.value) or "EQ" in str(caught.value) or "ES" in str(caught.value)
    )


PASSING = (
    "EService:Unavailable", "EService:Busy", "EService:Timeout", "EService:Deadline elapsed",
    "EService:Market in cancel_only mode", "EService:Market in post_only mode", "EGeneral:Too many requests",
    "EGeneral:Internal error", "EGeneral:Temporary lockout", "EGeneral:Unknown error", "EAPI:Rate limit exceeded",
    "EDatabase:Internal error", "EOrder:Rate limit exceeded",
)  # fmt: skip
LASTING = (
    "EGeneral:Invalid arguments", "EGeneral:Invalid arguments:ordertype", "EGeneral:Permission denied", "EGeneral:Unknown method",
    "EAPI:Invalid key", "EAPI:Feature disabled", "EQuery:Unknown asset pair", "EFunding:Unknown asset",
)  # fmt: skip


def kraken_once(error: list[str], times: int, result: bool = False) -> tuple[object, int]:
    """(rows or the error, requests) where the first answers hold these errors."""
    left = [times]

    def answer(_: Request) -> dict:
        left[0] -= 1
        good = candles(START, 25)
        return good if left[0] < 0 else {**(good if result else {}), "error": error}

    with serve(answer) as server:
        try:
            found: object = len(
                fetch(
                    lambda c: kraken.fetch_kraken(c, server.settings(), (BTC,), DAY, DAY, START + timedelta(hours=24))
                ).frame
            )
        except SourceError as caught:
            found = caught
        return found, len(server.requests)


@pytest.mark.parametrize("error", PASSING)
def test_what_passes_at_kraken_is_tried_again(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kraken, "PAUSE_S", 0.01)
    assert kraken_once([error], 1) == (24, 2)
    assert kraken_once(["WGeneral:Notice", error], 1) == (24, 2)


@pytest.mark.parametrize("error", LASTING)
def test_what_lasts_at_kraken_is_refused_at_once(error: str) -> None:
    found, asked = kraken_once([error], 9)
    assert isinstance(found, SourceError) and error[:20] in str(found) and asked == 1


@pytest.mark.parametrize("warnings", [["WGeneral:Deprecated parameter"], ["WApi:Slow", "WGeneral:Notice"]])
def test_warnings_beside_a_whole_result_are_the_result(warnings: list[str]) -> None:
    assert kraken_once(warnings, 9, result=True) == (24, 1)


@pytest.mark.parametrize("name", ["ohlc_60m"])
def test_recorded_candles_parse_to_what_they_say(name: str) -> None:
    body = json.loads(shared("wire", "kraken", f"{name}.json").read_text())
    rows = body["result"]["XXBTZUSD"]
    found = parsed.candles(body, "BTC", datetime.fromtimestamp(rows[-1][0], timezone.utc))
    assert [(int(ts.timestamp()), o, h, low, c, v) for ts, o, h, low, c, _, v, _ in found] == [
        (row[0], *map(float, row[1:5]), float(row[6])) for row in rows[:-1]
    ]


@given(JSON | st.lists(st.lists(JSON, min_size=7, max_size=9), max_size=3))
def test_any_json_is_bars_or_our_error(body) -> None:
    for parse in (parsed.klines, parsed.candles):
        try:
            found = parse(body, "fuzz")
        except SourceError:
            continue
        assert all(min(row[1:5]) > 0 for row in found)


@given(st.lists(st.lists(JSON, min_size=8, max_size=8), max_size=3))
def test_any_kraken_rows_are_bars_or_our_error(rows) -> None:
    try:
        found = parsed.candles({"error": [], "result": {"XXBTZUSD": rows}}, "fuzz")
    except SourceError:
        return
    assert all(min(row[1:5]) > 0 for row in found)
