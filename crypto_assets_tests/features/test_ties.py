"""Ties are decided for the decimal prices that were given: against exact arithmetic, on made-up ticks and recorded bars."""

from __future__ import annotations

import itertools
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_assets.features.build import build_features
from crypto_assets.features.ties import rose
from crypto_assets_tests.features.frames import DAY, HOUR, at, bar, features, inputs, price

D = date(2022, 3, 1)
MFI, WILDER = 14, Fraction(1, 14)
RECORDINGS = {
    "data/ohlcv_hourly/binance_spot_1h_2020-12_2021-07.parquet": ("DOGE/USDT", "TRX/USDT", "VET/USDT", "XRP/USDT", "BTC/USDT"),
    "data/ohlcv_hourly/coinbase_btcusd_1h_2017-07_2019-10.parquet": ("BTC/USD",),
    "series/ohlcv_hourly/binance_spot_1h_2020-05_2023-04.parquet": ("HBAR", "TRX", "XLM", "SHIB", "DOGE", "BNB"),
    "series/traps_klines/binance_spot_1h_traps_2021_2022.parquet": ("TUSDT", "USTUSDT", "SUSDUSDT", "BTTUSDT", "LUNCUSDT"),
}  # fmt: skip


def exact(value: float) -> Fraction:
    return Fraction(repr(float(value)))


@st.composite
def ticks(draw: st.DrawFn) -> tuple[list[list[float]], list[list[float]]]:
    """Terms of an hour and of the one before, a few ticks apart, of any tick size; every cell has its own."""
    count, terms = draw(st.integers(1, 6)), draw(st.integers(2, 3))
    cells = []
    for _ in range(count):
        places, level = draw(st.integers(0, 14)), draw(st.integers(1, 10**14))
        steps = draw(st.lists(st.integers(0, 3), min_size=2 * terms, max_size=2 * terms))
        cells.append([float(Decimal(level + step).scaleb(-places)) for step in steps])
    columns = list(zip(*cells, strict=True))
    return [list(c) for c in columns[:terms]], [list(c) for c in columns[terms:]]


@settings(max_examples=400, deadline=None)
@given(ticks())
def test_signs_are_those_of_the_decimals(sides: tuple[list[list[float]], list[list[float]]]) -> None:
    above, below = sides
    got = rose(*(np.array([before, now]).T for now, before in zip(above, below, strict=True)))[:, 1].tolist()
    wanted = [
        sum(exact(v) for v in ups) - sum(exact(v) for v in downs)
        for ups, downs in zip(zip(*sides[0], strict=True), zip(*sides[1], strict=True), strict=True)
    ]
    assert got == [(w > 0) - (w < 0) for w in wanted]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(1e-12, 1e12), min_size=3, max_size=3), st.permutations(range(3)), st.integers(-2, 2))
def test_signs_are_exact_for_prices_with_all_the_digits_of_a_double(
    values: list[float], order: list[int], bits: int
) -> None:
    other = [values[n] for n in order]
    other[0] += bits * np.spacing(other[0])
    got = rose(*(np.array([[before, now]]) for now, before in zip(values, other, strict=True)))[0, 1]
    wanted = sum(exact(v) for v in values) - sum(exact(v) for v in other)
    assert got == (wanted > 0) - (wanted < 0)


def test_an_unknown_term_makes_an_unknown_sign() -> None:
    known, unknown = np.array([[1.0, 2.0, 3.0, 2.0]]), np.array([[np.nan, 2.0, 2.0, 2.0]])
    assert np.isnan(rose(known, unknown)[0]).tolist() == [True, True, False, False]
    assert rose(known, unknown)[0, 2:].tolist() == [1.0, -1.0]


def bars_of(*coins: list[tuple[float, float, float, float]]) -> pl.DataFrame:
    """(high, low, close, volume) of coins "0", "1" and so on, the last of which closed at D 00:00."""
    made = []
    for symbol, rows in enumerate(coins):
        for age, (high, low, close, volume) in enumerate(reversed(rows), start=1):
            made.append(bar(str(symbol), at(D, -age), close, volume=volume) | {"high": high, "low": low, "open": close})
    return inputs(ohlc=made)["ohlc"]


def features_at_d(coins: list[list[tuple[float, float, float, float]]], *columns: str) -> list[dict[str, Any]]:
    """The features of each coin at D, built together: a build takes as long for ten coins as for one."""
    symbols = [str(symbol) for symbol in range(len(coins))]
    found = build_features(ohlc=bars_of(*coins), symbols=symbols, start=D, end=D, columns=list(columns))
    by_symbol = {row["symbol"]: row for row in found.filter(pl.col("ts") == at(D)).iter_rows(named=True)}
    return [by_symbol[symbol] for symbol in symbols]


