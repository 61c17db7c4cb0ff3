"""The whole graph at a glance. Tests and production differ only in ``overrides``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from crypto_assets import automation, monitoring
from crypto_assets.assets import context, ml, news, onchain, operations, prices
from crypto_assets.assets.providers import Providers
from crypto_assets.assets.shell import DAILY
from crypto_assets.automation import schedules
from crypto_assets.checks import all_checks
from crypto_assets.settings import Settings
from crypto_assets.storage.io_manager import DeltaIOManager
from crypto_assets.storage.warehouse import Warehouse


@dg.io_manager
def warehouse_io_manager(_: dg.InitResourceContext) -> DeltaIOManager:
    """The warehouse that the environment names when a run needs it."""
    return DeltaIOManager(lambda: Warehouse(Settings.from_env().warehouse))


ROOMS = (prices, onchain, context, news, ml, operations)
ASSETS = [*(asset for room in ROOMS for asset in room.ASSETS), *monitoring.assets()]


def build_defs(overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Assets, checks, schedules and resources; ``overrides`` replaces resources by key."""
    resources: dict[str, Any] = {
        "io_manager": warehouse_io_manager,
        "providers": Providers(),
    }
    keep = automation.everything()
    return dg.Definitions(
        assets=[*ASSETS, *keep["assets"]],
        asset_checks=[*all_checks(), *keep["checks"]],
        schedules=[*schedules.schedules(DAILY), *keep["schedules"]],
        sensors=keep["sensors"],
        jobs=keep["jobs"],
        resources={**resources, **(overrides or {})},
        executor=_executor(),
    )


def _executor() -> dg.ExecutorDefinition:
    """In the run's process: step processes cost 2-4 s each to import. In a cluster, pods for the steps that earn one."""
    if Settings.from_env().kube_namespace is None:
        return dg.in_process_executor
    from crypto_assets.runtime.kubernetes.executor import pods_where_earned

    return pods_where_earned


defs = build_defs()
