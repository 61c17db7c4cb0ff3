"""Whether the model is there and answers.

This is read from its server's list (without generation) and from the analyses of the last day.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from crypto_assets.checks.analysis import analysis_health
from crypto_assets.checks.outcome import Scope
from crypto_assets.dates import DAY
from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.narratives.llm.client import ModelAwayError, Ollama
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse

SUBJECT = "ollama"
PROBES, PAUSE_S = 3, 1.0
UNANSWERED = 0.5  # share of the last day's articles; single failures are findings of the check


def model_down(settings: Settings, now: datetime) -> list[Sighting]:
    """Observe the model. Where no server or model is configured, all is well.

    Args:
        settings: the server, the model, and the warehouse.
        now: the instant, UTC.

    Returns:
        The sightings.
    """
    if not settings.ollama_set:
        return [Sighting(SUBJECT, None)]
    away = asyncio.run(_away(settings))
    if away is not None:
        return [Sighting(SUBJECT, away, now)]
    today = now.date()
    health = analysis_health(Scope(Warehouse(settings.warehouse), settings, today - DAY, today, now))
    articles, unanswered = health.numbers["articles"], health.numbers["without_an_answer"]
    silent = articles > 0 and unanswered / articles > UNANSWERED
    return [Sighting(SUBJECT, health.description if silent else None, now)]


async def _away(settings: Settings) -> str | None:
    """Return why the model is not there.

    A single failed answer does not count, because nobody should be called for it.
    """
    said = None
    async with Ollama(settings) as client:
        for attempt in range(PROBES):
            await asyncio.sleep(PAUSE_S if attempt else 0)
            try:
                await client.probe()
            except ModelAwayError as error:
                said = str(error)
            else:
                return None
    return said
