"""Keys planted in the environment, and a run with faults of every kind: the keys are in requests and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg2
import pytest

from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests import scenario, warm

FRED = "plantedfredkey0123456789abcdefgh"
GECKO, METRICS = "CG-plantedGeckoKey7f3a9", "cm-plantedMetricsKey51bd0"
# Refusals, time-outs that heal, HTML, cut bodies, and an answer that a parser refuses: every place where errors are made.
FAULTS = (
    "route=ethereum/market_chart,status=401;route=derivatives,html=1;route=asset-metrics,status=403;"
    "route=klines,status=503,count=1,retry_after=0;route=/fng/,malformed=1;route=historicalChainTvl,cut=1;route=uniswap/history,status=400"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home after a backfill, a status and a doctor; and all that they printed."""
    home = tmp_path_factory.mktemp("secrets")
    recording = scenario.write(tmp_path_factory.mktemp("recording"))
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    with Sandbox(data=recording, fault=FAULTS) as sandbox:
        env = {
            **kept,
            **sandbox.env(),
            "CRYPTO_ASSETS_HOME": str(home),
            "CRYPTO_ASSETS_COINS": scenario.COINS,
            "COINGECKO_API_KEY": GECKO,
            "COINGECKO_PLAN": "analyst",
            "COINMETRICS_API_KEY": METRICS,
            "FRED_API_KEY": FRED,
        }
        printed = []
        day = scenario.START.isoformat()
        for command in (["backfill", "--start", day, "--end", day, "--json"], ["doctor"]):
            done = warm.run(env, *command)
            printed.append(done.stdout + done.stderr)
        assert "403" in printed[0] or "401" in printed[0], "the faults did happen"
        assert sandbox.requests["/v4/timeseries/asset-metrics"] > 0
    return home, "".join(printed)


def test_nothing_printed_holds_a_key(run) -> None:
    _, printed = run
    assert not any(key in printed for key in (GECKO, METRICS, FRED))


def test_no_file_of_the_home_holds_a_key(run) -> None:
    """Logs, tables, compute logs, Postgres' data and its write-ahead log, as bytes."""
    home, _ = run
    files = [path for path in home.rglob("*") if path.is_file()]
    assert any("pg_wal" in str(path) for path in files) and any(path.suffix == ".parquet" for path in files)
    for path in files:
        content = path.read_bytes()
        assert not any(key.encode() in content for key in (GECKO, METRICS, FRED)), path


def test_no_row_of_the_event_log_holds_a_key(run) -> None:
    """As text, since large values are compressed on disk."""
    home, _ = run
    from crypto_assets.runtime.postgres import ensure_postgres

    connection = psycopg2.connect(
        ensure_postgres(Settings.from_env({"CRYPTO_ASSETS_HOME": str(home)})).replace("+psycopg2", "")
    )
    cursor = connection.cursor()
    cursor.execute("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'crypto_assets')")
    tables = cursor.fetchall()
    assert ("public", "event_logs") in tables and ("crypto_assets", "calls") in tables
    for schema, table in tables:
        cursor.execute(f'SELECT row_to_json(t)::text FROM "{schema}"."{table}" t')
        for (text,) in cursor.fetchall():
            assert not any(key in text for key in (GECKO, METRICS, FRED)), (schema, table)
    connection.close()


def test_no_row_of_a_table_holds_a_key(run) -> None:
    home, _ = run
    warehouse = Warehouse(str(home / "warehouse"))
    stored = [table for table, version in warehouse.versions().items() if version is not None]
    assert stored
    for table in stored:
        text = warehouse.read(table).write_json()
        assert not any(key in text for key in (GECKO, METRICS, FRED)), table
