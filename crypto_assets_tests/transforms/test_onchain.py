"""On-chain ratios and windows by hand-worked values; windows are spans of days; nothing later shows."""

from __future__ import annotations

import math
import statistics
from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from crypto_assets.tables.schemas import ONCHAIN_BASE, ONCHAIN_ENHANCED
from crypto_assets.transforms.onchain import LOOKBACK_DAYS, OUTPUT, enhance

START = date(2024, 1, 1)
DAY = timedelta(days=1)


def base(count: int, symbol: str = "BTC", lag: timedelta = timedelta(hours=2), **columns) -> pd.DataFrame:
    """``count`` days; a keyword is a value, or a function of the day's number."""
    made = []
    for n in range(count):
        day = START + DAY * n
        midnight = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
        row = dict.fromkeys(ONCHAIN_BASE.names)
        row |= {"symbol": symbol, "date": day, "available_at": midnight + DAY + lag, "source": "coinmetrics"}
        row |= {
            "transaction_count": 300.0, "transfer_volume_usd": 9000.0 + n, "market_cap_usd": 1e6 + n,
            "realized_cap_usd": 5e5, "price_usd": 100.0 + n, "active_addresses": 50.0 + n, "supply_current": 1000.0 + n,
        }  # fmt: skip
        row |= {name: value(n) if callable(value) else value for name, value in columns.items()}
        made.append(row)
    frame = pd.DataFrame(made)
    frame["available_at"] = frame["available_at"].astype("datetime64[us, UTC]")
    return frame


def last(frame: pd.DataFrame) -> pd.Series:
    return enhance(frame, START, START + DAY * 999).iloc[-1]


def test_every_column_by_hand() -> None:
    row = last(base(91))
    assert row["nvt_ratio"] == pytest.approx(1_000_090 / 9_090, rel=1e-12)
    assert row["mvrv_ratio"] == pytest.approx(1_000_090 / 500_000, rel=1e-12)
    assert row["avg_transaction_value_usd"] == pytest.approx(9_090 / 300, rel=1e-12)
    returns = [math.log((100 + n) / (99 + n)) for n in range(84, 91)]
    assert len(returns) == 7
    assert row["price_volatility_7d"] == pytest.approx(statistics.stdev(returns), rel=1e-12)
    assert row["active_addresses_change_7d"] == pytest.approx(140 / 133 - 1, rel=1e-12)
    thirty = [50.0 + n for n in range(61, 91)]
    assert row["active_addresses_zscore_30d"] == pytest.approx(
        (140 - statistics.mean(thirty)) / statistics.stdev(thirty), rel=1e-12
    )
    ninety = statistics.mean(9000.0 + n for n in range(1, 91))
    assert row["nvt_signal_90d"] == pytest.approx(1_000_090 / ninety, rel=1e-12)
    assert row["supply_growth_30d"] == pytest.approx(1090 / 1060 - 1, rel=1e-12)


def test_every_base_row_has_its_enhanced_row() -> None:
    frame = pd.concat([base(5), base(3, symbol="ETH", market_cap_usd=None, price_usd=None)])
    found = enhance(frame, START, START + DAY * 4)
    assert len(found) == 8
    ONCHAIN_ENHANCED.validate(found)
    assert found[found["symbol"] == "ETH"]["nvt_ratio"].isna().all()


@pytest.mark.parametrize("value", [0.0, None])
def test_nothing_is_divided_by_nothing(value: float | None) -> None:
    row = last(base(3, transfer_volume_usd=value, transaction_count=value, realized_cap_usd=value))
    assert row[["nvt_ratio", "mvrv_ratio", "avg_transaction_value_usd"]].isna().all()


def test_the_providers_own_mvrv_only_where_realised_cap_is_not_given() -> None:
    assert last(base(3, mvrv_provider=7.0))["mvrv_ratio"] == pytest.approx(1_000_002 / 500_000)
    assert last(base(3, mvrv_provider=7.0, realized_cap_usd=None))["mvrv_ratio"] == 7.0


def test_a_missing_day_breaks_the_windows_that_span_it() -> None:
    whole, gap = base(40), base(40).drop(index=36)
    found, broken = last(whole), last(gap)
    assert not math.isnan(found["price_volatility_7d"])
    assert math.isnan(broken["price_volatility_7d"])
    assert math.isnan(broken["active_addresses_zscore_30d"])
    assert broken["active_addresses_change_7d"] == found["active_addresses_change_7d"], "only its two ends count"
    assert broken["nvt_ratio"] == found["nvt_ratio"]


def test_a_day_completed_late_is_not_seen_by_the_days_before_it_was_known() -> None:
    frame = base(20)
    frame.loc[15, "available_at"] = frame["available_at"].to_list()[17] + timedelta(hours=1)
    found = enhance(frame, START, START + DAY * 19).set_index("date")["price_volatility_7d"]
    assert math.isnan(found[START + DAY * 16])
    assert math.isnan(found[START + DAY * 17])
    assert not math.isnan(found[START + DAY * 18])


@pytest.mark.parametrize("value", [0.1, 1234567.8, 3.3e11, 7.0])
def test_a_flat_window_has_no_score(value: float) -> None:
    """The mean of thirty equal doubles may be off by a bit: then a score would be made of rounding alone."""
    flat = dict.fromkeys(("active_addresses", "transaction_count", "transfer_volume_usd", "exchange_inflow_usd"), value)
    found = enhance(base(400, **flat, market_cap_usd=value), START, START + DAY * 399)
    assert found[[name for name in OUTPUT if "zscore" in name]].isna().all().all()
    moved = last(base(400, **{name: lambda n: value + (n == 399) for name in flat}))
    for name in ("active_addresses", "transaction_count", "transfer_volume", "exchange_inflow"):
        if value < 1e10:
            assert moved[f"{name}_zscore_30d"] == pytest.approx(29 / math.sqrt(30), rel=1e-6), name


def test_steady_growth_has_no_volatility() -> None:
    row = last(base(40, price_usd=lambda n: 1000.0 * 1.01**n))
    assert (row["price_volatility_7d"], row["price_volatility_30d"]) == (0.0, 0.0)


def test_no_rows_give_no_rows() -> None:
    found = enhance(base(0) if False else base(1).iloc[:0], START, START)
    assert list(found.columns) == ["symbol", "date", "available_at", "source", *OUTPUT]
    assert found.empty


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 120), st.integers(0, 119), st.lists(st.integers(0, 119), max_size=5, unique=True))
def test_what_comes_later_and_how_it_is_cut_changes_nothing(count: int, cut: int, gaps: list[int]) -> None:
    frame = base(count, price_usd=lambda n: 100 + 10 * math.sin(n)).drop(index=[g for g in gaps if g < count])
    moment = START + DAY * cut
    whole = enhance(frame, START, START + DAY * 200)
    truncated = enhance(frame[frame["date"] <= moment], START, moment)
    assert_frame_equal(whole[whole["date"] <= moment].reset_index(drop=True), truncated, rtol=1e-9)
    window = frame[(frame["date"] >= moment - DAY * LOOKBACK_DAYS) & (frame["date"] <= moment)]
    alone = enhance(window, moment, moment)
    assert_frame_equal(whole[whole["date"] == moment].reset_index(drop=True), alone, rtol=1e-9, check_dtype=False)
