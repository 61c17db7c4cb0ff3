"""Which events a model is asked about. What a model costs is bounded here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

LEAST_OUTLETS = 2  # of one article, the article's own analysis says it all
EVENTS_A_DAY = 50  # those of most outlets


def sent_to_model(events: Iterable[tuple[date, str, int]]) -> set[tuple[date, str]]:
    """Choose the events that a model is asked about: of each day those of most outlets.

    Args:
        events: day, event_id and number of outlets.

    Returns:
        (day, event_id).
    """
    by_day: dict[date, list[tuple[int, str]]] = {}
    for day, event, outlets in events:
        if outlets >= LEAST_OUTLETS:
            by_day.setdefault(day, []).append((-outlets, event))
    return {(day, event) for day, found in by_day.items() for _, event in sorted(found)[:EVENTS_A_DAY]}
