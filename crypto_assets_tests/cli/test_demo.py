"""The demo as a new user meets it, in a folder with a blank: what its home remembers, and the UI over it."""

from __future__ import annotations

import fcntl
import json
import subprocess
import time
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crypto_assets import demo_home
from crypto_assets.dates import DAY, days, today
from crypto_assets.demo_home import DemoHome
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import CONTRACTS, TABLES
from crypto_assets.tables.schemas import MARKET_SENTIMENT
from crypto_assets.tables.spec import Cadence
from crypto_assets_tests.cli.test_main import environment, run
from crypto_assets_tests.live import dev, wait_until

COUNT = 3
STATUS = """{ assetNodes { assetKey { path } isMaterializable isPartitioned
  assetMaterializations(limit: 1) { timestamp } partitionStats { numMaterialized numPartitions numFailed } } }"""
LAUNCH = """mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], dict[str, Any], date]]:
    """The environment of a home in which a demo of three days ran, the demo's document, and its first day."""
    home = tmp_path_factory.mktemp("a demo") / "the home"
    first = today() - DAY * (COUNT - 1)
    env = environment(home)
    del env["CRYPTO_ASSETS_HOME"]
    done = run({**env, "CRYPTO_ASSETS_COINS": "BTC,ETH"}, "demo", "--days", str(COUNT), "--home", str(home), "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    yield {**env, "CRYPTO_ASSETS_HOME": str(home)}, json.loads(done.stdout), first


def home_of(env: dict[str, str]) -> Path:
    return Path(env["CRYPTO_ASSETS_HOME"])


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def test_the_home_remembers_its_demo(demo) -> None:
    env, _, first = demo
    assert demo_home.read(home_of(env)) == DemoHome(7, None, "BTC,ETH", first)


def partitions(table: str, first: date, last: date) -> int:
    """How many partitions of a table begin in a range of days."""
    kept = days(first, last)
    return len([day for day in kept if day.day == 1] if TABLES[table].cadence is Cadence.MONTH else kept)


def test_status_of_a_demos_home_asks_for_nothing_that_the_demo_did_not_fill(demo) -> None:
    env, document, first = demo
    done = run(env, "status", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["start"], found["end"]) == (first.isoformat(), (today() - DAY).isoformat())
    for table, asset in found["assets"].items():
        due = partitions(table, first, today() - DAY)
        assert asset["partitions"] == {"expected": due, "materialized": due, "failed": 0}, table
    assert found["assets"].keys() == document["assets"].keys()


def test_a_second_demo_at_once_is_refused_in_one_sentence(demo) -> None:
    env, _, _ = demo
    with (home_of(env) / "demo.lock").open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = run(env, "demo", "--days", str(COUNT))
    assert done.returncode == 1
    assert "crypto-assets demo runs over" in last_line(done) and "already" in last_line(done)


@pytest.mark.parametrize("command", ["dev", "backfill", "doctor"])
def test_going_live_in_it_is_refused_by_a_sentence_that_says_where(demo, command: str) -> None:
    env, _, first = demo
    args = ("--start", str(first), "--end", str(first)) if command == "backfill" else ()
    began = time.monotonic()
    done = run({**env, "COINGECKO_API_KEY": "CG-secret"}, command, *args)
    assert done.returncode == 1, time.monotonic() - began
    assert "COINGECKO_API_KEY is set" in last_line(done) and "crypto-assets dev --home NEW" in last_line(done)
    assert "CG-secret" not in done.stderr + done.stdout


def test_a_demo_never_goes_to_a_live_warehouse(tmp_path: Path) -> None:
    day = date(2026, 1, 5)
    row = {
        "date": day,
        "available_at": datetime(2026, 1, 5, tzinfo=timezone.utc),
        "source": "alternative_me",
        "fear_greed_index": 40.0,
    }
    rows = pl.DataFrame([row]).cast({"available_at": pl.Datetime("us", "UTC")})
    live = Warehouse(str(tmp_path / "live"))
    live.write(MARKET_SENTIMENT, rows, [day])
    done = run(environment(tmp_path / "home", CRYPTO_ASSETS_WAREHOUSE=live.uri), "demo", "--days", "1")
    assert done.returncode == 1
    assert "rows of real providers (alternative_me)" in last_line(done) and "--home NEW" in last_line(done)
    assert [table for table in CONTRACTS if live.exists(table)] == [MARKET_SENTIMENT.table]
    assert demo_home.read(tmp_path / "home") is None


def test_another_sandbox_needs_another_home(demo, tmp_path: Path) -> None:
    from crypto_assets_tests import scenario

    env, _, _ = demo
    before = (home_of(env) / demo_home.FILE).read_bytes()
    done = run(env, "demo", "--data", str(scenario.write(tmp_path / "recorded")))
    assert done.returncode == 1
    assert "another sandbox (seed 7, not recordings in" in last_line(done)
    assert (home_of(env) / demo_home.FILE).read_bytes() == before


def test_a_damaged_home_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / demo_home.FILE).write_text("{", encoding="utf-8")
    for command in ("status", "demo", "dev", "doctor"):
        done = run(environment(tmp_path), command)
        assert done.returncode == 1 and "Traceback" not in done.stderr, command
        assert "demo.json is damaged" in done.stderr.splitlines()[-1], command


