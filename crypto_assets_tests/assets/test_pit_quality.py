"""``pit_quality`` of the whole graph on a recording: what is fetched late, what was seen in time, what derived rows carry."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from dagster import AssetKey, DagsterInstance

from crypto_assets.assets.shell import BACKFILLED_INPUTS
from crypto_assets.checks.outcome import Scope
from crypto_assets.checks.pit_quality import MEASURES
from crypto_assets.checks.state import FROM_FIRST_ROW
from crypto_assets.dates import DAY, days
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.pit_quality import PIT_QUALITY, QUALITIES, SeenInTime, WorstOfInputs
from crypto_assets.tables.registry import CONTRACTS, LOOK_BACK
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform

START, END = scenario.START, scenario.END
DERIVED = tuple(LOOK_BACK)
SEEN = [table for table, contract in CONTRACTS.items() if isinstance(contract.pit_quality, SeenInTime)]
SPOILT = ("BTC", scenario.LATE_DAY)  # the only row of the second part that was fetched late


def worst_by_hand(warehouse: Warehouse, table: str) -> list[str]:
    """The definition, row by row over everything that is stored, in plain Python."""
    rule = CONTRACTS[table].pit_quality
    assert isinstance(rule, WorstOfInputs)
    inputs = {
        name: [
            (row.get(rule.by) if rule.by else None, row["date"], row["available_at"], QUALITIES.index(row[PIT_QUALITY]))
            for row in warehouse.read(name).iter_rows(named=True)
        ]
        for name in LOOK_BACK[table]
    }
    found = []
    for row in warehouse.read(table).iter_rows(named=True):
        mine = (None, "MARKET", row.get(rule.by)) if rule.by else (None,)
        codes = [
            code
            for name, rows in inputs.items()
            for who, day, known, code in rows
            if who in mine
            and row["date"] - timedelta(days=LOOK_BACK[table][name]) <= day <= row["date"]
            and known <= row["available_at"]
        ]
        found.append(QUALITIES[max(codes, default=0)])
    return found


def assert_carried(platform: Platform) -> dict[str, Counter[str]]:
    """Every derived table carries what the definition says, and its check agrees. Return the counts."""
    counts = {}
    scope = Scope(platform.warehouse, platform.settings, START, END, now=scenario.LATE_COMPLETION)
    for table in DERIVED:
        stored = platform.warehouse.read(table)[PIT_QUALITY].to_list()
        assert stored == worst_by_hand(platform.warehouse, table), table
        outcome = MEASURES[table]["carries_worst_quality"](scope)
        assert outcome.passed, outcome.description
        assert outcome.numbers["rows_worse"] == 0
        assert outcome.numbers["rows_backfilled"] == stored.count("backfilled")
        counts[table] = Counter(stored)
    return counts


def was_seen_in_time(platform: Platform) -> None:
    """Store the rows of providers that revise as if they had been fetched when they became known, all but one."""
    for table in SEEN:
        rows = platform.warehouse.read(table)
        if rows.is_empty():
            continue
        spoilt = pl.lit(value=False)
        if table == "onchain_base":
            spoilt = (pl.col("symbol") == SPOILT[0]) & (pl.col("date") == SPOILT[1])
        quality = pl.when(spoilt).then(pl.lit("backfilled")).otherwise(pl.lit("first_seen")).alias(PIT_QUALITY)
        platform.warehouse.forget(CONTRACTS[table], rows.select({*CONTRACTS[table].key, "date"}))
        platform.warehouse.write(CONTRACTS[table], rows.with_columns(quality), sorted(set(rows["date"])))


def backfilled_inputs(instance: DagsterInstance) -> dict[str, list[str]]:
    """Partition of ml_features -> what its newest materialisation names."""
    records = instance.fetch_materializations(AssetKey("ml_features"), limit=1000, ascending=True).records
    found = [record.asset_materialization for record in records]
    return {str(m.partition): m.metadata[BACKFILLED_INPUTS].value for m in found if m and m.partition}  # type: ignore[misc]


def test_rows_are_first_seen_where_the_fetch_is_in_time(
    instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest days of a sandbox of today: the index is known at midnight, its fetch counts for a day."""
    began = datetime.now(timezone.utc)
    with Sandbox() as sandbox:
        env = {**sandbox.env(), "CRYPTO_ASSETS_HOME": str(tmp_path / "home"), "CRYPTO_ASSETS_COINS": "BTC"}
        now = Platform(instance, env, monkeypatch)
        assert now.backfill(began.date() - 4 * DAY, began.date() - DAY, tables=["market_sentiment", "prices"]).ok
        ended = datetime.now(timezone.utc)
        rows = now.warehouse.read("market_sentiment")
        assert set(now.warehouse.read("prices")[PIT_QUALITY]) == {"final"}
    assert rows.height == 4
    for known, quality in rows.select("available_at", PIT_QUALITY).rows():
        possible = {("first_seen" if at - known <= DAY else "backfilled") for at in (began, ended)}
        assert quality in possible
    assert "backfilled" in set(rows[PIT_QUALITY])


