"""The Fear & Greed index over real sockets: holes of the provider's, days not there yet, wrong answers."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_assets.errors import SourceError
from crypto_assets.sources import alternative_me
from crypto_assets.sources.fetched import Fetched
from crypto_assets.tables.schemas import MARKET_SENTIMENT
from crypto_assets_tests.sources.wire_server import Reply, Server, fetch, serve, shared

D1, D2, D3 = date(2021, 1, 1), date(2021, 1, 2), date(2021, 1, 3)
S1, S2, S3 = 1609459200, 1609545600, 1609632000  # their midnights
NOW = datetime(2021, 1, 4, 0, 30, tzinfo=timezone.utc)


def body(*points: tuple[Any, Any], error: Any = None) -> dict[str, Any]:
    data = [{"value": v, "value_classification": "Fear", "timestamp": t} for t, v in points]
    return {"name": "Fear and Greed Index", "data": data, "metadata": {"error": error}}


WHOLE = body((str(S3), "30"), (str(S2), "20"), (str(S1), "10"))  # newest first, as the provider answers


def get(server: Server, start: date = D1, end: date = D3, now: datetime = NOW) -> Fetched:
    return fetch(lambda client: alternative_me.fetch_fear_greed(client, server.settings(), start, end, now))


def run(answer: Any, **more: Any) -> Fetched:
    with serve(lambda request: answer) as server:
        return get(server, **more)


def fails(answer: Any, **more: Any) -> str:
    with pytest.raises(SourceError) as error:
        run(answer, **more)
    assert "\n" not in str(error.value) and "alternative_me" in str(error.value)
    return str(error.value)


def test_days_of_the_window():
    with serve(lambda request: WHOLE) as server:
        result = get(server, D2, D3)
        (request,) = server.requests
    assert (request.path, request.query) == ("/fng/", {"limit": "0", "format": "json"})
    MARKET_SENTIMENT.validate(result.frame)
    assert list(result.frame["date"]) == [D2, D3] and list(result.frame["fear_greed_index"]) == [20.0, 30.0]
    assert result.frame["available_at"].iloc[0] == datetime(2021, 1, 2, 0, 15, tzinfo=timezone.utc)
    assert set(result.frame["source"]) == {"alternative_me"} and result.calls == 1 and len(result.digests) == 1


def test_a_hole_inside_the_history_is_the_providers():
    holes = body((str(S3), "30"), (str(S1), "10"))
    result = run(holes)
    assert list(result.frame["date"]) == [D1, D3] and result.missing == {"2021-01-02": "the provider left it out"}
    alone = run(holes, start=D2, end=D2)
    assert MARKET_SENTIMENT.validate(alone.frame).is_empty() and list(alone.missing) == ["2021-01-02"]
    before = run(WHOLE, start=date(2020, 12, 30), end=D1)
    assert list(before.frame["date"]) == [D1] and len(before.missing) == 2


def test_a_closed_day_after_the_newest_is_not_there_yet():
    assert "has not published 2021-01-03 yet (its newest day is 2021-01-02)" in fails(body((S2, "2"), (S1, "1")))


def test_the_day_in_progress_counts_once_it_is_stamped():
    during = datetime(2021, 1, 3, 0, 5, tzinfo=timezone.utc)
    assert list(run(WHOLE, now=during).frame["date"]) == [D1, D2, D3]
    assert list(run(body((S2, "2"), (S1, "1")), now=during).frame["date"]) == [D1, D2]
    before = datetime(2021, 1, 2, 23, 59, tzinfo=timezone.utc)
    assert list(run(WHOLE, now=before).frame["date"]) == [D1, D2]  # nothing from the future


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (body((str(S1), "101")), "MARKET on 2021-01-01: above 100 (101)"),
        (body((str(S1), "-1")), "below 0 (-1)"),
        (body((str(S1), "")), "no value"),
        (body((str(S1), "fear")), "not a number (fear)"),
        (body(("2021-01-01", "10")), "timestamps are not seconds"),
        (body((S1 * 1000, "10")), "timestamps are not seconds"),
        (body((None, "10")), "timestamps are not seconds"),
        (body((S1, "10"), (S1, "11")), "given twice with different values (10 and 11)"),
        (body(), "no value"),
        (body((str(S1), "10"), error="maintenance"), "maintenance"),
        ({"data": {"value": 1}}, "no data list"),
        ({"data": [1]}, "1 of 1 row(s) cannot be read"),
        ([], "no data list"),
        (Reply(b"<html></html>"), "HTML"),
        (Reply({}, 503), "503"),
    ],
)
def test_wrong_answers_are_errors_of_one_sentence(answer: Any, says: str):
    assert says in fails(answer)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ((str(S2), "101"), "above 100"),
        ((str(S2), "-1"), "below 0"),
        ((str(S2), ""), "no value"),
        ((str(S2), "fear"), "not a number"),
        ((str(S2), "1e999"), "not finite"),
        ((str(S2), ["20"]), "not a number"),
        (("2021-01-02", "20"), "its time cannot be read"),
        ((None, "20"), "its time cannot be read"),
        ((S2 * 1000, "20"), "its time cannot be read"),
    ],
)
def test_a_broken_row_is_set_aside_by_its_day_and_the_other_days_are_stored(bad: tuple[Any, Any], reason: str):
    """Whatever is wrong with one row, its day alone has none; days that do not touch it do not hear of it."""
    for end in (0, 1):  # the newest row as well as one in the middle
        answer = body(*([(str(S3), "30")] if end else []), bad, (str(S1), "10"))
        result = run(answer, end=D3 if end else D2)
        assert dict(zip(result.frame["date"], result.frame["fear_greed_index"], strict=True)) == (
            {D1: 10.0, D3: 30.0} if end else {D1: 10.0}
        )
        (record,) = result.set_aside
        assert (record.subject, record.day, record.reason, record.count) == ("MARKET", D2, reason, 1)
        assert str(D2) in result.missing
        before = run(answer, end=D1)
        assert list(before.frame["date"]) == [D1] and before.set_aside == ()


def test_one_day_with_two_values_has_none_and_its_neighbours_theirs():
    result = run(body((S3, "30"), (S2, "20"), (S2, "21"), (S2, "20"), (S1, "10"), (S1, "10")))
    assert list(result.frame["date"]) == [D1, D3]
    assert [(r.day, r.reason, r.example) for r in result.set_aside] == [
        (D2, "given twice with different values", "20 and 21")
    ]


def test_what_is_no_row_of_the_table_is_counted():
    result = run(body((S3, "30"), (S2 + 60, "21"), (S2, "20"), (S1, "10")), start=D2)
    assert list(result.frame["fear_greed_index"]) == [20.0, 30.0]
    assert result.surplus == {"outside the days asked for": 1, "a later value of the day": 1}


def test_a_sandbox_says_so():
    result = run(Reply(WHOLE, headers={"X-Crypto-Assets-Sandbox": "sandbox"}))
    assert set(result.frame["source"]) == {"sandbox/alternative_me"}


def test_recorded_answer():
    recorded = shared("wire", "alternative_me", "fng.json").read_bytes()
    now = datetime(2026, 9, 8, 1, tzinfo=timezone.utc)
    result = run(Reply(recorded), start=date(2026, 9, 7), end=date(2026, 9, 8), now=now)
    assert list(result.frame["date"]) == [date(2026, 9, 7), date(2026, 9, 8)]
    assert list(result.frame["fear_greed_index"]) == [71.0, 69.0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
ITEM = st.fixed_dictionaries({}, optional={"timestamp": st.just(str(S1)) | JSON, "value": st.just("50") | JSON})


@settings(max_examples=300, deadline=None)
@given(answer=JSON | st.fixed_dictionaries({"data": st.lists(ITEM | JSON, max_size=4)}, optional={"metadata": JSON}))
def test_any_body_gives_values_or_a_source_error(answer: Any):
    try:
        assert all(0 <= value <= 100 for value in alternative_me.read_index(answer).values.values())
    except SourceError as error:
        assert "\n" not in str(error)
