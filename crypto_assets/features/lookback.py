"""How many days of each input a run must load, derived from the feature definitions."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

from crypto_assets.features.all_features import FEATURES, Feature
from crypto_assets.features.feature import FILL_HOURS, HOUR
from crypto_assets.tables import context, derivatives, events, macro, network, news, onchain, prices, social
from crypto_assets.tables.spec import AsOf, OnTheHour

DAY = timedelta(days=1)

_READ = {
    spec.table: spec.read_by_features
    for group in (prices, derivatives, onchain, network, context, macro, news, events, social)
    for spec in group.SPECS
}  # not the registry: its feature table needs what is here
_NAMED = dict.fromkeys(table for feature in FEATURES.values() for table in sorted(feature.tables))
if unread := [table for table in _NAMED if _READ.get(table) is None]:
    raise TypeError(
        f"{unread[0]}: a feature names it, but read_by_features of its TableSpec in crypto_assets/tables/ does not say how "
        "features read it"
    )

# Table -> hours from the row's ts to the mark it stands at.
HOURLY = {t: how.delay_hours for t, how in _READ.items() if t in _NAMED and isinstance(how, OnTheHour)}
# A row is known at the latest this long after its day (or hour) opened: the contracts' available_at rules.
KNOWN_WITHIN = {t: how.known_within for t, how in _READ.items() if t in _NAMED and isinstance(how, AsOf)}


@cache
def users(table: str) -> tuple[Feature, ...]:
    """Return the features that use a table."""
    return tuple(feature for feature in FEATURES.values() if table in feature.tables)


@cache
def window(table: str) -> int:
    """Count the hour marks of an hourly table that one output hour uses, including its own.

    For bars this includes those that may hold the close that fills a gap at the oldest end of the window.

    Args:
        table: the table's name.

    Returns:
        The number of hours.
    """
    own = max(feature.hours for feature in users(table) if feature.stale is None)
    return own + FILL_HOURS if table == "ohlc" else own


@cache
def oldest_days(table: str) -> int:
    """Return how many days before the day of an hour a row may still serve it in an as-of join."""
    stale = max(feature.stale for feature in users(table) if feature.stale is not None)
    return -(-(KNOWN_WITHIN[table] + stale) // DAY)


@cache
def change_hours(table: str) -> int:
    """Return how many hours before an output hour the table is joined as well."""
    return max(feature.hours - 1 for feature in users(table))


def look_back(table: str) -> int:
    """Compute how many days before the first output day rows are needed; earlier rows change nothing.

    Args:
        table: the table's name.

    Returns:
        The number of days.
    """
    if table in HOURLY:
        return -(-(window(table) - 1 + HOURLY[table]) * HOUR // DAY)
    return oldest_days(table) + -(-change_hours(table) * HOUR // DAY)


LOOKBACK_DAYS: dict[str, int] = {table: look_back(table) for table in (*HOURLY, *KNOWN_WITHIN)}
