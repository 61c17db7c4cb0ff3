"""What is observed before anything is planned: how days stand, what runs are under way, what was tried."""

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

GIVEN_UP_AFTER = timedelta(hours=12)  # an unfinished run older than this is dead: dagster.yaml ends runs after as long


@dataclass(frozen=True)
class TableDays:
    """How the days of one table stand.

    Attributes:
        states: Day to MATERIALIZED, FAILED or IN_PROGRESS; days that were never asked for are absent.
        written: Day to the instant (epoch seconds) of its newest materialisation.
        lacking: Day to the coins whose rows it lacks because their fetch failed.
    """

    states: Mapping[date, str] = field(default_factory=dict)
    written: Mapping[date, float] = field(default_factory=dict)
    lacking: Mapping[date, tuple[str, ...]] = field(default_factory=dict)


def table_days(instance: DagsterInstance, table: str, first: date, last: date, window: Collection[date]) -> TableDays:
    """The states of first..last; what was written and what lacks coins in the window only."""
    records = newest_records(instance, table, min(window), max(window)) if window else {}
    written = {day: record.timestamp for day, record in records.items()}
    return TableDays(states_of(instance, table, first, last), written, _lacking(records))


def lacking_coins(
    instance: DagsterInstance, table: str, first: date, last: date
) -> list[tuple[tuple[str, ...], date, date]]:
    """(coins, first day, last day) of materialised partitions that lack the rows of coins that failed."""
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
    """What the runs that have not ended will materialise. The one rule of what is under way, for every reason.

    A run counts if it is not older than ``GIVEN_UP_AFTER``, for the tables of its selection (of its plan, where it
    selects none) and the days of its tags. A run whose tables nobody can tell counts for every table; one without days
    for every day; one that materialises no table (checks, an observation, a tidying) not at all.
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
    """The tables that a run materialises: of its selection, else of its plan. None where nobody can say."""
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
    """First and last day that the tags of a run name; None where they name none."""
    if RANGE[0] in run.tags:
        return date.fromisoformat(run.tags[RANGE[0]]), date.fromisoformat(run.tags[RANGE[1]])
    day = run.tags.get(PARTITION)
    return (date.fromisoformat(day), date.fromisoformat(day)) if day else None


def attempts(instance: DagsterInstance, digest: str, since: datetime | None = None) -> list[datetime]:
    """When runs that repair the same thing were asked for since then, oldest first. The one counter, for every reason.

    What cannot heal is tried for years, so a reason whose old attempts do not count does not read them.
    """
    records = instance.get_run_records(RunsFilter(tags={REPAIR: digest}, created_after=since))
    return sorted(record.create_timestamp for record in records)


def still_running(instance: DagsterInstance, rules: Rules, now: datetime) -> str | None:
    """The id of a run that an earlier tick of these rules asked for and that has not ended; it goes first."""
    since = now - GIVEN_UP_AFTER
    if rules.job is not None:
        chosen = RunsFilter(job_name=rules.job, statuses=UNFINISHED, created_after=since)
    else:
        chosen = RunsFilter(tags={str(rules.tag): "true"}, statuses=UNFINISHED, created_after=since)
    return next((run.run_id for run in instance.get_runs(chosen, limit=1)), None)
