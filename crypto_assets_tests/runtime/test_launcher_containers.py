"""A code server with process numbers of its own, as in a container: its runs are judged by what it says."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

from crypto_assets.runtime.launcher import LocalRunLauncher
from crypto_assets_tests.code_server import CodeServer, now, wait_for

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
CODE = """
import pathlib, time
import dagster as dg
from crypto_assets.dagster_internals.run_processes import fork_runs

@dg.op
def wait():
    while not pathlib.Path({end!r}).exists():
        time.sleep(0.1)

@dg.job(executor_def=dg.in_process_executor)
def waiting():
    wait()

defs = dg.Definitions(jobs=[waiting])
fork_runs("crypto_assets.runtime.run_template")
"""


def permitted() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not permitted(), reason="no process namespace can be made here")


@pytest.fixture
def end(tmp_path: Path) -> Path:
    """The file that the run waits for."""
    return tmp_path / "end"


@pytest.fixture
def server(instance: dg.DagsterInstance, tmp_path: Path, end: Path) -> Iterator[CodeServer]:
    """The first process of a namespace takes all others with it when it is killed, as that of a container does.

    Its address is of this machine, but as little the launcher's own as a container's.
    """
    (tmp_path / "graph.py").write_text(CODE.format(end=str(end)))
    made = CodeServer(tmp_path / "graph.py", "127.0.0.2", tuple(UNSHARE))
    made.start()
    try:
        yield made
    finally:
        made.kill()


@pytest.fixture
def run(instance: dg.DagsterInstance, server: CodeServer) -> dg.DagsterRun:
    """A run that a process of the server executes."""
    made = server.launch(instance, "waiting")
    wait_for(lambda: now(instance, made).status is dg.DagsterRunStatus.STARTED)
    return now(instance, made)


@pytest.fixture
def launcher(instance: dg.DagsterInstance) -> LocalRunLauncher:
    assert isinstance(instance.run_launcher, LocalRunLauncher)
    return instance.run_launcher


def monitored(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    """The run's status after one look of Dagster's own monitor."""
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    monitor_started_run(instance, None, record, dg.get_dagster_logger())  # type: ignore[arg-type]
    return now(instance, run).status


def test_a_healthy_run_is_left_alone(
    instance: dg.DagsterInstance, launcher: LocalRunLauncher, end: Path, run: dg.DagsterRun
) -> None:
    """Its number names another process, or none, on this side."""
    for _ in range(3):
        assert monitored(instance, run) is dg.DagsterRunStatus.STARTED
    end.touch()
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
    for pid in _processes(server):
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


def _processes(server: CodeServer) -> list[int]:
    """The numbers, on this side, of the processes that the server forked for runs."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text, command = status.read_text(), (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        fields = dict(line.split(":", 1) for line in text.splitlines())
        parent = Path("/proc") / fields["PPid"].strip() / "cmdline"
        forked = b"forkserver" in command and parent.exists() and b"forkserver" in parent.read_bytes()
        if len(fields["NSpid"].split()) > 1 and forked and _belongs(int(status.parent.name), server):
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
