"""Perpetual futures and the volatility index behind the wire formats: the interface, and a generated market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from crypto_assets.catalog import Coin, all_coins
from crypto_assets.catalog.listings import listings
from crypto_assets.sandbox.market import HOUR_S, Bars
from crypto_assets.sources.contracts import coins_of

if TYPE_CHECKING:
    from crypto_assets.sandbox.generator import Generator

STEP_S = 300  # of the statistics
LISTED = datetime.fromisoformat("2019-09-08T00:00:00+00:00")  # no contract is older
DVOL_FIRST = datetime.fromisoformat("2021-03-24T00:00:00+00:00")


@dataclass(frozen=True)
class Settled:
    """One settlement: its stamp in milliseconds, the rate as a fraction, the mark price of the contract."""

    stamp_ms: int
    rate: float
    mark: float | None


@dataclass(frozen=True)
class Statistics:
    """5-minute statistics in order of time: labels in epoch seconds; NaN where a value was not recorded."""

    label: NDArray[np.int64]
    interest: NDArray[np.float64]
    value: NDArray[np.float64]
    long_short: NDArray[np.float64]
    taker: NDArray[np.float64]


class Futures(Protocol):
    """What the venues have of their contracts. A contract is named as its venue names it; None: it is not known."""

    def settlements(self, venue: str, contract: str, first_ms: float, last_ms: float) -> list[Settled] | None:
        """Return the settlements with stamps in first_ms..last_ms (both included), in order of time."""

    def statistics(self, venue: str, contract: str, first: float, last: float) -> Statistics | None:
        """Return the statistics with labels in first..last (epoch seconds, both included)."""

    def bars(self, venue: str, contract: str, first: float, last: float) -> tuple[Bars, Bars] | None:
        """Return the hourly bars of a contract and of its index that open in first..last (both included)."""

    def volatility(self, currency: str) -> Bars | None:
        """Return the hourly candles of the volatility index, in percent."""


class GeneratedFutures:
    """Contracts of the generated market; the methods are those of :class:`Futures`."""

    def __init__(self, market: Generator) -> None:
        self._market = market
        self._coins: dict[tuple[str, str], Coin] = {}
        for coin in all_coins():
            for venue in ("binance", "bybit"):
                for one in listings(coin, f"{venue}_perpetual"):
                    self._coins[venue, one.ticker] = coin

    def _spot(self, venue: str, contract: str) -> Bars | None:
        coin = self._coins.get((venue, contract))
        bars = self._market.bars(coin.symbol) if coin is not None else None
        return bars.between(LISTED.timestamp(), self._market.now().timestamp()) if bars is not None else None

    def settlements(self, venue: str, contract: str, first_ms: float, last_ms: float) -> list[Settled] | None:
        """Return the settlements of a contract: every 8 hours, of a few contracts every 4."""
        bars = self._spot(venue, contract)
        if bars is None:
            return None
        interval = 4 if crc32(contract.encode()) % 7 == 0 else 8
        due = bars.between(0, self._market.now().timestamp() - 1)
        jitter = (due.ts // HOUR_S * 7 + crc32(contract.encode())) % 23
        stamps = due.ts * 1000 + jitter
        at = np.flatnonzero((due.ts // HOUR_S % interval == 0) & (stamps >= first_ms) & (stamps <= last_ms))
        rates = _rates(venue, contract, len(bars.ts))[at]
        marks = due.open[at] * coins_of(contract)
        return [Settled(*one) for one in zip(stamps[at].tolist(), rates.tolist(), marks.tolist(), strict=True)]

    def statistics(self, venue: str, contract: str, first: float, last: float) -> Statistics | None:
        """Return the statistics of a contract: waves whose length depends on its name."""
        bars = self._spot(venue, contract)
        if bars is None:
            return None
        last = min(last, self._market.now().timestamp())
        begin = max(first, float(bars.ts[0]) if len(bars.ts) else first)
        label = np.arange(-(-begin // STEP_S), last // STEP_S + 1, dtype=np.int64) * STEP_S
        if not len(label) or not len(bars.ts):
            return Statistics(label[:0], *(np.empty(0) for _ in range(4)))
        phase = crc32(f"{venue}/{contract}".encode()) % 1000
        wave, ripple = np.sin(label / 90_000 + phase), np.sin(label / 4_100 + phase)
        price = bars.close[np.clip(np.searchsorted(bars.ts, label, "right") - 1, 0, None)]
        value = (1e7 + 1e4 * phase) * (1 + 0.2 * wave + 0.01 * ripple)
        return Statistics(
            label, value / price / coins_of(contract), value, 1.4 + 0.3 * wave + 0.02 * ripple, 1 + 0.2 * ripple
        )

    def bars(self, venue: str, contract: str, first: float, last: float) -> tuple[Bars, Bars] | None:
        """Return the bars of a contract, and its index, which is the spot price."""
        whole = self._spot(venue, contract)
        if whole is None:
            return None
        spot = whole.between(first, last)
        begin = whole.place_of(first)
        premium = 1 + _rates(f"premium {venue}", contract, len(whole.ts))[begin : begin + len(spot.ts)]
        many = coins_of(contract)
        prices = [values * many for values in (spot.open, spot.high, spot.low, spot.close)]
        perpetual = bars_of(spot.ts, [values * premium for values in prices], spot.volume * 3 / many)
        return perpetual, bars_of(spot.ts, prices, spot.volume * 0)

    def volatility(self, currency: str) -> Bars | None:
        """Return candles of an index that swings between 40 and 90 percent."""
        coin = next((coin for coin in all_coins() if coin.deribit == currency), None)
        spot = self._market.bars(coin.symbol) if coin is not None else None
        if spot is None:
            return None
        spot = spot.between(DVOL_FIRST.timestamp(), self._market.now().timestamp())
        phase = crc32(currency.encode()) % 100
        close = 65 + 20 * np.sin(spot.ts / 1_900_000 + phase) + 5 * np.sin(spot.ts / 31_000 + phase)
        opened = np.concatenate([close[:1], close[:-1]])
        high, low = np.maximum(opened, close) + 0.4, np.minimum(opened, close) - 0.4
        return bars_of(spot.ts, [np.round(values, 2) for values in (opened, high, low, close)], spot.volume * 0)


def bars_of(ts: NDArray[np.int64], prices: Sequence[NDArray[np.float64]], volume: NDArray[np.float64]) -> Bars:
    """Build bars from open times, the four prices in their order, and volume."""
    opened, high, low, close = prices
    return Bars(ts, opened, high, low, close, volume)


@lru_cache(maxsize=1024)
def _rates(venue: str, contract: str, hours: int) -> NDArray[np.float64]:
    """Rates a little above zero; most of them the 0.0001 that contracts have most of the time."""
    random = np.random.default_rng(crc32(f"{venue}/{contract}".encode()))
    found = 1e-4 + random.normal(0, 1.5e-4, hours)
    return np.where(np.abs(found - 1e-4) < 1e-4, 1e-4, np.round(found, 8))
