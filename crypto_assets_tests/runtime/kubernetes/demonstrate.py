"""The long demonstration, some minutes of two cores: ``python -m crypto_assets_tests.runtime.kubernetes.demonstrate backfill|faults``.

``backfill``: 60 days in 6 chunk runs through webserver and daemon as Jobs, the tables held against those of an
in-process run; then the same days with a pod a step. ``faults``: what befalls pods, a daemon and images, each with the run's
failure and what became of it. Prints one line a fact and exits 1 if one is not as it should be.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import psycopg2

from crypto_assets.runtime.postgres import ensure_postgres
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests.runtime.kubernetes.objects import wait_for
from crypto_assets_tests.runtime.kubernetes.production import Production, open_production

START, DAYS = date(2024, 1, 1), 60
TABLES = ["prices", "ohlc", "onchain_base", "onchain_enhanced", "market_sentiment", "defi_metrics", "ml_features"]
BAD_IMAGE = '{"container_config": {"image": "registry.example/no-such-image:1"}}'
NEVER = '{"container_config": {"image": "registry.example/built-here:1", "image_pull_policy": "Never"}}'


def say(what: str, found: object, fine: bool = True) -> None:
    print(f"{'ok  ' if fine else 'FAIL'} {what}: {found}", flush=True)
    if not fine:
        say.failed = True  # type: ignore[attr-defined]


@contextmanager
def platform(root: Path, fault: str | None = None, **options: int) -> Iterator[Production]:
    base = ensure_postgres(Settings.from_env({"CRYPTO_ASSETS_HOME": str(root / "pg")}))
    with Sandbox(fault=fault) as sandbox:
        env = {
            **sandbox.env(),
            "CRYPTO_ASSETS_HOME": str(root / "home"),
            "CRYPTO_ASSETS_WAREHOUSE": str(root / "warehouse"),
            "CRYPTO_ASSETS_COINS": "BTC,ETH,SOL",
            "CRYPTO_ASSETS_START": START.isoformat(),
            "CRYPTO_ASSETS_CHUNK_DAYS": "10",
            "DAGSTER_POSTGRES_URL": database(base),
        }
        with open_production(root / "dagster", env, **options) as made:
            made.start()
            try:
                yield made
            except BaseException:
                print(made.logs()[-6000:], file=sys.stderr)
                raise


def database(base: str) -> str:
    name = f"p_{uuid.uuid4().hex[:10]}"
    connection = psycopg2.connect(base.replace("+psycopg2", ""))
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return base.rsplit("/", 1)[0] + f"/{name}"


def days() -> list[str]:
    return [(START + timedelta(days=n)).isoformat() for n in range(DAYS)]


def in_process(root: Path, warehouse: str) -> dict[str, str]:
    """Content hashes of the same days, materialised by the command line's way in this process."""
    from crypto_assets.operate.backfill import backfill
    from crypto_assets.runtime.home import open_instance

    saved = {
        name: os.environ[name] for name in ("CRYPTO_ASSETS_WAREHOUSE", "DAGSTER_POSTGRES_URL", "CRYPTO_ASSETS_HOME")
    }
    os.environ["CRYPTO_ASSETS_WAREHOUSE"], os.environ["CRYPTO_ASSETS_HOME"] = warehouse, str(root / "home2")
    os.environ["DAGSTER_POSTGRES_URL"] = database(saved["DAGSTER_POSTGRES_URL"])
    try:
        with open_instance(Settings.from_env()) as instance:
            report = backfill(instance, Warehouse(warehouse), TABLES, START, START + timedelta(days=DAYS - 1))
        say("in-process backfill", f"{report.seconds:.0f} s", report.ok)
    finally:
        os.environ.update(saved)
    return {
        table: Warehouse(warehouse).content_hash(table, START, START + timedelta(days=DAYS - 1)) for table in TABLES
    }


def demonstrate_backfill(root: Path) -> None:
    with platform(root) as production:
        began = time.monotonic()
        status = production.backfill_ended(production.backfill(TABLES, days()), 1500)
        took = time.monotonic() - began
        runs = [r for r in production.runs() if not r.tags.get("dagster/schedule_name")]
        kinds = sorted((r.tags["dagster/asset_partition_range_start"], len(r.asset_selection or ())) for r in runs)
        say("backfill through webserver and daemon", f"{status} in {took:.0f} s", status == "COMPLETED_SUCCESS")
        say("runs (first day, tables)", kinds, all(r.status.value == "SUCCESS" for r in runs))
        say("Jobs created", production.cluster.calls["create", "jobs"], production.cluster.calls["create", "jobs"] >= 6)
        mine = {
            table: Warehouse(str(root / "warehouse")).content_hash(table, START, START + timedelta(days=DAYS - 1))
            for table in TABLES
        }
        other = in_process(root, str(root / "warehouse2"))
        for table in TABLES:
            rows = Warehouse(str(root / "warehouse")).read(table).height
            say(f"{table} equal to in-process", f"{mine[table][:12]} {rows} rows", mine[table] == other[table])
        created = production.cluster.calls["create", "jobs"]
        began = time.monotonic()
        tags = {"crypto_assets/steps": "pods"}
        status = production.backfill_ended(production.backfill(TABLES, days()[:10], tags), 900)
        took, made = time.monotonic() - began, production.cluster.calls["create", "jobs"] - created
        say(
            "a pod a step",
            f"{status} in {took:.0f} s, {made} Jobs",
            status == "COMPLETED_SUCCESS" and made >= len(TABLES),
        )
        after = {
            table: Warehouse(str(root / "warehouse")).content_hash(table, START, START + timedelta(days=DAYS - 1))
            for table in TABLES
        }
        say("tables unchanged by it", "", after == mine)
        say("refused requests", production.cluster.rights.refused, not production.cluster.rights.refused)


