"""Labels against plain loops over plain Python numbers, and against what a person would say."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_assets.tables.contract import TIMESTAMP
from crypto_assets.transforms.labels import HOUR, Horizon, label

START = datetime(2021, 3, 1, tzinfo=timezone.utc)
FOREVER = START + timedelta(days=999)


def prices_of(values: dict[str, list[float | None]], lag: timedelta = timedelta()) -> pl.DataFrame:
    rows = [
        (coin, START + HOUR * n, price, START + HOUR * n + lag)
        for coin, found in values.items()
        for n, price in enumerate(found)
        if price is not None
    ]
    schema = {"symbol": pl.String, "ts": TIMESTAMP, "price_usd": pl.Float64, "available_at": TIMESTAMP}
    return pl.DataFrame(rows, schema=schema, orient="row")


def rows_of(prices: pl.DataFrame, volatility: float | None) -> pl.DataFrame:
    return prices.select("symbol", "ts", volatility_24h=pl.lit(volatility, pl.Float64), close="price_usd")


def labelled(values: list[float | None], hours: int, volatility: float | None, **more: object) -> list[tuple]:
    prices = prices_of({"BTC": values})
    found = label(
        rows_of(prices, volatility), prices, Horizon(hours, f"{hours}h"), barrier=1.0, known_by=FOREVER, **more
    )  # type: ignore[arg-type]
    names = [f"forward_return_{hours}h", f"triple_barrier_{hours}h", f"triple_barrier_{hours}h_ts"]
    return [(row[0], row[1], row[2] and (row[2] - START) // HOUR) for row in found.select(names).rows()]


def test_the_first_barrier_touched_decides() -> None:
    """Width 0.05 x sqrt(4) = 10 %: up first, down first, neither."""
    assert labelled([100, 111, 80, 100, 100], 4, 0.05)[0] == (0.0, 1, 1)
    assert labelled([100, 105, 89, 150, 100], 4, 0.05)[0] == (0.0, -1, 2)
    assert labelled([100, 109, 91, 100, 105], 4, 0.05)[0] == (pytest.approx(0.05), 0, 4)


def test_what_was_not_seen_is_not_guessed() -> None:
    """A missing hour before the first touch leaves the barrier label null, one after it does not; no vol, no barrier."""
    assert labelled([100, None, 111, 100, 100], 4, 0.05)[0] == (0.0, None, None)
    assert labelled([100, 111, None, 100, 100], 4, 0.05)[0] == (0.0, 1, 1)
    assert labelled([100, 111, 100, 100, 100], 4, None)[0] == (0.0, None, None)
    assert labelled([100, 111, 100, 100, 100], 4, 0.0)[0] == (0.0, None, None)


def test_a_price_far_from_its_mark_is_no_end_of_a_return() -> None:
    """The price of hour 2 was observed 31 minutes late: it labels no row as an end, and no touch is seen in it."""
    prices = prices_of({"BTC": [100, 101, 130, 103, 104]})
    far = prices.with_columns(
        available_at=pl.when(pl.col("price_usd") == 130)
        .then(pl.col("ts") + timedelta(minutes=31))
        .otherwise("available_at")
    )
    for frame, wanted in ((prices, [(0, 1), (1, 1), (2, -1)]), (far, [(1, None)])):
        found = label(rows_of(frame, 0.1), frame, Horizon(2, "2h"), barrier=1.0, known_by=FOREVER)
        got = [((r[0] - START) // HOUR, r[1]) for r in found.select("ts", "triple_barrier_2h").rows()]
        assert got == wanted


def test_rows_without_a_price_at_either_end_go() -> None:
    prices = prices_of({"BTC": [100, None, 102, 103]})
    rows = pl.concat([rows_of(prices, 0.1), rows_of(prices, 0.1).with_columns(symbol=pl.lit("ETH"))])
    found = label(rows, prices, Horizon(2, "2h"), barrier=1.0, known_by=FOREVER)
    assert found.select("symbol", "ts").rows() == [("BTC", START)]
    assert found["close"].to_list() == [100], "the features of a row stay what they were"


def test_nothing_known_after_the_end_is_in_it() -> None:
    prices = prices_of({"BTC": [float(100 + n) for n in range(10)]}, lag=timedelta(seconds=40))
    end = START + HOUR * 6
    found = label(rows_of(prices, 0.1), prices, Horizon(2, "2h"), barrier=1.0, known_by=end)
    assert found["ts"].max() == START + HOUR * 3, "the price at the end itself was known 40 s later"
    assert found["label_available_at"].max() <= end
    changed = prices.with_columns(
        price_usd=pl.when(pl.col("available_at") > end).then(1e6).otherwise(pl.col("price_usd"))
    )
    assert label(rows_of(prices, 0.1), changed, Horizon(2, "2h"), barrier=1.0, known_by=end).equals(found)


path = st.lists(st.one_of(st.none(), st.floats(50, 200)), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(btc=path, eth=path, hours=st.integers(1, 6), width=st.floats(0.01, 0.3))
def test_against_plain_loops(btc: list[float | None], eth: list[float | None], hours: int, width: float) -> None:
    values = {"BTC": btc, "ETH": eth}
    expected = {}
    for coin, found in values.items():
        for n, price in enumerate(found):
            if price is None or n + hours >= len(found) or found[n + hours] is None:
                continue
            side: int | None = 0
            for later in found[n + 1 : n + hours + 1]:
                move = None if later is None else later / price - 1
                if move is None or abs(move) >= width * math.sqrt(hours):
                    side = None if move is None else int(math.copysign(1, move))
                    break
            expected[coin, START + HOUR * n] = (found[n + hours] / price - 1, side)
    prices = prices_of(values)
    labelled = label(rows_of(prices, width), prices, Horizon(hours, "h"), barrier=1.0, known_by=FOREVER)
    got = {(r[0], r[1]): r[2:] for r in labelled.select("symbol", "ts", "forward_return_h", "triple_barrier_h").rows()}
    assert got == expected
