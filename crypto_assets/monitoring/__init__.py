"""Monitoring: observed freshness, service level, alerts, the quality report, metrics.

Its assets have no partitions: an observation is of the moment and cannot be backfilled, so ``backfill`` and ``status``
leave them out.
"""

from __future__ import annotations

from types import ModuleType


def dagster_modules() -> list[ModuleType]:
    """The modules of this room that have sensors, schedules, jobs or assets."""
    from crypto_assets.monitoring import freshness_observation, history_report, quality_report, slo
    from crypto_assets.monitoring.alerts import sensors

    return [sensors, freshness_observation, slo, history_report, quality_report]
