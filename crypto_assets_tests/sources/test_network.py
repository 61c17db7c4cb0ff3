"""Chain data without a key, from a server of our own; and the recorded charts, value by value."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pandas as pd
import polars as pl
import pytest

from crypto_assets.catalog import select
from crypto_assets.errors import ShortAnswerError
from crypto_assets.sources import network
from crypto_assets.sources.fetched import Fetched
from crypto_assets.tables.network import CHARTS, NETWORK_METRICS
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve, shared

UTC = timezone.utc
D1, D2, NOW = date(2024, 1, 2), date(2024, 1, 3), datetime(2024, 1, 5, tzinfo=UTC)
S1 = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp())
S2 = S1 + 86_400


def answer(request: Request) -> Any:
    if "fee-rates" in request.path:
        return [
            {"timestamp": S1 + 60, "avgFee_50": 10},
            {"timestamp": S1 + 70_000, "avgFee_50": 14},
            {"timestamp": "x"},
        ]
    if "/overview/" in request.path:
        if "Bitcoin" in request.path:
            return Reply({"message": "Chain not found"}, 404)
        return {"totalDataChart": [[S1, 5e8], [S2, None]]}
    assert request.query["sampled"] == "false" and request.query["timespan"] == "all"
    values = [{"x": S1, "y": 100.5}, {"x": S2, "y": 101.5}]
    return {"values": [*values, {"x": S2, "y": 7.0}] if "n-transactions" in request.path else values}


def ask(server: Any = answer, start: date = D1, end: date = D2, now: datetime = NOW) -> Fetched:
    with serve(server) as running:
        settings = running.settings()
        return fetch(lambda client: network.fetch_network(client, settings, select("BTC,ETH"), start, end, now))


def test_each_provider_fills_its_columns_and_a_null_stays_null() -> None:
    found = ask()
    rows = {(r["symbol"], r["date"]): r for r in NETWORK_METRICS.validate(found.frame).to_dicts()}
    assert rows.keys() == {("BTC", D1), ("BTC", D2), ("ETH", D1)}
    first = rows["BTC", D1]
    assert (first["transactions"], first["median_fee_rate"], first["dex_volume_usd"]) == (100.5, 12.0, None)
    assert first["available_at"] == datetime(2024, 1, 3, 6, tzinfo=UTC)
    assert first["source"] == "blockchain+mempool"
    assert rows["BTC", D2]["transactions"] is None, "given twice with different values"
    assert rows["BTC", D2]["hash_rate"] == 101.5
    assert (rows["ETH", D1]["dex_volume_usd"], rows["ETH", D1]["transactions"]) == (5e8, None)
    assert {r.reason for r in found.set_aside} == {"given twice with different values", "its time cannot be read"}
    assert not found.failed and "HTTP 404" in found.missing["BTC dex_volume_usd"]


def test_a_day_that_bitcoin_lacks_is_an_error_once_it_is_due() -> None:
    with pytest.raises(ShortAnswerError, match="no value of BTC for 2024-01-04"):
        ask(end=date(2024, 1, 4), now=datetime(2024, 1, 5, 7, tzinfo=UTC))
    assert not ask(end=date(2024, 1, 4), now=datetime(2024, 1, 5, 5, tzinfo=UTC)).frame.empty, "not due before 06:00"
    assert ask(start=date(2024, 1, 5), end=date(2024, 1, 5)).calls == 0


def test_the_table_equals_the_recorded_charts() -> None:
    recording = pd.concat(
        pd.read_parquet(shared("series", "blockchain_charts", name))
        for name in ("btc_daily_2009_2021.parquet", "btc_23_charts_2019-05_2022-04.parquet")
    )
    recording = recording.assign(day=recording["date"].str[:10]).drop_duplicates(["chart", "day"])
    charts = {name: dict(zip(g["day"], g["value"], strict=True)) for name, g in recording.groupby("chart")}

    def recorded(request: Request) -> Any:
        name = request.path.rpartition("/")[2]
        if name not in charts:
            return Reply({"error": "not found"}, 404)
        epoch = {day: int(pd.Timestamp(day, tz="UTC").timestamp()) for day in charts[name]}
        return {"values": [{"x": epoch[day], "y": value} for day, value in sorted(charts[name].items())]}

    start, end = date(2019, 6, 1), date(2021, 12, 31)
    rows = NETWORK_METRICS.validate(ask(recorded, start, end).frame).filter(pl.col("symbol") == "BTC")
    cells = 0
    for column, chart in CHARTS.items():
        wanted = {day: value for day, value in charts[chart].items() if str(start) <= day <= str(end)}
        got = {str(day): value for day, value in rows.select("date", column).rows() if value is not None}
        assert got == wanted, column
        cells += len(wanted)
    assert cells > 6_000
