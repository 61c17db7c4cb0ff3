"""What keeps tables true without hands: the planner of repairs, checks between the ticks, retention.

One file a duty. Each lists its sensors, schedules and jobs; :func:`everything` gathers them for ``definitions.py``.
What does not belong here: fetching, formulas, how often the graph ticks (``automation/schedules.py``).
"""

from __future__ import annotations

from typing import Any, TypedDict

from crypto_assets.settings import Settings


class Automation(TypedDict):
    assets: list[Any]
    sensors: list[Any]
    schedules: list[Any]
    jobs: list[Any]
    checks: list[Any]


def everything() -> Automation:
    """Every sensor, schedule, job and asset of this room, as arguments of ``Definitions``."""
    from crypto_assets.automation import checks_only, repair, tidy
    from crypto_assets.monitoring import freshness_observation
    from crypto_assets.monitoring.alerts import sensors
    from crypto_assets.serving import online_asset

    duties: list[Any] = [
        sensors,
        checks_only,
        freshness_observation,
        online_asset,
        repair,
        tidy,
    ]
    if Settings.from_env().kube_namespace is not None:
        from crypto_assets.runtime.kubernetes import (
            janitor,  # the Kubernetes client is slow to import and needed in a cluster only
        )

        duties.append(janitor)
    return Automation(
        assets=[found for duty in duties for found in getattr(duty, "ASSETS", ())],
        sensors=[found for duty in duties for found in getattr(duty, "SENSORS", ())],
        schedules=[found for duty in duties for found in getattr(duty, "SCHEDULES", ())],
        jobs=[found for duty in duties for found in getattr(duty, "JOBS", ())],
        checks=[found for duty in duties for found in getattr(duty, "ASSET_CHECKS", ())],
    )
