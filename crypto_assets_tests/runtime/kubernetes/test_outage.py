"""An API server that is away, slow or refuses: no healthy run is failed for it, and what happened meanwhile is found."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml
from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.launcher.base import WorkerStatus
from dagster._daemon.monitoring.run_monitoring import monitor_started_run
from dagster_k8s.job import get_job_name_from_run_id

from crypto_assets.runtime.kubernetes import api, janitor, launcher
from crypto_assets.runtime.kubernetes.api import Cluster as Api
from crypto_assets.runtime.kubernetes.launcher import RunPods
from crypto_assets.settings import KUBE_SELECTOR
from crypto_assets_tests.runtime.kubernetes.conftest import JobMaker
from crypto_assets_tests.runtime.kubernetes.double import Cluster
from crypto_assets_tests.runtime.kubernetes.objects import wait_for
from crypto_assets_tests.runtime.kubernetes.production import NAMESPACE, instance_yaml

POLL_S = 60  # as deploy/ has it
log = logging.getLogger(__name__)


class Clock(datetime):
    """The launcher's clock, moved on by the tests in place of waiting."""

    moved = timedelta(0)

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(timezone.utc) + cls.moved


@pytest.fixture
def pods(
    cluster: Cluster, instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunPods]:
    """The launcher of the production instance, which is the instance's."""
    monkeypatch.setattr(launcher, "datetime", Clock)
    monkeypatch.setattr(api, "BACKOFF_S", 0.0)
    monkeypatch.setattr(Clock, "moved", timedelta(0))
    config = yaml.safe_load(instance_yaml(tmp_path, 5, 30, 2))["run_launcher"]["config"]
    kubeconfig = str(cluster.node.kubeconfigs["crypto-assets-daemon"])
    made = RunPods(**{**config, "job_namespace": NAMESPACE, "job_image": "x", "kubeconfig_file": kubeconfig})
    made.register_instance(instance)
    monkeypatch.setattr(DagsterInstance, "run_launcher", property(lambda _: made))
    yield made


@pytest.fixture
def running(cluster: Cluster, instance: DagsterInstance, submit: JobMaker) -> Callable[[int], dict[str, str]]:
    """Starts so many runs: run -> its pod."""

    def start(count: int) -> dict[str, str]:
        selection = frozenset({AssetKey("prices")})
        for _ in range(count):
            run = DagsterRun("__ASSET_JOB", status=DagsterRunStatus.STARTED, asset_selection=selection)
            instance.run_storage.add_run(run)
            submit(get_job_name_from_run_id(run.run_id), run.run_id)
        wait_for(lambda: len(cluster.node.running()) == count)
        return {pod["metadata"]["labels"]["dagster/run-id"]: pod["metadata"]["name"] for pod in cluster.pods()}

    return start


def poll(instance: DagsterInstance) -> None:
    """One round of Dagster's run monitoring, one interval later."""
    Clock.moved += timedelta(seconds=POLL_S)
    for record in instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.STARTED])):
        monitor_started_run(instance, None, record, log)  # type: ignore[arg-type]


def failures(instance: DagsterInstance) -> dict[str, str]:
    """Failed runs and what their failure says."""
    runs = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE]))
    events = {run.run_id: [entry.dagster_event for entry in instance.all_logs(run.run_id)] for run in runs}
    return {
        run_id: "\n".join(str(e.message) for e in found if e is not None and e.event_type_value == "PIPELINE_FAILURE")
        for run_id, found in events.items()
    }


