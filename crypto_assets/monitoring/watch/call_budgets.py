"""The calls of the month to each provider against its budget, read from the quota store."""

from __future__ import annotations

from datetime import datetime

from crypto_assets.checks.calls import BUDGET_WARNING, months
from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.watch.watcher import Watcher
from crypto_assets.settings import Settings
from crypto_assets.sources.client.limits import PROVIDERS


def call_budgets(settings: Settings, now: datetime) -> list[Sighting]:
    """Observe each provider's projected calls of the month, with the limit of the check ``budget_projection``.

    Args:
        settings: The budgets and the quota store.
        now: The instant, UTC.

    Returns:
        The sightings, by provider.

    Raises:
        InstanceError: The quota store cannot be reached.
    """
    found = months(settings, now)
    over = {provider: str(month) for provider, month in found.items() if month.share >= BUDGET_WARNING}
    return [Sighting(provider, over.get(provider), now) for provider in PROVIDERS]


WATCHER = Watcher.of_state(
    "budget",
    900,
    "Each provider's calls projected to the end of the month against its budget.",
    lambda context: call_budgets(context.settings, context.now),
)
