"""What prices did after events of a kind: the median and how often it went the way of the tone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

from crypto_assets.tables.events import NEUTRAL, SIMILAR_DAYS

BTC = "BTC"
HORIZON = 24  # hours
LEAST = 5  # reactions without which nothing is said


class Followed(NamedTuple):
    """What followed the events of a kind.

    Attributes:
        reactions: Their number.
        median: Their median: beside BTC, or of BTC itself, as a fraction.
        hits: Share of them that went the way of the tone; None where the tone has no direction.
    """

    reactions: int
    median: float
    hits: float | None


class PastReactions:
    """Reactions after ``HORIZON`` hours, by the kind of their events: theme, direction of the tone, and BTC or another coin."""

    def __init__(self, event_reactions: pd.DataFrame) -> None:
        """Args: event_reactions: rows of the table, ``SIMILAR_DAYS`` before the first instant that is asked about."""
        rows = event_reactions[event_reactions["horizon"] == HORIZON]
        is_btc = rows["symbol"] == BTC
        measure = rows["abnormal_return"].where(~is_btc, rows["return"])
        known = rows.assign(is_btc=is_btc, measure=measure).dropna(subset=["theme", "direction", "measure"])
        self._kinds = dict(list(known.groupby(["theme", "direction", "is_btc"])))

    def after(self, theme: str | None, tone: float | None, symbol: str, at: datetime) -> Followed | None:
        """Return what followed events of a kind, by the reactions that were known at an instant.

        Args:
            theme: the theme.
            tone: the tone, from -1 to 1.
            symbol: BTC is compared with itself, other coins with all but BTC.
            at: the instant.

        Returns:
            The figures; None with fewer than ``LEAST`` reactions, or where theme or tone is unknown.
        """
        said = direction(tone)
        kind = self._kinds.get((theme, said, symbol == BTC)) if said is not None else None
        if kind is None:
            return None
        recent = (kind["available_at"] <= at) & (kind["first_seen"] >= at - timedelta(days=SIMILAR_DAYS))
        measure = kind.loc[recent, "measure"].to_numpy(float)
        if len(measure) < LEAST:
            return None
        hits = float(np.mean(np.sign(measure) == said)) if said else None
        return Followed(len(measure), float(np.median(measure)), hits)


def direction(tone: float | None) -> int | None:
    """Return the direction of a tone: -1, 0 or 1; None where it is unknown."""
    if tone is None or np.isnan(tone):
        return None
    return 0 if abs(tone) <= NEUTRAL else int(np.sign(tone))