@pytest.mark.parametrize("away_s", [5, 60, 300])
def test_an_api_that_is_away_costs_no_healthy_run(
    cluster: Cluster,
    instance: DagsterInstance,
    pods: RunPods,
    running: Callable[[int], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    away_s: int,
) -> None:
    """Ten runs; three pods die while nobody can see it. A poll meets even the shortest absence."""
    node, of_run = cluster.node, running(10)
    befall = {"more memory than its limit": node.out_of_memory, "evicted": node.evict, "killed from outside": node.kill}
    victims = dict(zip(of_run, befall, strict=False))
    with cluster.away():
        for run_id, words in victims.items():
            befall[words](of_run[run_id])
        for _ in range(max(1, away_s // POLL_S)):
            poll(instance)
        assert failures(instance) == {}
    wait_for(lambda: sum(job["status"]["failed"] for job in cluster.jobs()) == 3)
    back = Clock.moved
    while len(failures(instance)) < 3 and Clock.moved - back < timedelta(minutes=10):
        poll(instance)
    found = failures(instance)
    assert found.keys() == victims.keys(), "no healthy run, and each whose pod died within 10 minutes"
    for run_id, words in victims.items():
        assert words in found[run_id]
    monkeypatch.setenv("KUBECONFIG", str(node.kubeconfigs["crypto-assets-code"]))
    janitor.sweep(instance, Api(NAMESPACE, KUBE_SELECTOR), dry_run=False)
    assert len(node.running()) == 7, "and none of their pods"
    assert failures(instance).keys() == victims.keys()


@contextmanager
def silent(cluster: Cluster, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setattr(api, "TIMEOUT_S", (0.2, 0.2))
    with cluster.away(silent=True):
        yield


@contextmanager
def answers(cluster: Cluster, code: int, reason: str, message: str) -> Iterator[None]:
    cluster.fail(code, reason, message, 1_000)
    yield
    cluster.faults.clear()


@contextmanager
def busy(cluster: Cluster, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setattr(api, "LONGEST_WAIT_S", 0.05)
    cluster.busy(1_000, 3_600)
    yield
    cluster.faults.clear()


ABSENT = "the server could not find the requested resource"
FORBIDDEN = 'jobs.batch "x" is forbidden: User "u" cannot get resource "jobs/status" in API group "batch"'
Trouble = Callable[[Cluster, pytest.MonkeyPatch], object]
TROUBLES: dict[str, tuple[Trouble, str]] = {
    "away": (lambda cluster, _: cluster.away(), "cannot be reached"),
    "silent": (silent, "cannot be reached"),
    "starting": (lambda c, _: answers(c, 404, "NotFound", ABSENT), ABSENT),
    "failing": (lambda c, _: answers(c, 500, "InternalError", "etcdserver: leader changed"), "leader changed"),
    "starts": (lambda c, _: answers(c, 503, "ServiceUnavailable", "apiserver not ready"), "not ready"),
    "token": (lambda c, _: answers(c, 401, "Unauthorized", "Unauthorized"), "does not accept the token"),
    "rights": (lambda c, _: answers(c, 403, "Forbidden", FORBIDDEN), "grant it by the Role"),
    "busy": (busy, "too busy (429)"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_only_the_servers_own_word_means_gone(
    cluster: Cluster,
    instance: DagsterInstance,
    pods: RunPods,
    running: Callable[[int], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    (run_id,) = running(1)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    trouble, words = TROUBLES[name]
    with trouble(cluster, monkeypatch), caplog.at_level(logging.WARNING):  # type: ignore[attr-defined]
        for number in (1, 2):
            found = pods.check_run_worker_health(run)
            assert found.status is WorkerStatus.RUNNING
            assert f"unknown for {number} poll(s)" in str(found.msg)
        assert "it counts as running until that has lasted 0:30:00" in caplog.text
        Clock.moved += timedelta(minutes=31)
        found = pods.check_run_worker_health(run)
    assert found.status is WorkerStatus.UNKNOWN, "the patience is over"
    assert "the patience of 0:30:00 (unknown_patience_seconds) is over" in str(found.msg)
    assert words in str(found.msg)
    assert pods.check_run_worker_health(run).status is WorkerStatus.RUNNING, "it answers again"


def test_an_answer_ends_the_count(
    cluster: Cluster, instance: DagsterInstance, pods: RunPods, running: Callable[[int], dict[str, str]]
) -> None:
    (run_id,) = running(1)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    for _ in range(3):  # 75 minutes in all, but never without an answer for longer than 25
        with cluster.away():
            assert "for 1 poll(s)" in str(pods.check_run_worker_health(run).msg)
            Clock.moved += timedelta(minutes=25)
            assert pods.check_run_worker_health(run).status is WorkerStatus.RUNNING
        assert pods.check_run_worker_health(run).msg is None
