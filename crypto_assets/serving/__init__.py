"""What consumers read online: the newest features row of each coin, in Postgres.

Computing features does not belong here (see ``features/``), nor the warehouse itself (see ``storage/``).
"""

from __future__ import annotations

from types import ModuleType


def dagster_modules() -> list[ModuleType]:
    """The modules of this room that have sensors, schedules, jobs or assets."""
    from crypto_assets.serving import online_asset

    return [online_asset]
