"""What opens and what closes an incident: pure, so that every order of sightings can be tried.

A sighting is what a sensor saw of one subject: trouble, or health. What it could not see it does not mention: the
unknown neither opens an incident nor closes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

CAUSE = 300  # characters of a cause that leave room for why it is over (``message.LONGEST``)


@dataclass(frozen=True)
class Sighting:
    """``trouble`` is one sentence, or None where the subject was seen to be well. ``since`` is when it began, UTC."""

    subject: str
    trouble: str | None
    since: datetime | None = None
    consequence: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    why_over: str | None = None  # where the trouble ends otherwise than by being mended


@dataclass(frozen=True)
class Incident:
    """One stretch of trouble of one subject; ``id`` is 0 until it is stored."""

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
    opened: list[Incident]
    closed: list[Incident]
    seen: list[Incident]  # still open, with what was seen last


def changes(kind: str, open_now: Mapping[str, Incident], sightings: Iterable[Sighting], now: datetime) -> Changes:
    """What the sightings do to the open incidents of a kind (by subject). Of one subject the last sighting counts."""
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
