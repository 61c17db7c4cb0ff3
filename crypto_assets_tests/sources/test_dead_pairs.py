"""A pair that died or moved: the next source, or a failure by name; never a coin without bars and without a word."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone

import pytest

from crypto_assets.catalog import by_symbol, select
from crypto_assets.errors import SourceError
from crypto_assets.sources import coingecko, kraken, ohlc
from crypto_assets.sources.fetched import Fetched
from crypto_assets_tests.sources.wire_server import Reply, Request, Server, fetch, serve

UTC, HOUR, DAY = timezone.utc, timedelta(hours=1), timedelta(days=1)
NOW = datetime(2024, 6, 20, 9, 30, tzinfo=UTC)
PRO = {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "analyst", "RATE_LIMITS": "coingecko=1000000/1"}
Trades = Callable[[str, datetime], bool]


def always(pair: str, ts: datetime) -> bool:
    return True


class Venues:
    """Binance (price 100) and Kraken (price 160), each with the hours in which a pair traded; unknown pairs are refused."""

    def __init__(self, binance: Trades = always, kraken: Trades = always, unknown: tuple[str, ...] = ()) -> None:
        self.binance, self.kraken, self.unknown = binance, kraken, unknown

    def __call__(self, request: Request) -> object:
        query = request.query
        if request.path.endswith("/klines"):
            if query["symbol"] in self.unknown:
                return Reply({"code": -1121, "msg": "Invalid symbol."}, 400)
            first, last = int(query["startTime"]) / 1000, min(int(query["endTime"]) / 1000, NOW.timestamp())
            hours = [ts for ts in self.hours(first, last) if self.binance(query["symbol"], ts)]
            rows = [
                [int(ts.timestamp()) * 1000, *["100"] * 4, "5", int(ts.timestamp()) * 1000 + 3_599_999, "0"]
                for ts in hours
            ]
            return rows[: int(query["limit"])]
        if query["pair"] in self.unknown:
            return {"error": ["EQuery:Unknown asset pair"]}
        hours = self.hours(max(int(query["since"]) + 1, NOW.timestamp() - 720 * 3600), NOW.timestamp())
        rows = [[int(ts.timestamp()), *["160"] * 5, "5", 3] for ts in hours if self.kraken(query["pair"], ts)]
        return {"error": [], "result": {query["pair"]: rows, "last": 0}}

    @staticmethod
    def hours(first: float, last: float) -> list[datetime]:
        start = int(-(-first // 3600) * 3600)
        return [datetime.fromtimestamp(t, UTC) for t in range(start, int(last) + 1, 3600)]


def bars(venues: Venues, start: date, end: date, coins: str = "BTC,XMR", **env: str) -> Fetched:
    with serve(venues) as server:
        return fetch(lambda c: ohlc.fetch_ohlc(c, server.settings(**env), select(coins), start, end, NOW))


def hours_of(found: Fetched, symbol: str = "XMR") -> dict[datetime, float]:
    mine = found.frame[found.frame["symbol"] == symbol]
    return dict(zip(mine["ts"], mine["close"], strict=True))


def before(pair: str, end: datetime) -> Trades:
    return lambda name, ts: name != pair or ts < end


@pytest.mark.parametrize("unknown", [(), ("XMRUSDT",)], ids=["answers []", "code -1121"])
def test_a_dead_pair_hands_over_to_the_next_source(unknown: tuple[str, ...]) -> None:
    venues = Venues(before("XMRUSDT", datetime(2024, 2, 20, tzinfo=UTC)), unknown=unknown)
    for day in (date(2024, 6, 10), date(2024, 6, 19)):
        found = bars(venues, day, day)
        assert set(hours_of(found).values()) == {160.0} and len(hours_of(found)) == 24
        assert set(hours_of(found, "BTC").values()) == {100.0}
        assert not found.failed and not found.missing


@pytest.mark.parametrize("unknown", [("XMRUSD",), ("XMRUSDT", "XMRUSD")])
def test_a_pair_that_no_source_has_any_more_fails_by_name(unknown: tuple[str, ...]) -> None:
    venues = Venues(before("XMRUSDT", datetime(2024, 2, 20, tzinfo=UTC)), unknown=unknown)
    found = bars(venues, date(2024, 6, 10), date(2024, 6, 10))
    assert set(found.failed) == {"XMR"} and "XMR" not in found.missing
    assert "binance" in found.failed["XMR"] and "kraken" in found.failed["XMR"]
    assert len(hours_of(found, "BTC")) == 24


def test_a_pair_that_died_in_mid_range_goes_on_at_the_next_source_however_the_range_is_cut() -> None:
    died = datetime(2024, 6, 8, 3, tzinfo=UTC)
    venues = Venues(before("XMRUSDT", died))
    whole = hours_of(bars(venues, date(2024, 6, 7), date(2024, 6, 9)))
    days = [hours_of(bars(venues, day, day)) for day in (date(2024, 6, 7), date(2024, 6, 8), date(2024, 6, 9))]
    assert whole == {ts: price for day in days for ts, price in day.items()}
    assert whole == {ts: 100.0 if ts < died else 160.0 for ts in Venues.hours(1717718400, 1717718400 + 72 * 3600 - 1)}


def test_a_pair_that_rests_or_is_listed_later_keeps_its_venue() -> None:
    """Two days of rest, a listing in mid-range, the days before it: hours without a bar, from the same venue."""

    def some(pair: str, ts: datetime) -> bool:
        rests = datetime(2024, 6, 10, tzinfo=UTC) <= ts < datetime(2024, 6, 12, tzinfo=UTC)
        return pair != "XMRUSDT" or (ts >= datetime(2024, 6, 5, 7, tzinfo=UTC) and not rests)

    venues = Venues(some)
    whole = hours_of(bars(venues, date(2024, 6, 4), date(2024, 6, 13)))
    assert set(whole.values()) == {100.0} and min(whole) == datetime(2024, 6, 5, 7, tzinfo=UTC)
    parts = [bars(venues, date(2024, 6, n), date(2024, 6, n)) for n in range(4, 14)]
    assert whole == {ts: price for part in parts for ts, price in hours_of(part).items()}
    assert "before 2024-06-05 07:00" in parts[0].missing["XMR"], "history before the listing is no failure"
    assert "before 2024-06-12 00:00" in parts[6].missing["XMR"]
    assert not any(part.failed for part in parts)


def test_a_pair_that_rests_now_is_not_taken_for_dead() -> None:
    venues = Venues(before("XMRUSDT", datetime(2024, 6, 18, 20, tzinfo=UTC)))
    found = bars(venues, date(2024, 6, 19), date(2024, 6, 19))
    assert hours_of(found) == {}
    assert "since 2024-06-18 19:00" in found.failed["XMR"], "it is asked for again"


def test_a_coin_that_only_kraken_has_and_days_before_its_window_are_missing_not_failed() -> None:
    found = bars(Venues(), date(2024, 3, 1), date(2024, 3, 1), coins="BTC,CRO,LEO")
    assert set(found.missing) == {"CRO", "LEO"} and not found.failed
    assert "720 hours" in found.missing["CRO"] and found.missing["LEO"].startswith("no source lists it: ")


def test_kraken_ohlc_names_a_pair_that_kraken_does_not_have_any_more() -> None:
    def ask(server: Server, day: date) -> Fetched:
        return fetch(lambda c: kraken.fetch_kraken(c, server.settings(), select("BTC,XMR,EOS,XEM"), day, day, NOW))

    venues = Venues(kraken=lambda pair, ts: pair != "EOSUSD", unknown=("XMRUSD",))
    with serve(venues) as server:
        found = ask(server, date(2024, 6, 10))
        assert set(found.failed) == {"XMR", "EOS"} and set(found.missing) == {"XEM"}
        assert set(found.frame["symbol"]) == {"BTC"}


def chart(first: datetime, hours: int) -> dict[str, list[list[float]]]:
    return {"prices": [[int((first + HOUR * n).timestamp() * 1000) + 9000, 5.0] for n in range(hours)]}


def test_a_coingecko_identifier_without_points_fails_by_name_unless_it_is_listed_later() -> None:
    def answer(request: Request) -> object:
        first = datetime.fromtimestamp(int(request.query["from"]), UTC)
        hours = int((int(request.query["to"]) + 1 - int(request.query["from"])) // 3600)
        if "/monero/" in request.path:  # an identifier that is not kept up any more
            return {"prices": []}
        if "/litecoin/" in request.path:
            return (
                chart(datetime(2024, 6, 15, tzinfo=UTC), 24)
                if first >= datetime(2024, 6, 11, tzinfo=UTC)
                else {"prices": []}
            )
        if "/matic-network/" in request.path:
            return Reply({"error": "coin not found"}, 404)
        return chart(first, hours)

    day = date(2024, 6, 10)
    with serve(answer) as server:
        coins = select("BTC,ETH,XMR,LTC,MATIC")
        found = fetch(lambda c: coingecko.fetch_prices(c, server.settings(**PRO), coins, day, day, NOW))
    assert set(found.failed) == {"XMR", "MATIC"}
    assert set(found.missing) == {"LTC"} and "2024-06-15" in found.missing["LTC"]
    assert set(found.frame["symbol"]) == {"BTC", "ETH"}


def test_many_retired_identifiers_do_not_take_the_other_coins_along() -> None:
    def answer(request: Request) -> object:
        if "/bitcoin/" not in request.path:
            return Reply({"error": "coin not found"}, 404)
        return chart(datetime(2024, 6, 10, tzinfo=UTC), 24)

    day = date(2024, 6, 10)
    with serve(answer) as server:
        coins = select("BTC,ETH,XMR,LTC")
        found = fetch(lambda c: coingecko.fetch_prices(c, server.settings(**PRO), coins, day, day, NOW))
    assert set(found.failed) == {"ETH", "XMR", "LTC"} and len(found.frame) == 24


def test_an_address_where_no_coin_is_known_is_an_error() -> None:
    day = date(2024, 6, 10)
    with serve(lambda _: Reply({"error": "not found"}, 404)) as server, pytest.raises(SourceError, match="2024-06-10"):
        coins = select("BTC,ETH")
        fetch(lambda c: coingecko.fetch_prices(c, server.settings(**PRO), coins, day, day, NOW))


def test_a_place_that_is_refused_names_the_other_sources_and_asks_once() -> None:
    body = {"code": 0, "msg": "Service unavailable from a restricted location"}
    with serve(lambda _: Reply(body, 451)) as server:
        with pytest.raises(SourceError, match="OHLC_SOURCES=kraken,coingecko") as caught:
            day = date(2024, 6, 10)
            fetch(lambda c: ohlc.fetch_ohlc(c, server.settings(), select("top:20"), day, day, NOW))
        assert caught.value.status == 451 and "restricted location" in str(caught.value)
    assert by_symbol()["BTC"].binance == "BTCUSDT"