def test_a_backfill_in_it_asks_its_sandbox_and_changes_nothing(demo) -> None:
    """The history before the first partition counts in every window, though the calendar no longer has it."""
    env, _, first = demo
    warehouse, log = Warehouse(str(home_of(env) / "warehouse")), home_of(env) / "logs" / "sandbox.log"
    derived = ("onchain_base", "onchain_enhanced", "ml_features", "prices")
    before = {table: warehouse.content_hash(table, first, first) for table in derived}
    asked = len(log.read_text(encoding="utf-8").splitlines())
    names = " or ".join(f'key:"{table}"' for table in derived)
    done = run(env, "backfill", "--start", str(first), "--end", str(first), "--select", names)
    assert done.returncode == 0, done.stderr
    assert len(log.read_text(encoding="utf-8").splitlines()) > asked
    assert {table: warehouse.content_hash(table, first, first) for table in derived} == before
    early = run(env, "backfill", "--start", str(first - DAY), "--end", str(first))
    assert early.returncode == 2 and f"before the first partition ({first})" in last_line(early)


def test_the_ui_is_green_and_what_it_launches_asks_the_sandbox_alone(demo) -> None:
    """No asset is missing or never materialised; one day by *Materialize*, all days by *Launch backfill*."""
    env, _, first = demo
    keys = [(first + DAY * n).isoformat() for n in range(COUNT)]
    with dev(home_of(env), env) as live:
        nodes = {node["assetKey"]["path"][0]: node for node in live.ask(STATUS)["assetNodes"]}
        assert {name for name, node in nodes.items() if not node["assetMaterializations"]} == set()
        for name, node in nodes.items():
            if node["isPartitioned"]:
                stats = node["partitionStats"]
                assert (stats["numMaterialized"], stats["numFailed"]) == (stats["numPartitions"], 0), name
                begun = (1, 2) if TABLES[name].cadence is Cadence.MONTH else (COUNT, COUNT + 1)
                assert stats["numPartitions"] in begun, "a day or a month may have begun since"
        log = home_of(env) / "logs" / "sandbox.log"
        asked = len(log.read_text(encoding="utf-8").splitlines())
        one = live.ask(LAUNCH, p=materialize("onchain_base", keys[0]))["launchPipelineExecution"]
        assert one["__typename"] == "LaunchRunSuccess", one
        assert ended(live, one["run"]["runId"]) == "SUCCESS"
        lines = log.read_text(encoding="utf-8").splitlines()[asked:]
        assert any("/v4/timeseries/asset-metrics" in line for line in lines), lines
        tables = ("onchain_base", "onchain_enhanced", "defi_metrics")
        assert live.finished(live.launch_backfill(tables, keys)) == "COMPLETED_SUCCESS"
        assert {part[2] for parts in live.health(tables).values() for part in parts} == {"MATERIALIZED"}
        assert len(log.read_text(encoding="utf-8").splitlines()) > asked + len(lines)
        assert "is a demo's home" in (home_of(env) / "dev.log").read_text(encoding="utf-8")
    assert set(Warehouse(str(home_of(env) / "warehouse")).origins()) == {"sandbox"}


def materialize(table: str, key: str) -> dict[str, Any]:
    """What the UI's *Materialize* sends for one partition."""
    selector = {"repositoryLocationName": "crypto_assets.definitions", "repositoryName": "__repository__"}
    return {
        "mode": "default",
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": key}]},
        "runConfigData": "{}",
        "selector": {
            **selector,
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": [table]}],
            "assetCheckSelection": [],
        },
    }


def ended(live: Any, run_id: str) -> str:
    def status() -> str | None:
        found = str(live.ask(RUN, id=run_id)["runOrError"]["status"])
        return found if found in {"SUCCESS", "FAILURE", "CANCELED"} else None

    return str(wait_until(status, 300, f"run {run_id}"))
