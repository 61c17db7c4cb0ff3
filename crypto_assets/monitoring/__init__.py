"""Monitoring: freshness observations, service level, alerts, the quality report, metrics.

Its assets have no partitions, because an observation of the present cannot be backfilled; ``backfill`` and ``status``
leave them out. What does not belong here: what makes a table fresh, due or late (``checks/state.py``), and repairs
(``automation/``).
"""

from __future__ import annotations

from types import ModuleType


def dagster_modules() -> list[ModuleType]:
    """Return the modules of this package that define assets, sensors, schedules or jobs."""
    from crypto_assets.monitoring import freshness_observation, history_report, model_report, quality_report, slo
    from crypto_assets.monitoring.alerts import sensors

    return [sensors, freshness_observation, slo, history_report, quality_report, model_report]
