"""What watchers see: a late table with what follows from it, and calls that will not last for the month."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from crypto_assets.dates import DAY, midnight
from crypto_assets.monitoring.watch.call_budgets import call_budgets
from crypto_assets.monitoring.watch.late_tables import consequence_of, late_tables
from crypto_assets.monitoring.watch.suspected_changes import suspected_changes
from crypto_assets.settings import Settings
from crypto_assets.sources.client.limits import PROVIDERS, limit_of
from crypto_assets.sources.client.quota import CallStats, PostgresQuotaStore
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import freshness

NOW = datetime(2026, 3, 10, 12, 30, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("age", "expected"),
    [(timedelta(minutes=20), None), (timedelta(hours=30), "late"), (timedelta(days=60), "absent")],
)
def test_a_table_is_late_on_time_or_not_kept_up_to_date(
    warehouse: Warehouse, put: Callable[..., None], age: timedelta, expected: str | None
) -> None:
    at = NOW - age
    ts = at.replace(minute=0)
    put("prices", symbol="BTC", ts=ts, date=ts.date(), available_at=at, price_usd=1.0)
    seen = {sighting.subject: sighting for sighting in late_tables(warehouse, NOW)}
    assert set(seen) <= {"prices"}, "a table without rows is not late"
    if expected == "absent":
        assert seen == {}
        return
    found = seen["prices"]
    if expected is None:
        assert found.trouble is None
    else:
        assert f"{at:%Y-%m-%d %H:%M}" in str(found.trouble)
        assert found.since == at + freshness()["prices"].late_after
        assert "ml_features" in str(found.consequence)


def test_the_consequence_names_what_is_derived_over_several_steps() -> None:
    said = str(consequence_of("news_articles"))
    assert "narratives" in said
    assert "ml_features" in said
    assert "signals" in str(consequence_of("ml_features"))
    assert consequence_of("signals") is None


def test_a_provider_over_its_budget_is_seen_and_the_others_are_well(url: str, tmp_path: Path) -> None:
    env = {"CRYPTO_ASSETS_HOME": str(tmp_path), "DAGSTER_POSTGRES_URL": url, "API_BUDGETS": "coingecko=1000"}
    settings = Settings.from_env(env)
    now = datetime.now(timezone.utc)
    assert {s.subject: s.trouble for s in call_budgets(settings, now)} == dict.fromkeys(PROVIDERS)
    limit = limit_of("coingecko", settings)
    assert limit is not None
    quota = PostgresQuotaStore(url)
    quota.reserve(limit, 900)
    quota.record({("coingecko", "/coins/markets", now - DAY * n): CallStats(calls=100) for n in range(7)})
    seen = {s.subject: s.trouble for s in call_budgets(settings, now)}
    assert "900 of 1,000 calls used this month" in str(seen.pop("coingecko"))
    assert seen == dict.fromkeys(set(PROVIDERS) - {"coingecko"})
    more = dataclasses.replace(settings, api_budgets={"coingecko": 1_000_000})
    assert {s.subject: s.trouble for s in call_budgets(more, now)} == dict.fromkeys(PROVIDERS), "its incident ends"


def test_a_coin_that_nobody_explains_is_seen_until_a_row_of_the_catalogue_does(
    warehouse: Warehouse, put: Callable[..., None]
) -> None:
    assert suspected_changes(warehouse, ["XMR"]) == [], "without a row nothing is known, and nothing is over"

    def day(symbol: str, days_ago: int, state: str, evidence: str) -> None:
        date = NOW.date() - DAY * days_ago
        named = {"venues": ["binance"], "tickers": [f"binance:{symbol}USDT"], "factor": 1.0, "evidence": evidence}
        put("universe", symbol=symbol, date=date, available_at=midnight(date + DAY), state=state, **named)

    day("BTC", 3, "listed", "bars")
    day("XMR", 3, "suspected", "silence since 2026-02-28")
    day("XMR", 2, "suspected", "silence since 2026-02-28, for 8 days")
    day("SUN", 400, "suspected", "a jump by 1000")  # history that was backfilled counts too
    seen = suspected_changes(warehouse, ["SUN", "MKR"])
    assert {one.subject: one.trouble for one in seen} == {
        "SUN": "SUN: a jump by 1000",
        "XMR": "XMR: silence since 2026-02-28, for 8 days",
        "MKR": None,  # explained
    }
    assert next(one for one in seen if one.subject == "XMR").since == midnight(NOW.date() - DAY * 3)
