"""Reactions of prices to events: values by an independent pandas, and nothing known before its horizon has passed."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crypto_assets.tables.events import (
    EVENT_REACTIONS,
    NEWS_EVENTS,
    REACTION_PRICES_DAYS,
    REACTIONS_LOOKBACK_DAYS,
)
from crypto_assets.tables.prices import PRICES
from crypto_assets.transforms.reactions import event_reactions

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FIRST, END = date(2024, 1, 1), date(2024, 4, 20)
OPENED = datetime(2024, 1, 1, tzinfo=timezone.utc)
LATE = timedelta(minutes=2)  # from the mark to its price
KEY = ["event_id", "symbol", "horizon"]
THEMES = ("security", "regulation")


@pytest.fixture(scope="module")
def prices() -> pl.DataFrame:
    """Random walks of three coins; ADA follows BTC twice over. Some hours are missing, one price is too late."""
    roll = np.random.default_rng(3)
    hours = ((END - FIRST).days + 1) * 24
    btc = roll.normal(0, 0.004, hours)
    walks = {"BTC": btc, "ADA": 2 * btc + roll.normal(0, 0.002, hours), "SOL": roll.normal(0, 0.01, hours)}
    rows = [
        {"symbol": symbol, "ts": OPENED + n * HOUR, "price_usd": float(price), "available_at": OPENED + n * HOUR + LATE}
        for symbol, steps in walks.items()
        for n, price in enumerate(100 * np.exp(np.cumsum(steps)))
        if not (symbol == "SOL" and n % 97 == 0)
    ]
    frame = pl.DataFrame(rows).with_columns(date=pl.col("ts").dt.date(), source=pl.lit("test"))
    too_late = (pl.col("symbol") == "ADA") & (pl.col("ts") == OPENED + 2000 * HOUR)
    return PRICES.conform(
        frame.with_columns(available_at=pl.when(too_late).then(pl.col("ts") + 2 * HOUR).otherwise("available_at"))
    )


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    roll = np.random.default_rng(4)
    rows = []
    for n in range(260):
        seen = OPENED + float(roll.uniform(0, (END - FIRST).days * 24)) * HOUR
        for day in range(1 + n % 2):  # an event of two days is one event
            rows.append({
                "event_id": f"e{n:03d}", "date": seen.date() + day * DAY, "available_at": seen + day * DAY, "source": "test",
                "first_seen": seen, "headline": "h", "outlets": ["a"], "outlet_count": 1, "articles": ["x"], "article_count": 1,
                "new_article_count": 1, "symbols": [], "first_symbols": [("BTC",), ("ADA", "SOL"), ("XRP",)][n % 3],
                "first_theme": THEMES[n % 2] if n % 11 else None, "first_tone": (-0.4, 0.0, 0.7, None)[n % 4],
            })  # fmt: skip
    return NEWS_EVENTS.conform(pl.DataFrame(rows, schema_overrides={"first_tone": pl.Float64}))


def reactions(events: pl.DataFrame, prices: pl.DataFrame, start: date, end: date) -> pl.DataFrame:
    """Rows from the inputs that the look-back shows."""
    return EVENT_REACTIONS.conform(
        event_reactions(
            news_events=events.filter(pl.col("date").is_between(start - REACTIONS_LOOKBACK_DAYS * DAY, end)),
            prices=prices.filter(pl.col("date").is_between(start - REACTION_PRICES_DAYS * DAY, end)),
            start=start,
            end=end,
        )
    )


@pytest.fixture(scope="module")
def found(events: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    return reactions(events, prices, date(2024, 3, 1), date(2024, 4, 15))


def golden(event: dict, symbol: str, horizon: int, prices: pd.DataFrame) -> tuple[float, float]:
    """Return and abnormal return by pandas, from the definitions of the data dictionary."""
    seen = pd.Timestamp(event["first_seen"])
    wide = prices[prices["available_at"] - prices["ts"] <= pd.Timedelta(minutes=30)].pivot(
        index="ts", columns="symbol", values="price_usd"
    )
    wide = wide.reindex(pd.date_range(wide.index.min(), wide.index.max(), freq="h"))
    base = seen.ceil("h")
    own, btc = (
        wide[name].get(base + pd.Timedelta(hours=horizon), np.nan) / wide[name][base] - 1 for name in (symbol, "BTC")
    )
    past = wide.apply(np.log).diff().loc[: seen.floor("h")].tail(720)[[symbol, "BTC"]].dropna()
    if symbol == "BTC" or len(past) < 576:
        return own, np.nan
    return own, own - past[symbol].cov(past["BTC"]) / past["BTC"].var() * btc


def test_returns_and_abnormal_returns_are_those_of_pandas(
    found: pl.DataFrame, events: pl.DataFrame, prices: pl.DataFrame
) -> None:
    by_id = {event["event_id"]: event for event in events.iter_rows(named=True)}
    frame = prices.to_pandas()
    assert found.height > 200 and not EVENT_REACTIONS.violations(found)
    for row in found.sample(60, seed=1).iter_rows(named=True):
        own, abnormal = golden(by_id[row["event_id"]], row["symbol"], row["horizon"], frame)
        assert np.array([row["return"], row["abnormal_return"]], float) == pytest.approx(
            [own, abnormal], rel=1e-9, nan_ok=True
        )
    assert found.filter(pl.col("symbol") == "ADA")["beta"].drop_nulls().mean() == pytest.approx(2, abs=0.1)


def test_similar_events_are_those_known_before(found: pl.DataFrame, events: pl.DataFrame, prices: pl.DataFrame) -> None:
    every = reactions(events, prices, date(2024, 1, 3), END).to_pandas()
    measure = every["abnormal_return"].where(every["symbol"] != "BTC", every["return"])
    judged = 0
    for row in found.to_pandas().sample(60, random_state=2).itertuples():
        kind = (every["theme"] == row.theme) & (every["direction"] == row.direction) & (every["horizon"] == row.horizon)
        then = (every["available_at"] <= row.first_seen) & (every["first_seen"] >= row.first_seen - 60 * DAY)
        past = measure[kind & then & ((every["symbol"] == "BTC") == (row.symbol == "BTC"))].dropna()
        assert row.similar_count == len(past)
        if len(past):
            judged += 1
            assert row.similar_median == pytest.approx(past.median(), rel=1e-9)
        if len(past) and row.direction:
            assert row.similar_hit_rate == pytest.approx((np.sign(past) == row.direction).mean())
    assert judged > 20


def test_no_row_before_its_horizon_has_passed(found: pl.DataFrame) -> None:
    passed = found["first_seen"].dt.offset_by("0h") + pl.Series([timedelta(hours=int(h)) for h in found["horizon"]])
    assert (found["available_at"] >= passed).all()
    assert (found["available_at"].dt.date() == found["date"]).all()


def test_the_cut_of_the_days_does_not_show(found: pl.DataFrame, events: pl.DataFrame, prices: pl.DataFrame) -> None:
    first = date(2024, 3, 1)
    parts = [reactions(events, prices, first + n * DAY, first + n * DAY) for n in range(46)]
    assert_frame_equal(pl.concat(parts).sort(KEY), found.sort(KEY), rel_tol=1e-9, abs_tol=0)


def test_what_became_known_later_changes_nothing(events: pl.DataFrame, prices: pl.DataFrame) -> None:
    moment, start = datetime(2024, 4, 10, 13, 30, tzinfo=timezone.utc), date(2024, 4, 1)
    whole = reactions(events, prices, start, moment.date())
    known = [frame.filter(pl.col("available_at") <= moment) for frame in (events, prices)]
    truncated = reactions(known[0], known[1], start, moment.date()).filter(pl.col("available_at") <= moment)
    assert_frame_equal(truncated, whole.filter(pl.col("available_at") <= moment))
    assert truncated.height > 20


def test_coins_without_prices_and_no_events_have_no_rows(
    found: pl.DataFrame, events: pl.DataFrame, prices: pl.DataFrame
) -> None:
    assert set(found["symbol"]) == {"BTC", "ADA", "SOL"}
    assert reactions(events.clear(), prices, FIRST, END).is_empty()
    assert reactions(events, prices.clear(), FIRST, END).is_empty()
