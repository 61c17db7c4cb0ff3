"""What runs without a person: the ticks, the planner of repairs, the checks between the ticks, retention.

Each file lists its sensors, schedules and jobs; ``definitions.py`` collects them.
What does not belong here: fetching, formulas, alerts and the service level (``monitoring/``).
"""

from __future__ import annotations

from types import ModuleType


def dagster_modules() -> list[ModuleType]:
    """Return the modules of this package that define sensors, schedules or jobs."""
    from crypto_assets.automation import checks_only, repair, tidy

    return [checks_only, repair, tidy]
