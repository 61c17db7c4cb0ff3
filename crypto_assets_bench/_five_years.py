"""Every table of many coins over years, one after the other, by the platform's own command against the sandbox.

``python -m crypto_assets_bench._five_years FOLDER [COINS] [FIRST] [LAST]`` runs ``crypto-assets backfill --missing`` for each
table, inputs first, and prints a line of JSON: wall time, processor seconds of the command, of the sandbox and of Postgres,
the highest resident memory of any of their processes, rows, bytes in the warehouse and in Postgres. The default is 300 coins
over the five years to 2025-12-31: hours and tens of gigabytes, so ``make bench`` leaves it out. FOLDER keeps the state; the
same command goes on where it was interrupted.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from crypto_assets.catalog import all_coins
from crypto_assets.operate.sandbox_process import SandboxProcess
from crypto_assets.runtime import embedded_postgres
from crypto_assets.tables.registry import TABLES
from crypto_assets_bench._processes import cpu_s, family, memory_mb

COINS, FIRST, LAST = 300, date(2021, 1, 1), date(2025, 12, 31)
SAMPLE_S = 1.0
MB = 1e6
CLI = [sys.executable, "-m", "crypto_assets.cli.main"]


def arguments(given: list[str]) -> tuple[Path, int, date, date]:
    """Read FOLDER [COINS] [FIRST] [LAST]."""
    place, coins, first, last = [*given, *(str(value) for value in ("", COINS, FIRST, LAST)[len(given) :])]
    return Path(place).absolute(), int(coins), date.fromisoformat(first), date.fromisoformat(last)


def environment(folder: Path, coins: int, first: date) -> dict[str, str]:
    """Return the variables of the home."""
    symbols = ",".join(coin.symbol for coin in all_coins()[:coins])
    return {"CRYPTO_ASSETS_HOME": str(folder), "CRYPTO_ASSETS_COINS": symbols, "CRYPTO_ASSETS_START": str(first)}


def main(folder: Path, coins: int, first: date, last: date) -> None:
    """Backfill the tables that have partitions, and print a line for each."""
    folder.mkdir(parents=True, exist_ok=True)
    embedded_postgres.running(folder / "postgres")  # it stays between the commands
    postgres = int((folder / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    with SandboxProcess(7, folder / "sandbox.log") as sandbox:
        os.environ.update(sandbox.env() | environment(folder, coins, first))
        for table, spec in TABLES.items():
            if spec.by_day:
                measured = _backfill(folder, table, first, last, {"sandbox": sandbox.pid, "postgres": postgres})
                print(json.dumps({"table": table, **measured}), flush=True)


def _backfill(folder: Path, table: str, first: date, last: date, servers: Mapping[str, int]) -> dict[str, Any]:
    span = ["--start", str(first), "--end", str(last), "--missing", "--select", f'key:"{table}"', "--json"]
    used, before, began = _children_s(), {name: cpu_s(pid) for name, pid in servers.items()}, time.monotonic()
    running = subprocess.Popen([*CLI, "backfill", *span], stdout=subprocess.PIPE, text=True)
    peaks: dict[str, float] = {}
    while running.poll() is None:
        for name, pid in {"command": running.pid, **servers}.items():
            largest = max(memory_mb(one, below=False) for one in family(pid))
            peaks[name] = max(peaks.get(name, 0.0), largest)
        time.sleep(SAMPLE_S)
    assert running.stdout is not None
    document = json.loads(running.stdout.read() or "{}")
    return {
        "exit": running.returncode,
        "rows": document.get("rows", {}).get(table),
        "seconds": round(time.monotonic() - began, 1),
        "cpu_s": {"command": round(_children_s() - used, 1)}
        | {name: round(cpu_s(pid) - before[name], 1) for name, pid in servers.items()},
        "peak_mb": {name: round(peak) for name, peak in peaks.items()},
        "warehouse_mb": round(_bytes(folder / "warehouse" / table) / MB, 1),
        "postgres_mb": round(_bytes(folder / "postgres") / MB, 1),
        **({"failures": document["failures"]} if document.get("failures") else {}),
    }


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    main(*arguments(sys.argv[1:]))
