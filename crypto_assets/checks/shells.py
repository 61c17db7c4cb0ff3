"""The checks as Dagster asset checks: the range comes from the run, the numbers become metadata of the check."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from functools import partial
from inspect import cleandoc
from typing import Any

import dagster as dg

from crypto_assets.assets.documented import CHECK_FAILED, page
from crypto_assets.assets.partition_states import one_look
from crypto_assets.assets.providers import Providers
from crypto_assets.assets.shell import calendar_of
from crypto_assets.checks import freshness, health, kept, measures, set_aside
from crypto_assets.checks.by_day import Judged, judge, judges_days
from crypto_assets.checks.day_reports import report
from crypto_assets.checks.every_measure import every_measure
from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.dagster_internals.core import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from crypto_assets.errors import CryptoAssetsError
from crypto_assets.settings import Settings
from crypto_assets.storage.snapshot import SnapshotWarehouse
from crypto_assets.tables.registry import CONTRACTS

PARTITION = PARTITION_NAME_TAG
RANGE = (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
STEP_OF_CHECKS = "checks_of_"
BROKEN_CHECKS = "broken_checks"  # metadata of a failed step: the checks that raised an error
# A check that is started without a partition (from the checks page) covers this much of the recent past.
RECENT = timedelta(days=30)


def all_checks() -> list[dg.AssetChecksDefinition]:
    """Build the checks of every table, with one step for all checks of a table.

    Dagster's overhead of a step costs more than most checks, and a run of the whole graph makes about eighty checks.
    """
    found: dict[str, dict[str, Check]] = {
        table: {name: Check.of_rows(table, name, measure) for name, measure in named.items()}
        for table, named in every_measure().items()
    }
    found["api_usage"] |= {name: Check.of_platform(measure) for name, measure in health.MEASURES.items()}
    return [checks_of(table, named) for table, named in found.items()]


@dataclass(frozen=True)
class Check:
    """One check as a run makes it.

    Attributes:
        description: The text in the UI.
        run: Makes the check.
        judge: Makes it for the range and for each day; None where its subject is no day.
    """

    description: str
    run: Callable[[dg.AssetCheckExecutionContext, Scope], Outcome]
    judge: Callable[[Scope], Judged] | None = None

    @staticmethod
    def of_rows(table: str, name: str, measure: Measure) -> "Check":
        """Build the check of a table's rows."""
        days = partial(judge, table, name, measure) if judges_days(table, name) else None
        text = cleandoc(measure.__doc__ or _family_text(name))  # indented lines would be shown as code
        return Check(text, lambda context, scope: measure(scope), days)

    @staticmethod
    def of_platform(measure: health.PlatformCheck) -> "Check":
        """Build a check of the platform itself. It belongs to ``api_usage``, the table of what the platform did."""
        return Check(cleandoc(measure.__doc__ or ""), lambda context, scope: measure(context.instance, scope.settings))


def checks_of(table: str, checks: Mapping[str, Check]) -> dg.AssetChecksDefinition:
    """Build the step that makes the checks of a table. A check that raises does not stop the others; then the step fails.

    Args:
        table: The table.
        checks: Name -> check.

    Returns:
        Dagster's definition; a run may select some of the checks.
    """
    specs = {
        name: dg.AssetCheckSpec(
            name,
            asset=table,
            description=check.description,
            partitions_def=calendar_of(table) if check.judge else None,
            metadata={"docs": page(CHECK_FAILED), "judges": "each day" if check.judge else "the table as it is now"},
        )
        for name, check in checks.items()
    }

    @dg.multi_asset_check(name=f"{STEP_OF_CHECKS}{table}", specs=list(specs.values()), can_subset=True)
    def step(context: dg.AssetCheckExecutionContext, providers: Providers) -> Iterator[Any]:
        asked = {key.name for key in context.selected_asset_check_keys}
        scope = scope_of(context.run.tags, providers.settings())  # all checks read the same versions of the tables,
        scope = replace(scope, instance=context.instance)  # and below the same states of partitions
        of_days = any(tag in context.run.tags for tag in (PARTITION, RANGE[0]))
        judged: dict[str, Judged] = {}
        broken: dict[str, Exception] = {}
        with one_look(context.instance, [table]):
            for name in (name for name in checks if name in asked):
                check = checks[name]
                try:
                    judged[name] = check.judge(scope) if check.judge and of_days else (check.run(context, scope), {})
                except Exception as error:  # the other checks are made all the same; then the step fails
                    context.log.error(f"check {name} of {table} broke: {error}")
                    broken[name] = error
        yield from report(context, table, judged)
        for name in judged:
            yield dg.Output(None, output_name=specs[name].get_python_identifier())
        if broken:
            raise failure_of(table, broken) from next(iter(broken.values()))

    return step


def failure_of(table: str, broken: Mapping[str, Exception]) -> dg.Failure:
    """Build the failure of a step in which checks raised an error.

    Args:
        table: The table.
        broken: Name of the check -> its error.

    Returns:
        The failure. It says that the rows are stored and that they were not checked.
    """
    said = "; ".join(f"check {name} of {table} broke ({_why(error)})" for name, error in broken.items())
    return dg.Failure(
        f"{said}: the rows of the run are stored, but were not checked; repair the cause, then run the checks of {table} "
        "again, from the UI or with the next run of its days",
        metadata={BROKEN_CHECKS: dg.MetadataValue.json(sorted(broken))},
        allow_retries=False,
    )


def _why(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, CryptoAssetsError) and text else f"{type(error).__name__}: {text or 'no message'}"


def broken_checks_of(metadata: Mapping[str, dg.MetadataValue]) -> list[str]:
    """Return the names of the checks that raised an error, from the metadata of a failed step."""
    note = metadata.get(BROKEN_CHECKS)
    return [str(name) for name in note.value] if note is not None and isinstance(note.value, list) else []


def table_of_checks(step: str) -> str | None:
    """Return the table whose checks this step makes; None for any other step."""
    table = step.removeprefix(STEP_OF_CHECKS)
    return table if table != step and table in CONTRACTS else None


def _family_text(name: str) -> str:
    families = {
        **measures.FAMILIES,
        **measures.FAILED_FAMILY,
        **set_aside.FAMILY,
        "fresh": freshness.fresh,
        "coins_kept": kept.coins_kept,
    }
    return families[name].__doc__ or name


def scope_of(tags: Mapping[str, str], settings: Settings) -> Scope:
    """Build the scope of a run's checks.

    Args:
        tags: The tags of the run.
        settings: Warehouse, coins, start.

    Returns:
        A live scope over the days that the tags name, or over the last 30 days.
    """
    now = datetime.now(timezone.utc)
    if RANGE[0] in tags:
        start, end = date.fromisoformat(tags[RANGE[0]]), date.fromisoformat(tags[RANGE[1]])
    elif PARTITION in tags:
        start = end = date.fromisoformat(tags[PARTITION])
    else:
        end = now.date() - timedelta(days=1)
        start = max(settings.start, end - RECENT)
    return Scope(SnapshotWarehouse(settings.warehouse), settings, start, end, now, live=True)
