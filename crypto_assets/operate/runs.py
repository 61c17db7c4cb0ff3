"""One Dagster run over a range of days in this process, and cleaning up runs whose process died."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date

import dagster as dg
from dagster import AssetKey, DagsterInstance, DagsterRunStatus, RunsFilter

from crypto_assets.assets.failures import sentence
from crypto_assets.assets.providers import ABSENT_DAYS
from crypto_assets.assets.run_tags import reason_tags
from crypto_assets.assets.shell import COINS_TAG, failed_coins_of
from crypto_assets.automation.schedules import UNPARTITIONED
from crypto_assets.checks.shells import RANGE, table_of_checks
from crypto_assets.dagster_internals.core import JobFailureData, SerializableErrorInfo, StepFailureData
from crypto_assets.operate import graph
from crypto_assets.runtime import alive

StepListener = Callable[[str, bool], None]  # name of a step; whether it ended

PROCESS_TAG = "crypto_assets/process"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: the sentence of each failed step, by table; for a step that fills none, by its name."""

    run_id: str
    success: bool
    failures: dict[str, str] = field(default_factory=dict)
    absent: dict[str, list[date]] = field(default_factory=dict)  # table -> days for which a provider had nothing
    materialized: frozenset[str] = frozenset()
    failed_coins: dict[str, dict[str, str]] = field(default_factory=dict)  # table -> coin -> why its rows are not there
    broken_checks: dict[str, str] = field(
        default_factory=dict
    )  # table -> which of its checks could not be made, and why

    @property
    def stored(self) -> bool:
        """Whether every table was written: the run succeeded, or only checks failed to run."""
        return self.success or (bool(self.broken_checks) and not self.failures)


def execute(
    instance: DagsterInstance,
    tables: Sequence[str],
    start: date,
    end: date,
    coins: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    step: StepListener = lambda *_: None,
) -> RunOutcome:
    """Materialise tables for a range of days in one run. A failing step fails alone; its dependants are skipped.

    Args:
        instance: Where the run is recorded.
        tables: What to materialise.
        start: The first day.
        end: The last day, included.
        coins: Only these coins; empty: all.
        tags: Why the run started; without them the run says that Python code asked for it.
        step: Called with the name of each step as it begins and as it ends, and whether it ends.

    Returns:
        How the run ended.
    """
    tags = {
        RANGE[0]: start.isoformat(),
        RANGE[1]: end.isoformat(),
        **({COINS_TAG: ",".join(coins)} if coins else {}),
        **(tags or reason_tags("call: Python code asked for it")),
    }
    return _outcome(_execute(instance, tables, tags, step=step), tables)


def execute_unpartitioned(instance: DagsterInstance, tags: Mapping[str, str]) -> RunOutcome:
    """Materialise every unpartitioned asset in one run, and make the checks of all unpartitioned tables.

    They show the present.
    """
    return _outcome(_execute(instance, UNPARTITIONED, tags, graph.unpartitioned_checks()), UNPARTITIONED)


def _outcome(result: dg.ExecuteInProcessResult, tables: Sequence[str]) -> RunOutcome:
    """How the run ended, from its events. Raises :class:`KeyboardInterrupt` if it was interrupted."""
    if not result.success and any(_was_interrupted(event) for event in result.all_events):
        raise KeyboardInterrupt  # between two steps; Dagster has ended the run
    failures: dict[str, str] = {}
    absent: dict[str, list[date]] = {}
    failed_coins: dict[str, dict[str, str]] = {}
    broken: dict[str, str] = {}
    done = set()
    for event in result.all_events:
        if event.is_step_failure:
            if _interrupted(event.step_failure_data.error):
                raise KeyboardInterrupt  # Dagster has ended the run, and the next chunk must not begin
            step = str(event.step_key)
            said, days_absent = _failure(event.step_failure_data)
            if (checked := table_of_checks(step)) is not None:
                broken[checked] = said
            elif filled := [table for table in graph.tables_of_step(step) if table in tables]:
                failures |= dict.fromkeys(filled, said)
                absent |= {table: list(days_absent) for table in filled}
            else:
                failures[f"step {step}"] = said
        elif event.is_step_materialization and event.asset_key is not None:
            table = event.asset_key.to_user_string()
            done.add(table)
            if found := failed_coins_of(event.materialization.metadata):
                failed_coins[table] = found
    if not result.success and not failures and not broken:
        why = next((_run_failure(event) for event in result.all_events if event.is_run_failure), None)
        failures["run"] = (
            f"run {result.run_id} failed and none of its steps did ({why or 'no reason given'}); see it in the UI"
        )
    return RunOutcome(result.run_id, result.success, failures, absent, frozenset(done), failed_coins, broken)


