"""Late tables, the calls of the month, the error budgets: sightings from the rows, the quota store and the checks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from crypto_assets.checks import state
from crypto_assets.checks.calls import BUDGET_WARNING, months
from crypto_assets.checks.state import FRESHNESS
from crypto_assets.monitoring.alerts.incidents import Incident, Sighting
from crypto_assets.monitoring.freshness import observe
from crypto_assets.monitoring.slo import observed
from crypto_assets.settings import Settings
from crypto_assets.sources.client.limits import PROVIDERS
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import look_back
from crypto_assets.transforms import service_level


def late_tables(warehouse: Warehouse, open_now: Mapping[str, Incident], now: datetime) -> list[Sighting]:
    """Observe tables whose newest row is older than their limit.

    A table that was never filled, or not for 40 days, is not kept up to date, and so it is not late.

    Args:
        warehouse: the tables.
        open_now: subject -> open incident.
        now: the instant, UTC.

    Returns:
        The sightings.
    """
    sightings = []
    for seen in observe(warehouse, now):
        if seen.fresh or seen.word == state.RECORDED:
            sightings.append(Sighting(seen.table, None))
        elif seen.newest is not None and seen.word == state.LATE:
            since = seen.newest + seen.late_after
            text = f"the newest row of {seen.table} was known at {seen.newest:%Y-%m-%d %H:%M} UTC, the limit is {seen.late_after}"
            sightings.append(Sighting(seen.table, text, since, consequence_of(seen.table)))
    return sightings


def consequence_of(table: str) -> str | None:
    """Say which tables depend on this one; None where none does."""
    resting, frontier = [], {table}
    for derived, inputs in look_back().items():
        if frontier & set(inputs):
            frontier.add(derived)
            resting.append(derived)
    return f"readers get old values, {' and '.join(resting)} included" if resting else None


def budget_left(settings: Settings, now: datetime) -> list[Sighting]:
    """Observe each provider's calls of the month against its budget, as the check does.

    Args:
        settings: the budgets and the quota store.
        now: the instant, UTC.

    Returns:
        The sightings.
    """
    found = months(settings, now)
    over = {provider: str(month) for provider, month in found.items() if month.share >= BUDGET_WARNING}
    return [Sighting(provider, over.get(provider), now) for provider in PROVIDERS]


def burning(warehouse: Warehouse, now: datetime) -> list[Sighting]:
    """Observe tables whose error budget burns too fast over one hour and six hours.

    One more sighting says whether anybody observes at all. It is over once an hour has passed without a bad slot.
    Without any observation there is no sighting.

    Args:
        warehouse: the tables.
        now: the instant, UTC.

    Returns:
        The sightings.
    """
    known = observed(warehouse, now, service_level.LONG + service_level.SLOT)
    missed = service_level.unobserved(known, now)
    text = f"freshness was not observed in {missed} of the last {service_level.SHORT // service_level.SLOT} slots: the service level is unknown"
    sightings = [] if known.is_empty() else [Sighting("observations", text if missed >= 2 else None, now)]
    if not known.is_empty():  # a table that nobody fills does not count in the service level
        sightings += [Sighting(table, None) for table in FRESHNESS if table not in set(known["asset"])]
    for row in service_level.burn(known, now).iter_rows(named=True):
        if row["short"] >= service_level.BURN_SHORT and row["long"] >= service_level.BURN_LONG:
            what = f"{row['asset']} spends its error budget {row['long']:.0f} times too fast over 6 h ({row['short']:.0f} times over 1 h)"
            sightings.append(Sighting(row["asset"], what, now - service_level.SHORT))
        elif row["short"] == 0 and not missed:
            sightings.append(Sighting(row["asset"], None))
    return sightings
