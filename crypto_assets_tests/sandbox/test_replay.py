"""A replay gives the recording's own numbers, and nothing that is not in it."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timezone
from pathlib import Path

import polars as pl
import pytest

from crypto_assets.catalog import by_symbol, select
from crypto_assets.dates import DAY, midnight
from crypto_assets.errors import NotListedError, UsageError
from crypto_assets.sandbox.replay import Replay, overlap
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.sources import binance, coinmetrics, ohlc
from crypto_assets.sources.client.http import Client
from crypto_assets_tests import scenario


def fetch(sandbox: Sandbox, call):
    async def run():
        async with Client(max_attempts=2, backoff=0.01) as client:
            return await call(client, Settings.from_env(sandbox.env()))

    return asyncio.run(run())


def test_bars_come_out_as_they_were_recorded(tmp_path: Path) -> None:
    recording = scenario.write(tmp_path)
    with Sandbox(data=recording) as sandbox:
        fetched = fetch(
            sandbox,
            lambda client, settings: ohlc.fetch_ohlc(
                client, settings, select(scenario.COINS), scenario.START, scenario.END, datetime.now(timezone.utc)
            ),
        )
    found = fetched.frame.set_index(["symbol", "ts"])
    recorded = scenario.bars().assign(symbol=lambda f: f["symbol"].str.split("/").str[0])
    inside = recorded[(recorded["ts"] >= midnight(scenario.START)) & (recorded["ts"] < midnight(scenario.END + DAY))]
    expected = inside.drop_duplicates(["symbol", "ts"]).set_index(["symbol", "ts"])
    assert set(found.index) == set(expected.index)
    for name in ("open", "high", "low", "close", "volume"):
        assert (found[name].sort_index() == expected[name].sort_index()).all(), name
    assert set(fetched.frame["source"]) == {"sandbox-replay/binance_usdt"}


def test_a_coin_that_is_not_recorded_is_not_listed(tmp_path: Path) -> None:
    recording = scenario.write(tmp_path)
    with Sandbox(data=recording) as sandbox, pytest.raises(NotListedError):
        fetch(
            sandbox,
            lambda client, settings: binance.fetch_ohlc(
                client, settings, by_symbol()["SOL"], scenario.START, scenario.END, datetime.now(timezone.utc)
            ),
        )


def test_the_overlap_is_where_every_kind_is(tmp_path: Path) -> None:
    assert overlap(scenario.write(tmp_path)) == (scenario.START, scenario.END)


def test_file_names_may_differ_and_kinds_may_lack(tmp_path: Path) -> None:
    recording = scenario.write(tmp_path)
    for path in list(recording.rglob("*_2*")):
        if path.is_file():
            path.rename(path.with_name(path.name.replace("_2021", "_later_2021").replace("2023-12", "2031-12")))
    assert overlap(recording) == (scenario.START, scenario.END)
    for path in (recording / "tvl").iterdir():
        path.unlink()
    replay = Replay(recording)
    assert replay.tvl("all") is None
    assert replay.bars("BTC") is not None


def test_a_folder_without_recordings_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no recording"):
        Replay(tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        Replay(tmp_path / "nowhere")


def test_real_onchain_days_come_out_exactly(shared: Path) -> None:
    start, end = date(2019, 5, 1), date(2019, 5, 31)
    coins = select("BTC,ETH,LTC")
    with Sandbox(data=shared / "data") as sandbox:
        fetched = fetch(
            sandbox,
            lambda client, settings: coinmetrics.fetch_onchain(
                client, settings, coins, start, end, datetime.now(timezone.utc)
            ),
        )
    recorded = pl.read_parquet(shared / "data" / "coinmetrics_daily_to_2020-03.parquet").filter(
        pl.col("asset").is_in([coin.coinmetrics for coin in coins]),
        pl.col("date").cast(pl.Date).is_between(start, end),
    )
    names = {coin.coinmetrics: coin.symbol for coin in coins}
    found = {(row["symbol"], row["date"]): row for row in fetched.frame.to_dict("records")}
    assert len(found) == recorded.height == 93
    for row in recorded.to_dicts():
        ours = found[(names[row["asset"]], date.fromisoformat(str(row["date"])[:10]))]
        for column, metric in (
            ("active_addresses", "AdrActCnt"), ("transaction_count", "TxCnt"), ("market_cap_usd", "CapMrktCurUSD"),
            ("realized_cap_usd", "CapRealUSD"), ("transfer_volume_usd", "TxTfrValAdjUSD"), ("hash_rate", "HashRate"),
        ):  # fmt: skip
            value = ours[column]
            assert (None if value != value else value) == row[metric], (row["asset"], row["date"], column)
