"""What our daemon and its Postgres compute while nothing happens; the baseline is Dagster's own daemon on the same database."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from crypto_assets_bench import _processes
from crypto_assets_bench.result import Result

SETTLED_S, SECONDS = 40, 90  # the first ticks of all sensors come first
OURS, STOCK = "crypto_assets.dagster_internals.daemon", "dagster._daemon"


def run() -> Result:
    """CPU seconds of a minute."""
    with tempfile.TemporaryDirectory(prefix="bench_idle_daemon_") as home:
        os.environ["CRYPTO_ASSETS_HOME"] = home
        from crypto_assets.runtime.home import open_instance
        from crypto_assets.settings import Settings

        port = _processes.free_port()
        server = {"host": "127.0.0.1", "port": port, "location_name": "bench"}
        workspace = Path(home) / "workspace.yaml"
        workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}), encoding="utf-8")
        code = ["dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(port), "-m", "crypto_assets.definitions"]
        with open_instance(Settings.from_env()), _processes.server(_python(*code), port, {}):
            baseline, ours = (_idle(module, workspace) for module in (STOCK, OURS))
    return Result(ours, baseline, ours / baseline, notes={"ratio_is": "ours / baseline", "seconds_are": "CPU a minute"})


def _python(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", *arguments]


def _idle(module: str, workspace: Path) -> float:
    """CPU seconds a minute of a daemon, and of Postgres meanwhile."""
    postgres = int((workspace.parent / "postgres/data/postmaster.pid").read_text().splitlines()[0])
    with _processes.started(_python(module, "run", "-w", str(workspace), "--log-level", "error"), {}) as daemon:
        time.sleep(SETTLED_S)
        before, began = _processes.cpu_s(daemon) + _processes.cpu_s(postgres), time.monotonic()
        time.sleep(SECONDS)
        used = _processes.cpu_s(daemon) + _processes.cpu_s(postgres) - before
        return used * 60 / (time.monotonic() - began)
