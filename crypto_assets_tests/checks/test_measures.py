"""Every check passing and failing, on tables written for the purpose."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from crypto_assets.checks import parts
from crypto_assets.checks.day_reports import shown
from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.checks.shells import every_measure, scope_of
from crypto_assets.checks.state import FROM_FIRST_ROW, RECORDS, SNAPSHOTS
from crypto_assets.dates import days
from crypto_assets.features.all_features import FEATURES
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS, THEMES

START, END = date(2021, 3, 1), date(2021, 3, 3)
DAYS = days(START, END)
MIDNIGHT = datetime(2021, 3, 1, tzinfo=timezone.utc)
HOURS = [MIDNIGHT + timedelta(hours=n) for n in range(72)]
COINS = ("BTC", "ETH")


@pytest.fixture
def scope(tmp_path: Path) -> Scope:
    settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path), "CRYPTO_ASSETS_COINS": "BTC,ETH"})
    return Scope(Warehouse(settings.warehouse), settings, START, END, datetime(2021, 3, 10, tzinfo=timezone.utc))


def measure(scope: Scope, table: str, check: str) -> Outcome:
    return every_measure()[table][check](scope)


def write(scope: Scope, table: str, rows: list[dict]) -> None:
    contract = CONTRACTS[table]
    frame = pl.DataFrame(rows, schema={name: contract.polars_schema[name] for name in rows[0]})
    scope.warehouse.write(contract, frame, DAYS)


def hourly(table: str, hours=HOURS, coins=COINS) -> list[dict]:
    values = {
        "prices": {"price_usd": 1.0},
        "ohlc": {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0},
        "ml_features": {name: 1.0 for name in ("price_usd", "sma_20")},
        "narratives": {"article_count_24h": 1},
    }[table]
    return [
        {"symbol": coin, "ts": ts, "date": ts.date(), "available_at": ts, "source": "test", **values}
        for coin in coins
        for ts in hours
    ]


def daily(coins=COINS, **values: float | None) -> list[dict]:
    return [
        {"symbol": c, "date": d, "available_at": MIDNIGHT + timedelta(days=n + 1), "source": "test", **values}
        for c in coins
        for n, d in enumerate(DAYS)
    ]


def test_contract_passes_and_fails(scope: Scope) -> None:
    write(scope, "prices", hourly("prices"))
    assert measure(scope, "prices", "contract").passed
    _write_past_the_gate(scope, "prices", pl.lit(-1.0).alias("price_usd"))
    broken = measure(scope, "prices", "contract")
    assert not broken.passed
    assert broken.severity == "ERROR"
    assert "price_usd" in broken.description


@pytest.mark.parametrize("broken", [False, True])
def test_the_contract_of_a_long_range_is_checked_in_parts(
    scope: Scope, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    write(scope, "prices", hourly("prices"))
    if broken:
        wrong = pl.when(pl.col("ts").dt.hour() == 3).then(-1.0).otherwise(pl.col("price_usd"))
        _write_past_the_gate(scope, "prices", wrong.alias("price_usd"))
    whole = measure(scope, "prices", "contract")
    read: list[int] = []

    class Counted(Warehouse):
        def read(self, *arguments: Any, **named: Any) -> pl.DataFrame:
            found = super().read(*arguments, **named)
            read.append(found.height)
            return found

    monkeypatch.setattr(parts, "CELLS_AT_ONCE", 60 * len(CONTRACTS["prices"].names))  # a day has 48 rows
    found = measure(replace(scope, warehouse=Counted(scope.settings.warehouse)), "prices", "contract")
    assert read == [48, 48, 48]
    assert (found.passed, found.description, found.numbers) == (not broken, whole.description, whole.numbers)
    assert found.numbers == {"rows": 144, "rules_broken": int(broken)}
    assert ("price_usd breaks greater_than(0) in 6 row(s)" in found.description) == broken


def _write_past_the_gate(scope: Scope, table: str, change: pl.Expr) -> None:
    """Write as a stranger with another program would: without our validation."""
    from deltalake import write_deltalake

    frame = scope.warehouse.read(table).with_columns(change)
    write_deltalake(f"{scope.settings.warehouse}/{table}", frame.to_arrow(), mode="overwrite", partition_by=["date"])


def test_rows_expected_counts_gaps_and_names_the_worst_coin(scope: Scope) -> None:
    write(scope, "prices", hourly("prices"))
    assert measure(scope, "prices", "rows_expected").passed
    write_hours = [ts for ts in HOURS if ts.hour != 7]
    scope.warehouse.write(CONTRACTS["ohlc"], pl.DataFrame(
        hourly("ohlc", write_hours, ("BTC",)) + hourly("ohlc", HOURS, ("ETH",)),
        schema_overrides={"ts": pl.Datetime("us", "UTC"), "available_at": pl.Datetime("us", "UTC")},
    ), DAYS)  # fmt: skip
    gaps = measure(scope, "ohlc", "rows_expected")
    assert gaps.numbers["gaps"] == 3
    assert "BTC 3" in gaps.description
    assert not gaps.passed  # 141 of 144 is below 98 %


def test_rows_expected_of_an_event_on_each_of_its_days(scope: Scope) -> None:
    """An event of two days owes an analysis on both, however many analysers there are."""
    known = [{"event_id": "a", "date": day, "available_at": MIDNIGHT, "source": "test"} for day in DAYS[:2]]
    shape: dict[str, Any] = {
        "outlets": ["x"],
        "outlet_count": 1,
        "articles": ["n"],
        "article_count": 1,
        "new_article_count": 1,
    }
    event = {"first_seen": MIDNIGHT, "headline": "x", "symbols": [], "first_symbols": [], **shape}
    write(scope, "news_events", [{**row, **event} for row in known])
    said = {"outlet_count": 1, "articles_read": ["n"], "drivers": [], "affected_symbols": [], "status": "ok"}
    analysed = [{**row, **said, "analyzer": name} for row in known for name in ("lexicon-3", "llm")]
    write(scope, "event_narratives", analysed)
    assert measure(scope, "event_narratives", "rows_expected").passed
    write(scope, "event_narratives", analysed[:2])
    assert not measure(scope, "event_narratives", "rows_expected").passed


def test_rows_expected_from_the_hour_of_listing_on(scope: Scope) -> None:
    write(scope, "prices", hourly("prices", HOURS, ("BTC",)) + hourly("prices", HOURS[38:], ("ETH",)))
    outcome = measure(scope, "prices", "rows_expected")
    assert outcome.passed
    assert outcome.numbers["rows_expected"] == 72 + 34


def test_rows_expected_names_coins_never_seen(scope: Scope) -> None:
    write(scope, "prices", hourly("prices", HOURS, ("BTC",)))
    assert "1 coin(s) without any row: ETH" in measure(scope, "prices", "rows_expected").description


def test_an_empty_table_is_not_well(scope: Scope) -> None:
    for table in set(every_measure()) - {*SNAPSHOTS, *RECORDS, *FROM_FIRST_ROW, "kraken_ohlc"}:
        assert not measure(scope, table, "fresh_partitions").passed, table
    for table in ("prices", "market_sentiment", "defi_metrics", "news_articles"):
        assert measure(scope, table, "contract").passed  # nothing there breaks no rule
    assert not measure(scope, "market_sentiment", "rows_expected").passed
    assert not measure(scope, "onchain_enhanced", "enhanced_over_base").passed
    assert not measure(scope, "ml_features", "feature_population").passed


def test_fresh_partitions_are_not_fooled_by_an_old_backfill(scope: Scope) -> None:
    write(scope, "prices", hourly("prices"))
    assert measure(scope, "prices", "fresh_partitions").passed
    scope.warehouse.write(CONTRACTS["prices"], CONTRACTS["prices"].empty(), DAYS)
    stopped = [ts for ts in HOURS if ts.date() < END or ts.hour < 9]
    other = Scope(Warehouse(scope.settings.warehouse + "2"), scope.settings, START, END, scope.now)
    write(other, "prices", hourly("prices", stopped))
    late = measure(other, "prices", "fresh_partitions")
    assert not late.passed
    assert "2021-03-03" in late.description


def test_a_day_that_is_not_over_is_not_due(scope: Scope) -> None:
    write(scope, "prices", hourly("prices", HOURS[:48]))
    tomorrow = Scope(scope.warehouse, scope.settings, START, END, datetime(2021, 3, 3, 12, tzinfo=timezone.utc))
    outcome = measure(tomorrow, "prices", "fresh_partitions")
    assert outcome.passed
    assert outcome.numbers["partitions_due"] == 2
    assert measure(tomorrow, "prices", "rows_expected").numbers["rows_expected"] == 96


def test_enhanced_over_base(scope: Scope) -> None:
    write(scope, "onchain_base", daily(active_addresses=1.0))
    write(scope, "onchain_enhanced", daily(nvt_ratio=1.0))
    assert measure(scope, "onchain_enhanced", "enhanced_over_base").passed
    write(scope, "onchain_enhanced", daily(("BTC",), nvt_ratio=1.0))
    half = measure(scope, "onchain_enhanced", "enhanced_over_base")
    assert not half.passed
    assert half.numbers["ratio"] == 0.5
    assert half.severity == "ERROR"


def test_feature_population_names_the_ten(scope: Scope) -> None:
    write(scope, "ml_features", hourly("ml_features"))
    outcome = measure(scope, "ml_features", "feature_population")
    assert not outcome.passed
    assert outcome.numbers["columns"]["sma_20"] == 1.0
    assert len(outcome.numbers["ten_onchain_fields"]) == 10
    assert "onchain_nvt_ratio 0% (the source gave no onchain_base.market_cap_usd for BTC, ETH" in outcome.description
    columns = CONTRACTS["ml_features"].columns
    full = {c.name: 1.0 if c.upper is None else c.upper for c in columns if c.name in FEATURES}
    write(scope, "ml_features", [{**row, **full} for row in hourly("ml_features")])
    assert measure(scope, "ml_features", "feature_population").passed


def test_features_are_expected_where_a_price_or_a_closing_bar_is(scope: Scope) -> None:
    write(scope, "prices", hourly("prices", HOURS[:10], ("BTC",)))
    write(scope, "ohlc", hourly("ohlc", HOURS[5:20], ("BTC",)))
    write(scope, "ml_features", hourly("ml_features", HOURS[:20], ("BTC",)))
    outcome = measure(scope, "ml_features", "rows_expected")
    assert (outcome.numbers["rows_expected"], outcome.numbers["rows_present"]) == (21, 20)


def test_the_range_comes_from_the_run(scope: Scope) -> None:
    one = scope_of({"dagster/partition": "2021-03-02"}, scope.settings)
    assert (one.start, one.end) == (date(2021, 3, 2), date(2021, 3, 2))
    tags = {"dagster/asset_partition_range_start": "2021-03-01", "dagster/asset_partition_range_end": "2021-03-03"}
    assert (scope_of(tags, scope.settings).start, scope_of(tags, scope.settings).end) == (START, END)
    recent = scope_of({}, scope.settings)
    assert (recent.end - recent.start).days == 30


def test_reports_carry_the_numbers() -> None:
    """Their severity: ``test_shells.py``."""
    numbers = {"ratio": 0.5, "columns": {"a": 1.0}, "at": datetime(2021, 3, 1, tzinfo=timezone.utc)}
    metadata = shown(numbers)
    assert metadata["ratio"] == 0.5
    assert metadata["columns"] == dg.MetadataValue.json({"a": 1.0})
    assert metadata["at"] == dg.MetadataValue.timestamp(numbers["at"])


def _themes(with_stories: list[date]) -> list[dict]:
    ends = {day: MIDNIGHT + timedelta(days=n + 1) for n, day in enumerate(DAYS)}
    return [
        {"theme": theme, "date": day, "available_at": ends[day], "source": "test", "article_count": 1,
         "story_count": 1, "top_symbols": [], "top_articles": []}
        for day in with_stories for theme in THEMES
    ]  # fmt: skip


def test_themes_are_expected_each_day_and_digests_where_there_was_an_event(scope: Scope) -> None:
    write(scope, "theme_trends", _themes(DAYS))
    assert measure(scope, "theme_trends", "rows_expected").passed
    themes = [row for row in _themes(DAYS[:2]) if row["theme"] == "defi"]
    happened = [
        {"event_id": "x", "date": row["date"], "available_at": row["available_at"], "source": "test",
         "first_seen": MIDNIGHT, "headline": "Bridge drained", "outlets": ["wire"], "outlet_count": 1, "articles": ["a"],
         "article_count": 1, "new_article_count": 1, "symbols": [], "first_symbols": []}
        for row in themes
    ]  # fmt: skip
    write(scope, "news_events", happened)
    assert not measure(scope, "theme_digests", "rows_expected").passed
    digests = [
        {"theme": "defi", "date": row["date"], "available_at": row["available_at"], "source": "test", "rank": 1,
         "digest": "Defi: 1 of 10 events.", "article_ids": [], "links": []}
        for row in themes
    ]  # fmt: skip
    write(scope, "theme_digests", digests)
    assert measure(scope, "theme_digests", "rows_expected").passed


def test_a_day_that_no_theme_tells_of_is_missed(scope: Scope) -> None:
    write(scope, "theme_trends", _themes(DAYS[:2]))
    outcome = measure(scope, "theme_trends", "rows_expected")
    assert (outcome.passed, outcome.numbers["days_without_rows"]) == (False, 1)
    assert outcome.severity == "WARN"
