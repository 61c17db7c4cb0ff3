"""The sandbox speaks the providers' wire formats, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime, timezone

import httpx
import pytest

from crypto_assets.errors import InstanceError, UsageError
from crypto_assets.sandbox.server import Sandbox

NOW = datetime(2024, 5, 4, 10, 20, tzinfo=timezone.utc)
FROM, TO = 1714521600, 1714607999  # 2024-05-01


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=3, now=NOW) as found:
        yield found


def get(sandbox: Sandbox, path: str, **params: object) -> httpx.Response:
    return httpx.get(f"{sandbox.url}{path}", params={k: str(v) for k, v in params.items()})


def chart(sandbox: Sandbox, coin: str = "bitcoin", **params: object) -> httpx.Response:
    window = {"vs_currency": "usd", "from": FROM, "to": TO, "interval": "hourly", **params}
    return get(sandbox, f"/api/v3/coins/{coin}/market_chart/range", **window)


def test_every_answer_says_that_it_is_the_sandboxs(sandbox: Sandbox) -> None:
    assert chart(sandbox).headers["X-Crypto-Assets-Sandbox"] == "sandbox"
    assert get(sandbox, "/nowhere").headers["X-Crypto-Assets-Sandbox"] == "sandbox"


def test_coingecko_charts_are_milliseconds_some_seconds_after_the_hour(sandbox: Sandbox) -> None:
    body = chart(sandbox).json()
    assert set(body) == {"prices", "market_caps", "total_volumes"}
    stamps = [point[0] for point in body["prices"]]
    assert len(stamps) == 24
    assert all(FROM * 1000 <= stamp <= TO * 1000 and 0 < stamp % 3_600_000 < 60_000 for stamp in stamps)
    assert chart(sandbox, coin="nosuchcoin").status_code == 404
    assert chart(sandbox, to=FROM + 101 * 86_400).json()["error"]["status"]["error_code"] == 10012


def test_without_an_interval_long_ranges_are_daily(sandbox: Sandbox) -> None:
    window = {"vs_currency": "usd", "to": TO}
    long = get(sandbox, "/api/v3/coins/bitcoin/market_chart/range", **window, **{"from": TO - 91 * 86_400}).json()
    short = get(sandbox, "/api/v3/coins/bitcoin/market_chart/range", **window, **{"from": TO - 90 * 86_400}).json()
    assert len(long["prices"]) in (91, 92)
    assert len(short["prices"]) == 90 * 24


def test_coingecko_candles_are_stamped_with_their_close(sandbox: Sandbox) -> None:
    rows = get(
        sandbox, "/api/v3/coins/bitcoin/ohlc/range", vs_currency="usd", interval="hourly", to=TO + 1, **{"from": FROM}
    ).json()
    bars = get(
        sandbox, "/binance/api/v3/klines", symbol="BTCUSDT", interval="1h", startTime=FROM * 1000, limit=24
    ).json()
    closes = {row[0]: row[1:] for row in rows}
    assert closes[bars[0][0] + 3_600_000] == [float(value) for value in bars[0][1:5]]


def test_markets_by_page(sandbox: Sandbox) -> None:
    rows = get(sandbox, "/api/v3/coins/markets", vs_currency="usd", ids="bitcoin,ethereum,nosuch", per_page=1).json()
    assert [row["id"] for row in rows] == ["bitcoin"]
    assert (
        get(sandbox, "/api/v3/coins/markets", ids="bitcoin,ethereum", per_page=1, page=2).json()[0]["id"] == "ethereum"
    )


def test_binance_klines_are_strings_within_the_limit(sandbox: Sandbox) -> None:
    rows = get(sandbox, "/binance/api/v3/klines", symbol="BTCUSDT", interval="1h", startTime=0, limit=5000).json()
    assert len(rows) == 1000
    opened, *values = rows[0]
    assert opened % 3_600_000 == 0
    assert all(isinstance(value, str) for value in values[:5])
    assert rows[0][6] == opened + 3_599_999
    o, high, low, close = map(float, values[:4])
    assert low <= min(o, close) <= max(o, close) <= high
    unknown = get(sandbox, "/binance/api/v3/klines", symbol="NOPEUSDT", interval="1h")
    assert (unknown.status_code, unknown.json()["code"]) == (400, -1121)


def test_kraken_gives_720_candles_in_its_envelope(sandbox: Sandbox) -> None:
    body = get(sandbox, "/0/public/OHLC", pair="XBTUSD", interval=60, since=0).json()
    assert body["error"] == []
    ((_, rows),) = [(k, v) for k, v in body["result"].items() if k != "last"]
    assert len(rows) == 720
    assert rows[-1][0] == int(NOW.timestamp()) // 3600 * 3600, "the last candle is in progress"
    assert body["result"]["last"] == rows[-2][0]
    unknown = get(sandbox, "/0/public/OHLC", pair="NOPE", interval=60)
    assert (unknown.status_code, unknown.json()["error"]) == (200, ["EQuery:Unknown asset pair"])


def test_coinmetrics_pages_of_strings(sandbox: Sandbox) -> None:
    params = {"assets": "btc,eth", "metrics": "PriceUSD,TxCnt,AssetEODCompletionTime", "frequency": "1d"}
    window = {"start_time": "2024-05-01", "end_time": "2024-05-03", "page_size": 4, "paging_from": "start"}
    first = get(sandbox, "/v4/timeseries/asset-metrics", **params, **window).json()
    assert len(first["data"]) == 4
    assert all(isinstance(value, str) for row in first["data"] for value in row.values())
    second = get(
        sandbox, "/v4/timeseries/asset-metrics", **params, **window, next_page_token=first["next_page_token"]
    ).json()
    assert len(second["data"]) == 2
    assert "next_page_token" not in second


def test_daily_series(sandbox: Sandbox) -> None:
    tvl = get(sandbox, "/v2/historicalChainTvl/Ethereum").json()
    assert tvl[-1]["date"] % 86_400 == 0
    assert tvl[-1]["tvl"] > 0
    stable = get(sandbox, "/stablecoincharts/all").json()
    assert isinstance(stable[0]["date"], str)
    greed = get(sandbox, "/fng/", limit=0).json()["data"]
    assert all(isinstance(row["value"], str) for row in greed)
    assert int(greed[0]["timestamp"]) > int(greed[-1]["timestamp"]), "newest first"


def test_feeds_are_rss(sandbox: Sandbox) -> None:
    name, address = next(iter(pair.split("=", 1) for pair in sandbox.env()["NEWS_FEEDS"].split(",")))
    text = httpx.get(address).text
    assert name in address
    assert text.lstrip().startswith("<?xml")
    assert "<pubDate>" in text


def test_the_same_seed_is_the_same_market_and_another_another() -> None:
    with Sandbox(seed=3, now=NOW) as again, Sandbox(seed=4, now=NOW) as other, Sandbox(seed=3, now=NOW) as third:
        assert chart(again).content == chart(third).content
        assert chart(other).content != chart(again).content


def test_what_happened_stays_when_time_goes_on(sandbox: Sandbox) -> None:
    later = NOW.replace(day=5)
    with Sandbox(seed=3, now=later) as tomorrow:
        assert chart(tomorrow).content == chart(sandbox).content
        half = chart(tomorrow, to=FROM + 43_200).json()["prices"]
    assert half == chart(sandbox).json()["prices"][: len(half)]


def test_nothing_is_told_of_the_future(sandbox: Sandbox) -> None:
    body = chart(sandbox, to=int(NOW.timestamp()) + 90_000, **{"from": int(NOW.timestamp()) - 7200}).json()
    assert max(point[0] for point in body["prices"]) <= NOW.timestamp() * 1000


def test_coins_move_together_and_stay_positive(sandbox: Sandbox) -> None:
    import numpy as np

    window = {"from": FROM - 80 * 86_400}
    series = {
        coin: np.array([point[1] for point in chart(sandbox, coin=coin, **window).json()["prices"]])
        for coin in ("bitcoin", "ethereum", "solana")
    }
    returns = [np.diff(np.log(values)) for values in series.values()]
    assert all((values > 0).all() for values in series.values())
    correlation = np.corrcoef(returns)
    assert correlation[np.triu_indices(3, 1)].min() > 0.5


def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InstanceError, match=f"port {port}"):
            Sandbox(port=port)


@pytest.mark.parametrize("spec", ["status", "colour=red", "status=abc", "rate=often", "route=x,stats=3"])
def test_a_fault_that_cannot_be_read(spec: str) -> None:
    with pytest.raises(UsageError, match="--fault"):
        Sandbox(fault=spec)


def test_faults_by_route_count_and_kind() -> None:
    with Sandbox(seed=3, now=NOW, fault="route=klines,status=503,retry_after=2,count=2;route=fng,html=1") as broken:
        answers = [get(broken, "/binance/api/v3/klines", symbol="BTCUSDT", interval="1h") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [503, 503, 200]
        assert answers[0].headers["Retry-After"] == "2"
        assert get(broken, "/fng/").text.startswith("<html>")
        assert chart(broken).status_code == 200


def test_faulty_rows_and_bodies() -> None:
    spec = "route=klines,duplicate=1;route=OHLC,malformed=1;route=market_chart,cut=1;route=stablecoincharts,empty=1"
    with Sandbox(seed=3, now=NOW, fault=spec) as broken:
        rows = get(broken, "/binance/api/v3/klines", symbol="BTCUSDT", interval="1h", limit=3).json()
        assert [row[0] for row in rows[::2]] == [row[0] for row in rows[1::2]]
        with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
            get(broken, "/0/public/OHLC", pair="XBTUSD").json()
        with pytest.raises(httpx.RemoteProtocolError):
            chart(broken)
        assert get(broken, "/stablecoincharts/all").json() == []


def test_the_rate_is_kept_and_the_seed_decides() -> None:
    def statuses(seed: int) -> list[int]:
        with Sandbox(seed=seed, now=NOW, fault="route=fng,status=500,rate=0.3") as shaky:
            return [get(shaky, "/fng/", limit=1).status_code for _ in range(60)]

    first = statuses(1)
    assert 5 <= first.count(500) <= 35
    assert first == statuses(1)
    assert first != statuses(2)
