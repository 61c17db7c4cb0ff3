"""What keeps tables true without hands: the planner of repairs, checks between the ticks, retention.

One file a duty. Each lists its sensors, schedules and jobs; ``definitions.py`` gathers those of all rooms.
What does not belong here: fetching, formulas, alerts and the service level (``monitoring/``).
"""

from __future__ import annotations

from types import ModuleType


def dagster_modules() -> list[ModuleType]:
    """The modules of this room that have sensors, schedules, jobs or assets."""
    from crypto_assets.automation import checks_only, repair, tidy

    return [checks_only, repair, tidy]
