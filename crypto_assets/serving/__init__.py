"""What consumers read online: the newest features row of each coin, in Postgres.

Computing features does not belong here (see ``features/``), nor the warehouse itself (see ``storage/``).
"""

from __future__ import annotations

from types import ModuleType


def dagster_modules() -> list[ModuleType]:
    """Return the modules of this package that define assets, sensors or checks."""
    from crypto_assets.serving import online_asset

    return [online_asset]
