"""What a market did over consecutive hours, as scores are judged by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.errors import ModelError
from crypto_assets.models.grid import HOUR, Flags, Floats, Ints

Instants = NDArray[np.datetime64]
DAY_HOURS, WEEK_HOURS, MONTH_HOURS, QUARTER_HOURS = 24, 7 * 24, 30 * 24, 90 * 24
UP, DOWN, CALM, VOLATILE = "market up", "market down", "calm", "volatile"


@dataclass(frozen=True)
class Panel:
    """A market, hours x coins. The coins of an hour are those with a price then, later delisted ones included.

    Attributes:
        first: hour mark of the first row, UTC.
        coins: symbols of the columns, ascending.
        price: at the hour mark, USD; NaN: none.
        segment: numbers the pieces of a coin's prices that are about one unit; no return reaches from one to another.
        volume_usd: traded in the hour before the mark; NaN: not known.
        volatility: standard deviation of hourly log returns as known at the mark.
        funding: rate that a long perpetual pays for the hour that begins at the mark; NaN: not known.
    """

    first: np.datetime64
    coins: tuple[str, ...]
    price: Floats
    segment: Ints
    volume_usd: Floats
    volatility: Floats
    funding: Floats

    def __post_init__(self) -> None:
        """Refuse arrays of different shapes."""
        shapes = {array.shape for array in (self.price, self.segment, self.volume_usd, self.volatility, self.funding)}
        if len(shapes) != 1 or self.price.shape[1] != len(self.coins):
            raise ModelError(
                f"a panel of {len(self.coins)} coins has arrays of {sorted(shapes)}: give hours x coins of each"
            )

    @property
    def hours(self) -> Instants:
        """The hour mark of each row."""
        marks: Instants = self.first + np.arange(len(self.price)) * HOUR
        return marks

    def forward(self, hours: int) -> Floats:
        """Return p(t + hours) / p(t) - 1, hours x coins; NaN where a price is missing or a seam lies between."""
        found = np.full(self.price.shape, np.nan)
        if 0 < hours < len(self.price):
            known = self.segment[hours:] == self.segment[:-hours]
            found[:-hours] = np.where(known, self.price[hours:] / self.price[:-hours] - 1, np.nan)
        return found

    @cached_property
    def market(self) -> Floats:
        """Return of the mean coin over the hour that ends at each mark; NaN where no coin has one."""
        returns = np.vstack([np.full((1, len(self.coins)), np.nan), self.forward(1)[:-1]])
        known = (~np.isnan(returns)).sum(axis=1)
        return np.divide(np.nansum(returns, axis=1), known, out=np.full(len(returns), np.nan), where=known > 0)

    def regimes(self) -> dict[str, Flags]:
        """Say of each hour in which states the market was, from what was known at its mark.

        Up or down: the mean coin's return of the last 30 days. Calm or volatile: its standard deviation of hourly returns
        of the last 7 days against the median of the 90 days up to then. Hours without enough history are in no state.
        """
        returns = pl.Series(self.market).fill_nan(None)
        trend = returns.rolling_sum(MONTH_HOURS, min_samples=int(0.8 * MONTH_HOURS))
        spread = returns.rolling_std(WEEK_HOURS, min_samples=int(0.8 * WEEK_HOURS))
        usual = spread.rolling_median(QUARTER_HOURS, min_samples=MONTH_HOURS)
        states = {UP: trend >= 0, DOWN: trend < 0, CALM: spread <= usual, VOLATILE: spread > usual}
        return {name: flags.fill_null(value=False).to_numpy() for name, flags in states.items()}

    def rows(self, first: np.datetime64, last: np.datetime64) -> slice:
        """Return the place of the hours first..last, both included."""
        begin = max(0, int((first - self.first) // HOUR))
        return slice(begin, max(begin, int((last - self.first) // HOUR) + 1))


def segments(seam: Flags | None, shape: Sequence[int]) -> Ints:
    """Number the pieces between seams.

    Args:
        seam: hours x coins, True at the first hour after each seam; None: there is none.
        shape: hours and coins.
    """
    return np.zeros(tuple(shape), dtype=np.int64) if seam is None else np.cumsum(seam, axis=0)
