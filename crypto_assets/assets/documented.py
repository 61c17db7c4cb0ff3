"""Who answers for a definition, and where to read about it: what the UI shows beside assets, checks, jobs and sensors."""

from __future__ import annotations

from typing import Any

import dagster as dg

from crypto_assets.settings import Settings
from crypto_assets.tables.spec import OWNER

OPERATIONS, CHECK_FAILED, MODELS = "operations.md", "runbooks/check-failure.md", "models.md"


def page(name: str) -> dg.MetadataValue:  # type: ignore[type-arg]
    """A page of the documentation as a link.

    Args:
        name: the file under ``docs/``, with an anchor where only a part is meant.

    Returns:
        An address where ``CRYPTO_ASSETS_DOCS`` is one, else the path in the repository.
    """
    where = f"{Settings.from_env().docs}/{name}"
    return dg.MetadataValue.url(where) if "://" in where else dg.MetadataValue.path(where)


def documented(name: str) -> dict[str, Any]:
    """Keyword arguments of a job, schedule or sensor: owner and documentation."""
    return {"owners": [OWNER], "metadata": {"docs": page(name)}}
