"""A run whose process was killed is noticed; one that lives is left alone."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

from crypto_assets.runtime import alive
from crypto_assets.runtime.launcher import SEEN_TAG, LocalRunLauncher

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


def test_another_python_that_got_the_number_later_is_not_the_run(
    instance: dg.DagsterInstance, launcher: LocalRunLauncher
) -> None:
    """As after a restart of the machine or the container, where every number is given out again."""
    stranger = subprocess.Popen([sys.executable, "-c", STAY], stdin=subprocess.PIPE)
    try:
        run = create_run_for_test(instance, job_name="intraday", status=dg.DagsterRunStatus.STARTED)
        with monkeypatched_time(time.time() - 3600):
            instance.report_engine_event(f"Started process for run (pid: {stranger.pid}).", run)
        found = launcher.check_run_worker_health(run)
        assert found.status is WorkerStatus.FAILED
        assert str(stranger.pid) in str(found)
    finally:
        stranger.kill()
        stranger.communicate()


def test_a_process_that_was_seen_is_known_by_its_start_whatever_the_clock_says(
    instance: dg.DagsterInstance, launcher: LocalRunLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen([sys.executable, "-c", STAY], stdin=subprocess.PIPE)
    try:
        run = started(instance, process.pid)
        assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
        seen = instance.get_run_by_id(run.run_id)
        assert seen is not None
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 86_400)  # the clock is set forward by a day
        assert launcher.check_run_worker_health(seen).status is WorkerStatus.RUNNING
        monkeypatch.undo()
        tag = seen.tags[SEEN_TAG]
        instance.add_run_tags(run.run_id, {SEEN_TAG: f"{tag}1"})  # the number, with another start
        later = instance.get_run_by_id(run.run_id)
        assert later is not None
        assert launcher.check_run_worker_health(later).status is WorkerStatus.FAILED
    finally:
        process.kill()
        process.communicate()


def test_a_process_that_ended_and_waits_to_be_noticed_has_no_start() -> None:
    process = subprocess.Popen([sys.executable, "-c", STAY], stdin=subprocess.PIPE)
    assert alive.started(process.pid) == alive.started(process.pid) != "0"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert alive.started(process.pid) == "0"
    process.communicate()
    assert alive.started(process.pid) == "0"


@contextmanager
def monkeypatched_time(now: float) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now)
        yield


def test_a_run_of_the_command_line_is_not_judged(instance: dg.DagsterInstance, launcher: LocalRunLauncher) -> None:
    run = create_run_for_test(instance, job_name="intraday", status=dg.DagsterRunStatus.STARTED)
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
