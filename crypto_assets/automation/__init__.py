"""What keeps tables true without hands: staleness, late values, refills, retention. Sensors and schedules beyond cadence.

One file a duty. Each lists its sensors, schedules and jobs; ``definitions.py`` gathers those of all rooms.
What does not belong here: fetching, formulas, alerts and the service level (``monitoring/``).
"""

from __future__ import annotations

from types import ModuleType


def duties() -> list[ModuleType]:
    """The modules of this room that have sensors, schedules, jobs or assets."""
    from crypto_assets.automation import checks_only, late_values, partial_recovery, reanalysis, refill, tidy

    return [late_values, checks_only, reanalysis, refill, partial_recovery, tidy]
