"""How well the platform serves: observed freshness, service level, the quality report. Reads every table, feeds none.

Its assets have no partitions: an observation is of the moment and cannot be backfilled, so ``backfill`` and ``status``
leave them out. What is measured is in ``checks`` and ``transforms``; here it is gathered and shown.
"""

from __future__ import annotations

from typing import Any


def assets() -> list[Any]:
    """Every asset of this room."""
    from crypto_assets.monitoring import history_report, quality_report, slo

    return [*slo.ASSETS, *history_report.ASSETS, *quality_report.ASSETS]
