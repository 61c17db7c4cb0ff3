"""Population counts what a source can give: by definition, by what it ever gave, and by how far back its rows reach."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crypto_assets.catalog import by_symbol, select
from crypto_assets.checks import parts
from crypto_assets.checks.day_reports import shown
from crypto_assets.checks.expected_features import expectations
from crypto_assets.checks.outcome import Chart, Scope
from crypto_assets.checks.population import feature_population, measure_population, ten_fields
from crypto_assets.dates import days
from crypto_assets.features.all_features import FEATURES, GROUPS, Feature
from crypto_assets.features.build import build_features
from crypto_assets.settings import Settings
from crypto_assets.storage.io_manager import to_pandas
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS, ML_FEATURES, ONCHAIN_BASE, ONCHAIN_ENHANCED, PRICES
from crypto_assets.transforms.onchain import enhance

FIRST, START, END = date(2021, 2, 1), date(2021, 3, 4), date(2021, 3, 5)
LISTED = datetime(2021, 3, 4, 6, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
END_OF_TIME = datetime(2999, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def scope(tmp_path: Path) -> Scope:
    """BTC with a history of prices and of some on-chain metrics; UNI lists on the first day; DOGE has nothing."""
    settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path), "CRYPTO_ASSETS_COINS": "BTC,UNI,DOGE"})
    scope = Scope(Warehouse(settings.warehouse), settings, START, END, datetime(2021, 3, 10, tzinfo=timezone.utc))
    opened = datetime(2021, 2, 1, tzinfo=timezone.utc)
    marks = [opened + n * HOUR for n in range(33 * 24)]
    prices = [
        {"symbol": s, "ts": ts, "date": ts.date(), "available_at": ts, "source": "test", "price_usd": 100.0 + n % 7}
        for s in ("BTC", "UNI")
        for n, ts in enumerate(marks)
        if s == "BTC" or ts >= LISTED
    ]
    chain = [
        {"symbol": "BTC", "date": day, "available_at": datetime(day.year, day.month, day.day, 6, tzinfo=timezone.utc) + timedelta(days=1),
         "source": "test", "transaction_count": 3e5 + 10.0 * (day.day % 7), "hash_rate": 1e8}
        for day in days(FIRST, END)
    ]  # fmt: skip
    _store(scope, "prices", prices)
    _store(scope, "onchain_base", chain)
    base = scope.warehouse.read(ONCHAIN_BASE)
    features = build_features(
        prices=scope.warehouse.read(PRICES), onchain_base=base,
        onchain_enhanced=ONCHAIN_ENHANCED.validate(enhance(to_pandas(base), FIRST, END)), symbols=["BTC", "UNI"], start=START, end=END,
    )  # fmt: skip
    scope.warehouse.write(ML_FEATURES, features, days(START, END))
    return scope


def _store(scope: Scope, table: str, rows: list[dict]) -> None:
    contract = CONTRACTS[table]
    scope.warehouse.write(
        contract, pl.DataFrame(rows, schema={n: contract.polars_schema[n] for n in rows[0]}), days(FIRST, END)
    )


def test_what_a_source_gave_is_expected_and_there(scope: Scope) -> None:
    found = measure_population(scope)
    assert found.rows == 48 + 42
    columns = found.expected_columns()
    assert {name: share for name, share in columns.items() if share not in (None, 1.0)} == {}
    assert found.expected_overall == 1.0
    assert 0.05 < found.overall < 0.4
    for name in ("price_usd", "return_24h", "volatility_30d", "beta_btc_7d", "transaction_count_24h", "hour_sin"):
        assert columns[name] == 1.0, name
    for name in ("sma_20", "market_cap_usd", "onchain_nvt_ratio", "onchain_whale_transactions", "funding_rate"):
        assert columns[name] is None, name


def test_a_listing_is_expected_once_its_window_can_be_whole(scope: Scope) -> None:
    due = expectations(scope, select("BTC,UNI")).due["UNI"]
    assert due["price_usd"] == LISTED
    assert due["return_24h"] == LISTED + 24 * HOUR
    assert due["volatility_24h"] == LISTED + 20 * HOUR  # four fifths of its hours
    assert due["beta_btc_7d"] == LISTED + 135 * HOUR
    assert "transaction_count_24h" not in due


def test_indicators_are_expected_of_bars_in_a_row_in_which_short_holes_count(scope: Scope) -> None:
    """Bars close from 00:00 - 29 h on; one hour is missing, then 24 are, then 25."""
    opened = datetime(2021, 3, 1, tzinfo=timezone.utc)
    gone = {24, *range(30, 54), *range(60, 85)}
    closes = [opened + n * HOUR for n in range(-29, 96) if n not in gone]
    bars = [
        {"symbol": "BTC", "ts": ts - HOUR, "date": (ts - HOUR).date(), "available_at": ts, "source": "test",
         "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}
        for ts in closes
    ]  # fmt: skip
    _store(scope, "ohlc", bars)
    wanted = expectations(scope, select("BTC"))
    hours = (-30, -29, 0, 24, 25, 53, 54, 59, 83, 84, 85, 90, 95 + 24, 95 + 25)
    marks = pl.Series([opened + n * HOUR for n in hours]).cast(pl.Datetime("us", "UTC"))
    before = wanted.bars_before("BTC", marks.to_physical().to_numpy()).tolist()
    assert before == [-1, 0, 29, 53, 54, 82, 83, 88, 112, -1, 0, 5, 34, -1]
    assert wanted.bars_before("UNI", marks.to_physical().to_numpy()).tolist() == [-1] * len(hours)
    spans = [(-40, -31), (-31, -29), (0, 23), (59, 83), (59, 84), (83, 85), (84, 84), (85, 95)]
    first, last = (
        pl.Series([opened + span[end] * HOUR for span in spans]).cast(pl.Datetime("us", "UTC")).to_physical().to_numpy()
        for end in (0, 1)
    )
    assert wanted.of_one_run("BTC", first, last).tolist() == [True, False, True, True, False, False, True, True]


def test_every_expected_indicator_is_there_around_real_holes(scope: Scope) -> None:
    """Prices go on while the venue is out: what the definitions expect of the rows is filled, and no more is expected."""
    opened = datetime(2021, 2, 1, tzinfo=timezone.utc)
    out = {*range(700, 705), *range(735, 759), *range(775, 779)}  # the last days of the range: hours 744 to 792
    bars = [
        {"symbol": "BTC", "ts": ts, "date": ts.date(), "available_at": ts + HOUR, "source": "test", "open": 100.0 + n % 5,
         "high": 106.0 + n % 3, "low": 98.0 - n % 7, "close": 101.0 + n % 4, "volume": 1.0 + n % 2}
        for n in range(33 * 24) if n not in out for ts in [opened + n * HOUR]
    ]  # fmt: skip
    _store(scope, "ohlc", bars)
    rows = build_features(
        prices=scope.warehouse.read(PRICES),
        ohlc=scope.warehouse.read("ohlc"),
        symbols=["BTC", "UNI"],
        start=START,
        end=END,
    )
    scope.warehouse.write(ML_FEATURES, rows, days(START, END))
    columns = measure_population(scope).expected_columns()
    by_value = {"stoch_k", "stoch_d", "stoch_slow_d", "donchian_position_20", "williams_r_24", "vwap_24h", "cmf_20",
                "bb_percent_b", "cci_20", "mfi_14", "close_to_vwap_24h", "ultimate_oscillator", "obv_share_24h",
                "amihud_illiquidity_24h"}  # fmt: skip
    found = {f.name: columns[f.name] for f in GROUPS["technical"] if f.name not in by_value}
    assert {name: share for name, share in found.items() if share != 1.0} == {}


@pytest.mark.parametrize("cells", [parts.CELLS_AT_ONCE, 1], ids=["at once", "day by day"])
def test_counts_of_whole_days_are_those_of_every_cell(
    scope: Scope, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bars, rows and values are missing, conditions change within a day, and on one a run of bars ends and another begins."""
    chance, opened, first = np.random.default_rng(3), datetime(2021, 2, 1, tzinfo=timezone.utc), date(2021, 2, 24)
    bars = [
        {"symbol": symbol, "ts": ts, "date": ts.date(), "available_at": ts + HOUR, "source": "test", "open": 100.0 + n % 5,
         "high": 106.0 + n % 3, "low": 98.0 - n % 7, "close": 101.0 + n % 4, "volume": 1.0 + n % 2}
        for symbol, hours in (("BTC", [*range(500), *range(503, 630), *range(660, 700), 737, *range(763, 792)]), ("UNI", range(740, 780)))
        for n in hours for ts in [opened + n * HOUR]
    ]  # fmt: skip
    _store(scope, "ohlc", bars)
    read = scope.warehouse.read
    rows = build_features(prices=read(PRICES), ohlc=read("ohlc"), symbols=["BTC", "UNI"], start=first, end=END)
    rows = rows.filter(pl.Series(chance.random(rows.height) < 0.97))
    for name in ("news_count_24h", "news_count_change_24h", "social_posts_24h", "sma_20", "price_usd", "rsi_14"):
        rows = rows.with_columns(
            pl.when(pl.Series(chance.random(rows.height) < 0.3)).then(None).otherwise(
                pl.Series(chance.choice([0.0, 3.0], rows.height)) if "24h" in name else pl.col(name)
            ).alias(name)
        )  # fmt: skip
    scope.warehouse.write(ML_FEATURES, rows, days(first, END))
    monkeypatch.setattr(parts, "CELLS_AT_ONCE", cells)
    found = measure_population(replace(scope, start=first))

    def of_bars(feature: Feature) -> bool:
        return bool(feature.tables == {"ohlc"} and feature.first_hours)

    rows, marks = read(ML_FEATURES), pl.col("ts").to_physical()
    assert found.rows == rows.height and found.columns() == {
        name: (rows.height - rows[name].null_count()) / rows.height for name in FEATURES
    }
    wanted = found.wanted
    for symbol in ("BTC", "UNI"):
        mine = rows.filter(symbol=symbol)
        before = wanted.bars_before(symbol, mine.select(marks).to_series().to_numpy())
        expected = {
            name: mine.select(
                pl.lit(wanted.due[symbol].get(name, END_OF_TIME)) <= pl.col("ts"),
                pl.Series("bars", before >= feature.first_hours if of_bars(feature) else [True] * mine.height),
                pl.sql_expr(feature.where or "true").fill_null(value=False).alias("where"),
            ).select(pl.all_horizontal(pl.all())).to_series()
            for name, feature in FEATURES.items()
        }  # fmt: skip
        due = sum(int(cells.sum()) for cells in expected.values())
        filled = sum(int((cells & mine[name].is_not_null()).sum()) for name, cells in expected.items())
        assert found.coins[symbol].tolist() == [filled, due]
    assert sum(by_group.sum(axis=0) for by_group in found.daily.values()).tolist() == [
        sum(column) for column in zip(*(found.coins[symbol].tolist() for symbol in found.coins), strict=True)
    ]


