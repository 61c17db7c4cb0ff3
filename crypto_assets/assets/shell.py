"""What all assets share: calendar, metadata of the contract, freshness, backfill policy, the fetch and its metadata."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import dagster as dg
import pandas as pd
import polars as pl

from crypto_assets.assets import set_aside
from crypto_assets.assets.calendar import daily, monthly
from crypto_assets.assets.documented import page
from crypto_assets.assets.providers import Providers
from crypto_assets.catalog import Coin, select
from crypto_assets.dagster_internals.core import add_by_partition
from crypto_assets.dagster_internals.side_by_side import ASKS_TAG
from crypto_assets.dates import days, today
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import ALONE, Fetched, SetAside
from crypto_assets.sources.screen import screen
from crypto_assets.storage.io_manager import LOOK_BACK_DAYS
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.pit_quality import PIT_QUALITY, SeenInTime, WorstOfInputs
from crypto_assets.tables.registry import CONTRACTS, LOOK_BACK, TABLES
from crypto_assets.tables.spec import Cadence, DerivedFrom, FromProvider, TableSpec, Unpartitioned
from crypto_assets.tables.worst_quality import Input, backfilled_inputs, with_worst_quality

DerivedRows = TypeVar("DerivedRows", pd.DataFrame, pl.DataFrame)
DAILY = daily(Settings.from_env().start, Settings.from_env().last_day)
CALENDARS: Mapping[Cadence, dg.TimeWindowPartitionsDefinition] = {
    Cadence.DAY: DAILY,
    Cadence.MONTH: monthly(Settings.from_env().start, Settings.from_env().last_day),
}
NO_TAGS: Mapping[str, str] = {}
COINS_TAG = "crypto_assets/coins"  # run tag: fetch these coins only
LINEAGE = "dagster/column_lineage"
FAILED_COINS = "failed_coins"  # metadata of a materialisation: coins whose rows it lacks, and why

BACKFILLED_INPUTS = "backfilled_inputs"  # metadata of a derived day: the inputs that have backfilled rows for it

MONTHS_AT_MOST = 12  # of a table of months in one run: neighbouring windows share most of their rows
MOST_DAYS = Settings.from_env().chunk_days  # of any run: CRYPTO_ASSETS_CHUNK_DAYS


def calendar_of(table: str) -> dg.TimeWindowPartitionsDefinition:
    """Return the partitions of a table with days: those of its cadence."""
    return CALENDARS[TABLES[table].cadence]


def days_at_most(table: TableSpec) -> int:
    """Return the most days that one run of a table covers, regardless of memory.

    Args:
        table: The spec.

    Returns:
        Days, at least 1.

    Raises:
        ValueError: The table has no days.
    """
    if table.chunk is None:
        raise ValueError(f"{table.table} has no days: no run covers any of them")
    return min(table.chunk.days or MOST_DAYS, MOST_DAYS)


def days_in_memory(table: TableSpec, coins: int) -> int:
    """Return the most days of a table that one run makes, with as many rows as its memory allows.

    Args:
        table: The spec.
        coins: The number of coins.

    Returns:
        Days, at least 1.

    Raises:
        ValueError: The table has no days.
    """
    days, rows = days_at_most(table), table.chunk.hourly_rows if table.chunk else None
    return days if rows is None else max(1, min(days, rows // (24 * coins)))


def asset_kwargs(table: str, op_tags: Mapping[str, str] = NO_TAGS) -> dict[str, Any]:
    """Build the keyword arguments of ``@dg.asset`` from the :class:`TableSpec` of a table.

    Args:
        table: The name.
        op_tags: Tags of its step, such as a priority.

    Returns:
        The arguments. A table without days has no calendar, backfill policy and IO manager.

    Raises:
        KeyError: There is no such table.
    """
    said = TABLES[table]
    found = _about(said)
    tags = dict(op_tags)
    if said.by_day:
        coins = len(select(Settings.from_env().coins))
        most = days_in_memory(said, coins) if said.cadence is Cadence.DAY else MONTHS_AT_MOST
        found |= {
            "partitions_def": calendar_of(table),
            "backfill_policy": dg.BackfillPolicy.multi_run(most),
            "io_manager_key": "io_manager",
        }
    rows = said.rows_from
    if isinstance(rows, FromProvider | DerivedFrom) and rows.pool is not None:
        found["pool"] = rows.pool
        if isinstance(rows, FromProvider):
            tags[ASKS_TAG] = rows.pool
    if tags:
        found["op_tags"] = tags
    return {"name": table, **found}


def asset_out(table: str) -> dg.AssetOut:
    """Build the output of one table of a multi-asset. Calendar, backfill policy and pool belong to the multi-asset."""
    return dg.AssetOut(**_about(TABLES[table]), io_manager_key="io_manager", is_required=False)


def asset_of_many(*tables: str) -> dict[str, Any]:
    """Build the keyword arguments of ``@dg.multi_asset`` for tables that one response of a provider fills."""
    said = asset_kwargs(tables[0])
    outs = {table: asset_out(table) for table in tables}
    return {
        "outs": outs,
        "can_subset": True,
        **{name: said[name] for name in ("partitions_def", "backfill_policy", "pool", "op_tags")},
    }


def external_asset(table: str) -> dg.AssetSpec:
    """Build the external asset of a table whose rows are written while other tables are materialised."""
    found = _about(TABLES[table])
    del found["freshness_policy"]
    return dg.AssetSpec(table, **{**found, "description": TABLES[table].contract.description})


def _about(said: TableSpec) -> dict[str, Any]:
    """Return what the UI shows of a table, and Dagster's freshness policy. The policy watches materialisations, not rows."""
    contract = said.contract
    return {
        "group_name": said.group,
        "kinds": set(said.kinds),
        "owners": [said.owner],
        "tags": {"layer": said.layer},
        "description": f"{contract.description}\n\nOne row per {contract.grain}. Known from: {contract.available_at_rule}.",
        "freshness_policy": _freshness_policy(said),
        "metadata": {
            "dagster/column_schema": column_schema(contract),
            "dagster/table_name": contract.table,
            "docs": page(f"data-dictionary.md#{contract.table}"),
            **({LINEAGE: lineage} if (lineage := column_lineage(said)) else {}),
        },
    }


