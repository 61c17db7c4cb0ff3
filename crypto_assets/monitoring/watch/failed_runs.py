"""Runs that failed, by the tables of the failed step.

An incident is over when none of its partitions is failed any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

from dagster import (
    AssetCheckKey,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRecord,
    RunsFilter,
)

from crypto_assets.assets.failures import sentence
from crypto_assets.assets.partition_states import states_of, steps_of_run
from crypto_assets.checks.shells import PARTITION, RANGE, broken_checks_of, table_of_checks
from crypto_assets.checks.state import PRESENT_ONLY
from crypto_assets.dagster_internals.core import WILL_RETRY_TAG, StepFailureData
from crypto_assets.dates import DAY, days
from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.watch.watcher import Observed, WatchContext, Watcher

RUNS_A_TICK = 100
# A run's end is dated by the clock of its machine, which may be minutes behind ours; a run seen twice changes nothing.
OVERLAP = timedelta(minutes=15)
FIRST_LOOK = timedelta(days=1)
RETRY_GRACE = timedelta(minutes=10)
STEPS_A_PAGE = 100

Facts = Mapping[str, Any]  # what failed: tables, or a table and its checks


def failed_runs(context: WatchContext) -> Observed:
    """Observe the runs that failed since the cursor, and the incidents that are still open.

    Args:
        context: The instance, the tables of each step, the open incidents, the cursor.

    Returns:
        The sightings, by table (or by step, checks of a table, or job), and the next cursor.
    """
    instance, open_now, now = context.instance, context.open_now, context.now
    since, seen = _remembered(context.cursor, now)
    records, waiting = _unseen(instance, since, seen, now)
    facts = {subject: dict(incident.facts) for subject, incident in open_now.items()}
    said = {subject: (incident.what, incident.since) for subject, incident in open_now.items()}
    for record in records:
        run = record.dagster_run
        ended, updated = _ended(record), record.update_timestamp.replace(tzinfo=timezone.utc)
        seen[run.run_id] = updated
        since = min(max(since, updated), now)  # a machine whose clock is ahead does not hide what fails next
        for subject, more, why in _failures(instance, run, context.tables_of_steps):
            facts[subject] = _joined(facts.get(subject), run, more, ended)
            said[subject] = (f"{why} (run {run.run_id[:8]})", said.get(subject, ("", ended))[1])
    sightings = []
    for subject, (what, began) in said.items():
        in_trouble, why_over = _state(instance, facts[subject], now)
        if in_trouble is not None:
            trouble = what if in_trouble else None
            sightings.append(Sighting(subject, trouble, began, facts=facts[subject], why_over=why_over))
    since = min([since, *waiting])
    kept = {run: at.isoformat() for run, at in seen.items() if at > since - 2 * OVERLAP}
    return sightings, json.dumps({"since": since.isoformat(), "seen": kept})


def _remembered(cursor: str | None, now: datetime) -> tuple[datetime, dict[str, datetime]]:
    """Return until when runs were observed, and the observed runs of the overlap: run id -> when it was updated."""
    if not cursor:
        return now - FIRST_LOOK, {}
    if not cursor.startswith("{"):  # the format of earlier versions
        return datetime.fromisoformat(cursor), {}
    known = json.loads(cursor)
    return datetime.fromisoformat(known["since"]), {r: datetime.fromisoformat(at) for r, at in known["seen"].items()}


def _unseen(
    instance: DagsterInstance, since: datetime, seen: Mapping[str, datetime], now: datetime
) -> tuple[list[RunRecord], list[datetime]]:
    """Return the failed runs that were not observed yet, oldest first, and when those awaiting a retry were updated.

    It returns as many as one tick can handle. However many fail within the overlap, the next tick goes on after them.
    """
    limit = RUNS_A_TICK + len(seen)
    while True:
        records = instance.get_run_records(
            RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=since - OVERLAP),
            limit=limit,
            order_by="update_timestamp",
            ascending=True,
        )
        fresh: list[RunRecord] = []
        waiting: list[datetime] = []
        for record in records:
            if record.dagster_run.run_id in seen:
                continue
            if record.dagster_run.tags.get(WILL_RETRY_TAG) == "true" and now - _ended(record) < RETRY_GRACE:
                # They are observed again, because an announced retry does not always come.
                waiting.append(record.update_timestamp.replace(tzinfo=timezone.utc))
            else:
                fresh.append(record)
        if len(fresh) >= RUNS_A_TICK or len(records) < limit:
            return fresh[:RUNS_A_TICK], waiting
        limit *= 2


def _ended(record: RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), timezone.utc)


def _failures(
    instance: DagsterInstance, run: DagsterRun, steps: Mapping[str, Sequence[str]]
) -> Iterable[tuple[str, Facts, str]]:
    """Return (subject, its tables or checks, sentence) of each failed step.

    If no step failed, the run was killed. Then the subject is its job.
    """
    failed = list(_step_failures(instance, run))
    for event in failed:
        step = str(event.step_key)
        tables, checked = list(steps.get(step, ())), table_of_checks(step)
        for table in tables:
            yield table, {"tables": [table]}, _said(event.step_failure_data)
        if checked is not None:
            broken = _broken(event.step_failure_data)
            yield f"checks of {checked}", {"checked": checked, "checks": broken}, _said(event.step_failure_data)
        elif not tables:
            yield f"step {step}", {}, _said(event.step_failure_data)
    if not failed:
        known = {key.to_user_string() for key in run.asset_selection or ()} or {
            table for step in steps_of_run(instance, run) or () for table in steps.get(step, ())
        }
        why = "the run ended before or between its steps: killed, or it could not start"
        yield f"job {run.job_name}", {"tables": sorted(known)}, why


def _step_failures(instance: DagsterInstance, run: DagsterRun) -> Iterable[DagsterEvent]:
    """Return the failure of every step, however many there are."""
    cursor = None
    while True:
        page = instance.get_records_for_run(
            run.run_id, cursor=cursor, of_type=DagsterEventType.STEP_FAILURE, limit=STEPS_A_PAGE
        )
        for record in page.records:
            yield record.event_log_entry.get_dagster_event()
        if not page.has_more:
            return
        cursor = page.cursor


def _broken(data: StepFailureData) -> list[str]:
    return [] if data.user_failure_data is None else broken_checks_of(data.user_failure_data.metadata)


def _said(data: StepFailureData) -> str:
    if data.user_failure_data is not None:
        return str(data.user_failure_data.description)
    return sentence(data.error) or "failed without an error"


def _joined(known: dict[str, Any] | None, run: DagsterRun, more: Facts, ended: datetime) -> dict[str, Any]:
    """Return the tables, checks and days of all failures of the same incident. All of them must be repaired."""
    known = known or {}
    spans = [(date.fromisoformat(first), date.fromisoformat(last)) for first, last in known.get("ranges", ())]
    if (span := range_of(run.tags)) is not None:
        spans.append(span)
    found = {
        "tables": sorted({*known.get("tables", ()), *more.get("tables", ())}),
        "ranges": [[first.isoformat(), last.isoformat()] for first, last in _merged(spans)],
        "job": run.job_name,
        "failed_at": ended.isoformat(),
    }
    if "checked" in more:
        found |= {"checked": more["checked"], "checks": sorted({*known.get("checks", ()), *more["checks"]})}
    return found


def _merged(spans: Iterable[tuple[date, date]]) -> list[tuple[date, date]]:
    """Return the same days as the smallest number of ranges."""
    found: list[tuple[date, date]] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + DAY:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def range_of(tags: Mapping[str, str]) -> tuple[date, date] | None:
    """Return the days that a run's tags name, or None."""
    if RANGE[0] in tags:
        return date.fromisoformat(tags[RANGE[0]]), date.fromisoformat(tags[RANGE[1]])
    if PARTITION in tags:
        return date.fromisoformat(tags[PARTITION]), date.fromisoformat(tags[PARTITION])
    return None


