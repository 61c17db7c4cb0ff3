"""Tables that are late, the month's calls, the LLM: sightings from the rows, the book of calls and the checks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from crypto_assets.alerts.incidents import Incident, Sighting
from crypto_assets.assets.reach import REACH
from crypto_assets.checks.outcome import Scope
from crypto_assets.checks.sources import budget_projection
from crypto_assets.service.freshness import observe
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse


def late_tables(warehouse: Warehouse, open_now: Mapping[str, Incident], now: datetime) -> list[Sighting]:
    """Tables whose newest row is older than their limit. One never filled, or not for 40 days, is not being kept live."""
    sightings = []
    for seen in observe(warehouse, now):
        if seen.fresh:
            sightings.append(Sighting(seen.table, None))
        elif seen.newest is not None:
            since = seen.newest + seen.late_after
            text = f"the newest row of {seen.table} was known at {seen.newest:%Y-%m-%d %H:%M} UTC, the limit is {seen.late_after}"
            sightings.append(Sighting(seen.table, text, since, consequence_of(seen.table)))
    return sightings


def consequence_of(table: str) -> str | None:
    """Which tables rest on this one, or None where none does."""
    resting, frontier = [], {table}
    for derived, inputs in REACH.items():
        if frontier & set(inputs):
            frontier.add(derived)
            resting.append(derived)
    return f"readers get old values, {' and '.join(resting)} included" if resting else None


def budget_left(settings: Settings, now: datetime) -> list[Sighting]:
    """CoinGecko's month against its budget, by the measure that the check uses."""
    today = now.date()
    outcome = budget_projection(Scope(Warehouse(settings.warehouse), settings, today, today, now))
    return [Sighting("coingecko", None if outcome.passed else outcome.description, now)]