def _freshness_policy(said: TableSpec) -> dg.FreshnessPolicy | None:
    if isinstance(said.rows_from, Unpartitioned):
        late = said.rows_from.late_after
        return dg.FreshnessPolicy.time_window(fail_window=late, warn_window=late / 2 + timedelta(minutes=1))
    limit = said.freshness
    return (
        None
        if limit is None
        else dg.FreshnessPolicy.time_window(fail_window=limit.late_after, warn_window=limit.warn_after)
    )


def column_schema(contract: Contract) -> dg.TableSchema:
    """Build the columns of a contract for the UI."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                str(column.dtype),
                f"{column.description} [{column.unit}]",
                dg.TableColumnConstraints(
                    nullable=column.nullable,
                    unique=contract.key == (column.name,),
                    other=[
                        f"{sign} {bound:g}"
                        for sign, bound in ((">=", column.lower), (">", column.above), ("<=", column.upper))
                        if bound is not None
                    ],
                ),
            )
            for column in contract.columns
        ]
    )


def column_lineage(said: TableSpec) -> dg.TableColumnLineage | None:
    """Build the column lineage of a derived table; None where its spec names no columns."""
    rows = said.rows_from
    if not isinstance(rows, DerivedFrom) or not rows.columns:
        return None
    origins = {column: [origin.partition(".") for origin in named] for column, named in rows.columns.items() if named}
    return dg.TableColumnLineage(
        {c: [dg.TableColumnDep(asset_key=table, column_name=name) for table, _, name in o] for c, o in origins.items()}
    )


def show_lineage(context: dg.AssetExecutionContext) -> None:
    """Add the column lineage to the metadata of the run's last day, where Dagster's lineage tab finds it.

    The lineage of a few hundred features takes tens of kilobytes and is the same for all days. So the other days and the
    ticks of the day in progress do not get it. A dry run does not either, because it materialises nothing.
    """
    first, last = days_of(context)
    if first == last == today() or not hasattr(context, "_step_execution_context"):
        return
    lineage = column_lineage(TABLES[context.asset_key.to_user_string()])
    if lineage is not None:
        context.add_asset_metadata({LINEAGE: lineage}, partition_key=context.partition_key_range.end)


def inputs_of(table: str) -> dict[str, dg.AssetIn]:
    """Build the inputs of a derived table for ``@dg.asset(ins=...)``, each over its look-back.

    Args:
        table: The name.

    Returns:
        Input table -> Dagster's input; empty for a table that is not derived.
    """
    rows, cadence = TABLES[table].rows_from, TABLES[table].cadence
    if not isinstance(rows, DerivedFrom):
        return {}
    return {name: _look_back(reach, cadence) for name, reach in rows.inputs.items()}


def _look_back(reach: int, cadence: Cadence) -> dg.AssetIn:
    """Build an input that begins ``reach`` days before the first requested day. Days before the calendar are allowed."""
    if not reach:
        return dg.AssetIn()
    partitions = reach if cadence is Cadence.DAY else reach // 28 + 1  # Dagster counts partitions of the table itself
    return dg.AssetIn(
        partition_mapping=dg.TimeWindowPartitionMapping(
            start_offset=-partitions, end_offset=0, allow_nonexistent_upstream_partitions=True
        ),
        metadata={LOOK_BACK_DAYS: reach},
    )


def not_shown(context: dg.AssetExecutionContext, contract: Contract) -> pd.DataFrame:
    """Return no rows for a run without today, because the provider shows the present only. Stored rows stay."""
    context.add_output_metadata({"not_shown": "the provider shows the present only; no request was made"})
    return contract.empty().to_pandas()


def already_seen(context: dg.AssetExecutionContext, contract: Contract) -> pd.DataFrame:
    """Return no rows, because the first snapshot of the hour or day is stored and stays."""
    context.add_output_metadata({"already_seen": "the snapshot of this hour or day is stored; no request was made"})
    return contract.empty().to_pandas()


def days_of(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """Return the first and last day of the run, UTC, both included."""
    keys = context.partition_key_range
    return date.fromisoformat(keys.start), date.fromisoformat(keys.end)


def coins_of(context: dg.AssetExecutionContext, providers: Providers) -> tuple[Coin, ...]:
    """Return the configured coins, or only those that the run's tag names: coins that failed before."""
    coins = providers.coins()
    only = context.run.tags.get(COINS_TAG)
    return coins if only is None else tuple(coin for coin in coins if coin.symbol in only.split(","))


