"""``serve --workers``: several processes that are one gateway to whoever asks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from crypto_assets.gateway.tokens import Tokens
from crypto_assets_tests.ports import free_port

COMMAND = [sys.executable, "-c", "from crypto_assets.cli.entry import main; main()", "serve"]
CALLS, ASKED = 25, 60
LONGEST_S = 120


def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + LONGEST_S
    while not holds():
        assert time.monotonic() < ends, what
        time.sleep(0.1)


def workers(parent: int) -> set[int]:
    """The processes that answer: children that multiprocessing has spawned, without its tracker of resources."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(one) for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()}


def alive(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def counted(page: str) -> int:
    """How many requests for the newest features the page counts, whatever their status."""
    return sum(int(float(n)) for n in re.findall(r'requests_total\{route="/v1/features/latest",.*\} ([\d.]+)', page))


def test_several_workers_are_one_gateway(home: Path, database: str, tmp_path: Path) -> None:
    token = Tokens(database).create("workers", ["all"], calls_a_minute=CALLS)
    port, log = free_port(), tmp_path / "log"
    environment = {
        **os.environ, "DAGSTER_POSTGRES_URL": database, "CRYPTO_ASSETS_HOME": str(tmp_path / "home"),
        "CRYPTO_ASSETS_WAREHOUSE": str(home / "warehouse"),
    }  # fmt: skip
    command = [*COMMAND, "--port", str(port), "--workers", "2"]
    with log.open("w") as out, subprocess.Popen(command, env=environment, stdout=out) as gateway:
        address = f"http://127.0.0.1:{port}"

        def ask(path: str) -> httpx.Response:  # over a connection of its own, which any worker may take
            return httpx.get(address + path, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False)

        def answers() -> bool:
            try:
                return ask("/healthz").status_code == 200
            except httpx.TransportError:
                return False

        try:
            until("it answers", answers)
            before = workers(gateway.pid)
            assert len(before) == 2
            statuses = [ask("/v1/features/latest?symbols=BTC").status_code for _ in range(ASKED)]
            # Once or twice where a new minute of the clock began meanwhile.
            assert statuses.count(200) in (CALLS, 2 * CALLS) and set(statuses) == {200, 429}
            until("each worker counts for all", lambda: counted(httpx.get(f"{address}/metrics").text) == ASKED)

            second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert second.returncode == 1 and f"127.0.0.1:{port} cannot be listened on" in second.stderr
            assert len(second.stderr.splitlines()) == 1

            os.kill(min(before), signal.SIGKILL)
            until("another is started", lambda: len(workers(gateway.pid) - {min(before)}) == 2)
            until("it answers", answers)
            assert counted(httpx.get(f"{address}/metrics").text) == ASKED, "what a worker counted stays"
        finally:
            left = workers(gateway.pid)
            gateway.terminate()
            gateway.wait(LONGEST_S)
    assert gateway.returncode == 0 and not any(map(alive, left))
    assert len(re.findall(r"Z GET /v1/features/latest (?:200|429) [\d.]+ ms by ", log.read_text())) >= CALLS


def test_workers_end_when_the_process_that_watches_them_is_killed(database: str, tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "DAGSTER_POSTGRES_URL": database, "CRYPTO_ASSETS_HOME": str(tmp_path)}
    command = [*COMMAND, "--port", str(port), "--workers", "2"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as gateway:
        until("both are there", lambda: len(workers(gateway.pid)) == 2)
        left = workers(gateway.pid)
        gateway.kill()
    until("they end", lambda: not any(map(alive, left)))
