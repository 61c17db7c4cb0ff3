"""Features at any instants are those that were known then: as pandas joins them, and as the past had them."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import crypto_assets as ca
from crypto_assets.errors import UsageError
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.store.store import Store
from crypto_assets.tables.contract import TIMESTAMP
from crypto_assets.tables.schemas import ML_FEATURES
from crypto_assets_tests.store.conftest import FIRST, HOURS, MIDNIGHT, days, feature_rows

NAMES = ["price_usd", "rsi_14"]
LIMIT = timedelta(minutes=90)


def entities(minutes: list[tuple[str, int]]) -> pl.DataFrame:
    """Rows of (symbol, minutes after FIRST), with a number that says where each was."""
    return pl.DataFrame(
        {
            "symbol": [symbol for symbol, _ in minutes],
            "ts": [MIDNIGHT + timedelta(minutes=minute) for _, minute in minutes],
            "trade": list(range(len(minutes))),
        },
        schema={"symbol": pl.String, "ts": TIMESTAMP, "trade": pl.Int64},
    )


def by_pandas(asked: pl.DataFrame, rows: pl.DataFrame) -> pd.DataFrame:
    """The same join by pandas' own merge_asof."""
    left = asked.to_pandas().sort_values("ts")
    right = rows.select("symbol", "available_at", *NAMES).to_pandas().sort_values("available_at")
    joined = pd.merge_asof(left, right, left_on="ts", right_on="available_at", by="symbol", tolerance=LIMIT)
    return joined.sort_values("trade")


@given(
    st.lists(st.tuples(st.sampled_from(["BTC", "ETH"]), st.integers(-200, HOURS * 60 + 300)), min_size=1, max_size=60)
)
@settings(max_examples=30, deadline=None)
def test_it_is_an_as_of_join(store_of_session: Store, minutes: list[tuple[str, int]]) -> None:
    asked = entities(minutes)
    found = store_of_session.historical_features(asked, NAMES)
    expected = by_pandas(asked, feature_rows())
    assert found["trade"].to_list() == asked["trade"].to_list()
    for name in NAMES:
        assert found[name].to_pandas().equals(pd.Series(expected[name].to_numpy(), name=name))


@pytest.fixture(scope="module")
def store_of_session(home: Path) -> Store:
    return ca.open(home)


def test_the_row_is_known_at_its_available_at_to_the_microsecond(store: Store) -> None:
    known = MIDNIGHT + timedelta(hours=10, minutes=5)
    asked = pl.DataFrame({"symbol": ["BTC"] * 2, "ts": [known - timedelta(microseconds=1), known]})
    assert store.historical_features(asked, "price_usd")["price_usd"].to_list() == [10.0, 11.0]


def test_it_says_which_row_answered_and_null_where_the_row_is_too_old(store: Store) -> None:
    asked = entities([("ETH", 30 * 60 + 10), ("ETH", 33 * 60)])  # both within the hole from hour 30 on
    found = store.historical_features(asked, "price_usd")
    assert found["feature_ts"].to_list() == [MIDNIGHT + timedelta(hours=29), None]
    assert found["feature_available_at"].to_list() == [MIDNIGHT + timedelta(hours=29, minutes=5), None]
    longer = store.historical_features(asked, "price_usd", max_age=timedelta(hours=6))
    assert longer["price_usd"].to_list() == [1030.0, 1030.0]


def test_what_became_known_later_changes_nothing(home: Path, tmp_path: Path, store: Store) -> None:
    """Truncation: without all that became known after the instants, the answers are the same."""
    chance = random.Random(7)
    asked = entities([(chance.choice(["BTC", "ETH"]), chance.randrange(0, 40 * 60)) for _ in range(200)])
    last = asked["ts"].max()
    cut = Warehouse(str(tmp_path / "warehouse"))
    cut.write(ML_FEATURES, feature_rows().filter(pl.col("available_at") <= last), days())
    assert_frame_equal(
        ca.open(warehouse=cut.uri).historical_features(asked, NAMES), store.historical_features(asked, NAMES)
    )