def fetch(
    context: dg.AssetExecutionContext,
    providers: Providers,
    source: Callable[[Client, Settings], Awaitable[Fetched]],
    contract: Contract,
) -> Fetched:
    """Fetch rows from a source, and set aside observations that the contract forbids.

    In a run for coins that failed before, the step does not fail again, because then all coins of the day would be
    requested again. The coins that fail are recorded instead.

    Args:
        context: The run.
        providers: Gives access to the source.
        source: The coroutine function of the source.
        contract: The contract of the table.

    Returns:
        The rows, and what failed, is missing or was set aside.

    Raises:
        SourceError: The source failed.
        dagster.Failure: Days have no rows where rows are due.
    """
    only = context.run.tags.get(COINS_TAG)
    if only is None:
        return screened(contract, providers.fetch(source, context.log.info), providers.now())
    token = ALONE.set(True)
    try:
        return screened(contract, providers.fetch(source, context.log.info), providers.now())
    except (SourceError, dg.Failure) as error:
        reason = str(error.description if isinstance(error, dg.Failure) else error)
        return Fetched(contract.empty().to_pandas(), failed=dict.fromkeys(only.split(","), reason))
    finally:
        ALONE.reset(token)


def screened(contract: Contract, fetched: Fetched, seen_at: datetime) -> Fetched:
    """Screen the rows of a fetch (:func:`~crypto_assets.sources.screen.screen`), and say how they are known.

    Args:
        contract: The contract of the table.
        fetched: The rows.
        seen_at: The instant of the fetch, UTC.

    Returns:
        The rows that keep the contract.

    Raises:
        SourceError: Most rows would be left out.
    """
    kept = screen(contract, fetched)
    return replace(kept, frame=with_quality(contract, kept.frame, seen_at))


def with_quality(contract: Contract, rows: pd.DataFrame, seen_at: datetime) -> pd.DataFrame:
    """Add ``pit_quality`` to rows of a provider.

    Args:
        contract: The contract of the table.
        rows: Its rows, with ``available_at``.
        seen_at: The instant of the fetch, UTC.

    Returns:
        The rows. Where the contract gives all rows the same quality, the write adds it, and they are returned unchanged.
    """
    rule = contract.pit_quality
    if not isinstance(rule, SeenInTime) or PIT_QUALITY in rows.columns or "available_at" not in rows.columns:
        return rows
    quality = pl.from_pandas(rows[["available_at"]]).select(rule.of_rows(seen_at)).to_series()
    return rows.assign(**{PIT_QUALITY: pd.Series(quality.to_list(), index=rows.index, dtype=object)})


def with_worst(table: str, rows: DerivedRows, inputs: Mapping[str, pd.DataFrame | pl.DataFrame]) -> DerivedRows:
    """Add ``pit_quality`` to the rows of a derived table: the worst of the input rows that they may rest on.

    Args:
        table: The derived table.
        rows: Its rows, of the kind that is returned.
        inputs: Input table -> its rows over the look-back.

    Returns:
        The rows.
    """
    rule = CONTRACTS[table].pit_quality
    if not isinstance(rule, WorstOfInputs):
        return rows
    given = _quality_of_inputs(table, inputs, rule.by)
    found = with_worst_quality(rule, _said(rows, rule.by), given)[PIT_QUALITY]
    if isinstance(rows, pl.DataFrame):
        return rows.with_columns(found)
    return rows.assign(**{PIT_QUALITY: pd.Series(found.to_list(), index=rows.index, dtype=object)})


