"""Measures as Dagster asset checks: the range comes from the run, the numbers go to the check's metadata."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

import dagster as dg

from crypto_assets.assets.access import Providers
from crypto_assets.checks import analysis, coverage, freshness, health, measures, service, sources
from crypto_assets.checks.outcome import Chart, Measure, Outcome, Scope
from crypto_assets.plots import line_chart
from crypto_assets.schemas import CONTRACTS
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse

PARTITION = "dagster/partition"
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
# A check started without a partition (from the checks page) looks at this much of the recent past.
RECENT = timedelta(days=30)


def every_measure() -> dict[str, dict[str, Measure]]:
    """Table -> check name -> measure."""
    more = (analysis.MEASURES, coverage.MEASURES, freshness.MEASURES, service.MEASURES, sources.MEASURES)
    return {
        table: {**measures.MEASURES[table], **{n: m for found in more for n, m in found.get(table, {}).items()}}
        for table in CONTRACTS
    }


def all_checks() -> list[dg.AssetChecksDefinition]:
    found = [(table, name, measure) for table, named in every_measure().items() for name, measure in named.items()]
    return [*(_check(*measure) for measure in found), *map(_own_check, health.MEASURES.items())]


def _check(table: str, name: str, measure: Measure) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=table, name=name, description=(measure.__doc__ or _family_text(name)))
    def check(context: dg.AssetCheckExecutionContext, providers: Providers) -> dg.AssetCheckResult:
        outcome = measure(scope_of(context.run.tags, providers.settings()))
        return as_result(outcome)

    return check


def _own_check(item: tuple[str, health.Measure]) -> dg.AssetChecksDefinition:
    """A check of the platform itself; it hangs on the table of what the platform did."""
    name, measure = item

    @dg.asset_check(asset="api_usage", name=name, description=measure.__doc__)
    def check(context: dg.AssetCheckExecutionContext, providers: Providers) -> dg.AssetCheckResult:
        return as_result(measure(context.instance, providers.settings()))

    return check


def _family_text(name: str) -> str:
    return {**measures.FAMILIES, "fresh": freshness.fresh}[name].__doc__ or name


def scope_of(tags: Mapping[str, str], settings: Settings) -> Scope:
    """The days that the run's tags name, or the recent past."""
    now = datetime.now(timezone.utc)
    if RANGE[0] in tags:
        start, end = date.fromisoformat(tags[RANGE[0]]), date.fromisoformat(tags[RANGE[1]])
    elif PARTITION in tags:
        start = end = date.fromisoformat(tags[PARTITION])
    else:
        end = now.date() - timedelta(days=1)
        start = max(settings.start, end - RECENT)
    return Scope(Warehouse(settings.warehouse), settings, start, end, now, live=True)


def as_result(outcome: Outcome) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {key: _shown(value) for key, value in outcome.numbers.items()}
    return dg.AssetCheckResult(
        passed=outcome.passed,
        severity=dg.AssetCheckSeverity[outcome.severity],
        description=outcome.description,
        metadata=metadata,
    )


def _shown(value: Any) -> Any:
    if isinstance(value, Chart):
        return dg.MetadataValue.md(line_chart(value.series, title=value.title, unit=value.unit))
    return dg.MetadataValue.json(value) if isinstance(value, dict) else value
