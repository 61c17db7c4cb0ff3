"""The measures of the service: slots that nobody observed, and tables below their target."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.checks.service import ALLOWED_GAPS, slo_met, slots_observed
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import FRESHNESS_OBSERVATIONS, SLO_REPORT

NOW = datetime(2024, 5, 4, 12, 8, tzinfo=timezone.utc)
SLOT = timedelta(minutes=15)
SLOTS = [datetime(2024, 5, 4, 12, tzinfo=timezone.utc) - SLOT * n for n in range(97)]


def observed(folder: Path, slots: list[datetime]) -> Outcome:
    warehouse = Warehouse(str(folder))
    rows = [
        {
            "asset": "prices", "ts": ts, "date": ts.date(), "available_at": ts, "source": "platform", "fresh": True,
            "late_after_s": 3600.0,
        }
        for ts in slots
    ]  # fmt: skip
    if rows:
        warehouse.write(FRESHNESS_OBSERVATIONS, pl.DataFrame(rows), sorted({ts.date() for ts in slots}))
    return slots_observed(Scope(warehouse, Settings.from_env({}), NOW.date(), NOW.date(), NOW))


@pytest.mark.parametrize(("gaps", "passed"), [(0, True), (ALLOWED_GAPS, True), (ALLOWED_GAPS + 1, False)])
def test_a_restart_is_forgiven_and_no_more(tmp_path: Path, gaps: int, passed: bool) -> None:
    found = observed(tmp_path, SLOTS[:10] + SLOTS[10 + gaps :])
    assert (found.numbers["unobserved_slots"], found.passed) == (gaps, passed)


def test_never_observed_is_no_pass(tmp_path: Path) -> None:
    found = observed(tmp_path, [])
    assert not found.passed
    assert found.description == "never observed"


def test_a_table_below_its_target_is_named_and_no_report_is_no_pass(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    scope = Scope(warehouse, Settings.from_env({}), NOW.date(), NOW.date(), NOW)
    assert not slo_met(scope).passed
    hour = NOW.replace(minute=0)
    rows = [
        {
            "asset": asset, "window": "24h", "ts": hour, "date": hour.date(), "available_at": NOW, "source": "platform",
            "slots": 96, "fresh_slots": round(96 * share), "unobserved_slots": 0, "share_fresh": share, "target": 0.99,
            "error_budget_left": 1 - (1 - share) / 0.01,
        }
        for asset, share in (("prices", 1.0), ("ohlc", 0.95))
    ]  # fmt: skip
    warehouse.write(SLO_REPORT, pl.DataFrame(rows, schema=SLO_REPORT.polars_schema), [hour.date()])
    found = slo_met(scope)
    assert not found.passed
    assert found.description == "1 of 2 table(s) below the target over 24 h: ohlc 95.0%"