def test_a_long_span_is_joined_in_parts_without_a_seam(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    shifted = [
        feature_rows().with_columns(
            pl.col("ts") + timedelta(days=n), pl.col("available_at") + timedelta(days=n), pl.col("date") + timedelta(days=n),
            pl.col("price_usd") + n * 24,
        )
        for n in range(0, 99, 3)
    ]  # fmt: skip
    rows = pl.concat(shifted)
    warehouse.write(ML_FEATURES, rows, [FIRST + timedelta(days=n) for n in range(99)])
    asked = entities([("BTC", hour * 60 + 3) for hour in range(-1, 99 * 24)][::-1])
    found = ca.open(warehouse=warehouse.uri).historical_features(asked, NAMES)
    expected = by_pandas(asked, rows)
    assert found["price_usd"].to_pandas().equals(pd.Series(expected["price_usd"].to_numpy(), name="price_usd"))


@pytest.mark.parametrize(
    "ts",
    [
        pl.Series(["2024-01-01T10:30:00"]),
        pl.Series(["2024-01-01T10:30:00+00:00"]),
        pl.Series([datetime(2024, 1, 1, 10, 30)]),
        pl.Series([datetime(2024, 1, 1, 11, 30)]).dt.replace_time_zone("Europe/Berlin"),
        pl.Series([datetime(2024, 1, 1, 10, 30)]).dt.cast_time_unit("ns"),
    ],
    ids=["text", "text with zone", "naive", "other zone", "nanoseconds"],
)
def test_instants_of_any_kind(store: Store, ts: pl.Series) -> None:
    found = store.historical_features(pl.DataFrame({"symbol": ["btcusdt"], "ts": ts}), NAMES)
    assert found["price_usd"].to_list() == [11.0]
    assert found["symbol"].to_list() == ["btcusdt"] and found["ts"].dtype == ts.dtype  # what was given stays


def test_a_pandas_frame_and_an_empty_one(store: Store) -> None:
    asked = entities([("BTC", 645), ("ETH", 645)])
    given_pandas = store.historical_features(asked.to_pandas(), NAMES)
    assert given_pandas["price_usd"].to_list() == [11.0, 1011.0]
    nothing = store.historical_features(asked.clear(), NAMES)
    assert nothing.is_empty() and nothing.columns == [
        "symbol",
        "ts",
        "trade",
        "feature_ts",
        "feature_available_at",
        *NAMES,
    ]


def test_as_of_a_version(store: Store) -> None:
    asked = entities([("BTC", 645)])
    assert store.historical_features(asked, NAMES, as_of=0)["price_usd"].to_list() == [None]  # before the first rows
    assert store.historical_features(asked, NAMES, as_of=1)["price_usd"].to_list() == [11.0]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pl.DataFrame({"symbol": ["BTC"]}), "no column ts"),
        (pl.DataFrame({"symbol": ["BTX"], "ts": [datetime(2024, 1, 1, tzinfo=timezone.utc)]}), "BTX not in the catalogue"),
        (pl.DataFrame({"symbol": ["BTC"], "ts": ["Tuesday"]}), "no instant"),
        (pl.DataFrame({"symbol": ["BTC"], "ts": [7]}), "ts is Int64"),
        (pl.DataFrame({"symbol": ["BTC", None], "ts": [datetime(2024, 1, 1)] * 2}), "1 row(s) without"),
        (pl.DataFrame({"symbol": ["BTC"], "ts": [datetime(2024, 1, 1)], "rsi_14": [1.0]}), "rsi_14 would be there twice"),
    ],
)  # fmt: skip
def test_entities_that_make_no_sense_are_refused_by_a_sentence(store: Store, frame: pl.DataFrame, said: str) -> None:
    with pytest.raises(UsageError) as error:
        store.historical_features(frame, NAMES)
    assert said in str(error.value)
