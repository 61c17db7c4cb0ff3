"""What a feature is: its formula in words, what it looks at, how far back, how old a value may be, and which coins have it.

Look-back windows, the data dictionary, the UI's column descriptions and the population check are all read from here.
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
DAILY_STALENESS = timedelta(days=2)  # as-of joins of daily tables look back no further than this after available_at
SNAPSHOT_STALENESS = timedelta(hours=2)  # hourly snapshots: one missed tick is bridged, a second one is not
LEAST_SHARE = 0.8  # of a statistical window's hours or days, below which its value is unknown
FILL_HOURS = 24  # a hole between bars no longer than this counts as flat bars for indicators
NEAR_MARK = timedelta(minutes=30)  # a price observed later after its hour mark is no end of a return
NEGLIGIBLE = 2.0**-53  # a weight that no longer changes a double
SEED_TOLERANCE = 1e-9  # what a recursive mean's seed may still count for once a value is shown


class Coins(Enum):
    """Which coins a source can give a column for, in words; :meth:`has` decides from the catalogue."""

    PRICED = "coins with a CoinGecko identifier"
    BARRED = "coins with a pair at a bar source"
    TRADED = "coins with a pair at a venue that gives volume (Binance, Kraken)"
    ONCHAIN = "coins that Coin Metrics covers"
    MINED = "proof-of-work coins that Coin Metrics covers"
    CHAIN = "native coins of a chain that DefiLlama lists"
    EVERY = "every coin"
    NONE = "no coin: no source gives it"

    def has(self, coin: Coin) -> bool:
        rules = {
            Coins.PRICED: bool(coin.coingecko),
            Coins.BARRED: bool(coin.binance or coin.kraken or coin.coingecko),
            Coins.TRADED: bool(coin.binance or coin.kraken),
            Coins.ONCHAIN: bool(coin.coinmetrics),
            Coins.MINED: bool(coin.coinmetrics) and coin.consensus == "pow",
            Coins.CHAIN: bool(coin.defillama),
            Coins.EVERY: True,
            Coins.NONE: False,
        }
        return rules[self]


class Change(Enum):
    """A column against itself ``hours - 1`` hours before, each as it was known at its own decision time."""

    NONE = "none"
    DIFFERENCE = "difference"
    RELATIVE = "relative"


@dataclass(frozen=True)
class Need:
    """What must be there, or the value is null: enough elements of a window, each made of a few cells.

    The sentence of the data dictionary is made from it, and a test deletes inputs and compares it with the engine.

    Attributes:
        cells: (input, how many hours, bars or days before the element) of each cell that makes up one element.
        window: How many elements are looked at; the newest stands at the row itself.
        least: Share of them that must be whole.
        flat: Whether a flat bar in a short hole counts as a bar, and its volume as one.
        instead: (input, another) the other stands in, alone, where the input is null.
    """

    cells: tuple[tuple[str, int], ...]
    window: int = 1
    least: float = 1.0
    flat: bool = True
    instead: tuple[str, str] | None = None

    @property
    def fewest(self) -> int:
        """Whole elements without which the value is null."""
        return max(1, ceil(self.least * self.window))

    @property
    def reach(self) -> int:
        """Hour marks, bars or days that are looked at, the row's own included."""
        return self.window + max(age for _, age in self.cells)

    @property
    def first(self) -> int:
        """Hours, bars or days from the first value of an unbroken input to the first value."""
        return self.fewest - 1 + max(age for _, age in self.cells)

    def met(self, there: Callable[[str, int], bool]) -> bool:
        """Whether enough is there. ``there``: of an input's name and an age, whether that cell has a value."""
        whole = sum(all(there(name, age + n) for name, age in self._cells(there)) for n in range(self.window))
        return whole >= self.fewest

    def _cells(self, there: Callable[[str, int], bool]) -> tuple[tuple[str, int], ...]:
        if self.instead is not None and not there(self.instead[0], 0):
            return ((self.instead[1], 0),)
        return self.cells

    def said(self, noun: str) -> str:
        """In one sentence; empty for what every formula needs: its inputs at the row itself."""
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

    ``inputs`` are ``table.column``; ``table[entity].column`` where the row is not the coin's own (``all``, ``chain``,
    ``MARKET``). ``needs``: what must be there, or the value is null; default: every input at the row itself. ``memory``:
    hour marks that a value looks at where a recursive mean looks further back than it needs to.
    ``stale``: the value is looked up as-of, and serves this long after it became known. ``where``: the rows in which it
    is expected, as an SQL condition over columns of the table; empty: all.
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

    @property
    def tables(self) -> set[str]:
        return {table_of(name) for name in self.inputs}

    def __post_init__(self) -> None:
        if not self.needs and self.inputs:
            object.__setattr__(self, "needs", (Need(tuple((name, 0) for name in self.inputs)),))

    @property
    def hours(self) -> int:
        """Hour marks that a value looks at, its own included."""
        return max([self.memory, *(need.reach for need in self.needs)])

    @property
    def first_hours(self) -> int:
        """Hours from an input's first value until this column's first value is due."""
        return max((need.first for need in self.needs), default=0)

    @property
    def column(self) -> Column:
        return Column(
            self.name, pl.Float64, self.unit, self.described(), lower=self.lower, upper=self.upper,
            max_staleness=self.stale,
        )  # fmt: skip

    def described(self) -> str:
        """The definition in one cell of the data dictionary."""
        said = [self.formula]
        if self.inputs:
            said.append(f"From {', '.join(self.inputs)}{', as-of' if self.stale else ''}.")
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
    """``'defi_metrics'`` of ``'defi_metrics[all].tvl_usd'``."""
    return name.partition(".")[0].partition("[")[0]


def entity_of(name: str) -> str | None:
    """``'all'`` of ``'defi_metrics[all].tvl_usd'``; None where the row is the coin's own."""
    return name.partition("[")[2].partition("]")[0] or None


def column_of(name: str) -> str:
    return name.rpartition(".")[2]


def warmup_bars(alpha: float, tolerance: float = SEED_TOLERANCE) -> int:
    """Bars after which the seed of a recursive mean with weight ``alpha`` counts for less than ``tolerance``."""
    return ceil(log(tolerance) / log(1 - alpha))


def memory_bars(alpha: float) -> int:
    """Bars an exponential mean looks back here: the power of two beyond which weights are lost in a double."""
    return 1 << (warmup_bars(alpha, NEGLIGIBLE) - 1).bit_length()


def ema_alpha(bars: int) -> float:
    return 2.0 / (bars + 1)


def ends(inputs: tuple[str, ...], apart: int) -> tuple[Need, ...]:
    """The value at the row and the one so many hours or days before."""
    return (Need(tuple((name, age) for name in inputs for age in (0, apart))),)


def share(inputs: tuple[str, ...], window: int, *, own: bool = False, steps: bool = False) -> tuple[Need, ...]:
    """Four fifths of a window; ``own``: the row's own value in any case; ``steps``: each with the one before."""
    cells = tuple((name, age) for name in inputs for age in ((0, 1) if steps else (0,)))
    found = Need(cells, window, LEAST_SHARE)
    return (Need(tuple((name, 0) for name in inputs)), found) if own else (found,)


WILDER_BARS = 14
WILDER_ALPHA = 1.0 / WILDER_BARS
