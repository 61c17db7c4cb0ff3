"""The state that the planner reads from Dagster: states of days, runs under way, earlier attempts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from dagster import DagsterInstance, DagsterRun, EventLogRecord, RunsFilter

from crypto_assets.assets.partition_states import states_of
from crypto_assets.assets.run_tags import REPAIR
from crypto_assets.assets.shell import failed_coins_of
from crypto_assets.automation.planner.rules import Rules
from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.wanted_days import UnderWay
from crypto_assets.automation.schedules import UNFINISHED
from crypto_assets.automation.staleness import newest_records
from crypto_assets.checks.shells import PARTITION, RANGE
from crypto_assets.dates import runs_of

GIVEN_UP_AFTER = timedelta(hours=12)  # an older unfinished run is dead, because dagster.yaml ends runs after this time


@dataclass(frozen=True)
class TableDays:
    """The state of the days of one table.

    Attributes:
        states: Day -> MATERIALIZED, FAILED or IN_PROGRESS; days that were never requested are absent.
        written: Day -> epoch seconds of its newest materialisation.
        lacking: Day -> coins whose rows are missing because their fetch failed.
    """

    states: Mapping[date, str] = field(default_factory=dict)
    written: Mapping[date, float] = field(default_factory=dict)
    lacking: Mapping[date, tuple[str, ...]] = field(default_factory=dict)


def table_days(instance: DagsterInstance, table: str, first: date, last: date, window: Collection[date]) -> TableDays:
    """Read the state of the days of a table.

    Args:
        instance: Has the runs.
        table: The table.
        first: First day of the states, included.
        last: Last day of the states, included.
        window: Days for which ``written`` and ``lacking`` are read as well.

    Returns:
        The state.
    """
    records = newest_records(instance, table, min(window), max(window)) if window else {}
    written = {day: record.timestamp for day, record in records.items()}
    return TableDays(states_of(instance, table, first, last), written, _lacking(records))


def lacking_coins(
    instance: DagsterInstance, table: str, first: date, last: date
) -> list[tuple[tuple[str, ...], date, date]]:
    """Return (coins, first day, last day) of materialised days that lack the rows of coins whose fetch failed."""
    by_coins: dict[tuple[str, ...], list[date]] = {}
    for day, coins in _lacking(newest_records(instance, table, first, last)).items():
        by_coins.setdefault(coins, []).append(day)
    return [(coins, *span) for coins, found in by_coins.items() for span in runs_of(found)]


def _lacking(records: Mapping[date, EventLogRecord]) -> dict[date, tuple[str, ...]]:
    noted = {
        day: failed_coins_of(materialization.metadata)
        for day, record in records.items()
        if (materialization := record.asset_materialization) is not None
    }
    return {day: tuple(sorted(coins)) for day, coins in noted.items() if coins}


def under_way(instance: DagsterInstance, specs: Specs, now: datetime) -> UnderWay:
    """Find what the unfinished runs will materialise. All reasons use this rule.

    A run counts if it is not older than ``GIVEN_UP_AFTER``, for the tables of its selection (else of its plan) and the days
    of its tags. A run with unknown tables counts for every table, and a run without days for every day. A run that
    materialises no table (checks, an observation, retention) does not count.

    Args:
        instance: Has the runs.
        specs: The tables.
        now: The instant, UTC.

    Returns:
        What is under way.
    """
    every = frozenset({*specs.kept_up, *specs.look_back})
    found = []
    for run in instance.get_runs(RunsFilter(statuses=UNFINISHED, created_after=now - GIVEN_UP_AFTER)):
        tables = tables_of_run(instance, run)
        if tables is None or tables & every:
            first, last = days_of_run(run) or (date.min, date.max)
            found.append((every if tables is None else frozenset(tables), first, last))
    return UnderWay(tuple(found))


def tables_of_run(instance: DagsterInstance, run: DagsterRun) -> set[str] | None:
    """Return the tables that a run materialises: of its selection, else of its plan; None where both are unknown."""
    if run.asset_selection:
        return {key.to_user_string() for key in run.asset_selection}
    if run.execution_plan_snapshot_id is None:
        return None
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    chosen = set(plan.step_keys_to_execute)
    return {
        output.properties.asset_key.to_user_string()
        for step in plan.steps
        if step.key in chosen
        for output in step.outputs
        if output.properties is not None and output.properties.asset_key is not None
    }


def days_of_run(run: DagsterRun) -> tuple[date, date] | None:
    """Return the first and last day in the tags of a run; None where it has no days."""
    if RANGE[0] in run.tags:
        return date.fromisoformat(run.tags[RANGE[0]]), date.fromisoformat(run.tags[RANGE[1]])
    day = run.tags.get(PARTITION)
    return (date.fromisoformat(day), date.fromisoformat(day)) if day else None


def attempts(instance: DagsterInstance, digest: str, since: datetime | None = None) -> list[datetime]:
    """Return when runs with this digest were requested, oldest first. All reasons count attempts here.

    Args:
        instance: Has the runs.
        digest: The hash of what is repaired.
        since: Older attempts are not read; None: all are. Repairs that always fail collect attempts over years.

    Returns:
        The instants, UTC.
    """
    records = instance.get_run_records(RunsFilter(tags={REPAIR: digest}, created_after=since))
    return sorted(record.create_timestamp for record in records)


def still_running(instance: DagsterInstance, rules: Rules, now: datetime) -> str | None:
    """Return the id of an unfinished run that an earlier tick of these rules requested; None where there is none."""
    since = now - GIVEN_UP_AFTER
    if rules.job is not None:
        chosen = RunsFilter(job_name=rules.job, statuses=UNFINISHED, created_after=since)
    else:
        chosen = RunsFilter(tags={str(rules.tag): "true"}, statuses=UNFINISHED, created_after=since)
    return next((run.run_id for run in instance.get_runs(chosen, limit=1)), None)