def money_flow(bars: list[tuple[Fraction, ...]]) -> float | None:
    """MFI of the last 14 of these bars (high, low, close, volume), exactly."""
    rising = falling = Fraction(0)
    for (h0, l0, c0, _), (h, low, c, volume) in itertools.pairwise(bars[-MFI - 1 :]):
        now, before = h + low + c, h0 + l0 + c0
        rising += now * volume * (now > before)
        falling += now * volume * (now < before)
    return float(100 * rising / (rising + falling)) if rising + falling else None


def directional(bars: list[tuple[Fraction, ...]]) -> tuple[Fraction, Fraction, Fraction]:
    """Wilder means of true range, +DM and -DM over the bars, exactly."""
    high, low, _, _ = bars[0]
    ranges, plus, minus = high - low, Fraction(0), Fraction(0)
    for (h0, l0, c0, _), (h, lo, _, _) in itertools.pairwise(bars):
        up, down = h - h0, l0 - lo
        ranges += WILDER * (max(h - lo, abs(h - c0), abs(lo - c0)) - ranges)
        plus += WILDER * ((up if up > down and up > 0 else 0) - plus)
        minus += WILDER * ((down if down > up and down > 0 else 0) - minus)
    return ranges, plus, minus


@st.composite
def tick_bars(draw: st.DrawFn) -> list[tuple[float, float, float, float]]:
    places = draw(st.integers(1, 8))
    level = draw(st.integers(10, 10**6))
    moves = draw(st.lists(st.tuples(*[st.integers(0, 2)] * 3, st.integers(0, 5)), min_size=21, max_size=21))
    found = []
    for over, under, step, volume in moves:
        close = level + step
        high, low = (Decimal(n).scaleb(-places) for n in (close + over, close - under))
        found.append((float(high), float(low), float(Decimal(close).scaleb(-places)), volume / 10))
    return found


@settings(max_examples=15, deadline=None)
@given(st.lists(tick_bars(), min_size=10, max_size=10))
def test_money_flow_and_commodity_channel_of_ticks_equal_exact_arithmetic(
    coins: list[list[tuple[float, float, float, float]]],
) -> None:
    for rows, got in zip(coins, features_at_d(coins, "mfi_14", "cci_20"), strict=True):
        bars = [tuple(exact(v) for v in values) for values in rows]
        assert got["mfi_14"] == (None if (w := money_flow(bars)) is None else pytest.approx(w, rel=1e-9, abs=1e-9))
        typical = [high + low + close for high, low, close, _ in bars[-20:]]
        mean = sum(typical) / 20
        apart = sum(abs(value - mean) for value in typical) / 20
        wanted = float((typical[-1] - mean) / (Fraction("0.015") * apart)) if apart else None
        # A double holds 16 digits; a difference of ticks keeps those that the price does not use.
        assert got["cci_20"] == (None if wanted is None else pytest.approx(wanted, rel=1e-7, abs=1e-7))


@settings(max_examples=4, deadline=None)
@given(st.lists(st.tuples(tick_bars(), st.integers(0, 20)), min_size=5, max_size=5))
def test_directional_movement_of_ticks_equals_exact_arithmetic(
    patterns: list[tuple[list[tuple[float, float, float, float]], int]],
) -> None:
    coins = [(pattern[turn:] + pattern[:turn]) * 20 for pattern, turn in patterns]
    for rows, got in zip(coins, features_at_d(coins, "plus_di_14", "minus_di_14"), strict=True):
        exactly = [tuple(exact(v) for v in values) for values in rows[-400:]]  # what is older has faded
        ranges, plus, minus = directional(exactly)
        for name, moved in (("plus_di_14", plus), ("minus_di_14", minus)):
            wanted = min(100.0, float(100 * moved / ranges)) if ranges else None
            assert got[name] == (None if wanted is None else pytest.approx(wanted, rel=1e-7, abs=1e-7)), name


