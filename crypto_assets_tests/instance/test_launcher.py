"""A run whose process was killed is noticed; one that lives is left alone."""

from __future__ import annotations

import logging
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

from crypto_assets.instance.launcher import LocalRunLauncher

STAY = "import sys; sys.stdin.read()"


@pytest.fixture
def launcher(instance: dg.DagsterInstance) -> LocalRunLauncher:
    assert isinstance(instance.run_launcher, LocalRunLauncher), "the instance's own configuration names ours"
    return instance.run_launcher


def started(instance: dg.DagsterInstance, pid: int) -> dg.DagsterRun:
    """A run as the code server leaves it once its process has begun."""
    run = create_run_for_test(instance, job_name="intraday", status=dg.DagsterRunStatus.STARTED)
    instance.report_engine_event(f"Started process for run (pid: {pid}).", run)
    return run


def test_a_living_process_and_then_a_killed_one(instance: dg.DagsterInstance, launcher: LocalRunLauncher) -> None:
    process = subprocess.Popen([sys.executable, "-c", STAY], stdin=subprocess.PIPE)
    run = started(instance, process.pid)
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    process.kill()
    process.communicate()
    found = launcher.check_run_worker_health(run)
    assert found.status is WorkerStatus.FAILED
    assert str(process.pid) in str(found)


def test_monitoring_fails_a_run_whose_process_is_gone(instance: dg.DagsterInstance, launcher: LocalRunLauncher) -> None:
    """Dagster's own monitor, whose behaviour is relied on, asks our launcher and ends the run."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    run = started(instance, process.pid)
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    monitor_started_run(instance, None, record, logging.getLogger("test"))  # type: ignore[arg-type]
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.is_failure


def test_a_strangers_process_under_the_same_number_is_not_the_run(
    instance: dg.DagsterInstance, launcher: LocalRunLauncher
) -> None:
    stranger = subprocess.Popen(["sleep", "30"])
    try:
        assert launcher.check_run_worker_health(started(instance, stranger.pid)).status is WorkerStatus.FAILED
    finally:
        stranger.kill()
        stranger.wait()


def test_a_run_of_the_command_line_is_not_judged(instance: dg.DagsterInstance, launcher: LocalRunLauncher) -> None:
    run = create_run_for_test(instance, job_name="intraday", status=dg.DagsterRunStatus.STARTED)
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
