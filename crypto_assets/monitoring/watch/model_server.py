"""Whether the language model answers: its server's list of models (without generation), and the last day's analyses."""

from __future__ import annotations

import asyncio
from datetime import datetime

from crypto_assets.checks.analysis_health import analysis_health, event_health
from crypto_assets.checks.outcome import Scope
from crypto_assets.dates import DAY
from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.watch.watcher import Watcher
from crypto_assets.narratives.llm.client import ModelAwayError, Ollama
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse

SUBJECT = "ollama"
PROBES, PAUSE_S = 3, 1.0
UNANSWERED = (
    0.5  # share of the last day's articles and events; single failures are reported by the check analysis_health
)


def model_server(settings: Settings, now: datetime) -> list[Sighting]:
    """Observe the model. Without a configured server or model, all is well.

    Args:
        settings: The server, the model, and the warehouse.
        now: The instant, UTC.

    Returns:
        One sighting.

    Raises:
        WarehouseError: The analyses cannot be read.
    """
    if not settings.ollama_set:
        return [Sighting(SUBJECT, None)]
    why = asyncio.run(_why_no_answer(settings))
    if why is not None:
        return [Sighting(SUBJECT, why, now)]
    today = now.date()
    scope = Scope(Warehouse(settings.warehouse), settings, today - DAY, today, now)
    measures = {"articles": analysis_health, "events": event_health}
    healths = {what: measures[what](scope) for what in settings.ollama_reads}
    texts = sum(health.numbers[what] for what, health in healths.items())
    unanswered = sum(health.numbers["without_an_answer"] for health in healths.values())
    silent = texts > 0 and unanswered / texts > UNANSWERED
    said = "; ".join(health.description for health in healths.values() if not health.passed)
    return [Sighting(SUBJECT, said if silent else None, now)]


async def _why_no_answer(settings: Settings) -> str | None:
    """Return why the model does not answer; None if it does. A single failed probe is no reason for an alert."""
    why = None
    async with Ollama(settings) as client:
        for attempt in range(PROBES):
            await asyncio.sleep(PAUSE_S if attempt else 0)
            try:
                await client.probe()
            except ModelAwayError as error:
                why = str(error)
            else:
                return None
    return why


WATCHER = Watcher.of_state(
    "llm_down",
    300,
    "The model's server and list, and how many of the last day's articles it answered.",
    lambda context: model_server(context.settings, context.now),
)
