"""Runs that failed, by the tables whose step failed; over when none of the partitions they left is failed any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

from dagster import AssetKey, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.storage.tags import WILL_RETRY_TAG

from crypto_assets.alerts.incidents import Incident, Sighting
from crypto_assets.assets.states import states_of
from crypto_assets.checks.shells import PARTITION, RANGE
from crypto_assets.partitions import days
from crypto_assets.upkeep.failures import sentence

RUNS_A_TICK = 100
OVERLAP = timedelta(minutes=2)  # clocks of two machines; a run seen twice changes nothing
FIRST_LOOK = timedelta(days=1)
RETRY_GRACE = timedelta(minutes=10)
RANGES_KEPT = 50  # of one incident; the standing check on failed partitions knows the rest


def failed_runs(
    instance: DagsterInstance,
    steps: Mapping[str, Sequence[str]],
    open_now: Mapping[str, Incident],
    cursor: str | None,
    now: datetime,
) -> tuple[list[Sighting], str]:
    """Sightings of failed runs since the cursor and of incidents still open; ``steps`` gives the tables of a step."""
    since = datetime.fromisoformat(cursor) if cursor else now - FIRST_LOOK
    records = instance.get_run_records(
        RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=since - OVERLAP),
        limit=RUNS_A_TICK,
        order_by="update_timestamp",
        ascending=True,
    )
    facts = {subject: dict(incident.facts) for subject, incident in open_now.items()}
    said = {subject: (incident.what, incident.since) for subject, incident in open_now.items()}
    waiting: list[datetime] = []
    for record in records:
        run = record.dagster_run
        ended = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), timezone.utc)
        updated = record.update_timestamp.replace(tzinfo=timezone.utc)
        if run.tags.get(WILL_RETRY_TAG) == "true" and now - ended < RETRY_GRACE:
            waiting.append(updated)  # looked at again: a retry that was announced does not always come
            continue
        since = max(since, updated)
        for subject, tables, why in _failures(instance, run, steps):
            facts[subject] = _joined(facts.get(subject), run, tables, ended)
            said[subject] = (f"{why} (run {run.run_id[:8]})", said.get(subject, ("", ended))[1])
    sightings = []
    for subject, (what, began) in said.items():
        state = _state(instance, facts[subject])
        if state is not None:
            sightings.append(Sighting(subject, what if state else None, began, facts=facts[subject]))
    return sightings, min([since, *waiting]).isoformat()


def _failures(
    instance: DagsterInstance, run: DagsterRun, steps: Mapping[str, Sequence[str]]
) -> Iterable[tuple[str, list[str], str]]:
    """(subject, tables, sentence) of each step that failed, or of the run where none did: it was killed."""
    records = instance.get_records_for_run(run.run_id, of_type=DagsterEventType.STEP_FAILURE, limit=20).records
    for record in records:
        event = record.event_log_entry.get_dagster_event()
        step = str(event.step_key)
        tables = list(steps.get(step, ()))
        for table in tables:
            yield table, [table], _said(event.step_failure_data)
        if not tables:
            yield f"step {step}", [], _said(event.step_failure_data)
    if not records:
        tables = sorted(key.to_user_string() for key in run.asset_selection or ())
        yield f"job {run.job_name}", tables, "the run ended before or between its steps: killed, or it could not start"


def _said(data: StepFailureData) -> str:
    if data.user_failure_data is not None:
        return str(data.user_failure_data.description)
    return sentence(data.error) or "failed without an error"


def _joined(known: dict[str, Any] | None, run: DagsterRun, tables: list[str], ended: datetime) -> dict[str, Any]:
    """What must be well again: the tables and days of this failure and of those before it in the same incident."""
    known = known or {}
    spans = [tuple(span) for span in known.get("ranges", ())]
    if (span := range_of(run.tags)) is not None:
        spans.append((span[0].isoformat(), span[1].isoformat()))
    return {
        "tables": sorted({*known.get("tables", ()), *tables}),
        "ranges": [list(span) for span in sorted(set(spans))][-RANGES_KEPT:],
        "job": run.job_name,
        "failed_at": ended.isoformat(),
    }


def range_of(tags: Mapping[str, str]) -> tuple[date, date] | None:
    """The days that a run's tags name, or None."""
    if RANGE[0] in tags:
        return date.fromisoformat(tags[RANGE[0]]), date.fromisoformat(tags[RANGE[1]])
    if PARTITION in tags:
        return date.fromisoformat(tags[PARTITION]), date.fromisoformat(tags[PARTITION])
    return None


def _state(instance: DagsterInstance, facts: Mapping[str, Any]) -> bool | None:
    """True: still in trouble. False: over. None: being mended, nobody can say yet."""
    wanted = {
        day
        for first, last in facts.get("ranges", ())
        for day in days(date.fromisoformat(first), date.fromisoformat(last))
    }
    if not wanted or not facts["tables"]:
        return _not_run_since(instance, facts)
    running = False
    for table in facts["tables"]:
        known = states_of(instance, table, min(wanted), max(wanted))
        states = {state for day, state in known.items() if day in wanted}
        if "FAILED" in states:
            return True
        running |= "IN_PROGRESS" in states
    return None if running else False


def _not_run_since(instance: DagsterInstance, facts: Mapping[str, Any]) -> bool:
    """Without partitions: has nothing of it succeeded since it failed?"""
    failed_at = datetime.fromisoformat(facts["failed_at"])
    for table in facts["tables"]:
        newest = instance.get_latest_materialization_event(AssetKey(table))
        if newest is None or newest.timestamp <= failed_at.timestamp():
            return True
    if facts["tables"]:
        return False
    later = RunsFilter(job_name=facts["job"], statuses=[DagsterRunStatus.SUCCESS], updated_after=failed_at)
    return not instance.get_runs(later, limit=1)
