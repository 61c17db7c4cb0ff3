"""A few ticks around midnight with faults and kills; a whole day is ``python -m crypto_assets_tests.simulation``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from crypto_assets.dates import DAY, midnight, today
from crypto_assets_tests.simulation.day import QUARTER, last_due
from crypto_assets_tests.simulation.verdict import incidents, reported_wrongly


def test_the_schedules_of_a_day() -> None:
    """96 ticks ask 96 times for the day in progress, once for the day that closed, twice to settle it."""
    start = midnight(today() - DAY * 2)
    names = ("every_15_minutes", "close_yesterday", "settle_yesterday")
    ends = [start + QUARTER * (n + 1) - timedelta(seconds=1) for n in range(96)]
    asked = {name: len({last_due(name, end) for end in ends if last_due(name, end) >= start}) for name in names}
    assert asked == {"every_15_minutes": 96, "close_yesterday": 1, "settle_yesterday": 2}


def test_an_incident_told_twice_or_never_ended_is_noticed() -> None:
    def message(incident: int, event: str) -> dict[str, object]:
        return {
            "incident": incident, "event": event, "title": f"number {incident}", "what": "w", "opened_at": "o",
            "closed_at": "c" if event == "closed" else None,
        }  # fmt: skip

    sent = [(1, "opened"), (1, "closed"), (2, "opened"), (2, "opened"), (2, "closed"), (3, "opened")]
    found = incidents([message(*item) for item in sent])
    assert found["1"]["reported"] == Counter({"opened": 1, "closed": 1})
    assert [text.split(":")[0] for text in reported_wrongly(found)] == ["number 2", "number 3"]


@pytest.mark.skipif("CRYPTO_ASSETS_LONG_TESTS" not in os.environ, reason="minutes long: set CRYPTO_ASSETS_LONG_TESTS=1")
def test_ticks_with_faults_and_kills(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "crypto_assets_tests.simulation",
        "8",
        "--begin",
        "23:30",
        "--folder",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
