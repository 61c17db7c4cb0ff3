"""Dagster's definitions: all assets, checks, schedules, sensors, jobs and resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from crypto_assets import assets, automation, monitoring, serving
from crypto_assets.assets.providers import Providers
from crypto_assets.assets.shell import DAILY
from crypto_assets.automation import schedules
from crypto_assets.checks.shells import all_checks
from crypto_assets.dagster_internals.run_processes import fork_runs
from crypto_assets.settings import Settings
from crypto_assets.storage.io_manager import DeltaIOManager
from crypto_assets.storage.warehouse import of_settings


@dg.io_manager
def warehouse_io_manager(_: dg.InitResourceContext) -> DeltaIOManager:
    """Build the IO manager on the warehouse that the environment names at run time; a demo's takes a sandbox's rows only."""
    return DeltaIOManager(lambda: of_settings(Settings.from_env()))


def build_defs(overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Collect assets, checks, schedules, sensors and jobs; ``overrides`` replaces resources by key, for tests."""
    executor, more = _cluster() if Settings.from_env().kube_namespace else (dg.in_process_executor, [])
    modules = [module for room in (assets, monitoring, automation, serving) for module in room.dagster_modules()] + more
    kinds = ("ASSETS", "SENSORS", "SCHEDULES", "JOBS", "ASSET_CHECKS")
    found = {kind: [one for module in modules for one in getattr(module, kind, ())] for kind in kinds}
    return dg.Definitions(
        assets=found["ASSETS"],
        asset_checks=[*all_checks(), *found["ASSET_CHECKS"]],
        schedules=[*schedules.schedules(DAILY), *found["SCHEDULES"]],
        sensors=found["SENSORS"],
        jobs=found["JOBS"],
        resources={"io_manager": warehouse_io_manager, "providers": Providers(), **(overrides or {})},
        executor=executor,
    )


def _cluster() -> tuple[dg.ExecutorDefinition, list[Any]]:
    """Return the executor of a cluster, which gives large steps a pod of their own, and the janitor.

    Their Kubernetes client is slow to import, so only a cluster imports it. Elsewhere steps run in the process of the run,
    because a step process needs 2-4 s for its imports.
    """
    from crypto_assets.runtime.kubernetes import executor, janitor

    return executor.pods_where_earned, [janitor]


defs = build_defs()
fork_runs("crypto_assets.runtime.run_template")
