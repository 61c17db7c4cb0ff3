"""Monitoring: observed freshness, service level, alerts, the quality report, metrics.

It reads every table and feeds none.

Its assets have no partitions. An observation belongs to one instant and cannot be backfilled, so ``backfill`` and
``status`` leave these assets out. ``checks`` defines what is measured; this room collects and shows it.
"""

from __future__ import annotations

from typing import Any


def assets() -> list[Any]:
    """Return every asset of this room."""
    from crypto_assets.monitoring import history_report, quality_report, slo

    return [*slo.ASSETS, *history_report.ASSETS, *quality_report.ASSETS]
