"""Open interest over real sockets: daily files with their checksums, the API for the last month, Bybit for depth."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from crypto_assets.catalog import select
from crypto_assets.errors import SourceError
from crypto_assets.sources import binance_statistics, derivatives
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched
from crypto_assets.tables.schemas import OPEN_INTEREST
from crypto_assets_tests.sources.venues import DAY, HOUR, UTC, Venues, at, checksum, every, ms, packed
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve, shared

D1, D2, D3 = date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 3)
NOW = datetime(2024, 6, 10, 12, tzinfo=UTC)
STEP = timedelta(minutes=5)


def amount(label: datetime) -> float:
    return 90_000.0 + label.timestamp() % 86_400 / 300 + label.day


def file_of(contract: str, labels: list[datetime]) -> bytes:
    return packed(
        contract, [(f"{label:%Y-%m-%d %H:%M:%S}", amount(label), amount(label) * 100, 1.5, 0.9) for label in labels]
    )


def ends(day: date) -> list[datetime]:
    """The labels of a file while they were the ends of the 5 minutes: 00:05 to the next midnight."""
    return [at(day) + STEP * (n + 1) for n in range(288)]


def beginnings(day: date) -> list[datetime]:
    return [at(day) + STEP * n for n in range(288)]


@dataclass
class Archive:
    """Files by contract and day; ``wrong``: names whose checksum is another one, so many times; ``silent``: without one."""

    files: dict[str, bytes]
    wrong: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    shown: list[datetime] = field(default_factory=list)

    def __call__(self, request: Request) -> Any:
        name = request.path.rpartition("/")[2]
        if request.path.startswith("/binance-archive"):
            zipped = name.removesuffix(".CHECKSUM")
            body = self.files.get(zipped)
            if body is None or (name != zipped and zipped in self.silent):
                return Reply(b"<Error><Code>NoSuchKey</Code></Error>", 404)
            if name == zipped:
                return body
            if self.wrong.get(zipped, 0) > 0:
                self.wrong[zipped] -= 1
                return checksum(b"another file")
            return checksum(body)
        first, last = int(request.query["startTime"]), int(request.query["endTime"])
        labels = [label for label in self.shown if first <= ms(label) <= last]
        assert request.query["period"] == "5m" and len(labels) <= int(request.query["limit"])
        fields: dict[str, Callable[[datetime], float]] = {
            "openInterestHist": amount, "globalLongShortAccountRatio": lambda _: 1.5, "takerlongshortRatio": lambda _: 0.9,
        }  # fmt: skip
        names = {
            "openInterestHist": "sumOpenInterest",
            "globalLongShortAccountRatio": "longShortRatio",
            "takerlongshortRatio": "buySellRatio",
        }
        return [{names[name]: repr(fields[name](label)), "timestamp": str(ms(label))} for label in labels]


def name_of(contract: str, day: date) -> str:
    return f"{contract}-metrics-{day}.zip"


def archive(
    contract: str = "BTCUSDT", first: date = D1 - DAY, last: date = D3, labels: Any = ends, **more: Any
) -> Archive:
    days = [first + DAY * n for n in range((last - first).days + 1)]
    return Archive({name_of(contract, day): file_of(contract, labels(day)) for day in days}, **more)


def ask(answer: Callable[[Request], Any], coins: str = "BTC", start: date = D1, end: date = D3, now: datetime = NOW) -> tuple[Fetched, list[Request]]:  # fmt: skip
    with serve(answer) as server:
        settings = server.settings(DERIVATIVE_SOURCES="binance")
        found = fetch(lambda c: derivatives.fetch_open_interest(c, settings, select(coins), start, end, now))
        return found, server.requests


def rows(found: Fetched) -> pl.DataFrame:
    return OPEN_INTEREST.validate(found.frame)


def test_a_day_is_the_rows_of_its_hours_from_its_own_file_and_the_one_before() -> None:
    found, requests = ask(archive())
    got = rows(found)
    assert got["ts"].to_list() == every(1, at(D1), at(D3, 23))
    assert got["open_interest"].to_list() == [amount(ts) for ts in got["ts"]]
    assert got["open_interest_usd"].to_list() == [amount(ts) * 100 for ts in got["ts"]]
    assert set(got.select("long_short_ratio", "taker_buy_sell_ratio").rows()) == {(1.5, 0.9)}
    assert (got["available_at"] - got["ts"]).unique().to_list() == [timedelta(minutes=5)]
    assert len(requests) == 2 * 4, "a file and its checksum a day, and one day more"


def test_a_day_names_the_files_of_its_rows_however_long_the_fetch_is() -> None:
    files = {n: hashlib.sha256(file_of("BTCUSDT", ends(D1 + DAY * n))).hexdigest() for n in range(-1, 3)}
    long, short = ask(archive())[0], ask(archive(), end=D1)[0]
    assert long.digests == ()
    assert long.digests_of(D2) == sorted([files[0], files[1]]), "00:00 of a day is in the file of the day before"
    assert short.digests_of(D1) == long.digests_of(D1) == sorted([files[-1], files[0]])


def test_from_the_day_on_which_labels_became_beginnings_a_row_is_known_five_minutes_later() -> None:
    change, day = date(2026, 6, 25), timedelta(days=1)
    files = {name_of("BTCUSDT", one): file_of("BTCUSDT", ends(one)) for one in (change - 2 * day, change - day)}
    files |= {name_of("BTCUSDT", one): file_of("BTCUSDT", beginnings(one)) for one in (change, change + day)}
    found, _ = ask(Archive(files), start=change - day, end=change + day, now=at(change + 60 * day))
    got = rows(found)
    assert got["ts"].to_list() == every(1, at(change - day), at(change + day, 23))
    late = {
        ts: minutes // timedelta(minutes=1)
        for ts, minutes in got.select("ts", pl.col("available_at") - pl.col("ts")).rows()
    }
    assert {late[ts] for ts in late if ts < at(change)} == {5} and {late[ts] for ts in late if ts >= at(change)} == {10}


def test_a_contract_of_a_thousand_coins_is_counted_in_coins() -> None:
    found, _ = ask(archive("1000SHIBUSDT"), "SHIB")
    got = rows(found)
    assert got["open_interest"].to_list() == [amount(ts) * 1000 for ts in got["ts"]]
    assert got["open_interest_usd"].to_list() == [amount(ts) * 100 for ts in got["ts"]]


def test_a_file_that_does_not_match_its_checksum_is_set_aside_alone() -> None:
    found, requests = ask(archive(wrong={name_of("BTCUSDT", D2): 2}))
    got = rows(found)
    assert set(got["ts"]) == {ts for ts in every(1, at(D1), at(D3, 23)) if ts.date() != D2 or ts == at(D2)} - {at(D3)}
    assert [(r.day, r.reason) for r in found.set_aside] == [(D2, binance_statistics.MISMATCH)]
    assert sum(D2.isoformat() in request.path for request in requests) == 4, "asked for once more"


def test_a_day_of_which_every_file_is_lost_is_no_success() -> None:
    served = archive(last=D1, wrong={name_of("BTCUSDT", day): 9 for day in (D1 - DAY, D1)})
    with pytest.raises(SourceError, match=f"no row for {D1} .*{binance_statistics.MISMATCH}"):
        ask(served, start=D1, end=D1)


def test_a_file_that_is_being_replaced_is_asked_for_once_more() -> None:
    found, _ = ask(archive(wrong={name_of("BTCUSDT", D2): 1}))
    assert rows(found).height == 72 and not found.set_aside


def test_a_file_without_a_checksum_cannot_be_trusted_and_a_cut_one_cannot_be_read() -> None:
    found, _ = ask(archive(silent={name_of("BTCUSDT", D2)}))
    assert [record.reason for record in found.set_aside] == [binance_statistics.NO_CHECKSUM]
    held = archive()
    held.files[name_of("BTCUSDT", D2)] = held.files[name_of("BTCUSDT", D2)][:500]
    found, _ = ask(held)
    assert [record.reason for record in found.set_aside] == [binance_statistics.UNREADABLE]


def test_rows_that_repeat_count_once_and_cells_that_are_empty_are_null() -> None:
    held = archive()
    lines = [
        ("2024-03-02 05:00:00", 1.0, 2.0, '""', ""),
        ("2024-03-02 05:00:00", 1.0, 2.0, '""', ""),
        ("2024-03-02 06:00:00", 3.0, 4.0, "x", 1),
    ]
    held.files[name_of("BTCUSDT", D2)] = packed("BTCUSDT", lines)
    found, _ = ask(held)
    got = {row["ts"]: row for row in rows(found).rows(named=True) if row["ts"].date() == D2 and row["ts"] != at(D2)}
    assert list(got) == [at(D2, 5), at(D2, 6)]
    assert got[at(D2, 5)]["long_short_ratio"] is None and got[at(D2, 5)]["taker_buy_sell_ratio"] is None
    assert got[at(D2, 6)]["long_short_ratio"] is None and got[at(D2, 6)]["open_interest"] == 3.0
    assert [(r.column, r.reason) for r in found.set_aside] == [("long_short_ratio", "value is not a number")]


def test_days_that_have_no_file_yet_come_from_the_api_with_the_same_values() -> None:
    now = at(D3, 12.05)
    shown = [at(D1) + STEP * n for n in range(288 * 3) if at(D1) + STEP * n <= now]
    found, requests = ask(archive(last=D1, shown=shown), now=now)
    got = rows(found)
    assert got["ts"].to_list() == every(1, at(D1), at(D3, 11)), "that of 12:00 is known at 12:05, two minutes from now"
    assert got["open_interest"].to_list() == [amount(ts) for ts in got["ts"]]
    assert set(got.filter(pl.col("ts") > at(D2))["source"]) == {"binance_usdm"}
    assert sum("/futures/data/" in request.path for request in requests) == 3
    later, _ = ask(archive(), now=NOW)
    values = ["ts", "open_interest", "long_short_ratio", "taker_buy_sell_ratio", "available_at"]
    both = rows(later).filter(pl.col("ts") <= at(D3, 11)).select(values)
    assert got.select(values).equals(both), "the files give the same once they are there"


@pytest.mark.parametrize("status", [451, 403])
def test_files_are_stored_where_the_api_refuses_this_place(status: int) -> None:
    """The files are open where the API is not: the days that have no file yet are set aside by name."""
    served = archive(last=D2)

    def answer(request: Request) -> Any:
        files = request.path.startswith("/binance-archive")
        return served(request) if files else Reply({"code": 0, "msg": "restricted location"}, status)

    found, _ = ask(answer, now=at(D3 + DAY, 6))
    assert {ts.date() for ts in rows(found)["ts"]} >= {D1, D2}
    assert {(one.day, one.reason) for one in found.set_aside} == {(D3, binance_statistics.NOT_SHOWN)}


def test_a_ratio_that_cannot_be_had_leaves_the_open_interest() -> None:
    held = archive(last=D1, shown=beginnings(D2))

    def answer(request: Request) -> Any:
        return Reply({"error": "no"}, 404) if request.path.endswith("takerlongshortRatio") else held(request)

    found, _ = ask(answer, end=D2, now=at(D3, 2))
    day = rows(found).filter(pl.col("date") == D2)
    assert (
        day.height == 24 and day["taker_buy_sell_ratio"].null_count() == 23
    )  # the hour of midnight is in the file before
    assert day["long_short_ratio"].null_count() == 0
    assert [(r.column, r.reason) for r in found.set_aside] == [("taker_buy_sell_ratio", "its route could not be had")]


def test_a_file_that_fails_fails_its_coin_and_a_venue_without_any_file_is_short() -> None:
    held = {**archive().files, **archive("ETHUSDT").files}

    def answer(request: Request) -> Any:
        return Reply({"error": "no"}, 500) if "ETHUSDT-metrics-2024-03-02" in request.path else Archive(held)(request)

    found, _ = ask(answer, "BTC,ETH")
    assert set(found.failed) == {"ETH"} and set(rows(found)["symbol"]) == {"BTC"}
    with pytest.raises(SourceError, match="2024-03-01"):
        ask(lambda request: Archive({})(request) if "archive" in request.path else Venues({"BTCUSDT": []})(request))


def test_bybit_gives_coins_hour_by_hour_and_pages_backwards() -> None:
    labels = every(1, at(D1) - 2 * DAY, at(D3, 30))

    def answer(request: Request) -> Any:
        first, last = int(request.query["startTime"]), int(request.query["endTime"])
        listed = [
            {"openInterest": repr(amount(ts)), "timestamp": str(ms(ts))}
            for ts in reversed(labels)
            if first <= ms(ts) <= last
        ]
        return {"retCode": 0, "retMsg": "OK", "result": {"list": listed[:50], "nextPageCursor": "x"}}

    with serve(answer) as server:
        settings = server.settings(DERIVATIVE_SOURCES="bybit")
        found = fetch(lambda c: derivatives.fetch_open_interest(c, settings, select("SHIB"), D1, D3, NOW))
    got = rows(found)
    assert got["ts"].to_list() == every(1, at(D1), at(D3, 23))
    assert got["open_interest"].to_list() == [amount(ts) * 1000 for ts in got["ts"]]
    assert got["open_interest_usd"].null_count() == 72


def test_a_hundred_days_of_bybit_are_twelve_full_pages() -> None:
    first = D3 - 99 * DAY
    labels = every(1, at(first) - DAY, at(D3, 30))

    def answer(request: Request) -> Any:
        begin, last = int(request.query["startTime"]), int(request.query["endTime"])
        listed = [{"openInterest": "5", "timestamp": str(ms(ts))} for ts in reversed(labels) if begin <= ms(ts) <= last]
        return {"retCode": 0, "retMsg": "OK", "result": {"list": listed[: int(request.query["limit"])]}}

    with serve(answer) as server:
        settings = server.settings(DERIVATIVE_SOURCES="bybit")
        found = fetch(lambda c: derivatives.fetch_open_interest(c, settings, select("BTC"), first, D3, NOW))
        assert rows(found).height == 2400 and len(server.requests) == 12


def test_recorded_weeks_equal_the_recording() -> None:
    """Ten contracts of the recording, served as daily files: every value, in coins and in USD."""
    recorded = pl.read_parquet(shared("series", "open_interest", "binance_perp_oi_4h_2026-02_2026-03_A.parquet"))
    coins = [coin for coin in select("all") if coin.binance_perpetual in set(recorded["symbol"])][:10]
    files = {}
    for coin in coins:
        contract = str(coin.binance_perpetual)
        mine = recorded.filter(pl.col("symbol") == contract)
        for (day,), part in mine.with_columns(day=(pl.col("ts") - STEP).dt.date()).group_by("day"):
            lines = [
                (f"{ts:%Y-%m-%d %H:%M:%S}", a, b, "", "")
                for ts, a, b in part.select("ts", "sum_open_interest", "sum_open_interest_value").rows()
            ]
            files[f"{contract}-metrics-{day}.zip"] = packed(contract, lines)
    start, end = date(2026, 2, 22), date(2026, 3, 15)
    held = Archive(files)
    with serve(held) as server:

        async def go() -> Fetched:
            settings = server.settings(DERIVATIVE_SOURCES="binance")
            async with Client(max_attempts=1) as client:
                return await derivatives.fetch_open_interest(
                    client, settings, coins, start, end, at(date(2026, 11, 28))
                )

        got = rows(asyncio.run(go()))
    names = {str(coin.binance_perpetual): coin for coin in coins}
    many = {str(c.binance_perpetual): derivatives.binance_statistics.coins_of(str(c.binance_perpetual)) for c in coins}
    wanted = recorded.filter(pl.col("symbol").is_in(list(names)), pl.col("ts").dt.date().is_between(start, end))
    expected = {
        (names[contract].symbol, ts): (a * many[contract], b)
        for contract, ts, a, b in wanted.select("symbol", "ts", "sum_open_interest", "sum_open_interest_value").rows()
        if ts.hour % 4 == 0 and (ts - HOUR).date() >= start - DAY
    }
    found = {
        (symbol, ts): (a, b)
        for symbol, ts, a, b in got.select("symbol", "ts", "open_interest", "open_interest_usd").rows()
    }
    assert found == expected and len(found) > 1000
