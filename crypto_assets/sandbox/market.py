"""What a back end knows: the market behind the wire formats, whether generated or recorded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

HOUR_S = 3600


@dataclass(frozen=True)
class Bars:
    """Hourly bars in order of time: open times in epoch seconds, prices, base volume (one array each, equal length)."""

    ts: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    def between(self, first: float, last: float) -> Bars:
        """Bars that open in first..last (epoch seconds, both included)."""
        low, high = np.searchsorted(self.ts, first, "left"), np.searchsorted(self.ts, last, "right")
        return Bars(*(getattr(self, name)[low:high] for name in ("ts", "open", "high", "low", "close", "volume")))


@dataclass(frozen=True)
class Item:
    """One item of a feed; ``summary`` is HTML."""

    title: str
    summary: str
    url: str
    published: datetime


class Backend(Protocol):
    """A market. ``mark`` goes into the response header that names the data's origin."""

    mark: str

    def now(self) -> datetime: ...
    def bars(self, symbol: str) -> Bars | None: ...
    def market_cap(self, symbol: str) -> dict[date, float]: ...
    def onchain(self, asset: str) -> list[dict[str, str]] | None: ...
    def tvl(self, chain: str) -> dict[date, float] | None: ...
    def stablecoins(self, chain: str) -> dict[date, float] | None: ...
    def fear_greed(self) -> list[tuple[date, int]]: ...
    def feeds(self) -> dict[str, list[Item]]: ...