def _execute(
    instance: DagsterInstance,
    tables: Sequence[str],
    tags: Mapping[str, str],
    checks: AbstractSet[dg.AssetCheckKey] | None = None,
    step: StepListener = lambda *_: None,
) -> dg.ExecuteInProcessResult:
    """Run these tables, with all of their checks or with these alone."""
    run_id, one_at_a_time = str(uuid.uuid4()), threading.Lock()  # steps that ask providers report from threads

    def heard(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None or event.step_key is None:
            return
        with one_at_a_time:
            if event.is_step_start:
                step(event.step_key, False)
            elif event.is_step_success or event.is_step_failure:
                step(event.step_key, True)

    instance.add_event_listener(run_id, heard)
    job, keys = graph.job(), [AssetKey(table) for table in tables]
    if checks is not None:
        job = job.get_subset(asset_selection={*keys}, asset_check_selection={*checks})
    return job.execute_in_process(
        instance=instance,
        run_id=run_id,
        run_config=_QUIET,
        tags={PROCESS_TAG: _process(), **tags},
        raise_on_error=False,
        asset_selection=keys if checks is None else None,  # the run bears it: the UI's list of runs shows it as target
    )


def _was_interrupted(event: dg.DagsterEvent) -> bool:
    data = event.event_specific_data
    return isinstance(data, JobFailureData) and _interrupted(data.error)


def _run_failure(event: dg.DagsterEvent) -> str | None:
    """Return why a run without a failed step ended: its own error, or the message of the event."""
    data = event.event_specific_data
    error = data.error if isinstance(data, JobFailureData) else None
    return sentence(error) or (" ".join(event.message.split()) if event.message else None)


def _failure(data: StepFailureData) -> tuple[str, list[date]]:
    """Return the sentence of a failed step, and the days for which its provider had nothing."""
    if data.user_failure_data is None:
        return sentence(data.error) or "failed without an error; see the run in the UI", []
    note = data.user_failure_data.metadata.get(ABSENT_DAYS)
    listed = note.value if note is not None and isinstance(note.value, list) else []
    return str(data.user_failure_data.description), [date.fromisoformat(str(day)) for day in listed]


def _interrupted(error: SerializableErrorInfo | None) -> bool:
    while error is not None and error.cls_name != "DagsterExecutionInterruptedError":
        error = error.cause
    return error is not None


def _process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{alive.started(os.getpid())}"


def fail_dead_runs(instance: DagsterInstance) -> int:
    """Mark runs of this host as failed if their command-line process is gone; return how many."""
    buried = 0
    unfinished = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
    for run in instance.get_runs(RunsFilter(statuses=unfinished)):
        host, _, rest = run.tags.get(PROCESS_TAG, "").partition(":")
        pid, _, started = rest.partition(":")
        if host == socket.gethostname() and pid.isdigit() and alive.started(int(pid)) != started:
            instance.report_run_failed(run, "the process that ran it was killed; run the same command again")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            buried += 1
    return buried


def partitions_def() -> dg.PartitionsDefinition:
    """Return the daily calendar of all partitioned tables."""
    from crypto_assets.assets.shell import DAILY

    return DAILY