def show_backfilled(
    context: dg.AssetExecutionContext, table: str, inputs: Mapping[str, pd.DataFrame | pl.DataFrame]
) -> None:
    """Name, in the metadata of each day of the run, the inputs that have backfilled rows in the day's look-back.

    A dry run does not, because it materialises nothing.

    Args:
        context: The run.
        table: The derived table.
        inputs: Input table -> its rows over the look-back.
    """
    if not hasattr(context, "_step_execution_context"):
        return
    found = backfilled_inputs(_quality_of_inputs(table, inputs, None), days(*days_of(context)))
    by_day = {day.isoformat(): {BACKFILLED_INPUTS: dg.MetadataValue.json(names)} for day, names in found.items()}
    add_by_partition(context.op_execution_context.get_step_execution_context(), dg.AssetKey(table), by_day)


def _quality_of_inputs(
    table: str, inputs: Mapping[str, pd.DataFrame | pl.DataFrame], by: str | None
) -> dict[str, Input]:
    return {name: Input(CONTRACTS[name], _said(inputs[name], by), back) for name, back in LOOK_BACK[table].items()}


def _said(rows: pd.DataFrame | pl.DataFrame, by: str | None) -> pl.DataFrame:
    """Return the columns that decide the quality."""
    names = [name for name in (by, "date", "available_at", PIT_QUALITY) if name in rows.columns]
    return rows.select(names) if isinstance(rows, pl.DataFrame) else pl.from_pandas(rows[names].reset_index(drop=True))


def note(context: dg.AssetExecutionContext, fetched: Fetched, output: str | None = None, **more: Any) -> None:
    """Record a fetch: metadata of the materialisation, and rows of ``set_aside``.

    The metadata has the hashes of the responses, the number of calls, what the provider did not have, and failed coins.
    Each day's materialisation has what was set aside of that day, and of the responses about single days its own; counts
    of the whole run end in ``_of_run``.

    Args:
        context: The run.
        fetched: The result of the fetch.
        output: The table, in a multi-asset.
        **more: Further metadata.

    Raises:
        WarehouseError: ``set_aside`` cannot be read or written.
    """
    metadata: Mapping[str, Any] = {
        **more,
        FAILED_COINS: dg.MetadataValue.json(dict(fetched.failed)),
        "requests_of_run": fetched.calls,
        "not_given": dg.MetadataValue.json(dict(fetched.missing)),
        "not_given_count": len(fetched.missing),
        "surplus_of_run": dg.MetadataValue.json(dict(fetched.surplus)),
    }
    providers: Providers = context.resources.providers
    contract = CONTRACTS[output or context.asset_key.to_user_string()]
    start, end = days_of(context)
    by_day = {
        day: {
            **of_day,
            **metadata,
            "response_sha256": dg.MetadataValue.json(fetched.digests_of(date.fromisoformat(day))),
        }
        for day, of_day in _set_aside_by_day(fetched.set_aside, start, end).items()
    }
    add_by_partition(context.op_execution_context.get_step_execution_context(), dg.AssetKey(contract.table), by_day)
    warehouse = Warehouse(providers.settings().warehouse)
    seen = set_aside.record(warehouse, contract, fetched, start, end, providers.now())
    context.log_event(dg.AssetMaterialization("set_aside", metadata={"about": contract.table, "observations": seen}))
    for subject, reason in fetched.missing.items():
        context.log.info(f"{subject}: {reason}")
    for subject, reason in fetched.failed.items():
        context.log.warning(f"{subject} failed, the other coins were stored: {reason}")


def _set_aside_by_day(records: Iterable[SetAside], start: date, end: date) -> dict[str, dict[str, Any]]:
    """Partition key -> what was set aside of that day; what is about a day outside the run goes to the nearest one."""
    by_day: dict[date, list[SetAside]] = {day: [] for day in days(start, end)}
    for record in records:
        by_day[min(max(record.day, start), end)].append(record)
    return {
        day.isoformat(): {
            "set_aside_count": sum(record.count for record in of_day),
            "set_aside": dg.MetadataValue.json(set_aside_by_reason(of_day)),
        }
        for day, of_day in by_day.items()
    }


def set_aside_by_reason(records: Iterable[SetAside]) -> dict[str, dict[str, Any]]:
    """Return reason -> number of observations, their subjects, and one example, for the metadata of a materialisation."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        entry = found.setdefault(record.reason, {"count": 0, "subjects": [], "example": record.example})
        entry["count"] += record.count
        if record.subject not in entry["subjects"]:
            entry["subjects"].append(record.subject)
    return found


def failed_coins_of(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, str]:
    """Return coin -> why its fetch failed, from the metadata of a materialisation."""
    note = metadata.get(FAILED_COINS)
    listed = note.value if note is not None and isinstance(note.value, dict) else {}
    return {str(coin): str(reason) for coin, reason in listed.items()}
