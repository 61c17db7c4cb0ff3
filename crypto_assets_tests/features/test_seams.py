"""Jumps that no row of the catalogue explains: no feature and no label reaches over them; real moves stay returns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from crypto_assets.features.all_features import GROUPS
from crypto_assets.features.lookback import window
from crypto_assets.features.seams import seams, seams_of
from crypto_assets.transforms.labels import Horizon, label
from crypto_assets_tests.features.frames import DAY, HOUR, at, bar, features, inputs, price

START, END = date(2024, 2, 20), date(2024, 3, 18)
FIRST = at(START, -45 * 24)
SEAM = at(date(2024, 3, 12), 7)


def walk(symbol: str, factor: float, hole: int, seed: int = 1) -> list[tuple[datetime, float]]:
    """A random walk whose unit changes at SEAM, after a hole of some hours."""
    steps = np.random.default_rng([seed, len(symbol)]).normal(0, 0.01, int((at(END + DAY) - FIRST) / HOUR))
    levels = 50 * np.exp(np.cumsum(steps))
    hours = [FIRST + HOUR * n for n in range(len(levels))]
    return [
        (ts, float(level) * (factor if ts >= SEAM else 1.0))
        for ts, level in zip(hours, levels, strict=True)
        if not SEAM - HOUR * hole <= ts < SEAM
    ]


def tables(walks: dict[str, list[tuple[datetime, float]]]) -> dict[str, pl.DataFrame]:
    return inputs(
        prices=[price(symbol, ts, level) for symbol, points in walks.items() for ts, level in points],
        ohlc=[bar(symbol, ts, level) for symbol, points in walks.items() for ts, level in points],
    )


def columns(frame: pl.DataFrame) -> list[str]:
    apart = {"symbol", "ts", "date", "available_at", "source", "pit_quality"}
    return [name for name in frame.columns if name not in apart and "btc" not in name]


# Factor of the unit at the seam, and hours without a price before it. All coins are built together: it takes as long as one.
SEAMS = {
    "A1": (1000.0, 97), "A2": (0.001, 97), "A3": (0.1, 30), "A4": (4.78, 200), "A5": (2.5, 8), "A6": (171_116.0, 438),
    "A7": (1000.0, 0), "A8": (0.01, 2),
}  # fmt: skip


def test_after_a_seam_features_are_those_of_the_new_series_alone() -> None:
    torn = {symbol: walk(symbol, factor, hole) for symbol, (factor, hole) in SEAMS.items()}

    def built(keep: Callable[[datetime], bool]) -> pl.DataFrame:
        kept = {symbol: [(ts, level) for ts, level in points if keep(ts)] for symbol, points in torn.items()}
        return features(tables(kept | {"BTC": walk("BTC", 1.0, 0)}), [*SEAMS, "BTC"], START, END)

    whole = built(lambda ts: True)
    names = columns(whole)
    new, old = built(lambda ts: ts >= SEAM), built(lambda ts: ts < SEAM)
    for other, rows in ((new, pl.col("ts") > SEAM), (old, pl.col("ts") < SEAM)):
        for symbol in SEAMS:
            mine = (pl.col("symbol") == symbol) & rows
            got, want = whole.filter(mine).select(names), other.filter(mine).select(names)
            assert got.height == want.height and got.height > 48
            for name in names:
                ours, theirs = (frame[name].cast(pl.Float64).to_numpy() for frame in (got, want))
                near = np.abs(ours - theirs) <= np.maximum(1e-9 * np.abs(theirs), 1e-12)
                assert (near | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))).all(), (symbol, name)
    for symbol in SEAMS:
        returns = whole.filter(pl.col("symbol") == symbol)["return_7d"].drop_nulls()
        assert returns.abs().max() < 1.0, symbol  # type: ignore[operator]


def test_a_coin_without_a_seam_is_not_touched_by_one_of_another() -> None:
    calm = features(tables({"AAA": walk("AAA", 1.0, 0), "BB": walk("BB", 1.0, 0)}), ["AAA", "BB"], START, END)
    torn = features(tables({"AAA": walk("AAA", 1000.0, 97), "BB": walk("BB", 1.0, 0)}), ["AAA", "BB"], START, END)
    names = [name for name in columns(calm) if "rank" not in name and "dominance" not in name]
    mine = pl.col("symbol") == "BB"
    assert calm.filter(mine).select(names).equals(torn.filter(mine).select(names))


def test_chunks_and_what_comes_later_change_nothing() -> None:
    points = {"AAA": walk("AAA", 1000.0, 97), "BB": walk("BB", 0.2, 40)}
    data = tables(points)
    whole = features(data, ["AAA", "BB"], START, END)
    days = [features(data, ["AAA", "BB"], START + DAY * n, START + DAY * n) for n in range((END - START).days + 1)]
    assert pl.concat(days).sort("symbol", "ts").equals(whole.sort("symbol", "ts"), null_equal=True)
    known = {name: frame.filter(pl.col("available_at") <= SEAM + 5 * HOUR) for name, frame in data.items()}
    until = features(known, ["AAA", "BB"], START, END).filter(pl.col("ts") <= SEAM + 4 * HOUR)
    assert until.equals(whole.filter(pl.col("ts") <= SEAM + 4 * HOUR), null_equal=True)


def test_a_real_collapse_and_a_paused_venue_are_no_seams() -> None:
    levels = np.array([[100.0, 60.0, 8.1, 1.2, np.nan, np.nan, 1.1, 2.0, 3.9]])
    assert seams(levels) is None, "an hour that keeps 13 %, and a hole of two hours"
    hole = [np.nan] * 6
    found = seams(np.array([[99.0, 100.0, *hole, 51.0], [99.0, 100.0, *hole, 49.0], [np.nan, 100.0, *hole, 49.0]]))
    assert found is not None and found.tolist() == [[False] * 9, [*[False] * 8, True], [False] * 9], (
        "the last: a single row"
    )


def test_frames_and_arrays_are_judged_alike() -> None:
    points = {"AAA": walk("AAA", 1000.0, 97), "BB": walk("BB", 2.5, 8), "C": walk("C", 1.0, 0)}
    found = seams_of(tables(points)["prices"], "price_usd")
    assert found.select("symbol", "ts").rows() == [("AAA", SEAM), ("BB", SEAM)]
    assert found["before"].to_list() == [SEAM - 98 * HOUR, SEAM - 9 * HOUR]


def test_no_label_reaches_over_a_seam() -> None:
    prices = tables({"AAA": walk("AAA", 1000.0, 0), "BB": walk("BB", 1.0, 0)})["prices"]
    rows = prices.select("symbol", "ts", volatility_24h=pl.lit(0.05))
    found = label(rows, prices, Horizon(24, "24h"), barrier=1.0, known_by=at(END + DAY))
    mine = found.filter(pl.col("symbol") == "AAA")
    assert mine["forward_return_24h"].abs().max() < 1.0  # type: ignore[operator]
    lacking = set(found.filter(pl.col("symbol") == "BB")["ts"]) - set(mine["ts"])
    assert lacking == {SEAM - HOUR * n for n in range(1, 25)}
    assert timedelta(hours=24) == HOUR * 24


def test_the_window_of_prices_holds_the_hour_that_tells_a_running_series() -> None:
    """A jump counts where the last row before it had one in its own hour before: that hour is loaded for every feature."""
    used = max(feature.hours for group in ("price", "market") for feature in GROUPS[group])
    assert window("prices") > used and window("ohlc") > max(feature.hours for feature in GROUPS["technical"])
