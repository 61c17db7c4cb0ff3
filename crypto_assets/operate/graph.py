"""The asset graph as the operations need it: selection, order, look-backs."""

from __future__ import annotations

from functools import cache

import dagster as dg
from dagster import AssetKey, AssetSelection
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetNode

from crypto_assets.definitions import defs
from crypto_assets.errors import UsageError


@cache
def job() -> dg.JobDefinition:
    """The implicit job of every asset."""
    return defs.resolve_implicit_global_asset_job_def()


@cache
def tables() -> tuple[str, ...]:
    """Every table with days that a run can fill, inputs before what is derived from them.

    Assets without partitions are of the moment (``monitoring/``): there is nothing of them to backfill or to cover.
    """
    graph = defs.resolve_asset_graph()
    return tuple(key.to_user_string() for key in graph.toposorted_asset_keys if _has_days(graph.get(key)))


def _has_days(node: BaseAssetNode) -> bool:
    """Is it filled by day? What the platform says about itself (cluster_health) is not."""
    return node.is_materializable and node.partitions_def is not None


@cache
def tables_of_step(step: str) -> tuple[str, ...]:
    """The tables that a step of a run fills: its own name's, or those of a multi-asset."""
    found = next((a for a in defs.assets or () if isinstance(a, dg.AssetsDefinition) and a.op.name == step), None)
    return (step,) if found is None else tuple(key.to_user_string() for key in found.keys)


def select(selection: str | None) -> tuple[str, ...]:
    """Tables by Dagster's asset-selection syntax, in topological order. Raises :class:`UsageError`."""
    if selection is None:
        return tables()
    try:
        keys = AssetSelection.from_string(selection).resolve(defs.resolve_asset_graph())
    except Exception as error:
        raise UsageError(
            f"--select {selection!r} cannot be read ({' '.join(str(error).split())[:120]}); "
            'write e.g. key:"ml_features", group:"onchain" or +key:"ml_features"'
        ) from error
    if not keys:
        raise UsageError(f"--select {selection!r} matches no asset; the assets are {', '.join(tables())}")
    return tuple(table for table in tables() if AssetKey(table) in keys)
