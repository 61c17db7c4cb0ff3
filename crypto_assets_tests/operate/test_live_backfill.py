"""A backfill from the UI, through webserver, daemon and run processes, against the same one from the command line.

Two to four minutes, most of them the daemon's waiting: run with CRYPTO_ASSETS_LONG_TESTS=1. What of it can be shown in
seconds is in ``test_backfill.py`` (values, coverage), ``runtime/test_event_log.py`` (a ranged run's health) and
``test_cancel.py`` (a run that is interrupted); years of days and a cancelled backfill of the UI in ``six_years.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from crypto_assets.dates import DAY
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests.live import dev

TABLES = ("onchain_base", "onchain_enhanced", "market_sentiment")


@pytest.mark.skipif("CRYPTO_ASSETS_LONG_TESTS" not in os.environ, reason="minutes long: set CRYPTO_ASSETS_LONG_TESTS=1")
def test_a_backfill_from_the_ui_is_the_one_from_the_command_line(tmp_path: Path) -> None:
    """The same rows, and the same coverage in the UI's partition health."""
    today = datetime.now(timezone.utc).date()
    first, last = today - DAY * 6, today - DAY * 3
    keys = [(first + DAY * n).isoformat() for n in range(4)]
    with Sandbox() as sandbox:
        env = {**sandbox.env(), "CRYPTO_ASSETS_COINS": "BTC,ETH", "CRYPTO_ASSETS_START": str(today - DAY * 30)}
        with dev(tmp_path / "ui", env) as live:
            assert live.finished(live.launch_backfill(TABLES, keys)) == "COMPLETED_SUCCESS"
            health = live.health(TABLES)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_")}
        command = ["backfill", "--start", str(first), "--end", str(last), "--json", "--select"]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "crypto_assets.cli.main",
                *command,
                " or ".join(f'key:"{table}"' for table in TABLES),
            ],
            env={**clean, **env, "CRYPTO_ASSETS_HOME": str(tmp_path / "cli")},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    for table in TABLES:
        ui, cli = (Warehouse(str(tmp_path / home / "warehouse")) for home in ("ui", "cli"))
        assert ui.content_hash(table, first, last) == cli.content_hash(table, first, last), table
        assert report["partitions"][table]["materialized"] == len(keys)
        # Days after the range that look back into it are part of a UI backfill: the command line heals the known ones.
        assert [(keys[0], "MATERIALIZED")] == [(start, status) for start, _, status in health[table]], table
        assert health[table][0][1] >= keys[-1]
