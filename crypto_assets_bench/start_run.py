"""Start and end a run of the whole graph that does nothing, forked by a code server; the baseline is Dagster's new process."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time

from dagster import DagsterInstance

from crypto_assets_bench import _processes
from crypto_assets_bench.result import Result

TIMES = 5
ENDED_S = 120


def run() -> Result:
    """Compare the least CPU seconds of both, after a first run of each, which fills caches and imports the template."""
    with tempfile.TemporaryDirectory(prefix="bench_start_run_") as home:
        os.environ["CRYPTO_ASSETS_HOME"] = home
        from crypto_assets.runtime.home import open_instance
        from crypto_assets.settings import Settings

        with open_instance(Settings.from_env()) as instance:
            ours, baseline = (_least(instance, env) for env in ({}, {"BENCH_STOCK_RUNS": "1"}))
    return Result(ours, baseline, ours / baseline, notes={"ratio_is": "ours / baseline", "seconds_are": "CPU"})


def _least(instance: DagsterInstance, env: dict[str, str]) -> float:
    port = _processes.free_port()
    command = [
        sys.executable, "-W", "ignore", "-m", "dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(port),
        "-m", "crypto_assets_bench._empty_run", "--location-name", "bench", "--log-level", "error",
    ]  # fmt: skip
    with _processes.server(command, port, env) as pid:
        return min([_cost(instance, pid, port) for _ in range(TIMES + 1)][1:])


def _cost(instance: DagsterInstance, server: int, port: int) -> float:
    """CPU seconds of the server and all below it, from the launch of a run until its process is gone."""
    from dagster import DagsterRunStatus, DefaultRunLauncher
    from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
    from dagster._core.test_utils import create_run_for_test
    from dagster._grpc.client import DagsterGrpcClient

    location = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=port, location_name="bench")
    job = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "empty")
    before, ends = _processes.cpu_s(server), time.monotonic() + ENDED_S
    made = create_run_for_test(instance, job_name="empty", status=DagsterRunStatus.STARTING, remote_job_origin=job)
    DefaultRunLauncher.launch_run_from_grpc_client(instance, made, DagsterGrpcClient(host="127.0.0.1", port=port))
    while (pid := _pid(instance, made.run_id)) is None or pid in _processes.family(server):
        if time.monotonic() > ends:
            raise SystemExit(f"the run did not end in {ENDED_S} s")
        time.sleep(0.1)
    ended = instance.get_run_by_id(made.run_id)
    if ended is None or ended.status is not DagsterRunStatus.SUCCESS:
        raise SystemExit("\n".join(str(entry.dagster_event) for entry in instance.all_logs(made.run_id)))
    return _processes.cpu_s(server) - before


def _pid(instance: DagsterInstance, run_id: str) -> int | None:
    """The process of a run, as it says itself when it starts."""
    said = [re.search(r"Started process for run \(pid: (\d+)\)", str(entry)) for entry in instance.all_logs(run_id)]
    return next((int(one[1]) for one in said if one), None)
