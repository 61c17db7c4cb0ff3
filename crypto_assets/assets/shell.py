"""What every asset of the graph has in common, said once: calendar, contract metadata, freshness, backfill policy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd

from crypto_assets.assets import set_aside
from crypto_assets.assets.calendar import daily
from crypto_assets.assets.providers import Providers
from crypto_assets.automation.schedules import FRESHNESS
from crypto_assets.catalog import Coin
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import ALONE, Fetched, SetAside
from crypto_assets.sources.screen import screen
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.schemas import CONTRACTS

DAILY = daily(Settings.from_env().start)
OWNER = "team:market-data"
COINS_TAG = "crypto_assets/coins"  # run tag: fetch these coins only
FAILED_COINS = "failed_coins"  # metadata of a materialisation: coins whose rows it lacks, and why

# Days a run of a provider-fed asset covers at most: CoinGecko's hourly range limit, so that one coin is one call.
SOURCE_CHUNK_DAYS = min(100, Settings.from_env().chunk_days)
# Days a run of a derived asset covers at most: bounds memory, not calls.
DERIVED_CHUNK_DAYS = Settings.from_env().chunk_days
# Rows of ml_features a run makes at most: some 0.7 GB a copy of the frame, and a run holds a few of them.
FEATURE_CHUNK_ROWS = 300 * 24 * 60

FROM_PROVIDER = dg.BackfillPolicy.multi_run(SOURCE_CHUNK_DAYS)
DERIVED = dg.BackfillPolicy.multi_run(DERIVED_CHUNK_DAYS)


def feature_chunk_days(coins: int) -> int:
    """Days of ``ml_features`` that a run covers at most with this many coins, so that no run needs more memory."""
    return max(1, min(DERIVED_CHUNK_DAYS, FEATURE_CHUNK_ROWS // (24 * coins)))


def asset_kwargs(
    contract: Contract, *, group: str, kinds: set[str], layer: str, policy: dg.BackfillPolicy
) -> dict[str, Any]:
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
        "freshness_policy": FRESHNESS[contract.table].policy() if contract.table in FRESHNESS else None,
        "metadata": {"dagster/column_schema": column_schema(contract), "dagster/table_name": contract.table},
        "io_manager_key": "io_manager",
    }


def asset_out(contract: Contract, *, group: str, kinds: set[str], layer: str) -> dg.AssetOut:
    """The same for one table of a multi-asset; calendar and backfill policy belong to the whole of it."""
    said = asset_kwargs(contract, group=group, kinds=kinds, layer=layer, policy=FROM_PROVIDER)
    names = ("group_name", "kinds", "owners", "tags", "description", "freshness_policy", "metadata", "io_manager_key")
    return dg.AssetOut(**{name: said[name] for name in names}, is_required=False)


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


def not_shown(context: dg.AssetExecutionContext, contract: Contract) -> pd.DataFrame:
    """No rows: the provider shows the present only, and none of the run's days is today. Stored rows stay."""
    context.add_output_metadata({"not_shown": "the provider shows the present only; no request was made"})
    return contract.empty().to_pandas()


def already_seen(context: dg.AssetExecutionContext, contract: Contract) -> pd.DataFrame:
    """No rows: the table keeps the first snapshot of its hour or day, and that one is stored."""
    context.add_output_metadata({"already_seen": "the snapshot of this hour or day is stored; no request was made"})
    return contract.empty().to_pandas()


def days_of(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """First and last requested day of this run, both included."""
    keys = context.partition_key_range
    return date.fromisoformat(keys.start), date.fromisoformat(keys.end)


def coins_of(context: dg.AssetExecutionContext, providers: Providers) -> tuple[Coin, ...]:
    """The configured coins, or those of them that the run was started for: coins that failed are tried alone."""
    coins = providers.coins()
    only = context.run.tags.get(COINS_TAG)
    return coins if only is None else tuple(coin for coin in coins if coin.symbol in only.split(","))


def fetch(
    context: dg.AssetExecutionContext,
    providers: Providers,
    source: Callable[[Client, Settings], Awaitable[Fetched]],
    contract: Contract,
) -> Fetched:
    """What the source gives. In a run for coins that failed before, coins that fail again stay named, and no step fails:
    the day is as complete as it was, and a failed step would have all of its coins asked for again.
    """
    only = context.run.tags.get(COINS_TAG)
    if only is None:
        return screen(contract, providers.fetch(source))
    token = ALONE.set(True)
    try:
        return screen(contract, providers.fetch(source))
    except (SourceError, dg.Failure) as error:
        reason = str(error.description if isinstance(error, dg.Failure) else error)
        return Fetched(contract.empty().to_pandas(), failed=dict.fromkeys(only.split(","), reason))
    finally:
        ALONE.reset(token)


def note(context: dg.AssetExecutionContext, fetched: Fetched, output: str | None = None, **more: Any) -> None:
    """Where the rows came from: response hashes, calls made, what the provider did not have, and which coins failed.

    What was set aside goes to table ``set_aside`` as well.
    """
    metadata: Mapping[str, Any] = {
        **more,
        FAILED_COINS: dg.MetadataValue.json(dict(fetched.failed)),
        "response_sha256": dg.MetadataValue.json(sorted(fetched.digests)),
        "requests": fetched.calls,
        "not_given": dg.MetadataValue.json(dict(fetched.missing)),
        "not_given_count": len(fetched.missing),
        "set_aside": dg.MetadataValue.json(set_aside_by_reason(fetched.set_aside)),
        "set_aside_count": sum(record.count for record in fetched.set_aside),
        "surplus": dg.MetadataValue.json(dict(fetched.surplus)),
    }
    context.add_output_metadata(metadata, output_name=output)
    providers: Providers = context.resources.providers
    contract = CONTRACTS[output or context.asset_key.to_user_string()]
    set_aside.record(Warehouse(providers.settings().warehouse), contract, fetched, *days_of(context), providers.now())
    for subject, reason in fetched.missing.items():
        context.log.info(f"{subject}: {reason}")
    for subject, reason in fetched.failed.items():
        context.log.warning(f"{subject} failed, the other coins were stored: {reason}")


def set_aside_by_reason(records: Iterable[SetAside]) -> dict[str, dict[str, Any]]:
    """Reason -> how many observations, of which subjects, and one example: what the UI shows of a materialisation."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        entry = found.setdefault(record.reason, {"count": 0, "subjects": [], "example": record.example})
        entry["count"] += record.count
        if record.subject not in entry["subjects"]:
            entry["subjects"].append(record.subject)
    return found


def failed_coins_of(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, str]:
    """The coins whose rows a materialisation lacks because the provider failed for them, and why."""
    note = metadata.get(FAILED_COINS)
    listed = note.value if note is not None and isinstance(note.value, dict) else {}
    return {str(coin): str(reason) for coin, reason in listed.items()}
