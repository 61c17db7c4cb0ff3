"""The rules that never bend, each by name, on the whole graph over real sockets, Postgres and Delta tables."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crypto_assets.dates import days
from crypto_assets.features.all_features import FEATURES
from crypto_assets.tables.schemas import CONTRACTS, ML_FEATURES
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform, open_platform, with_inputs

START, END = scenario.START, scenario.END
# The sandbox takes CoinGecko's capitalisation from the chain's recording: without its late row it says another one.
CAPS = [name for name, feature in FEATURES.items() if "prices.market_cap_usd" in feature.inputs]
DECIDED = ("onchain_enhanced", "narratives", "theme_trends", "theme_digests", "ml_features")


def assert_same_tables(one: Platform, other: Platform) -> None:
    for table in CONTRACTS:
        frames = [platform.read(table) for platform in (one, other)]
        assert_frame_equal(*frames, rel_tol=1e-9, abs_tol=0)


def test_rule_1_nothing_is_made_up(filled: Platform) -> None:
    """Only what the recording holds is there: gaps stay gaps, unknown is null, the source says sandbox."""
    ohlc = filled.read("ohlc")
    btc = set(ohlc.filter(pl.col("symbol") == "BTC")["ts"])
    assert not btc & set(scenario.GAP)
    assert ohlc.filter(pl.col("symbol") == "UNI")["ts"].min() == scenario.LISTING
    base = filled.read("onchain_base")
    assert base.filter(pl.col("symbol") == "ETH")["realized_cap_usd"].null_count() == 6
    assert base["hash_rate"].null_count() == base.height
    assert "UNI" not in set(base["symbol"])
    features = filled.read("ml_features")
    assert features["onchain_whale_transactions"].null_count() == features.height
    for table in CONTRACTS:
        assert filled.read(table)["source"].str.starts_with("sandbox").all(), table


def test_rule_2_no_look_ahead(filled: Platform, platforms) -> None:
    """Forget everything that became known after t, recompute, and every row decided by t is the same."""
    for moment in (datetime(2021, 3, 4, 12, 20, tzinfo=timezone.utc), datetime(2021, 3, 5, 9, 59, tzinfo=timezone.utc)):
        truncated = platforms(until=moment)
        truncated.backfill(START, moment.date(), tables=with_inputs(DECIDED))
        for table in DECIDED:
            known = [
                p.read(table).filter(pl.col("available_at") <= moment).drop(CAPS, strict=False)
                for p in (filled, truncated)
            ]
            assert known[0].height > 0
            assert_frame_equal(*known, rel_tol=1e-9, abs_tol=0)


def test_rule_2_a_late_onchain_value_changes_only_hours_that_could_have_seen_it(filled: Platform) -> None:
    btc = filled.read("ml_features").filter(pl.col("symbol") == "BTC")
    seen = dict(btc.select("ts", "transaction_count_24h").rows())
    late = 300_000.0 + 500 * 2  # the recording's TxCnt of the 3rd, known on the 5th at 10:00
    before, after = (datetime(2021, 3, 5, hour, tzinfo=timezone.utc) for hour in (9, 10))
    # From the 5th at 02:00 the 4th is known, which is newer: the late day must never surface.
    assert late not in set(seen.values())
    assert seen[before] == seen[after] == 300_000.0 + 500 * 3


def test_rule_3_chunking_does_not_show(filled: Platform, platform: Platform) -> None:
    """One run, and runs of a day and of two days, give the same tables, also where a day comes before its past.

    The third day is first. The first and the second then each change what it looks back over: across a hole, and next to
    it. The fourth comes in order. Each of these is fetched alone, and what is stored of it was derived alone in the end. The
    last two come in one run, so that the cuts are not all alike.
    """
    first, second, third, fourth, *rest = days(START, END)
    for day in (third, first, second, fourth):
        assert platform.backfill(day, day).ok
    assert platform.backfill(rest[0], rest[-1]).ok
    assert_same_tables(filled, platform)


def test_rule_4_idempotent(filled: Platform) -> None:
    """The second run with the same responses changes nothing, not even a table version."""
    before = {table: (filled.warehouse.version(table), filled.read(table)) for table in CONTRACTS}
    assert filled.backfill(START, END).ok
    for table, (version, frame) in before.items():
        assert filled.warehouse.version(table) == version, table
        assert_frame_equal(filled.read(table), frame)
        assert frame.unique(list(CONTRACTS[table].key)).height == frame.height, table


@pytest.mark.parametrize(
    ("route", "table"),
    [
        ("market_chart", "prices"),
        ("klines", "ohlc"),
        ("asset-metrics", "onchain_base"),
        ("fng", "market_sentiment"),
        ("fundingRate", "funding_rates"),
        ("fapi/v1/klines", "perpetual_bars"),
        ("get_volatility_index_data", "implied_volatility"),
    ],
)
@pytest.mark.parametrize("fault", ["status=403", "html=1", "malformed=1"])
def test_rule_5_a_failed_fetch_writes_nothing(platforms, route: str, table: str, fault: str) -> None:
    broken = platforms(fault=f"route={route},{fault},rate=1")
    report = broken.backfill(START, START, tables=[table])
    assert not report.ok
    assert report.partitions[table] == {"requested": 1, "materialized": 0, "failed": 1}
    assert report.failures[table].count("\n") == 0
    assert not broken.warehouse.exists(table)


def test_rule_5_a_shorter_answer_never_overwrites(platform: Platform, tmp_path, monkeypatch) -> None:
    """A feed that forgot its history, and bars cut short, leave what is stored."""
    assert platform.backfill(START, START, tables=["ohlc", "news_articles"]).ok
    before = {table: platform.read(table) for table in ("ohlc", "news_articles")}
    noon = datetime(2021, 3, 1, 12, tzinfo=timezone.utc)
    recording = scenario.write(tmp_path / "shorter", until=noon)
    with open_platform(platform.instance, tmp_path / "other", recording, monkeypatch) as shorter:
        monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", platform.settings.warehouse)
        shorter.backfill(START, START, tables=["ohlc", "news_articles"])
    for table, frame in before.items():
        assert_frame_equal(platform.read(table), frame)


def test_rule_6_validate_before_the_write(filled: Platform) -> None:
    """A frame that breaks its contract leaves the table as it was, version and all."""
    from crypto_assets.errors import ContractError

    version, rows = filled.warehouse.version("ml_features"), filled.read("ml_features")
    bad = rows.with_columns(rsi_14=pl.lit(101.0))
    with pytest.raises(ContractError, match="rsi_14"):
        filled.warehouse.write(ML_FEATURES, bad, days(START, END))
    assert filled.warehouse.version("ml_features") == version
    assert_frame_equal(filled.read("ml_features"), rows)


def test_features_wait_for_their_decision_time(filled: Platform) -> None:
    """Each features row decides at ts + 5 minutes, and the price in it was known by then."""
    features, prices = filled.read("ml_features"), filled.read("prices")
    assert (features["available_at"] - features["ts"] == timedelta(minutes=5)).all()
    joined = features.join(prices, on=["symbol", "ts"], suffix="_observed").drop_nulls("price_usd")
    assert (joined["available_at_observed"] <= joined["available_at"]).all()
    assert (joined["price_usd"] == joined["price_usd_observed"]).all()