def test_hash_rate_is_expected_of_proof_of_work_coins_only(scope: Scope) -> None:
    due = expectations(scope, select("BTC,UNI")).due
    assert "onchain_hash_rate" in due["BTC"]
    assert {s for s in ("BTC", "UNI", "DOGE", "ETH") if FEATURES["onchain_hash_rate"].coins.has(by_symbol()[s])} == {
        "BTC",
        "DOGE",
    }


def test_lost_cells_count_and_are_named(scope: Scope) -> None:
    stored = scope.warehouse.read(ML_FEATURES)
    lost = (pl.col("symbol") == "BTC") & (pl.col("date") == END)
    broken = stored.with_columns(
        pl.when(lost).then(None).otherwise(pl.col(name)).alias(name)
        for name in ("price_usd", "transaction_count_24h", "hour_sin")
    )
    scope.warehouse.write(ML_FEATURES, broken, days(START, END))
    found = measure_population(scope)
    assert found.expected_columns()["price_usd"] == pytest.approx(1 - 24 / 90, abs=1e-5)
    assert found.expected_columns()["transaction_count_24h"] == 0.5
    assert found.by_coin()["UNI"] == 1.0 and found.by_coin()["BTC"] < 1.0
    assert found.groups()["price"] < 1.0
    ten = ten_fields(found, select("BTC,UNI,DOGE"))
    assert "24 expected cell(s)" in str(ten["transaction_count_24h"]["null_because"])
    assert "gave no onchain_base.market_cap_usd for BTC" in str(ten["onchain_nvt_ratio"]["null_because"])
    whales = str(ten["onchain_whale_transactions"]["null_because"])
    assert "gave no onchain_base.transfers_above_1m_usd for BTC" in whales, "it is sold only: no key, no value"


def test_the_check_shows_groups_over_time(scope: Scope) -> None:
    outcome = feature_population(scope)
    assert outcome.passed, outcome.description
    chart = outcome.numbers["population_by_group"]
    assert isinstance(chart, Chart)
    assert set(chart.series) == set(GROUPS)
    assert chart.series["price"] == ([START, END], [1.0, 1.0])
    metadata = shown(outcome.numbers)
    assert metadata["population_by_group"].value.startswith("![expected feature cells filled")
    assert metadata["not_given"].value["onchain_base.transfer_volume_usd"] == ["BTC", "UNI", "DOGE"]


def test_a_tick_of_one_day_draws_no_picture(scope: Scope) -> None:
    """A line of one point tells nothing that the groups' numbers do not, and is half a second of every run."""
    numbers = feature_population(replace(scope, start=END)).numbers
    assert "population_by_group" not in numbers
    assert set(numbers["groups"]) == set(GROUPS)
