"""A few ticks around midnight with faults and kills; a whole day is ``python -m crypto_assets_tests.simulation``.

A week is the same command with ``--week``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from crypto_assets import __version__
from crypto_assets.dates import DAY, midnight, today
from crypto_assets.sandbox import derivatives, macro, network, others, prices, snapshots
from crypto_assets.sandbox.faults import parse
from crypto_assets.sandbox.generator import Generator
from crypto_assets.sandbox.server import PREFIXES
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests.simulation import plans, verdict
from crypto_assets_tests.simulation.day import QUARTER, last_due, next_version
from crypto_assets_tests.simulation.sources import SILENT
from crypto_assets_tests.simulation.verdict import incidents, reported_wrongly

API_USAGE = CONTRACTS["api_usage"]


def test_the_schedules_of_a_day() -> None:
    """96 ticks ask 96 times for the day in progress, once for the day that closed, twice to settle it."""
    start = midnight(today() - DAY * 2)
    names = ("every_15_minutes", "close_yesterday", "settle_yesterday")
    ends = [start + QUARTER * (n + 1) - timedelta(seconds=1) for n in range(96)]
    asked = {name: len({last_due(name, end) for end in ends if last_due(name, end) >= start}) for name in names}
    assert asked == {"every_15_minutes": 96, "close_yesterday": 1, "settle_yesterday": 2}


@pytest.mark.parametrize("ticks", [672, 96, 24, 10])
def test_the_disturbances_of_a_week_come_in_order_however_few_ticks_there_are(ticks: int) -> None:
    spread = plans.WEEK.spread_over(ticks)
    assert [what for tick in sorted(spread) for what in spread[tick]] == list(plans.WEEK.disturbances.values())
    assert max(spread) < ticks
    tick_of = {what: tick for tick, everything in spread.items() for what in everything}
    assert tick_of["back defillama"] > tick_of["silent defillama"], "one tick at least does without"
    if ticks == plans.WEEK.ticks:
        assert (tick_of["back defillama"] - tick_of["silent defillama"]) * QUARTER == timedelta(hours=6)
        kinds = Counter(what.split()[0] for what in plans.WEEK.disturbances.values())
        assert kinds == {"silent": 1, "back": 1, "kill": 2, "stop": 1, "deploy": 1}


@pytest.mark.parametrize(("who", "prefix"), [("kraken", "/0/public"), ("defillama", "")])
def test_who_falls_silent_falls_silent_alone(who: str, prefix: str) -> None:
    """A route of a rule is any part of a path, and ``/v2`` is one of Deribit's too."""
    parts = (prices, derivatives, macro, network, others, snapshots)
    paths = {route.path for part in parts for route in part.routes(Generator(7))}
    silenced = {path for path in paths for rule in parse(SILENT[who]) if rule.route in path}
    foreign = tuple(f"{one}/" for one in PREFIXES.values() if one and one != prefix)
    assert len(silenced) >= 4
    assert {path for path in silenced if path.startswith(foreign)} == set()


def test_the_next_version_is_another_one_that_can_be_imported(tmp_path: Path) -> None:
    """What a deployment of the simulation starts."""
    source = next_version(tmp_path / "next")
    asked = [sys.executable, "-c", "import crypto_assets; print(crypto_assets.__version__, crypto_assets.__file__)"]
    done = subprocess.run(
        asked, cwd=source, env={**os.environ, "PYTHONPATH": str(source)}, capture_output=True, text=True
    )
    version, file = done.stdout.split()
    assert version != __version__
    assert Path(file).is_relative_to(source)


def test_the_share_of_paid_calls_is_of_all_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": str(tmp_path), "WAREHOUSE": ""}.items():
        monkeypatch.setenv(f"CRYPTO_ASSETS_{name}", value)
    monkeypatch.setenv("COINGECKO_PLAN", "enterprise")
    monkeypatch.setenv("COINGECKO_API_KEY", "sandbox")
    warehouse, first, now = Warehouse(str(tmp_path / "warehouse")), today() - DAY * 2, midnight(today())
    with pytest.raises(RuntimeError, match="no call of CoinGecko"):
        verdict.premium_share(warehouse, first, now)
    for day, paid in ((first, 10), (first + DAY, 5)):
        row = {
            "provider": "coingecko", "endpoint": "/coins", "ts": midnight(day), "date": day, "available_at": midnight(day),
            "pit_quality": "first_seen", "source": "platform", "calls": 10, "premium_calls": paid, "retries": 0,
            "rate_limited": 0, "errors": 0, "bytes": 1,
        }  # fmt: skip
        warehouse.write(API_USAGE, pl.DataFrame([row], schema=API_USAGE.polars_schema), [day])
    assert verdict.premium_share(warehouse, first, midnight(first)) == 1.0
    assert verdict.premium_share(warehouse, first, now) == 0.75


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
