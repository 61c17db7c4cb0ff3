"""Why a run started: its reason, what asked for it, what it materialises, and what that rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from dagster import DagsterInstance, RunRecord, RunsFilter

from crypto_assets.assets.run_tags import REASON, REPAIR
from crypto_assets.assets.shell import COINS_TAG
from crypto_assets.automation.planner import specs
from crypto_assets.automation.planner.observed_state import days_of_run, tables_of_run
from crypto_assets.dagster_internals.core import (
    BACKFILL_ID_TAG,
    PARENT_RUN_ID_TAG,
    SCHEDULE_NAME_TAG,
    SENSOR_NAME_TAG,
)
from crypto_assets.dates import DAY
from crypto_assets.errors import CryptoAssetsError
from crypto_assets.operate.runs import PROCESS_TAG

SHORTEST = 6  # characters of a run id that are enough; the UI shows eight


@dataclass(frozen=True)
class Explanation:
    """The answer to "why did this run start?".

    Attributes:
        run_id: The run.
        job: The name of its job.
        status: As Dagster has it.
        created: When it was asked for.
        reason: In words.
        asked_by: A schedule, a sensor, a command, or a person in the UI.
        tables: What it materialises, inputs first; empty for a run of checks only.
        days: First and last day; None where it has none.
        coins: The only coins that it fetches; empty: all that are configured.
        attempts: How often the same repair was asked for, this run included.
        earlier: The ids of those runs, oldest first.
        rests_on: Derived table to input to the first and last day that it reads.
    """

    run_id: str
    job: str
    status: str
    created: datetime
    reason: str
    asked_by: str
    tables: tuple[str, ...]
    days: tuple[date, date] | None
    coins: tuple[str, ...]
    attempts: int
    earlier: tuple[str, ...]
    rests_on: Mapping[str, Mapping[str, tuple[date, date]]]

    def as_json(self) -> dict[str, Any]:
        """The same as one JSON document."""
        return {
            "run": self.run_id,
            "job": self.job,
            "status": self.status,
            "created": self.created.isoformat(),
            "reason": self.reason,
            "asked_by": self.asked_by,
            "tables": list(self.tables),
            "days": [day.isoformat() for day in self.days] if self.days else None,
            "coins": list(self.coins) or None,
            "attempts": self.attempts,
            "earlier": list(self.earlier),
            "rests_on": {
                table: {name: [day.isoformat() for day in span] for name, span in inputs.items()}
                for table, inputs in self.rests_on.items()
            },
        }

    def lines(self) -> list[tuple[str, str]]:
        """(what, text) for a reader."""
        found = [
            ("run", f"{self.run_id} ({self.job}, {self.status.lower()})"),
            ("reason", self.reason),
            ("asked for by", f"{self.asked_by}, {self.created:%Y-%m-%d %H:%M:%S} UTC"),
            ("tables", ", ".join(self.tables) or "none: it only checks, observes or tidies"),
            ("days", f"{self.days[0]} to {self.days[1]}" if self.days else "none"),
            ("coins", ", ".join(self.coins) or "all that are configured"),
            ("attempts", str(self.attempts) + (f", before it {', '.join(self.earlier)}" if self.earlier else "")),
        ]
        for table, inputs in self.rests_on.items():
            read = ", ".join(f"{name} {first} to {last}" for name, (first, last) in inputs.items())
            found.append((f"{table} rests on", read))
        return found


def explain(instance: DagsterInstance, run_id: str) -> Explanation:
    """Why a run started.

    Args:
        instance: Where the run is recorded.
        run_id: The run's id, or its first characters as the UI shows them.

    Returns:
        What is known about it.

    Raises:
        CryptoAssetsError: There is no such run, or the characters fit several.
    """
    record = _record(instance, run_id.strip().lower())
    run, tags = record.dagster_run, record.dagster_run.tags
    known = specs.current()
    tables = known.in_order(tables_of_run(instance, run) or ())
    span = days_of_run(run)
    earlier = _earlier(instance, record)
    return Explanation(
        run_id=run.run_id,
        job=run.job_name,
        status=run.status.value,
        created=record.create_timestamp,
        reason=tags.get(REASON) or _unsaid(tags),
        asked_by=_asked_by(tags),
        tables=tables,
        days=span,
        coins=tuple(tags[COINS_TAG].split(",")) if COINS_TAG in tags else (),
        attempts=len(earlier) + 1,
        earlier=earlier,
        rests_on={
            table: {name: (span[0] - DAY * far, span[1]) for name, far in known.look_back[table].items()}
            for table in tables
            if span is not None and table in known.look_back
        },
    )


def _record(instance: DagsterInstance, run_id: str) -> RunRecord:
    found = instance.get_run_record_by_id(run_id)
    if found is not None:
        return found
    fitting = [name for name in instance.get_run_ids() if name.startswith(run_id)] if len(run_id) >= SHORTEST else []
    if len(fitting) > 1:
        raise CryptoAssetsError(f"{len(fitting)} runs begin with {run_id!r}; write more of the run's id")
    if not fitting:
        raise CryptoAssetsError(
            f"there is no run {run_id!r} in this installation; copy the id from the UI (Runs) and see that "
            "CRYPTO_ASSETS_HOME or DAGSTER_POSTGRES_URL is that of the UI"
        )
    record = instance.get_run_record_by_id(fitting[0])
    if record is None:
        raise CryptoAssetsError(f"run {fitting[0]} was deleted a moment ago")
    return record


def _earlier(instance: DagsterInstance, record: RunRecord) -> tuple[str, ...]:
    """The runs that tried the same repair before, oldest first; of a run that repairs nothing, those it is a retry of."""
    tags = record.dagster_run.tags
    if REPAIR not in tags:
        return (tags[PARENT_RUN_ID_TAG],) if PARENT_RUN_ID_TAG in tags else ()
    others = instance.get_run_records(RunsFilter(tags={REPAIR: tags[REPAIR]}))
    before = sorted((other for other in others if other.storage_id < record.storage_id), key=lambda it: it.storage_id)
    return tuple(other.dagster_run.run_id for other in before)


def _asked_by(tags: Mapping[str, str]) -> str:
    if SCHEDULE_NAME_TAG in tags:
        found = f"the schedule {tags[SCHEDULE_NAME_TAG]}"
    elif SENSOR_NAME_TAG in tags:
        found = f"the sensor {tags[SENSOR_NAME_TAG]}"
    elif BACKFILL_ID_TAG in tags:
        found = f"a person: backfill {tags[BACKFILL_ID_TAG]} of the UI"
    elif PROCESS_TAG in tags:
        host, _, rest = tags[PROCESS_TAG].partition(":")
        found = f"a command on {host} (process {rest.partition(':')[0]})"
    else:
        found = "a person in the UI"
    if PARENT_RUN_ID_TAG in tags:
        found += f"; a retry of run {tags[PARENT_RUN_ID_TAG]}"
    return found


def _unsaid(tags: Mapping[str, str]) -> str:
    """What can be said of a run without the tag: it was launched by hand, or by a version that did not note reasons."""
    if SCHEDULE_NAME_TAG in tags or SENSOR_NAME_TAG in tags or PROCESS_TAG in tags:
        return "not noted: the run is older than the notes of reasons"
    return "asked for by hand: somebody chose these tables and days"
