"""Columns about the events that name a coin, hour by hour, from ``coin_events``."""

from __future__ import annotations

from functools import partial

from crypto_assets.features.own_hour import of_own_hour
from crypto_assets.tables.events import KIND_DAYS, KINDS

NAMED = "events_24h > 0"  # without an event there is no tone and no novelty
RARELY = "events_24h < 0"  # no row is expected to have it: most coins have had no such event
_event = partial(of_own_hour, "coin_events")

EVENT_FEATURES = (
    _event("events_24h", "events", "Events of the last 24 hours that name the coin; null where no event at all was seen.",
           "event_count_24h", 0),
    _event("event_outlets_24h", "outlets", "Outlets of these events.", "outlet_count_24h", 0),
    _event("event_novelty_24h", "fraction", "Share of these events that were first seen in the 24 hours.", "novelty_24h", 0, 1, NAMED),
    _event("event_tone_24h", "-1 to 1", "Mean tone of these events, one vote each.", "tone_24h", -1, 1, NAMED),
    _event("event_tone_relative_30d", "-2 to 2", "event_tone_24h less the coin's mean of the last 30 days.", "tone_relative_30d", -2, 2, RARELY),
    *(_event(f"event_hours_since_{kind}", "hours", f"Hours since the newest {kind} event of the coin; null without one in {KIND_DAYS} days.",
             f"hours_since_{kind}", 0, where=RARELY) for kind in KINDS),
    _event("event_typical_reaction_24h", "fraction",
           "Median abnormal return after 24 hours (of BTC: return) to events like the newest one, as known when it was first seen.",
           "typical_reaction_24h", where=RARELY),
)  # fmt: skip
