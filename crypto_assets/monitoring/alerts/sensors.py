"""The alert sensors: one per watcher, and one that repeats deliveries. They make no provider calls.

They run by default. A tick without news costs a few indexed queries. Without a webhook, messages go to the log.
"""

from __future__ import annotations

from datetime import datetime, timezone

import dagster as dg

from crypto_assets.assets.documented import documented
from crypto_assets.monitoring.alerts.delivery import deliver
from crypto_assets.monitoring.alerts.kinds import KINDS
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets.monitoring.watch import (
    call_budgets,
    error_budgets,
    failed_checks,
    failed_runs,
    late_tables,
    model_drift,
    model_server,
    signal_changes,
    suspected_changes,
)
from crypto_assets.monitoring.watch.watcher import WatchContext, Watcher
from crypto_assets.settings import Settings

WATCHERS: dict[str, Watcher] = {
    module.WATCHER.kind: module.WATCHER
    for module in (
        failed_runs,
        failed_checks,
        late_tables,
        error_budgets,
        model_server,
        call_budgets,
        suspected_changes,
        model_drift,
        signal_changes,
    )
}


def sensor_of(watcher: Watcher) -> dg.SensorDefinition:
    """Build the sensor of a watcher: observe, open and close incidents, send the messages that are due.

    Args:
        watcher: What is observed, and how often.

    Returns:
        The sensor ``alert_<kind>``.

    Raises:
        TypeError: The kind of the watcher is not declared.
    """
    if watcher.kind not in KINDS:
        raise TypeError(
            f"{watcher.kind}: a watcher of no kind of alert; add the kind to crypto_assets/monitoring/alerts/kinds.py"
        )

    @dg.sensor(
        name=f"alert_{watcher.kind}",
        minimum_interval_seconds=watcher.every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"{watcher.description} Runbook: {KINDS[watcher.kind].runbook}.",
        **documented(f"runbooks/{KINDS[watcher.kind].runbook}"),
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        settings = Settings.from_env()
        if settings.postgres_url is None:
            return dg.SkipReason("incidents are kept in Dagster's Postgres, and DAGSTER_POSTGRES_URL is not set")
        ledger, now = Ledger(settings.postgres_url.get_secret_value()), datetime.now(timezone.utc)
        open_now = {incident.subject: incident for incident in ledger.open(watcher.kind)}
        sightings, cursor = watcher.observe(
            WatchContext(context.instance, settings, now, open_now, context.cursor, context.repository_def)
        )
        opened, closed = ledger.observe(watcher.kind, sightings, now, settings.alert_runbooks)
        sent, failed = deliver(ledger, settings, now, context.log.warning)
        said = f"{opened} opened, {closed} closed, {sent} message(s) delivered, {failed} failed"
        return dg.SensorResult(skip_reason=dg.SkipReason(said), cursor=cursor)

    return watch


@dg.sensor(
    name="alert_delivery",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Messages that could not be delivered, or whose silence is over, sent again. Runbook: alerting.md.",
    **documented("runbooks/alerting.md"),
)
def alert_delivery(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Send the messages that are due, and say how many were delivered."""
    settings = Settings.from_env()
    if settings.postgres_url is None:
        return dg.SkipReason("messages are kept in Dagster's Postgres, and DAGSTER_POSTGRES_URL is not set")
    ledger = Ledger(settings.postgres_url.get_secret_value())
    sent, failed = deliver(ledger, settings, datetime.now(timezone.utc), context.log.warning)
    return dg.SkipReason(f"{sent} message(s) delivered, {failed} failed")


SENSORS = [*map(sensor_of, WATCHERS.values()), alert_delivery]