def test_a_backfill_of_years_ago_is_backfilled_and_derived_rows_carry_the_worst(filled: Platform) -> None:
    platform, read = filled, filled.warehouse.read
    for table in SEEN:
        assert set(read(table)[PIT_QUALITY]) <= {"backfilled"}, table
    for table in ("prices", "ohlc", "funding_rates", "open_interest", "perpetual_bars", "implied_volatility"):
        assert set(read(table)[PIT_QUALITY]) == {"final"}, table
    counts = assert_carried(platform)
    assert counts["onchain_enhanced"].keys() == {"backfilled"}
    assert counts["ml_features"]["backfilled"] > 0
    named = backfilled_inputs(platform.instance)
    assert named.keys() == {day.isoformat() for day in days(START, END)}
    assert {"onchain_base", "onchain_enhanced", "narratives"} <= set(named[END.isoformat()])
    assert not {"prices", "ohlc", "funding_rates"} & set(named[END.isoformat()])

    was_seen_in_time(platform)
    assert platform.backfill(START, END, tables=DERIVED).ok
    counts = assert_carried(platform)
    assert counts["narratives"].keys() == {"first_seen"}
    features = read("ml_features")
    late = features.filter(pl.col(PIT_QUALITY) == "backfilled")
    assert set(late["symbol"]) == {SPOILT[0]}, "the late row of one coin spoils no other"
    assert late["available_at"].min() >= scenario.LATE_COMPLETION, "and no hour before it was known"
    assert set(features.filter(pl.col("symbol") == "ETH")[PIT_QUALITY]) == {"vintage", "first_seen"}, (
        "a vintage of macro series in the first hours, before any row of another provider that revises was known"
    )
    assert backfilled_inputs(platform.instance)[START.isoformat()] == []

    before = {table: read(table) for table in (*SEEN, *DERIVED)}
    assert platform.backfill(START, END, tables=tuple(before)).ok
    for table, frame in before.items():
        assert read(table).equals(frame), f"{table}: the same answers again, years later, prove the values"

    scope = Scope(platform.warehouse, platform.settings, START, END, now=scenario.LATE_COMPLETION)
    for table in DERIVED:
        rows = read(table)
        platform.warehouse.write(
            CONTRACTS[table], rows.with_columns(pl.lit("final").alias(PIT_QUALITY)), days(START, END)
        )
        better = sum(quality != "final" for quality in rows[PIT_QUALITY])
        outcome = MEASURES[table]["carries_worst_quality"](scope)
        assert outcome.numbers["rows_better"] == better
        if table in FROM_FIRST_ROW:  # nobody posted, and six days train no model
            assert rows.is_empty()
            continue
        if table == "universe":  # prices and bars are not revised
            assert better == 0
            continue
        assert better > 0
        assert not outcome.passed
        assert outcome.severity == "WARN"
        assert "where one says final" in outcome.description
        platform.warehouse.write(CONTRACTS[table], rows, days(START, END))
