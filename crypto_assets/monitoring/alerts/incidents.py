"""What opens and what closes an incident: pure, so that tests can try every order of sightings.

A sighting says that a watcher found one subject in trouble or well. A subject whose state is unknown has no sighting, so
it neither opens nor closes an incident.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

CAUSE = 300  # characters of a cause; leaves room for the reason of its end (``message.LONGEST``)


@dataclass(frozen=True)
class Sighting:
    """The state of one subject at an observation.

    ``trouble`` is one sentence, or None where the subject is well. ``since`` is when it began, UTC.
    """

    subject: str
    trouble: str | None
    since: datetime | None = None
    consequence: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    why_over: str | None = None  # why the trouble is over, if it was not repaired


@dataclass(frozen=True)
class Incident:
    """One period of trouble of one subject; ``id`` is 0 until it is stored."""

    id: int
    kind: str
    subject: str
    what: str
    since: datetime
    opened_at: datetime
    consequence: str | None = None
    closed_at: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Changes:
    """What sightings change: incidents to open, to close, and those that stay open."""

    opened: list[Incident]
    closed: list[Incident]
    seen: list[Incident]  # still open, with the last sighting


def changes(kind: str, open_now: Mapping[str, Incident], sightings: Iterable[Sighting], now: datetime) -> Changes:
    """Compute what sightings do to the open incidents of a kind. Of one subject the last sighting counts.

    Args:
        kind: the kind of alert.
        open_now: subject -> open incident.
        sightings: what a watcher found.
        now: the current time, UTC.

    Returns:
        The changes.
    """
    found = Changes([], [], [])
    for sighting in {s.subject: s for s in sightings}.values():
        known = open_now.get(sighting.subject)
        if sighting.trouble is None:
            if known is not None:
                what = f"{known.what[:CAUSE]}; over: {sighting.why_over}" if sighting.why_over else known.what
                found.closed.append(_with(known, closed_at=now, what=what))
        elif known is None:
            found.opened.append(
                Incident(
                    0,
                    kind,
                    sighting.subject,
                    sighting.trouble,
                    sighting.since or now,
                    now,
                    sighting.consequence,
                    facts=dict(sighting.facts),
                )
            )
        else:
            found.seen.append(_with(known, what=sighting.trouble, facts={**known.facts, **sighting.facts}))
    return found


def _with(incident: Incident, **new: Any) -> Incident:
    return Incident(**{**incident.__dict__, **new})
