"""What keeps tables true without hands: staleness, late values, refills, alerts. Sensors and schedules beyond cadence.

One file a duty. Each lists its sensors, schedules and jobs; :func:`everything` gathers them for ``definitions.py``.
What does not belong here: fetching, formulas, how often the graph ticks (``automation.py``).
"""

from __future__ import annotations

from typing import Any, TypedDict

from crypto_assets.settings import Settings


class Upkeep(TypedDict):
    assets: list[Any]
    sensors: list[Any]
    schedules: list[Any]
    jobs: list[Any]
    checks: list[Any]


def everything() -> Upkeep:
    """Every sensor, schedule, job and asset of this room, as arguments of ``Definitions``."""
    from crypto_assets.upkeep import alerting, late_values, look, observing, online, reanalysis, refill, salvage, tidy

    duties: list[Any] = [alerting, late_values, look, observing, online, reanalysis, refill, salvage, tidy]
    if Settings.from_env().kube_namespace is not None:
        from crypto_assets.upkeep import janitor  # the Kubernetes client is slow to import and needed in a cluster only

        duties.append(janitor)
    return Upkeep(
        assets=[found for duty in duties for found in getattr(duty, "ASSETS", ())],
        sensors=[found for duty in duties for found in getattr(duty, "SENSORS", ())],
        schedules=[found for duty in duties for found in getattr(duty, "SCHEDULES", ())],
        jobs=[found for duty in duties for found in getattr(duty, "JOBS", ())],
        checks=[found for duty in duties for found in getattr(duty, "ASSET_CHECKS", ())],
    )
