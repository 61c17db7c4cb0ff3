"""Coin Metrics over real sockets: pages, absent metrics, completion times, unknown assets, every way to be wrong."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_assets.catalog import Coin, by_symbol
from crypto_assets.errors import SourceError
from crypto_assets.sources import coinmetrics
from crypto_assets.sources.fetched import Fetched
from crypto_assets.tables.schemas import COINMETRICS_METRICS, COINMETRICS_PAID, ONCHAIN_BASE
from crypto_assets_tests.sources.wire_server import Reply, Request, Server, fetch, serve, shared

OPEN = [metric for metric in COINMETRICS_METRICS.values() if metric not in COINMETRICS_PAID]
BTC, ETH = by_symbol()["BTC"], by_symbol()["ETH"]
D1, D2, D3 = date(2021, 1, 1), date(2021, 1, 2), date(2021, 1, 3)
NOW = datetime(2021, 6, 1, 12, tzinfo=timezone.utc)


def at(day: date, hours: float = 0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc) + timedelta(hours=hours)


def row(asset: str, day: date, **metrics: Any) -> dict[str, Any]:
    return {"asset": asset, "time": f"{day}T00:00:00.000000000Z", **metrics}


def page(*rows: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    return {"data": list(rows), **({"next_page_token": token, "next_page_url": "http://elsewhere/"} if token else {})}


def get(
    server: Server, start: date = D1, end: date = D1, coins: tuple[Coin, ...] = (BTC,), now: datetime = NOW, **env: str
) -> Fetched:
    return fetch(lambda client: coinmetrics.fetch_onchain(client, server.settings(**env), coins, start, end, now))


def fails(body: Any, **more: Any) -> str:
    with serve(lambda request: body) as server, pytest.raises(SourceError) as error:
        get(server, **more)
    assert "\n" not in str(error.value) and "coinmetrics" in str(error.value)
    return str(error.value)


def test_numbers_are_the_providers_and_unknown_is_null():
    body = page(
        row(
            "btc", D1, PriceUSD="29374.1523", AdrActCnt="1001894", TxCnt=None, FeeTotUSD="", HashRate="NaN",
            TxTfrValAdjUSD="0", CapMrktCurUSD="546010213941.55273", AssetEODCompletionTime="1609561800",
        )
    )  # fmt: skip
    with serve(lambda request: body) as server:
        result = get(server)
    ONCHAIN_BASE.validate(result.frame)
    (one,) = result.frame.to_dict("records")
    assert (one["symbol"], one["date"], one["source"]) == ("BTC", D1, "coinmetrics")
    assert one["price_usd"] == 29374.1523 and one["active_addresses"] == 1001894.0
    assert one["market_cap_usd"] == 546010213941.55273 and one["transfer_volume_usd"] == 0.0
    for name in ("transaction_count", "fees_usd", "hash_rate", "realized_cap_usd"):
        assert pd.isna(one[name]), name
    assert one["available_at"] == datetime(2021, 1, 2, 4, 30, tzinfo=timezone.utc)  # 1609561800
    assert result.calls == 1 and len(result.digests) == 1 and len(result.digests[0]) == 64


def test_the_request_is_the_documented_one():
    with serve(lambda request: page(row("btc", D1, PriceUSD="1"), row("eth", D1, PriceUSD="2"))) as server:
        get(server, coins=(BTC, ETH))
        (request,) = server.requests
    assert request.path == "/v4/timeseries/asset-metrics"
    assert request.query["metrics"].split(",") == [*OPEN, "AssetEODCompletionTime"]
    assert {name: value for name, value in request.query.items() if name != "metrics"} == {
        "assets": "btc,eth", "frequency": "1d", "start_time": "2021-01-01", "end_time": "2021-01-01",
        "page_size": "10000", "paging_from": "start",
        "ignore_unsupported_errors": "true", "ignore_forbidden_errors": "true",
    }  # fmt: skip


def test_transfers_of_large_value_are_asked_for_with_a_key_only() -> None:
    body = page(row("btc", D1, PriceUSD="29374.1", TxTfrValAbUSD1MCnt="4211", AssetEODCompletionTime="1609561800"))
    for env, value in (({}, None), ({"COINMETRICS_API_KEY": "planted"}, 4211.0)):
        seen: list[Request] = []

        def answer(request: Request, seen: list[Request] = seen, paid: bool = value is not None) -> Any:
            seen.append(request)
            return body if paid else page(row("btc", D1, PriceUSD="29374.1", AssetEODCompletionTime="1609561800"))

        with serve(answer) as server:
            rows = ONCHAIN_BASE.validate(get(server, **env).frame)
        assert ("TxTfrValAbUSD1MCnt" in seen[0].query["metrics"]) == (value is not None)
        assert rows["transfers_above_1m_usd"].to_list() == [value]


def test_pages_are_followed_to_the_last_partial_one():
    rows = [
        row(asset, day, TxCnt=str(n))
        for n, (asset, day) in enumerate((a, d) for a in ("btc", "eth") for d in (D1, D2, D3))
    ]
    pages = {None: page(*rows[:2], token="t1"), "t1": page(*rows[2:4], token="t2"), "t2": page(*rows[4:5], token="t3"),
             "t3": page(rows[5])}  # fmt: skip
    with serve(lambda request: pages[request.query.get("next_page_token")]) as server:
        result = get(server, D1, D3, (BTC, ETH))
        assert all(request.query["assets"] == "btc,eth" for request in server.requests)
    assert list(result.frame["transaction_count"]) == [0, 1, 2, 3, 4, 5]
    assert list(result.frame["symbol"]) == ["BTC"] * 3 + ["ETH"] * 3
    assert result.calls == 4 and len(result.digests) == 4


def test_an_empty_last_page_ends_too():
    pages = {None: page(row("btc", D1, TxCnt="1"), token="t1"), "t1": page()}
    with serve(lambda request: pages[request.query.get("next_page_token")]) as server:
        assert len(get(server).frame) == 1


def test_pages_that_repeat_are_an_error():
    assert "repeats its pages" in fails(page(row("btc", D1, TxCnt="1"), token="same"))
    count = iter(range(10_000))
    with serve(lambda request: page(row("btc", D1, TxCnt="1"), token=str(next(count)))) as server:
        with pytest.raises(SourceError, match="without end"):
            get(server)
        assert len(server.requests) < 10


@pytest.mark.parametrize(
    ("completed", "expected"),
    [
        (str(int(at(D2).timestamp())), at(D2)),  # the very end of the day
        (str(int(at(D2, 2).timestamp())), at(D2, 2)),
        (str(int(at(D2, 24 * 7).timestamp())), at(D2, 24 * 7)),
        (str(int(at(D2, 24 * 7).timestamp()) + 1), at(D2, 6)),  # a re-computation, much later
        (str(int(at(D2).timestamp()) - 1), at(D2, 6)),  # before the day was over
        (None, at(D2, 6)),
        ("soon", at(D2, 6)),
        ("1e300", at(D2, 6)),
        (int(at(D2, 2).timestamp()), at(D2, 2)),
    ],
)
def test_known_from_completion_or_from_the_lag(completed: Any, expected: datetime):
    with serve(lambda request: page(row("btc", D1, TxCnt="1", AssetEODCompletionTime=completed))) as server:
        assert list(get(server).frame["available_at"]) == [expected]


def test_when_we_ask_changes_nothing():
    with serve(lambda request: page(row("btc", D1, TxCnt="1"))) as server:
        early, late = get(server, now=at(D2, 1)), get(server, now=NOW)
    pd.testing.assert_frame_equal(early.frame, late.frame)


def test_a_row_with_none_of_the_metrics_is_no_row():
    body = page(row("btc", D1, TxCnt="1"), row("eth", D1, TxCnt=None, AssetEODCompletionTime="1609561800", Other="5"))
    with serve(lambda request: body) as server:
        result = get(server, coins=(BTC, ETH))
    assert list(result.frame["symbol"]) == ["BTC"]
    assert "no row" in result.missing["ETH"]


def unknown(asset: str) -> Reply:
    text = f"Bad parameter 'assets'. Value '{asset}' is not supported."
    return Reply({"error": {"type": "bad_parameter", "message": text}}, 400)


def test_an_asset_the_provider_does_not_know_is_left_out():
    def answer(request: Request) -> Any:
        return unknown("eth") if "eth" in request.query["assets"].split(",") else page(row("btc", D1, TxCnt="1"))

    with serve(answer) as server:
        result = get(server, coins=(ETH, BTC))
    assert list(result.frame["symbol"]) == ["BTC"] and "does not know" in result.missing["ETH"]
    assert result.calls == 2


def test_other_refusals_are_errors():
    assert "400" in fails(unknown("not-asked"))
    assert "403" in fails(Reply({"error": {"type": "forbidden", "message": "no"}}, 403))
    assert "not supported" in fails(
        Reply(
            {"error": {"type": "bad_parameter", "message": "Bad parameter 'metrics'. Value 'x' is not supported."}}, 400
        )
    )


def test_a_coin_without_a_name_there_is_missing_and_costs_no_call():
    nameless = Coin("ZZZ", "Zzz", None, None, None, None, None, None, None, None, "other", (), False, False)
    with serve(lambda request: page()) as server:
        result = get(server, coins=(nameless,))
        assert server.requests == []
    assert result.missing == {"ZZZ": "coinmetrics does not list it"} and ONCHAIN_BASE.validate(result.frame).is_empty()


def test_many_coins_go_in_several_requests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coinmetrics, "BATCH", 1)
    with serve(lambda request: page(row(request.query["assets"], D1, TxCnt="1"))) as server:
        result = get(server, coins=(BTC, ETH))
    assert list(result.frame["symbol"]) == ["BTC", "ETH"] and result.calls == 2


def test_the_day_in_progress_is_not_asked_for():
    with serve(lambda request: page(row("btc", D1, TxCnt="1"), row("btc", D2, TxCnt="2"))) as server:
        result = get(server, D1, D2, now=at(D2, 23))
        assert server.requests[0].query["end_time"] == "2021-01-01"
        assert list(result.frame["date"]) == [D1]
        assert get(server, D2, D2, now=at(D2, 23)).frame.empty and len(server.requests) == 1


def test_short_answers_are_errors():
    assert "no row" in fails(page())
    assert "2021-01-02" in fails(page(row("btc", D1, TxCnt="1"), row("btc", D3, TxCnt="3")), start=D1, end=D3)
    assert "not published" in fails(page(row("btc", D1, TxCnt="1")), start=D1, end=D2, now=at(D3, 1))


def test_the_same_row_twice_is_one_and_two_truths_are_none():
    same = row("btc", D1, TxCnt="1")
    with serve(lambda request: page(same, same)) as server:
        assert len(get(server).frame) == 1
    two = page(
        row("btc", D1, TxCnt="1", FeeTotUSD="5", AssetEODCompletionTime=str(int(at(D2, 1).timestamp()))),
        row("btc", D1, TxCnt="2", FeeTotUSD="5", AssetEODCompletionTime=str(int(at(D2, 2).timestamp()))),
        row("btc", D1, TxCnt="1", HashRate="7"),
    )
    with serve(lambda request: two) as server:
        result = get(server)
    (one,) = result.frame.to_dict("records")
    assert pd.isna(one["transaction_count"]) and one["fees_usd"] == 5 and one["hash_rate"] == 7
    assert one["available_at"] == at(D2, 6), "known when the latest of them was"
    assert [(r.subject, r.day, r.column, r.reason, r.example) for r in result.set_aside] == [
        ("BTC", D1, "transaction_count", "given twice with different values", "1 and 2")
    ]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (page(row("btc", D1, FeeTotUSD="-5")), "fees_usd of BTC on 2021-01-01: below 0 (-5)"),
        (page(row("btc", D1, TxCnt="many")), "not a number"),
        (page(row("doge", D1, TxCnt="1")), "not asked for"),
        (page({"asset": "btc", "time": "2021-01-01T01:00:00.000000000Z", "TxCnt": "1"}), "its time cannot be read"),
        (page({"asset": "btc", "time": "2021-13-01T00:00:00.000000000Z", "TxCnt": "1"}), "its time cannot be read"),
        (page({"asset": "btc", "TxCnt": "1"}), "its time cannot be read"),
        ({"data": ["row"]}, "no object"),
        ({"data": {}}, "no data list"),
        ([], "no data list"),
        ({"data": [], "next_page_token": 5}, "next_page_token"),
        (Reply(b"<html>Just a moment</html>"), "HTML"),
        (Reply(b'{"data": ['), "malformed JSON"),
    ],
)
def test_wrong_answers_are_errors_of_one_sentence(body: Any, says: str):
    assert says in fails(body)


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"FeeTotUSD": "-0.0001"}, "below 0"),
        ({"FeeTotUSD": "null"}, "not a number"),
        ({"FeeTotUSD": "1_000"}, "not a number"),
        ({"FeeTotUSD": "inf"}, "not finite"),
        ({"FeeTotUSD": True}, "not a number"),
        ({"FeeTotUSD": ["1"]}, "not a number"),
        ({"FeeTotUSD": 10**400}, "too large for a number"),
    ],
)
def test_one_bad_value_is_one_null_cell(metrics: dict[str, Any], reason: str):
    body = page(
        row("btc", D1, TxCnt="1", FeeTotUSD="9"), row("btc", D2, TxCnt="2", **metrics), row("eth", D2, FeeTotUSD="3")
    )
    with serve(lambda request: body) as server:
        result = get(server, D1, D2, (BTC, ETH))
        assert get(server, D1, D1, (BTC, ETH)).set_aside == (), "another day than the one asked for"
    ONCHAIN_BASE.validate(result.frame)
    assert [None if pd.isna(v) else v for v in result.frame["fees_usd"]] == [9, None, 3]
    assert list(result.frame["transaction_count"].dropna()) == [1, 2]
    (record,) = result.set_aside
    assert (record.subject, record.day, record.column, record.reason) == ("BTC", D2, "fees_usd", reason)


def test_a_day_of_which_every_value_is_set_aside_was_given_all_the_same():
    body = page(row("btc", D1, TxCnt="1"), row("btc", D2, TxCnt="-1"), row("btc", D3, TxCnt="3"))
    with serve(lambda request: body) as server:
        result = get(server, D1, D3)
    assert list(result.frame["date"]) == [D1, D3]
    assert [(r.day, r.column) for r in result.set_aside] == [(D2, "transaction_count")]


@pytest.mark.parametrize(
    ("bad", "subject", "reason"),
    [
        (row("doge", D2, TxCnt="1"), "doge", "of an asset that was not asked for"),
        ({"asset": "btc", "time": "2021-01-02T01:00:00Z", "TxCnt": "2"}, "BTC", "its time cannot be read"),
        ({"asset": "btc", "TxCnt": "2"}, "BTC", "its time cannot be read"),
        ("row", "coinmetrics", "the row is no object"),
    ],
)
def test_a_row_that_cannot_be_used_is_left_out_by_name(bad: Any, subject: str, reason: str):
    eth = row("eth", D2, TxCnt="9")
    with serve(lambda request: page(row("btc", D1, TxCnt="1"), bad, row("btc", D3, TxCnt="3"), eth)) as server:
        result = get(server, D1, D3, (BTC, ETH))
    assert list(result.frame["transaction_count"]) == [1, 3, 9]
    (record,) = result.set_aside
    assert (record.subject, record.reason, record.column) == (subject, reason, "")
    if reason == "its time cannot be read":
        assert record.day == D2, "the coin's day without a row"


def refusal(text: str, status: int) -> Reply:
    return Reply({"error": {"type": "bad_parameter", "message": text}}, status)


def test_a_retired_metric_is_named_and_asked_for_no_more():
    """The flags do not cover a metric that the provider no longer has: it refuses the whole request and names it."""

    def answer(request: Request) -> Any:
        asked = request.query["metrics"].split(",")
        if "FeeTotUSD" in asked:
            return refusal("Bad parameter 'metrics'. Value 'FeeTotUSD' is not supported.", 400)
        if "HashRate" in asked:
            return refusal("Metrics HashRate, NVTAdj are not available for your plan.", 403)
        return page(*(row(asset, day, TxCnt="1", HashRate="5") for asset in ("btc", "eth") for day in (D1, D2)))

    with serve(answer) as server:
        result = get(server, D1, D2, (BTC, ETH))
        kept = server.requests[-1].query["metrics"].split(",")
    assert len(result.frame) == 4 and result.calls == 3
    assert kept == [m for m in [*OPEN, "AssetEODCompletionTime"] if m not in ("FeeTotUSD", "HashRate", "NVTAdj")]  # fmt: skip
    assert "HTTP 400" in result.missing["FeeTotUSD"] and "HTTP 403" in result.missing["NVTAdj"]
    assert {(r.subject, r.day, r.column, r.reason) for r in result.set_aside} == {
        ("coinmetrics", day, column, "the provider refuses the metric")
        for day in (D1, D2)
        for column in ("fees_usd", "hash_rate", "nvt_provider")
    }


def test_a_metric_that_is_refused_for_one_coin_is_kept_for_the_others():
    """The recorded 403 names metric and asset: the other assets have it."""

    def answer(request: Request) -> Any:
        assets, metrics = (request.query[name].split(",") for name in ("assets", "metrics"))
        if "eth" in assets and "FeeTotUSD" in metrics:
            text = "Requested metric 'FeeTotUSD' with frequency '1d' for asset 'eth' is not available with supplied credentials."
            return refusal(text, 403)
        return page(*(row(asset, D1, TxCnt="1", **{m: "7" for m in metrics if m == "FeeTotUSD"}) for asset in assets))

    with serve(answer) as server:
        result = get(server, coins=(BTC, ETH))
    fees = dict(zip(result.frame["symbol"], result.frame["fees_usd"], strict=True))
    assert fees["BTC"] == 7 and pd.isna(fees["ETH"]) and len(result.frame) == 2
    assert [(r.subject, r.column) for r in result.set_aside] == [("ETH", "fees_usd")]
    assert "ETH FeeTotUSD" in result.missing


def test_without_the_completion_time_the_lag_holds():
    def answer(request: Request) -> Any:
        if "AssetEODCompletionTime" in request.query["metrics"]:
            return refusal("Bad parameter 'metrics'. Value 'AssetEODCompletionTime' is not supported.", 400)
        return page(row("btc", D1, TxCnt="1"))

    with serve(answer) as server:
        result = get(server)
    assert list(result.frame["available_at"]) == [at(D2, 6)] and "BTC AssetEODCompletionTime" in result.missing


def test_where_every_metric_is_refused_the_fetch_fails():
    text = f"Values {', '.join(COINMETRICS_METRICS.values())} are not supported."
    assert "400" in fails(refusal(text, 400))


def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture):
    key = "sEcReT/k+y=1"
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, logger="httpx")  # the command line, tested in the same process, raises it
    with serve(lambda request: page(row("btc", D1, TxCnt="1"))) as server:
        result = get(server, COINMETRICS_API_KEY=key)
        assert server.requests[0].query["api_key"] == key  # the only way the provider documents
    echo = Reply({"error": {"type": "wrong_credentials", "message": f"Key {key} is not valid."}}, 401)
    with serve(lambda request: echo) as server, pytest.raises(SourceError) as refused:
        get(server, COINMETRICS_API_KEY=key)
    with serve(lambda request: page()) as server:
        closed = server.settings(COINMETRICS_API_KEY=key)
    with pytest.raises(SourceError) as unreachable:
        fetch(lambda client: coinmetrics.fetch_onchain(client, closed, (BTC,), D1, D1, NOW))
    shown = [caplog.text, repr(result), str(refused.value), repr(refused.value), str(unreachable.value)]
    assert "api_key=***" in caplog.text
    assert not any("sEcReT" in text for text in shown)
    assert refused.value.status == 401


def test_a_sandbox_says_so():
    with serve(
        lambda request: Reply(page(row("btc", D1, TxCnt="1")), headers={"X-Crypto-Assets-Sandbox": "sandbox"})
    ) as server:
        assert list(get(server).frame["source"]) == ["sandbox/coinmetrics"]


def test_recorded_pages():
    first = shared("wire", "coinmetrics", "timeseries_asset_metrics_page1.json").read_bytes()
    final = shared("wire", "coinmetrics", "timeseries_asset_metrics_last_page.json").read_bytes()
    start, end = date(2020, 2, 29), date(2020, 3, 1)
    with serve(lambda request: Reply(final if "next_page_token" in request.query else first)) as server:
        result = get(server, start, end)
        assert (
            server.requests[1].query["next_page_token"] == "0.MjAyMC0wNi0wN1QwMDowMDowMFo,MjAyMC0wNi0wN1QwMDowMDowMFo"
        )
    assert list(result.frame["price_usd"]) == [8582.09029964933, 8541.77389392169]  # the repeated row is one
    assert list(result.frame["available_at"]) == [at(end, 6), at(date(2020, 3, 2), 6)]


def test_recorded_community_page():
    body = shared("wire", "coinmetrics", "community_price_page.json").read_bytes()
    with serve(lambda request: page() if "next_page_token" in request.query else Reply(body)) as server:
        result = get(server, date(2026, 1, 30), date(2026, 1, 31), now=at(date(2026, 2, 2)))
    assert list(result.frame["price_usd"]) == [84017.0340292227, 78702.38550263]


@pytest.mark.parametrize(
    ("name", "status"),
    [("400_bad_parameter", 400), ("401_unauthorized", 401), ("401_wrong_credentials", 401), ("403_forbidden", 403)],
)
def test_recorded_errors(name: str, status: int):
    body = shared("wire", "coinmetrics", "errors", f"{name}.json").read_bytes()
    assert str(status) in fails(Reply(body, status))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
ROW = st.fixed_dictionaries(
    {"asset": st.just("btc") | JSON, "time": st.just(f"{D1}T00:00:00.000000000Z") | JSON},
    optional={"PriceUSD": JSON, "TxCnt": JSON, "AssetEODCompletionTime": JSON},
)


@settings(max_examples=300, deadline=None)
@given(item=ROW | JSON)
def test_any_row_is_a_row_or_a_source_error(item: Any):
    try:
        parsed = coinmetrics.parse_row(item, {"btc": "BTC"}, "coinmetrics")
    except SourceError:
        return
    assert parsed is None or (parsed[0] == "BTC" and parsed[2] >= at(D2))


def test_any_body_gives_rows_or_a_source_error():
    bodies: list[Any] = []
    with serve(lambda request: bodies[-1]) as server:

        @settings(max_examples=60, deadline=None)
        @given(
            body=JSON | st.fixed_dictionaries({"data": st.lists(ROW, max_size=3)}, optional={"next_page_token": JSON})
        )
        def check(body: Any) -> None:
            bodies.append(body)
            try:
                assert not get(server).frame.empty
            except SourceError as error:
                assert "\n" not in str(error)

        check()
