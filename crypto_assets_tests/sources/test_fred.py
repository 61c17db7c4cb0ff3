"""FRED behind a server of our own that speaks its format: vintages, withdrawn values, refusals, and the key in no message."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from crypto_assets.sources import fred
from crypto_assets.sources.vintages import Given, Vintage
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve

KEY = "abcdefghijklmnopqrstuvwxyz012345"
DAY, UTC = timedelta(days=1), timezone.utc
NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
Rows = list[tuple[str, str, str, str]]  # observation, since, to, value


class Alfred:
    """Serves rows as FRED does: clamped to the period that is asked for, at most 2,000 vintage dates at once."""

    def __init__(self, **series: Rows) -> None:
        self.series = series

    def __call__(self, request: Request) -> Any:
        asked = request.query
        if asked["api_key"] != KEY:
            return Reply(
                {"error_code": 400, "error_message": "Bad Request.  The value for variable api_key is not registered."},
                400,
            )
        if request.path.endswith("/release/dates"):
            return {"release_dates": [{"release_id": int(asked["release_id"]), "date": "2024-07-05"}]}
        if asked["series_id"] not in self.series:
            return Reply({"error_code": 400, "error_message": "Bad Request.  The series does not exist."}, 400)
        begin, end = asked["realtime_start"], asked["realtime_end"]
        rows = self.series[asked["series_id"]]
        if len({since for _, since, _, _ in rows if begin <= since <= end}) > 2_000:
            return Reply(
                {"error_code": 400, "error_message": "Bad Request.  This exceeds the maximum number of vintage dates"},
                400,
            )
        found = [
            {"date": day, "realtime_start": max(since, begin), "realtime_end": min(to, end), "value": value}
            for day, since, to, value in rows
            if since <= end and to >= begin and day >= asked["observation_start"]
        ]
        offset, limit = int(asked["offset"]), min(int(asked["limit"]), 900)  # pages, as where there are 100,000 rows
        return {"count": len(found), "observations": found[offset : offset + limit]}


def ask(server: Callable[[Request], Any], start: date, end: date, key: str = KEY) -> Given:
    with serve(server) as running:
        settings = running.settings(**({"FRED_API_KEY": key} if key else {}))
        return fetch(lambda client: fred.fetch_vintages(client, settings, start, end, NOW))


def of(given: Given, name: str) -> list[Vintage]:
    return sorted((v for v in given.vintages if v.series.name == name), key=lambda v: (v.observed, v.known))


def test_the_vintage_is_the_first_day_on_which_a_value_stood_and_its_hour_that_of_the_release() -> None:
    rows = [("2024-04-01", "2024-05-03", "2024-06-06", "158286"), ("2024-04-01", "2024-06-07", "9999-12-31", "158266")]
    given = ask(Alfred(PAYEMS=rows, NFCI=[("2024-05-31", "2024-06-05", "9999-12-31", "-0.5")],
                       DFII10=[("2024-06-03", "2024-06-04", "9999-12-31", "2.1")]), date(2024, 5, 1), date(2024, 6, 30))  # fmt: skip
    assert [(v.vintage, v.value, v.known) for v in of(given, "PAYEMS")] == [
        (date(2024, 5, 3), 158286.0, datetime(2024, 5, 3, 12, 30, tzinfo=UTC)),  # 08:30 in New York in summer
        (date(2024, 6, 7), 158266.0, datetime(2024, 6, 7, 12, 30, tzinfo=UTC)),
    ]
    assert of(given, "DFII10")[0].known == datetime(2024, 6, 5, tzinfo=UTC), "no hour is documented: the next midnight"
    assert {v.quality for v in given.vintages} == {"vintage"}
    assert given.missing["UNRATE"].startswith("fred /series/observations does not have UNRATE") and not given.failed
    assert given.releases == {50: [date(2024, 7, 5)]}, "the calendars of the releases that were found"


def test_ten_thousand_vintages_are_asked_for_in_spans_of_two_thousand_days_and_merged() -> None:
    first = date(2018, 1, 1)
    often = [(str(first), str(first + n * DAY), str(first + n * DAY), f"{n + 100}") for n in range(1, 2_000)]
    rows = [
        (f"20{y:02}-{m:02}-01", f"20{y:02}-{m:02}-28", "9999-12-31", "1") for y in range(12, 24) for m in range(1, 13)
    ]
    server = Alfred(M2SL=rows, GDPC1=rows[::3], NFCI=often)
    given = ask(server, date(2018, 1, 1), date(2024, 6, 1))
    for name, wanted in (("M2SL", rows), ("GDPC1", rows[::3])):
        kept = [v for v in of(given, name) if v.vintage >= date(2018, 1, 1)]
        assert [str(v.vintage) for v in kept] == [row[1] for row in wanted if row[1] >= "2018"], (
            "a span's end is no vintage"
        )
        assert all(v.value == 1.0 for v in of(given, name))
    assert len([v for v in of(given, "NFCI") if v.value is not None]) == 1_999


def test_a_point_is_null_and_a_value_that_stands_no_longer_was_withdrawn() -> None:
    rows = [
        ("2024-06-03", "2024-06-04", "9999-12-31", "2.1"),
        ("2024-06-04", "2024-06-05", "9999-12-31", "."),  # a holiday
        ("2024-06-05", "2024-06-06", "2024-06-09", "2.3"),  # disappears in the vintage of the 10th
    ]
    found = of(ask(Alfred(DFII10=rows), date(2024, 6, 1), date(2024, 6, 20)), "DFII10")
    assert [(str(v.observed)[-2:], v.vintage.day, v.value) for v in found] == [
        ("03", 4, 2.1), ("04", 5, None), ("05", 6, 2.3), ("05", 10, None),
    ]  # fmt: skip


def test_what_is_older_than_the_archive_is_backfilled_and_what_precedes_its_observation_is_set_aside() -> None:
    rows = [
        ("2022-01-01", "2023-03-01", "9999-12-31", "100"),  # the archive begins
        ("2023-02-01", "2023-03-10", "9999-12-31", "101"),
        ("2023-04-01", "2023-03-31", "9999-12-31", "102"),
    ]
    given = ask(Alfred(CPIAUCSL=rows), date(2023, 3, 1), date(2023, 4, 30))
    assert [(v.value, v.quality) for v in of(given, "CPIAUCSL")] == [(100.0, "backfilled"), (101.0, "vintage")]
    (aside,) = given.log.records()
    assert (aside.subject, aside.reason) == ("CPIAUCSL", "published before its observation")


def test_a_release_a_day_late_counts_from_its_own_day() -> None:
    (found,) = of(
        ask(Alfred(UNRATE=[("2024-05-01", "2024-06-08", "9999-12-31", "4.0")]), date(2024, 6, 1), date(2024, 6, 9)),
        "UNRATE",
    )
    assert found.known == datetime(2024, 6, 8, 12, 30, tzinfo=UTC)


def test_without_a_key_nothing_is_asked_and_a_refused_key_is_one_sentence_for_each_series() -> None:
    names = {series.name for series in fred.of_provider("fred")}
    assert ask(Alfred(), date(2024, 6, 1), date(2024, 6, 9), key="").missing == dict.fromkeys(names, fred.NO_KEY)
    refused = ask(Alfred(), date(2024, 6, 1), date(2024, 6, 9), key="0" * 32)
    assert refused.missing.keys() == names and not refused.failed
    assert (
        "FRED refuses the key (Bad Request.  The value for variable api_key is not registered.)"
        in refused.missing["GDP"]
    )
    assert "run again later" in refused.missing["GDP"], "a new key takes a while to be active"


@pytest.mark.parametrize("said", ["no such thing", "The value for variable api_key is not registered"])
def test_the_key_is_in_no_log_and_no_error(said: str, caplog: pytest.LogCaptureFixture) -> None:
    def echo(request: Request) -> Any:
        return Reply({"error_code": 400, "error_message": f"{said}: {request.query}"}, 400)

    with caplog.at_level(logging.DEBUG):
        try:
            messages = [*ask(echo, date(2024, 6, 1), date(2024, 6, 9)).missing.values()]
        except fred.SourceError as error:
            messages = [str(error)]
    assert messages and all(said in message for message in messages)
    assert KEY not in caplog.text + "".join(messages)
