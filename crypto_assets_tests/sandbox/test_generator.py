"""The generated market: the same for a seed whatever is asked, plausible, and marked as the sandbox's."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from crypto_assets.catalog import all_coins, by_symbol, select
from crypto_assets.catalog.listings import dated
from crypto_assets.narratives.tagging import tag_articles
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.sources import alternative_me, coingecko, coinmetrics, defillama, ohlc, rss
from crypto_assets.sources.client.http import SANDBOX_HEADER, Client
from crypto_assets.sources.fetched import Fetched
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests.sources.wire_server import fetch

UTC = timezone.utc
NOW = datetime(2024, 6, 1, 12, 30, tzinfo=UTC)
HOUR, DAY = 3600, 86_400
START, END = date(2024, 5, 28), date(2024, 5, 30)
COINS = select("BTC,ETH,SOL")
PRO: dict[str, Any] = {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "analyst"}
CHART, KLINES = "/api/v3/coins/bitcoin/market_chart/range", "/binance/api/v3/klines"
METRICS = "/v4/timeseries/asset-metrics"


def at(*parts: int) -> int:
    """Epoch seconds of a UTC time."""
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[arg-type,misc]


def ask(sandbox: Sandbox, path: str, status: int = 200, **params: Any) -> Any:
    """The parsed JSON of one request, once its status and the sandbox's mark are right."""
    answer = httpx.get(f"{sandbox.url}{path}", params=params, timeout=60)
    assert answer.status_code == status, answer.text[:200]
    assert answer.headers[SANDBOX_HEADER] == sandbox.backend.mark
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def settings(sandbox: Sandbox, **env: str) -> Settings:
    return Settings.from_env({**sandbox.env(), **env})


def _articles(client: Client, config: Settings, start: date, end: date, now: datetime) -> Any:
    return rss.fetch_articles(client, config, now)


# Every table that a provider feeds, and the source that reads it.
FETCHES: dict[str, Callable[[Client, Settings, date, date, datetime], Any]] = {
    "prices": lambda client, config, *days: coingecko.fetch_prices(client, config, COINS, *days),
    "ohlc": lambda client, config, *days: ohlc.fetch_ohlc(client, config, COINS, *days),
    "onchain_base": lambda client, config, *days: coinmetrics.fetch_onchain(client, config, COINS, *days),
    "defi_metrics": lambda client, config, *days: defillama.fetch_defi(client, config, ["Ethereum"], *days),
    "market_sentiment": alternative_me.fetch_fear_greed,
    "news_articles": _articles,
}


def read(
    sandbox: Sandbox, table: str, start: date = START, end: date = END, now: datetime = NOW, **env: str
) -> Fetched:
    """What our source of this table reads from the sandbox."""
    return fetch(lambda client: FETCHES[table](client, settings(sandbox, **env), start, end, now))


def rows(table: str, fetched: Fetched) -> pd.DataFrame:
    """The rows as the table would get them, once its contract held."""
    frame = tag_articles(fetched.frame, all_coins(), START, END) if table == "news_articles" else fetched.frame
    return CONTRACTS[table].validate(frame).to_pandas()