def _state(instance: DagsterInstance, facts: Mapping[str, Any], now: datetime) -> tuple[bool | None, str | None]:
    """Return (state of an incident, reason). True: still failed; False: over; None: unknown.

    The reason is given where the incident is over without a repair.
    """
    if "checked" in facts:
        return _not_checked_since(instance, facts), None
    wanted = {
        day
        for first, last in facts.get("ranges", ())
        for day in days(date.fromisoformat(first), date.fromisoformat(last))
    }
    if not wanted or not facts["tables"]:
        return _not_run_since(instance, facts), None
    running, gone = False, []
    for table in facts["tables"]:
        states = {
            day: known for day, known in states_of(instance, table, min(wanted), max(wanted)).items() if day in wanted
        }
        past = {day for day in wanted if table in PRESENT_ONLY and day < now.date()}
        if any(known == "FAILED" for day, known in states.items() if day not in past):
            return True, None
        running |= "IN_PROGRESS" in states.values()
        gone += [table] if past else []
    why = f"{' and '.join(gone)} show the present only: a day that is over cannot be fetched any more" if gone else None
    return (None, None) if running else (False, why)


def _not_checked_since(instance: DagsterInstance, facts: Mapping[str, Any]) -> bool:
    """Return whether one of the broken checks was not made again since it failed."""
    failed_at = datetime.fromisoformat(facts["failed_at"]).timestamp()
    keys = [AssetCheckKey(AssetKey(facts["checked"]), name) for name in facts["checks"]]
    made = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    newest = [made.get(key) for key in keys]
    return any(
        record is None or record.event is None or record.evaluation is None or record.event.timestamp <= failed_at
        for record in newest
    )


def _not_run_since(instance: DagsterInstance, facts: Mapping[str, Any]) -> bool:
    """Return whether nothing has succeeded since the failure; for a table or job without partitions."""
    failed_at = datetime.fromisoformat(facts["failed_at"])
    for table in facts["tables"]:
        newest = instance.get_latest_materialization_event(AssetKey(table))
        if newest is None or newest.timestamp <= failed_at.timestamp():
            return True
    if facts["tables"]:
        return False
    later = RunsFilter(job_name=facts["job"], statuses=[DagsterRunStatus.SUCCESS], updated_after=failed_at)
    return not instance.get_runs(later, limit=1)


WATCHER = Watcher(
    "run_failure",
    30,
    "Runs that failed, by table. An incident is over when none of their partitions is failed any more.",
    failed_runs,
)
