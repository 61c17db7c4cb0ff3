"""The run launcher of one machine: a run is a child process of the code server, and a dead run is noticed.

The stock launcher does not report whether the process of a run still lives. If all processes of a run were killed, the
run would be "in progress" forever, and ticks would wait for it. Run monitoring asks this launcher. On Kubernetes, run
pods replace it.

Whether a run lives is known where it lives. Where code server and daemon share a machine, that is ``/proc``. Where the
code server is a container of its own, its processes have numbers of their own, which say nothing here: then the code
server is asked.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import DagsterEventType, DagsterRun, DagsterRunStatus, DefaultRunLauncher

from crypto_assets.dagster_internals.core import (
    GRPC_INFO_TAG,
    CheckRunHealthResult,
    WorkerStatus,
    instance_of,
    is_executing,
)
from crypto_assets.runtime import alive

LOGGER = logging.getLogger(__name__)
LOOPBACK = ("localhost", "127.0.0.1", "::1")
ANSWER_S = 10  # a busy code server answers late; the next check asks again
SEEN_TAG = ".crypto_assets/run_process"  # PID:ticks since boot; hidden in the UI
TOLERANCE_S = 5.0  # between the start time of a process and the time in what it wrote
STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")


class LocalRunLauncher(DefaultRunLauncher):
    """The stock launcher, but it knows whether the process of a run is alive."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether processes can be checked, which needs ``/proc``; elsewhere the maximum run time must be enough."""
        return Path("/proc/self").exists()

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Check the process of a run.

        Args:
            run: the run.

        Returns:
            Running, or failed where the process was killed. A run whose process is not known, or whose code server does
            not answer, counts as running: the server says more when it is back.
        """
        elsewhere = _other_machine(run)
        if elsewhere is not None:
            return self._health_elsewhere(run, elsewhere)
        found = self._process_of(run)
        if found is None or self._lives(run, *found):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        current = instance_of(self).get_run_by_id(run.run_id)
        if current is not None and current.is_finished:
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"its process {found[0]} was killed; the next tick or refill goes on"
        )

    def _health_elsewhere(self, run: DagsterRun, server: Mapping[str, Any]) -> CheckRunHealthResult:
        executing = is_executing(server, run.run_id, ANSWER_S)
        if executing is None:
            said = "the code server %s does not answer, so nothing is known now of run %s, which it executes"
            LOGGER.warning(said, server["host"], run.run_id)
        if executing is not False:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        current = instance_of(self).get_run_by_id(run.run_id)
        if current is None or current.is_finished:
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        if current.status is not DagsterRunStatus.STARTED:  # it is being cancelled
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        reason = f"the code server {server['host']} has no process of it: it was killed, or the server was restarted"
        return CheckRunHealthResult(WorkerStatus.FAILED, f"{reason}; the next tick or refill goes on")

    def _process_of(self, run: DagsterRun) -> tuple[int, float] | None:
        """Return the number of the run's process, and the epoch seconds at which the process recorded it."""
        records = instance_of(self).get_records_for_run(run.run_id, of_type=DagsterEventType.ENGINE_EVENT).records
        for record in records:
            event = record.event_log_entry.dagster_event
            if said := STARTED.search((event.message if event else None) or ""):
                return int(said.group(1)), record.event_log_entry.timestamp
        return None  # a run of the command line, which ``fail_dead_runs`` handles

    def _lives(self, run: DagsterRun, pid: int, said_at: float) -> bool:
        """Whether the process of the run lives, and not another one that got its number later.

        The first check records when the process started. Later checks compare with this, so that a change of the clock
        does not matter.
        """
        now = f"{pid}:{alive.started(pid)}"
        noted = run.tags.get(SEEN_TAG)
        if noted is not None:
            return noted == now
        start = alive.started_at(pid)
        if start is None or start > said_at + TOLERANCE_S or not alive.is_python(pid):
            return False
        instance_of(self).add_run_tags(run.run_id, {SEEN_TAG: now})
        return True


def _other_machine(run: DagsterRun) -> Mapping[str, Any] | None:
    """Return the address of the code server that executes the run, where it is not reached on this machine alone."""
    server: Mapping[str, Any] = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
    return server if "port" in server and server["host"] not in LOOPBACK else None
