"""Refills: days that are missing, failed, unsettled or incomplete are asked for again, a few ranges at a time.

Ticks may be missed: the machine slept, a provider was down, a run was killed. Nothing is repeated tick by tick: whoever
looks finds which days lack what, and one range fetches it. A day is settled once it was fetched later than its provider
had all of it (``automation.SETTLES_AFTER``). Derived days follow on the next look, when their inputs are there.

Bounded on purpose: gaps are looked for in the last ``WINDOW_DAYS`` only (a history never asked for is no gap), failed
days anywhere; ``RANGES_A_TICK`` a tick, and after ``ATTEMPTS`` in a day a range is left alone until tomorrow, so that
what cannot heal does not eat the provider's budget. It stays red in ``nothing_failed`` meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

import dagster as dg
from dagster import AssetKey, AssetSelection, DagsterInstance

from crypto_assets.assets.lineage import LOOK_BACK, REQUIRED_INPUTS
from crypto_assets.assets.partition_states import states_of
from crypto_assets.assets.shell import COINS_TAG, DAILY, SOURCE_CHUNK_DAYS, failed_coins_of, fitting_memory
from crypto_assets.automation.schedules import FRESHNESS, SETTLES_AFTER, waiting
from crypto_assets.automation.staleness import newest_records
from crypto_assets.checks.shells import RANGE
from crypto_assets.dates import DAY, chunks, days, midnight, runs_of
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse

WINDOW_DAYS = 7
RANGES_A_TICK = 4
ATTEMPTS, FIRST_PAUSE = 4, timedelta(minutes=15)  # a day; each pause is twice the one before
TAG = "crypto_assets/refill"  # run tag: what is asked for, so that attempts can be counted
Days = dict[str, set[date]]  # table -> days


@dataclass(frozen=True)
class Refill:
    """One run: these tables over the inclusive range, for these coins only if any are named."""

    tables: tuple[str, ...]
    first: date
    last: date
    coins: tuple[str, ...] = ()

    @property
    def signature(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def request(self) -> dg.RunRequest:
        tags = {RANGE[0]: self.first.isoformat(), RANGE[1]: self.last.isoformat(), TAG: self.signature}
        if self.coins:
            tags[COINS_TAG] = ",".join(self.coins)
        # Dagster refuses several requests of one tick without keys; with one it starts none twice when a tick is resumed.
        return dg.RunRequest(self.signature, asset_selection=[AssetKey(table) for table in self.tables], tags=tags)


def plan(instance: DagsterInstance, warehouse: Warehouse, now: datetime) -> list[Refill]:
    """Every range that should be asked for again now, newest first; closed days only: ticks fill the day in progress."""
    yesterday = now.date() - DAY
    window = [day for day in days(yesterday - DAY * (WINDOW_DAYS - 1), yesterday) if day >= _first_day()]
    if not window:
        return []
    states = {table: states_of(instance, table, _first_day(), yesterday) for table in FRESHNESS}
    wanted, partial = _from_providers(instance, warehouse, states, window, now)
    _derived(states, wanted, window)
    by_tables: dict[tuple[str, ...], list[date]] = {}
    for day in {day for found in wanted.values() for day in found}:
        by_tables.setdefault(tuple(t for t in FRESHNESS if day in wanted.get(t, ())), []).append(day)
    whole = [
        Refill(*part)
        for tables, found in by_tables.items()
        for span in runs_of(found)
        for chunk in chunks(*span, SOURCE_CHUNK_DAYS)
        for part in fitting_memory(tables, *chunk)
    ]
    return sorted([*whole, *partial], key=lambda refill: (refill.last, refill.tables), reverse=True)


def _first_day() -> date:
    return DAILY.start.date()


def _from_providers(
    instance: DagsterInstance,
    warehouse: Warehouse,
    states: dict[str, dict[date, str]],
    window: list[date],
    now: datetime,
) -> tuple[Days, list[Refill]]:
    """Days to fetch, by table; and ranges that lack only the coins for which the provider failed."""
    wanted: Days = {}
    partial: list[Refill] = []
    for table, state in states.items():
        failed = {day for day, status in state.items() if status == "FAILED"}
        if table in LOOK_BACK:
            continue
        if table not in SETTLES_AFTER:
            # The present only: a run of a day that is over asks nobody, keeps the rows of an earlier look, and says that
            # the provider no longer shows the day. It ends the failure, which nothing else could.
            wanted[table] = failed
            continue
        lag = SETTLES_AFTER[table]
        due = {day for day in window if midnight(day + DAY) + lag <= now}
        records = newest_records(instance, table, window[0], window[-1])
        settled = {day for day, found in records.items() if found.timestamp >= (midnight(day + DAY) + lag).timestamp()}
        running = {day for day, status in state.items() if status == "IN_PROGRESS"}
        wanted[table] = failed | (due - settled - running)
        partial += _lacking_coins(table, {day: found for day, found in records.items() if day not in wanted[table]})
    return wanted, partial


def _lacking_coins(table: str, records: dict[date, dg.EventLogRecord]) -> Iterable[Refill]:
    by_coins: dict[tuple[str, ...], list[date]] = {}
    for day, record in records.items():
        materialization = record.asset_materialization
        if materialization is not None and (coins := failed_coins_of(materialization.metadata)):
            by_coins.setdefault(tuple(sorted(coins)), []).append(day)
    return [Refill((table,), *span, coins) for coins, found in by_coins.items() for span in runs_of(found)]


def _derived(states: dict[str, dict[date, str]], wanted: Days, window: list[date]) -> None:
    """Add the derived days: failed, or missing although an input that gives them rows is there or on its way.

    Those that an input made stale are the duty of ``late_values.py``.
    """
    for table, givers in REQUIRED_INPUTS.items():
        there = {day for giver in givers for day, status in states[giver].items() if status == "MATERIALIZED"}
        coming = {day for giver in givers for day in wanted.get(giver, ())}
        failed = {day for day, status in states[table].items() if status == "FAILED"}
        missing = {day for day in window if day not in states[table]}
        wanted[table] = (failed | missing) & (there | coming)


def allowed(instance: DagsterInstance, refill: Refill, now: datetime) -> bool:
    """Whether this range may be tried (again): a few times a day, with growing pauses."""
    since = dg.RunsFilter(tags={TAG: refill.signature}, created_after=now - DAY)
    tried = [record.create_timestamp for record in instance.get_run_records(since)]
    if len(tried) >= ATTEMPTS:
        return False
    return not tried or now - max(tried) >= FIRST_PAUSE * 2 ** (len(tried) - 1)


refill_job = dg.define_asset_job(
    "refill",
    AssetSelection.all(),
    partitions_def=DAILY,
    tags={"dagster/priority": "-5"},  # ticks go first
    description="Ask again for days that are missing, failed, unsettled or incomplete.",
)


@dg.schedule(job=refill_job, cron_schedule="5,20,35,50 * * * *", execution_timezone="UTC")
def refill_gaps(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    """Between the ticks. Looks at the tables of now, however late it is evaluated."""
    if unfinished := waiting(context.instance, "refill"):
        return dg.SkipReason(f"a refill still waits or runs (run {unfinished})")
    now = datetime.now(timezone.utc)
    found = plan(context.instance, Warehouse(Settings.from_env().warehouse), now)
    chosen = [refill for refill in found if allowed(context.instance, refill, now)][:RANGES_A_TICK]
    if not chosen:
        tried = f"; {len(found)} range(s) were tried often enough today" if found else ""
        return dg.SkipReason(f"nothing to refill in the last {WINDOW_DAYS} days{tried}")
    return [refill.request() for refill in chosen]


JOBS = [refill_job]
SCHEDULES = [refill_gaps]
