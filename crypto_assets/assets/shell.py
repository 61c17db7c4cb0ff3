"""What every asset of the graph has in common, said once: calendar, contract metadata, freshness, backfill policy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg

from crypto_assets.automation import FRESHNESS
from crypto_assets.contract import Contract
from crypto_assets.partitions import daily
from crypto_assets.settings import Settings
from crypto_assets.sources.fetched import Fetched

DAILY = daily(Settings.from_env().start)
OWNER = "team:market-data"

# Days a run of a provider-fed asset covers at most: CoinGecko's hourly range limit, so that one coin is one call.
SOURCE_CHUNK_DAYS = 100
# Days a run of a derived asset covers at most: bounds memory, not calls.
DERIVED_CHUNK_DAYS = 366

FROM_PROVIDER = dg.BackfillPolicy.multi_run(SOURCE_CHUNK_DAYS)
DERIVED = dg.BackfillPolicy.multi_run(DERIVED_CHUNK_DAYS)


def of(contract: Contract, *, group: str, kinds: set[str], layer: str, policy: dg.BackfillPolicy) -> dict[str, Any]:
    """Keyword arguments of ``@dg.asset`` for the table of this contract."""
    return {
        "name": contract.table,
        "group_name": group,
        "kinds": kinds,
        "owners": [OWNER],
        "tags": {"layer": layer},
        "description": f"{contract.description}\n\nOne row is {contract.grain}. Known from: {contract.available_at_rule}.",
        "partitions_def": DAILY,
        "backfill_policy": policy,
        "freshness_policy": FRESHNESS[contract.table].policy(),
        "metadata": {"dagster/column_schema": column_schema(contract), "dagster/table_name": contract.table},
        "io_manager_key": "io_manager",
    }


def column_schema(contract: Contract) -> dg.TableSchema:
    """The contract's columns as the UI shows them."""
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


def look_back(days: int, *, columns: list[str] | None = None) -> dg.AssetIn:
    """An input that reaches ``days`` days back from the first requested day; days without rows are legal."""
    return dg.AssetIn(
        partition_mapping=dg.TimeWindowPartitionMapping(
            start_offset=-days, end_offset=0, allow_nonexistent_upstream_partitions=True
        ),
        metadata={"columns": columns} if columns else None,
    )


def days_of(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """First and last requested day of this run, both included."""
    keys = context.partition_key_range
    return date.fromisoformat(keys.start), date.fromisoformat(keys.end)


def note(context: dg.AssetExecutionContext, fetched: Fetched) -> None:
    """Where the rows came from: response hashes, calls made, and what the provider did not have."""
    metadata: Mapping[str, Any] = {
        "response_sha256": dg.MetadataValue.json(sorted(fetched.digests)),
        "requests": fetched.calls,
        "not_given": dg.MetadataValue.json(dict(fetched.missing)),
        "not_given_count": len(fetched.missing),
    }
    context.add_output_metadata(metadata)
    for subject, reason in fetched.missing.items():
        context.log.info(f"{subject}: {reason}")
