"""The production topology on this machine: code location, daemon and webserver as processes, runs as the double's Jobs.

The instance is ``deploy/kustomize/base/dagster.yaml`` with three changes: the API is found by kubeconfig, DAGSTER_HOME is
a folder of the test, and time limits are seconds instead of minutes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from crypto_assets.dagster_internals.core import DAEMON
from crypto_assets_tests import warm
from crypto_assets_tests.ports import free_port
from crypto_assets_tests.runtime.kubernetes.double import Cluster
from crypto_assets_tests.runtime.kubernetes.objects import wait_for
from crypto_assets_tests.runtime.kubernetes.rbac import Rights

BASE = Path(__file__).parents[3] / "deploy" / "kustomize" / "base"
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
NAMESPACE, IMAGE = "crypto", "registry.example/crypto-assets:0.1.0"


def rights() -> Rights:
    return Rights.from_manifests(yaml.safe_load_all((BASE.parent / "rbac" / "rbac.yaml").read_text(encoding="utf-8")))


def instance_yaml(home: Path, poll_s: int, start_s: int, runs: int) -> str:
    """The production instance, for this machine."""
    config = yaml.safe_load((BASE / "dagster.yaml").read_text(encoding="utf-8"))
    launcher = config["run_launcher"]["config"]
    launcher |= {"load_incluster_config": False, "dagster_home": str(home), "start_patience_seconds": start_s}
    config["run_monitoring"] |= {"poll_interval_seconds": poll_s, "start_timeout_seconds": start_s}
    config["run_coordinator"]["config"]["dequeue_interval_seconds"] = 1
    config["concurrency"]["runs"]["max_concurrent_runs"] = runs
    return yaml.safe_dump(config)


@dataclass
class Production:
    """A running platform. ``env``: what the ConfigMap and the Secret of the manifests hold."""

    home: Path
    cluster: Cluster
    instance: DagsterInstance
    env: Mapping[str, str]
    processes: dict[str, warm.Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        for name in names or ("code", "daemon", "webserver"):
            self.ports.setdefault(name, free_port())
            self.processes[name] = self._spawn(name)
            if name == "code":
                wait_for(lambda: _listens(self.ports["code"]), 300, 0.2)
        if "webserver" in self.processes:
            wait_for(lambda: self._answers(), 300)

    def _spawn(self, name: str) -> warm.Process:
        workspace = self.home / "workspace.yaml"
        server = {"host": "127.0.0.1", "port": self.ports["code"], "location_name": "crypto_assets"}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}), encoding="utf-8")
        here = ["-h", "127.0.0.1", "-p", str(self.ports[name])]
        arguments = {
            "code": ["dagster", "api", "grpc", *here, "-m", "crypto_assets.definitions"],
            "daemon": [DAEMON, "run", "-w", str(workspace)],
            "webserver": ["dagster_webserver", *here, "-w", str(workspace)],
        }[name]
        env = {**os.environ, **self.env, "KUBECONFIG": str(self.cluster.node.kubeconfigs[f"crypto-assets-{name}"])}
        with (self.home / f"{name}.log").open("ab") as log:
            return warm.start(
                {**env, "DAGSTER_HOME": str(self.home)},
                "-m",
                *arguments,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, name: str, *, kill: bool = False) -> None:
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.kill() if kill else process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def graphql(self, query: str, variables: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['webserver']}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            document = json.load(answer)
        assert "errors" not in document, document
        return document["data"]

    def _answers(self) -> bool:
        for name, process in self.processes.items():
            assert process.poll() is None, (self.home / f"{name}.log").read_text()[-3000:]
        try:
            found = self.graphql("{repositoriesOrError {... on RepositoryConnection {nodes {name}}}}", {})
        except OSError:
            return False
        return bool(found["repositoriesOrError"].get("nodes"))

    def backfill(self, tables: list[str], keys: list[str], tags: Mapping[str, str] | None = None) -> str:
        """Launch an asset backfill as the UI does; its id."""
        days = {"range": {"start": keys[0], "end": keys[-1]}}  # by asset: else look-backs add days after the last
        params = {
            "partitionsByAssets": [{"assetKey": {"path": [table]}, "partitions": days} for table in tables],
            "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()],
        }
        found = self.graphql(
            "mutation($p: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $p)"
            " {__typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}",
            {"p": params},
        )["launchPartitionBackfill"]
        assert "backfillId" in found, found
        return str(found["backfillId"])

    def launch(self, tables: list[str], start: str, end: str, tags: Mapping[str, str] | None = None) -> str:
        """Queue one run over the days, as the UI does; its id."""
        said = {RANGE[0]: start, RANGE[1]: end, **(tags or {})}
        params = {
            "selector": {
                "repositoryLocationName": "crypto_assets",
                "repositoryName": "__repository__",
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": [table]} for table in tables],
                "assetCheckSelection": [],
            },
            "runConfigData": {},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in said.items()]},
        }
        found = self.graphql(
            "mutation($p: ExecutionParams!) {launchPipelineExecution(executionParams: $p)"
            " {__typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}",
            {"p": params},
        )["launchPipelineExecution"]
        assert "run" in found, found
        return str(found["run"]["runId"])

    def backfill_ended(self, backfill_id: str, seconds: float) -> str:
        def status() -> str | None:
            found = self.instance.get_backfill(backfill_id)
            return None if found is None or found.status.value in ("REQUESTED", "COMPLETING") else found.status.value

        return str(wait_for(status, seconds, 0.5))

    def runs(self, **filters: Any) -> list[DagsterRun]:
        return list(self.instance.get_runs(RunsFilter(**filters)))

    def run_in(self, *statuses: DagsterRunStatus, seconds: float = 90, **filters: Any) -> DagsterRun:
        """The first run that gets to one of these statuses."""
        found = wait_for(lambda: self.runs(statuses=list(statuses), **filters), seconds, 0.3)
        return found[0]  # type: ignore[no-any-return]

    def status(self, run_id: str) -> str:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status.value

    def retry_of(self, run_id: str) -> DagsterRun | None:
        """The run that Dagster started because this one failed."""
        return next((run for run in self.runs() if run.parent_run_id == run_id), None)

    def pod_of(self, run_id: str) -> str | None:
        """The running pod of a run."""
        named = {
            pod["metadata"]["name"]: pod["metadata"]["labels"].get("dagster/run-id") for pod in self.cluster.pods()
        }
        return next((name for name in self.cluster.node.running() if named.get(name) == run_id), None)

    def jobs_of(self, run_id: str) -> list[str]:
        jobs = self.cluster.jobs()
        return [j["metadata"]["name"] for j in jobs if j["metadata"]["labels"].get("dagster/run-id") == run_id]

    def health(self) -> tuple[int, str] | None:
        """Stuck Jobs and pods, and the check's sentence, as ``cluster_health`` last had them."""
        event = self.instance.get_latest_materialization_event(AssetKey("cluster_health"))
        if event is None or event.asset_materialization is None:
            return None
        metadata = event.asset_materialization.metadata
        return int(str(metadata["stuck"].value)), str(metadata["reasons"].value)

    def failure(self, run_id: str) -> str:
        """What the run's failure says."""
        events = self.instance.all_logs(run_id)
        said = [e for e in events if e.dagster_event and e.dagster_event.event_type_value == "PIPELINE_FAILURE"]
        return "\n".join(str(e.dagster_event.message) for e in said if e.dagster_event)

    def logs(self) -> str:
        return "\n".join(f"== {p.name}\n{p.read_text(errors='replace')[-4000:]}" for p in self.home.glob("*.log"))


@contextmanager
def open_production(
    home: Path, env: Mapping[str, str], poll_s: int = 5, start_s: int = 45, runs: int = 2
) -> Iterator[Production]:
    """``env`` has DAGSTER_POSTGRES_URL, the warehouse and the providers."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(instance_yaml(home, poll_s, start_s, runs), encoding="utf-8")
    secret_names = {"DAGSTER_POSTGRES_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    env = {**env, "CRYPTO_ASSETS_KUBE_NAMESPACE": NAMESPACE, "CRYPTO_ASSETS_IMAGE": IMAGE}
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(home, NAMESPACE, rights(), {IMAGE}))
        cluster.store.admission.restricted = True
        cluster.node.config_maps["crypto-assets"] = {k: v for k, v in env.items() if k not in secret_names}
        cluster.node.secrets["crypto-assets"] = {k: v for k, v in env.items() if k in secret_names}
        os.environ.update({**env, "KUBECONFIG": str(cluster.node.kubeconfigs["crypto-assets-daemon"])})
        instance = stack.enter_context(DagsterInstance.from_config(str(home)))
        made = Production(home, cluster, instance, env)
        try:
            yield made
        finally:
            for name in list(made.processes):
                made.stop(name)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
