"""A few ticks around midnight with faults and kills; a whole day is ``python -m crypto_assets_tests.simulation``."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from crypto_assets.partitions import DAY, midnight, today
from crypto_assets_tests.simulation import due, run


def test_the_schedules_of_a_day() -> None:
    """96 ticks ask 96 times for the day in progress, once for the day that closed, twice to settle it."""
    start = midnight(today() - DAY * 2)
    asked = [name for n in range(96) for name, _ in due(start + timedelta(minutes=15 * n))]
    assert {name: asked.count(name) for name in asked} == {
        "every_15_minutes": 96,
        "close_yesterday": 1,
        "settle_yesterday": 2,
    }


@pytest.mark.skipif("CRYPTO_ASSETS_LONG_TESTS" not in os.environ, reason="minutes long: set CRYPTO_ASSETS_LONG_TESTS=1")
def test_ticks_with_faults_and_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):  # the simulation sets what it needs; all of it is put back
        monkeypatch.setenv(name, os.environ[name])
    start = midnight(today() - DAY) - timedelta(minutes=30)
    report, trouble = run(tmp_path / "home", start, 5, {1: "postgres", 2: "run", 3: "daemon"})
    later = ("onchain", "defi")  # their day is settled in the morning
    assert [text for text in trouble if not text.startswith(later)] == []
    assert report.ticks == 5
    assert min(report.slo().values()) >= 0.99, report.slo()
