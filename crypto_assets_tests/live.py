"""``crypto-assets dev`` on a sandbox, as its users have it: webserver, daemon, code servers, run processes; over GraphQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from crypto_assets_tests.ports import free_port as free_port

BACKFILL = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL_STATUS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status numCancelable error { message } } } }"""
CANCEL = """mutation($id: String!) { cancelPartitionBackfill(backfillId: $id) { __typename } }"""
HEALTH = """query($keys: [AssetKeyInput!]) { assetNodes(assetKeys: $keys) { assetKey { path } assetPartitionStatuses {
  ... on TimePartitionStatuses { ranges { startKey endKey status } } } } }"""
RUNS = """query($f: RunsFilter) { runsOrError(filter: $f, limit: 500) { ... on Runs { results {
  runId jobName status startTime endTime tags { key value } } } } }"""
START_SCHEDULE = """mutation($s: ScheduleSelector!) { startSchedule(scheduleSelector: $s) {
  __typename ... on PythonError { message } } }"""
ENDED = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "crypto_assets.definitions"}


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.3)
    raise TimeoutError(f"{what}: not within {seconds:.0f} s")


@dataclass
class Live:
    """One running ``dev`` over a home."""

    home: Path
    env: dict[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_")}
        log = (self.home / "dev.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "crypto_assets.cli.main", "dev", "--port", str(self.port)],
            env={**env, **self.env, "CRYPTO_ASSETS_HOME": str(self.home)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        wait_until(self._answers, 120, f"the UI on {self.port} (see {self.home}/dev.log)")

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "dev ended by itself"
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/server_info", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}/graphql", json={"query": query, "variables": variables}, timeout=60
        ).json()
        if answer.get("errors"):
            raise RuntimeError(str(answer["errors"])[:600])
        found = answer["data"]
        assert isinstance(found, dict)
        return found

    def launch_backfill(self, tables: Sequence[str], keys: Sequence[str]) -> str:
        """As the UI's *Launch backfill* does."""
        params = {"assetSelection": [{"path": [table]} for table in tables], "partitionNames": list(keys)}
        found = self.ask(BACKFILL, p=params)["launchPartitionBackfill"]
        assert found["__typename"] == "LaunchBackfillSuccess", found
        return str(found["backfillId"])

    def backfill_status(self, backfill_id: str) -> str:
        return str(self.ask(BACKFILL_STATUS, id=backfill_id)["partitionBackfillOrError"]["status"])

    def cancel(self, backfill_id: str) -> None:
        """As the UI's *Cancel backfill* does."""
        found = self.ask(CANCEL, id=backfill_id)["cancelPartitionBackfill"]
        assert found["__typename"] == "CancelBackfillSuccess", found

    def finished(self, backfill_id: str, seconds: float = 300) -> str:
        def ended() -> str | None:
            status = self.backfill_status(backfill_id)
            return status if status in ENDED else None

        return str(wait_until(ended, seconds, f"backfill {backfill_id}"))

    def health(self, tables: Sequence[str]) -> dict[str, list[tuple[str, str, str]]]:
        """Table -> (first key, last key, status) as the UI draws its partitions."""
        nodes = self.ask(HEALTH, keys=[{"path": [table]} for table in tables])["assetNodes"]
        return {
            node["assetKey"]["path"][0]: [
                (part["startKey"], part["endKey"], part["status"]) for part in node["assetPartitionStatuses"]["ranges"]
            ]
            for node in nodes
        }

    def runs(self, **filters: Any) -> list[dict[str, Any]]:
        found = self.ask(RUNS, f=filters)["runsOrError"]["results"]
        assert isinstance(found, list)
        return found

    def switch_on(self, schedule: str) -> None:
        found = self.ask(START_SCHEDULE, s={**REPOSITORY, "scheduleName": schedule})["startSchedule"]
        assert "Error" not in found["__typename"], found


@contextmanager
def dev(home: Path, env: dict[str, str]) -> Iterator[Live]:
    home.mkdir(parents=True, exist_ok=True)
    live = Live(home, env)
    live.start()
    try:
        yield live
    finally:
        live.stop()
