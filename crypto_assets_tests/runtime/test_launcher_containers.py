"""A code server with process numbers of its own, as in a container: its runs are judged by what it says."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.monitoring.run_monitoring import monitor_started_run
from dagster._grpc.client import DagsterGrpcClient

from crypto_assets.runtime.launcher import LocalRunLauncher
from crypto_assets_tests.ports import free_port

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
CODE = """
import pathlib, time
import dagster as dg

@dg.op
def wait():
    while not pathlib.Path({end!r}).exists():
        time.sleep(0.1)

@dg.job(executor_def=dg.in_process_executor)
def waiting():
    wait()

defs = dg.Definitions(jobs=[waiting])
"""
SOON_S = 120


def permitted() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not permitted(), reason="no process namespace can be made here")


class CodeServer:
    """``dagster api grpc`` as the first process of its own namespace, on an address that is not the loopback's name."""

    def __init__(self, folder: Path) -> None:
        self.end, self._file, self.port = folder / "end", folder / "code.py", free_port()
        self.host = "127.0.0.2"  # of this machine, but as little the launcher's own address as a container's
        self._file.write_text(CODE.format(end=str(self.end)))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> DagsterGrpcClient:
        return DagsterGrpcClient(host=self.host, port=self.port)

    def start(self) -> None:
        server = ["-m", "dagster", "api", "grpc", "-h", self.host, "-p", str(self.port), "-f", str(self._file)]
        self.process = subprocess.Popen([*UNSHARE, sys.executable, "-W", "ignore", *server, "--location-name", "code"])
        wait_for(self._listens)

    def kill(self) -> None:
        """As the container is killed: the first process of a namespace takes all others with it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            wait_for(lambda: not self._listens())
            self.process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0


def wait_for(happened: Callable[[], Any]) -> Any:
    end = time.monotonic() + SOON_S
    while not (found := happened()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found


@pytest.fixture
def server(instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[CodeServer]:
    made = CodeServer(tmp_path)
    made.start()
    try:
        yield made
    finally:
        made.kill()


@pytest.fixture
def run(instance: dg.DagsterInstance, server: CodeServer) -> dg.DagsterRun:
    """A run that a process of the server executes."""
    location = GrpcServerCodeLocationOrigin(host=server.host, port=server.port, location_name="code")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "waiting")
    made = create_run_for_test(
        instance, job_name="waiting", status=dg.DagsterRunStatus.STARTING, remote_job_origin=origin
    )
    LocalRunLauncher.launch_run_from_grpc_client(instance, made, server.client)
    wait_for(lambda: now(instance, made).status is dg.DagsterRunStatus.STARTED)
    return now(instance, made)


@pytest.fixture
def launcher(instance: dg.DagsterInstance) -> LocalRunLauncher:
    assert isinstance(instance.run_launcher, LocalRunLauncher)
    return instance.run_launcher


def now(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def monitored(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    """The run's status after one look of Dagster's own monitor."""
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    monitor_started_run(instance, None, record, dg.get_dagster_logger())  # type: ignore[arg-type]
    return now(instance, run).status


def test_a_healthy_run_is_left_alone(
    instance: dg.DagsterInstance, launcher: LocalRunLauncher, server: CodeServer, run: dg.DagsterRun
) -> None:
    """Its number names another process, or none, on this side."""
    for _ in range(3):
        assert monitored(instance, run) is dg.DagsterRunStatus.STARTED
    server.end.touch()
    wait_for(lambda: now(instance, run).is_finished)
    assert now(instance, run).status is dg.DagsterRunStatus.SUCCESS
    assert launcher.check_run_worker_health(run).status in (WorkerStatus.SUCCESS, WorkerStatus.RUNNING)


def test_a_server_that_does_not_answer_is_no_dead_run_and_one_that_came_back_without_it_is(
    instance: dg.DagsterInstance, launcher: LocalRunLauncher, server: CodeServer, run: dg.DagsterRun, caplog: Any
) -> None:
    server.kill()
    assert monitored(instance, run) is dg.DagsterRunStatus.STARTED
    assert f"the code server {server.host} does not answer" in caplog.text
    server.start()
    found = launcher.check_run_worker_health(now(instance, run))
    assert found.status is WorkerStatus.FAILED
    assert "or the server was restarted" in str(found.msg)
    assert monitored(instance, run) is dg.DagsterRunStatus.FAILURE


def test_a_killed_process_is_noticed(
    instance: dg.DagsterInstance, launcher: LocalRunLauncher, server: CodeServer, run: dg.DagsterRun
) -> None:
    for pid in _children(server):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: launcher.check_run_worker_health(run).status is not WorkerStatus.RUNNING)
    if not now(instance, run).is_finished:  # the server notices too, and may be the first
        monitored(instance, run)
    assert now(instance, run).status is dg.DagsterRunStatus.FAILURE


def test_a_run_that_is_being_cancelled_is_not_dead(
    instance: dg.DagsterInstance, launcher: LocalRunLauncher, server: CodeServer, run: dg.DagsterRun
) -> None:
    instance.report_run_canceling(run)
    server.kill()
    server.start()  # it has no process of the run any more
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING, "the time limit of cancelling decides"


def _children(server: CodeServer) -> list[int]:
    """The numbers, on this side, of the processes that the server started for runs."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text, command = status.read_text(), (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        spaces = next(line for line in text.splitlines() if line.startswith("NSpid:")).split()[1:]
        if len(spaces) > 1 and b"spawn_main" in command and _belongs(int(status.parent.name), server):
            found.append(int(status.parent.name))
    assert found
    return found


def _belongs(pid: int, server: CodeServer) -> bool:
    """Whether a process descends from the server."""
    assert server.process is not None
    while pid > 1:
        if pid == server.process.pid:
            return True
        stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        pid = int(stat[1])
    return False