def demonstrate_faults(root: Path) -> None:
    with platform(root, fault="route=fng,delay=6", poll_s=5, start_s=60, runs=3) as production:
        table, day = ["market_sentiment"], days()
        node = production.cluster.node

        def running(run_id: str) -> str:
            wait_for(lambda: production.status(run_id) == "STARTED", 120, 0.1)
            return str(production.pod_of(run_id))

        killers: Sequence[tuple[str, Callable[[str], None], str]] = (
            ("kill -9 of a run's process", node.kill, "killed from outside"),
            ("a pod evicted", node.evict, "evicted"),
            ("out of memory", node.out_of_memory, "more memory than its limit"),
        )
        for n, (what, befall, words) in enumerate(killers):
            run_id = production.launch(table, day[n], day[n])
            befall(running(run_id))
            _heals(production, what, run_id, words, day[n])
        node.hang_next = 1
        run_id = production.launch(table, day[3], day[3])
        _heals(production, "a start that hangs", run_id, "has not started within", day[3])
        for what, config, words in (
            ("an image that cannot be pulled", BAD_IMAGE, "no-such-image:1 cannot be pulled"),
            ("an image that is never pulled", NEVER, "is not on the node and its policy is Never"),
        ):
            run_id = production.launch(table, day[4], day[4], {"dagster-k8s/config": config})
            began = time.monotonic()
            wait_for(lambda run_id=run_id: production.status(run_id) == "FAILURE", 120)
            took, text = time.monotonic() - began, production.failure(run_id)
            say(f"{what}: FAILED after", f"{took:.0f} s: {text[:180]}", words in text)
            wait_for(lambda run_id=run_id: not production.jobs_of(run_id), 90)
            say(f"{what}: Job gone, no retry", production.retry_of(run_id), production.retry_of(run_id) is None)
        run_id = production.launch(table, day[5], day[5])
        running(run_id)
        production.stop("daemon", kill=True)
        wait_for(lambda: production.status(run_id) in ("SUCCESS", "FAILURE"), 60)
        say("kill -9 of the daemon: its run", production.status(run_id), production.status(run_id) == "SUCCESS")
        queued = production.launch(table, day[6], day[6])
        production.start("daemon")
        wait_for(lambda: production.status(queued) in ("SUCCESS", "FAILURE"), 120)
        say(
            "a run queued meanwhile, after the daemon is back",
            production.status(queued),
            production.status(queued) == "SUCCESS",
        )
        health = wait_for(lambda: (h := production.health()) is not None and h[0] == 0 and h, 120, 1)
        say("cluster_health", health, health[0] == 0)
        rows = Warehouse(str(root / "warehouse")).days_with_rows("market_sentiment", START, START + timedelta(days=9))
        wanted = {START + timedelta(days=n): 1 for n in (0, 1, 2, 3, 5, 6)}
        say("the table", rows, rows == wanted)
        say("refused requests", production.cluster.rights.refused, not production.cluster.rights.refused)


def _heals(production: Production, what: str, run_id: str, words: str, day: str) -> None:
    began = time.monotonic()
    wait_for(lambda: production.status(run_id) == "FAILURE", 180)
    took, text = time.monotonic() - began, production.failure(run_id)
    say(f"{what}: FAILED after", f"{took:.0f} s: {text[:200]}", words in text)
    retried = wait_for(lambda: production.retry_of(run_id), 120)
    wait_for(lambda: production.status(retried.run_id) in ("SUCCESS", "FAILURE"), 180)
    say(f"{what}: retried", production.status(retried.run_id), production.status(retried.run_id) == "SUCCESS")
    wait_for(lambda: not production.jobs_of(run_id), 90)
    say(f"{what}: its Job is gone", day)


if __name__ == "__main__":
    say.failed = False  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        {"backfill": demonstrate_backfill, "faults": demonstrate_faults}[sys.argv[1]](Path(folder))
    sys.exit(say.failed)  # type: ignore[attr-defined]
