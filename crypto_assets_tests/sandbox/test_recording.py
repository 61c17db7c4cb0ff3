"""A replay through our sources, kind by kind: the recording's own numbers, and nothing that is not in it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import httpx
import pandas as pd
import polars as pl
import pytest

from crypto_assets.catalog import select
from crypto_assets.errors import ShortAnswerError, SourceError, UsageError
from crypto_assets.sandbox.replay import overlap
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.sources import alternative_me, coingecko, coinmetrics, defillama, ohlc, rss
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests.sandbox.test_generator import CHART, KLINES, METRICS, UTC, ask, at, settings
from crypto_assets_tests.sources.wire_server import fetch

D1, D2, D3 = date(2021, 1, 1), date(2021, 1, 2), date(2021, 1, 3)
NOW = datetime(2021, 1, 10, tzinfo=UTC)
HOURS = [datetime(2021, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(72)]
HOLE = HOURS[30]  # 2021-01-02 06:00
COINS = select("BTC,ETH,SOL")
# Values that no rounding on the way would leave alone.
CHAIN = [
    ("btc", D1, 1001122.0, 0.1 + 0.2, 5.0e11 / 3, 1609545600 + 5400),
    ("btc", D2, 1001123.0, None, 5.1e11 / 3, 1609632000 + 5400),
    ("btc", D3, 1001124.0, 1e-7, 5.2e11 / 3, 1609718400 + 5400),
    ("eth", D1, 500.0, 2 / 3, None, 1609545600 + 7200),
]
GREED = {D1: 94, D2: 94, D3: 93}
TVL = {D1: 15_000_000_000.125, D2: 1.6e10 / 3, D3: 17e9}
STABLE = {D1: 29e9, D2: 2.9e10 / 7, D3: 31e9}
NEWS = "date;sentiment;source;subject;text;title;url\n" + "".join(
    f"0{n}-01-2021 0{n}:30;{{}};Paper;bitcoin;Text of & <b>{n}</b>;Bitcoin's day < {n} & more;https://news.example/{n}\n"
    for n in (1, 2, 3)
)


def bars() -> pd.DataFrame:
    """Two coins; BTC lacks an hour, ETH has one without trades."""
    found = []
    for base, symbol in ((29_000.0, "BTC/USDT"), (730.0, "ETH/USDT")):
        for n, ts in enumerate(HOURS):
            if (symbol, ts) != ("BTC/USDT", HOLE):
                price = base * (1 + n / 700)
                volume = 0.0 if (symbol[:3], n) == ("ETH", 5) else 10 / 3 + n
                found.append(("x", "spot", symbol, ts, price, price * 1.01, price / 1.01, price * 1.005, volume))
    columns = ["exchange", "market", "symbol", "ts", "open", "high", "low", "close", "volume"]
    return pd.DataFrame(found, columns=columns).astype({"ts": "datetime64[us, UTC]"})


def write(folder: Path) -> Path:
    for name in ("ohlcv_hourly", "sentiment", "tvl", "news"):
        (folder / name).mkdir(parents=True)
    bars().to_parquet(folder / "ohlcv_hourly" / "binance_spot_1h_2020-12_2021-07.parquet")
    columns = ["asset", "date", "TxCnt", "FeeTotUSD", "CapMrktCurUSD", "AssetEODCompletionTime"]
    pd.DataFrame(CHAIN, columns=columns).to_parquet(folder / "coinmetrics_daily_2020-04_2021-04.parquet")
    for path, name, values in (
        ("sentiment/fear_greed_2018-02_2023-12.csv.gz", "date", GREED),
        ("tvl/defillama_total_tvl_2017-09_2023-12.csv.gz", "as_of", TVL),
        ("tvl/defillama_stablecoin_supply_2017-11_2023-12.csv.gz", "as_of", STABLE),
    ):
        text = f"{name},value\n" + "".join(f"{day},{value!r}\n" for day, value in values.items())
        (folder / path).write_bytes(gzip.compress(text.encode()))
    (folder / "news" / "cryptonews_2021-10_2022-04.csv.gz").write_bytes(gzip.compress(NEWS.encode()))
    return folder


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(data=write(tmp_path_factory.mktemp("recording"))) as running:
        yield running


def test_bars_are_the_recorded_ones_hole_and_all(sandbox: Sandbox) -> None:
    config = settings(sandbox)
    fetched = fetch(lambda client: ohlc.fetch_ohlc(client, config, COINS, D1, D3, NOW))
    found = CONTRACTS["ohlc"].validate(fetched.frame).to_pandas()
    recorded = bars().assign(symbol=lambda frame: frame["symbol"].str.partition("/")[0])
    columns = ["symbol", "ts", "open", "high", "low", "close", "volume"]
    pd.testing.assert_frame_equal(found[columns], recorded[columns], check_exact=True)
    assert set(found["source"]) == {"sandbox-replay/binance_usdt"}
    assert set(fetched.missing) == {"SOL"} and fetched.missing["SOL"].startswith("no source lists it: ")


def test_prices_are_the_closes_and_volume_is_known_after_a_whole_day_only(sandbox: Sandbox) -> None:
    config = settings(sandbox)
    fetched = fetch(lambda client: coingecko.fetch_prices(client, config, COINS, D1, D3, NOW))
    found = CONTRACTS["prices"].validate(fetched.frame).to_pandas().set_index(["symbol", "ts"])
    recorded = bars().assign(symbol=lambda frame: frame["symbol"].str.partition("/")[0])
    for symbol, coin in recorded.groupby("symbol"):
        marks, turnover = coin["ts"] + pd.Timedelta(hours=1), coin["close"] * coin["volume"]
        inside = marks < pd.Timestamp(D3, tz="UTC") + pd.Timedelta(days=1)
        assert list(found.loc[symbol].index) == list(marks[inside])
        assert list(found.loc[symbol]["price_usd"]) == list(coin["close"][inside])
        known = found.loc[symbol]["volume_24h_usd"].dropna()
        first = marks.iloc[23]
        assert known.index[0] == first and known.iloc[0] == pytest.approx(turnover.iloc[:24].sum())
    volume = found.loc["BTC"]["volume_24h_usd"]
    after = pd.Timestamp(HOLE) + pd.Timedelta(hours=2)
    assert volume[after : after + pd.Timedelta(hours=21)].isna().all(), "not with an hour missing in the day before"
    assert "SOL" in fetched.missing and set(found["source"]) == {"sandbox-replay/coingecko"}


def test_onchain_values_are_the_recorded_floats(sandbox: Sandbox) -> None:
    config = settings(sandbox)
    fetched = fetch(lambda client: coinmetrics.fetch_onchain(client, config, COINS, D1, D3, NOW))
    found = CONTRACTS["onchain_base"].validate(fetched.frame).rows(named=True)
    names = ("symbol", "date", "transaction_count", "fees_usd", "market_cap_usd")
    assert [tuple(row[name] for name in names) for row in found] == [(r[0].upper(), *r[1:5]) for r in CHAIN]
    assert [int(row["available_at"].timestamp()) for row in found] == [row[5] for row in CHAIN]
    assert all(row["hash_rate"] is None for row in found), "never recorded"
    assert "does not know 'sol'" in fetched.missing["SOL"]


def test_an_unrecorded_metric_or_day_is_absent_on_the_wire(sandbox: Sandbox) -> None:
    body = ask(sandbox, METRICS, assets="btc", metrics="TxCnt,FeeTotUSD,HashRate", start_time="2021-01-02")
    first, second = body["data"]
    assert set(first) == {"asset", "time", "TxCnt"} and set(second) == {"asset", "time", "TxCnt", "FeeTotUSD"}
    assert ask(sandbox, METRICS, assets="btc", metrics="TxCnt", start_time="2021-01-04") == {"data": []}
    assert ask(sandbox, KLINES, symbol="BTCUSDT", startTime=at(2021, 1, 4) * 1000) == []
    assert ask(sandbox, CHART, **{"from": at(2021, 1, 5), "to": at(2021, 1, 6)})["prices"] == []


def test_what_was_not_recorded_is_answered_as_the_unknown(sandbox: Sandbox) -> None:
    assert ask(sandbox, KLINES, 400, symbol="SOLUSDT")["code"] == -1121
    assert ask(sandbox, "/0/public/OHLC", pair="SOLUSD") == {"error": ["EQuery:Unknown asset pair"]}
    assert ask(sandbox, "/api/v3/coins/solana/market_chart/range", 404) == {"error": "coin not found"}
    assert [row["id"] for row in ask(sandbox, "/api/v3/coins/markets", ids="solana,bitcoin")] == ["bitcoin"]
    assert "'sol'" in ask(sandbox, METRICS, 400, assets="sol", metrics="TxCnt")["error"]["message"]
    for path in ("/v2/historicalChainTvl/Ethereum", "/stablecoincharts/Ethereum"):
        ask(sandbox, path, 404)
    assert httpx.get(f"{sandbox.url}/rss/coindesk").status_code == 404


def test_daily_series_are_the_recorded_ones(sandbox: Sandbox) -> None:
    config = settings(sandbox)
    defi = fetch(lambda client: defillama.fetch_defi(client, config, ["Ethereum"], D1, D3, NOW))
    frame = CONTRACTS["defi_metrics"].validate(defi.frame)
    assert dict(zip(frame["date"], frame["tvl_usd"], strict=True)) == TVL
    assert dict(zip(frame["date"], frame["stablecoin_supply_usd"], strict=True)) == STABLE
    assert set(frame["entity"]) == {"all"} and "does not know" in defi.missing["Ethereum"]
    greed = fetch(lambda client: alternative_me.fetch_fear_greed(client, config, D1, D3, NOW)).frame
    assert dict(zip(greed["date"], greed["fear_greed_index"], strict=True)) == GREED
    assert set(frame["source"]) | set(greed["source"]) == {"sandbox-replay/defillama", "sandbox-replay/alternative_me"}


@pytest.mark.parametrize("kind", ["defi", "greed", "onchain", "bars"])
def test_days_after_the_recording_are_a_short_answer_not_yesterdays_values(sandbox: Sandbox, kind: str) -> None:
    config, day = settings(sandbox), date(2021, 1, 5)
    asked = {
        "defi": lambda client: defillama.fetch_defi(client, config, [], day, day, NOW),
        "greed": lambda client: alternative_me.fetch_fear_greed(client, config, day, day, NOW),
        "onchain": lambda client: coinmetrics.fetch_onchain(client, config, COINS, day, day, NOW),
        "bars": lambda client: ohlc.fetch_ohlc(client, config, COINS, day, day, NOW),
    }[kind]
    with pytest.raises(ShortAnswerError, match="2021-01-05"):
        fetch(asked)


def test_articles_keep_their_words_and_times(sandbox: Sandbox) -> None:
    config = settings(sandbox)
    found = fetch(lambda client: rss.fetch_articles(client, config, NOW)).frame
    assert list(found["title"]) == [f"Bitcoin's day < {n} & more" for n in (1, 2, 3)]
    assert list(found["summary"]) == [f"Text of & {n}" for n in (1, 2, 3)]
    assert list(found["url"]) == [f"https://news.example/{n}" for n in (1, 2, 3)]
    assert list(found["published_at"]) == [datetime(2021, 1, n, n, 30, tzinfo=UTC) for n in (1, 2, 3)]
    assert set(found["source"]) == {"sandbox-replay/rss"} and set(found["feed"]) == {"cryptonews"}


def test_overlap_is_what_every_kind_covers(tmp_path: Path) -> None:
    folder = write(tmp_path / "r")
    assert overlap(folder) == (D1, D3)
    greed = folder / "sentiment" / "fear_greed_2018-02_2023-12.csv.gz"
    greed.write_bytes(gzip.compress(b"date,value\n2021-01-02,5\n2021-01-09,6\n"))
    assert overlap(folder) == (D2, D3), "the shortest kind decides on each side"
    greed.write_bytes(gzip.compress(b"date,value\n2021-02-02,5\n"))
    with pytest.raises(UsageError, match="no day in common; give --end and --days"):
        overlap(folder)


def test_overlap_counts_whole_days_of_bars_only(tmp_path: Path) -> None:
    folder = write(tmp_path / "r")
    inside = (bars()["ts"] > pd.Timestamp(HOURS[0])) & (bars()["ts"] < pd.Timestamp(HOURS[-1]))
    bars()[inside].to_parquet(folder / "ohlcv_hourly" / "binance_spot_1h_2020-12_2021-07.parquet")
    assert overlap(folder) == (D2, D2)


def test_real_recordings_come_out_exactly(shared: Path) -> None:
    folder = shared / "data"
    name = folder / "ohlcv_hourly" / "binance_spot_1h_2020-12_2021-07.parquet"
    if not name.exists():
        pytest.skip("no recorded bars beside the repository (set CRYPTO_ASSETS_SHARED)")
    start, end = date(2021, 2, 10), date(2021, 2, 12)  # 2021-02-11 04:00 is one of Binance's outages
    coins = select("ADA,LTC,XRP")  # no other recording holds these
    recorded = pl.read_parquet(name).with_columns(symbol=pl.col("symbol").str.split("/").list[0])
    wanted = [coin.symbol for coin in coins]
    part = recorded.filter(pl.col("symbol").is_in(wanted), pl.col("ts").dt.date().is_between(start, end))
    columns = ["open", "high", "low", "close", "volume"]
    with Sandbox(data=folder) as sandbox:
        config = settings(sandbox)
        frame = fetch(lambda client: ohlc.fetch_ohlc(client, config, coins, start, end, datetime.now(UTC))).frame
    ours = CONTRACTS["ohlc"].validate(frame)
    assert ours.height == part.height == 3 * 71
    assert ours.select(columns).rows() == part.sort("symbol", "ts").select(columns).rows()
    assert overlap(folder)[0] <= date(2021, 1, 1) and overlap(folder)[1] >= date(2021, 4, 30)


def test_errors_of_a_replay_say_which_source_failed(tmp_path: Path) -> None:
    with Sandbox(data=write(tmp_path / "r"), fault="route=OHLC,status=403") as broken:
        config = settings(broken, OHLC_SOURCES="kraken")
        with pytest.raises(SourceError, match=r"kraken .*OHLC"):
            fetch(lambda client: ohlc.fetch_ohlc(client, config, COINS[:1], D1, D3, NOW))
