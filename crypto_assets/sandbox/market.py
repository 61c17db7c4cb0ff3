"""The interface of a back end: the market behind the wire formats, generated or recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from crypto_assets.sandbox.futures import Futures
    from crypto_assets.sandbox.macro import Stood

HOUR_S = 3600
LATEST = 2.0**40  # epoch seconds; a wire format may ask for more, up to infinity


@dataclass(frozen=True)
class Bars:
    """Hourly bars in order of time: open times in epoch seconds, prices, base volume (one array each, of equal length)."""

    ts: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    def between(self, first: float, last: float) -> Bars:
        """Return the bars that open in first..last (epoch seconds, both included)."""
        low, high = self.place_of(first), self.place_of(math.floor(min(last, LATEST)) + 1)
        return Bars(*(getattr(self, name)[low:high] for name in ("ts", "open", "high", "low", "close", "volume")))

    def place_of(self, moment: float) -> int:
        """Return how many bars open before a moment (epoch seconds)."""
        # As a whole number: to compare with a float, numpy would turn every time of the series into one.
        return int(np.searchsorted(self.ts, math.ceil(max(moment, 0)), "left"))


@dataclass(frozen=True)
class Item:
    """One item of a feed; ``summary`` is HTML."""

    title: str
    summary: str
    url: str
    published: datetime


class Backend(Protocol):
    """A market. ``mark`` goes into the response header that names the origin of the data."""

    mark: str
    futures: Futures

    def now(self) -> datetime:
        """Return the current time of the market, UTC."""

    def bars(self, symbol: str) -> Bars | None:
        """Return the hourly bars of a coin; None if there are none."""

    def newest(self, symbol: str) -> tuple[int, float] | None:
        """Return open time (epoch seconds) and close of the newest bar of a coin; None if there is none."""

    def market_cap(self, symbol: str) -> dict[date, float]:
        """Return day -> market cap in USD of a coin; empty if unknown."""

    def onchain(self, asset: str, first: str = "", last: str = "9999") -> list[dict[str, str]] | None:
        """Return the rows of an asset (by its Coin Metrics name), as the provider writes them.

        Only those of days in first..last (YYYY-MM-DD, both included). None if unknown.
        """

    def tvl(self, chain: str) -> dict[date, float] | None:
        """Return day -> value locked in USD of a chain, or of ``all``; None if unknown."""

    def stablecoins(self, chain: str) -> dict[date, float] | None:
        """Return day -> stablecoin supply in USD of a chain, or of ``all``; None if unknown."""

    def fear_greed(self) -> list[tuple[date, int]]:
        """Return the Fear & Greed index (0 to 100) by day, in order of time."""

    def posts(self) -> list[Item]:
        """Return the posts of a forum, newest first; empty where none are there."""

    def macro(self, series: str, today: date) -> list[Stood] | None:
        """Return what stood of a macro series by a day, by observation and vintage; None for an unknown series."""

    def network(self, name: str) -> dict[date, float] | None:
        """Return day -> value of a chart, of ``fee-rates`` or of ``dexs/CHAIN``; None if unknown."""

    def feeds(self) -> dict[str, list[Item]]:
        """Return feed name -> items."""
