"""The asset graph for operations: selection, order, look-backs."""

from __future__ import annotations

from functools import cache

import dagster as dg
from dagster import AssetKey, AssetSelection
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetNode

from crypto_assets.definitions import defs
from crypto_assets.errors import UsageError


@cache
def job() -> dg.JobDefinition:
    """Return the implicit job of every asset."""
    return defs.resolve_implicit_global_asset_job_def()


@cache
def tables() -> tuple[str, ...]:
    """Return every table with days that a run can fill, inputs before the tables derived from them.

    Assets without partitions (``monitoring/``) belong to one instant and cannot be backfilled or covered.
    """
    graph = defs.resolve_asset_graph()
    return tuple(key.to_user_string() for key in graph.toposorted_asset_keys if _has_days(graph.get(key)))


def _has_days(node: BaseAssetNode) -> bool:
    """Whether the asset is filled by day. Assets about the platform itself (cluster_health) are not."""
    return node.is_materializable and node.partitions_def is not None


@cache
def checks_without_days() -> frozenset[dg.AssetCheckKey]:
    """Return the checks of what no run over days looks at: assets of the moment, and tables that are written beside."""
    graph = defs.resolve_asset_graph()
    return frozenset(key for key in graph.asset_check_keys if not _has_days(graph.get(key.asset_key)))


@cache
def tables_of_step(step: str) -> tuple[str, ...]:
    """Return the tables that a step of a run fills: the one of its own name, or those of a multi-asset."""
    found = next((a for a in defs.assets or () if isinstance(a, dg.AssetsDefinition) and a.op.name == step), None)
    return (step,) if found is None else tuple(key.to_user_string() for key in found.keys)


def select(selection: str | None) -> tuple[str, ...]:
    """Select tables by Dagster's asset-selection syntax.

    Args:
        selection: the expression; None for all.

    Returns:
        The tables, in topological order.

    Raises:
        UsageError: the expression is not valid, or selects nothing.
    """
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
