"""Webserver, daemon and code location as processes, runs as Jobs, on Postgres and S3: the small form of ``demonstrate.py``.

One platform for all of it, since each of its processes costs seconds: a backfill in chunks of which one pod is evicted,
a run with a pod a step, a run whose image does not exist.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from dagster import DagsterInstance

from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests import scenario
from crypto_assets_tests.object_store import ObjectStore
from crypto_assets_tests.platform import Platform
from crypto_assets_tests.runtime.kubernetes.objects import wait_for
from crypto_assets_tests.runtime.kubernetes.production import Production, open_production

TABLES = ["market_sentiment", "onchain_base"]
SOON_S = 300  # many times what any of it takes: on a busy machine it takes several times as long
BAD_IMAGE = '{"container_config": {"image": "registry.example/no-such-image:1"}}'


def test_a_backfill_as_jobs(
    platform: Platform, new_instance: Callable[[], DagsterInstance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.backfill(scenario.START, scenario.END, tables=TABLES)
    here = {table: platform.warehouse.content_hash(table) for table in TABLES}
    new_instance()  # a database of its own; the fixture has put its address into the environment
    with ObjectStore() as store:
        env = {
            **platform.env,
            **store.env,
            "DAGSTER_POSTGRES_URL": os.environ["DAGSTER_POSTGRES_URL"],
            "CRYPTO_ASSETS_WAREHOUSE": f"{store.bucket()}/tables",
            "CRYPTO_ASSETS_START": str(scenario.START),
            "CRYPTO_ASSETS_CHUNK_DAYS": "3",
        }
        for name in (*env, "KUBECONFIG", "CRYPTO_ASSETS_KUBE_NAMESPACE", "CRYPTO_ASSETS_IMAGE"):
            monkeypatch.setenv(name, env.get(name, ""))  # put back afterwards
        with open_production(tmp_path / "production", env, poll_s=5, start_s=120) as production:
            try:
                _drive(production, here, Warehouse(env["CRYPTO_ASSETS_WAREHOUSE"]))
            except BaseException:
                print(production.logs()[-8000:])
                raise


def _drive(production: Production, here: dict[str, str], warehouse: Warehouse) -> None:
    production.start()
    last = [str(date(2021, 3, day)) for day in range(1, 7)]
    backfill = production.backfill(TABLES, last)
    broken = production.launch(["market_sentiment"], last[0], last[0], {"dagster-k8s/config": BAD_IMAGE})
    steps = production.launch(TABLES, last[0], last[2], {"crypto_assets/steps": "pods"})

    victim = wait_for(lambda: next(iter(production.cluster.node.running()), None), SOON_S, 0.05)
    owner = next(
        p["metadata"]["labels"]["dagster/run-id"] for p in production.cluster.pods() if p["metadata"]["name"] == victim
    )
    production.cluster.node.evict(victim)

    wait_for(lambda: production.status(broken) == "FAILURE", SOON_S)
    assert "no-such-image:1 cannot be pulled" in production.failure(broken)
    wait_for(lambda: not production.jobs_of(broken), SOON_S)
    assert production.retry_of(broken) is None, "it would not heal"

    wait_for(lambda: production.status(owner) == "FAILURE", SOON_S)
    assert "evicted" in production.failure(owner)
    assert wait_for(lambda: production.retry_of(owner), SOON_S) is not None

    assert production.backfill_ended(backfill, SOON_S) == "COMPLETED_SUCCESS"
    wait_for(lambda: not [r for r in production.runs() if not r.is_finished], SOON_S)
    retried = production.retry_of(steps)
    assert production.status(retried.run_id if retried else steps) == "SUCCESS"
    assert {table: warehouse.content_hash(table) for table in TABLES} == here
    assert wait_for(lambda: (found := production.health()) is not None and found[0] == 0, SOON_S, 0.5)
    parts = [job["metadata"]["labels"]["app.kubernetes.io/component"] for job in production.cluster.jobs()]
    assert parts.count("step_worker") == len(TABLES)
    assert not production.cluster.rights.refused, "every right that is needed is granted"
