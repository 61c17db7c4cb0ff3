"""What keeps tables true without hands: staleness, late values, refills, alerts. Sensors and schedules beyond cadence.

One file a duty. Each lists its sensors, schedules and jobs; :func:`everything` gathers them for ``definitions.py``.
What does not belong here: fetching, formulas, how often the graph ticks (``automation.py``).
"""

from __future__ import annotations

from typing import Any, TypedDict


class Upkeep(TypedDict):
    sensors: list[Any]
    schedules: list[Any]
    jobs: list[Any]


def everything() -> Upkeep:
    """Every sensor, schedule and job of this room, as arguments of ``Definitions``."""
    from crypto_assets.upkeep import alerting

    duties: list[Any] = [alerting]
    return Upkeep(
        sensors=[found for duty in duties for found in getattr(duty, "SENSORS", ())],
        schedules=[found for duty in duties for found in getattr(duty, "SCHEDULES", ())],
        jobs=[found for duty in duties for found in getattr(duty, "JOBS", ())],
    )