def test_known_ties_of_binary_sums() -> None:
    """Bars of one width about one middle: no typical price moves, and +DM ties with -DM, in decimals but not in doubles."""
    assert 0.4 + 0.2 + 0.3 != 0.3 + 0.3 + 0.3
    assert 0.4 - 0.3 != 0.3 - 0.2
    rows = [(0.4, 0.2, 0.3, 5.0) if n % 2 else (0.3, 0.3, 0.3, 5.0) for n in range(700)]
    found = build_features(ohlc=bars_of(rows), symbols=["0"], start=D, end=D).filter(pl.col("ts") == at(D))
    got = found.row(0, named=True)
    assert (got["mfi_14"], got["cci_20"]) == (None, None), "nothing rose and nothing fell"
    assert (got["plus_di_14"], got["minus_di_14"], got["adx_14"]) == (0.0, 0.0, 0.0)


def test_steady_growth_has_no_spread_to_divide_by() -> None:
    """One percent every hour: the returns differ by their last bits only, so ratios over their spread are unknown."""
    prices = [price(s, at(D, -n), 1000.0 * 1.01 ** (100 - n)) for n in range(800) for s in ("BTC", "ETH")]
    got = features(inputs(prices=prices), ["BTC", "ETH"], D, D).filter(pl.col("ts") == at(D))
    assert got["volatility_7d"].to_list() == [0.0, 0.0]
    for name in ("risk_adjusted_return_7d", "risk_adjusted_return_30d", "volatility_ratio_24h_30d", "beta_btc_7d",
                 "correlation_btc_30d"):  # fmt: skip
        assert got[name].to_list() == [None, None], name


def test_a_flat_value_of_changing_factors_has_no_score() -> None:
    """0.1 x 0.9 and 0.3 x 0.3 are the same value traded, but not the same product of doubles."""
    pairs = [(0.1, 0.9), (0.3, 0.3)]
    assert len({close * volume for close, volume in pairs}) > 1
    bars = [bar("BTC", at(D, -n), pairs[n % 2][0], volume=pairs[n % 2][1]) for n in range(1, 200)]
    got = features(inputs(ohlc=bars), ["BTC"], D, D)
    assert got["traded_value_zscore_7d"].to_list() == [None]


@pytest.mark.parametrize(("name", "symbol"), [(name, s) for name, found in RECORDINGS.items() for s in found])
def test_money_flow_of_recorded_bars_equals_exact_arithmetic(shared: Path, name: str, symbol: str) -> None:
    """A hundred days of each, where its provider's ticks are coarsest for the price: at the lowest close."""
    recorded = (
        pl.scan_parquet(shared / name)
        .filter(pl.col("symbol") == symbol)
        .sort("ts")
        .unique("ts", keep="first")
        .collect()
    )
    recorded = recorded.sort("ts").with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    lowest = recorded["ts"][int(recorded["close"].arg_min())]
    begin = max(recorded["ts"][0], lowest - timedelta(days=50))
    recorded = recorded.filter(pl.col("ts").is_between(begin, begin + timedelta(days=100)))
    ohlc = recorded.select(
        pl.lit("X").alias("symbol"), "ts", pl.col("ts").dt.date().alias("date"),
        (pl.col("ts") + HOUR).alias("available_at"), pl.lit("t").alias("source"), "open", "high", "low", "close", "volume",
    )  # fmt: skip
    first, last = begin.date(), recorded["ts"][-1].date() + DAY
    got = build_features(ohlc=ohlc, symbols=["X"], start=first, end=last, columns=["mfi_14"])
    rows = {
        row[0]: tuple(exact(v) for v in row[1:])
        for row in recorded.select("ts", "high", "low", "close", "volume").iter_rows()
    }
    compared = 0
    for ts, value in got.select("ts", "mfi_14").iter_rows():
        bars = _filled(rows, ts - HOUR)
        wanted = money_flow(bars) if len(bars) == MFI + 1 else None
        assert value == (None if wanted is None else pytest.approx(wanted, rel=1e-9, abs=1e-9)), ts
        compared += wanted is not None
    assert compared > 100


def _filled(rows: dict[datetime, tuple[Fraction, ...]], opened: datetime) -> list[tuple[Fraction, ...]]:
    """The last 15 bars up to the one that opened then, oldest first; up to 24 missing in a row are flat."""
    found: list[tuple[Fraction, ...]] = []
    hole = 0
    while len(found) < MFI + 1:
        if opened - hole * HOUR in rows:
            own = rows[opened - hole * HOUR]
            found += [(own[2], own[2], own[2], Fraction(0))] * hole + [own]
            opened, hole = opened - (hole + 1) * HOUR, 0
        elif hole == 24:
            break
        else:
            hole += 1
    return found[: MFI + 1][::-1]
