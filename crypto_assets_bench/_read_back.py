"""What reading a large home costs: commands, and the queries of the UI's pages.

``python -m crypto_assets_bench._read_back FOLDER [COINS] [FIRST] [LAST]``, with the arguments of ``_five_years``, prints a line of
JSON for each command (start included) and for each page at its first and second call: wall time, processor seconds, and the
highest resident memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx

from crypto_assets.runtime.home import prepare
from crypto_assets.settings import Settings
from crypto_assets_bench._five_years import CLI, arguments, environment
from crypto_assets_bench._processes import cpu_s, free_port, memory_mb, server

HOUR_S = 3600
PAGES = {
    "partitions of ml_features": """{ assetNodes(assetKeys: [{path: ["ml_features"]}]) { assetPartitionStatuses {
        ... on TimePartitionStatuses { ranges { startKey endKey status } } } partitionStats { numMaterialized numFailed } } }""",
    "states of every table, as the graph shows them": """{ assetNodes { assetKey { path } partitionStats { numMaterialized
        numFailed numMaterializing numPartitions } assetMaterializations(limit: 1) { timestamp runId } } }""",
    "one partition": """{ assetNodes(assetKeys: [{path: ["ml_features"]}]) { latestMaterializationByPartition(
        partitions: ["%(day)s"]) { timestamp metadataEntries { label } } } }""",
    "the 100 newest materialisations": """{ assetNodes(assetKeys: [{path: ["ml_features"]}]) { assetMaterializations(
        limit: 100) { timestamp partition metadataEntries { label } } } }""",
    "checks of ml_features": """{ assetNodes(assetKeys: [{path: ["ml_features"]}]) { assetChecksOrError { ... on AssetChecks {
        checks { name executionForLatestMaterialization { status evaluation { success } } } } } } }""",
}


def main(folder: Path, coins: int, first: date, last: date) -> None:
    """Run the commands and the queries, and print what they cost."""
    os.environ.update(environment(folder, coins, first))
    year, month = str(max(first, last - timedelta(days=364))), str(max(first, last - timedelta(days=29)))
    with tempfile.TemporaryDirectory() as scratch:
        for name, command in {
            "sql of one coin of prices": ["sql", "select count(*), avg(price_usd) from prices where symbol = 'BTC'"],
            "sql of one coin of ml_features": ["sql", "select avg(return_24h) from ml_features where symbol = 'BTC'"],
            "status of 30 days": ["status", "--start", month, "--end", str(last), "--json"],
            "status of the whole": ["status", "--start", str(first), "--end", str(last), "--json"],
            "dataset of a year": ["dataset", "--start", year, "--end", str(last), "--out", f"{scratch}/year.parquet"],
            "report": ["report", "--out", f"{scratch}/report.html"],
        }.items():
            print(json.dumps({"command": name, **_command(command)}), flush=True)
    for found in _pages(str(last)):
        print(json.dumps(found), flush=True)


def _command(command: list[str]) -> dict[str, Any]:
    began, peak, used = time.monotonic(), 0.0, 0.0
    running = subprocess.Popen([*CLI, *command], stdout=subprocess.DEVNULL)
    while running.poll() is None:
        peak, used = max(peak, memory_mb(running.pid, "VmHWM")), max(used, cpu_s(running.pid))
        time.sleep(0.05)
    return {"exit": running.returncode, "seconds": round(time.monotonic() - began, 1)} | _rounded(used, peak)


def _pages(day: str) -> Iterator[dict[str, Any]]:
    prepare(Settings.from_env())
    port = free_port()
    command = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port)]
    with server([*command, "-m", "crypto_assets.definitions"], port, {}) as pid:
        for name, query in PAGES.items():
            for call in (1, 2):
                used, began = cpu_s(pid), time.monotonic()
                answer = httpx.post(
                    f"http://127.0.0.1:{port}/graphql", json={"query": query % {"day": day}}, timeout=HOUR_S
                ).json()
                if answer.get("errors"):
                    raise SystemExit(f"{name}: {str(answer['errors'])[:600]}")
                taken = {"page": name, "call": call, "seconds": round(time.monotonic() - began, 2)}
                yield taken | _rounded(cpu_s(pid) - used, memory_mb(pid, "VmHWM"))


def _rounded(used: float, peak: float) -> dict[str, float]:
    return {"cpu_s": round(used, 2), "peak_mb": round(peak)}


if __name__ == "__main__":
    main(*arguments(sys.argv[1:]))
