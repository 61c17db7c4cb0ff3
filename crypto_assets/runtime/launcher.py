"""The run launcher of one machine: a run is a child of the code server, and a dead one is noticed.

The stock launcher does not say whether a run's process still lives, so a run whose whole process tree was killed would
be "in progress" for ever, and ticks would wait for it. Run monitoring asks this one. Production replaces it by run pods.
"""

from __future__ import annotations

import re
from pathlib import Path

from dagster import DagsterEventType, DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

from crypto_assets.runtime import alive

SEEN_TAG = ".crypto_assets/run_process"  # PID:ticks since boot; hidden in the UI
TOLERANCE_S = 5.0  # between the clock of a process's start and that of what it wrote
STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")


class LocalRunLauncher(DefaultRunLauncher):
    """The stock launcher, but it knows whether the process of a run is alive on this machine."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return Path("/proc/self").exists()  # elsewhere the maximum run time has to do

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        found = self._process_of(run)
        if found is None or self._lives(run, *found):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        current = self._instance.get_run_by_id(run.run_id)
        if current is not None and current.is_finished:
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"its process {found[0]} was killed; the next tick or refill goes on"
        )

    def _process_of(self, run: DagsterRun) -> tuple[int, float] | None:
        """The number of the run's process, and the epoch seconds at which it said so itself."""
        records = self._instance.get_records_for_run(run.run_id, of_type=DagsterEventType.ENGINE_EVENT).records
        for record in records:
            event = record.event_log_entry.dagster_event
            if said := STARTED.search((event.message if event else None) or ""):
                return int(said.group(1)), record.event_log_entry.timestamp
        return None  # not of ours: a run of the command line, which ``bury_dead_runs`` looks after

    def _lives(self, run: DagsterRun, pid: int, said_at: float) -> bool:
        """The run's own process, not another one that got its number later.

        The first look notes when the process started; later ones compare with that, which no change of the clock touches.
        """
        now = f"{pid}:{alive.started(pid)}"
        noted = run.tags.get(SEEN_TAG)
        if noted is not None:
            return noted == now
        start = alive.started_at(pid)
        if start is None or start > said_at + TOLERANCE_S or not alive.is_python(pid):
            return False
        self._instance.add_run_tags(run.run_id, {SEEN_TAG: now})
        return True
