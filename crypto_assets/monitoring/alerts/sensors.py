"""The alert sensors: observe, update the open incidents, send due messages. They make no provider calls.

They run by default. A tick without news costs a few indexed queries. Without a webhook, messages go to the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import dagster as dg

from crypto_assets.monitoring.alerts.delivery import deliver
from crypto_assets.monitoring.alerts.incidents import Incident, Sighting
from crypto_assets.monitoring.alerts.kinds import KINDS
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets.monitoring.watch import checks, model, runs, tables
from crypto_assets.settings import Settings
from crypto_assets.storage.snapshot import SnapshotWarehouse
from crypto_assets.storage.warehouse import Warehouse


@dataclass
class Look:
    """What a sensor can use. ``cursor`` is where the last observation ended; a watcher moves it."""

    context: dg.SensorEvaluationContext
    settings: Settings
    now: datetime
    open_now: Mapping[str, Incident]
    cursor: str | None


Watcher = Callable[[Look], list[Sighting]]


def _runs(look: Look) -> list[Sighting]:
    found, look.cursor = runs.failed_runs(
        look.context.instance, _steps(look.context.repository_def), look.open_now, look.cursor, look.now
    )
    return found


def _checks(look: Look) -> list[Sighting]:
    found, look.cursor = checks.failed_checks(look.context.instance, look.open_now, look.cursor, look.now)
    return found


def _staleness(look: Look) -> list[Sighting]:
    return tables.late_tables(SnapshotWarehouse(look.settings.warehouse), look.open_now, look.now)


def _llm(look: Look) -> list[Sighting]:
    return model.model_down(look.settings, look.now)


def _slo(look: Look) -> list[Sighting]:
    return tables.burning(Warehouse(look.settings.warehouse), look.now)


def _budget(look: Look) -> list[Sighting]:
    return tables.budget_left(look.settings, look.now)


WATCHERS: dict[str, tuple[Watcher, int, str]] = {  # kind -> (watcher, seconds between ticks, what it observes)
    "run_failure": (
        _runs,
        30,
        "Runs that failed, by table. An incident is over when none of their partitions is failed any more.",
    ),
    "check_failure": (_checks, 60, "Checks that failed. An incident is over when the same days, or more, pass."),
    "staleness": (_staleness, 300, "Tables whose newest row is older than their limit, read from the rows."),
    "slo_burn": (_slo, 300, "Tables that spend their error budget too fast, and observations that do not come."),
    "llm_down": (_llm, 300, "The model's server and list, and how many of the last day's articles it answered."),
    "budget": (_budget, 900, "Each provider's calls projected to the end of the month against its budget."),
}


def _sensor(kind: str) -> dg.SensorDefinition:
    watcher, seconds, text = WATCHERS[kind]

    @dg.sensor(
        name=f"alert_{kind}",
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"{text} Runbook: {KINDS[kind].runbook}.",
    )
    def look_and_tell(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        settings = Settings.from_env()
        if settings.postgres_url is None:
            return dg.SkipReason("incidents are kept in Dagster's Postgres, and DAGSTER_POSTGRES_URL is not set")
        ledger, now = Ledger(settings.postgres_url.get_secret_value()), datetime.now(timezone.utc)
        look = Look(context, settings, now, {i.subject: i for i in ledger.open(kind)}, context.cursor)
        opened, closed = ledger.observe(kind, watcher(look), now, settings.alert_runbooks)
        sent, failed = deliver(ledger, settings, now, context.log.warning)
        said = f"{opened} opened, {closed} closed, {sent} message(s) delivered, {failed} failed"
        return dg.SensorResult(skip_reason=dg.SkipReason(said), cursor=look.cursor)

    return look_and_tell


@dg.sensor(
    name="alert_delivery",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Messages that could not be delivered, or whose silence is over, sent again. Runbook: alerting.md.",
)
def alert_delivery(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Send the messages that are due, and say how many were delivered."""
    settings = Settings.from_env()
    if settings.postgres_url is None:
        return dg.SkipReason("messages are kept in Dagster's Postgres, and DAGSTER_POSTGRES_URL is not set")
    ledger = Ledger(settings.postgres_url.get_secret_value())
    sent, failed = deliver(ledger, settings, datetime.now(timezone.utc), context.log.warning)
    return dg.SkipReason(f"{sent} message(s) delivered, {failed} failed")


def _steps(repository: dg.RepositoryDefinition | None) -> dict[str, Sequence[str]]:
    """Return step -> the tables that it fills."""
    found: dict[str, Sequence[str]] = {}
    for assets in {id(a): a for a in (repository.assets_defs_by_key if repository else {}).values()}.values():
        if assets.is_executable:
            found[assets.op.name] = [key.to_user_string() for key in assets.keys]
    return found


SENSORS = [*map(_sensor, WATCHERS), alert_delivery]
