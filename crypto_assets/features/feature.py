"""What defines a feature: its formula, inputs and window, how old a value may be, and which coins have it.

Look-back windows, the data dictionary, the column descriptions in the UI and the population check are derived from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from math import ceil, log

import polars as pl

from crypto_assets.catalog import Coin
from crypto_assets.tables.contract import Column

HOUR = timedelta(hours=1)
DAY_HOURS = 24
WEEK_HOURS = 7 * DAY_HOURS
MONTH_HOURS = 30 * DAY_HOURS
DAILY_STALENESS = timedelta(days=2)  # as-of joins of daily tables: a value serves this long after available_at
SNAPSHOT_STALENESS = timedelta(hours=2)  # hourly snapshots: one missed tick is bridged, two are not
LEAST_SHARE = 0.8  # share of the hours or days of a statistical window; with less its value is unknown
FILL_HOURS = 24  # a gap between bars of at most this length counts as flat bars for indicators
NEAR_MARK = timedelta(minutes=30)  # a price observed later than this after its hour mark is not used for returns
NEGLIGIBLE = 2.0**-53  # a weight that no longer changes a double
SEED_TOLERANCE = 1e-9  # the largest weight of a recursive mean's seed in a value that is shown


class Coins(Enum):
    """Which coins a source can have a column for, in words; :meth:`has` decides from the catalogue."""

    PRICED = "coins with a CoinGecko identifier"
    BARRED = "coins with a pair at a bar source"
    TRADED = "coins with a pair at a venue that gives volume (Binance, Kraken)"
    ONCHAIN = "coins that Coin Metrics covers"
    MINED = "proof-of-work coins that Coin Metrics covers"
    PERPETUAL = "coins with a perpetual contract at Binance or Bybit"
    BINANCE_PERPETUAL = "coins with a perpetual contract at Binance"
    TWO_VENUES = "coins with a perpetual contract at Binance and at Bybit"
    OPTIONS = "coins with a volatility index at Deribit"
    BITCOIN = "Bitcoin"
    CHAIN = "native coins of a chain that DefiLlama lists"
    EVERY = "every coin"

    def has(self, coin: Coin) -> bool:
        """Whether the column is expected for a coin.

        Args:
            coin: a coin of the catalogue.

        Returns:
            True if a source can have it.
        """
        rules = {
            Coins.PRICED: bool(coin.coingecko),
            Coins.BARRED: bool(coin.binance or coin.kraken or coin.coingecko),
            Coins.TRADED: bool(coin.binance or coin.kraken),
            Coins.ONCHAIN: bool(coin.coinmetrics),
            Coins.MINED: bool(coin.coinmetrics) and coin.consensus == "pow",
            Coins.PERPETUAL: bool(coin.binance_perpetual or coin.bybit_perpetual),
            Coins.BINANCE_PERPETUAL: bool(coin.binance_perpetual),
            Coins.TWO_VENUES: bool(coin.binance_perpetual and coin.bybit_perpetual),
            Coins.OPTIONS: bool(coin.deribit),
            Coins.BITCOIN: coin.symbol == "BTC",
            Coins.CHAIN: bool(coin.defillama),
            Coins.EVERY: True,
        }
        return rules[self]


class Change(Enum):
    """The change of a column over ``hours - 1`` hours, each value as known at its own decision time."""

    NONE = "none"
    DIFFERENCE = "difference"
    RELATIVE = "relative"


@dataclass(frozen=True)
class Need:
    """The inputs that a value needs, else it is null: enough elements of a window, each made of a few cells.

    The sentence in the data dictionary is derived from it. A test deletes inputs and compares it with the engine.

    Attributes:
        cells: (input, how many hours, bars or days before the element) of each cell of one element.
        window: the number of elements; the newest is at the row itself.
        least: the share of them that must be complete.
        flat: whether a flat bar in a short gap counts as a bar, and its volume as a volume.
        instead: (input, another input): where the first is null, the other alone is needed.
    """

    cells: tuple[tuple[str, int], ...]
    window: int = 1
    least: float = 1.0
    flat: bool = True
    instead: tuple[str, str] | None = None

    @property
    def fewest(self) -> int:
        """The number of complete elements that a value needs."""
        return max(1, ceil(self.least * self.window))

    @property
    def span(self) -> int:
        """The number of hour marks, bars or days that are used, including the row's own."""
        return self.window + max(age for _, age in self.cells)

    @property
    def first(self) -> int:
        """Hours, bars or days from the first value of an unbroken input to the first value."""
        return self.fewest - 1 + max(age for _, age in self.cells)

    def met(self, there: Callable[[str, int], bool]) -> bool:
        """Whether enough inputs are there.

        Args:
            there: tells for the name of an input and an age whether that cell has a value.

        Returns:
            True if the value is expected.
        """
        whole = sum(all(there(name, age + n) for name, age in self._cells(there)) for n in range(self.window))
        return whole >= self.fewest

    def _cells(self, there: Callable[[str, int], bool]) -> tuple[tuple[str, int], ...]:
        if self.instead is not None and not there(self.instead[0], 0):
            return ((self.instead[1], 0),)
        return self.cells

    def said(self, noun: str) -> str:
        """Describe the need in one sentence; empty if the inputs at the row itself are enough.

        Args:
            noun: ``hour``, ``bar`` or ``day``.

        Returns:
            The sentence.
        """
        ages = sorted({age for _, age in self.cells})
        names = " and ".join(dict.fromkeys(column_of(name) for name, _ in self.cells))
        if self.window == 1:
            if self.instead is not None:
                return f"Where {self.instead[0]} is null, {self.instead[1]} alone is needed."
            if len(ages) == 1:
                return ""
            cells = [
                f"{column_of(name)} {f'{age} {noun}(s) before' if age else 'at the row'}" for name, age in self.cells
            ]
            return f"Null unless {' and '.join(dict.fromkeys(cells))} are there; nothing between counts."
        steps = f", each with the {noun} before" if len(ages) > 1 else ""
        if self.least == 1.0:
            return f"Null unless each of the last {self.window} {noun}s has {names}{steps}."
        return f"Null where fewer than {self.fewest} of the last {self.window} {noun}s have {names}{steps}."


