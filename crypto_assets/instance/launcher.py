"""The run launcher of one machine: a run is a child of the code server, and a dead one is noticed.

The stock launcher does not say whether a run's process still lives, so a run whose whole process tree was killed would
be "in progress" for ever, and ticks would wait for it. Run monitoring asks this one. Production replaces it by run pods.
"""

from __future__ import annotations

import re
from pathlib import Path

from dagster import DagsterEventType, DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")


class LocalRunLauncher(DefaultRunLauncher):
    """The stock launcher, but it knows whether the process of a run is alive on this machine."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return Path("/proc/self").exists()  # elsewhere the maximum run time has to do

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        pid = self._pid_of(run)
        if pid is None or _alive(pid):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        current = self._instance.get_run_by_id(run.run_id)
        if current is not None and current.is_finished:
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"its process {pid} was killed; the next tick or refill goes on"
        )

    def _pid_of(self, run: DagsterRun) -> int | None:
        records = self._instance.get_records_for_run(run.run_id, of_type=DagsterEventType.ENGINE_EVENT).records
        for record in records:
            event = record.event_log_entry.dagster_event
            if found := STARTED.search((event.message if event else None) or ""):
                return int(found.group(1))
        return None  # not of ours: a run of the command line, which ``bury_dead_runs`` looks after


def _alive(pid: int) -> bool:
    """A process of ours under this number, not a stranger that got it later, nor one that only waits to be buried."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, IndexError):
        return False
    return state != "Z" and b"python" in command
