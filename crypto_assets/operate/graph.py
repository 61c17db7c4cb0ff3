"""The asset graph for operations: selection, order, look-backs."""

from __future__ import annotations

import re
from functools import cache

import dagster as dg
from dagster import AssetKey, AssetSelection

from crypto_assets import catalog
from crypto_assets.assets.providers import stop_waiting
from crypto_assets.dagster_internals.core import days_of_run, keep_subsets
from crypto_assets.dagster_internals.side_by_side import side_by_side
from crypto_assets.definitions import defs
from crypto_assets.errors import UsageError, suggestion
from crypto_assets.settings import Settings
from crypto_assets.tables.registry import TABLES

MOST_AT_ONCE = 4  # steps of a run that ask providers at the same time
HOURS_AT_ONCE = (
    1_000_000  # coin-hours that they ask for together: a million rows of a provider take up to 1.5 GB meanwhile
)


@cache
def job() -> dg.JobDefinition:
    """Return the implicit job of every asset, whose steps that ask providers run beside the others."""
    return keep_subsets(defs.resolve_implicit_global_asset_job_def(), side_by_side(stop_waiting, asked_at_once))


def asked_at_once(run: dg.DagsterRun) -> int:
    """Compute how many steps of a run ask providers at the same time: few where a run covers many coins and days.

    Args:
        run: a run over a range of days, over one day, or without days.

    Returns:
        Steps, 1 to ``MOST_AT_ONCE``.
    """
    hours = 24 * days_of_run(run.tags) * len(catalog.select(Settings.from_env().coins))
    return max(1, min(MOST_AT_ONCE, HOURS_AT_ONCE // hours))


@cache
def tables() -> tuple[str, ...]:
    """Return every table with days that a run can fill, inputs before the tables derived from them.

    Assets without partitions (``monitoring/``) belong to one instant and cannot be backfilled or covered.
    """
    graph = defs.resolve_asset_graph()
    nodes = {key: graph.get(key) for key in graph.toposorted_asset_keys}
    return tuple(key.to_user_string() for key, node in nodes.items() if node.is_materializable and node.partitions_def)


@cache
def unpartitioned_checks() -> frozenset[dg.AssetCheckKey]:
    """Return the checks of unpartitioned tables, which no run over days makes."""
    graph = defs.resolve_asset_graph()
    days = set(tables())
    return frozenset(key for key in graph.asset_check_keys if key.asset_key.to_user_string() not in days)


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
        groups = {spec.group for spec in TABLES.values()}
        words = [word for word in re.findall(r"\w+", selection) if word not in {*tables(), *groups, "key", "group"}]
        raise UsageError(
            f"--select {selection!r} matches no asset{suggestion(words, {*tables(), *groups})}; "
            f"the assets are {', '.join(tables())}"
        )
    return tuple(table for table in tables() if AssetKey(table) in keys)
