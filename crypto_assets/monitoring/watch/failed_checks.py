"""Checks that failed. An incident is over when the same days, or more, pass the check."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    DagsterInstance,
    EventLogRecord,
    RunsFilter,
)

from crypto_assets.checks.shells import RECENT
from crypto_assets.dagster_internals.core import reports_of_ranges
from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.watch.failed_runs import range_of
from crypto_assets.monitoring.watch.watcher import Observed, WatchContext, Watcher

EVALUATIONS_A_TICK = 500
# A warning about old days is a finding of a backfill, not an incident of the service. An error always is an incident.
WARNINGS_MATTER = timedelta(days=3)
OWN_KIND = {
    "nothing_failed": "run_failure",
    "no_failed_partitions": "run_failure",
    "budget_projection": "budget",
    "analysis_health": "llm_down",
    "slo_met": "slo_burn",
    "slots_observed": "slo_burn",
}  # the others are check_failure

# These may warn about a permanent state. Their incidents are over when the days are old, because people know it by then.
PASS_WITH_TIME = ("set_aside",)

Span = tuple[date, date]


def failed_checks(context: WatchContext) -> Observed:
    """Observe the check evaluations since the cursor, oldest first.

    Args:
        context: The instance, the open incidents, the cursor (a storage id).

    Returns:
        The sightings, by ``table.check``, and the next cursor.
    """
    instance, now = context.instance, context.now
    records = _new(instance, context.cursor)
    if not records:
        return [], context.cursor
    runs = {r.event_log_entry.run_id for r in records}
    tags = {run.run_id: run.tags for run in instance.get_runs(RunsFilter(run_ids=sorted(runs)))}
    trouble: dict[str, Span] = {subject: _span(incident.facts) for subject, incident in context.open_now.items()}
    sightings = []
    for record in records:
        found = record.event_log_entry.get_dagster_event().event_specific_data
        if not isinstance(found, AssetCheckEvaluation) or found.check_name in OWN_KIND:
            continue
        if found.check_name == "fresh" and not found.passed and not _coins_stay_behind(found):
            continue  # a late table is an incident of the kind staleness; a table that is not kept up to date is none
        span = _looked_at(found) or range_of(tags.get(record.event_log_entry.run_id, {})) or _recent(now)
        at = datetime.fromtimestamp(record.event_log_entry.timestamp, timezone.utc)
        sighting = _judged(found, span, trouble, at, now)
        if sighting is not None:
            sightings.append(sighting)
    return sightings, str(records[-1].storage_id)


def _new(instance: DagsterInstance, cursor: str | None) -> list[EventLogRecord]:
    """Return the evaluations after the cursor in order; without a cursor the newest, to find what is failing now.

    Reports of single days are left out: the evaluation of their run's range says which of its days failed.
    """
    return reports_of_ranges(instance, cursor, EVALUATIONS_A_TICK)


def _judged(
    found: AssetCheckEvaluation, span: Span, trouble: dict[str, Span], at: datetime, now: datetime
) -> Sighting | None:
    subject = f"{found.asset_key.to_user_string()}.{found.check_name}"
    bad = trouble.get(subject)
    long_past = (now - WARNINGS_MATTER).date()
    ends = found.check_name in PASS_WITH_TIME and (found.passed or span[1] < long_past)
    if ends and bad is not None and bad[1] < long_past:
        del trouble[subject]
        return Sighting(subject, None)
    if not found.passed:
        if found.severity == AssetCheckSeverity.WARN and span[1] < long_past:
            return None
        trouble[subject] = span
        days = f"{span[0]}" if span[0] == span[1] else f"{span[0]} to {span[1]}"
        text = f"{found.severity.value}: {found.description or 'no description'} ({days})"
        return Sighting(subject, text, at, facts={"days": [span[0].isoformat(), span[1].isoformat()]})
    if bad is None or not (span[0] <= bad[1] <= span[1] and span[1] - span[0] >= bad[1] - bad[0]):
        return None  # other days passed, which says nothing about the days that failed
    del trouble[subject]
    return Sighting(subject, None)


def _coins_stay_behind(found: AssetCheckEvaluation) -> bool:
    behind = found.metadata.get("coins_behind")
    return found.severity == AssetCheckSeverity.WARN and behind is not None and bool(behind.value)


def _looked_at(found: AssetCheckEvaluation) -> Span | None:
    """Return the days of a check that covers more than the days of its run."""
    ends = [found.metadata.get(name) for name in ("first_day", "last_day")]
    first, last = (date.fromisoformat(str(end.value)) if end is not None else None for end in ends)
    return None if first is None or last is None else (first, last)


def _span(facts: Mapping[str, Any]) -> Span:
    first, last = facts["days"]
    return date.fromisoformat(first), date.fromisoformat(last)


def _recent(now: datetime) -> Span:
    """Return the days of a check that was started without days (``checks/shells.py``)."""
    yesterday = now.date() - timedelta(days=1)
    return yesterday - RECENT, yesterday


WATCHER = Watcher(
    "check_failure",
    60,
    "Checks that failed. An incident is over when the same days, or more, pass.",
    failed_checks,
)
