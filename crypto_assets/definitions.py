"""The whole graph at a glance. Tests and production differ only in ``overrides``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from crypto_assets import assets, automation, monitoring, serving
from crypto_assets.assets.providers import Providers
from crypto_assets.assets.shell import DAILY
from crypto_assets.automation import schedules
from crypto_assets.checks import all_checks
from crypto_assets.settings import Settings
from crypto_assets.storage.io_manager import DeltaIOManager
from crypto_assets.storage.warehouse import of_settings


@dg.io_manager
def warehouse_io_manager(_: dg.InitResourceContext) -> DeltaIOManager:
    """The warehouse that the environment names when a run needs it; that of a demo's home takes a sandbox's rows only."""
    return DeltaIOManager(lambda: of_settings(Settings.from_env()))


def build_defs(overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Assets, checks, schedules and resources; ``overrides`` replaces resources by key."""
    executor, more = _cluster() if Settings.from_env().kube_namespace else (dg.in_process_executor, [])
    duties = [duty for room in (assets, monitoring, automation, serving) for duty in room.duties()] + more
    kinds = ("ASSETS", "SENSORS", "SCHEDULES", "JOBS", "ASSET_CHECKS")
    found = {kind: [one for duty in duties for one in getattr(duty, kind, ())] for kind in kinds}
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
    """In a cluster: pods for the steps that earn one, and the janitor. Its client is slow to import, so only there.

    Elsewhere steps run in the run's process: step processes cost 2-4 s each to import.
    """
    from crypto_assets.runtime.kubernetes import executor, janitor

    return executor.pods_where_earned, [janitor]


defs = build_defs()