WINDOW = {"from": at(2024, 5, 1), "to": at(2024, 5, 3)}
ONCHAIN: dict[str, Any] = {"assets": "btc,eth", "metrics": "TxCnt,PriceUSD,FeeTotUSD,SplyCur,AssetEODCompletionTime"}
# One request of every kind of answer that depends on the seed.
ASKED: dict[str, dict[str, Any]] = {
    CHART: WINDOW,
    KLINES: {"symbol": "ETHUSDT", "startTime": at(2024, 5, 1) * 1000, "limit": 48},
    "/0/public/OHLC": {"pair": "XBTUSD", "interval": 60, "since": at(2024, 5, 30)},
    "/api/v3/coins/markets": {"ids": "bitcoin,solana"},
    METRICS: {**ONCHAIN, "start_time": "2024-05-01", "end_time": "2024-05-03"},
    "/v2/historicalChainTvl": {},
    "/v2/historicalChainTvl/Ethereum": {},
    "/stablecoincharts/all": {},
    "/fng/": {"limit": 0},
    "/rss/coindesk": {},
    "/rss/decrypt": {},
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def later() -> Iterator[Sandbox]:
    """The same seed, started 31 days and an hour and a half later."""
    with Sandbox(now=NOW + timedelta(days=31, minutes=90)) as running:
        yield running


@pytest.fixture(scope="module")
def bars(sandbox: Sandbox) -> pd.DataFrame:
    """90 days of a dozen coins, read by our source."""
    coins = [coin for coin in all_coins() if coin.binance][:12]
    config, end = settings(sandbox), date(2024, 5, 30)
    start = end - timedelta(days=89)
    fetched = fetch(lambda client: ohlc.fetch_ohlc(client, config, coins, start, end, NOW))
    return rows("ohlc", fetched)


def body(sandbox: Sandbox, path: str, **params: Any) -> bytes:
    answer = httpx.get(f"{sandbox.url}{path}", params=params, timeout=60)
    assert answer.status_code == 200
    return answer.content


def test_the_same_seed_is_the_same_market_byte_for_byte(sandbox: Sandbox) -> None:
    with Sandbox(now=NOW) as twin, Sandbox(now=NOW, seed=8) as stranger:
        for path, params in reversed(ASKED.items()):  # in another order than below: order must not matter
            body(twin, path, **params)
        for path, params in ASKED.items():
            expected = body(sandbox, path, **params)
            assert body(twin, path, **params) == expected, path
            assert body(stranger, path, **params) != expected, path


def test_a_past_hour_is_the_same_in_every_window(sandbox: Sandbox) -> None:
    wide = ask(sandbox, KLINES, symbol="SOLUSDT", startTime=at(2024, 4, 20) * 1000, limit=1000)
    for hour in (at(2024, 4, 20), at(2024, 5, 11, 7), at(2024, 5, 31, 15)):
        (narrow,) = ask(sandbox, KLINES, symbol="SOLUSDT", startTime=hour * 1000, endTime=hour * 1000)
        assert narrow in wide
    month = ask(sandbox, CHART, **{"from": at(2024, 4, 15), "to": at(2024, 5, 15)})
    hours = ask(sandbox, CHART, **{"from": at(2024, 5, 1), "to": at(2024, 5, 1, 2)})
    for name, points in hours.items():
        assert len(points) == 2
        assert all(point in month[name] for point in points), name
    days = ask(sandbox, METRICS, **ONCHAIN, start_time="2024-04-01", end_time="2024-05-15", page_size=1000)
    alone = ask(sandbox, METRICS, **ONCHAIN, start_time="2024-05-01", end_time="2024-05-01")
    assert len(alone["data"]) == 2
    assert all(row in days["data"] for row in alone["data"])


def test_a_renamed_coin_has_a_price_of_every_hour() -> None:
    """Also of the hour in which the provider's entry of it changed."""
    (ftm,) = select("FTM")
    (first,) = (one.begins for one in dated(ftm, "coingecko") if one.begins)
    start, end, now = first.date() - timedelta(days=1), first.date() + timedelta(days=1), first + timedelta(days=9)
    with Sandbox(now=now) as running:
        config = settings(running)
        found = fetch(lambda client: coingecko.fetch_prices(client, config, [ftm], start, end, now)).frame
    assert list(found["ts"]) == list(pd.date_range(start, periods=72, freq="h", tz="UTC"))


def test_a_past_price_is_the_same_when_asked_a_month_later(sandbox: Sandbox, later: Sandbox) -> None:
    assert body(sandbox, CHART, **WINDOW) == body(later, CHART, **WINDOW)
    then, now = (ask(s, "/fng/", limit=0)["data"] for s in (sandbox, later))
    assert now[-len(then) :] == then and len(now) == len(then) + 31
    for path in ("/v2/historicalChainTvl", "/stablecoincharts/all"):
        then, now = ask(sandbox, path), ask(later, path)
        assert now[: len(then)] == then and len(now) == len(then) + 31, path
    # An article of a closed day that both list (the newest 60 days) is the same article.
    old, new = ({tuple(row) for row in articles(s).to_numpy()} for s in (sandbox, later))
    shared = {row for row in old if date(2024, 5, 5) < row[-1].date() < NOW.date()}
    assert len(shared) > 500 and shared <= new


def articles(sandbox: Sandbox) -> pd.DataFrame:
    found = read(sandbox, "news_articles", now=sandbox.backend.now()).frame
    return found[["feed", "title", "summary", "url", "published_at"]]


def test_nothing_comes_from_the_future(sandbox: Sandbox) -> None:
    now = int(NOW.timestamp())
    points = ask(sandbox, CHART, **{"from": now - 7 * DAY, "to": now + 7 * DAY})["prices"]
    assert now - HOUR < points[-1][0] / 1000 <= now
    bars = ask(sandbox, KLINES, symbol="BTCUSDT", startTime=(now - 2 * HOUR) * 1000)
    assert now - HOUR < bars[-1][0] / 1000 <= now, "the bar in progress, as the provider gives it"
    for name in ("binance", "kraken", "coingecko"):
        finished = read(sandbox, "ohlc", NOW.date(), NOW.date(), OHLC_SOURCES=name, **PRO).frame
        assert finished["ts"].max() == datetime(2024, 6, 1, 11, tzinfo=UTC), name
    completed = ask(sandbox, METRICS, **ONCHAIN, start_time="2024-05-25", page_size=1000)["data"]
    assert max(int(row["AssetEODCompletionTime"]) for row in completed) <= now
    assert articles(sandbox)["published_at"].max() <= NOW


def test_a_day_completes_minutes_after_its_end() -> None:
    midnight = NOW.replace(hour=0, minute=0)

    def newest(now: timedelta) -> str:
        with Sandbox(now=midnight + now) as own:
            rows = ask(own, METRICS, assets="btc", metrics="TxCnt", start_time="2024-05-25")["data"]
        return str(rows[-1]["time"][:10])

    assert newest(timedelta(seconds=5)) == "2024-05-30"
    assert newest(timedelta(minutes=11)) == "2024-05-31"


def test_bars_are_plausible(bars: pd.DataFrame) -> None:
    assert (bars.groupby("symbol").size() == 90 * 24).all() and bars["symbol"].nunique() == 12
    values = bars[["open", "high", "low", "close"]]
    assert np.isfinite(values).all(axis=None) and (values > 0).all(axis=None)
    assert (bars["low"] <= values.min(axis=1)).all() and (bars["high"] >= values.max(axis=1)).all()
    assert (bars["volume"] > 0).all() and np.isfinite(bars["volume"]).all()
    for _, coin in bars.groupby("symbol"):
        assert (coin["open"].iloc[1:].to_numpy() == coin["close"].iloc[:-1].to_numpy()).all(), "bars join"
        assert coin["volume"].std() > 0
        moves = np.abs(np.diff(np.log(coin["close"])))
        assert 0 < moves.max() < 0.2, "no hour doubles or halves a price"


def returns(bars: pd.DataFrame) -> pd.DataFrame:
    closes = bars.pivot(index="ts", columns="symbol", values="close")
    return closes.apply(np.log).diff().dropna()


def test_coins_move_together_and_stable_ones_do_not_move(bars: pd.DataFrame) -> None:
    moving = [symbol for symbol in bars["symbol"].unique() if by_symbol()[symbol].consensus != "stable"]
    together = returns(bars)[moving].corr().to_numpy()[np.triu_indices(len(moving), 1)]
    assert together.min() > 0.3 and together.max() < 0.99, "correlated, yet each coin is its own"


def test_stable_coins_stay_at_a_dollar(sandbox: Sandbox) -> None:
    stable = [coin for coin in all_coins() if coin.consensus == "stable" and coin.coingecko][:3]
    config = settings(sandbox)
    fetched = fetch(lambda client: coingecko.fetch_prices(client, config, stable, START, START, NOW))
    prices = rows("prices", fetched)["price_usd"]
    assert len(prices) == 24 * len(stable) > 0
    assert prices.between(0.97, 1.03).all() and prices.std() > 0


def test_volume_follows_the_moves(bars: pd.DataFrame) -> None:
    bitcoin = bars[bars["symbol"] == "BTC"]
    moves = (bitcoin["close"] / bitcoin["open"] - 1).abs()
    assert moves.rank().corr(bitcoin["volume"].rank()) > 0.2


def test_onchain_values_are_positive_and_agree_with_each_other(sandbox: Sandbox) -> None:
    coins = [coin for coin in all_coins() if coin.coinmetrics][:8]
    config = settings(sandbox)
    start, end = date(2024, 2, 1), date(2024, 5, 30)
    fetched = fetch(lambda client: coinmetrics.fetch_onchain(client, config, coins, start, end, NOW))
    frame = rows("onchain_base", fetched)
    assert len(frame) == 120 * 8 and fetched.missing == {}
    values = frame.select_dtypes("number")
    assert (values.fillna(1) > 0).all(axis=None)
    mined = frame["symbol"].map(lambda symbol: by_symbol()[symbol].consensus == "pow")
    assert set(mined) == {True, False}
    for name in ("hash_rate", "difficulty"):
        assert (frame[name].notna() == mined).all(), "only mined coins have one"
    assert frame["transfers_above_1m_usd"].isna().all(), "the community API does not have it"
    assert values.drop(columns=["hash_rate", "difficulty", "transfers_above_1m_usd"]).notna().all(axis=None)
    assert np.allclose(frame["supply_current"] * frame["price_usd"], frame["market_cap_usd"], rtol=1e-9)
    assert np.allclose(frame["market_cap_usd"] / frame["realized_cap_usd"], frame["mvrv_provider"], rtol=1e-9)
    for name in ("transaction_count", "active_addresses"):
        assert (frame[name] == frame[name].round()).all(), "counts are whole"
    lag = frame["available_at"] - pd.to_datetime(frame["date"], utc=True) - pd.Timedelta(days=1)
    assert (lag > pd.Timedelta(0)).all() and (lag <= pd.Timedelta(minutes=10)).all()


def test_onchain_price_is_the_close_of_the_day(sandbox: Sandbox) -> None:
    (day,) = ask(sandbox, METRICS, assets="btc", metrics="PriceUSD", start_time="2024-05-29", end_time="2024-05-29")[
        "data"
    ]
    last = ask(sandbox, KLINES, symbol="BTCUSDT", startTime=at(2024, 5, 29, 23) * 1000, limit=1)
    assert day["PriceUSD"] == last[0][4]


def test_articles_name_known_coins_over_all_feeds(sandbox: Sandbox) -> None:
    found = rows("news_articles", read(sandbox, "news_articles"))
    assert set(found["feed"]) == {"coindesk", "cointelegraph", "decrypt", "bitcoinmagazine", "theblock"}
    assert len(found) == 90, "30 a day"
    assert (found["symbols"].str.len() > 0).mean() > 0.5
    assert found["summary"].notna().all() and not found["summary"].str.contains("<").any()


@pytest.mark.parametrize("table", FETCHES)
def test_every_row_keeps_the_contract_and_says_sandbox(sandbox: Sandbox, table: str) -> None:
    fetched = read(sandbox, table)
    frame = rows(table, fetched)
    assert set(pd.to_datetime(frame["date"]).dt.date) == set(pd.date_range(START, END).date)
    assert set(frame["source"].str.partition("/")[0]) == {"sandbox"}
    assert fetched.missing == {} and fetched.digests
    if table in ("prices", "ohlc"):
        assert frame.groupby("symbol").size().to_dict() == {"BTC": 72, "ETH": 72, "SOL": 72}
        assert frame.notna().all(axis=None)


def test_every_bar_source_reads_the_same_market(sandbox: Sandbox) -> None:
    values = ["symbol", "ts", "open", "high", "low", "close"]
    reference = rows("ohlc", read(sandbox, "ohlc", OHLC_SOURCES="binance"))
    for name in ("kraken", "coingecko"):
        found = rows("ohlc", read(sandbox, "ohlc", OHLC_SOURCES=name, **PRO))
        assert set(found["source"]) == {f"sandbox/{name}"}
        found = found[found["ts"] >= pd.Timestamp(START, tz="UTC")].reset_index(drop=True)
        pd.testing.assert_frame_equal(found[values], reference[values], check_exact=True)


def test_unlisted_coins_are_missing_not_made_up(sandbox: Sandbox) -> None:
    coin = next(coin for coin in all_coins() if not coin.binance and not coin.kraken)
    config = settings(sandbox)
    days = START, START, NOW
    asked = [by_symbol()["BTC"], coin]
    fetched = fetch(lambda client: ohlc.fetch_ohlc(client, config, asked, *days))
    assert set(fetched.frame["symbol"]) == {"BTC"} and set(fetched.missing) == {coin.symbol}
    assert fetched.missing[coin.symbol].startswith("no source lists it: ")


def test_contracts_of_every_coin_quote_the_newest_bar_and_keep_no_history() -> None:
    with Sandbox(seed=7, now=NOW) as fresh:
        tracemalloc.start()
        try:
            contracts = ask(fresh, "/api/v3/derivatives")
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        last = ask(fresh, KLINES, symbol="BTCUSDT", startTime=at(2024, 6, 1, 12) * 1000)
    assert len({row["index_id"] for row in contracts}) > 200
    assert {row["price"] for row in contracts if row["index_id"] == "BTC"} == {last[0][4]}
    assert {row["last_traded_at"] for row in contracts} == {at(2024, 6, 1, 12)}
    assert kept < 50e6, "the bars of all these coins are a gigabyte"


def test_a_window_has_the_rows_that_the_whole_has_there(sandbox: Sandbox) -> None:
    first, last = at(2024, 5, 20) * 1000, at(2024, 5, 24) * 1000
    for path, params, stamp in (
        ("/binance-futures/fapi/v1/fundingRate", {"symbol": "BTCUSDT"}, "fundingTime"),
        ("/binance-futures/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1h"}, 0),
        ("/binance-futures/fapi/v1/indexPriceKlines", {"pair": "BTCUSDT", "interval": "1h"}, 0),
    ):
        whole = ask(sandbox, path, startTime=at(2024, 5, 10) * 1000, limit=1000, **params)
        part = ask(sandbox, path, startTime=first, endTime=last, limit=1000, **params)
        assert part == [row for row in whole if first <= row[stamp] <= last] and 0 < len(part) < len(whole)
    days = {"assets": "btc", "metrics": "PriceUSD,TxCnt", "page_size": 1000}
    known = ask(sandbox, METRICS, start_time="2024-05-01", **days)["data"]
    asked = ask(sandbox, METRICS, start_time="2024-05-20", end_time="2024-05-24", **days)["data"]
    assert asked == [row for row in known if "2024-05-20" <= row["time"][:10] <= "2024-05-24"] and len(asked) == 5
