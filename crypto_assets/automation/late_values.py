"""Late values: the derived partitions that an input written after they read it would change are derived again.

The commit logs say which days of which inputs are new; ``LOOK_BACK`` says which derived days could have seen them;
``dry_run.py`` says which of those would come out different. Exactly these are requested, inputs first, in runs that
wait for one another (``dagster.yaml`` limits the tag), so one tick is enough for the whole way down.

A tick costs a look at the tables' versions while nothing changes. It makes no request to a provider.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from itertools import islice

import dagster as dg
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from crypto_assets.assets.lineage import LOOK_BACK
from crypto_assets.assets.partition_states import steps_of_run
from crypto_assets.assets.providers import Providers
from crypto_assets.assets.shell import DERIVED_CHUNK_DAYS, fitting_memory
from crypto_assets.automation.dry_run import DryRun
from crypto_assets.automation.staleness import inputs_read_at
from crypto_assets.checks.shells import PARTITION, RANGE
from crypto_assets.dates import DAY, chunks, runs_of, today
from crypto_assets.storage.warehouse import Warehouse, now

TAG = "crypto_assets/late_values"  # on the runs of this sensor; dagster.yaml lets one of them run at a time
CHANGE = "crypto_assets/late_values_change"  # what the run is for: counts its attempts
INTERVAL_S = 30
MOST_RUNS = 12  # a tick; what is left is found again by the next one
ATTEMPTS = 3  # at the same change; then a person must look
GIVEN_UP_AFTER = timedelta(hours=6)  # a run older than this is taken for dead, not for under way
OVERLAP_S = 3600.0  # a commit may become visible this long after its files were written
INPUTS = sorted({name for inputs in LOOK_BACK.values() for name in inputs})
UNFINISHED = [
    DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]  # fmt: skip


@dataclass
class Findings:
    """Derived table -> days to derive again, inputs first; how many more are left to runs that are under way."""

    wanted: dict[str, list[date]] = field(default_factory=dict)
    under_way: int = 0
    newest_write: float = 0.0  # epoch seconds, of the inputs looked at


def look(instance: DagsterInstance, warehouse: Warehouse, providers: Providers, since: float = 0.0) -> Findings:
    """What inputs written after ``since`` (epoch seconds) change, through every derived table."""
    findings = Findings()
    dry_run = DryRun(warehouse, providers)
    busy = _under_way(instance)
    changing: dict[str, set[date]] = {}  # table -> days that this tick derives again
    unknown: dict[str, set[date]] = {}  # those of them that were not tried: what follows from them is not known
    for table in LOOK_BACK:
        written = _written(warehouse, table, since)
        findings.newest_write = max(
            [findings.newest_write, *(max(found.values(), default=0.0) for found in written.values())]
        )
        due = _due(instance, table, written, changing)
        left = {day for tables, first, last in busy if table in tables for day in due if first <= day <= last}
        findings.under_way += len(left)
        due -= left
        blind = due & _reached(table, unknown)
        tried = due - blind
        if not dry_run.affordable(table, tried):
            blind, tried = due, set()
        unknown[table] = blind
        changing[table] = blind | set(dry_run.changed(table, tried))
        if changing[table]:
            findings.wanted[table] = sorted(changing[table])
    return findings


def _written(warehouse: Warehouse, table: str, since: float) -> dict[str, dict[date, float]]:
    """Input -> the days of it written after ``since``, and when."""
    return {
        name: {day: moment for day, moment in warehouse.written_at(name, date.min, date.max).items() if moment > since}
        for name in LOOK_BACK[table]
    }


def _reached(table: str, changed: Mapping[str, Collection[date]]) -> set[date]:
    """The days of the table that look back over these days of its inputs."""
    return {
        day + DAY * n for name, far in LOOK_BACK[table].items() for day in changed.get(name, ()) for n in range(far + 1)
    }


def _due(
    instance: DagsterInstance,
    table: str,
    written: Mapping[str, Mapping[date, float]],
    changing: Mapping[str, Collection[date]],
) -> set[date]:
    """Materialised days that began to read before a day in their window was written, or before one that will be."""
    possible = {day for day in _reached(table, written) | _reached(table, changing) if day <= today()}
    if not possible:
        return set()
    expected = _reached(table, changing)
    found = set()
    for day, read_at in inputs_read_at(instance, table, min(possible), max(possible)).items():
        window = ((name, day - DAY * n) for name, far in LOOK_BACK[table].items() for n in range(far + 1))
        if day in expected or any(written[name].get(other, 0.0) > read_at for name, other in window):
            found.add(day)
    return found


def _under_way(instance: DagsterInstance) -> list[tuple[set[str], date, date]]:
    """(tables, first day, last day) of the runs that have not ended: they will derive these days themselves."""
    found = []
    for run in instance.get_runs(RunsFilter(statuses=UNFINISHED, created_after=_oldest())):
        tables = {key.to_user_string() for key in run.asset_selection or ()} or steps_of_run(instance, run)
        if tables is None or tables & set(LOOK_BACK):  # a look, an observation, a tidying derive nothing
            found.append((tables or set(LOOK_BACK), *_span(run)))
    return found


def _span(run: DagsterRun) -> tuple[date, date]:
    if RANGE[0] in run.tags:
        return date.fromisoformat(run.tags[RANGE[0]]), date.fromisoformat(run.tags[RANGE[1]])
    day = run.tags.get(PARTITION)
    return (date.fromisoformat(day), date.fromisoformat(day)) if day else (date.min, date.max)


def requests(instance: DagsterInstance, findings: Findings) -> Iterator[dg.RunRequest]:
    """One run a table and range of days, inputs first. None for a change that failed ``ATTEMPTS`` times."""
    spans = (
        (table, begin, end)
        for table, found in findings.wanted.items()
        for first, last in runs_of(found)
        for chunk in chunks(first, last, DERIVED_CHUNK_DAYS)
        for _, begin, end in fitting_memory([table], *chunk)
    )
    for number, (table, first, last) in enumerate(islice(spans, MOST_RUNS)):
        said = f"{table} {first} {last} {findings.newest_write}"
        digest = hashlib.sha256(said.encode()).hexdigest()[:16]
        attempt = instance.get_runs_count(RunsFilter(tags={CHANGE: digest}))
        if attempt >= ATTEMPTS:
            continue
        yield dg.RunRequest(
            run_key=f"{digest}-{attempt}",
            asset_selection=[dg.AssetKey(table)],
            tags={
                TAG: "true",
                CHANGE: digest,
                RANGE[0]: first.isoformat(),
                RANGE[1]: last.isoformat(),
                "dagster/priority": str(-1 - number),  # after what ticks fetch; inputs before what rests on them
            },
        )


@dg.sensor(
    name="late_values",
    target=dg.AssetSelection.assets(*LOOK_BACK),
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,  # it asks no provider for anything
    description=__doc__,
)
def late_values(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    instance, providers = context.instance, Providers()
    warehouse = Warehouse(providers.settings().warehouse)
    if instance.get_runs_count(RunsFilter(statuses=UNFINISHED, tags={TAG: "true"}, created_after=_oldest())):
        return dg.SkipReason("What the last tick asked for is still being derived.")
    settled = json.loads(context.cursor or "{}")  # the last tick that left nothing to do
    began, versions = now(), {name: warehouse.version(name) for name in INPUTS}
    if settled.get("versions") == versions:
        return dg.SkipReason("No input has changed.")
    findings = look(instance, warehouse, providers, settled.get("since", 0.0))
    asked = list(requests(instance, findings))
    if asked:
        said = ", ".join(f"{len(found)} day(s) of {table}" for table, found in findings.wanted.items())
        context.log.info(f"Inputs changed after they were read: {said}")
        return dg.SensorResult(run_requests=asked)
    if findings.under_way:
        return dg.SkipReason(f"{findings.under_way} stale partition(s) are left to runs that are under way.")
    if findings.wanted:
        context.log.error(
            f"{findings.wanted} failed {ATTEMPTS} times after the same change and stays as it is; see the failed runs "
            f"tagged {TAG}, then materialise these partitions"
        )
    cursor = json.dumps({"since": began - OVERLAP_S, "versions": versions})
    return dg.SensorResult(skip_reason="No stored value would come out different.", cursor=cursor)


def _oldest() -> datetime:
    return datetime.now(timezone.utc) - GIVEN_UP_AFTER


SENSORS = [late_values]
