"""The states of partitions that Dagster keeps beside each asset (seen in 1.13.27), read without importing Dagster.

Dagster writes the states of all partitions of an asset into its record whenever somebody asks for them, with the number
of the newest event that they include. This module reads them where no event came since and no run is unfinished: then
they are what Dagster would answer. In every other case there is no answer, and the caller asks Dagster itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

__all__ = ["UNFINISHED", "KnownStates", "known_states"]

# What `runs.fail_dead_runs` looks through: a run in one of these states may have died, and only Dagster can end it.
UNFINISHED = ("NOT_STARTED", "STARTING", "STARTED")
# One statement, so that all tables are seen at one instant.
STATES = """
SELECT asset_keys.asset_key, cached_status_data,
  (SELECT max(id) FROM event_logs WHERE event_logs.asset_key = asset_keys.asset_key AND partition IS NOT NULL
     AND dagster_event_type IN ('ASSET_MATERIALIZATION', 'ASSET_MATERIALIZATION_PLANNED')),
  EXISTS (SELECT 1 FROM runs WHERE status = ANY(%(unfinished)s))
FROM asset_keys WHERE asset_keys.asset_key = ANY(%(assets)s)"""
FORMAT = 1  # of a subset of days: ranges of epoch seconds, the end not included
TIMEOUT_S = 5


@dataclass(frozen=True)
class KnownStates:
    """The days of assets by their state. No run is in progress.

    Attributes:
        materialized: Asset -> its materialised days.
        failed: Asset -> the days that failed since they were materialised, or that never were.
    """

    materialized: Mapping[str, frozenset[date]]
    failed: Mapping[str, frozenset[date]]


def known_states(url: str, assets: Iterable[str]) -> KnownStates | None:
    """Read the states of the partitions of some assets by one query.

    Args:
        url: the address of Dagster's Postgres, as SQLAlchemy writes it.
        assets: names of assets with daily partitions, UTC.

    Returns:
        The states; None where Dagster has to be asked: an asset has new events, a run is unfinished, the tables are not
        there or have another form, or Postgres does not answer.
    """
    import psycopg2  # not by whoever loads the graph

    keys = {json.dumps([asset]): asset for asset in assets}
    try:
        connection = psycopg2.connect(url.replace("+psycopg2", "", 1), connect_timeout=TIMEOUT_S)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(STATES, {"assets": list(keys), "unfinished": list(UNFINISHED)})
            rows = cursor.fetchall()
    except psycopg2.Error:
        return None
    if len(rows) < len(keys) or any(unfinished for *_, unfinished in rows):
        return None
    try:
        found = {keys[key]: _states(stored, newest) for key, stored, newest, _ in rows}
    except (ValueError, KeyError, TypeError):  # news, or another form than Dagster's of today
        return None
    return KnownStates({a: done for a, (done, _) in found.items()}, {a: failed for a, (_, failed) in found.items()})


def _states(stored: str, newest: int) -> tuple[frozenset[date], frozenset[date]]:
    """The materialised and the failed days that an asset's record holds.

    Raises:
        ValueError: they lack an event that came since, or a day is in progress, or their form is not known.
        KeyError: their form is not known.
        TypeError: Dagster keeps none of this asset.
    """
    kept = json.loads(stored)
    if kept["latest_storage_id"] < newest or kept["earliest_in_progress_materialization_event_id"] is not None:
        raise ValueError("Dagster has to be asked")
    return _days(kept["serialized_materialized_partition_subset"]), _days(kept["serialized_failed_partition_subset"])


def _days(subset: str | None) -> frozenset[date]:
    if not subset:
        return frozenset()
    parsed = json.loads(subset)
    if parsed["version"] != FORMAT:
        raise ValueError("the form of the subset is not known")
    return frozenset(day for start, end in parsed["time_windows"] for day in _between(start, end))


def _between(start: float, end: float) -> Sequence[date]:
    first, stop = (datetime.fromtimestamp(at, timezone.utc).date() for at in (start, end))
    return [first + timedelta(days=n) for n in range((stop - first).days)]
