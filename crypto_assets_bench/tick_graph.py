"""A tick of the whole graph for 300 coins on the sandbox, seconds by phase; the baseline is the minute it has.

``standing_s`` is what sensors, the refill's plan and the standing jobs cost beside it (``_standing.py``).

The sandbox runs in a process of its own, as a provider does. The clock of both is set to 23:50 of yesterday, when a day
is longest, and the former tick and day are there; the tick is the ``intraday`` job: every request, write and check of
it. It keeps to the pace of CoinGecko's analyst plan and of the venues, which is part of a tick's length.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

from dagster import DagsterEventType, DagsterInstance

from crypto_assets.assets.providers import Providers
from crypto_assets_bench import _standing
from crypto_assets_bench.result import Result, peak_mb

COINS, MINUTE = 300, 60.0
CLOCK = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(minutes=10)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run() -> Result:
    with tempfile.TemporaryDirectory() as home, _sandbox() as env:
        os.environ.update(
            env,
            CRYPTO_ASSETS_HOME=home,
            CRYPTO_ASSETS_COINS=f"top:{COINS}",
            COINGECKO_PLAN="analyst",
            COINGECKO_API_KEY="sandbox",
            CRYPTO_ASSETS_START=(CLOCK.date() - timedelta(days=_standing.YEARS_DAYS - 1)).isoformat(),
        )
        from crypto_assets.runtime.home import open_instance
        from crypto_assets.settings import Settings

        with open_instance(Settings.from_env()) as instance:
            phases, rows = _ticks(instance)
            standing = _standing_costs(instance)
    total = phases.pop("run")
    return Result(
        total,
        MINUTE,
        MINUTE / total,
        peak_mb(),
        {"coins": COINS, "feature_rows": rows, "phases_s": _ordered(phases), "standing_s": _ordered(standing)},
    )


def _ordered(seconds: dict[str, float]) -> dict[str, float]:
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def _standing_costs(instance: DagsterInstance) -> dict[str, float]:
    from crypto_assets.definitions import build_defs
    from crypto_assets.settings import Settings

    _standing.book_history(instance, Settings.from_env().start, CLOCK.date() - timedelta(days=2))
    return _standing.seconds(instance, build_defs({"providers": _Clocked()}), QUIET)


class _Clocked(Providers):
    def now(self) -> datetime:
        return CLOCK


def _ticks(instance: DagsterInstance) -> tuple[dict[str, float], int]:
    """Seconds by phase of the second tick of today, and the features' rows that it left."""
    from crypto_assets.automation.schedules import INTRADAY_TABLES
    from crypto_assets.definitions import build_defs
    from crypto_assets.operate import runs
    from crypto_assets.settings import Settings
    from crypto_assets.storage.warehouse import Warehouse

    day = CLOCK.date()
    history = runs.execute(instance, INTRADAY_TABLES, day - timedelta(days=1), day)
    if not history.success:
        raise RuntimeError(f"the days before the tick failed: {history.failures}")
    job = build_defs({"providers": _Clocked()}).resolve_job_def("intraday")
    for _ in range(2):  # the first one imports and compiles what a running platform has
        result = job.execute_in_process(
            instance=instance, run_config=QUIET, partition_key=day.isoformat(), raise_on_error=False
        )
    if not result.success:
        failed = [
            f"{event.step_key}: {' '.join(str(event.step_failure_data.error_display_string).split())[-400:]}"
            for event in result.all_events
            if event.is_step_failure
        ]
        raise RuntimeError("; ".join(failed))
    rows = Warehouse(Settings.from_env().warehouse).days_with_rows("ml_features", day, day).get(day, 0)
    return _seconds(instance, result.run_id), rows


def _seconds(instance: DagsterInstance, run_id: str) -> dict[str, float]:
    """Each table's step, all checks together, the rest of the run, and the whole of it."""
    from crypto_assets.operate import graph

    tables, begun = set(graph.tables()), dict[str, float]()
    phases: dict[str, float] = {"checks": 0.0}
    for entry in instance.all_logs(run_id):
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type == DagsterEventType.STEP_START:
            begun[str(event.step_key)] = entry.timestamp
        elif event.event_type == DagsterEventType.STEP_SUCCESS:
            step = str(event.step_key)
            name = step if step in tables else "checks"
            phases[name] = round(phases.get(name, 0.0) + entry.timestamp - begun[step], 3)
        elif event.event_type == DagsterEventType.RUN_START:
            begun["run"] = entry.timestamp
        elif event.event_type == DagsterEventType.RUN_SUCCESS:
            phases["run"] = round(entry.timestamp - begun["run"], 3)
    phases["between_steps"] = round(phases["run"] - sum(value for name, value in phases.items() if name != "run"), 3)
    return phases


@contextmanager
def _sandbox() -> Iterator[dict[str, str]]:
    """A sandbox in a process of its own, and the variables that lead to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, CLOCK.isoformat()], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield dict(re.findall(r"^(\w+)=(.*)$", process.stdout.readline().replace("\t", "\n"), re.MULTILINE))
    finally:
        process.stdin.close()
        process.wait(30)


SERVE = """
import sys
from datetime import datetime
from crypto_assets.sandbox.server import Sandbox
with Sandbox(now=datetime.fromisoformat(sys.argv[1])) as sandbox:
    print("\\t".join(f"{name}={value}" for name, value in sandbox.env().items()), flush=True)
    sys.stdin.read()
"""
