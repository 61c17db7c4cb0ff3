"""DefiLlama over real sockets: totals, chains, dates as strings, placeholders, short and wrong answers."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_assets.errors import SourceError
from crypto_assets.sources import defillama
from crypto_assets.sources.fetched import Fetched
from crypto_assets.tables.schemas import DEFI_METRICS
from crypto_assets_tests.sources.wire_server import Reply, Request, Server, fetch, serve, shared

D1, D2, D3 = date(2021, 1, 1), date(2021, 1, 2), date(2021, 1, 3)
S1, S2, S3 = 1609459200, 1609545600, 1609632000  # their midnights
NOW = datetime(2021, 6, 1, 12, tzinfo=timezone.utc)
TVL, STABLE = "/v2/historicalChainTvl", "/stablecoincharts/all"


def tvl(*points: tuple[Any, Any]) -> list[dict[str, Any]]:
    return [{"date": stamp, "tvl": value} for stamp, value in points]


def stable(*points: tuple[Any, Any]) -> list[dict[str, Any]]:
    return [{"date": str(stamp), "totalCirculatingUSD": {"peggedUSD": value}} for stamp, value in points]


WHOLE = {TVL: tvl((S1, 10.5), (S2, 11), (S3, 12)), STABLE: stable((S1, 20.25), (S2, 21), (S3, 22))}


def get(server: Server, start: date = D1, end: date = D3, chains: tuple[str, ...] = (), now: datetime = NOW) -> Fetched:
    return fetch(lambda client: defillama.fetch_defi(client, server.settings(), chains, start, end, now))


def run(routes: dict[str, Any], **more: Any) -> Fetched:
    with serve(lambda request: routes.get(request.path, Reply({"message": "not found"}, 404))) as server:
        return get(server, **more)


def fails(routes: dict[str, Any], **more: Any) -> str:
    with pytest.raises(SourceError) as error:
        run({**WHOLE, **routes}, **more)
    assert "\n" not in str(error.value) and "defillama" in str(error.value)
    return str(error.value)


def values(frame: pd.DataFrame, entity: str = "all") -> list[tuple[date, float | None, float | None]]:
    part = frame[frame["entity"] == entity]
    pairs = zip(part["date"], part["tvl_usd"], part["stablecoin_supply_usd"], strict=True)
    return [(day, None if pd.isna(a) else a, None if pd.isna(b) else b) for day, a, b in pairs]


def test_totals_by_day():
    result = run(WHOLE)
    DEFI_METRICS.validate(result.frame)
    assert values(result.frame) == [(D1, 10.5, 20.25), (D2, 11.0, 21.0), (D3, 12.0, 22.0)]
    assert result.frame["available_at"].iloc[0] == datetime(2021, 1, 2, 1, tzinfo=timezone.utc)
    assert set(result.frame["source"]) == {"defillama"}
    assert result.calls == 2 and len(result.digests) == 2 and result.missing == {}


def test_only_closed_days_of_the_window():
    routes = {TVL: [*WHOLE[TVL], *tvl((S3 + 86_400 + 3600, 99))], STABLE: WHOLE[STABLE]}
    assert [day for day, *_ in values(run(routes, start=D2, end=D2).frame)] == [D2]
    during = datetime(2021, 1, 3, 23, 59, tzinfo=timezone.utc)
    assert [day for day, *_ in values(run(routes, now=during).frame)] == [D1, D2]
    with serve(lambda request: routes[request.path]) as server:
        assert DEFI_METRICS.validate(get(server, D3, D3, now=during).frame).is_empty() and server.requests == []


def test_the_point_at_midnight_stands_for_the_day():
    moving = tvl((S2 + 7200, 999), (S1, 10), (S2, 11), (S2 + 3600, 998), (S3 + 60, 12), (S3 + 7200, 997))
    assert [a for _, a, _ in values(run({**WHOLE, TVL: moving}).frame)] == [10, 11, 12]
    assert len(run({**WHOLE, TVL: [*WHOLE[TVL], *WHOLE[TVL]]}).frame) == 3
    twice = run({**WHOLE, TVL: [*WHOLE[TVL], *tvl((S2, 5))]})
    assert [a for _, a, _ in values(twice.frame)] == [10.5, None, 12]
    assert [(r.subject, r.day, r.column, r.reason, r.example) for r in twice.set_aside] == [
        ("all", D2, "tvl_usd", "given twice with different values", "5 and 11")
    ]


def test_chains_known_unknown_and_empty():
    routes = {
        **WHOLE,
        f"{TVL}/Ethereum": tvl((S1, 1), (S2, 2)),
        "/stablecoincharts/Ethereum": stable((S2, 3), (S3, 4)),
        f"{TVL}/BNB Chain": tvl((S1, 7)),
        "/stablecoincharts/BNB Chain": Reply(b"bad request", 400),
        f"{TVL}/Empty": [],
        "/stablecoincharts/Empty": [],
    }
    result = run(routes, chains=("Ethereum", "BNB Chain", "Nowhere", "Empty", "Ethereum"))
    DEFI_METRICS.validate(result.frame)
    assert values(result.frame, "Ethereum") == [(D1, 1, None), (D2, 2, 3), (D3, None, 4)]
    assert values(result.frame, "BNB Chain") == [(D1, 7, None)]
    assert "Ethereum" not in result.missing and "HTTP 400" in result.missing["BNB Chain"]
    assert "HTTP 404" in result.missing["Nowhere"] and "nothing" in result.missing["Empty"]
    assert result.calls == 10


def test_a_chain_that_fails_otherwise_fails_the_whole():
    assert "403" in fails({f"{TVL}/X": Reply({}, 403), "/stablecoincharts/X": []}, chains=("X",))
    assert "500" in fails({f"{TVL}/X": [], "/stablecoincharts/X": Reply({}, 500)}, chains=("X",))


def test_a_total_that_is_refused_empty_or_short_fails():
    for path in (TVL, STABLE):
        assert "404" in fails({path: Reply({}, 404)})
        assert "empty" in fails({path: []})
        assert "2021-01-03" in fails({path: WHOLE[path][:2]})
        assert "2021-01-02" in fails({path: [WHOLE[path][0], WHOLE[path][2]]})


def test_before_the_history_there_is_nothing_to_ask_for():
    result = run({TVL: WHOLE[TVL][1:], STABLE: WHOLE[STABLE][2:]}, start=date(2020, 12, 30))
    assert values(result.frame) == [(D2, 11, None), (D3, 12, 22)]
    early = run(WHOLE, start=date(2016, 1, 1), end=date(2016, 1, 3))
    assert early.frame.empty and "no value" in early.missing["all"]


def test_zero_is_the_providers_unknown():
    result = run({TVL: tvl((S1, 0), (S2, 0.0), (S3, 12)), STABLE: stable((S1, 0), (S2, 5), (S3, None))})
    assert values(result.frame) == [(D2, None, 5), (D3, 12, None)]


def test_all_pegs_in_dollars_else_the_dollar_peg_alone():
    points = [
        {
            "date": str(S1),
            "totalCirculatingUSD": {"peggedUSD": 5, "peggedEUR": 1.5},
            "totalCirculating": {"peggedUSD": 9},
        },
        {"date": S2, "totalCirculating": {"peggedUSD": 7, "peggedJPY": 1000}},
        {"date": float(S3), "totalCirculatingUSD": {}},
    ]
    assert [b for *_, b in values(run({**WHOLE, STABLE: points}).frame)] == [6.5, 7, None]


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        (TVL, {}, "instead of a list"),
        (TVL, [5], "1 of 1 row(s) cannot be read"),
        (TVL, tvl((S1 * 1000, 1)), "not seconds"),
        (TVL, tvl((None, 1)), "not seconds"),
        (TVL, Reply(b"<html></html>"), "HTML"),
        (STABLE, [{"date": "2021-01-01"}], "not seconds"),
    ],
)
def test_wrong_answers_are_errors_of_one_sentence(path: str, body: Any, says: str):
    assert says in fails({path: body})


@pytest.mark.parametrize(
    ("path", "point", "reason"),
    [
        (TVL, {"date": S2, "tvl": -1}, "below 0"),
        (TVL, {"date": S2, "tvl": "much"}, "not a number"),
        (TVL, {"date": S2, "tvl": {"usd": 1}}, "not a number"),
        (TVL, {"date": S2, "tvl": True}, "not a number"),
        (TVL, {"date": S2, "tvl": "inf"}, "not finite"),
        (TVL, {"date": S2, "tvl": 10**400}, "too large for a number"),
        (TVL, {"date": "2021-01-02", "tvl": 11}, "its time cannot be read"),
        (TVL, {"date": S2 * 1000, "tvl": 11}, "its time cannot be read"),
        (TVL, 5, "the row is no object"),
        (STABLE, {"date": str(S2), "totalCirculatingUSD": 5}, "not a number by peg"),
        (STABLE, {"date": str(S2), "totalCirculatingUSD": {"peggedUSD": 21, "peggedEUR": "n/a"}}, "not a number"),
        (STABLE, {"date": str(S2), "totalCirculatingUSD": {"peggedUSD": 21, "peggedEUR": -7}}, "a part of it is below 0"),
        (STABLE, {"date": str(S2), "totalCirculatingUSD": {"peggedUSD": 1e308, "peggedEUR": 1e308}}, "too large for a number"),
        (STABLE, {"date": str(S2), "totalCirculating": {"peggedUSD": -21}}, "below 0"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("entity", ["all", "Ton"])
def test_one_bad_point_is_one_null_cell_of_its_chain_and_day(path: str, point: Any, reason: str, entity: str):
    """Of the totals as of a chain; the other measure of that day, the other days and the other chains are stored."""
    whole = {**WHOLE, f"{TVL}/Ton": WHOLE[TVL], "/stablecoincharts/Ton": WHOLE[STABLE]}
    where = path if entity == "all" else path.replace("/all", "") + "/Ton"
    routes = {**whole, where: [whole[where][0], point, whole[where][2]]}
    result = run(routes, chains=("Ton",))
    other = "Ton" if entity == "all" else "all"
    assert values(result.frame, other) == [(D1, 10.5, 20.25), (D2, 11.0, 21.0), (D3, 12.0, 22.0)]
    left = (D2, None, 21.0) if path == TVL else (D2, 11.0, None)
    assert values(result.frame, entity) == [(D1, 10.5, 20.25), left, (D3, 12.0, 22.0)]
    (record,) = result.set_aside
    column = "tvl_usd" if path == TVL else "stablecoin_supply_usd"
    assert (record.subject, record.day, record.column, record.reason) == (entity, D2, column, reason)
    DEFI_METRICS.validate(result.frame)
    assert run(routes, chains=("Ton",), start=D3).set_aside == (), "a day outside the window says nothing about it"


def test_a_chain_whose_history_has_another_shape_is_set_aside_alone():
    routes = {**WHOLE, f"{TVL}/Ton": {"message": "soon"}, "/stablecoincharts/Ton": WHOLE[STABLE]}
    result = run(routes, chains=("Ton",))
    assert len(values(result.frame)) == 3 and values(result.frame, "Ton")[0] == (D1, None, 20.25)
    assert [(r.subject, r.column, r.reason) for r in result.set_aside] == [
        ("Ton", "tvl_usd", "its history has another shape")
    ]


def test_where_nothing_is_left_the_fetch_fails_and_says_why():
    bad = {TVL: tvl((S1, -1)), STABLE: stable((S1, "n/a"))}
    assert "tvl_usd of all on 2021-01-01: below 0 (-1), and 1 more" in fails(bad, end=D1)


def test_what_is_no_row_of_the_table_is_counted():
    moving = [*WHOLE[TVL], *tvl((S2 + 3600, 99), (S2 + 7200, 98), (S1, 10.5))]
    result = run({**WHOLE, TVL: moving}, end=D2)
    assert result.surplus == {
        "outside the days asked for": 2, "a later point of the day": 2, "a point given twice": 1
    }  # fmt: skip


def test_a_sandbox_says_so():
    marked = {path: Reply(body, headers={"X-Crypto-Assets-Sandbox": "sandbox"}) for path, body in WHOLE.items()}
    assert set(run(marked).frame["source"]) == {"sandbox/defillama"}


def test_recorded_samples():
    total = shared("wire", "defillama", "historical_chain_tvl.json").read_bytes()
    coins = shared("wire", "defillama", "stablecoincharts_chain.json").read_bytes()

    def answer(request: Request) -> Reply:
        return Reply(total if request.path.startswith(TVL) else coins)

    with serve(answer) as server:
        result = get(server, D1, D1, ("Ethereum",))
    assert values(result.frame) == values(result.frame, "Ethereum") == [(D1, 45_000_000_000, 12_000_000_000)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
STAMP = st.sampled_from([S1, str(S2), S3, S1 + 60]) | JSON
POINTS = st.lists(st.fixed_dictionaries({"date": STAMP}, optional={"tvl": JSON, "totalCirculatingUSD": JSON, "totalCirculating": JSON}), max_size=4)  # fmt: skip


def test_any_body_gives_rows_or_a_source_error():
    bodies: dict[str, Any] = {}
    with serve(lambda request: bodies[request.path]) as server:

        @settings(max_examples=60, deadline=None)
        @given(total=POINTS | JSON, coins=POINTS | JSON)
        def check(total: Any, coins: Any) -> None:
            bodies.update({TVL: total, STABLE: coins})
            try:
                DEFI_METRICS.validate(get(server).frame)
            except SourceError as error:
                assert "\n" not in str(error)

        check()
