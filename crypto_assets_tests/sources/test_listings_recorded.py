"""The recorded events of names (renames, redenominations, reuse, delistings, outages), fetched over HTTP.

The server answers as Binance does: by pair, with the recorded bars of that name, and ``[]`` for hours without any. What is
right is written down here by hand, from the recording and the announced ratios, not read from the catalogue.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crypto_assets.catalog import select
from crypto_assets.features.seams import seams_of
from crypto_assets.sources import ohlc
from crypto_assets.sources.fetched import Fetched
from crypto_assets.tables import schemas
from crypto_assets.transforms.universe import universe
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve

UTC, HOUR, DAY = timezone.utc, timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
PRICES = schemas.PRICES.polars_schema
BEGIN = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """A coin, the pairs that are its own in order, with how many of its units of 2026 one unit then was."""

    name: str
    symbol: str
    pairs: tuple[tuple[str, datetime, datetime, float], ...]  # pair, from, to (not included), units
    most: float  # the largest factor, up or down, from one bar to the next; across a rename days lie between
    states: tuple[tuple[date, str], ...]
    delisted_on: date | None = None


def whole(pair: str, units: float = 1.0) -> tuple[str, datetime, datetime, float]:
    return pair, BEGIN, NOW, units


REUSED = datetime(2022, 5, 31, 6, tzinfo=UTC)
SPLIT = datetime(2021, 6, 18, 4, tzinfo=UTC)
EVENTS = (
    Event("npxs_pundix", "PUNDIX", (whole("NPXSUSDT", 0.001), whole("PUNDIXUSDT")), 1.2,
          ((date(2021, 4, 5), "redenominated"), (date(2021, 4, 7), "redenominated"), (date(2021, 4, 9), "redenominated"),
           (date(2021, 4, 10), "listed"))),
    Event("sun_1000", "SUN", (("SUNUSDT", BEGIN, SPLIT, 1000.0), ("SUNUSDT", SPLIT, NOW, 1.0)), 1.2,
          ((date(2021, 6, 13), "listed"), (date(2021, 6, 16), "redenominated"), (date(2021, 6, 19), "listed"))),
    Event("pax_usdp", "USDP", (whole("PAXUSDT"), whole("USDPUSDT")), 1.01,
          ((date(2021, 9, 7), "renamed"), (date(2021, 9, 12), "listed"))),
    Event("bzrx_ooki", "OOKI", (whole("BZRXUSDT", 10.0), whole("OOKIUSDT")), 1.4,
          ((date(2021, 12, 22), "redenominated"), (date(2021, 12, 26), "listed"))),
    Event("btt_bttc", "BTT", (whole("BTTUSDT", 1000.0), whole("BTTCUSDT")), 1.7,
          ((date(2022, 1, 20), "redenominated"), (date(2022, 1, 26), "listed"))),
    Event("nano_xno", "XNO", (whole("NANOUSDT"), whole("XNOUSDT")), 1.2,
          ((date(2022, 1, 26), "renamed"), (date(2022, 1, 29), "listed"))),
    Event("keep_nu_t", "KEEP", (whole("KEEPUSDT"),), 1.2, ((date(2022, 2, 15), "listed"), (date(2022, 3, 1), "renamed")),
          date(2022, 2, 16)),
    Event("keep_nu_t", "NU", (whole("NUUSDT"),), 1.2, ((date(2022, 2, 15), "listed"), (date(2022, 3, 1), "renamed")),
          date(2022, 2, 16)),
    Event("keep_nu_t", "T", (whole("TUSDT"),), 1.2, ((date(2022, 2, 26), "listed"),)),
    Event("susd_thin_delist", "SUSD", (whole("SUSDUSDT"),), 1.02, ((date(2022, 4, 12), "delisted"),), date(2022, 4, 11)),
    Event("eps_epx", "EPX", (whole("EPSUSDT", 88.0), whole("EPXUSDT")), 1.3,
          ((date(2022, 5, 12), "redenominated"), (date(2022, 5, 25), "listed"))),
    Event("luna_collapse", "LUNC", (("LUNAUSDT", BEGIN, REUSED, 1.0),), 7.6,
          ((date(2022, 5, 12), "listed"), (date(2022, 5, 14), "delisted"), (date(2022, 6, 5), "delisted")),
          date(2022, 5, 13)),
    Event("luna_collapse", "LUNA", (("LUNAUSDT", REUSED, NOW, 1.0),), 9.3, ((date(2022, 6, 5), "listed"),)),
    Event("lunc_list", "LUNC", (whole("LUNCUSDT"),), 1.4, ((date(2022, 9, 9), "listed"), (date(2022, 9, 20), "listed"))),
    Event("ust_collapse", "USTC", (whole("USTUSDT"),), 1.7, ((date(2022, 5, 20), "delisted"),), date(2022, 5, 13)),
    Event("hnt_delist", "HNT", (whole("HNTUSDT"),), 1.1, ((date(2022, 10, 15), "delisted"),), date(2022, 10, 14)),
    Event("poly_polyx", "POLYX", (whole("POLYUSDT"), whole("POLYXUSDT")), 1.25,
          ((date(2022, 10, 12), "renamed"), (date(2022, 10, 18), "listed"))),
    Event("ftt_collapse", "FTT", (whole("FTTUSDT"),), 1.7, ((date(2022, 11, 16), "delisted"),), date(2022, 11, 15)),
    Event("srm_delist", "SRM", (whole("SRMUSDT"),), 1.6, ((date(2022, 11, 29), "delisted"),), date(2022, 11, 28)),
)  # fmt: skip
OUTAGES = {
    "outage_2021_04": [("2021-04-20", 2, 3), ("2021-04-25", 5, 7)],
    "outage_2021_08_13": [("2021-08-13", 2, 5)],
    "outage_2021_09_29": [("2021-09-29", 7, 8)],
}


@pytest.fixture(scope="module")
def recorded(shared: Path) -> pl.DataFrame:
    rows = pl.read_parquet(shared / "series" / "traps_klines" / "binance_spot_1h_traps_2021_2022.parquet")
    return rows.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


def venue(recorded: pl.DataFrame, *, outage: bool = False) -> Callable[[Request], object]:
    """Binance with these bars by pair; BTC trades at every hour unless it is about an outage; other pairs are unknown."""
    recorded = recorded.filter(pl.col("event").str.starts_with("outage") == outage)
    by_pair = {pair: rows.sort("ts") for (pair,), rows in recorded.group_by(["symbol"])}

    def answer(request: Request) -> object:
        pair, query = request.query.get("symbol", ""), request.query
        if not request.path.endswith("/klines"):
            return Reply({"error": "not served"}, 404)
        first, last = (datetime.fromtimestamp(int(query[name]) / 1000, UTC) for name in ("startTime", "endTime"))
        if pair == "BTCUSDT" and not outage:
            begin = first.replace(minute=0, second=0, microsecond=0)
            count = int((min(last, NOW) - begin) / HOUR) + 1
            rows: list[tuple[Any, ...]] = [(begin + HOUR * n, *["100"] * 5) for n in range(count)]
        elif pair in by_pair:
            found = by_pair[pair].filter(pl.col("ts").is_between(first, last))
            columns = pl.col("open", "high", "low", "close", "volume").map_elements(repr, return_dtype=pl.String)
            rows = found.select("ts", columns).rows()
        else:
            return Reply({"code": -1121, "msg": "Invalid symbol."}, 400)
        asked = [[int(ts.timestamp() * 1000), *v, int(ts.timestamp() * 1000) + 3_599_999, "0"] for ts, *v in rows]
        return asked[: int(query["limit"])]

    return answer


def bars(recorded: pl.DataFrame, coins: str, start: date, end: date) -> Fetched:
    with serve(venue(recorded)) as server:
        settings = server.settings(OHLC_SOURCES="binance")
        return fetch(lambda c: ohlc.fetch_ohlc(c, settings, select(coins), start, end, NOW))


def expected(recorded: pl.DataFrame, event: Event) -> pl.DataFrame:
    parts = [
        recorded.filter(pl.col("event") == event.name, pl.col("symbol") == pair, pl.col("ts") >= first, pl.col("ts") < last)
        .with_columns(pl.col("open", "high", "low", "close") / units, pl.col("volume") * units)
        for pair, first, last, units in event.pairs
    ]  # fmt: skip
    return pl.concat(parts).sort("ts")


def span(recorded: pl.DataFrame, event: Event) -> tuple[date, date]:
    ts = recorded.filter(pl.col("event") == event.name)["ts"]
    return ts.min().date(), ts.max().date()  # type: ignore[union-attr]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.name}-{event.symbol}")
def test_a_coin_has_one_right_series(recorded: pl.DataFrame, event: Event) -> None:
    start, end = span(recorded, event)
    found = bars(recorded, f"BTC,{event.symbol}", start, end)
    got = pl.from_pandas(found.frame[found.frame["symbol"] == event.symbol]).sort("ts")
    want = expected(recorded, event)
    assert got["ts"].to_list() == want["ts"].to_list()
    for name in ("open", "high", "low", "close", "volume"):
        assert got[name].to_numpy() == pytest.approx(want[name].to_numpy(), rel=1e-12)
    returns = (got["close"] / got["close"].shift()).drop_nulls().to_list()
    assert max(max(one, 1 / one) for one in returns) <= event.most
    raw = got.with_columns(pl.col("close") * pl.col("factor"))
    pairs = {pair for pair, *_ in event.pairs}
    given = recorded.filter(pl.col("event") == event.name, pl.col("symbol").is_in(pairs))
    assert set(raw["ts"]) <= set(given["ts"])
    there = raw.join(given.select("ts", given_close="close"), on="ts")
    assert there["close"].to_numpy() == pytest.approx(there["given_close"].to_numpy(), rel=1e-12), "raw is recoverable"
    assert not found.failed


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.name}-{event.symbol}")
def test_the_universe_says_what_happened_and_when(recorded: pl.DataFrame, event: Event) -> None:
    start, end = span(recorded, event)
    last = max(end, *(day for day, _ in event.states))
    rows = pl.from_pandas(bars(recorded, f"BTC,{event.symbol}", start, last).frame)
    said = universe(pl.DataFrame(schema=PRICES), rows, select(f"BTC,{event.symbol}"), start, last)
    mine = {row["date"]: row for row in said.filter(pl.col("symbol") == event.symbol).iter_rows(named=True)}
    for day, state in event.states:
        assert mine[day]["state"] == state, (day, mine[day])
        assert state == "listed" or mine[day]["evidence"].startswith("catalogue: ")
    assert "suspected" not in said["state"].to_list()
    assert mine[last]["delisted_on"] == event.delisted_on
    if event.symbol in ("KEEP", "NU"):
        assert mine[last]["successor"] == "T"
        assert mine[last]["factor"] == pytest.approx({"KEEP": 4.783188631255016, "NU": 3.26}[event.symbol])


@pytest.mark.parametrize("event", sorted(OUTAGES))
def test_an_outage_of_all_pairs_is_a_hole_and_nothing_else(recorded: pl.DataFrame, event: str) -> None:
    mine = recorded.filter(pl.col("event") == event)
    coins = sorted(pair.removesuffix("USDT") for pair in mine["symbol"].unique())
    start, end = mine["ts"].min().date(), mine["ts"].max().date()  # type: ignore[union-attr]
    with serve(venue(mine, outage=True)) as server:
        settings = server.settings(OHLC_SOURCES="binance")
        found = fetch(lambda c: ohlc.fetch_ohlc(c, settings, select(",".join(coins)), start, end, NOW))
    rows = pl.from_pandas(found.frame)
    assert rows.height == mine.height and not found.failed
    silent = {ts for day, first, last in OUTAGES[event] for ts in
              (datetime.fromisoformat(day).replace(tzinfo=UTC) + HOUR * n for n in range(first, last + 1))}  # fmt: skip
    assert not silent & set(rows["ts"])
    said = universe(pl.DataFrame(schema=PRICES), rows, select(",".join(coins)), start, end)
    assert set(said["state"]) == {"listed"}


@pytest.mark.parametrize("event", [one for one in EVENTS if len(one.pairs) > 1], ids=lambda one: one.name)
def test_however_the_range_is_cut(recorded: pl.DataFrame, event: Event) -> None:
    start, end = span(recorded, event)
    boundary = expected(recorded, event).with_columns(gap=pl.col("ts").diff()).sort("gap")["ts"][-1].date()
    first, last = max(start, boundary - 6 * DAY), min(end, boundary + DAY)
    coins = f"BTC,{event.symbol}"
    one_go = bars(recorded, coins, first, last).frame
    days = [bars(recorded, coins, first + DAY * n, first + DAY * n).frame for n in range((last - first).days + 1)]
    by_key = lambda frame: sorted(frame.drop(columns="source").itertuples(index=False, name=None), key=str)  # noqa: E731
    assert by_key(one_go) == sorted((row for frame in days for row in by_key(frame)), key=str)


def test_a_delisted_pair_is_named_with_its_day_and_costs_no_request(recorded: pl.DataFrame) -> None:
    with serve(venue(recorded)) as server:
        settings = server.settings(OHLC_SOURCES="binance")
        day = date(2022, 12, 5)
        found = fetch(lambda c: ohlc.fetch_ohlc(c, settings, select("BTC,SRM,FTT,LUNC"), day, day, NOW))
        asked = {request.query.get("symbol") for request in server.requests}
    assert "binance delisted SRM (SRMUSDT) on 2022-11-28" in found.missing["SRM"]
    assert "binance delisted FTT (FTTUSDT) on 2022-11-15" in found.missing["FTT"]
    assert not asked & {"SRMUSDT", "FTTUSDT", "LUNAUSDT"}


def test_the_worst_recorded_hour_is_a_return(recorded: pl.DataFrame) -> None:
    """A real collapse is no seam: LUNA lost 87 % in one hour, without a hole."""
    rows = expected(recorded, next(event for event in EVENTS if event.symbol == "LUNC")).with_columns(
        symbol=pl.lit("LUNC")
    )
    worst = (rows["close"] / rows["close"].shift()).min()
    assert worst is not None and math.isclose(worst, 0.13333, rel_tol=1e-3)
    assert seams_of(rows, "close", "open").is_empty()