@dataclass(frozen=True)
class Feature:
    """One column of ``ml_features``.

    Attributes:
        inputs: ``table.column``, or ``table[entity].column`` where the row is not the coin's own (``all``, ``chain``,
            ``MARKET``).
        needs: the inputs that a value needs; by default every input at the row itself.
        memory: hour marks that a value uses, where a recursive mean uses more than it needs.
        stale: the value is joined as-of, and serves this long after it became available.
        instead: where these inputs give no value, the inputs that serve in their place, all of one venue.
        where: the rows that are expected to have it, as an SQL condition on columns of the table; empty for all.
    """

    name: str
    unit: str
    formula: str
    inputs: tuple[str, ...]
    needs: tuple[Need, ...] = ()
    memory: int = 1
    stale: timedelta | None = None
    change: Change = Change.NONE
    coins: Coins = Coins.EVERY
    lower: float | None = None
    upper: float | None = None
    reference: str = ""
    where: str = ""
    instead: tuple[str, ...] = ()

    @property
    def tables(self) -> set[str]:
        """The tables of the inputs."""
        return {table_of(name) for name in (*self.inputs, *self.instead)}

    def __post_init__(self) -> None:
        if not self.needs and self.inputs:
            object.__setattr__(self, "needs", (Need(tuple((name, 0) for name in self.inputs)),))

    @property
    def hours(self) -> int:
        """The number of hour marks that a value uses, including its own."""
        return max([self.memory, *(need.span for need in self.needs)])

    @property
    def first_hours(self) -> int:
        """Hours from the first value of an input until the first value of this column is expected."""
        return max((need.first for need in self.needs), default=0)

    @property
    def column(self) -> Column:
        """The column of the contract."""
        return Column(
            self.name, pl.Float64, self.unit, self.described(), lower=self.lower, upper=self.upper,
            max_staleness=self.stale,
        )  # fmt: skip

    def described(self) -> str:
        """Return the definition as one cell of the data dictionary."""
        said = [self.formula]
        if self.inputs:
            said.append(f"From {', '.join(self.inputs)}{', as-of' if self.stale else ''}.")
        if self.instead:
            said.append(f"Where there is none, from {', '.join(self.instead)} of the first venue that has it.")
        noun = "bar" if self.tables == {"ohlc"} else "hour"
        said += filter(None, (need.said(noun) for need in self.needs))
        if self.memory > 1:
            said.append(f"Looks back over {self.memory} {noun}s, beyond which nothing changes.")
        if self.coins is not Coins.EVERY:
            said.append(f"Expected for {self.coins.value}.")
        if self.where:
            said.append(f"Expected where {self.where}.")
        if self.reference:
            said.append(f"{self.reference}.")
        return " ".join(said)


def table_of(name: str) -> str:
    """Return ``'defi_metrics'`` for ``'defi_metrics[all].tvl_usd'``."""
    return name.partition(".")[0].partition("[")[0]


def entity_of(name: str) -> str | None:
    """Return ``'all'`` for ``'defi_metrics[all].tvl_usd'``; None where the row is the coin's own."""
    return name.partition("[")[2].partition("]")[0] or None


def column_of(name: str) -> str:
    """Return ``'tvl_usd'`` for ``'defi_metrics[all].tvl_usd'``."""
    return name.rpartition(".")[2]


def warmup_bars(alpha: float, tolerance: float = SEED_TOLERANCE) -> int:
    """Compute the number of bars after which the seed of a recursive mean has a weight below ``tolerance``.

    Args:
        alpha: the weight of the newest bar.
        tolerance: the largest weight of the seed.

    Returns:
        The number of bars.
    """
    return ceil(log(tolerance) / log(1 - alpha))


def memory_bars(alpha: float) -> int:
    """Compute how many bars an exponential mean uses here: a power of two, beyond which weights vanish in a double.

    Args:
        alpha: the weight of the newest bar.

    Returns:
        The number of bars.
    """
    return 1 << (warmup_bars(alpha, NEGLIGIBLE) - 1).bit_length()


def ema_alpha(bars: int) -> float:
    """Return the weight of the newest bar in an exponential mean of so many bars: 2 / (bars + 1)."""
    return 2.0 / (bars + 1)


def ends(inputs: tuple[str, ...], apart: int) -> tuple[Need, ...]:
    """Need the value at the row and the one some hours or days before.

    Args:
        inputs: the inputs.
        apart: the distance, in hours or days.

    Returns:
        The needs.
    """
    return (Need(tuple((name, age) for name in inputs for age in (0, apart))),)


def share(inputs: tuple[str, ...], window: int, *, own: bool = False, steps: bool = False) -> tuple[Need, ...]:
    """Need four fifths of a window.

    Args:
        inputs: the inputs.
        window: the number of elements.
        own: whether the row's own value is needed in any case.
        steps: whether an element is a value together with the one before it.

    Returns:
        The needs.
    """
    cells = tuple((name, age) for name in inputs for age in ((0, 1) if steps else (0,)))
    found = Need(cells, window, LEAST_SHARE)
    return (Need(tuple((name, 0) for name in inputs)), found) if own else (found,)


WILDER_BARS = 14
WILDER_ALPHA = 1.0 / WILDER_BARS
