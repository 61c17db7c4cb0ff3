"""Events that no row of the catalogue names: they are seen from the rows, on the day on which they could be seen."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import polars as pl
import pytest

from crypto_assets.catalog import select
from crypto_assets.tables import schemas
from crypto_assets.tables.universe import LOOKBACK_DAYS
from crypto_assets.transforms.universe import QUIET_DAYS, universe

UTC, HOUR, DAY = timezone.utc, timedelta(hours=1), timedelta(days=1)
FIRST = datetime(2024, 3, 1, tzinfo=UTC)
START, END = date(2024, 3, 5), date(2024, 4, 10)
EVENT = datetime(2024, 3, 20, 4, tzinfo=UTC)
COINS = "BTC,ETH,XRP,DOGE,MATIC,LUNC"


def bars(levels: dict[str, list[tuple[datetime, float]]]) -> pl.DataFrame:
    rows = [
        {
            "symbol": symbol, "ts": ts, "date": ts.date(), "available_at": ts + HOUR, "source": "binance_usdt",
            "open": level, "high": level, "low": level, "close": level, "volume": 1.0, "factor": 1.0,
        }
        for symbol, points in levels.items()
        for ts, level in points
    ]  # fmt: skip
    schema = {name: dtype for name, dtype in schemas.OHLC.polars_schema.items() if rows and name in rows[0]}
    return pl.DataFrame(rows, schema=schema or schemas.OHLC.polars_schema)


def prices(levels: dict[str, list[tuple[datetime, float]]], caps: dict[str, float] | None = None) -> pl.DataFrame:
    rows = [
        {
            "symbol": symbol, "ts": ts, "date": ts.date(), "available_at": ts + timedelta(seconds=9),
            "source": "coingecko", "price_usd": level, "market_cap_usd": (caps or {}).get(symbol),
        }
        for symbol, points in levels.items()
        for ts, level in points
    ]  # fmt: skip
    schema = {name: schemas.PRICES.polars_schema[name] for name in (rows[0] if rows else schemas.PRICES.names)}
    return pl.DataFrame(rows, schema=schema)


def hours(level: float = 10.0, until: datetime | None = None, since: datetime = FIRST) -> list[tuple[datetime, float]]:
    end = until or datetime(2024, 4, 11, tzinfo=UTC)
    return [(since + HOUR * n, level) for n in range(int((end - since) / HOUR))]


def said(rows: pl.DataFrame, symbol: str) -> dict[date, dict]:
    return {row["date"]: row for row in rows.filter(pl.col("symbol") == symbol).iter_rows(named=True)}


def calm(**more: list[tuple[datetime, float]]) -> pl.DataFrame:
    return bars({"BTC": hours(60_000), "ETH": hours(3_000), **more})


NONE = prices({})


@pytest.mark.parametrize(
    ("factor", "hole"), [(1000.0, 97), (0.001, 97), (0.1, 96), (4.78, 217), (171_116.0, 438), (30.0, 0)]
)
def test_a_jump_is_suspected_from_its_day_on(factor: float, hole: int) -> None:
    resumed = EVENT + HOUR * hole
    rows = calm(XRP=[*hours(until=EVENT), *hours(10 * factor, since=resumed)])
    mine = said(universe(NONE, rows, select(COINS), START, END), "XRP")
    before = [
        row["state"] for day, row in mine.items() if day < resumed.date() and (day - EVENT.date()).days < QUIET_DAYS - 1
    ]
    assert set(before) == {"listed"}
    after = [row for day, row in mine.items() if day >= resumed.date()]
    assert {row["state"] for row in after} == {"suspected"}
    assert f"factor of {factor:.4g}" in after[0]["evidence"] and f"{resumed:%Y-%m-%d %H:%M}" in after[0]["evidence"]


def test_a_jump_that_prices_followed_hour_by_hour_is_a_move() -> None:
    """The venue paused for a day while the coin fell; another source shows each hour of it."""
    resumed = EVENT + 30 * HOUR
    rows = calm(XRP=[*hours(until=EVENT), *hours(3.0, since=resumed)])
    falling = [(EVENT + HOUR * n, 10 - 7 * n / 30) for n in range(31)]
    seen = prices({"XRP": [*hours(until=EVENT), *falling, *hours(3.0, since=resumed + HOUR)]})
    assert {row["state"] for row in said(universe(seen, rows, select(COINS), START, END), "XRP").values()} == {"listed"}
    alone = said(universe(NONE, rows, select(COINS), START, END), "XRP")
    assert alone[END]["state"] == "suspected"
    elsewhere = prices({"XRP": hours()})  # it says that nothing happened
    assert said(universe(elsewhere, rows, select(COINS), START, END), "XRP")[END]["state"] == "suspected"


def test_silence_is_suspected_after_a_week_and_only_of_a_coin_alone() -> None:
    mine = said(universe(NONE, calm(XRP=hours(until=EVENT)), select(COINS), START, END), "XRP")
    last = EVENT.date()
    assert mine[last + DAY * (QUIET_DAYS - 1)]["state"] == "listed"
    assert mine[last + DAY * QUIET_DAYS]["state"] == mine[END]["state"] == "suspected"
    assert f"no row of ohlc since {last}" in mine[END]["evidence"] and mine[END]["delisted_on"] == last
    silent = bars({"BTC": hours(until=EVENT), "ETH": hours(until=EVENT), "XRP": hours(until=EVENT)})
    everyone = universe(NONE, silent, select(COINS), START, END)
    assert set(everyone["state"]) == {"listed"}, "the source is silent, not the coins"


def test_a_row_of_the_catalogue_explains_an_end() -> None:
    """MATIC ended in 2024-09 and became POL; LUNC has two names."""
    first = datetime(2024, 8, 20, tzinfo=UTC)
    end = datetime(2024, 9, 10, 3, tzinfo=UTC)
    rows = bars({"BTC": hours(until=first + 60 * DAY, since=first), "MATIC": hours(until=end, since=first)})
    mine = said(universe(NONE, rows, select(COINS), date(2024, 9, 1), date(2024, 10, 5)), "MATIC")
    assert mine[date(2024, 9, 9)]["state"] == "listed" and mine[date(2024, 9, 9)]["tickers"] == ["binance:MATICUSDT"]
    for day in (date(2024, 9, 10), date(2024, 10, 5)):
        assert (mine[day]["state"], mine[day]["successor"], mine[day]["factor"]) == ("renamed", "POL", 1.0)
        assert mine[day]["delisted_on"] == date(2024, 9, 10)


def test_dead_coins_stay_and_coins_of_which_nothing_is_known_have_no_row() -> None:
    rows = universe(NONE, calm(), select("BTC,ETH,SRM,LUNC,POL,DOGE"), START, END)
    assert set(rows["symbol"]) == {"BTC", "ETH", "SRM", "LUNC"}
    assert said(rows, "SRM")[START]["state"] == "delisted"
    assert said(rows, "SRM")[START]["delisted_on"] == date(2022, 11, 28)
    assert said(rows, "LUNC")[START]["tickers"] == ["binance:LUNCUSDT"]
    assert said(rows, "LUNC")[START]["listed_since"] == date(2022, 9, 9)


def test_ranks_are_those_of_the_day() -> None:
    seen = prices({"BTC": hours(), "ETH": hours(), "XRP": hours(until=EVENT)}, {"BTC": 9e11, "ETH": 3e11, "XRP": 5e11})
    rows = universe(seen, calm(), select(COINS), START, END)
    assert [said(rows, coin)[START]["rank"] for coin in ("BTC", "XRP", "ETH")] == [1, 2, 3]
    assert [said(rows, coin)[END]["rank"] for coin in ("BTC", "XRP", "ETH")] == [1, None, 2]


def test_a_day_says_only_what_was_known_at_its_end_however_the_range_is_cut() -> None:
    resumed = EVENT + 97 * HOUR
    rows = calm(
        XRP=[*hours(until=EVENT), *hours(1e4, since=resumed)], DOGE=hours(until=EVENT),
        MATIC=[*hours(until=EVENT), *hours(0.5, since=EVENT)],
    )  # fmt: skip
    seen = prices(
        {"BTC": hours(), "XRP": [*hours(until=EVENT), *hours(1e4, since=resumed)]}, {"BTC": 9e11, "XRP": 5e11}
    )
    whole = universe(seen, rows, select(COINS), START, END)
    days = [START + DAY * n for n in range((END - START).days + 1)]
    alone = []
    for day in days:
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + DAY
        window = pl.col("date") >= day - DAY * LOOKBACK_DAYS
        own_prices, own_bars = (frame.filter(window, pl.col("available_at") <= end) for frame in (seen, rows))
        alone.append(universe(own_prices, own_bars, select(COINS), day, day))
    assert pl.concat(alone).equals(whole, null_equal=True)
    assert {"suspected", "listed"} == set(whole["state"])
