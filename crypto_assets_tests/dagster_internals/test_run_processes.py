"""Runs of a real code server are forks of one process, and are started, ended and missed as Dagster's own are."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest
from dagster._grpc.types import CancelExecutionRequest

from crypto_assets_tests.code_server import CodeServer, now, wait_for

CODE = """
import os, pathlib, random, sys, time
import dagster as dg
from crypto_assets.dagster_internals.run_processes import fork_runs

@dg.op
def say(context):
    imported = sys.modules.get("template")
    said = [os.getpid(), os.getppid(), imported.PROCESS if imported else 0, random.getrandbits(60)]
    file = pathlib.Path("said") / context.run_id
    file.with_suffix(".new").write_text(" ".join(map(str, said)))
    file.with_suffix(".new").replace(file)
    while not pathlib.Path("end").exists():
        time.sleep(0.05)

@dg.job(executor_def=dg.in_process_executor)
def waiting():
    say()

defs = dg.Definitions(jobs=[waiting])
fork_runs("template")
"""
TEMPLATE = """
import os
PROCESS = os.getpid()
"""


class Said(NamedTuple):
    """What a run knows of itself: its process, the parent's, the one that imported the template, a random number."""

    pid: int
    parent: int
    template: int
    drawn: int


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "graph.py").write_text(CODE)
    (tmp_path / "template.py").write_text(TEMPLATE)
    (tmp_path / "said").mkdir()
    return tmp_path


@pytest.fixture
def server(instance: dg.DagsterInstance, folder: Path) -> Iterator[CodeServer]:
    made = CodeServer(folder / "graph.py")
    made.start()
    try:
        yield made
    finally:
        (folder / "end").touch()
        made.kill()


def said(folder: Path, run: dg.DagsterRun) -> Said:
    text = wait_for(lambda: (folder / "said" / run.run_id).exists() and (folder / "said" / run.run_id).read_text())
    return Said(*(int(part) for part in text.split()))


def ended(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    wait_for(lambda: now(instance, run).is_finished)
    return now(instance, run).status


def test_two_runs_are_forks_of_one_process_that_has_imported_the_template(
    instance: dg.DagsterInstance, folder: Path, server: CodeServer
) -> None:
    runs = [server.launch(instance, "waiting") for _ in range(2)]
    one, two = (said(folder, run) for run in runs)
    assert one.parent == two.parent == one.template == two.template
    assert len({one.pid, two.pid, one.parent}) == 3
    assert one.drawn != two.drawn, "forks draw the same random numbers"
    (folder / "end").touch()
    assert {ended(instance, run) for run in runs} == {dg.DagsterRunStatus.SUCCESS}


def test_one_run_can_be_cancelled_and_another_killed(
    instance: dg.DagsterInstance, folder: Path, server: CodeServer
) -> None:
    cancelled, killed, last = (server.launch(instance, "waiting") for _ in range(3))
    said(folder, cancelled)
    instance.report_run_canceling(cancelled)
    server.client.cancel_execution(CancelExecutionRequest(run_id=cancelled.run_id))
    assert ended(instance, cancelled) is dg.DagsterRunStatus.CANCELED
    os.kill(said(folder, killed).pid, signal.SIGKILL)
    assert ended(instance, killed) is dg.DagsterRunStatus.FAILURE
    (folder / "end").touch()
    assert ended(instance, last) is dg.DagsterRunStatus.SUCCESS


def test_a_killed_template_is_started_again(instance: dg.DagsterInstance, folder: Path, server: CodeServer) -> None:
    (folder / "end").touch()
    first = server.launch(instance, "waiting")
    assert ended(instance, first) is dg.DagsterRunStatus.SUCCESS
    os.kill(said(folder, first).parent, signal.SIGKILL)
    second = server.launch(instance, "waiting")
    assert ended(instance, second) is dg.DagsterRunStatus.SUCCESS
    assert said(folder, second).parent != said(folder, first).parent


def test_nothing_is_left_of_a_server_that_is_gone(
    instance: dg.DagsterInstance, folder: Path, server: CodeServer
) -> None:
    run = server.launch(instance, "waiting")
    pids = said(folder, run)
    server.kill()
    (folder / "end").touch()
    assert ended(instance, run) is dg.DagsterRunStatus.SUCCESS, "it lives on without the server, as Dagster's own does"
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (pids.pid, pids.parent)))
